"""What a process that runs the reactor sets up once: a clock that nobody can turn back, and quiet streams."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.logger import globalLogBeginner

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.logger import LogEvent


def steady_clock(reactor: Any) -> None:  # noqa: ANN401  the reactor has many interfaces and no one type
    """Let the reactor's timers run by a clock that cannot jump; call it before any timer is set.

    Twisted counts by the wall clock: when somebody corrects that, every time limit ends at once, or never. The
    monotonic clock also stands still while a laptop sleeps.
    """
    reactor.seconds = time.monotonic


def quiet_logs(on_failure: Callable[[BaseException], object]) -> None:
    """Keep Twisted and its libraries from writing to standard error; call it once per process.

    Args:
        on_failure: Called with each exception that nobody handled. It may quote what a peer or a relay sent.
    """

    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure") or event.get("failure")  # the new and the old way to log one
        if failure is not None:
            on_failure(failure.value)

    observer: Any = observe

    globalLogBeginner.beginLoggingTo([observer], discardBuffer=True, redirectStandardIO=False)
