from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bitcointx.core import CTransaction
from bitcointx.core.script import SIGVERSION_BASE, SIGVERSION_WITNESS_V0, CScript, SignatureHash
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.bitcoin import secp
from wormsig.bitcoin import sighash as sighashes
from wormsig.bitcoin.script import multisig_script, p2pkh_script
from wormsig.bitcoin.sighash import Sighasher, sighash_name, sighash_type_named
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput, parse_transaction
from wormsig.errors import InputError

TYPES = [1, 2, 3, 0x81, 0x82, 0x83]
KEYS = tuple(secp.pubkey_of(number.to_bytes(32, "big")) for number in range(1, 4))
SCRIPT = multisig_script(2, KEYS)


def transaction(inputs: int, outputs: int, locktime: int = 0) -> Transaction:
    return Transaction(
        2,
        tuple(TxInput(OutPoint(bytes((i + 1,)) * 32, i), b"", 0xFFFFFFFD - i) for i in range(inputs)),
        tuple(TxOutput(1000 * (i + 1), bytes((0x51,)) * (i + 1)) for i in range(outputs)),
        locktime,
    )


def test_bip143_p2wpkh() -> None:
    tx = parse_transaction(
        bytes.fromhex(
            "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182"
            "d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f"
            "85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
        )
    )
    pubkey = bytes.fromhex("025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357")
    digest = Sighasher(tx).segwit_v0(1, p2pkh_script(pubkey), 600000000, 1)
    assert digest.hex() == "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"


def test_bip143_single_without_its_output_hashes_zeros() -> None:
    tx = parse_transaction(
        bytes.fromhex(
            "0100000002fe3dc9208094f3ffd12645477b3dc56f60ec4fa8e6f5d67c565d1c6b9216b36e0000000000ffffffff0815cf020f013ed6cf"
            "91d29f4202e8a58726b1ac6c79da47c23d1bee0a6925f80000000000ffffffff0100f2052a010000001976a914a30741f8145e5acadf23"
            "f751864167f32e0963f788ac00000000"
        )
    )
    script = bytes.fromhex(
        "21026dccc749adc2a9d0d89497ac511f760f45c47dc5ed9cf352a58ac706453880aeadab210255a9626aebf5e29c0e6538428ba0d1dcf6ca98ff"
        "df086aa8ced5e0d0215ea465ac"
    )
    hasher = Sighasher(tx)
    assert hasher.segwit_v0(1, script, 4900000000, 3).hex() == (
        "82dde6e4f1e94d02c2b7ad03d2115d691f48d064e9d52f58194a6637e4194391"
    )
    # After the executed OP_CODESEPARATOR.
    assert hasher.segwit_v0(1, script[36:], 4900000000, 3).hex() == (
        "fef7bd749cce710c5c052bd796df1af0d935e59cea63736268bcbe2d2134fc47"
    )


def test_legacy_single_without_its_output_is_the_constant_one() -> None:
    hasher = Sighasher(transaction(3, 2))
    for sighash_type in (3, 0x83):
        assert hasher.legacy(2, SCRIPT, sighash_type) == b"\x01" + bytes(31)
        assert hasher.legacy(1, SCRIPT, sighash_type) != b"\x01" + bytes(31)


@settings(max_examples=examples(20), deadline=None)
@given(
    st.builds(transaction, st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31 - 1)),
    st.sampled_from([*TYPES, 0, 4, 0x84]),
    st.sampled_from([SCRIPT, p2pkh_script(KEYS[0]), b"", b"\xab", b"\xab\x51\xab\x52", b"\x51" * 300, b"\x01\xab\xab"]),
    st.integers(0, 21 * 10**14),
)
def test_second_opinion(tx: Transaction, sighash_type: int, script: bytes, sats: int) -> None:
    other = CTransaction.deserialize(tx.serialize())
    hasher = Sighasher(tx)
    for index in range(len(tx.inputs)):
        if sighash_type & 0x1F != 3 or index < len(tx.outputs):  # bitcointx raises there
            expected = SignatureHash(CScript(script), other, index, sighash_type, 0, SIGVERSION_BASE)
            assert hasher.legacy(index, script, sighash_type) == expected
        expected = SignatureHash(CScript(script), other, index, sighash_type, sats, SIGVERSION_WITNESS_V0)
        assert hasher.segwit_v0(index, script, sats, sighash_type) == expected


def test_one_hasher_serves_all_inputs_in_any_order() -> None:
    tx = transaction(5, 5)
    shared = Sighasher(tx)
    for index in (4, 0, 2, 2, 1, 3):
        for sighash_type in TYPES:
            assert shared.legacy(index, SCRIPT, sighash_type) == Sighasher(tx).legacy(index, SCRIPT, sighash_type)
            assert shared.segwit_v0(index, SCRIPT, 5, sighash_type) == Sighasher(tx).segwit_v0(
                index, SCRIPT, 5, sighash_type
            )


def test_what_each_type_covers() -> None:
    """ALL covers every output and sequence; SINGLE and NONE do not; ANYONECANPAY drops the other inputs."""
    tx = transaction(2, 2)
    other_output = Transaction(2, tx.inputs, (tx.outputs[0], TxOutput(1, b"")), 0)
    other_input = Transaction(2, (tx.inputs[0], TxInput(OutPoint(bytes(32), 9), b"", 9)), tx.outputs, 0)
    for method in ("legacy", "segwit_v0"):

        def same(
            changed: Transaction, sighash_type: int, sats: tuple[int, ...] = (5,) * (method == "segwit_v0")
        ) -> bool:
            hashes = [
                getattr(Sighasher(each), method)(0, SCRIPT, *sats, sighash_type)  # noqa: B023  # called at once
                for each in (tx, changed)
            ]
            return bool(hashes[0] == hashes[1])

        assert [same(other_output, kind) for kind in TYPES] == [False, True, True, False, True, True]
        assert [same(other_input, kind) for kind in TYPES] == [False, False, False, True, True, True]


def test_amount_is_covered_by_segwit() -> None:
    hasher = Sighasher(transaction(1, 1))
    assert hasher.segwit_v0(0, SCRIPT, 5, 1) != hasher.segwit_v0(0, SCRIPT, 6, 1)


def test_legacy_bytes_are_capped_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    tx = transaction(4, 1)
    monkeypatch.setattr(sighashes, "LEGACY_PREIMAGE_CAP", 1200)
    hasher = Sighasher(tx)
    for _ in range(20):  # known already: hashed once, counted once
        hasher.legacy(0, SCRIPT, 1)
    for index in range(1, 4):
        hasher.legacy(index, SCRIPT, 1)
    with pytest.raises(InputError, match="legacy inputs"):
        hasher.legacy(0, SCRIPT, 2)


def test_what_threads_hash_at_once_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_one = Sighasher._legacy_hash

    def slowly(self: Sighasher, index: int, script_code: bytes, sighash_type: int) -> bytes:
        time.sleep(0.02)  # as long as a large transaction takes
        return hash_one(self, index, script_code, sighash_type)

    monkeypatch.setattr(Sighasher, "_legacy_hash", slowly)
    monkeypatch.setattr(sighashes, "LEGACY_PREIMAGE_CAP", 1200)
    hasher = Sighasher(transaction(4, 1))
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(hasher.legacy, index, SCRIPT, 1) for index in (0, 0, 0, 0, 1, 1, 1, 1)]
        found = [each.result() for each in asked]
    assert found == [found[0]] * 4 + [found[4]] * 4


def test_the_cap_is_200_mb() -> None:
    assert sighashes.LEGACY_PREIMAGE_CAP == 200_000_000


def test_missing_inputs() -> None:
    hasher = Sighasher(transaction(1, 1))
    for index in (-1, 1):
        with pytest.raises(InputError, match="no input"):
            hasher.legacy(index, SCRIPT, 1)
        with pytest.raises(InputError, match="no input"):
            hasher.segwit_v0(index, SCRIPT, 5, 1)


@pytest.mark.parametrize(
    ("sighash_type", "name"),
    [
        (0, "DEFAULT"),
        (1, "ALL"),
        (2, "NONE"),
        (3, "SINGLE"),
        (0x81, "ALL|ANYONECANPAY"),
        (0x82, "NONE|ANYONECANPAY"),
        (0x83, "SINGLE|ANYONECANPAY"),
        (0x80, "0x80"),
        (4, "0x04"),
        (0x101, "0x101"),
    ],
)
def test_names(sighash_type: int, name: str) -> None:
    assert sighash_name(sighash_type) == name
    assert sighash_type_named(name) == (None if name.startswith("0x") else sighash_type)


def test_names_as_people_write_them() -> None:
    assert sighash_type_named("all+anyonecanpay") == 0x81
    for wrong in ("", "ALL|", "ALL|X", "DEFAULT|ANYONECANPAY", "ANYONECANPAY", "ALL|ANYONECANPAY|"):
        assert sighash_type_named(wrong) is None
