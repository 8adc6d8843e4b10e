from __future__ import annotations

import itertools

import pytest

from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput
from wormsig.errors import PsbtError
from wormsig.psbt import unsigned
from wormsig.psbt.creator import create
from wormsig.psbt.limits import MAX_INPUTS, MAX_OUTPUTS
from wormsig.psbt.unsigned import FALLBACK_LOCKTIME, REQUIRED_HEIGHT, REQUIRED_TIME, assembled, locktime

TIMES = (None, 1_600_000_000, 1_700_000_000)
HEIGHTS = (None, 100, 200)


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def fields(time: int | None, height: int | None) -> dict[bytes, bytes]:
    asked = {REQUIRED_TIME: time, REQUIRED_HEIGHT: height}
    return {key: number(value) for key, value in asked.items() if value is not None}


def by_the_letter(asked: list[tuple[int | None, int | None]], fallback: int) -> int | None:
    """BIP370's words, one after the other."""
    with_any = [each for each in asked if each != (None, None)]
    if not with_any:
        return fallback
    if all(height is not None for _, height in with_any):
        return max(height for _, height in with_any if height is not None)
    if all(time is not None for time, _ in with_any):
        return max(time for time, _ in with_any if time is not None)
    return None


def test_locktimes_of_every_mixture_are_what_the_bip_says() -> None:
    kinds = list(itertools.product(TIMES, HEIGHTS))
    undetermined = 0
    for asked in itertools.chain([()], *(itertools.product(kinds, repeat=count) for count in (1, 2, 3))):
        expected = by_the_letter(list(asked), 7)
        inputs = [fields(*each) for each in asked]
        if expected is None:
            undetermined += 1
            with pytest.raises(PsbtError, match="no locktime satisfies both"):
                locktime({FALLBACK_LOCKTIME: number(7)}, inputs)
        else:
            assert locktime({FALLBACK_LOCKTIME: number(7)}, inputs) == expected
    assert undetermined == 176


def test_the_later_of_the_two_that_exclude_each_other_is_named() -> None:
    height, time = fields(None, 5), fields(TIMES[1], None)
    for inputs, place in (
        ([height, {}, time], "input 2|PSBT_IN_REQUIRED_TIME_LOCKTIME"),
        ([time, fields(TIMES[1], 5), height], "input 2|PSBT_IN_REQUIRED_HEIGHT_LOCKTIME"),
    ):
        with pytest.raises(PsbtError, match="where input 0 requires a") as caught:
            locktime({}, inputs)
        assert f"{caught.value.where}|{caught.value.field}" == place


def test_without_any_field_the_locktime_is_0_and_the_sequence_final() -> None:
    point = OutPoint(bytes(range(32)), 7)
    inputs = [unsigned.input_fields(TxInput(point))]
    assert unsigned.SEQUENCE not in inputs[0]
    tx = assembled({unsigned.TX_VERSION: number(2)}, inputs, [unsigned.output_fields(TxOutput(-1, b"\x51"))])
    assert (tx.version, tx.locktime, tx.inputs) == (2, 0, (TxInput(point, b"", 0xFFFF_FFFF),))
    assert tx.outputs == (TxOutput(-1, b"\x51"),)


@pytest.mark.parametrize(("inputs", "outputs"), [(MAX_INPUTS + 1, 0), (0, MAX_OUTPUTS + 1), (2**63, 1)])
def test_c16_more_than_a_block_holds(inputs: int, outputs: int) -> None:
    with pytest.raises(PsbtError, match="more than a block can hold") as caught:
        unsigned.check_counts(inputs, outputs)
    assert caught.value.field == f"PSBT_GLOBAL_{'INPUT' if inputs > 1 else 'OUTPUT'}_COUNT"


def test_maps_that_lack_what_makes_a_transaction_are_refused_by_name() -> None:
    psbt = create([TxInput(OutPoint(bytes(32), 0))], [TxOutput(1, b"")], psbt_version=2)
    for attempt, place in (
        (lambda: psbt.with_input(0, {}), "input 0|PSBT_IN_PREVIOUS_TXID"),
        (lambda: psbt.with_output(0, {}), "output 0|PSBT_OUT_SCRIPT"),
        (lambda: psbt.with_global({}), "global map|PSBT_GLOBAL_TX_VERSION"),
    ):
        with pytest.raises(PsbtError, match="is missing") as caught:
            attempt()
        assert f"{caught.value.where}|{caught.value.field}" == place
