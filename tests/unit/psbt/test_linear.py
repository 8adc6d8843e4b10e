"""Time and memory grow with the bytes and no faster, in both versions (THREATS C16)."""

from __future__ import annotations

import functools
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support.psbts import coins, spend
from wormsig.bitcoin.tx import OutPoint, TxInput
from wormsig.psbt import codec, unsigned
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.contribution import extract
from wormsig.psbt.convert import to_version_0, to_version_2
from wormsig.psbt.creator import create

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.psbt.model import Psbt

FEW, MANY = 250, 2_000
MODEL = spend(coins("wsh"), outputs=2, previous=False)


@functools.cache
def large(count: int, version: int) -> Psbt:
    """A payment with change from many coins, with scripts and key origins."""
    inputs = [TxInput(OutPoint(number.to_bytes(32, "big"), 1)) for number in range(count)]
    psbt = create(inputs, MODEL.tx.outputs, psbt_version=version)
    return psbt.with_inputs({n: {**psbt.inputs[n], **MODEL.inputs[0]} for n in range(count)})


def seconds(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(3):
        unsigned._parsed.cache_clear()
        codec._previous.clear()
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


@pytest.mark.parametrize("version", [0, 2])
def test_time_grows_as_the_bytes_do(version: int) -> None:
    few, many = (large(count, version) for count in (FEW, MANY))
    for work in (
        lambda psbt: parse(serialize(psbt)),
        lambda psbt: extract(psbt, psbt),
        lambda psbt: to_version_2(to_version_0(psbt)),
    ):
        # Eight times the bytes: a quadratic step would take sixty-four times as long.
        assert seconds(lambda: work(many)) < 24 * max(seconds(lambda: work(few)), 0.002)  # noqa: B023  # called at once


@pytest.mark.parametrize("version", [0, 2])
def test_memory_is_at_most_ten_times_the_bytes(version: int) -> None:
    raw = serialize(large(MANY, version))
    unsigned._parsed.cache_clear()
    tracemalloc.start()
    psbt = parse(raw)
    again = serialize(psbt)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert again == raw
    assert peak < 10 * len(raw)
