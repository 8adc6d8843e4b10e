"""Version 2 (BIP370): what only it can get wrong, and that every role does the same as in version 0."""

from __future__ import annotations

import itertools

import pytest

from support.psbts import coins, spend
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput, write_compact
from wormsig.errors import NotSupportedError, PsbtError, UsageError
from wormsig.psbt import model
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, union
from wormsig.psbt.contribution import extract, extract_transaction, strip_signatures
from wormsig.psbt.convert import to_version_0, to_version_2
from wormsig.psbt.creator import create
from wormsig.psbt.extractor import extract as transaction_of
from wormsig.psbt.finalizer import finalize, missing
from wormsig.psbt.limits import MAX_INPUTS, MAX_OUTPUTS
from wormsig.psbt.modifiable import Modifiable
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_weight
from wormsig.psbt.unsigned import FALLBACK_LOCKTIME, REQUIRED_HEIGHT, REQUIRED_TIME
from wormsig.psbt.verify import check_signatures, verify

COINS = coins("wsh", "sh-wsh", "sh", "wpkh", "pkh")
V0, V2 = spend(COINS), spend(COINS, psbt_version=2)
RAW = serialize(V2)
ALL_KEYS = {index: each.secrets(*range(len(each.keys))) for index, each in enumerate(COINS)}


def by(psbt, who: int):
    """Signed by one of three people, where that one has a key."""
    keys = {index: each.secrets(who) for index, each in enumerate(COINS) if who < len(each.keys)}
    return sign_inputs(psbt, keys)


def record(key: bytes, value: bytes) -> bytes:
    return write_compact(len(key)) + key + write_compact(len(value)) + value


def head(inputs: bytes, outputs: bytes) -> bytes:
    fields = {b"\x02": b"\x02\0\0\0", b"\x04": inputs, b"\x05": outputs, b"\xfb": b"\x02\0\0\0"}
    return b"psbt\xff" + b"".join(record(key, value) for key, value in fields.items()) + b"\x00"


def test_round_trip_gives_the_same_value_and_bytes() -> None:
    again = parse(RAW)
    assert again == V2
    assert (again.version, again.tx, again.txid) == (2, V0.tx, V0.txid)
    assert serialize(again) == RAW


def test_every_prefix_is_refused() -> None:
    for end in range(len(RAW)):
        with pytest.raises(PsbtError):
            parse(RAW[:end])


def test_what_the_maps_say_is_the_same_in_both_versions() -> None:
    for index in range(len(COINS)):
        for read in (
            model.input_derivations,
            model.partial_sigs,
            model.witness_utxo,
            model.previous_tx,
            model.previous_txout,
            model.spent_output,
            model.utxo_problem,
            model.sighash_type,
            model.redeem_script,
            model.witness_script,
            model.is_final,
        ):
            assert read(V2, index) == read(V0, index)  # type: ignore[operator]
    assert model.output_derivations(V2, 1) == model.output_derivations(V0, 1)
    assert estimated_weight(V2) == estimated_weight(V0)
    assert model.sha256(V2) != model.sha256(V0)


def test_every_role_does_the_same_in_both_versions() -> None:
    results = []
    for mine in (V0, V2):
        answers = [parse(serialize(by(mine, who))) for who in (0, 2)]
        contributions = [extract(mine, answer) for answer in answers]
        assert all(each.differences == () and each.rejected == () for each in contributions)
        combined = combine(verify(mine), contributions)
        assert missing(combined) == {}
        assert parse(serialize(combined.psbt)).version == mine.version
        final = finalize(combined)
        assert parse(serialize(final)) == final
        results.append((combined.signatures, [to_version_0(final).inputs], transaction_of(final).serialize()))
        assert union(answers[0], [answers[1]]) == combined.psbt
    assert results[0] == results[1]


def test_finalizing_keeps_what_version_2_has_instead_of_the_transaction() -> None:
    final = finalize(verify(sign_inputs(V2, ALL_KEYS)))
    assert serialize(final) == serialize(to_version_2(finalize(verify(sign_inputs(V0, ALL_KEYS)))))
    assert {key[0] for fields in final.inputs for key in fields} == {0, 1, 7, 8, 0x0E, 0x0F, 0x10}


@pytest.mark.parametrize(("mine", "theirs"), [(V0, V2), (V2, V0)])
def test_an_answer_in_the_other_version_brings_its_signatures_and_nothing_else(mine, theirs) -> None:
    answer = parse(serialize(by(theirs, 0)))
    contribution = extract(mine, answer)
    assert contribution.differences == ()
    assert len(contribution.signatures) == len(COINS)
    assert serialize(combine(verify(mine), [contribution]).psbt) == serialize(by(mine, 0))
    final = finalize(verify(sign_inputs(theirs, ALL_KEYS)))
    for brought in (extract(mine, parse(serialize(final))), extract_transaction(mine, transaction_of(final))):
        assert (brought.differences, brought.rejected) == ((), ())
        assert missing(combine(verify(mine), [brought])) == {}
    lie = answer.with_input(0, {**answer.inputs[0], b"\xe0": b"x"}).with_output(0, {**answer.outputs[0], b"\xe0": b""})
    assert [(one.where, one.what) for one in extract(mine, lie).differences] == [
        ("input 0", "added"),
        ("output 0", "added"),
    ]


def test_c23_signatures_beside_the_asked_ones_are_stripped() -> None:
    psbt = spend(COINS, psbt_version=2, modifiable=Modifiable.INPUTS)
    assert strip_signatures(by(psbt, 0), [1], since=psbt).inputs == (
        psbt.inputs[0],
        by(psbt, 0).inputs[1],
        *psbt.inputs[2:],
    )


def test_other_locktimes_or_sequences_are_another_transaction() -> None:
    later = V2.with_global({**V2.global_map, FALLBACK_LOCKTIME: b"\x01\0\0\0"})
    higher = V2.with_input(2, {**V2.inputs[2], REQUIRED_HEIGHT: b"\x05\0\0\0"})
    other = V2.with_input(0, {**V2.inputs[0], b"\x10": bytes(4)})
    for changed, words in ((later, "locktime 0 became 1"), (higher, "locktime 0 became 5"), (other, "sequence 0")):
        assert changed.memo is not V2.memo
        with pytest.raises(Exception, match=words) as caught:
            extract(V2, parse(serialize(changed)))
        assert caught.value.exit_code == 5  # type: ignore[attr-defined]


def test_copies_keep_or_drop_what_was_computed() -> None:
    assert V2.with_global({**V2.global_map, b"\xe0": b""}).memo is V2.memo
    assert V2.with_input(0, {**V2.inputs[0], b"\xe0": b""}).memo is V2.memo
    assert V2.with_output(0, {**V2.outputs[0], b"\xe0": b""}).memo is V2.memo
    paid = V2.with_output(0, {**V2.outputs[0], b"\x03": bytes(8)})
    assert paid.tx.outputs[0] == TxOutput(0, V2.tx.outputs[0].script)
    assert paid.memo is not V2.memo
    assert check_signatures(by(paid, 0))[0].valid


def test_a_union_that_would_be_another_transaction_is_refused() -> None:
    one = create([TxInput(OutPoint(bytes(32), n)) for n in range(2)], [], psbt_version=2)
    when, height = (1_700_000_000).to_bytes(4, "little"), b"\x09\0\0\0"
    first = one.with_inputs(
        {0: {**one.inputs[0], REQUIRED_TIME: when}, 1: {**one.inputs[1], REQUIRED_TIME: when, REQUIRED_HEIGHT: height}}
    )
    second = one.with_inputs({0: {**one.inputs[0], REQUIRED_TIME: when, REQUIRED_HEIGHT: height}})
    second = second.with_input(1, {**second.inputs[1], REQUIRED_TIME: when})
    assert first.tx == second.tx
    with pytest.raises(PsbtError, match="locktimes that they require"):
        union(first, [second])
    with pytest.raises(PsbtError, match="versions"):
        union(V0, [V2])


def test_locktimes_that_exclude_each_other_are_read_and_written_and_that_is_all() -> None:
    psbt = create([TxInput(OutPoint(bytes(32), n)) for n in range(2)], [], psbt_version=2)
    maps = ({**psbt.inputs[0], REQUIRED_HEIGHT: b"\x09\0\0\0"}, {**psbt.inputs[1], REQUIRED_TIME: b"\xff" * 4})
    with pytest.raises(PsbtError, match="no locktime satisfies both"):
        psbt.with_inputs(dict(enumerate(maps)))
    raw = head(b"\x02", b"\x00") + b"".join(
        b"".join(record(key, value) for key, value in fields.items()) + b"\x00" for fields in maps
    )
    parsed = parse(raw)
    assert serialize(parsed) == raw
    with pytest.raises(PsbtError, match="no locktime satisfies both") as caught:
        _ = parsed.txid
    assert (caught.value.where, caught.value.field) == ("input 1", "PSBT_IN_REQUIRED_TIME_LOCKTIME")


def test_c16_counts_are_looked_at_before_any_map() -> None:
    for inputs, outputs, field in (
        (MAX_INPUTS + 1, 0, "INPUT"),
        (0, MAX_OUTPUTS + 1, "OUTPUT"),
        (2**64 - 1, 0, "INPUT"),
    ):
        with pytest.raises(PsbtError, match="more than a block can hold") as caught:
            parse(head(write_compact(inputs), write_compact(outputs)))
        assert caught.value.field == f"PSBT_GLOBAL_{field}_COUNT"
    with pytest.raises(PsbtError) as caught:
        parse(head(write_compact(MAX_INPUTS), b"\x00"))
    assert caught.value.where == "input 0"


def test_a_silent_payment_without_its_script_is_told_apart() -> None:
    info = record(b"\x09", bytes(66))
    with pytest.raises(NotSupportedError, match="output 0 is a silent payment") as caught:
        parse(head(b"\x00", b"\x01") + record(b"\x03", bytes(8)) + info + b"\x00")
    assert caught.value.exit_code == 3
    assert caught.value.hint
    whole = head(b"\x00", b"\x01") + record(b"\x03", bytes(8)) + record(b"\x04", b"") + info + b"\x00"
    assert serialize(parse(whole)) == whole


def test_creators_of_no_such_version() -> None:
    for number, flags in itertools.product((1, 3), (Modifiable(0), Modifiable.INPUTS)):
        with pytest.raises(UsageError):
            create([], [], psbt_version=number, modifiable=flags)
    with pytest.raises(UsageError):
        create([], [], modifiable=Modifiable.INPUTS)
