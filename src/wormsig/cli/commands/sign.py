"""`wormsig sign`: the Signer's role on a file."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import click

from wormsig.app.context import Sources
from wormsig.app.files import check_output, write_file
from wormsig.app.home import Home
from wormsig.app.loading import load_psbt, need_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.signing import open_signer, review_psbt, sign_file
from wormsig.cli import options
from wormsig.cli.passphrase import passphrases
from wormsig.cli.reviews import show_report
from wormsig.errors import RefusedError
from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.app.settings import PassphraseOptions, ReviewOptions, RpcOptions, WalletOptions
    from wormsig.cli.console import Console


@click.command("sign")
@options.psbt_argument
@click.option("--signer", required=True, metavar="SPEC", help="Who signs: key:FILE or core:WALLET.")
@options.output_options
@options.wallet_options
@options.rpc_options
@options.review_options
@options.passphrase_options
@options.asking_console_options
def command(
    *,
    psbt: str,
    signer: str,
    output: tuple[Path | None, bool],
    wallet_options: WalletOptions,
    rpc: RpcOptions,
    review_options: ReviewOptions,
    passphrase: PassphraseOptions,
    console: Console,
) -> None:
    """Review a PSBT, ask, and sign it.

    The signed PSBT goes to -o FILE, else as base64 to standard output. It is never finalized.
    """
    check_output(output[0], force=output[1])
    home = Home.from_environment()
    wallet = need_wallet(wallet_options, home)
    if not console.yes:
        console.need_person("signing", hint="use -y in a script")
    node = open_node(rpc, wallet.network)
    if node is not None:
        agree(node, wallet.network)
    original = load_psbt(psbt)
    opened = open_signer(signer, passphrases(passphrase), node)
    ready = opened.for_wallet(wallet)
    reviewed = review_psbt(original, wallet, review_options, Sources.of(home, node, unattended=console.yes))
    show_report(console, reviewed.report)
    if not reviewed.report.errors and not console.ask(f"Sign with {opened.label}?"):
        raise RefusedError("not signed")
    signed = codec.serialize(sign_file(reviewed, wallet, ready, "unattended" if console.yes else "person", home))
    if output[0] is not None:
        write_file(output[0], signed, force=output[1])
    if console.as_json:
        text = None if output[0] else base64.b64encode(signed).decode()
        console.emit({"event": "done", "psbt": text, "file": str(output[0]) if output[0] else None})
    elif output[0] is None:
        console.result(base64.b64encode(signed).decode())
