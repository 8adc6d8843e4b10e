"""`wormsig key`: software keys in encrypted files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from wormsig.app import keys
from wormsig.cli.options import console_options, network_choice, passphrase_options
from wormsig.cli.passphrase import passphrases
from wormsig.errors import UsageError
from wormsig.signers.secret import MAX_SECRET_TEXT

if TYPE_CHECKING:
    from wormsig.app.settings import PassphraseOptions
    from wormsig.bitcoin.network import Network
    from wormsig.cli.console import Console
    from wormsig.signers.secret import SecretKey
    from wormsig.wallet.model import ScriptKind

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_plain = click.option("--plain", is_flag=True, help="Do not encrypt. On regtest only.")
_force = click.option("--force", is_flag=True, help="Replace an existing file: the key in it is lost.")


@click.group()
def command() -> None:
    """Software keys in encrypted files.

    A key file is a small text in an age file with a passphrase: `age -d FILE` shows it. A passphrase comes from
    the terminal, --passphrase-file or --passphrase-fd, never from the command line or the environment.
    """


@command.command("new")
@_file
@_plain
@_force
@network_choice("The chain that the key is for; else mainnet.")
@passphrase_options
@console_options
def new(
    *, file: Path, plain: bool, force: bool, network: Network | None, passphrase: PassphraseOptions, console: Console
) -> None:
    """Make a master key and keep it in FILE.

    It has 24 BIP39 words; its fingerprint is printed. Without --network it is a key for mainnet.
    """
    secret = keys.create_key(file, network, passphrases(passphrase), plain=plain, force=force)
    _report(console, file, secret, plain=plain)
    console.say(f"Write its words down and keep them apart: wormsig key export {file}")


@command.command("import")
@_file
@_plain
@_force
@network_choice("The chain that the key is for; else mainnet. A tprv needs it.")
@passphrase_options
@console_options
def import_(
    *, file: Path, plain: bool, force: bool, network: Network | None, passphrase: PassphraseOptions, console: Console
) -> None:
    """Keep a key that you have in FILE; prints its fingerprint.

    The key is read from standard input: an xprv or tprv with or without [fingerprint/path], BIP39 words (without
    a BIP39 passphrase), or a descriptor with exactly one private key.
    """
    if passphrase.fd == 0:
        raise UsageError("standard input holds the key, so it cannot hold the passphrase too")
    text = _read_secret()
    secret = keys.import_key(file, text, network, passphrases(passphrase), plain=plain, force=force)
    _report(console, file, secret, plain=plain)


@command.command("show")
@_file
@click.option(
    "--script-type",
    type=click.Choice(["wsh", "sh-wsh", "sh", "tr"]),
    default="wsh",
    show_default=True,
    help="The wallet's kind of script. A master key is derived at m/48h/coin/ACCOUNT/2h for wsh,"
    " m/48h/coin/ACCOUNT/1h for sh-wsh (BIP48), m/48h/coin/ACCOUNT/3h for tr, m/45h for sh (BIP45).",
)
@click.option("--account", type=click.IntRange(0, (1 << 31) - 1), default=0, show_default=True, help="BIP48's account.")
@network_choice("Refuse a key that is for another chain.")
@passphrase_options
@console_options
def show(
    *,
    file: Path,
    script_type: ScriptKind,
    account: int,
    network: Network | None,
    passphrase: PassphraseOptions,
    console: Console,
) -> None:
    """Print the public key to give to cosigners.

    It is printed as [fingerprint/path]xpub/<0;1>/*. A key file that holds an account's key, not a master key, gives
    that account's key.
    """
    secret = keys.open_key_file(file, passphrases(passphrase), network)
    expression = keys.public_expression(secret, script_type, account)
    if not secret.is_master:
        console.say(f"{file} holds an account key, taken as it is: [{secret.origin}]")
    if console.as_json:
        console.emit(_describe(secret, script_type, account, expression))
    else:
        console.result(expression)


@command.command("export")
@_file
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@network_choice("Refuse a key that is for another chain.")
@passphrase_options
@console_options
def export(file: Path, yes: bool, network: Network | None, passphrase: PassphraseOptions, console: Console) -> None:
    """Print the secret itself: BIP39 words, or [fingerprint/path]xprv. Whoever sees it can sign."""
    console = structs.replace(console, yes=yes)
    if not console.ask(f"Show the secret of {file} on this terminal?"):
        console.say("Nothing was shown.")
        return
    secret = keys.open_key_file(file, passphrases(passphrase), network)
    text = secret.words if secret.words is not None else f"[{secret.origin}]{secret.key.text()}"
    if console.as_json:
        console.emit({"format": 1, "network": secret.network.value, "secret": text})
    else:
        console.result(text)


def _read_secret() -> str:
    """The key from standard input; from a terminal without echo."""
    if sys.stdin.isatty():
        text: str = click.prompt("The key (nothing is shown while you type)", hide_input=True, err=True)
        return text
    return keys.decode_standard_input(sys.stdin.buffer.read(4 * MAX_SECRET_TEXT))


def _report(console: Console, file: Path, secret: SecretKey, *, plain: bool) -> None:
    """The new file's fingerprint on standard output, the rest for the person."""
    kind = "not encrypted" if plain else "encrypted"
    what = "master key" if secret.is_master else f"account key [{secret.origin}]"
    console.say(f"{file}: {what} for {secret.network.value}, {kind}")
    if console.as_json:
        console.emit({"format": 1, "network": secret.network.value, "fingerprint": secret.origin.fingerprint.hex()})
    else:
        console.result(secret.origin.fingerprint.hex())


def _describe(secret: SecretKey, script_type: ScriptKind, account: int, expression: str) -> dict[str, Any]:
    origin, _ = secret.account(script_type, account)
    return {
        "format": 1,
        "network": secret.network.value,
        "fingerprint": secret.origin.fingerprint.hex(),
        "origin": str(origin),
        "script_type": script_type,
        "key": expression,
    }
