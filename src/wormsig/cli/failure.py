"""Failures to words and exit codes: one `error:` line, one `hint:` line where there is something to do.

A failure that is not a `WormsigError` is a bug: its traceback goes into a log file without the exception's own
text (which may quote a secret), one line goes to the screen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import signal
import sys
import traceback

import click

from wormsig.cli.hangup import tell
from wormsig.cli.streams import OutputError, at_margin, terminal_width
from wormsig.errors import ExitCode, WormsigError

_NOT_OURS = frozenset(
    (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)
)
"""What the system says of a file that it does not let us use, wherever that shows: no bug, and needs no traceback."""

ISSUES_HINT = "please report it with the log; wallets, keys and collected signatures are untouched"


class TerminatedError(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP; not an `Exception`, so that no handler on the way swallows it.

    Not a `KeyboardInterrupt` either: Click would write a line of its own and forget what is noted on this.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def print_failure(message: str, hint: str | None = None) -> None:
    """Print one `error:` line and perhaps one `hint:` line on standard error, escaped; a terminal gets them folded."""
    from wormsig.render.sanitize import sanitize  # noqa: PLC0415  only a failing command pays for it

    for label, text in (("error: ", message), ("hint: ", hint)):
        if text:
            safe = sanitize(text, 2000)
            with contextlib.suppress(OSError, OutputError):  # then the exit code has to say it alone
                tell(_folded(label, safe))


def _folded(label: str, text: str) -> str:
    width = terminal_width()
    if width is None:
        return f"{label}{text}"
    from wormsig.render.lines import folded  # noqa: PLC0415  same, and in a terminal only

    return folded(text, first=label, width=width)


def report_failure(failure: BaseException) -> int:  # noqa: PLR0911  one return per kind of failure
    """Tell the person about a failure and return the exit code."""
    if isinstance(failure, SystemExit):
        return failure.code if isinstance(failure.code, int) else int(ExitCode.BUG)
    if isinstance(failure, WormsigError):
        print_failure(failure.message, failure.hint)
        return int(failure.exit_code)
    if isinstance(failure, TerminatedError) and failure.signum != signal.SIGINT:
        print_failure("terminated", _note(failure))
        return int(ExitCode.TERMINATED)
    if isinstance(failure, (TerminatedError, KeyboardInterrupt, click.Abort)):
        if not at_margin():
            tell()
        print_failure("interrupted", _note(failure))
        return int(ExitCode.INTERRUPTED)
    if isinstance(failure, click.exceptions.NoArgsIsHelpError):
        tell(f"{failure.ctx.get_help() if failure.ctx else ''}\n")
        print_failure("a command is missing")
        return int(ExitCode.USAGE)
    if isinstance(failure, click.ClickException):
        print_failure(" ".join(failure.format_message().split()).rstrip("."), _usage_hint(failure))
        return int(ExitCode.USAGE)
    if isinstance(failure, click.exceptions.Exit):
        return failure.exit_code
    if isinstance(failure, OSError) and failure.filename is not None and failure.errno in _NOT_OURS:
        print_failure(f"cannot use {os.fsdecode(failure.filename)}: {failure.strerror}")
        return int(ExitCode.STORAGE)
    log = write_log(failure)
    where = f"; details are in {log}" if log else ""
    print_failure(f"this is a bug in wormsig ({type(failure).__name__}){where}", ISSUES_HINT)
    return int(ExitCode.BUG)


def _note(failure: BaseException) -> str | None:
    """What to do next, said by whoever knew it when the end came from outside."""
    return "; ".join(getattr(failure, "__notes__", ())) or None


def _usage_hint(failure: click.ClickException) -> str | None:
    ctx = getattr(failure, "ctx", None)
    return f"{ctx.command_path} --help" if isinstance(ctx, click.Context) else None


def write_log(failure: BaseException) -> str | None:
    """Append the traceback, without the exceptions' own texts, to the log in WORMSIG_HOME; its path or None."""
    from wormsig.app.home import Home  # noqa: PLC0415  only a bug pays for it

    lines: list[str] = []
    link: BaseException | None = failure
    while link is not None:
        lines += [
            *traceback.format_tb(link.__traceback__),
            f"{type(link).__module__}.{type(link).__qualname__}\n",
        ]
        link = link.__cause__ or link.__context__
    try:
        path = Home.from_environment().log_file()
        stamp = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as log:
            log.write(f"--- {stamp} wormsig {' '.join(sys.argv[1:2])}\n{''.join(lines)}")
    except (OSError, WormsigError):
        return None
    return str(path)
