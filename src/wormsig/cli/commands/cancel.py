"""`wormsig cancel`: give a ceremony up, say so to whoever is connected, and say what cannot be taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wormsig.app.cancelling import await_cancelled, can_be_told, cancel, plan_to_tell, withdraw
from wormsig.app.choosing import choose, open_journal
from wormsig.app.home import Home
from wormsig.app.plan import duration
from wormsig.app.session import Session
from wormsig.ceremony import coordinator, cosigner
from wormsig.cli import options
from wormsig.cli.receiving import How, Receiving
from wormsig.cli.running import Running
from wormsig.errors import TransportError
from wormsig.psbt.limits import MAX_TEXT
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.app.settings import RelayOptions
    from wormsig.cli.console import Console
    from wormsig.journal.store import Journal

PATIENCE = 20.0
"""Seconds for those who are to be told, and for a running process to end."""


@click.command("cancel")
@click.argument("ident", metavar="[ID]", required=False)
@click.option("--reason", default="", metavar="TEXT", help="Words for those who are told.")
@click.option("--timeout", metavar="DURATION", help="For telling those who are not connected.  [default: 20s]")
@options.relay_options
@options.console_options
def command(*, ident: str | None, reason: str, timeout: str | None, relay: RelayOptions, console: Console) -> None:
    """Give a ceremony up.

    A coordinator's running `wormsig send` is asked to end, and tells those who are connected; else this command tells
    them, when they can be found. A signature that has left this machine cannot be taken back: its coins stay reserved
    until they are spent elsewhere.
    """
    patience = duration(timeout) or PATIENCE
    words = options.sendable(reason)[:MAX_TEXT]
    home = Home.from_environment()
    with open_journal(home) as journal:
        row = choose(journal.ceremonies(), ident)
        if row.role != "coordinator":
            receiving = Receiving.to_tell(How(timeout=patience), relay=relay, console=console)
            _cosigner(Session.load(journal, row.id, cosigner.MACHINE), words, receiving, journal)
        elif journal.ask_to_end(row.id, words):
            _report(await_cancelled(journal, row.id, patience), console)
        else:
            running = Running(home=home, node=None, relay=relay, output=(None, False), console=console)
            _coordinator(Session.load(journal, row.id, coordinator.MACHINE), words, running, patience)


def _coordinator(
    session: Session[coordinator.CoordinatorState, coordinator.CoordinatorEvent],
    words: str,
    running: Running,
    patience: float,
) -> None:
    state = cancel(session, words)
    _report(state, running.console)
    if coordinator.untold(state):
        running.tell(session, plan_to_tell(state, Registry(running.home.wallets()), patience))


def _report(state: coordinator.CoordinatorState, console: Console) -> None:
    ceremony, left = state.start.ceremony, coordinator.left_behind(state)
    if console.as_json:
        console.emit({"event": "cancelled", "ceremony": ceremony, "left_behind": left})
    else:
        console.warn(f"Ceremony {ceremony[:6]} is cancelled{f': {left}.' if left else '. Nobody had signed.'}")


def _cosigner(
    session: Session[cosigner.CosignerState, cosigner.CosignerEvent],
    words: str,
    receiving: Receiving,
    journal: Journal,
) -> None:
    state, console = withdraw(session, words), receiving.console
    ceremony, left = state.start.ceremony, cosigner.left_behind(state)
    if console.as_json:
        console.emit({"event": "cancelled", "ceremony": ceremony, "left_behind": left})
    else:
        said = f": {left}, unless it never arrived." if left else ". Nothing was signed here."
        console.warn(f"Ceremony {ceremony[:6]} is cancelled on this side{said}")
    if can_be_told(state):
        try:
            receiving.go_on(journal, session)
        except TransportError:
            console.say("The coordinator could not be told; it will see that no signature comes.")
