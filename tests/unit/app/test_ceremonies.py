"""The list of ceremonies, from journals as whole ceremonies leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.receipts import Play, keep
from wormsig.app.ceremonies import summaries
from wormsig.app.home import Home
from wormsig.journal.store import Journal
from wormsig.render.ceremonies import summary_lines, summary_object
from wormsig.render.lines import plain
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.ceremony.summary import Summary


def listed(play: Play, folder: Path) -> Summary:
    """The coordinator's entry."""
    keep(play, folder)
    home = Home(folder)
    with Journal(home.journal()) as journal:
        (summary,) = summaries(journal, Registry(home.wallets()))
    return summary


def test_who_declined_is_listed_with_the_reason(tmp_path: Path) -> None:
    play = Play()
    for name in play.names:
        play.offer(name)
    play.sign("bob")
    play.decline("carol", "not this month")
    summary = listed(play, tmp_path)
    text = plain(summary_lines(summary, play.clock))
    assert 'carol declined: "not this month"' in text
    assert "--new-code carol" in text
    assert "collecting" not in text
    assert summary_object(summary)["notes"] == {"carol": "not this month"}
