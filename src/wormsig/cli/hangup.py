"""The end of a command from outside: which signals mean it, and what to do when the terminal itself is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from wormsig.cli.streams import OutputError

_TERMINALS = tuple(fd for fd in (1, 2) if os.isatty(fd))
"""Looked at when the command starts: of a terminal that is gone nobody can say any more that it was one. Standard
input is left alone: the reactor may be watching it, and reading from it just ends."""


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, and SIGHUP unless whoever started the command had it ignored, as `nohup` does."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGHUP)


def hang_up(signum: int) -> None:
    """After SIGHUP put /dev/null where the terminal was: words for a closed window must not become failures."""
    if signum == signal.SIGHUP:
        _silence()


def terminal_is_gone() -> bool:
    """Whether the window was closed; then /dev/null is in its place. It shows before its signal arrives."""
    if all(os.isatty(descriptor) for descriptor in _TERMINALS):
        return False
    _silence()
    return True


def tell(text: str = "", *, nl: bool = True) -> None:
    """Write to standard error; that nobody is there to read it is no failure.

    Raises:
        OutputError: It cannot be written for another reason.
        BrokenPipeError: It is a pipe, and its other end was closed.
    """
    try:
        sys.stderr.write(f"{text}\n" if nl else text)
        sys.stderr.flush()
    except (OSError, OutputError):
        if not terminal_is_gone():
            raise


def _silence() -> None:
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in _TERMINALS:
            os.dup2(null, descriptor)
        os.close(null)
