"""`wormsig create`: the Creator's and the Updater's role, through a node."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import click

from wormsig.app.amounts import parse_fee_rate
from wormsig.app.create import create
from wormsig.app.files import check_output, write_file
from wormsig.app.history import History
from wormsig.app.home import Home
from wormsig.app.loading import need_wallet
from wormsig.app.nodes import need_node
from wormsig.app.order import Order, parse_coins, parse_payment
from wormsig.cli import options
from wormsig.cli.reviews import show_report
from wormsig.psbt import codec
from wormsig.render.sanitize import as_argument, sanitize
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.app.create import Created
    from wormsig.app.settings import ReviewOptions, RpcOptions, WalletOptions
    from wormsig.cli.console import Console

_LATEST_LOCKTIME = 0xFFFFFFFF
_HIGHEST_INDEX = 0x7FFFFFFF


@click.command("create")
@click.option(
    "--to",
    "payments",
    multiple=True,
    required=True,
    metavar="ADDRESS:AMOUNT",
    help="Pay this: 0.5 BTC, 0.5, 50000 sat, or all. Repeat for more.",
)
@click.option("--fee-rate", required=True, metavar="SAT/VB", help="With at most three decimals.")
@click.option(
    "--coin", "coins", multiple=True, metavar="TXID:INDEX", help="Spend exactly these coins. Repeat for more."
)
@click.option("--subtract-fee", is_flag=True, help="The recipients pay the fee, in equal parts.")
@click.option("--no-rbf", is_flag=True, help="Do not signal that the transaction may be replaced.")
@click.option(
    "--locktime",
    type=click.IntRange(0, _LATEST_LOCKTIME),
    default=0,
    metavar="N",
    help="Not before this block height, or Unix time from 500000000 on.",
)
@click.option(
    "--sequence",
    type=click.IntRange(0, _LATEST_LOCKTIME),
    metavar="N",
    help="Of every input, as BIP68 writes it: N blocks for a wallet's paths behind older(N).",
)
@click.option(
    "--change-index",
    type=click.IntRange(0, _HIGHEST_INDEX),
    metavar="N",
    help="Where change goes, on the change branch; else the first unused index.",
)
@click.option("--rescan", is_flag=True, help="Let the node look through every block for the wallet's coins first.")
@click.option(
    "--psbt-version",
    type=click.Choice(["0", "2"]),
    default="0",
    help="2 is BIP370; every signer reads 0.",
)
@options.output_options
@options.wallet_options
@options.rpc_options
@options.review_options
@options.console_options
def command(
    *,
    payments: tuple[str, ...],
    fee_rate: str,
    coins: tuple[str, ...],
    subtract_fee: bool,
    no_rbf: bool,
    locktime: int,
    sequence: int | None,
    change_index: int | None,
    rescan: bool,
    psbt_version: str,
    output: tuple[Path | None, bool],
    wallet_options: WalletOptions,
    rpc: RpcOptions,
    review_options: ReviewOptions,
    console: Console,
) -> None:
    """Make a PSBT that spends from a wallet, through a node.

    The node watches the wallet in a wallet of its own without keys, which is made when it is not there yet. The
    PSBT holds all that the cosigners need to review and sign it. It goes to -o FILE, else as base64 to standard
    output; its review to standard error.
    """
    check_output(output[0], force=output[1])
    home = Home.from_environment()
    wallet = need_wallet(wallet_options, home)
    order = Order(
        payments=tuple(parse_payment(text, wallet.network) for text in payments),
        fee_rate=parse_fee_rate(fee_rate),
        coins=parse_coins(coins),
        subtract_fee=subtract_fee,
        replaceable=not no_rbf,
        locktime=locktime,
        sequence=sequence,
        change_index=change_index,
        rescan=rescan,
        psbt_version=int(psbt_version),
    )
    node = need_node(rpc, wallet.network, purpose="to create a PSBT")
    created = create(
        order,
        wallet,
        node,
        registry=Registry(home.wallets()),
        history=History.of(home),
        options=review_options,
        progress=lambda percent: console.say(f"The node looks through the blocks for the wallet's coins: {percent} %"),
    )
    if console.as_json or not console.quiet:
        show_report(console, created.report)
    _deliver(created, output, console)


def _deliver(created: Created, output: tuple[Path | None, bool], console: Console) -> None:
    path, force = output
    data = codec.serialize(created.psbt)
    if path is not None:
        write_file(path, data, force=force)
    text = base64.b64encode(data).decode("ascii")
    if console.as_json:
        console.emit({"event": "done", "psbt": None if path else text, "file": str(path) if path else None})
    elif path is None:
        console.result(text)
    else:
        console.say(f"{sanitize(str(path))}: without signatures; next: wormsig send {as_argument(path)}")
