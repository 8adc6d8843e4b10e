"""`wormsig demo`: a whole 2-of-3 ceremony on this machine."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wormsig.cli import options
from wormsig.cli.failure import TerminatedError
from wormsig.errors import UsageError

if TYPE_CHECKING:
    from wormsig.cli.console import Console

_COLORS = {"alice": "cyan", "bob": "green", "carol": "magenta"}


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep everything there; it must not exist yet. Default: a new temporary folder.",
)
@options.console_options
def command(*, folder: Path | None, console: Console) -> None:
    """A whole 2-of-3 ceremony on this machine: real mailbox server, real bitcoind, three people.

    Shows what each of them sees. Prints the txid, which is in a block of the private chain.
    """
    from wormsig.app.demo import PEOPLE, Demo  # noqa: PLC0415  brings the node's client

    if folder is not None:
        if folder.exists():
            raise UsageError(f"{folder} exists", hint="name a folder that does not")
        folder.mkdir(mode=0o700, parents=True)
        stage = folder.absolute()
    else:
        stage = Path(tempfile.mkdtemp(prefix="wormsig-demo-"))
    width = max(map(len, PEOPLE))
    lock = threading.Lock()

    def show(who: str, line: str) -> None:
        name = click.style(f"{who:<{width}} │", fg=_COLORS.get(who)) if console.color else f"{who:<{width}} │"
        with lock:
            console.say(f"{name} {line}" if who else f"\n{line}" if line[:1].isdigit() else line)

    try:
        with Demo(stage, show) as demo:
            outcome = demo.run()
    except TerminatedError:
        if folder is None:
            shutil.rmtree(stage, ignore_errors=True)
        raise
    console.say(f"\nConfirmed in block {outcome.block}.")
    console.say(f"Keys, wallets, journals and the PSBT are in {stage}")
    if console.as_json:
        console.emit(
            {
                "event": "done",
                "txid": outcome.txid,
                "block": outcome.block,
                "confirmations": outcome.confirmations,
                "folder": str(stage),
            }
        )
    else:
        console.result(outcome.txid)
