"""Runs one coroutine on Twisted's reactor and turns Ctrl-C, SIGTERM and SIGHUP into its cancellation.

The reactor's own signal handling ends a program with exit code 0; a script must see 130 or 143. A second signal
does not wait for goodbyes any more.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wormsig.cli.failure import TerminatedError, write_log
from wormsig.cli.hangup import ending_signals, hang_up
from wormsig.cli.streams import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

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
        TerminatedError: Ctrl-C, SIGTERM, or SIGHUP because the terminal was closed; the coroutine has cleaned up.
        Exception: What the coroutine raises.
    """
    from wormsig.app.threads import the_reactor  # noqa: PLC0415  loading Twisted takes a quarter of a second
    from wormsig.transport.process import quiet_logs, steady_clock  # noqa: PLC0415  same

    reactor = the_reactor()
    steady_clock(reactor)
    quiet_logs(write_log)
    run = _Run(reactor, main)
    before = {signum: signal.signal(signum, run.on_signal) for signum in (signal.SIGINT, *ending_signals())}
    reactor.callWhenRunning(run.start)
    gc.freeze()  # what was loaded stays
    gc.set_threshold(_COLLECT)
    try:
        reactor.run(installSignalHandlers=False)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return run.result()


class _Run(Generic[T]):
    """One coroutine on the reactor, and the signals that came meanwhile.

    Args:
        reactor: Twisted's; it stops when the coroutine ends.
        main: Gets the reactor, gives the coroutine.
    """

    def __init__(self, reactor: Any, main: Callable[[Any], Coroutine[Any, Any, T]]) -> None:  # noqa: ANN401  no one type
        self._reactor = reactor
        self._main = main
        self._signals: list[int] = []
        self._running: Deferred[T] | None = None
        self._ended: list[T | Failure] = []

    def start(self) -> None:
        """Begin; called by the reactor."""
        from twisted.internet.defer import ensureDeferred  # noqa: PLC0415  see above

        self._running = ensureDeferred(self._main(self._reactor))
        self._running.addBoth(self._stop)

    def _stop(self, result: T | Failure) -> None:
        self._ended.append(result)
        self._reactor.stop()

    def on_signal(self, signum: int, _frame: object) -> None:
        """Cancel the coroutine; a second signal ends the process."""
        hang_up(signum)
        if signum == signal.SIGINT:
            interrupted()
        if self._signals:
            _exit_at_once(signum)
        self._signals.append(signum)
        self._reactor.callFromThread(self._cancel)

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def result(self) -> T:
        """What came of it. A signal that came too late to change anything changes nothing."""
        from twisted.python.failure import Failure  # noqa: PLC0415  see above

        result = self._ended[0]
        if isinstance(result, Failure):
            if self._signals:
                raise TerminatedError(self._signals[0])
            result.raiseException()
        return result
