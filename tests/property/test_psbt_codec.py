"""Whatever bytes come: parsing ends in a PSBT that serializes to the same bytes, or in a WormsigError."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.mutations import mutate
from support.psbts import coins, spend
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput
from wormsig.errors import PsbtError, WormsigError
from wormsig.psbt import constructor
from wormsig.psbt.codec import from_any, parse, serialize
from wormsig.psbt.combiner import combine
from wormsig.psbt.contribution import extract
from wormsig.psbt.convert import to_version_0, to_version_2
from wormsig.psbt.creator import create
from wormsig.psbt.extractor import extract as extract_tx
from wormsig.psbt.finalizer import finalize, missing
from wormsig.psbt.finals import check_finals
from wormsig.psbt.forms import read_stack
from wormsig.psbt.model import Psbt, spent_output, utxo_problem
from wormsig.psbt.modifiable import Modifiable, modifiable, with_modifiable
from wormsig.psbt.scripts import input_scripts, script_type
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_weight
from wormsig.psbt.verify import check_signatures, verify

if TYPE_CHECKING:
    from collections.abc import Callable

COINS = coins("wsh", "sh-wsh", "sh", "wpkh", "pkh")
UNSIGNED = spend(COINS)
SIGNED = sign_inputs(UNSIGNED, {i: each.secrets(*range(min(2, len(each.keys)))) for i, each in enumerate(COINS)})
FINAL = finalize(verify(SIGNED))

OPEN = with_modifiable(
    spend(COINS, psbt_version=2, modifiable=Modifiable.INPUTS), Modifiable.INPUTS | Modifiable.OUTPUTS
)
EITHER = constructor.add_input(
    OPEN, TxInput(OutPoint(bytes(32), 1), sequence=0), required_time=1_700_000_000, required_height=800_000
)
RAW = [
    serialize(psbt) for psbt in (UNSIGNED, SIGNED, FINAL, EITHER, *map(to_version_2, (UNSIGNED, SIGNED, FINAL)), OPEN)
]
LIKE = [parse(data) for data in RAW]

INTERESTING = (
    b"\x00",
    b"\x01",
    b"\xfd",
    b"\xfe\xff\xff\xff\xff",
    b"\xff" * 9,
    b"\x00\x00",
    b"\x02" + bytes(32),
    b"\x01\x11\x04" + b"\x7f" * 4,
    b"\x01\x12\x04\x01\x00\x00\x00",
    b"\x01\x06\x01\xff",
)


def by_field(seed: int) -> bytes:
    rng = random.Random(seed)  # noqa: S311  # repeatable, and no secret
    return mutate(rng.choice(RAW), rng, RAW)


@st.composite
def by_byte(draw: st.DrawFn) -> bytes:
    """A real PSBT with a few bytes changed, taken out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(RAW)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        size = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(("flip", "cut", "double", "insert", "splice")))
        if kind == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at : at + size]
        elif kind == "double":
            data[at:at] = data[at : at + size]
        elif kind == "insert":
            data[at:at] = draw(st.sampled_from(INTERESTING))
        else:
            other = draw(st.sampled_from(RAW))
            data[at : at + size] = other[at : at + draw(st.integers(0, 80))]
        if not data:
            return b""
    return bytes(data)


def mutated() -> st.SearchStrategy[bytes]:
    """A real PSBT with something changed, field by field or byte by byte."""
    return st.integers(0, 2**32 - 1).map(by_field) | by_byte()


def refusal(attempt: Callable[[], object]) -> WormsigError | None:
    """How an attempt was refused; any other exception is a bug and fails the test."""
    try:
        attempt()
    except WormsigError as error:
        return error
    return None


def parsed(data: bytes) -> Psbt | None:
    """What the bytes are, whatever they are compared with as they are read."""
    refused = refusal(lambda: parse(data))
    if refused is not None:
        assert refused.exit_code == 3
        assert refused.message
        for like in LIKE:
            assert str(refusal(lambda like=like: parse(data, like=like))) == str(refused)
        return None
    psbt = parse(data)
    assert serialize(psbt) == data
    for like in LIKE:
        again = parse(data, like=like)
        assert (again, again.memo.previous, serialize(again)) == (psbt, psbt.memo.previous, data)
    return psbt


@given(st.binary(max_size=300))
@settings(max_examples=examples(50), deadline=None)
@example(b"psbt\xff")
@example(b"psbt\xff\x00")
def test_any_bytes(data: bytes) -> None:
    parsed(data)
    parsed(b"psbt\xff" + data)


@given(st.binary(max_size=100) | st.text(max_size=100))
@settings(max_examples=examples(50), deadline=None)
def test_any_text(data: bytes | str) -> None:
    refused = refusal(lambda: from_any(data))
    if refused is None:
        assert from_any(data).startswith(b"psbt\xff")
    else:
        assert refused.exit_code == 3


@given(mutated())
@settings(max_examples=examples(80), deadline=None)
def test_mutated_psbts_parse_to_the_same_bytes_or_not_at_all(data: bytes) -> None:
    psbt = parsed(data)
    if psbt is not None:
        assert parse(from_any(base64.b64encode(data))) == psbt


@given(mutated())
@settings(max_examples=examples(50), deadline=None)
def test_no_role_breaks_on_a_psbt_that_parsed(data: bytes) -> None:
    psbt = parsed(data)
    if psbt is None:
        return
    for index in range(len(psbt.inputs)):
        assert script_type(psbt, index)
        assert (spent_output(psbt, index) is None) == (utxo_problem(psbt, index) is not None)
    if psbt.transaction is None:
        assert isinstance(refusal(lambda: psbt.tx), PsbtError)
    for attempt in (
        lambda: [check.valid or check.problem for check in check_signatures(psbt)],
        lambda: check_finals(psbt),
        lambda: estimated_weight(psbt),
        lambda: missing(verify(psbt)),
        lambda: finalize(verify(psbt, drop=True)),
        lambda: extract_tx(psbt),
        lambda: extract(UNSIGNED, psbt),
        lambda: extract(psbt, OPEN),
        lambda: to_version_0(psbt, fixed=True),
        lambda: to_version_2(psbt),
        lambda: constructor.add_input(psbt, TxInput(OutPoint(bytes(32), 0)), required_height=5),
        lambda: constructor.remove_output(psbt, 0),
        lambda: [input_scripts(psbt, index) for index in range(len(psbt.inputs))],
    ):
        refused = refusal(attempt)
        assert refused is None or refused.message


def compact(value: int) -> bytes:
    return bytes([value]) if value < 0xFD else b"\xfd" + value.to_bytes(2, "little")


UNKNOWN = st.tuples(
    st.sampled_from([b"\x36", b"\x77", b"\xe0", b"\xfd\xfd\x00", b"\xfc\x00\x00", b"\xfc\x02id\x07"]),
    st.binary(max_size=300),
).map(b"".join)
FIELDS = st.dictionaries(UNKNOWN, st.binary(max_size=300), max_size=8)


@given(FIELDS, st.lists(FIELDS, min_size=7, max_size=7))
@settings(max_examples=examples(15), deadline=None)
def test_unknown_fields_survive_anywhere(extra_global: dict[bytes, bytes], extras: list[dict[bytes, bytes]]) -> None:
    maps = [{**extra_global, **UNSIGNED.global_map}]
    maps += [{**extra, **held} for extra, held in zip(extras, (*UNSIGNED.inputs, *UNSIGNED.outputs), strict=True)]
    body = b"".join(
        b"".join(compact(len(key)) + key + compact(len(value)) + value for key, value in fields.items()) + b"\x00"
        for fields in maps
    )
    psbt = parsed(b"psbt\xff" + body)
    assert psbt is not None
    assert [psbt.global_map, *psbt.inputs, *psbt.outputs] == maps


@given(st.lists(st.binary(max_size=300), max_size=6))
@settings(max_examples=examples(30), deadline=None)
def test_witness_stacks_round_trip(items: list[bytes]) -> None:
    value = compact(len(items)) + b"".join(compact(len(item)) + item for item in items)
    assert read_stack(value) == tuple(items)
    assert read_stack(value + b"\x00") is None
    assert read_stack(value[:-1]) != tuple(items)


@given(mutated())
@settings(max_examples=examples(40), deadline=None)
def test_conversions_go_there_and_back(data: bytes) -> None:
    psbt = parsed(data)
    if psbt is None or refusal(lambda: psbt.tx) is not None:
        return
    down = to_version_0(psbt, fixed=True)
    up = to_version_2(down)
    assert up.tx == down.tx == psbt.tx
    for made in (down, up):
        assert parse(serialize(made)) == made
    assert to_version_0(up, fixed=True) == down
    assert to_version_2(to_version_0(up, fixed=True)) == up
    if psbt.version == 0:
        assert down is psbt
        without = {key: value for key, value in psbt.global_map.items() if key != b"\xfb"}
        assert to_version_0(up, fixed=True) == psbt.with_global(without)
    else:
        for ours, theirs in zip((*psbt.inputs, *psbt.outputs), (*up.inputs, *up.outputs), strict=True):
            assert [key for key in theirs if key not in ours or theirs[key] != ours[key]] == []


@st.composite
def transactions(draw: st.DrawFn) -> Psbt:
    """A version 2 PSBT with any mixture of required locktimes, sequences and amounts."""
    psbt = create(
        [],
        [TxOutput(sats, b"\x51" * size) for sats, size in draw(st.lists(st.tuples(AMOUNTS, SIZES), max_size=4))],
        version=draw(st.integers(2, 0xFFFF_FFFF)),
        locktime=draw(UINT32),
        psbt_version=2,
        modifiable=Modifiable.INPUTS,
    )
    for number in range(draw(st.integers(0, 4))):
        txin = TxInput(OutPoint(bytes(32), number), sequence=draw(UINT32))
        time, height = draw(st.none() | TIMES), draw(st.none() | HEIGHTS)
        try:
            psbt = constructor.add_input(psbt, txin, required_time=time, required_height=height)
        except PsbtError as error:
            assert "no locktime satisfies both" in error.message  # noqa: PT017  # nothing else may be wrong
    return psbt


AMOUNTS = st.integers(-(2**63), 2**63 - 1)
SIZES = st.integers(0, 300)
UINT32 = st.integers(0, 0xFFFF_FFFF)
TIMES = st.integers(500_000_000, 0xFFFF_FFFF)
HEIGHTS = st.integers(1, 499_999_999)


@given(transactions())
@settings(max_examples=examples(40), deadline=None)
def test_any_transaction_goes_through_both_versions(psbt: Psbt) -> None:
    assert parsed(serialize(psbt)) == psbt
    with_error = refusal(lambda: to_version_0(psbt))
    assert with_error is not None
    closed = constructor.close(psbt)
    assert modifiable(closed) == Modifiable(0)
    down = to_version_0(closed)
    assert down == create(psbt.tx.inputs, psbt.tx.outputs, version=psbt.tx.version, locktime=psbt.tx.locktime)
    assert to_version_2(down).tx == psbt.tx


@given(mutated(), st.sampled_from(RAW[3:]))
@settings(max_examples=examples(30), deadline=None)
def test_answers_in_any_version_bring_nothing_but_signatures(data: bytes, mine: bytes) -> None:
    answer, held = parsed(data), parse(mine)
    if answer is None or answer.transaction != held.transaction:
        return
    before = verify(held, drop=True)
    after = combine(before, [extract(before.psbt, answer)]).psbt
    assert after.version == held.version
    assert after.outputs == held.outputs
    assert {key: value for key, value in after.global_map.items() if key != b"\x06"} == {
        key: value for key, value in held.global_map.items() if key != b"\x06"
    }
    assert int(modifiable(after)) | int(modifiable(held)) | 4 == int(modifiable(held)) | 4
    for ours, theirs in zip(before.psbt.inputs, after.inputs, strict=True):
        assert ours.items() <= theirs.items()
        assert all(key[0] == 2 for key in theirs.keys() - ours.keys())
    assert all(check.valid for check in check_signatures(parse(serialize(after))))
