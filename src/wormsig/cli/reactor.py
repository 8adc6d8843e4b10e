"""Runs one coroutine on Twisted's reactor and turns Ctrl-C, SIGTERM and SIGHUP into its cancellation.

The reactor's own signal handling ends a program with exit code 0; a script must see 130 or 143. A second signal
does not wait for goodbyes any more.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from wormsig.cli.failure import TerminatedError, write_log
from wormsig.cli.hangup import ending_signals, hang_up

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_COLLECT = 2_000  # new objects between two garbage collections; `cli.main` lets more pass while modules load


def _exit_at_once(signum: int) -> None:
    if signum != signal.SIGHUP:  # of a closed window the kernel and the shell may each send one
        os._exit(128 + signum)


def run_on_reactor(main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end.

    Args:
        main: Gets the reactor, gives the coroutine.

    Returns:
        What the coroutine returns.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the coroutine has cleaned up.
        TerminatedError: SIGTERM, or SIGHUP because the terminal was closed, likewise.
        Exception: What the coroutine raises.
    """
    from twisted.internet import defer  # noqa: PLC0415  loading Twisted takes a quarter of a second
    from twisted.python.failure import Failure  # noqa: PLC0415  same

    from wormsig.app.threads import the_reactor  # noqa: PLC0415  same
    from wormsig.transport.process import quiet_logs, steady_clock  # noqa: PLC0415  same

    reactor = the_reactor()
    steady_clock(reactor)
    quiet_logs(write_log)
    signals: list[int] = []
    result: list[Any] = []
    running: list[defer.Deferred[T]] = []

    def on_signal(signum: int, _frame: object) -> None:
        hang_up(signum)
        if signals:
            _exit_at_once(signum)
        signals.append(signum)
        reactor.callFromThread(cancel)

    def cancel() -> None:
        for each in running:
            each.cancel()

    def stop(value: Any) -> None:  # noqa: ANN401  the result, or a Failure
        result.append(value)
        reactor.stop()

    def start() -> None:
        running.append(defer.ensureDeferred(main(reactor)))
        running[0].addBoth(stop)

    before = {signum: signal.signal(signum, on_signal) for signum in (signal.SIGINT, *ending_signals())}
    reactor.callWhenRunning(start)
    gc.freeze()  # what was loaded stays
    gc.set_threshold(_COLLECT)
    try:
        reactor.run(installSignalHandlers=False)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    value = result[0]
    if isinstance(value, Failure):
        if signals:
            raise KeyboardInterrupt if signals[0] == signal.SIGINT else TerminatedError(signals[0])
        value.raiseException()
    outcome: T = value  # a signal that came too late to change anything changes nothing
    return outcome
