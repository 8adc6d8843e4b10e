"""Whether a transaction was sent from this machine before, where journals are damaged and ceremonies many."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from support.ceremony import setting
from support.hostile import Coin
from wormsig.app.already import Earlier, sent_before
from wormsig.app.home import Home
from wormsig.app.session import Session, now
from wormsig.ceremony import coordinator
from wormsig.journal.store import CeremonyRow, Journal
from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.psbt.model import Psbt

SCENE = setting().scene
PSBT = SCENE.psbt()
OTHER = SCENE.psbt([Coin(index=8)])
OLDER, NEWER = "1" * 32, "2" * 32


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def proposed(home: Home, ceremony: str, psbt: Psbt, *, at: int) -> None:
    """A coordinator's ceremony, just begun."""
    row = CeremonyRow(ceremony, "coordinator", at, None, "regtest", "family", "send")
    first = coordinator.Proposed(
        ceremony, "regtest", SCENE.wallet.id, "family", codec.serialize(psbt), 2, ("bob", "carol"), at=at
    )
    with Journal(home.journal()) as journal:
        Session.begin(journal, row, coordinator.MACHINE, *coordinator.begin(first, None))


@pytest.fixture
def twice(home: Home) -> Home:
    """A home with two open ceremonies about the same transaction."""
    proposed(home, OLDER, PSBT, at=now() - 60)
    proposed(home, NEWER, PSBT, at=now())
    return home


def test_the_newest_open_ceremony_is_named(twice: Home) -> None:
    assert sent_before(twice, PSBT) == Earlier(NEWER, broadcast=False)
    assert sent_before(twice, OTHER) is None


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE event SET body = x'00' WHERE ceremony = ? AND seq = 0",
        "DELETE FROM event WHERE ceremony = ? AND seq = 0",
        "DELETE FROM event WHERE ceremony = ?",
        "UPDATE event SET type = 'other' WHERE ceremony = ?",
    ],
)
def test_a_damaged_ceremony_hides_no_other(twice: Home, damage: str) -> None:
    with sqlite3.connect(twice.journal()) as db:
        assert db.execute(damage, [NEWER]).rowcount
    db.close()
    assert sent_before(twice, PSBT) == Earlier(OLDER, broadcast=False)


def test_what_is_no_journal_says_nothing_and_none_is_made(home: Home) -> None:
    assert sent_before(home, PSBT) is None
    assert not home.journal().exists()
    home.journal().write_bytes(b"something else")
    assert sent_before(home, PSBT) is None
