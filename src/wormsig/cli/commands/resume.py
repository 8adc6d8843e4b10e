"""`wormsig resume`: go on with a ceremony, in either role, from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from wormsig.app.home import Home
from wormsig.app.loading import load_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.plan import duration
from wormsig.app.policy import load_policy
from wormsig.app.resuming import add_files, check_names, choose, forget, report_of, signer_from, wallet_of
from wormsig.app.send_plan import SendPlan
from wormsig.app.session import COORDINATOR, COSIGNER, Session
from wormsig.bitcoin.network import Network
from wormsig.ceremony import coordinator, cosigner
from wormsig.cli import options
from wormsig.cli.receiving import How, Receiving
from wormsig.cli.reviews import show_report
from wormsig.cli.running import Running
from wormsig.errors import RefusedError, UsageError
from wormsig.journal.store import Journal
from wormsig.render.sanitize import sanitize
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.app.policy import Policy
    from wormsig.app.settings import (
        PassphraseOptions,
        RelayOptions,
        ReviewOptions,
        RpcOptions,
        WalletOptions,
    )
    from wormsig.cli.console import Console

LINGER = 30.0
"""Seconds that cosigners who do not know the outcome are waited for, when nothing else is left to do."""


@dataclass(frozen=True, slots=True)
class _Options:
    """Everything that was said."""

    new_codes: tuple[str, ...]
    files: tuple[str, ...]
    signer: str | None
    reject: str | None
    policy: Policy | None
    broadcast: bool | None
    timeout: float | None
    qr: bool
    output: tuple[Path | None, bool]
    wallet_options: WalletOptions
    rpc: RpcOptions
    review_options: ReviewOptions
    passphrase: PassphraseOptions
    relay: RelayOptions
    console: Console


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
@options.output_options
@options.wallet_options
@options.rpc_options
@options.review_options
@options.passphrase_options
@options.relay_options
@options.asking_console_options
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
    path = home.journal()
    if not path.exists():
        raise UsageError("there is no ceremony on this machine")
    with Journal(path) as journal:
        row = choose(journal.ceremonies(), ident)
        if row.role == "coordinator":
            _coordinate(Session.load(journal, row.id, COORDINATOR), order, home)
        else:
            _cosign(Session.load(journal, row.id, COSIGNER), order, journal, home)


def _coordinate(
    session: Session[coordinator.CoordinatorState, coordinator.CoordinatorEvent], order: _Options, home: Home
) -> None:
    """Go on as a coordinator."""
    console = order.console
    for given, name in ((order.signer, "--signer"), (order.reject, "--reject"), (order.policy, "--policy")):
        if given is not None:
            raise UsageError(f"{name} is a cosigner's, and this ceremony is our own", hint="use --import for a file")
    check_names(order.new_codes, session.state)
    start = session.state.start
    wallet = load_wallet(order.wallet_options, home) or wallet_of(start.wallet, Registry(home.wallets()))
    network = wallet.network if wallet else next((one for one in Network if one.value == start.network), None)
    node = open_node(order.rpc, network)
    if order.broadcast and node is None:
        raise UsageError("--broadcast needs a node", hint="use --rpc-url and --rpc-cookie")
    settled = coordinator.is_over(session.state) and session.state.phase is not coordinator.Phase.KEPT
    if not console.yes and node is not None and order.broadcast is None and not settled:
        console.need_person("broadcasting", hint="use -y in a script, or say --broadcast or --no-broadcast")
    if node is not None:
        agree(node, network)
    for file, new in add_files(session, order.files):
        console.say(f"{sanitize(file)}: {new} new signature{'' if new == 1 else 's'}")
    report = report_of(session.state, wallet)
    if not coordinator.is_over(session.state):
        show_report(console, report)
    plan = SendPlan(
        label=report.label,
        new_codes=frozenset(order.new_codes),
        broadcast=start.broadcast if order.broadcast is None else order.broadcast,
        timeout=order.timeout,
        code_length=order.relay.code_length,
        linger=order.timeout or LINGER,
    )
    running = Running(home=home, node=node, relay=order.relay, output=order.output, console=console)
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
        if any(isinstance(effect, coordinator.TellOutcome) for effect in coordinator.pending(state)):
            running.tell(session, plan)
        raise RefusedError(f"ceremony {ident} was cancelled", hint=coordinator.left_behind(state))


def _cosign(
    session: Session[cosigner.CosignerState, cosigner.CosignerEvent], order: _Options, journal: Journal, home: Home
) -> None:
    """Go on as a cosigner."""
    state, console = session.state, order.console
    if order.new_codes:
        raise UsageError("--new-code is a coordinator's", hint="ask the coordinator, and use `wormsig receive CODE`")
    if cosigner.is_complete(state):
        forget(session, home)
        _say_over(state, console)
        return
    if len(order.files) > 1:
        raise UsageError("a cosigner brings one signed PSBT", hint="combine them first")
    ready = signer_from(order.files[0]) if order.files else None
    tells_only = isinstance(cosigner.pending(state), cosigner.SendDecline)
    if state.signed is None and not tells_only and ready is None and order.signer is None and order.reject is None:
        raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET, --import FILE, or --reject")
    if order.relay.verify:
        console.need_person("comparing the verifier", hint="--verify needs a terminal on both sides")
    how = How(signer=order.signer, reject=order.reject, policy=order.policy, timeout=order.timeout)
    receiving = Receiving.prepare(
        how,
        output=order.output,
        wallet_options=order.wallet_options,
        rpc=order.rpc,
        review_options=order.review_options,
        passphrase=order.passphrase,
        relay=order.relay,
        console=console,
        ready=ready,
        asks=state.signed is None and not tells_only,
    )
    receiving.go_on(journal, session)


def _say_over(state: cosigner.CosignerState, console: Console) -> None:
    """How a ceremony ended that is over on this side."""
    start, outcome = state.start, state.outcome
    txid = outcome.txid if outcome else None
    if console.as_json:
        result = outcome.result if outcome else None
        console.emit({"event": "done", "ceremony": start.ceremony, "result": result, "txid": txid})
        return
    console.say(f"Ceremony {start.ceremony[:6]} is over on this side; `wormsig receipt` shows what it left.")
    if txid is not None:
        console.result(txid)
