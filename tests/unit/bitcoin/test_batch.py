from __future__ import annotations

import threading

import pytest

from wormsig.bitcoin import batch
from wormsig.bitcoin.batch import share_out


@pytest.mark.parametrize("count", [0, 1, 2, 7, 23, 24, 1000])
def test_every_piece_is_done_once_and_in_order(count: int) -> None:
    parts = share_out(count, 1, lambda first, last: list(range(first, last)))
    assert [number for part in parts for number in part] == list(range(count))


def test_little_work_stays_in_this_thread() -> None:
    here = threading.get_ident()
    assert share_out(23, 1, lambda *_: threading.get_ident()) == [here]
    assert share_out(230, 0.1, lambda *_: threading.get_ident()) == [here]


@pytest.mark.parametrize(
    ("cores", "count", "cost", "parts"), [(2, 160, 1, 10), (2, 1000, 0.1, 6), (8, 24, 1, 8), (1, 160, 1, 1)]
)
def test_parts_are_small_and_no_fewer_than_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, count: int, cost: float, parts: int
) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: cores)
    sizes = share_out(count, cost, lambda first, last: last - first)
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1


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
