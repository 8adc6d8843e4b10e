"""`wormsig wallet`: keep the wallets that were agreed on, and check them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import structs

from wormsig.app import wallets
from wormsig.app.home import Home
from wormsig.cli.options import console_options, network_option
from wormsig.errors import StorageError
from wormsig.wallet.describe import unspendable_key, ways_to_spend
from wormsig.wallet.record import to_record
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.bitcoin.network import Network
    from wormsig.cli.console import Console
    from wormsig.wallet.model import Wallet

_name = click.argument("name")


def _registry() -> Registry:
    return Registry(Home.from_environment().wallets())


@click.group()
def command() -> None:
    """Agree on a wallet, keep it, check it.

    A wallet is a descriptor: wsh, sh(wsh) or sh around sortedmulti or multi, miniscript in wsh, or taproot scripts in
    tr; each key is followed by /<0;1>/*.
    """


@command.command("import")
@_name
@click.argument("source")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="FINGERPRINT=NAME",
    help="Call the cosigner with this key so. Repeat for more.",
)
@click.option("--birth", metavar="DATE|UNIX", help="When the wallet was made: 2026-11-01, or Unix time.")
@click.option("--force", is_flag=True, help="Replace a wallet of this name.")
@network_option
@console_options
def import_(
    *,
    name: str,
    source: str,
    names: tuple[str, ...],
    birth: str | None,
    force: bool,
    network: Network | None,
    console: Console,
) -> None:
    """Keep a wallet as NAME; prints its id.

    SOURCE is a descriptor, a file, or - for standard input. A file may hold a descriptor, the receive and the
    change descriptor on two lines, what `wallet export --json` wrote, or what Core's listdescriptors prints.
    """
    done = wallets.import_wallet(
        Home.from_environment(), name, source, network=network, names=names, birth=birth, force=force
    )
    for line in _lines(done.wallet):
        console.say(line)
    for remark in done.remarks:
        console.say(f"note: {remark}")
    console.say("Compare id or checksum, and the addresses, with every cosigner before use.")
    if console.as_json:
        console.emit(wallets.describe(done.wallet))
    else:
        console.result(done.wallet.id)


@command.command("list")
@console_options
def list_(console: Console) -> None:
    """List the wallets kept here."""
    registry = _registry()
    damaged: list[StorageError] = []
    found: list[Wallet] = []
    for name in registry.names():
        try:
            found.append(registry.load(name))
        except StorageError as error:
            damaged.append(error)
    if not found and not damaged:
        console.say("No wallets here yet: wormsig wallet import NAME DESCRIPTOR")
    width = max((len(wallet.name) for wallet in found), default=0)
    for wallet in found:
        if console.as_json:
            console.emit(wallets.describe(wallet))
        else:
            policy = f"{wallet.summary:<8}  {wallet.script_type:<6}  {wallet.network.value:<8}  #{wallet.checksum}"
            console.result(f"{wallet.name:<{width}}  {policy}")
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise StorageError(damaged[0].message + more, hint=damaged[0].hint)


@command.command("show")
@_name
@console_options
def show(name: str, console: Console) -> None:
    """Show a wallet: N of M, keys, descriptor, id, first addresses."""
    wallet = _registry().load(name)
    if console.as_json:
        console.emit(wallets.describe(wallet))
        return
    for line in _lines(wallet):
        console.result(line)
    console.result(f"id          {wallet.id}")
    console.result(f"descriptor  {wallet.descriptor}")


@command.command("address")
@_name
@click.option("--index", type=click.IntRange(0, (1 << 31) - 1), default=0, show_default=True, help="The first index.")
@click.option("--change", is_flag=True, help="From the change branch.")
@click.option(
    "--count",
    type=click.IntRange(1, wallets.MAX_ADDRESSES),
    default=1,
    show_default=True,
    help="How many, one a line.",
)
@console_options
def address(name: str, index: int, change: bool, count: int, console: Console) -> None:
    """Print an address of a wallet. It is derived from the descriptor kept here."""
    for view in wallets.addresses(_registry().load(name), index=index, count=count, change=change):
        if console.as_json:
            console.emit(view.to_json())
        else:
            console.result(view.address)


@command.command("export")
@_name
@console_options
def export(name: str, console: Console) -> None:
    """Print a wallet's descriptor. With --json it is the whole record, for `wallet import` elsewhere."""
    wallet = _registry().load(name)
    if console.as_json:
        console.emit(to_record(wallet))
    else:
        console.result(wallet.descriptor)


@command.command("remove")
@_name
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@console_options
def remove(name: str, yes: bool, console: Console) -> None:
    """Forget a wallet. Its coins and keys are untouched; without its descriptor nobody can spend them."""
    registry = _registry()
    if name in registry.names():
        console = structs.replace(console, yes=yes)
        if not console.ask(f"Forget wallet {name}? Is its descriptor kept elsewhere?"):
            console.say("Nothing was removed.")
            return
    registry.remove(name)
    console.say(f"Wallet {name} is forgotten.")


def _lines(wallet: Wallet) -> list[str]:
    """The wallet in words."""
    lines = [f"{wallet.name} · {wallet.summary} · {_script_words(wallet)} · {wallet.network.value}"]
    if wallet.kind != "multisig":
        lines.append(f"policy      {wallet.template}")
        lines += [f"{way.where:<10}  {way.words}" for way in ways_to_spend(wallet)]
        nobody = unspendable_key(wallet)
        if nobody is not None:
            lines.append(f"key path    none: the internal key is {nobody}")
    for number, key in enumerate(wallet.keys, 1):
        called = key.name if key.name is not None else "(no name)"
        place = "" if wallet.kind == "multisig" else f" (@{number - 1})"
        lines.append(f"{f'key {number}{place}':<10}  [{key.origin}]  {called}")
    lines.append(f"checksum    {wallet.checksum}")
    lines += [
        f"{view.branch}/{view.index:<8}  {view.address}"
        for view in wallets.addresses(wallet, index=0, count=wallets.SHOWN_ADDRESSES)
    ]
    return lines


def _script_words(wallet: Wallet) -> str:
    if wallet.kind == "miniscript":
        return f"{wallet.script_type}, miniscript"
    if wallet.kind == "taproot":
        return wallet.script_type + (", sorted keys" if wallet.sorted else "")
    return f"{wallet.script_type}, {'sorted keys' if wallet.sorted else 'keys in this order'}"
