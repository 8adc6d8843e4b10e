"""Blocking work beside the reactor: node calls, signers, the verification of an answer.

Daemon threads rather than the reactor's pool: a device that nobody touches, or a node that hangs, must not keep the
process from ending.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from twisted.internet import defer
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
T = TypeVar("T")


def the_reactor() -> Any:  # noqa: ANN401  it has many interfaces and no one type
    """Twisted's reactor. Importing it installs it, which takes time: only when it is to run."""
    from twisted.internet import reactor  # noqa: PLC0415  see above

    return reactor


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> defer.Deferred[T]:
    """Run a blocking function in a daemon thread.

    Returns:
        A Deferred of its result. Cancelling it gives up waiting; the thread runs on and its result is dropped.
    """
    reactor = the_reactor()
    done: defer.Deferred[T] = defer.Deferred(lambda _: None)

    def finish(result: Any) -> None:  # noqa: ANN401  the result, or a Failure
        if not done.called:
            done.callback(result)

    def run() -> None:
        try:
            result: Any = function(*args, **kwargs)
        except BaseException:  # noqa: BLE001  whatever it is, it belongs to whoever waits
            result = Failure()  # type: ignore[no-untyped-call]
        reactor.callFromThread(finish, result)

    threading.Thread(target=run, daemon=True, name="wormsig-work").start()
    return done


async def first_of(*waits: Awaitable[Any], tidily: bool = False) -> tuple[int, Any]:
    """Wait for the first to end; the others are cancelled.

    Args:
        waits: What to wait for.
        tidily: Also wait until the others have cleaned up.

    Returns:
        Its index and its result.

    Raises:
        Exception: The first that ended, failed.
    """
    deferreds = [defer.ensureDeferred(_coroutine(wait)) for wait in waits]
    done: defer.Deferred[tuple[int, Any]] = defer.Deferred()

    def ended(result: Any, index: int) -> None:  # noqa: ANN401  the result, or a Failure
        if not done.called:
            done.callback(result if isinstance(result, Failure) else (index, result))

    for index, each in enumerate(deferreds):
        each.addBoth(ended, index)
    try:
        return await done
    finally:
        for each in deferreds:
            each.cancel()
        if tidily:
            await defer.DeferredList(deferreds, consumeErrors=True)


async def _coroutine(wait: Awaitable[T]) -> T:
    return await wait


class Changed:
    """A condition to wait for: every `wait` ends at the next `fire`, one turn of the reactor later.

    Later, so that whoever fires is never ended by those it wakes while it still has something to say.
    """

    def __init__(self) -> None:
        self._waiting: list[defer.Deferred[None]] = []

    def fire(self) -> None:
        """Wake everybody who waits."""
        waiting, self._waiting = self._waiting, []

        def wake() -> None:
            for each in waiting:
                if not each.called:
                    each.callback(None)

        the_reactor().callLater(0, wake)

    def wait(self) -> defer.Deferred[None]:
        """A Deferred that ends at the next `fire`."""
        each: defer.Deferred[None] = defer.Deferred(self._forget)
        self._waiting.append(each)
        return each

    def _forget(self, each: defer.Deferred[None]) -> None:
        if each in self._waiting:
            self._waiting.remove(each)
