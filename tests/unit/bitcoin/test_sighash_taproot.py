"""BIP341 and BIP342 signature hashes, on the BIP's vectors and against bitcointx."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bitcointx import ChainParams
from bitcointx.core import CTransaction, CTxOut
from bitcointx.core.script import SIGVERSION_TAPROOT, SIGVERSION_TAPSCRIPT, CScript, SIGHASH_Type, SignatureHashSchnorr
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.bitcoin.schnorr import schnorr_verify, split_signature
from wormsig.bitcoin.script import sha256
from wormsig.bitcoin.sighash import TAPROOT_TYPES, Sighasher
from wormsig.bitcoin.taproot import split_witness
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput, parse_transaction
from wormsig.errors import InputError

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "bip341.json").read_text())["keyPathSpending"]
TYPES = sorted(TAPROOT_TYPES)
LEAF = sha256(b"leaf")


def vector_spent() -> list[TxOutput]:
    return [
        TxOutput(each["amountSats"], bytes.fromhex(each["scriptPubKey"])) for each in VECTORS["given"]["utxosSpent"]
    ]


def transaction(inputs: int, outputs: int, locktime: int = 0) -> Transaction:
    return Transaction(
        2,
        tuple(TxInput(OutPoint(bytes((i + 1,)) * 32, i), b"", 0xFFFFFFFD - i) for i in range(inputs)),
        tuple(TxOutput(1000 * (i + 1), bytes((0x51,)) * (i + 1)) for i in range(outputs)),
        locktime,
    )


def outputs_spent(count: int) -> list[TxOutput]:
    return [TxOutput(5000 + i, b"\x51\x20" + bytes((i,)) * 32) for i in range(count)]


def both(hasher: Sighasher, index: int, sighash_type: int) -> tuple[bytes, bytes]:
    return hasher.taproot(index, sighash_type), hasher.tapscript(index, LEAF, sighash_type)


def test_bip341_midstates() -> None:
    hasher = Sighasher(parse_transaction(bytes.fromhex(VECTORS["given"]["rawUnsignedTx"])), vector_spent())
    expected = {name: bytes.fromhex(value) for name, value in VECTORS["intermediary"].items()}
    assert hasher._hashes() == (expected["hashPrevouts"], expected["hashSequences"], expected["hashOutputs"])


@pytest.mark.parametrize("case", VECTORS["inputSpending"])
def test_bip341_messages_and_hashes(case: dict[str, Any]) -> None:
    tx = parse_transaction(bytes.fromhex(VECTORS["given"]["rawUnsignedTx"]))
    hasher = Sighasher(tx, vector_spent())
    index, sighash_type = case["given"]["txinIndex"], case["given"]["hashType"]
    assert hasher._taproot_message(index, sighash_type, 0)[64:].hex() == case["intermediary"]["sigMsg"]
    assert hasher.taproot(index, sighash_type).hex() == case["intermediary"]["sigHash"]


def test_bip341_signed_transaction() -> None:
    tx = parse_transaction(bytes.fromhex(VECTORS["auxiliary"]["fullySignedTx"]))
    spent = vector_spent()
    hasher = Sighasher(tx, spent)
    checked = 0
    for index, output in enumerate(spent):
        if output.script[:2] != b"\x51\x20":
            continue
        witness = split_witness(tx.witnesses[index])
        split = split_signature(witness.arguments[0])
        assert split is not None
        assert schnorr_verify(output.script[2:], hasher.taproot(index, split[1]), split[0])
        checked += 1
    assert checked == 7


@settings(max_examples=examples(20), deadline=None)
@given(
    st.builds(transaction, st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31 - 1)),
    st.sampled_from(TYPES),
    st.lists(st.builds(TxOutput, st.integers(0, 21 * 10**14), st.binary(max_size=300)), min_size=4, max_size=4),
    st.binary(min_size=32, max_size=32),
    st.sampled_from([0xFFFFFFFF, 0, 7]),
)
def test_second_opinion(
    tx: Transaction, sighash_type: int, spent: list[TxOutput], leaf: bytes, codeseparator: int
) -> None:
    hasher = Sighasher(tx, spent[: len(tx.inputs)])
    with ChainParams("bitcoin"):  # a context variable, which pytest's own contexts do not inherit
        other = CTransaction.deserialize(tx.serialize())
        coins = [CTxOut(output.sats, CScript(output.script)) for output in hasher.spent if output]
        kind = SIGHASH_Type(sighash_type) if sighash_type else None
        for index in range(len(tx.inputs)):
            if sighash_type & 3 == 3 and index >= len(tx.outputs):
                continue
            assert hasher.taproot(index, sighash_type) == SignatureHashSchnorr(
                other, index, coins, hashtype=kind, sigversion=SIGVERSION_TAPROOT
            )
            assert hasher.tapscript(index, leaf, sighash_type, codeseparator=codeseparator) == SignatureHashSchnorr(
                other,
                index,
                coins,
                hashtype=kind,
                sigversion=SIGVERSION_TAPSCRIPT,
                tapleaf_hash=leaf,
                codeseparator_pos=-1 if codeseparator == 0xFFFFFFFF else codeseparator,
            )


def test_one_hasher_serves_all_inputs_and_kinds_in_any_order() -> None:
    tx, spent = transaction(5, 5), outputs_spent(5)
    shared = Sighasher(tx, spent)
    for index in (4, 0, 2, 2, 1, 3):
        for sighash_type in TYPES:
            assert both(shared, index, sighash_type) == both(Sighasher(tx, spent), index, sighash_type)
            assert shared.segwit_v0(index, b"\x51", 5, 1) == Sighasher(tx).segwit_v0(index, b"\x51", 5, 1)


def test_every_input_type_path_leaf_and_position_has_its_own_hash() -> None:
    hasher = Sighasher(transaction(3, 3), outputs_spent(3))
    hashes = [found for index in range(3) for kind in TYPES for found in both(hasher, index, kind)]
    hashes += [hasher.tapscript(0, LEAF, 0, codeseparator=0), hasher.tapscript(0, sha256(LEAF), 0)]
    assert len(set(hashes)) == 3 * 7 * 2 + 2


def test_what_each_type_covers() -> None:
    tx, spent = transaction(2, 2), outputs_spent(2)
    hasher = Sighasher(tx, spent)
    other_output = Transaction(2, tx.inputs, (tx.outputs[0], TxOutput(1, b"")), 0)
    own_output = Transaction(2, tx.inputs, (TxOutput(1, b""), tx.outputs[1]), 0)
    other_input = Transaction(2, (tx.inputs[0], TxInput(OutPoint(bytes(32), 9), b"", 9)), tx.outputs, 0)
    locked = Transaction(2, tx.inputs, tx.outputs, 1)
    changes = {
        Sighasher(other_output, spent): [0x02, 0x03, 0x82, 0x83],
        Sighasher(own_output, spent): [0x02, 0x82],
        Sighasher(other_input, spent): [0x81, 0x82, 0x83],
        Sighasher(locked, spent): [],
        Sighasher(tx, [spent[0], TxOutput(1, spent[1].script)]): [0x81, 0x82, 0x83],
        Sighasher(tx, [spent[0], TxOutput(spent[1].sats, b"")]): [0x81, 0x82, 0x83],
        Sighasher(tx, [TxOutput(1, spent[0].script), spent[1]]): [],
        Sighasher(tx, [TxOutput(spent[0].sats, b""), spent[1]]): [],
    }
    for changed, expected in changes.items():
        same = [kind for kind in TYPES if both(hasher, 0, kind) == both(changed, 0, kind)]
        assert same == expected
        assert [kind for kind in TYPES if hasher.taproot(0, kind) == changed.taproot(0, kind)] == expected


def test_types_that_do_not_exist() -> None:
    hasher = Sighasher(transaction(1, 1), outputs_spent(1))
    for wrong in (4, 0x80, 0x84, 0xC1, 0x101, -1, 0x41):
        with pytest.raises(InputError, match="taproot has no sighash type"):
            hasher.taproot(0, wrong)
        with pytest.raises(InputError, match="taproot has no sighash type"):
            hasher.tapscript(0, LEAF, wrong)


def test_single_without_its_output_is_refused() -> None:
    hasher = Sighasher(transaction(3, 2), outputs_spent(3))
    for sighash_type in (3, 0x83):
        with pytest.raises(InputError, match="SINGLE has no output 2"):
            hasher.taproot(2, sighash_type)
        assert len(hasher.taproot(1, sighash_type)) == 32


def test_unknown_spent_outputs() -> None:
    tx, spent = transaction(2, 2), outputs_spent(2)
    for known in ((), (spent[0], None)):
        hasher = Sighasher(tx, known)
        with pytest.raises(InputError, match="spends is not known") as caught:
            hasher.taproot(0, 0)
        assert "amounts and scripts of all inputs" in (caught.value.hint or "")
        assert hasher.segwit_v0(0, b"\x51", 5, 1) == Sighasher(tx).segwit_v0(0, b"\x51", 5, 1)
    alone = Sighasher(tx, (spent[0], None))
    for sighash_type in (0x81, 0x82, 0x83):
        assert both(alone, 0, sighash_type) == both(Sighasher(tx, spent), 0, sighash_type)
        with pytest.raises(InputError, match="input 1 spends is not known"):
            alone.taproot(1, sighash_type)


def test_as_many_spent_outputs_as_inputs() -> None:
    for count in (1, 3):
        with pytest.raises(InputError, match="2 inputs cannot spend"):
            Sighasher(transaction(2, 1), outputs_spent(count))


def test_missing_inputs() -> None:
    hasher = Sighasher(transaction(1, 1), outputs_spent(1))
    for index in (-1, 1):
        with pytest.raises(InputError, match="no input"):
            hasher.taproot(index, 0)
        with pytest.raises(InputError, match="no input"):
            hasher.tapscript(index, LEAF, 0)
