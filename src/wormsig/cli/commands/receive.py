"""`wormsig receive`: a cosigner's side of a ceremony."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wormsig.app.files import check_output, write_result
from wormsig.app.history import History
from wormsig.app.home import Home
from wormsig.app.loading import load_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.plan import duration
from wormsig.app.policy import Policy, check_recipients, load_policy
from wormsig.app.receive_plan import ReceivePlan, Reviewed
from wormsig.app.signing import open_signer, review_psbt
from wormsig.bitcoin.network import Network
from wormsig.cli import options
from wormsig.cli.passphrase import passphrases
from wormsig.errors import UsageError
from wormsig.psbt import codec
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.app.settings import (
        PassphraseOptions,
        RelayOptions,
        ReviewOptions,
        RpcOptions,
        WalletOptions,
    )
    from wormsig.ceremony.cosigner import CosignerState
    from wormsig.cli.console import Console
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.wallet.model import Wallet


@dataclass(frozen=True, slots=True)
class _How:
    """What the options say about receiving."""

    signer: str | None
    reject: str | None
    expect_txid: str | None
    policy: Policy | None
    timeout: float | None


@click.command("receive")
@click.argument("code", required=False, metavar="[CODE]")
@click.option("--signer", metavar="SPEC", help="Who signs: key:FILE or core:WALLET.")
@click.option("--reject", metavar="REASON", help="Decline, and tell the coordinator why.")
@click.option("--expect-txid", metavar="TXID", help="Sign only the transaction with this (unsigned) id.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Sign only what this file allows; with -y also despite the warnings that it names.",
)
@click.option("--timeout", metavar="DURATION", help="Give up after: 90s, 10m, 2h, 3d.")
@options.output_options
@options.wallet_options
@options.rpc_options
@options.review_options
@options.passphrase_options
@options.relay_options
@options.asking_console_options
def command(
    *,
    code: str | None,
    output: tuple[Path | None, bool],
    wallet_options: WalletOptions,
    rpc: RpcOptions,
    review_options: ReviewOptions,
    passphrase: PassphraseOptions,
    relay: RelayOptions,
    console: Console,
    **how: Any,  # noqa: ANN401  collected into _How at once
) -> None:
    """Receive a PSBT, review it, sign it, and send the signatures back.

    Then waits for the outcome and says it. Every amount and address is computed here, from our own copy of the
    wallet.
    """
    how["timeout"] = duration(how["timeout"])
    how["policy"] = load_policy(how["policy"]) if how["policy"] else None
    order = _How(**how)
    check_output(output[0], force=output[1])
    home = Home.from_environment()
    wallet = load_wallet(wallet_options, home)
    network = wallet.network if wallet else wallet_options.network
    _check_person(order, code, console, network)
    _check_possible(order, relay, console)
    node = open_node(rpc, network)
    if node is not None:
        network = agree(node, network).network
    signer = open_signer(order.signer, passphrases(passphrase), node) if order.signer else None
    if signer is not None and wallet is not None:
        signer.for_wallet(wallet)  # a key of another wallet is found before anybody is contacted
    code = _ask_code(console) if code is None else _meant(_checked(code), console)

    def review(psbt: Psbt, wallet_id: str | None) -> Reviewed:
        named = wallet or _wallet_with(wallet_id, home)
        _check_alone(order, console, named)
        reviewed = review_psbt(
            psbt,
            named,
            review_options,
            node=node,
            registry=Registry(home.wallets()),
            history=History.of(home),
            unattended=console.yes,
            network=network,
        )
        return Reviewed(reviewed.psbt, reviewed.report, named)

    plan = ReceivePlan(
        review=review,
        signer=signer.for_wallet if signer else None,
        reject=_printable(order.reject),
        expect_txid=order.expect_txid,
        policy=order.policy,
        network=network.value if network else None,
        save=lambda psbt: _save(psbt, output),
    )
    _run(plan, code=code, order=order, home=home, node=node, relay=relay, console=console)


def _check_possible(order: _How, relay: RelayOptions, console: Console) -> None:
    """Refuse before anything is sent what cannot end well."""
    if relay.verify:
        console.need_person("comparing the verifier", hint="--verify needs a terminal on both sides")
    if order.signer is None and order.reject is None:
        raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET, or --reject REASON")


def _save(psbt: Psbt, output: tuple[Path | None, bool]) -> None:
    if output[0] is not None:
        write_result(output[0], codec.serialize(psbt), force=output[1])


def _checked(code: str) -> str:
    """A code as the other side writes it. Raises BadCodeError (exit 6) when it is none; nothing was sent."""
    from wormsig.transport.codes import normalise  # noqa: PLC0415  its word list loads Twisted

    return normalise(code)


def _ask_code(console: Console) -> str:
    """Ask until it is a code; a word that is in no list is asked about, because a wrong code is burned."""
    from wormsig.transport.errors import BadCodeError  # noqa: PLC0415  same

    while True:
        try:
            code = _checked(console.read_line("Enter wormhole code:"))
        except BadCodeError as error:
            console.warn(f"{error.message}: {error.hint}")
            continue
        if _spelled(code, console):
            return code


def _meant(code: str, console: Console) -> str:
    """A code from the command line; a person who may have mistyped it is asked, a script is not.

    Raises:
        BadCodeError: It was not meant; nothing was sent.
    """
    from wormsig.transport.errors import BadCodeError  # noqa: PLC0415  same

    if console.yes or not console.has_person() or _spelled(code, console):
        return code
    raise BadCodeError("the code was not used", hint="nothing is burned: type it again")


def _spelled(code: str, console: Console) -> bool:
    """Whether every word is one that `send` may choose, or the person says that the code is right all the same."""
    from wormsig.transport.codes import misspelt  # noqa: PLC0415  same

    wrong = [f"{word} (is it {near}?)" if near else word for word, near in misspelt(code)]
    return not wrong or console.ask(f"Not in the list of words: {', '.join(wrong)}. Use the code as it is?")


def _printable(reason: str | None) -> str | None:
    """A reason as it can be sent: the command line may hold bytes that are no text."""
    return None if reason is None else reason.encode("utf-8", "replace").decode()


def _wallet_with(wallet_id: str | None, home: Home) -> Wallet | None:
    """The wallet of our registry that the proposal names by the hash of its descriptor."""
    for wallet in Registry(home.wallets()).all():
        if wallet.id == wallet_id:
            return wallet
    return None


def _check_person(order: _How, code: str | None, console: Console, network: Network | None) -> None:
    """Refuse before anything is sent when a question will come that nobody can answer."""
    if code is None:
        console.need_person("the code", hint="wormsig receive CODE")
    if order.reject is None and not console.yes:
        console.need_person("signing", hint="use -y in a script")
    if network is not None:
        _check_bound(order, console, network)


def _check_alone(order: _How, console: Console, wallet: Wallet | None) -> None:
    if wallet is not None:
        _check_bound(order, console, wallet.network)


def _check_bound(order: _How, console: Console, network: Network) -> None:
    if order.policy is not None:
        check_recipients(order.policy, network)
    bound = order.expect_txid is not None or order.policy is not None or order.reject is not None
    if console.yes and network is not Network.REGTEST and not bound:
        raise UsageError(
            f"-y on {network.value} would sign for whoever has the code",
            hint="name the transaction with --expect-txid, or say with --policy what may be signed",
        )


def _run(
    plan: ReceivePlan,
    *,
    code: str,
    order: _How,
    home: Home,
    node: Node | None,
    relay: RelayOptions,
    console: Console,
) -> None:
    # Twisted and the wormhole library take half a second to load: not before the options were checked.
    from wormsig.app.connect import connector_for  # noqa: PLC0415
    from wormsig.app.receive import receive_with_code  # noqa: PLC0415
    from wormsig.cli.reactor import run_on_reactor  # noqa: PLC0415
    from wormsig.cli.watchers import ReceiveWatcher  # noqa: PLC0415
    from wormsig.journal.store import Journal  # noqa: PLC0415

    with Journal(home.journal()) as journal:

        async def ceremony(reactor: Any) -> CosignerState:  # noqa: ANN401  Twisted's reactor has no one type
            connector = await connector_for(reactor, relay, "cosigner")
            watcher = ReceiveWatcher(console)
            watcher.wait(reactor)
            return await receive_with_code(
                plan, code, connector=connector, journal=journal, node=node, watcher=watcher, time_limit=order.timeout
            )

        state = run_on_reactor(ceremony)
    outcome = state.outcome
    if console.as_json:
        console.emit(
            {
                "event": "done",
                "ceremony": state.start.ceremony,
                "result": outcome.result if outcome else None,
                "txid": outcome.txid if outcome else None,
            }
        )
    elif outcome is not None and outcome.txid is not None:
        console.result(outcome.txid)
