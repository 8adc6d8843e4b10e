"""`wormsig broadcast`: a finished transaction is verified, tested by the node, and sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wormsig.app.broadcast import check_finished, read_finished, refuse_findings
from wormsig.app.history import History
from wormsig.app.home import Home
from wormsig.app.loading import load_wallet
from wormsig.app.nodes import need_node
from wormsig.cli import options
from wormsig.cli.reviews import show_report
from wormsig.errors import RefusedError
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.app.broadcast import Ready
    from wormsig.app.settings import ReviewOptions, RpcOptions, WalletOptions
    from wormsig.cli.console import Console


@click.command("broadcast")
@click.argument("finished", metavar="PSBT|HEX")
@options.wallet_options
@options.rpc_options
@options.review_options
@options.asking_console_options
def command(
    *,
    finished: str,
    wallet_options: WalletOptions,
    rpc: RpcOptions,
    review_options: ReviewOptions,
    console: Console,
) -> None:
    """Check a transaction and hand it to the node; prints its txid.

    Takes a PSBT with enough signatures, finalized or not, or a transaction in hex, or a file with either. Every
    signature is verified here before the node is asked. A transaction that the node has already is a success.
    """
    read = read_finished(finished)
    if not console.yes:
        console.need_person("broadcasting", hint="use -y in a script")
    home = Home.from_environment()
    wallet = load_wallet(wallet_options, home)
    network = wallet.network if wallet is not None else wallet_options.network
    node = need_node(rpc, network, purpose="to broadcast")
    ready = check_finished(
        read,
        node,
        wallet,
        registry=Registry(home.wallets()),
        history=History.of(home),
        options=review_options,
        unattended=console.yes,
    )
    if ready.acceptance.known:
        console.say("The node has this transaction already, in its mempool or in a block.")
        _deliver(ready, console, known=True)
        return
    _confirm(ready, console)
    node.send(ready.transaction.serialize(), max_fee_rate=ready.max_fee_rate)
    console.say("Broadcast; the node has it.")
    _deliver(ready, console, known=False)


def _confirm(ready: Ready, console: Console) -> None:
    """Show what will happen, and ask.

    Raises:
        RefusedError: The review or the person says no.
    """
    if console.as_json or not (console.quiet and console.yes):
        show_report(console, ready.report)
    if ready.unchecked:
        where = ", ".join(map(str, ready.unchecked))
        console.say(f"The scripts of input {where} are of a kind that is not checked here; the node did.")
    refuse_findings(ready, unattended=console.yes)
    console.say(f"The node accepts the transaction ({ready.transaction.vsize} vB).")
    console.say(f"Transaction {ready.transaction.txid}")
    if not console.ask("Broadcast?"):
        raise RefusedError("not broadcast")


def _deliver(ready: Ready, console: Console, *, known: bool) -> None:
    txid = ready.transaction.txid
    told = f"the transaction was broadcast{' before' if known else ''}: {txid}"
    if console.as_json:
        console.emit({"event": "done", "txid": txid, "broadcast": True, "known": known}, known=told)
    else:
        console.result(txid, known=told)
