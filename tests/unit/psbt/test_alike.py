"""What comes back from a cosigner is read by what we sent: faster, and never as anything else."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support import taproot
from support.psbts import coins, spend
from wormsig.errors import PsbtError
from wormsig.psbt.alike import signatures_beyond
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, with_signatures
from wormsig.psbt.contribution import extract
from wormsig.psbt.convert import to_version_2
from wormsig.psbt.limits import MAX_MAP_FIELDS
from wormsig.psbt.maps import put
from wormsig.psbt.model import previous_txout
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify
from wormsig.psbt.writer import write_maps

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

ECDSA = coins("wsh", "sh-wsh", "sh", "wpkh")
TAPROOT = [
    taproot.taproot_coin(0, "a"),
    taproot.taproot_coin(1, None, ((2, "abc"), "and_v(v:pk(@d),older(10))")),
    taproot.miniscript_coin(2, "or_d(multi(2,@a,@b,@c),and_v(v:pkh(@d),older(10)))"),
]
SENT = [parse(serialize(psbt)) for psbt in (spend(ECDSA), taproot.spend(TAPROOT, sequence=10))]
SENT.append(to_version_2(SENT[0]))
KEYS = [
    {index: each.secrets(0) for index, each in enumerate(ECDSA)},
    {index: each.secrets("a") for index, each in enumerate(TAPROOT)},
]
KEYS.append(KEYS[0])
SIGNED = [sign_inputs(psbt, keys) for psbt, keys in zip(SENT, KEYS, strict=True)]
KINDS = pytest.mark.parametrize("kind", range(3), ids=["ecdsa", "taproot", "version 2"])


def both_ways(data: bytes, like: Psbt) -> Psbt:
    """Read with and without a PSBT that it may be like: the same value, the same order of fields."""
    plain, again = parse(data), parse(data, like=like)
    assert again == plain
    assert again.memo.previous == plain.memo.previous
    assert serialize(again) == data
    return again


def shared(ours: Psbt, theirs: Psbt) -> list[int]:
    """Inputs of which every field of ours was taken over, not read again."""
    pairs = zip(ours.inputs, theirs.inputs, strict=True)
    return [
        index
        for index, (mine, other) in enumerate(pairs)
        if all(other.get(key) is value for key, value in mine.items() if len(value) > 1)
    ]


@KINDS
def test_a_signed_copy_is_read_as_what_was_sent_and_its_signatures(kind: int):
    again = both_ways(serialize(SIGNED[kind]), SENT[kind])
    assert again == SIGNED[kind]
    assert shared(SENT[kind], again) == list(range(len(again.inputs)))
    assert again.inputs[0].keys() > SENT[kind].inputs[0].keys()


@KINDS
def test_signatures_of_our_own_are_not_expected_back(kind: int):
    like = parse(serialize(SIGNED[kind]))
    again = both_ways(serialize(SENT[kind]), like)
    assert again == SENT[kind]
    assert shared(again, like) == list(range(len(again.inputs)))


@KINDS
def test_one_map_that_differs_is_read_and_the_others_are_not(kind: int):
    sent = SENT[kind]
    odd = SIGNED[kind].with_input(1, {**SIGNED[kind].inputs[1], b"\xfc\x01x\x00": b"y" * 3})
    again = both_ways(serialize(odd), sent)
    assert shared(sent, again) == [index for index in range(len(again.inputs)) if index != 1]
    turned = SIGNED[kind].with_input(1, dict(reversed(SIGNED[kind].inputs[1].items())))
    assert shared(sent, both_ways(serialize(turned), sent)) == [i for i in range(len(again.inputs)) if i != 1]
    without = SIGNED[kind].with_output(0, {**SIGNED[kind].outputs[0], b"\xfc\x01x\x00": b"y"})
    assert len(shared(sent, both_ways(serialize(without), sent))) == len(again.inputs)


def test_another_previous_transaction_is_read():
    sent, signed = parse(serialize(SENT[0])), SIGNED[0]
    assert len(sent.memo.previous) == len(sent.inputs)
    first = signed.inputs[0][b"\x00"]
    again = both_ways(serialize(signed.with_input(1, {**signed.inputs[1], b"\x00": first})), sent)
    assert again.memo.previous[1] != sent.memo.previous[1]


@KINDS
def test_what_is_wrong_is_refused_in_the_same_words(kind: int):
    raw = serialize(SIGNED[kind])
    key = next(key for key in SIGNED[kind].inputs[0] if key not in SENT[kind].inputs[0])
    field = bytes((len(key),)) + key
    at = raw.index(field)
    record = raw[at : at + len(field) + 1 + raw[at + len(field)]]
    wrong = {
        "twice": raw.replace(record, record * 2, 1),
        "cut": raw[: at + len(record) - 1],
        "cut in its key": raw[: at + 3],
        "cut behind its key": raw[: at + len(field)],
        "long length": raw.replace(record, b"\xfd" + record[:1] + b"\x00" + record[1:], 1),
    }
    if kind != 1:
        wrong["no key"] = raw.replace(field, field[:2] + b"\x05" + field[3:], 1)
        wrong["no point"] = raw.replace(field, field[:2] + b"\x02" + bytes(31) + b"\x05", 1)
    for name, data in wrong.items():
        assert data != raw, name
        with pytest.raises(PsbtError) as plain:
            parse(data)
        with pytest.raises(PsbtError) as again:
            parse(data, like=SENT[kind])
        assert (str(again.value), again.value.exit_code) == (str(plain.value), plain.value.exit_code), name


def so_many_signatures(sent: Psbt, count: int) -> bytes:
    """A PSBT with so many more fields where its first input has signatures."""
    fields = [b"\x05\x02" + number.to_bytes(4, "big") + b"\x00" for number in range(count)]
    raw = serialize(sent)
    head = next(key for key in sent.inputs[0] if key[0] > 2)
    at = raw.index(bytes((len(head),)) + head)
    return raw[:at] + b"".join(fields) + raw[at:]


def test_signatures_beyond_the_limit_of_a_map_are_refused():
    sent = SENT[0]
    data = so_many_signatures(sent, MAX_MAP_FIELDS)
    for like in (None, sent):
        with pytest.raises(PsbtError, match=f"input 0: has more than {MAX_MAP_FIELDS} fields"):
            parse(data, like=like)


def test_signatures_beyond_the_limit_of_a_map_are_not_even_collected():
    sent = SENT[0]
    data = so_many_signatures(sent, 20 * MAX_MAP_FIELDS)
    peaks = []
    for like in (None, sent):
        tracemalloc.start()
        with pytest.raises(PsbtError, match="input 0: has more than"):
            parse(data, like=like)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def without_transaction(count: int) -> bytes:
    """A version 2 PSBT whose first two inputs require locktimes that exclude each other."""
    psbt = to_version_2(spend(coins(*["sh"] * count)))
    first, second, *others = psbt.inputs
    first = {**first, b"\x11": (1_700_000_000).to_bytes(4, "little")}
    second = {**second, b"\x12": (800_000).to_bytes(4, "little")}
    return write_maps((psbt.global_map, first, second, *others, *psbt.outputs))


def test_of_two_without_a_transaction_either_may_have_more_inputs():
    two, three = without_transaction(2), without_transaction(3)
    assert parse(two).transaction is None
    both_ways(three, parse(two))
    both_ways(two, parse(three))


def test_another_transaction_or_version_is_read_on_its_own():
    for like in SENT:
        for data in (*SENT, *SIGNED):
            assert both_ways(serialize(data), like) == data


ODD = b"\xfc\x01x\x00"


def answers(kind: int) -> dict[str, Psbt]:
    """What may come back of one PSBT: as it should, and in every way in which an input may be another."""
    sent, signed = SENT[kind], SIGNED[kind]
    theirs = dict(signed.inputs[1])
    signature = next(key for key in theirs if key not in sent.inputs[1])
    damaged = bytearray(theirs[signature])
    damaged[40] ^= 1
    script = next(key for key in sent.inputs[1] if key[0] in {0x05, 0x15, 0x04})
    without = {key: value for key, value in theirs.items() if key[0] not in {0x06, 0x16}}
    return {
        "signed": signed,
        "not signed": sent,
        "a field more": signed.with_input(1, {**theirs, ODD: b"y"}),
        "a field less": signed.with_input(1, without),
        "another script": signed.with_input(1, {**theirs, script: theirs[script] + b"\x00"}),
        "a damaged signature": signed.with_input(1, {**theirs, signature: bytes(damaged)}),
        "final": signed.with_input(1, {**theirs, b"\x08": b"\x01\x01\x01"}),
        "a preimage": signed.with_input(1, {**theirs, b"\x0b" + hashlib.sha256(b"x").digest(): b"x"}),
        "a sighash type": signed.with_input(1, put(theirs, b"\x03", b"\x01\x00\x00\x00")),
        "an output's field more": signed.with_output(0, {**signed.outputs[0], ODD: b"y"}),
        "a global field more": signed.with_global({**signed.global_map, ODD: b"y"}),
    }


@KINDS
def test_an_answer_brings_the_same_whether_its_maps_were_taken_over_or_read(kind: int):
    mine = verify(SENT[kind])
    half = combine(mine, [extract(mine.psbt, parse(serialize(SIGNED[kind].with_input(0, SENT[kind].inputs[0]))))])
    own = verify(parse(serialize(SENT[kind].with_input(1, {**SENT[kind].inputs[1], ODD: b"y"}))))
    for copy in (mine.psbt, half.psbt, own.psbt):
        for name, answer in answers(kind).items():
            data = serialize(answer)
            assert extract(copy, parse(data, like=copy)) == extract(copy, parse(data)), name
            assert extract(copy, parse(data, like=SENT[kind])) == extract(copy, parse(data)), name


@KINDS
def test_of_an_answer_only_the_signatures_are_compared(kind: int):
    sent, signed = SENT[kind], SIGNED[kind]
    expected = [
        {key: value for key, value in theirs.items() if key not in ours}
        for ours, theirs in zip(sent.inputs, signed.inputs, strict=True)
    ]
    again = parse(serialize(signed), like=sent)
    assert list(signatures_beyond(sent, again)) == expected
    combined = combine(verify(sent), [extract(sent, again)]).psbt  # a copy with signatures is still of the same kin
    assert list(signatures_beyond(combined, again)) == expected
    assert list(signatures_beyond(combined, parse(serialize(signed), like=combined))) == expected
    odd = parse(serialize(answers(kind)["a field more"]), like=sent)
    assert [each is None for each in signatures_beyond(sent, odd)] == [index == 1 for index in range(len(expected))]


@KINDS
def test_an_answer_is_compared_whole_with_a_copy_that_differs_in_more_than_signatures(kind: int):
    sent = SENT[kind]
    again = parse(serialize(SIGNED[kind]), like=sent)
    for copy in (sent.with_input(1, {**sent.inputs[1], ODD: b"y"}), parse(serialize(sent))):
        assert set(signatures_beyond(copy, again)) == {None}
    assert [one.field for one in extract(sent.with_input(1, {**sent.inputs[1], ODD: b"y"}), again).differences] == [
        "PSBT_IN_PROPRIETARY"
    ]


@KINDS
def test_a_copy_that_shares_what_was_computed_is_not_taken_for_the_one_that_it_was_computed_of(kind: int):
    sent = parse(serialize(SENT[kind]))
    data = serialize(SIGNED[kind])
    returned = parse(data, like=sent)
    odd = sent.with_input(1, {**sent.inputs[1], ODD: b"y"})
    assert odd.memo is sent.memo
    again = parse(data, like=odd)
    assert extract(odd, again) == extract(odd, parse(data))
    assert [(one.field, one.what) for one in extract(odd, again).differences] == [("PSBT_IN_PROPRIETARY", "dropped")]
    changed = returned.with_input(1, {**returned.inputs[1], ODD: b"y"})
    assert [(one.field, one.what) for one in extract(sent, changed).differences] == [("PSBT_IN_PROPRIETARY", "added")]


def test_a_signature_is_seen_where_nothing_else_says_that_its_input_is_taproot():
    coin = TAPROOT[0]
    whole = taproot.spend([coin])
    signature = sign_inputs(whole, {0: coin.secrets("a")}).inputs[0][b"\x13"]
    bare = whole.with_input(0, {key: value for key, value in whole.inputs[0].items() if key[0] < 0x15})
    signed = with_signatures(bare, [(0, coin.output.script[2:], signature)])
    damaged = signed.with_input(0, {**signed.inputs[0], b"\x13": signature[:-1] + bytes((signature[-1] ^ 1,))})
    for data in map(serialize, (signed, damaged)):
        for like in (signed, bare):
            for mine in (bare, signed):
                assert extract(mine, parse(data, like=like)) == extract(mine, parse(data))
    assert len(extract(bare, parse(serialize(signed), like=signed)).signatures) == 1
    assert len(extract(bare, parse(serialize(damaged), like=signed)).rejected) == 1


@pytest.mark.parametrize("first", ["ecdsa", "taproot"])
def test_signatures_of_both_kinds_on_one_input_are_all_seen(first: str):
    sent, signed = (SENT[first == "taproot"], SIGNED[first == "taproot"])
    stray, value = next(
        item for item in SIGNED[first != "taproot"].inputs[0].items() if item[0][0] in {0x02, 0x13, 0x14}
    )
    data = serialize(signed.with_input(0, put(signed.inputs[0], stray, value)))
    both = parse(data)
    for like in (both, sent):
        for mine in (both, sent):
            assert extract(mine, parse(data, like=like)) == extract(mine, parse(data))
        assert [check.signature for check in extract(sent, parse(data, like=like)).rejected] == [value]


@pytest.mark.parametrize("asked", [range(2), range(1)], ids=["all", "some"])
def test_what_is_no_previous_transaction_is_refused_also_where_a_copy_that_nobody_read_has_it(asked: range):
    sent = spend(coins("wsh", "wsh"))
    wrong = [sent.inputs[0], {**sent.inputs[1], b"\x00": b"junk"}]
    if len(asked) == 2:
        wrong.reverse()
    like = sent.with_maps(sent.global_map, tuple(wrong), sent.outputs)
    for index in asked:
        previous_txout(like, index)
    with pytest.raises(PsbtError, match="PSBT_IN_NON_WITNESS_UTXO"):
        parse(serialize(like), like=like)
