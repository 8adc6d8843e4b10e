"""Do many of the same at once, on every core: ctypes releases the interpreter lock while the library works.

It does not know what a signature or a key is: `secp` and `schnorr` hand in their own verification, `ckd` its steps.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item: TypeAlias = tuple[bytes, bytes, bytes]
"""Public key, digest and signature."""
Verification: TypeAlias = "Callable[[bytes, bytes, bytes], bool]"

Result = TypeVar("Result")

_THREADED_FROM: Final = 48
"""Below so many calls of the library (1.5 ms) starting threads costs more than it gains."""
_MAX_THREADS: Final = 8


def _cores() -> int:
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(count, _MAX_THREADS)


def verify_all(parts: Sequence[tuple[Verification, Sequence[Item]]]) -> list[list[bool]]:
    """Verify every item of every part, in threads when there are enough of them in all.

    Args:
        parts: How to verify, and what.

    Returns:
        For each part one answer an item, in order. What was not verified is False.
    """
    total = sum(len(items) for _, items in parts)
    threads = _cores() if total >= _THREADED_FROM else 1
    if threads == 1:
        return [[verify(*item) for item in items] for verify, items in parts]
    answers = [[False] * len(items) for _, items in parts]

    def work(first: int) -> None:
        for (verify, items), found in zip(parts, answers, strict=True):
            for number in range(first, len(items), threads):
                found[number] = verify(*items[number])

    helpers = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(1, threads)]
    for helper in helpers:
        helper.start()
    work(0)
    for helper in helpers:
        helper.join()
    return answers


def share_out(count: int, calls: int, work: Callable[[int, int], Result]) -> list[Result]:
    """Do some work in equal parts, in threads when there is enough of it.

    Args:
        count: How much there is.
        calls: Of the library, for one piece of it.
        work: Does the pieces from a number up to another, and has a result for them.

    Returns:
        The results of the parts, in order.

    Raises:
        Exception: Whatever `work` raised, the first part's first.
    """
    parts = min(_cores(), count) if count * calls >= _THREADED_FROM else 1
    if parts <= 1:
        return [work(0, count)]
    bounds = [count * part // parts for part in range(parts + 1)]
    done: dict[int, Result] = {}
    failed: dict[int, Exception] = {}

    def run(part: int) -> None:
        try:
            done[part] = work(bounds[part], bounds[part + 1])
        except Exception as error:  # noqa: BLE001  # raised again in the caller's thread
            failed[part] = error

    helpers = [threading.Thread(target=run, args=(part,), daemon=True) for part in range(1, parts)]
    for helper in helpers:
        helper.start()
    run(0)
    for helper in helpers:
        helper.join()
    if failed:
        raise failed[min(failed)]
    return [done[part] for part in range(parts)]
