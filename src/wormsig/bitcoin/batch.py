"""Do many of the same at once, on every core: ctypes releases the interpreter lock while the library works.

It does not know what a signature or a key is: `points`, `secp`, `schnorr` and `ckd` hand in what is to be done.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item: TypeAlias = tuple[bytes, bytes, bytes]
"""Public key, digest and signature."""

Result = TypeVar("Result")

_WORTH_A_THREAD: Final = 6
"""Verifications that each thread has to have, a quarter of a millisecond: starting one takes half of that."""
_MAX_THREADS: Final = 8
_LEAST_PART: Final = 4
"""Verifications in the smallest part, a sixth of a millisecond: so long at most one core waits for another's last."""


def _cores() -> int:
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(count, _MAX_THREADS)


def _bounds(count: int, cost: float, threads: int) -> list[int]:
    """Where the parts begin, and where the last one ends.

    Each takes a share of what is left: few parts, and yet small ones at the end. Who is held up by something else on
    this machine takes fewer of them.
    """
    least = max(1, min(round(_LEAST_PART / cost), count // threads))
    bounds = [0]
    while bounds[-1] < count:
        left = count - bounds[-1]
        bounds.append(bounds[-1] + min(left, max(least, left // (4 * threads))))
    return bounds


class _Helper:
    """A thread that waits for work, one piece after another, until the process ends.

    Not `threading.Thread`, whose `start` waits until the new thread runs, as long as eight verifications take; nor a
    new thread for each work, whose stack and buffers are pages of memory that nobody has touched yet.

    Raises:
        RuntimeError: The system gives no more threads.
    """

    __slots__ = ("_begun", "_task")

    def __init__(self) -> None:
        self._begun = threading.Lock()
        self._begun.acquire()
        self._task: tuple[Callable[[], None], threading.Lock] | None = None
        _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        while True:
            self._begun.acquire()
            self._once()

    def _once(self) -> None:
        """Do what there is to do, and forget it: it may know of keys."""
        task, self._task = self._task, None
        if task is None:
            return
        run, ended = task
        run()
        _idle.append(self)  # before anybody knows of it, who may have more to do at once
        ended.release()

    def begin(self, run: Callable[[], None]) -> threading.Lock:
        """Let it run something that raises nothing; the lock is free once that has ended."""
        ended = threading.Lock()
        ended.acquire()
        self._task = run, ended
        self._begun.release()
        return ended


_idle: deque[_Helper] = deque()
if hasattr(os, "register_at_fork"):  # not on Windows, where there is no fork
    os.register_at_fork(after_in_child=_idle.clear)  # threads stay with the parent


def _helped(run: Callable[[], None], count: int) -> list[threading.Lock]:
    """Let as many more threads run something as the system gives; each one's lock is free once it has ended."""
    ends: list[threading.Lock] = []
    for _ in range(count):
        try:
            helper = _idle.pop()
        except IndexError:
            try:
                helper = _Helper()
            except RuntimeError:  # no more threads: fewer do it
                break
        ends.append(helper.begin(run))
    return ends


def share_out(count: int, cost: float, work: Callable[[int, int], Result]) -> list[Result]:
    """Do some work in parts, in threads when there is enough of it.

    Args:
        count: How much there is.
        cost: Of one piece of it, in verifications of a signature (40 microseconds).
        work: Does the pieces from a number up to another, and has a result for them.

    Returns:
        The results of the parts, in order.

    Raises:
        BaseException: Whatever `work` raised, the first part's first. An interrupt waits for no part but those that are
            being done.
    """
    threads = min(_cores(), count, int(count * cost) // _WORTH_A_THREAD)
    if threads <= 1:
        return [work(0, count)]
    bounds = _bounds(count, cost, threads)
    parts = len(bounds) - 1
    waiting = deque(range(parts))
    done: dict[int, Result] = {}
    failed: dict[int, BaseException] = {}

    def run() -> None:
        while True:
            try:
                part = waiting.popleft()
            except IndexError:
                return
            try:
                done[part] = work(bounds[part], bounds[part + 1])
            except Exception as error:  # noqa: BLE001  # raised again in the caller's thread
                failed[part] = error
            except BaseException as error:  # noqa: BLE001  # the same, and nobody goes on
                failed[part] = error
                waiting.clear()

    ends = _helped(run, threads - 1)
    run()
    for ended in ends:
        ended.acquire()
    if failed:
        raise failed[min(failed)]
    return [done[part] for part in range(parts)]
