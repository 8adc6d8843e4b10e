"""`wormsig cancel`: give a ceremony up, say so to whoever is connected, and say what cannot be taken back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from wormsig.app.home import Home
from wormsig.app.plan import duration
from wormsig.app.resuming import choose, report_of, wallet_of
from wormsig.app.send_plan import SendPlan
from wormsig.app.session import COORDINATOR, COSIGNER, Session
from wormsig.ceremony import coordinator, cosigner
from wormsig.cli import options
from wormsig.cli.receiving import How, Receiving
from wormsig.cli.running import Running
from wormsig.errors import RefusedError, TransportError, UsageError
from wormsig.journal.store import Journal
from wormsig.psbt.limits import MAX_TEXT
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.app.settings import RelayOptions
    from wormsig.cli.console import Console
    from wormsig.journal.store import CeremonyRow

PATIENCE = 20.0
"""Seconds for those who are to be told, and for a running process to end."""

LOOK = 0.1

GONE_OUT = (
    "your signature has left this machine and cannot be taken back; to make it worthless, spend one of its coins"
    " elsewhere. They stay reserved here until then"
)

OVER = (
    "the transaction is complete, and your signature in it cannot be taken back; while it is not mined, only spending"
    " one of its coins with a higher fee can take its place"
)


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
    words = reason.encode("utf-8", "replace").decode()[:MAX_TEXT]
    home = Home.from_environment()
    path = home.journal()
    if not path.exists():
        raise UsageError("there is no ceremony on this machine")
    with Journal(path) as journal:
        row = choose(journal.ceremonies(), ident)
        if row.role == "coordinator":
            if journal.ask_to_end(row.id, words):
                _wait(journal, row, console, patience)
            else:
                session = Session.load(journal, row.id, COORDINATOR)
                _coordinator(session, words, home=home, relay=relay, console=console, patience=patience)
        else:
            _cosigner(journal, row, words, relay=relay, console=console, patience=patience)


def _wait(journal: Journal, row: CeremonyRow, console: Console, patience: float) -> None:
    """Until the process that runs the ceremony has ended it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        state = coordinator.replay(COORDINATOR.decode(each.body) for each in journal.events(row.id))
        if state.phase is coordinator.Phase.CANCELLED:
            _report(state, console)
            return
        if not coordinator.can_cancel(state):
            raise _too_late(state)
        time.sleep(LOOK)
    raise TransportError(
        "the process that runs this ceremony did not answer", hint="end it with Ctrl-C, and cancel again"
    )


def _coordinator(
    session: Session[coordinator.CoordinatorState, coordinator.CoordinatorEvent],
    words: str,
    *,
    home: Home,
    relay: RelayOptions,
    console: Console,
    patience: float,
) -> None:
    state = session.state
    if state.phase is not coordinator.Phase.CANCELLED:
        if not coordinator.can_cancel(state):
            raise _too_late(state)
        state = session.record(coordinator.Cancelled(words))
    _report(state, console)
    if not any(isinstance(effect, coordinator.TellOutcome) for effect in coordinator.pending(state)):
        return
    wallet = wallet_of(state.start.wallet, Registry(home.wallets()))
    plan = SendPlan(label=report_of(state, wallet).label, broadcast=False, linger=patience)
    running = Running(home=home, node=None, relay=relay, output=(None, False), console=console)
    running.tell(session, plan)


def _report(state: coordinator.CoordinatorState, console: Console) -> None:
    ceremony, left = state.start.ceremony, coordinator.left_behind(state)
    if console.as_json:
        console.emit({"event": "cancelled", "ceremony": ceremony, "left_behind": left})
    else:
        console.warn(f"Ceremony {ceremony[:6]} is cancelled{f': {left}.' if left else '. Nobody had signed.'}")


def _too_late(state: coordinator.CoordinatorState) -> RefusedError:
    broadcast = state.phase is coordinator.Phase.BROADCAST
    return RefusedError(
        "the transaction was broadcast" if broadcast else "the transaction is being broadcast",
        hint="it cannot be called back; while it is not mined, a replacement with a higher fee can take its place",
    )


def _cosigner(
    journal: Journal, row: CeremonyRow, words: str, *, relay: RelayOptions, console: Console, patience: float
) -> None:
    """Withdraw, as long as no signature has gone out."""
    session = Session.load(journal, row.id, COSIGNER)
    state = session.state
    if cosigner.is_complete(state):
        hint = OVER if state.signed is not None else "nothing was signed here"
        raise RefusedError(f"ceremony {row.id[:6]} is over, and cannot be cancelled on this side", hint=hint)
    if state.phase is cosigner.Phase.ANSWERED:
        raise RefusedError(f"ceremony {row.id[:6]} cannot be cancelled on this side", hint=GONE_OUT)
    signed = state.signed is not None
    if state.phase not in (cosigner.Phase.DECLINED, cosigner.Phase.DECLINE_TOLD):
        state = session.record(cosigner.Declined(words or "cancelled", "person"))
    said = f": {GONE_OUT}, unless it never arrived." if signed else ". Nothing was signed here."
    if console.as_json:
        console.emit(
            {"event": "cancelled", "ceremony": state.start.ceremony, "left_behind": GONE_OUT if signed else None}
        )
    else:
        console.warn(f"Ceremony {row.id[:6]} is cancelled on this side{said}")
    if state.phase is cosigner.Phase.DECLINED and state.link:
        _tell(session, journal, relay=relay, console=console, patience=patience)


def _tell(
    session: Session[cosigner.CosignerState, cosigner.CosignerEvent],
    journal: Journal,
    *,
    relay: RelayOptions,
    console: Console,
    patience: float,
) -> None:
    """The coordinator hears of it, when it can be found."""
    receiving = Receiving.to_tell(How(timeout=patience), relay=relay, console=console)
    try:
        receiving.go_on(journal, session)
    except TransportError:
        console.say("The coordinator could not be told; it will see that no signature comes.")
