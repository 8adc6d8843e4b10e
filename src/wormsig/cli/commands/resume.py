"""`wormsig resume`: go on with a ceremony, in either role, from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from wormsig.app.choosing import choose, open_journal
from wormsig.app.home import Home
from wormsig.app.loading import load_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.plan import duration
from wormsig.app.policy import load_policy
from wormsig.app.resuming import (
    add_files,
    check_names,
    forget,
    is_settled,
    needs_decision,
    network_of,
    plan_to_go_on,
    report_of,
    signer_from,
)
from wormsig.app.session import Session
from wormsig.ceremony import coordinator, cosigner
from wormsig.cli import options
from wormsig.cli.receiving import How, Receiving, done_object
from wormsig.cli.reviews import show_report
from wormsig.cli.running import Running
from wormsig.errors import RefusedError, UsageError
from wormsig.render.sanitize import sanitize
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.app.policy import Policy
    from wormsig.app.send_plan import SendPlan
    from wormsig.cli.console import Console
    from wormsig.cli.options import Common
    from wormsig.journal.store import Journal


class _Options(msgspec.Struct, frozen=True):
    """Everything that was said."""

    new_codes: tuple[str, ...]
    files: tuple[str, ...]
    signer: str | None
    reject: str | None
    policy: Policy | None
    broadcast: bool | None
    timeout: float | None
    qr: bool
    common: Common


@click.command("resume")
@click.argument("ident", metavar="[ID]", required=False)
@click.option(
    "--new-code", "new_codes", multiple=True, metavar="NAME", help="Coordinator: a new code for this cosigner. Repeat."
)
@click.option(
    "--import", "files", multiple=True, metavar="FILE", help="Take the signatures of this PSBT or transaction. Repeat."
)
@click.option("--signer", metavar="SPEC", help="Cosigner: who signs, key:FILE or core:WALLET.")
@click.option("--reject", metavar="REASON", help="Cosigner: decline, and tell the coordinator why.")
@click.option("--policy", type=options.file_path(), metavar="FILE", help="Cosigner: sign only what this file allows.")
@click.option("--broadcast/--no-broadcast", default=None, help="Coordinator: broadcast at the end. Default: ask.")
@click.option("--timeout", metavar="DURATION", help="Give up after: 90s, 10m, 2h, 3d.")
@click.option("--qr/--no-qr", default=False, envvar="WORMHOLE_QR", help="Show each code as a QR code too.")
@options.common_options
def command(*, ident: str | None, **said: Any) -> None:  # noqa: ANN401  collected into _Options at once
    """Go on with a ceremony where it stands: after Ctrl-C, a crash, a lost connection, or days later.

    Both sides find each other again without a code when they were connected before. ID is the beginning of the
    ceremony's id (`wormsig status`); without it the only one that has something left to do. Whatever was signed
    is kept: nobody is asked twice.
    """
    said["timeout"] = duration(said["timeout"])
    said["policy"] = load_policy(said["policy"]) if said["policy"] else None
    order = _Options(**said)
    home = Home.from_environment()
    with open_journal(home) as journal:
        row = choose(journal.ceremonies(), ident)
        if row.role == "coordinator":
            _coordinate(Session.load(journal, row.id, coordinator.MACHINE), order, home)
        else:
            _cosign(Session.load(journal, row.id, cosigner.MACHINE), order, journal, home)


def _coordinate(
    session: Session[coordinator.CoordinatorState, coordinator.CoordinatorEvent], order: _Options, home: Home
) -> None:
    """Go on as a coordinator."""
    for given, name in ((order.signer, "--signer"), (order.reject, "--reject"), (order.policy, "--policy")):
        if given is not None:
            raise UsageError(f"{name} is a cosigner's, and this ceremony is our own", hint="use --import for a file")
    check_names(order.new_codes, session.state)
    common, console = order.common, order.common.console
    registry = Registry(home.wallets())
    wallet = load_wallet(common.wallet_options, home) or registry.with_id(session.state.start.wallet)
    network = network_of(session.state, wallet)
    running = Running.of(common, home, open_node(common.rpc, network))
    running.check_broadcast(order.broadcast)
    if not is_settled(session.state):
        running.need_person_to_broadcast(order.broadcast)
    if running.node is not None:
        agree(running.node, network)
    for file, new in add_files(session, order.files):
        console.say(f"{sanitize(file)}: {new} new signature{'' if new == 1 else 's'}")
    if not coordinator.is_over(session.state):
        show_report(console, report_of(session.state, wallet, running.node))
    plan = plan_to_go_on(
        session.state,
        wallet,
        new_codes=order.new_codes,
        broadcast=order.broadcast,
        timeout=order.timeout,
        code_length=common.relay.code_length,
    )
    _over_already(session, running, plan)
    running.go_on(session, plan, qr=order.qr, always_broadcast=bool(order.broadcast))


def _over_already(
    session: Session[coordinator.CoordinatorState, coordinator.CoordinatorEvent], running: Running, plan: SendPlan
) -> None:
    """Say so when nothing is left but to tell it.

    Raises:
        RefusedError: It was cancelled; whoever does not know was told.
    """
    state = session.state
    ident = state.start.ceremony[:6]
    if state.phase is coordinator.Phase.BROADCAST:
        running.console.say(f"Ceremony {ident} is over: the transaction was broadcast.")
    if state.phase is coordinator.Phase.CANCELLED:
        if coordinator.untold(state):
            running.tell(session, plan)
        raise RefusedError(f"ceremony {ident} was cancelled", hint=coordinator.left_behind(state))


def _cosign(
    session: Session[cosigner.CosignerState, cosigner.CosignerEvent], order: _Options, journal: Journal, home: Home
) -> None:
    """Go on as a cosigner."""
    state = session.state
    if order.new_codes:
        raise UsageError("--new-code is a coordinator's", hint="ask the coordinator, and use `wormsig receive CODE`")
    if cosigner.is_complete(state):
        forget(session, home)
        _say_over(state, order.common.console)
        return
    if len(order.files) > 1:
        raise UsageError("a cosigner brings one signed PSBT", hint="combine them first")
    ready = signer_from(order.files[0]) if order.files else None
    undecided = needs_decision(state)
    if undecided and ready is None and order.signer is None and order.reject is None:
        raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET, --import FILE, or --reject")
    order.common.need_person_to_compare()
    how = How(signer=order.signer, reject=order.reject, policy=order.policy, timeout=order.timeout)
    Receiving.prepare(how, order.common, ready=ready, asks=undecided).go_on(journal, session)


def _say_over(state: cosigner.CosignerState, console: Console) -> None:
    """How a ceremony ended that is over on this side."""
    if console.as_json:
        console.emit(done_object(state))
        return
    console.say(f"Ceremony {state.start.ceremony[:6]} is over on this side; `wormsig receipt` shows what it left.")
    if state.outcome is not None and state.outcome.txid is not None:
        console.result(state.outcome.txid)
