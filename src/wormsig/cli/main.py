"""The `wormsig` command: the table of commands, and what happens when one of them fails."""

from __future__ import annotations

import difflib
import gc
import importlib
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from wormsig import __version__
from wormsig.cli.failure import TerminatedError, report_failure
from wormsig.cli.hangup import ending_signals, hang_up
from wormsig.cli.streams import drop_unwritten, interrupted, open_streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

# Name -> what `wormsig --help` says. The module is commands/<name>.py, imported only when the command is used.
COMMANDS: dict[str, str] = {
    "send": "Send a PSBT to the cosigners, collect their signatures, broadcast.",
    "receive": "Receive a PSBT, review it, sign it, send the signatures back.",
    "create": "Make a PSBT that spends from a wallet, through a node.",
    "inspect": "Show the review of a PSBT, without signing.",
    "sign": "Sign a PSBT in a file.",
    "combine": "Take the new signatures out of returned PSBTs.",
    "convert": "Write a PSBT in the other PSBT version.",
    "finalize": "Turn a fully signed PSBT into a transaction.",
    "broadcast": "Check a transaction and hand it to the node.",
    "wallet": "Agree on a wallet, keep it, check it.",
    "key": "Software keys in encrypted files.",
    "status": "List the ceremonies on this machine.",
    "resume": "Go on with a ceremony, in either role.",
    "cancel": "Give a ceremony up, and tell whoever is connected.",
    "receipt": "What a ceremony left, to show, print or compare.",
    "relay": "Run your own mailbox server.",
    "demo": "A whole 2-of-3 ceremony on this machine, with real parts.",
}

_LOADING = 200_000
"""How many new objects the garbage collector lets pass while modules load: those stay, and looking at them again and
again took a fifth of a short command's time. Once the reactor runs (`cli.reactor`), it collects as usual."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  Click's signature
        """The commands in the order of the table, which is the order people need them in."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  same
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"wormsig.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101  a module without one is our bug
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click does it; a name that is nearly one of the table gets that one named."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            raise click.UsageError(f"no such command: {name}{f'; did you mean {near[0]}?' if near else ''}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  Click's signature
        """As Click does it, which would make 1, a bug, of a closed pipe: nobody reads any more, and we are done."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  same
        """The table itself, so that help imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="wormsig", message="%(prog)s %(version)s")
def cli() -> None:
    """Multisig PSBT exchange over Magic Wormhole.

    Results go to standard output, everything else to standard error. WORMSIG_HOME puts wallets and journal
    into one folder.
    """


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  signal's signature
    hang_up(signum)
    raise TerminatedError(signum)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  same
    interrupted()
    raise TerminatedError(signum)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code (docs/exit-codes.md)."""
    gc.set_threshold(_LOADING)
    for signum in ending_signals():
        signal.signal(signum, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # of a command in the background it is ignored
        signal.signal(signal.SIGINT, _interrupt)
    code: Any = 0
    try:
        open_streams()
        # None, not 0, is what a command without a result returns: Click's own exits (--help) return their code.
        code = cli.main(args=None if argv is None else list(argv), prog_name="wormsig", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # `wormsig … | head`, at the last flush: no failure of ours
        code = 0
    except BaseException as failure:  # noqa: BLE001  the outermost frame: every failure becomes an exit code
        code = report_failure(failure)
    drop_unwritten()
    gc.freeze()  # the interpreter's last collection need not look at what goes with the process
    sys.exit(code if isinstance(code, int) else 0)
