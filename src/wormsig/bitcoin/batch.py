"""Do many of the same at once, on every core: ctypes releases the interpreter lock while the library works.

It does not know what a signature or a key is: `points`, `secp`, `schnorr` and `ckd` hand in what is to be done.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item: TypeAlias = tuple[bytes, bytes, bytes]
"""Public key, digest and signature."""

Result = TypeVar("Result")

_THREADED_FROM: Final = 24
"""Below the cost of so many verifications (1 ms) starting threads costs more than it gains."""
_MAX_THREADS: Final = 8
_PART: Final = 16
"""Verifications in a part, two thirds of a millisecond: who is held up by something else on this machine takes fewer
parts, and at the end nobody waits long for the last one."""


def _cores() -> int:
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(count, _MAX_THREADS)


def share_out(count: int, cost: float, work: Callable[[int, int], Result]) -> list[Result]:
    """Do some work in small equal parts, in threads when there is enough of it.

    Args:
        count: How much there is.
        cost: Of one piece of it, in verifications of a signature (40 microseconds).
        work: Does the pieces from a number up to another, and has a result for them.

    Returns:
        The results of the parts, in order.

    Raises:
        Exception: Whatever `work` raised, the first part's first.
    """
    threads = min(_cores(), count) if count * cost >= _THREADED_FROM else 1
    if threads <= 1:
        return [work(0, count)]
    parts = min(max(threads, int(count * cost / _PART)), count)
    bounds = [count * part // parts for part in range(parts + 1)]
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

    helpers = [threading.Thread(target=run, daemon=True) for _ in range(1, threads)]
    for helper in helpers:
        helper.start()
    run()
    for helper in helpers:
        helper.join()
    if failed:
        raise failed[min(failed)]
    return [done[part] for part in range(parts)]
