"""`wormsig convert`: the same PSBT in the other version, for programs that read only one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import click

from wormsig.app.files import check_output, write_file
from wormsig.app.loading import load_psbt
from wormsig.cli import options
from wormsig.psbt import codec
from wormsig.psbt.convert import to_version_0, to_version_2

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.cli.console import Console


@click.command("convert")
@options.psbt_argument
@click.option(
    "--psbt-version", type=click.Choice(["0", "2"]), required=True, help="0 is BIP174, which every signer reads."
)
@options.output_options
@options.console_options
def command(*, psbt: str, psbt_version: str, output: tuple[Path | None, bool], console: Console) -> None:
    """Write a PSBT in version 0 or 2, the transaction and all that both versions have unchanged.

    Refused to version 0 while a PSBT says that inputs or outputs may still be added. It goes to -o FILE, else as base64
    to standard output.
    """
    path, force = output
    check_output(path, force=force)
    given = load_psbt(psbt)
    made = to_version_2(given) if psbt_version == "2" else to_version_0(given)
    raw = codec.serialize(made)
    if path is not None:
        write_file(path, raw, force=force)
    console.say(f"Version {given.version} to {made.version}, transaction {made.txid}")
    text = base64.b64encode(raw).decode("ascii")
    if console.as_json:
        console.emit({"event": "done", "txid": made.txid, "psbt": None if path else text})
    elif path is None:
        console.result(text)
