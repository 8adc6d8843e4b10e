from __future__ import annotations

import ast
from pathlib import Path

import pytest

import wormsig.psbt
from wormsig.psbt.fields import BY_TYPE, FIELDS, Map, checks, field_name, lookup
from wormsig.psbt.forms import tap_tree

PREFIX = {Map.GLOBAL: "PSBT_GLOBAL_", Map.INPUT: "PSBT_IN_", Map.OUTPUT: "PSBT_OUT_"}


def test_the_table_is_consistent() -> None:
    assert len(BY_TYPE) == len(FIELDS) == len({field.name for field in FIELDS})
    for field in FIELDS:
        assert field.name.startswith(PREFIX[field.map])
        assert 0 <= field.type <= 0xFC
        assert field.versions
        assert field.key
        assert field.value


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
