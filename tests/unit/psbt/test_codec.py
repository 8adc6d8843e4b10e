from __future__ import annotations

import base64

import pytest

from support.psbts import coins, spend
from wormsig.bitcoin.tx import write_compact
from wormsig.errors import InputError, PsbtError
from wormsig.psbt import codec
from wormsig.psbt.codec import from_any, parse, serialize
from wormsig.psbt.limits import MAX_FIELDS, MAX_INPUTS, MAX_MAP_FIELDS

PSBT = spend(coins("wsh", "sh-wsh", "sh"))
RAW = serialize(PSBT)
EMPTY_TX = b"\x02\x00\x00\x00\x00\x00" + bytes(4)


def record(key: bytes, value: bytes) -> bytes:
    return write_compact(len(key)) + key + write_compact(len(value)) + value


def test_round_trip_gives_the_same_value_and_bytes() -> None:
    again = parse(RAW)
    assert again == PSBT
    assert serialize(again) == RAW


def test_every_prefix_is_refused() -> None:
    for end in range(len(RAW)):
        with pytest.raises(PsbtError):
            parse(RAW[:end])


def test_other_buffers_are_read_too() -> None:
    assert parse(bytearray(RAW)) == PSBT


@pytest.mark.parametrize(
    "wrap", [lambda text: text, lambda text: f"  {text}\n", lambda text: text[:64] + "\r\n" + text[64:]]
)
def test_base64_is_read_with_line_breaks(wrap: object) -> None:
    text = base64.b64encode(RAW).decode()
    assert callable(wrap)
    assert from_any(wrap(text)) == RAW
    assert from_any(wrap(text).encode()) == RAW
    assert from_any(RAW) == RAW


@pytest.mark.parametrize("text", ["", "hello", "cHNidP8", "cHNidP8=!", "cHNidP8ü", "aGVsbG8=", b"\xff\xfe", b"psbt"])
def test_what_is_neither_is_refused(text: str | bytes) -> None:
    with pytest.raises(InputError) as caught:
        from_any(text)
    assert caught.value.exit_code == 3


def test_size_is_capped_before_decoding() -> None:
    with pytest.raises(PsbtError, match="more than the 100 allowed"):
        parse(RAW, limit=100)
    with pytest.raises(PsbtError, match="100"):
        from_any(RAW, limit=100)
    with pytest.raises(PsbtError, match="100 bytes"):
        from_any(base64.b64encode(RAW), limit=100)


def test_c16_a_map_of_endless_fields_is_refused() -> None:
    fields = b"".join(record(b"\xe0" + number.to_bytes(4, "big"), b"") for number in range(MAX_MAP_FIELDS + 1))
    with pytest.raises(PsbtError, match=f"more than {MAX_MAP_FIELDS} fields"):
        parse(b"psbt\xff" + record(b"\x00", EMPTY_TX) + fields + b"\x00")


def test_c16_endless_fields_over_many_maps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_FIELDS > 25_000 * 38  # twenty derivations and signatures on as many inputs as a block holds
    monkeypatch.setattr(codec, "MAX_FIELDS", 20)
    with pytest.raises(PsbtError, match="more than 20 fields"):
        parse(RAW)


def test_c16_more_inputs_than_a_block_holds_are_refused() -> None:
    count = MAX_INPUTS + 1
    tx = b"\x02\x00\x00\x00" + write_compact(count) + (bytes(36) + b"\x00" + bytes(4)) * count + b"\x00" + bytes(4)
    with pytest.raises(PsbtError, match="block can hold") as caught:
        parse(b"psbt\xff" + record(b"\x00", tx) + b"\x00" + b"\x00" * count)
    assert caught.value.field == "PSBT_GLOBAL_UNSIGNED_TX"


def test_c16_a_length_beyond_the_end_is_refused_without_allocating() -> None:
    with pytest.raises(PsbtError) as caught:
        parse(b"psbt\xff\x01\x00\xff" + b"\xff" * 8 + b"\x00")
    assert (caught.value.where, caught.value.field) == ("global map", "PSBT_GLOBAL_UNSIGNED_TX")


def test_a_previous_transaction_without_the_output_parses_for_the_review_to_refuse() -> None:
    fields = dict(PSBT.inputs[0])
    short = b"\x02\x00\x00\x00\x01" + bytes(36) + b"\x00" + bytes(4) + b"\x01" + bytes(9) + bytes(4)
    raw = serialize(PSBT.with_input(0, {**fields, b"\x00": short}))
    assert serialize(parse(raw)) == raw


def test_the_message_names_the_place_first() -> None:
    raw = serialize(PSBT.with_input(1, {**PSBT.inputs[1], b"\x03": b"\x01"}))
    with pytest.raises(PsbtError) as caught:
        parse(raw)
    assert str(caught.value) == "input 1, PSBT_IN_SIGHASH_TYPE: value has 1 bytes, not 4"


def test_what_is_cut_off_anywhere_is_said_to_be_incomplete() -> None:
    raw = serialize(PSBT)
    for size in range(5, len(raw)):
        with pytest.raises(PsbtError) as caught:
            parse(raw[:size])
        assert "is it complete?" in (caught.value.hint or ""), (size, str(caught.value))
    for text in (base64.b64encode(raw)[:-3], base64.b64encode(raw)[:41]):
        with pytest.raises(InputError) as refused:
            parse(from_any(text))
        assert "is it complete?" in (refused.value.hint or "")


def test_a_value_that_is_cut_off_is_told_with_how_much_of_it_is_there() -> None:
    with pytest.raises(PsbtError, match="PSBT_GLOBAL_UNSIGNED_TX: value ends after 1 of 105 bytes"):
        parse(b"psbt\xff\x01\x00\x69\x02")


def test_a_length_that_is_written_too_long_is_not_called_incomplete() -> None:
    with pytest.raises(PsbtError) as caught:
        parse(b"psbt\xff\x01\x00\xfd\x01\x00\x02\x00")
    assert caught.value.hint is None
