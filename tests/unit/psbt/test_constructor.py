from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.psbts import coin, coins, spend
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput
from wormsig.errors import PsbtError
from wormsig.psbt import constructor, updater
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.creator import create
from wormsig.psbt.modifiable import TX_MODIFIABLE, Modifiable, modifiable, with_modifiable
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.unsigned import INPUT_COUNT, OUTPUT_COUNT, TX_VERSION
from wormsig.psbt.verify import check_signatures

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.psbt.model import Psbt

BOTH = Modifiable.INPUTS | Modifiable.OUTPUTS
ALL_FLAGS = BOTH | Modifiable.HAS_SINGLE
COINS = coins("wsh", "wpkh", "sh-wsh")
OPEN = spend(COINS, outputs=3, psbt_version=2, modifiable=BOTH)
OTHER = TxInput(OutPoint(coin("wsh", 9).previous.txid_bytes, 1))
OUTPUT = TxOutput(1_234, b"\x51")
TIME, HEIGHT = 1_700_000_000, 800_000


def signed(index: int, sighash: int, flags: Modifiable = ALL_FLAGS) -> Psbt:
    """OPEN with one signature, and with flags that say more than it allows."""
    return with_modifiable(sign_inputs(OPEN, {index: COINS[index].secrets(0)}, sighash_type=sighash), flags)


def refused(attempt: Callable[[], object], words: str) -> PsbtError:
    with pytest.raises(PsbtError, match=words) as caught:
        attempt()
    return caught.value


def test_a_transaction_is_built_from_nothing() -> None:
    psbt = create([], [], psbt_version=2, modifiable=BOTH)
    assert parse(serialize(psbt)) == psbt
    point = OutPoint(bytes(32), 3)
    psbt = constructor.add_output(constructor.add_input(psbt, TxInput(point, sequence=5)), OUTPUT)
    psbt = constructor.add_input(psbt, OTHER, at=0)
    psbt = constructor.add_output(psbt, TxOutput(1, b""), at=0)
    assert [txin.outpoint for txin in psbt.tx.inputs] == [OTHER.outpoint, point]
    assert [txin.sequence for txin in psbt.tx.inputs] == [0xFFFF_FFFF, 5]
    assert psbt.tx.outputs == (TxOutput(1, b""), OUTPUT)
    assert (psbt.global_map[INPUT_COUNT], psbt.global_map[OUTPUT_COUNT]) == (b"\x02", b"\x02")
    assert parse(serialize(psbt)) == psbt
    psbt = constructor.remove_output(constructor.remove_input(psbt, 1), 0)
    assert (psbt.tx.inputs, psbt.tx.outputs) == ((OTHER,), (OUTPUT,))
    closed = constructor.close(psbt)
    assert modifiable(closed) == Modifiable(0)
    assert modifiable(constructor.close(psbt, inputs=False)) == Modifiable.INPUTS


def test_what_a_removed_or_kept_input_knows_stays_with_it() -> None:
    psbt = constructor.remove_input(OPEN, 0)
    assert psbt.inputs == OPEN.inputs[1:]
    assert constructor.add_input(OPEN, OTHER, at=1).inputs[2] is OPEN.inputs[1]
    signed_later = sign_inputs(psbt, {0: COINS[1].secrets(0)})
    assert [check.valid for check in check_signatures(signed_later)] == [True]


@pytest.mark.parametrize("bits", range(4))
def test_nothing_comes_or_goes_against_the_flags(bits: int) -> None:
    psbt = with_modifiable(OPEN, Modifiable(bits))
    changes = [
        (Modifiable.INPUTS, lambda: constructor.add_input(psbt, OTHER), "lets no input"),
        (Modifiable.INPUTS, lambda: constructor.remove_input(psbt, 0), "lets no input"),
        (Modifiable.OUTPUTS, lambda: constructor.add_output(psbt, OUTPUT), "lets no output"),
        (Modifiable.OUTPUTS, lambda: constructor.remove_output(psbt, 0), "lets no output"),
        (BOTH, lambda: constructor.add_pair(psbt, OTHER, OUTPUT, at=0), "lets no"),
        (BOTH, lambda: constructor.remove_pair(psbt, 0), "lets no"),
    ]
    for needed, change, words in changes:
        if needed & ~bits:
            error = refused(change, words)
            assert (error.where, error.field) == ("global map", "PSBT_GLOBAL_TX_MODIFIABLE")
        else:
            change()


def test_no_flags_and_version_0() -> None:
    absent = spend(COINS, psbt_version=2)
    assert refused(lambda: constructor.add_output(absent, OUTPUT), "is missing").field == "PSBT_GLOBAL_TX_MODIFIABLE"
    refused(lambda: constructor.add_output(spend(COINS), OUTPUT), "version 0")
    assert TX_MODIFIABLE not in constructor.close(absent).global_map


def test_bad_places_and_inputs() -> None:
    refused(lambda: constructor.add_input(OPEN, OTHER, at=4), "there are 3")
    refused(lambda: constructor.add_output(OPEN, OUTPUT, at=-1), "there are 3")
    refused(lambda: constructor.remove_input(OPEN, 3), "is not there")
    refused(lambda: constructor.remove_output(OPEN, -1), "is not there")
    refused(lambda: constructor.add_input(OPEN, OPEN.tx.inputs[1]), "spends already")
    refused(lambda: constructor.add_input(OPEN, TxInput(OTHER.outpoint, b"\x51")), "scriptSig")
    for number in (-1, 499_999_999, 1 << 32):
        refused(lambda number=number: constructor.add_input(OPEN, OTHER, required_time=number), "required locktime")
    for number in (-1, 0, 500_000_000):
        refused(lambda number=number: constructor.add_input(OPEN, OTHER, required_height=number), "required locktime")


def test_required_locktimes_have_to_fit_together() -> None:
    psbt = constructor.add_input(OPEN, OTHER, required_height=HEIGHT)
    assert psbt.tx.locktime == HEIGHT
    another = TxInput(OutPoint(bytes(32), 0))
    error = refused(lambda: constructor.add_input(psbt, another, required_time=TIME), "no locktime satisfies both")
    assert (error.where, error.field) == ("input 4", "PSBT_IN_REQUIRED_TIME_LOCKTIME")
    either = constructor.add_input(psbt, another, required_time=TIME, required_height=HEIGHT + 1)
    assert either.tx.locktime == HEIGHT + 1
    assert constructor.remove_input(either, 3).tx.locktime == HEIGHT + 1
    timed = constructor.add_input(OPEN, OTHER, required_time=TIME)
    both = constructor.add_input(timed, another, required_time=TIME - 5, required_height=HEIGHT)
    assert both.tx.locktime == TIME
    assert parse(serialize(both)) == both


def test_signatures_keep_the_locktime() -> None:
    psbt = signed(1, 0x82)
    refused(lambda: constructor.add_input(psbt, OTHER, required_height=HEIGHT), "locktime from 0 to 800000")
    grown = constructor.add_input(psbt, OTHER)
    assert [check.valid for check in check_signatures(grown, allowed=frozenset({0x82}))] == [True]


# Whether each change leaves a signature of each type on input 1 valid, whatever the flags say.
@pytest.mark.parametrize(
    ("sighash", "input_may", "output_may"),
    [
        (0x01, False, False),
        (0x02, False, True),
        (0x03, False, True),
        (0x81, True, False),
        (0x82, True, True),
        (0x83, True, True),
    ],
)
def test_what_a_signature_commits_to_stays(sighash: int, input_may: bool, output_may: bool) -> None:
    psbt = signed(1, sighash)
    allowed = frozenset({sighash})
    for may, change in (
        (input_may, lambda: constructor.add_input(psbt, OTHER)),
        (input_may, lambda: constructor.remove_input(psbt, 2)),
        (output_may, lambda: constructor.add_output(psbt, OUTPUT)),
        (output_may, lambda: constructor.remove_output(psbt, 2)),
        (input_may and output_may, lambda: constructor.add_pair(psbt, OTHER, OUTPUT, at=0)),
        (input_may and output_may, lambda: constructor.remove_pair(psbt, 0)),
    ):
        if may:
            changed = change()
            assert [check.valid for check in check_signatures(changed, allowed=allowed)] == [True]
            assert parse(serialize(changed)) == changed
        else:
            assert refused(change, "would break").where == "input 1"


def test_an_input_signed_with_single_keeps_its_output_beside_it() -> None:
    psbt = signed(1, 0x83)
    for change in (
        lambda: constructor.add_input(psbt, OTHER, at=1),
        lambda: constructor.add_output(psbt, OUTPUT, at=0),
        lambda: constructor.remove_input(psbt, 0),
        lambda: constructor.remove_output(psbt, 0),
        lambda: constructor.remove_output(psbt, 1),
    ):
        assert refused(change, "keep its place").where == "input 1"
    assert constructor.remove_pair(psbt, 1).tx.inputs == (psbt.tx.inputs[0], psbt.tx.inputs[2])


def test_final_inputs_are_taken_to_commit_to_everything() -> None:
    final = OPEN.with_input(0, {**OPEN.inputs[0], b"\x08": b"\x01\x01\x51"})
    for change in (lambda: constructor.add_input(final, OTHER), lambda: constructor.add_output(final, OUTPUT)):
        assert refused(change, "would break").where == "input 0"


def test_a_creator_for_others_needs_transaction_version_2() -> None:
    error = refused(lambda: create([], [], version=1, psbt_version=2, modifiable=BOTH), "below 2")
    assert error.field == "PSBT_GLOBAL_TX_VERSION"
    assert create([], [], version=1, psbt_version=2).global_map[TX_VERSION] == b"\x01\x00\x00\x00"


def test_an_updater_sets_sequences_until_somebody_signs() -> None:
    psbt = updater.with_sequence(OPEN, 1, 144)
    assert [txin.sequence for txin in psbt.tx.inputs] == [0xFFFF_FFFD, 144, 0xFFFF_FFFD]
    assert parse(serialize(psbt)) == psbt
    for attempt, words in (
        (lambda: updater.with_sequence(signed(0, 0x82), 1, 0), "there are signatures"),
        (lambda: updater.with_sequence(spend(COINS), 1, 0), "version 0"),
        (lambda: updater.with_sequence(OPEN, 1, 1 << 32), "32 bits"),
    ):
        assert refused(attempt, words).field == "PSBT_IN_SEQUENCE"
