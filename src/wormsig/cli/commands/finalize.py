"""`wormsig finalize`: the Input Finalizer's and the Transaction Extractor's roles on a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wormsig.app.combining import finalize_psbt
from wormsig.app.context import sighash_types
from wormsig.app.files import check_output, write_file
from wormsig.app.loading import load_psbt
from wormsig.cli import options
from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.cli.console import Console


@click.command("finalize")
@options.psbt_argument
@click.option("--allow-sighash", multiple=True, metavar="TYPE", help="Accept this sighash type too. Repeat for more.")
@options.output_options
@options.console_options
def command(*, psbt: str, allow_sighash: tuple[str, ...], output: tuple[Path | None, bool], console: Console) -> None:
    """Turn a fully signed PSBT into a transaction, as hex on standard output.

    Every signature is verified first. -o keeps the finalized PSBT.
    """
    path, force = output
    check_output(path, force=force)
    final = finalize_psbt(load_psbt(psbt), allowed=sighash_types(allow_sighash))
    if path is not None:
        write_file(path, codec.serialize(final.psbt), force=force)
    transaction = final.transaction
    console.say(f"Transaction {transaction.txid}, {transaction.vsize} vB")
    text = transaction.serialize().hex()
    if console.as_json:
        console.emit({"event": "done", "txid": transaction.txid, "vsize": transaction.vsize, "transaction": text})
    else:
        console.result(text)
