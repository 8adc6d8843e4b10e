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


def _started(run: Callable[[], None], count: int) -> list[threading.Lock]:
    """Run something in as many more threads as the system gives; each one's lock is free once it has ended."""
    started: list[threading.Lock] = []

    def help_out(ended: threading.Lock) -> None:
        run()
        ended.release()

    for _ in range(count):
        ended = threading.Lock()
        ended.acquire()
        try:
            # Not `threading.Thread`: its `start` waits until the new thread runs, as long as eight verifications take.
            _thread.start_new_thread(help_out, (ended,))
        except RuntimeError:  # no more threads: fewer do it
            break
        started.append(ended)
    return started


def share_out(count: int, cost: float, work: Callable[[int, int], Result]) -> list[Result]:
    """Do some work in parts, in threads when there is enough of it.

    Args:
        count: How much there is.
        cost: Of one piece of it, in verifications of a signature (40 microseconds).
        work: Does the pieces from a number up to another, and has a result for them.

    Returns:
        The results of the parts, in order.

    Raises:
        Exception: Whatever `work` raised, the first part's first.
    """
    threads = min(_cores(), count, int(count * cost) // _WORTH_A_THREAD)
    if threads <= 1:
        return [work(0, count)]
    bounds = _bounds(count, cost, threads)
    parts = len(bounds) - 1
    waiting = deque(range(parts))
    done: dict[int, Result] = {}
    failed: dict[int, Exception] = {}

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

    helpers = _started(run, threads - 1)
    run()
    for ended in helpers:
        ended.acquire()
    if failed:
        raise failed[min(failed)]
    return [done[part] for part in range(parts)]
