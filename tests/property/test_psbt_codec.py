"""Whatever bytes come: parsing ends in a PSBT that serializes to the same bytes, or in a WormsigError."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.psbts import coins, spend
from wormsig.errors import WormsigError
from wormsig.psbt.codec import from_any, parse, serialize
from wormsig.psbt.contribution import extract
from wormsig.psbt.extractor import extract as extract_tx
from wormsig.psbt.finalizer import finalize, missing
from wormsig.psbt.finals import check_finals
from wormsig.psbt.forms import read_stack
from wormsig.psbt.model import Psbt, spent_output, utxo_problem
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
RAW = [serialize(psbt) for psbt in (UNSIGNED, SIGNED, FINAL)]

INTERESTING = (b"\x00", b"\x01", b"\xfd", b"\xfe\xff\xff\xff\xff", b"\xff" * 9, b"\x00\x00", b"\x02" + bytes(32))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
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


def refusal(attempt: Callable[[], object]) -> WormsigError | None:
    """How an attempt was refused; any other exception is a bug and fails the test."""
    try:
        attempt()
    except WormsigError as error:
        return error
    return None


def parsed(data: bytes) -> Psbt | None:
    refused = refusal(lambda: parse(data))
    if refused is not None:
        assert refused.exit_code == 3
        assert refused.message
        return None
    psbt = parse(data)
    assert serialize(psbt) == data
    return psbt


@given(st.binary(max_size=300))
@example(b"psbt\xff")
@example(b"psbt\xff\x00")
def test_any_bytes(data: bytes) -> None:
    parsed(data)
    parsed(b"psbt\xff" + data)


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_any_text(data: bytes | str) -> None:
    refused = refusal(lambda: from_any(data))
    if refused is None:
        assert from_any(data).startswith(b"psbt\xff")
    else:
        assert refused.exit_code == 3


@given(mutated())
@settings(max_examples=400, deadline=None)
def test_mutated_psbts_parse_to_the_same_bytes_or_not_at_all(data: bytes) -> None:
    psbt = parsed(data)
    if psbt is not None:
        assert parse(from_any(base64.b64encode(data))) == psbt


@given(mutated())
@settings(max_examples=250, deadline=None)
def test_no_role_breaks_on_a_psbt_that_parsed(data: bytes) -> None:
    psbt = parsed(data)
    if psbt is None:
        return
    for index in range(len(psbt.inputs)):
        assert script_type(psbt, index)
        assert (spent_output(psbt, index) is None) == (utxo_problem(psbt, index) is not None)
    for check in check_signatures(psbt):
        assert check.valid or check.problem is not None
    check_finals(psbt)
    estimated_weight(psbt)
    for attempt in (
        lambda: missing(verify(psbt)),
        lambda: finalize(verify(psbt, drop=True)),
        lambda: extract_tx(psbt),
        lambda: extract(UNSIGNED, psbt),
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
@settings(max_examples=60, deadline=None)
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
def test_witness_stacks_round_trip(items: list[bytes]) -> None:
    value = compact(len(items)) + b"".join(compact(len(item)) + item for item in items)
    assert read_stack(value) == tuple(items)
    assert read_stack(value + b"\x00") is None
    assert read_stack(value[:-1]) != tuple(items)
