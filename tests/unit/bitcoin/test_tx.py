from __future__ import annotations

import pytest
from bitcointx.core import CTransaction
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.bitcoin.compact import read_compact, write_compact
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.tx import (
    OutPoint,
    Transaction,
    TxInput,
    TxOutput,
    parse_transaction,
)
from wormsig.errors import InputError

# BIP143's first example: one input signed the old way, one with a witness.
SIGNED = bytes.fromhex(
    "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9cb"
    "62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed"
    "01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9"
    "148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac00"
    "0247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f5"
    "1928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000"
)

scripts = st.binary(max_size=300)
inputs = st.builds(
    TxInput,
    st.builds(OutPoint, st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1)),
    scripts,
    st.integers(0, 2**32 - 1),
)
outputs = st.builds(TxOutput, st.integers(0, 21 * 10**14), scripts)
stacks = st.lists(scripts, max_size=3).map(tuple)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    ins = tuple(draw(st.lists(inputs, min_size=1, max_size=4)))
    outs = tuple(draw(st.lists(outputs, min_size=1, max_size=4)))
    witnesses = tuple(draw(st.lists(stacks, min_size=len(ins), max_size=len(ins))))
    if not any(witnesses):
        witnesses = ()
    version, locktime = draw(st.integers(0, 2**31 - 1)), draw(st.integers(0, 2**32 - 1))
    return Transaction(version, ins, outs, locktime, witnesses)


@settings(max_examples=examples(20), deadline=None)
@given(transactions())
def test_round_trip_and_second_opinion(tx: Transaction) -> None:
    raw = tx.serialize()
    assert parse_transaction(raw) == tx
    other = CTransaction.deserialize(raw)
    assert other.serialize() == raw
    assert (other.GetTxid(), other.GetHash()[::-1].hex()) == (tx.txid_bytes, tx.wtxid)
    assert tx.vsize == -(-tx.weight // 4)
    stripped = tx.serialize(witness=False)
    assert parse_transaction(stripped).txid == tx.txid
    for number, output in enumerate(tx.outputs):
        assert previous_output(raw, number) == (tx.txid_bytes, output)
        assert previous_output(stripped, number) == (tx.txid_bytes, output)


@settings(max_examples=examples(30), deadline=None)
@given(transactions(), st.data())
def test_damaged_bytes_are_refused_or_read_to_the_last_byte(tx: Transaction, data: st.DataObject) -> None:
    raw = bytearray(tx.serialize())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = bytes(raw)
    try:
        parsed = parse_transaction(damaged)
    except InputError:
        parsed = None
    else:
        assert parsed.serialize() == damaged
    # The fast walk agrees with the parser; only the empty-witness rule is the parser's alone.
    for index in range(len(tx.outputs)):
        try:
            found = previous_output(damaged, index)
        except InputError:
            assert parsed is None or index >= len(parsed.outputs)
        else:
            if parsed is not None:
                assert found == (parsed.txid_bytes, parsed.outputs[index])


def test_known_transaction() -> None:
    tx = parse_transaction(SIGNED)
    assert tx.serialize() == SIGNED
    assert tx.version == 1
    assert tx.locktime == 17
    assert [output.sats for output in tx.outputs] == [112340000, 223450000]
    assert tx.txid == "e8151a2af31c368a35053ddd4bdb285a8595c769a3ad83e0fa02314a602d4609"
    assert [len(stack) for stack in tx.witnesses] == [0, 2]
    assert str(tx.inputs[1].outpoint) == "8ac60eb9575db5b2d987e29f301b5b819ea83a5c6579d282d189cc04b8e151ef:1"


@pytest.mark.parametrize("cut", [0, 3, 5, 30, 100, len(SIGNED) - 1])
def test_truncated(cut: int) -> None:
    with pytest.raises(InputError):
        parse_transaction(SIGNED[:cut])
    with pytest.raises(InputError):
        previous_output(SIGNED[:cut], 0)


def test_trailing_bytes() -> None:
    with pytest.raises(InputError, match="1 bytes too many"):
        parse_transaction(SIGNED + b"\x00")
    with pytest.raises(InputError, match="too many"):
        previous_output(SIGNED + b"\x00", 0)


def test_counts_beyond_the_bytes_are_refused_before_anything_is_made() -> None:
    bomb = b"\x02\x00\x00\x00\xff" + b"\xff" * 8 + bytes(50)
    for read in (parse_transaction, lambda raw: previous_output(raw, 0)):
        with pytest.raises(InputError, match="claims more inputs"):
            read(bomb)
    one_input = b"\x02\x00\x00\x00\x01" + bytes(36) + b"\x00" + bytes(4)
    with pytest.raises(InputError, match="claims more outputs"):
        parse_transaction(one_input + b"\xfe\xff\xff\xff\xff" + bytes(20))
    with pytest.raises(InputError, match="claims more outputs"):
        previous_output(one_input + b"\xfe\xff\xff\xff\xff" + bytes(20), 0)


def test_too_large_is_not_looked_at() -> None:
    huge = bytes((32 << 20) + 1)
    with pytest.raises(InputError, match="too large"):
        parse_transaction(huge)
    with pytest.raises(InputError, match="too large"):
        previous_output(huge, 0)


def test_witness_flag_without_witness_and_unknown_flags() -> None:
    ins, outs = (TxInput(OutPoint(bytes(32), 0)),), (TxOutput(1, b""),)
    plain = Transaction(2, ins, outs, 0).serialize()
    with pytest.raises(InputError, match="has none"):
        parse_transaction(plain[:4] + b"\x00\x01" + plain[4:-4] + b"\x00" + plain[-4:])
    with pytest.raises(InputError, match="unknown flag"):
        parse_transaction(plain[:4] + b"\x00\x02" + plain[4:])
    with pytest.raises(InputError, match="unknown flag"):
        previous_output(plain[:4] + b"\x00\x02" + plain[4:], 0)


def test_unsigned_transaction_of_a_psbt_may_have_no_inputs() -> None:
    raw = Transaction(2, (), (TxOutput(5, b"\x51"),), 0).serialize()
    assert parse_transaction(raw, allow_witness=False).outputs == (TxOutput(5, b"\x51"),)
    with pytest.raises(InputError):
        parse_transaction(SIGNED, allow_witness=False)
    empty = Transaction(2, (), (), 0)
    assert parse_transaction(empty.serialize()) == empty


def test_negative_amounts_are_read_for_the_review_to_see() -> None:
    tx = Transaction(2, (TxInput(OutPoint(bytes(32), 0)),), (TxOutput(-1, b""),), 0)
    assert parse_transaction(tx.serialize()).outputs[0].sats == -1


def test_missing_output() -> None:
    for index in (2, -1, 10**9):
        with pytest.raises(InputError, match="has no output"):
            previous_output(SIGNED, index)


def test_witness_stacks_must_match_the_inputs() -> None:
    tx = Transaction(2, (TxInput(OutPoint(bytes(32), 0)),), (), 0, ((b"x",), (b"y",)))
    with pytest.raises(InputError, match="one witness stack an input"):
        tx.serialize()


@pytest.mark.parametrize("value", [0, 0xFC, 0xFD, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000, 2**64 - 1])
def test_compact_sizes(value: int) -> None:
    encoded = write_compact(value)
    assert read_compact(b"x" + encoded, 1) == (value, 1 + len(encoded))
    for end in range(len(encoded)):
        with pytest.raises(InputError):
            read_compact(encoded[:end], 0)


@pytest.mark.parametrize("longer", ["fdfc00", "feffff0000", "ffffffffff00000000"])
def test_longer_forms_of_compact_sizes_are_refused(longer: str) -> None:
    with pytest.raises(InputError, match="shortest form"):
        read_compact(bytes.fromhex(longer), 0)


def test_outpoints_as_text() -> None:
    text = "8ac60eb9575db5b2d987e29f301b5b819ea83a5c6579d282d189cc04b8e151ef:1"
    point = OutPoint.from_text(text)
    assert str(point) == text
    assert point.serialize().hex() == "ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a01000000"
    for wrong in ("", "ab:0", text[:-2], text + "x", text[:-1] + "-1", text[:-1] + "4294967296", "zz" + text[2:]):
        with pytest.raises(InputError):
            OutPoint.from_text(wrong)


def test_outputs_alone() -> None:
    output = TxOutput(1234, b"\x51\x52")
    assert TxOutput.parse(output.serialize()) == output
    for wrong in (b"", output.serialize()[:-1], output.serialize() + b"\x00", bytes(8) + b"\xfd\x00\x00"):
        with pytest.raises(InputError):
            TxOutput.parse(wrong)
