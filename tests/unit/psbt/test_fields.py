from __future__ import annotations

import ast
from pathlib import Path

import pytest

import wormsig.psbt
from wormsig.psbt.fields import BY_TYPE, FIELDS, Map, checks, field_name, lookup
from wormsig.psbt.forms import tap_tree

PREFIX = {Map.GLOBAL: "PSBT_GLOBAL_", Map.INPUT: "PSBT_IN_", Map.OUTPUT: "PSBT_OUT_"}

REGISTRY = {
    Map.GLOBAL: """
        00 UNSIGNED_TX 174 Creator
        01 XPUB 174 Updater
        02 TX_VERSION 370 Creator
        03 FALLBACK_LOCKTIME 370 Creator
        04 INPUT_COUNT 370 Constructor
        05 OUTPUT_COUNT 370 Constructor
        06 TX_MODIFIABLE 370 Constructor
        07 SP_ECDH_SHARE 375 Signer
        08 SP_DLEQ 375 Signer
        09 GENERIC_SIGNED_MESSAGE 322 Creator
        fb VERSION 174 Creator
        fc PROPRIETARY 174 anybody
    """,
    Map.INPUT: """
        00 NON_WITNESS_UTXO 174 Updater
        01 WITNESS_UTXO 174 Updater
        02 PARTIAL_SIG 174 Signer
        03 SIGHASH_TYPE 174 Updater
        04 REDEEM_SCRIPT 174 Updater
        05 WITNESS_SCRIPT 174 Updater
        06 BIP32_DERIVATION 174 Updater
        07 FINAL_SCRIPTSIG 174 Input-Finalizer
        08 FINAL_SCRIPTWITNESS 174 Input-Finalizer
        09 POR_COMMITMENT 127 Updater
        0a RIPEMD160 174 Signer
        0b SHA256 174 Signer
        0c HASH160 174 Signer
        0d HASH256 174 Signer
        0e PREVIOUS_TXID 370 Constructor
        0f OUTPUT_INDEX 370 Constructor
        10 SEQUENCE 370 Constructor
        11 REQUIRED_TIME_LOCKTIME 370 Constructor
        12 REQUIRED_HEIGHT_LOCKTIME 370 Constructor
        13 TAP_KEY_SIG 371 Signer
        14 TAP_SCRIPT_SIG 371 Signer
        15 TAP_LEAF_SCRIPT 371 Updater
        16 TAP_BIP32_DERIVATION 371 Updater
        17 TAP_INTERNAL_KEY 371 Updater
        18 TAP_MERKLE_ROOT 371 Updater
        19 OWNERSHIP_PROOF 0 Updater
        1a MUSIG2_PARTICIPANT_PUBKEYS 373 Updater
        1b MUSIG2_PUB_NONCE 373 Signer
        1c MUSIG2_PARTIAL_SIG 373 Signer
        1d SP_ECDH_SHARE 375 Signer
        1e SP_DLEQ 375 Signer
        fc PROPRIETARY 174 anybody
    """,
    Map.OUTPUT: """
        00 REDEEM_SCRIPT 174 Updater
        01 WITNESS_SCRIPT 174 Updater
        02 BIP32_DERIVATION 174 Updater
        03 AMOUNT 370 Constructor
        04 SCRIPT 370 Constructor
        05 TAP_INTERNAL_KEY 371 Updater
        06 TAP_TREE 371 Updater
        07 TAP_BIP32_DERIVATION 371 Updater
        08 MUSIG2_PARTICIPANT_PUBKEYS 373 Updater
        09 SP_V0_INFO 375 Constructor
        0a SP_V0_LABEL 375 Updater
        35 DNSSEC_PROOF 353 Constructor
        fc PROPRIETARY 174 anybody
    """,
}
"""Number, name, BIP (0 is SLIP-19) and the role that adds it, as the BIPs have them: written down by hand."""


def test_the_table_is_consistent() -> None:
    assert len(BY_TYPE) == len(FIELDS) == len({field.name for field in FIELDS})
    for field in FIELDS:
        assert field.name.startswith(PREFIX[field.map])
        assert 0 <= field.type <= 0xFC
        assert field.versions
        assert field.key
        assert field.value


@pytest.mark.parametrize("kind", list(Map))
def test_numbers_names_and_roles_are_those_of_the_bips(kind: Map) -> None:
    stated = [tuple(line.split()) for line in REGISTRY[kind].strip().splitlines()]
    assert stated == [
        (f"{f.type:02x}", f.name.removeprefix(PREFIX[kind]), str(f.bip), f.added_by.value.replace(" ", "-"))
        for f in FIELDS
        if f.map is kind
    ]


def test_what_stays_in_a_final_input() -> None:
    """BIP174: the UTXOs and what is unknown; BIP370's stand for the transaction; the rest has done its work."""
    stays = {"NON_WITNESS_UTXO", "WITNESS_UTXO", "FINAL_SCRIPTSIG", "FINAL_SCRIPTWITNESS", "POR_COMMITMENT"}
    stays |= {"OWNERSHIP_PROOF", "SP_ECDH_SHARE", "SP_DLEQ", "PROPRIETARY", "PREVIOUS_TXID", "OUTPUT_INDEX", "SEQUENCE"}
    stays |= {"REQUIRED_TIME_LOCKTIME", "REQUIRED_HEIGHT_LOCKTIME"}
    assert {f.name.removeprefix("PSBT_IN_") for f in FIELDS if f.map is Map.INPUT and f.final} == stays


def test_the_bips_are_there() -> None:
    assert {field.bip for field in FIELDS} >= {174, 370, 371, 373, 375, 353}
    for field in FIELDS:
        assert (field.versions == {2}) == (field.bip == 370)
        assert field.required <= field.versions


def test_a_contribution_carries_only_what_a_signer_adds() -> None:
    carried = {field.name.removeprefix("PSBT_IN_") for field in FIELDS if field.contribution}
    assert carried == {
        "PARTIAL_SIG",
        "RIPEMD160",
        "SHA256",
        "HASH160",
        "HASH256",
        "TAP_KEY_SIG",
        "TAP_SCRIPT_SIG",
        "MUSIG2_PUB_NONCE",
        "MUSIG2_PARTIAL_SIG",
    }
    assert all(field.map is Map.INPUT for field in FIELDS if field.contribution)


def test_every_field_is_checked_in_its_version() -> None:
    for kind in Map:
        version_0, version_2 = checks(kind, 0), checks(kind, 2)
        for field in FIELDS:
            if field.map is kind:
                assert (version_0[field.type] is field.check) == (0 in field.versions)
                assert (version_2[field.type] is field.check) == (2 in field.versions)
        assert version_0[0xE0] is None


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"\x02\x03", "PSBT_IN_PARTIAL_SIG"),
        (b"\xfc\x00\x00", "PSBT_IN_PROPRIETARY"),
        (b"\x77key", "unknown type 0x77"),
        (b"\xfd\x00\x01", "unknown type 0x100"),
        (b"\xfd", "malformed key type"),
    ],
)
def test_keys_are_named(key: bytes, name: str) -> None:
    assert field_name(Map.INPUT, key) == name
    assert (lookup(Map.INPUT, key) is None) == (not name.startswith("PSBT"))


def test_the_forms_of_version_2_are_ready() -> None:
    count = checks(Map.GLOBAL, 2)[0x04]
    assert count is not None
    assert count(b"\x04", b"\xfd\x00\x01") is None
    assert count(b"\x04\x00", b"\x01")
    for wrong in (b"", b"\xfd\x01\x00", b"\x01\x00"):
        assert count(b"\x04", wrong)


def naive_tree(depths: list[int]) -> bool:
    """Consume leaves from the front, top down: another way to say what a whole tree is."""

    def take(position: int, depth: int) -> int | None:
        if position >= len(depths) or depths[position] < depth or depth > 128:
            return None
        if depths[position] == depth:
            return position + 1
        half = take(position, depth + 1)
        return None if half is None else take(half, depth + 1)

    return take(0, 0) == len(depths)


def test_taproot_trees_are_judged_as_a_recursive_reading_does() -> None:
    shapes = [
        [a, b, c, d][:size]
        for size in range(1, 5)
        for a in range(4)
        for b in range(4)
        for c in range(4)
        for d in range(4)
    ]
    whole = 0
    for depths in shapes:
        value = b"".join(bytes([depth, 0xC0, 0]) for depth in depths)
        assert (tap_tree(b"\x06", value) is None) == naive_tree(depths), depths
        whole += naive_tree(depths)
    assert whole


def test_only_what_checks_can_seal() -> None:
    importers = set()
    for file in Path(wormsig.psbt.__file__).parent.parent.rglob("*.py"):
        text = file.read_text()
        for node in ast.walk(ast.parse(text)) if "_seal" in text else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("_seal"):
                importers.add(file.name)
            if isinstance(node, ast.ImportFrom) and any(alias.name == "_seal" for alias in node.names):
                importers.add(file.name)
    assert importers == {"verify.py", "contribution.py", "combiner.py"}
