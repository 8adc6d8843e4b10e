"""The end of a command from outside: which signals mean it, and what to do when the terminal itself is gone."""

from __future__ import annotations

import contextlib
import os
import signal

_TERMINALS = tuple(fd for fd in (0, 1, 2) if os.isatty(fd))
"""Looked at when the command starts: of a terminal that is gone nobody can say any more that it was one."""


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, and SIGHUP unless whoever started the command had it ignored, as `nohup` does."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGHUP)


def hang_up(signum: int) -> None:
    """After SIGHUP put /dev/null where the terminal was: words for a closed window must not become failures."""
    if signum != signal.SIGHUP:
        return
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in _TERMINALS:
            os.dup2(null, descriptor)
        os.close(null)
