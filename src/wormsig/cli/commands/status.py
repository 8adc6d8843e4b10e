"""`wormsig status`: the ceremonies on this machine."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from wormsig.app.ceremonies import summaries
from wormsig.app.choosing import open_journal, pick
from wormsig.app.home import Home
from wormsig.cli import options
from wormsig.render.ceremonies import short_id, summary_lines, summary_object
from wormsig.render.lines import plain
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.cli.console import Console


@click.command("status")
@click.argument("ident", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@options.console_options
def command(*, ident: str | None, everything: bool, console: Console) -> None:
    """List the ceremonies on this machine: role, wallet, amount, who signed, what is awaited, age.

    Only those with something left to do, unless --all; with ID that one. With --json one object each.
    """
    home = Home.from_environment()
    if ident is None and not home.journal().exists():
        _none(console, 0)
        return
    with open_journal(home) as journal:
        rows = journal.ceremonies()
        only = None if ident is None else pick(rows, ident).id
        found = summaries(journal, Registry(home.wallets()), everything=everything or ident is not None, only=only)
    if not found:
        _none(console, len(rows))
    seen = Counter(short_id(row.id) for row in rows)
    for each in found:
        if console.as_json:
            console.emit(summary_object(each))
        else:
            console.result(plain(summary_lines(each, int(time.time()), alone=seen[short_id(each.id)] == 1)))


def _none(console: Console, over: int) -> None:
    if not console.as_json:
        hint = f" ({over} {'is' if over == 1 else 'are'} over: --all)" if over else ""
        console.say(f"No ceremony has anything left to do{hint}.")
