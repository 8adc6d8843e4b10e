from __future__ import annotations

import _thread
import itertools
import os
import signal
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from wormsig.bitcoin import batch
from wormsig.bitcoin.batch import share_out

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("count", [0, 1, 2, 7, 11, 12, 1000])
def test_every_piece_is_done_once_and_in_order(count: int) -> None:
    parts = share_out(count, 1, lambda first, last: list(range(first, last)))
    assert [number for part in parts for number in part] == list(range(count))


def test_little_work_stays_in_this_thread() -> None:
    here = threading.get_ident()
    assert share_out(11, 1, lambda *_: threading.get_ident()) == [here]
    assert share_out(110, 0.1, lambda *_: threading.get_ident()) == [here]


def test_no_more_threads_than_have_a_quarter_of_a_millisecond_of_work_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 8)
    together, begun = threading.Barrier(4, timeout=30), itertools.count()

    def work(*_: int) -> int:
        if next(begun) < 4:
            together.wait()
            time.sleep(0.2)  # a fifth thread would take what is left
        return threading.get_ident()

    parts = share_out(24, 1, work)
    assert len(parts) > 4
    assert len(set(parts)) == 4


@pytest.mark.parametrize(
    ("cores", "count", "cost", "most"), [(2, 160, 1, 20), (2, 1000, 0.1, 125), (8, 48, 1, 4), (2, 1000, 2.5, 125)]
)
def test_parts_get_smaller_and_are_no_fewer_than_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, count: int, cost: float, most: int
) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: cores)
    sizes = share_out(count, cost, lambda first, last: last - first)
    assert sum(sizes) == count
    assert len(sizes) >= cores
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == most
    assert sizes[-1] * cost <= 4


def test_one_core_does_it_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 1)
    assert share_out(160, 1, lambda first, last: last - first) == [160]


def test_every_core_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 3)
    together, begun = threading.Barrier(3, timeout=30), itertools.count()

    def work(*_: int) -> int:
        if next(begun) < 3:
            together.wait()  # nobody is done before two others are at it as well
        return threading.get_ident()

    assert len(set(share_out(1000, 1, work))) == 3


def test_where_no_thread_can_be_started_this_one_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(batch, "_cores", lambda: 3)
    monkeypatch.setattr(batch, "_idle", deque())
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    parts = share_out(1000, 1, lambda first, last: list(range(first, last)))
    assert [number for part in parts for number in part] == list(range(1000))


def threads_of(count: int) -> set[int]:
    """The threads that share some work out, when so many have to be at it at once."""
    together, begun = threading.Barrier(count, timeout=30), itertools.count()

    def work(*_: int) -> int:
        if next(begun) < count:
            together.wait()
        return threading.get_ident()

    return set(share_out(1000, 1, work))


def test_threads_are_kept_for_the_next_work_and_know_nothing_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 3)
    monkeypatch.setattr(batch, "_idle", deque())
    assert threads_of(3) == threads_of(3) == threads_of(3)
    assert [helper._task for helper in batch._idle] == [None, None]


def test_work_within_work_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 2)
    inner = share_out(40, 1, lambda *_: [n for part in share_out(40, 1, range) for n in part])
    assert all(found == list(range(40)) for found in inner)


def test_a_failure_leaves_the_threads_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 2)
    monkeypatch.setattr(batch, "_idle", deque())
    before = threads_of(2)
    with pytest.raises(ZeroDivisionError):
        share_out(1000, 1, lambda first, _: 1 // first)
    assert threads_of(2) == before


def test_who_is_interrupted_leaves_the_threads_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 2)
    monkeypatch.setattr(batch, "_idle", deque())
    before, here = threads_of(2), threading.get_ident()

    def work(*_: int) -> None:
        if threading.get_ident() == here:
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            share_out(1000, 1, work)
        until(lambda: len(batch._idle) == 1)
    assert threads_of(2) == before


def test_an_interrupt_in_any_thread_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 2)
    monkeypatch.setattr(batch, "_idle", deque())
    here, raised, done = threading.get_ident(), threading.Event(), itertools.count()

    def work(*_: int) -> None:
        if threading.get_ident() != here:
            raised.set()
            raise SystemExit(7)
        assert raised.wait(30)
        next(done)
        time.sleep(0.05)

    with pytest.raises(SystemExit) as caught:
        share_out(1000, 1, work)
    assert caught.value.code == 7
    assert next(done) <= 2
    assert len(batch._idle) == 1


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_fork_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's are not there, and waiting for one would be for ever."""
    monkeypatch.setattr(batch, "_cores", lambda: 2)
    threads_of(2)
    child = os.fork()
    if not child:
        try:
            os._exit(0 if len(threads_of(2)) == 2 else 1)
        finally:
            os._exit(2)
    end = time.monotonic() + 30
    found = (0, 0)
    while not found[0] and time.monotonic() < end:
        found = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not found[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert found == (child, 0)


def test_the_first_failure_is_raised_when_all_is_done() -> None:
    done: list[int] = []

    def work(first: int, last: int) -> None:
        done.extend(range(first, last))
        if first:
            raise ValueError(first)

    with pytest.raises(ValueError, match=r"\d+") as caught:
        share_out(1000, 1, work)
    assert sorted(done) == list(range(1000))
    assert int(str(caught.value)) <= 500
