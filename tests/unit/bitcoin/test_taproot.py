from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from bitcointx import ChainParams
from bitcointx.core.key import XOnlyPubKey
from bitcointx.core.script import CScript, TaprootScriptTree
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.bitcoin import secp
from wormsig.bitcoin.network import Network, address_of
from wormsig.bitcoin.schnorr import is_xonly, xonly_of
from wormsig.bitcoin.script import ScriptType, classify, script_asm
from wormsig.bitcoin.taproot import (
    MAX_MULTI_A_KEYS,
    NUMS_KEY,
    ControlBlock,
    MultiA,
    Nested,
    TapLeaf,
    TaprootOutput,
    TaprootWitness,
    TapTree,
    multi_a_script,
    p2tr_script,
    parse_control_block,
    parse_multi_a,
    split_witness,
    tagged_hash,
    tapbranch_hash,
    tapleaf_hash,
    verify_control_block,
)
from wormsig.errors import InputError

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "bip341.json").read_text())["scriptPubKey"]
KEYS = [xonly_of(secp.pubkey_of(number.to_bytes(32, "big")))[0] for number in range(1, 25)]


def flipped(at: int, by: int) -> bytes:
    script = bytearray(multi_a_script(2, KEYS[:3]))
    script[at] ^= by
    return bytes(script)


def nested(tree: Any) -> Nested:
    if isinstance(tree, dict):
        return TapLeaf(bytes.fromhex(tree["script"]), tree["leafVersion"])
    return [nested(side) for side in tree]


@pytest.mark.parametrize("case", VECTORS)
def test_bip341_trees(case: dict[str, Any]) -> None:
    internal = bytes.fromhex(case["given"]["internalPubkey"])
    tree = TapTree.nested(nested(case["given"]["scriptTree"])) if "scriptTree" in case["given"] else None
    output = TaprootOutput(internal, tree)
    assert output.output_key.hex() == case["intermediary"]["tweakedPubkey"]
    assert output.script.hex() == case["expected"]["scriptPubKey"]
    assert classify(output.script) is ScriptType.TR
    assert address_of(output.script, Network.MAINNET) == case["expected"]["bip350Address"]
    if tree is None:
        assert output.merkle_root is None
        return
    assert tree.merkle_root.hex() == case["intermediary"]["merkleRoot"]
    assert [leaf.hash.hex() for _, leaf in tree.leaves] == case["intermediary"]["leafHashes"]
    controls = [output.control_block(number) for number in range(len(tree.leaves))]
    assert [control.hex() for control in controls] == case["expected"]["scriptPathControlBlocks"]
    for control, (_, leaf) in zip(controls, tree.leaves, strict=True):
        assert verify_control_block(control, leaf.script, output.output_key)
        assert parse_control_block(control).encode() == control


def test_nums_key_is_the_hash_of_the_generator() -> None:
    generator = bytes.fromhex(
        "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    assert hashlib.sha256(generator).digest() == NUMS_KEY
    assert is_xonly(NUMS_KEY)


def test_hashes_by_hand() -> None:
    tag = hashlib.sha256(b"TapLeaf").digest()
    assert tapleaf_hash(b"\x51") == hashlib.sha256(tag + tag + b"\xc0\x01\x51").digest()
    assert tapleaf_hash(b"\x51" * 300, 0xFA) == tagged_hash("TapLeaf", b"\xfa\xfd\x2c\x01" + b"\x51" * 300)
    low, high = bytes(32), b"\xff" * 32
    assert tapbranch_hash(low, high) == tapbranch_hash(high, low) == tagged_hash("TapBranch", low + high)


LEAVES = st.builds(TapLeaf, st.binary(max_size=300), st.sampled_from([0xC0, 0xC0, 0xC0, 0xFA, 0x50, 0]))
TREES = st.recursive(LEAVES, lambda side: st.tuples(side, side), max_leaves=20)


@settings(max_examples=examples(15), deadline=None)
@given(TREES, st.sampled_from([NUMS_KEY, *KEYS]), st.data())
def test_every_leaf_of_any_tree_can_be_shown(shape: Nested, internal: bytes, data: st.DataObject) -> None:
    tree = TapTree.nested(shape)
    assert tree == TapTree.of((depth, leaf.version, leaf.script) for depth, leaf in tree.leaves)
    output = TaprootOutput(internal, tree)
    for number, (depth, leaf) in enumerate(tree.leaves):
        control = output.control_block(number)
        parsed = parse_control_block(control)
        assert parsed == ControlBlock(leaf.version, control[0] & 1, internal, tree.path(number))
        assert len(parsed.path) == depth
        assert parsed.merkle_root(leaf.script) == tree.merkle_root
    number = data.draw(st.integers(0, len(tree.leaves) - 1))
    control, script = output.control_block(number), tree.leaves[number][1].script
    assert verify_control_block(control, script, output.output_key)
    assert not verify_control_block(control, script + b"\x51", output.output_key)
    assert not verify_control_block(control, script, KEYS[0])
    place = data.draw(st.integers(0, len(control) - 1))
    changed = bytearray(control)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert not verify_control_block(bytes(changed), script, output.output_key)
    for wrong in (control[:-1], control + b"\x00", control + bytes(32), b""):
        assert not verify_control_block(wrong, script, output.output_key)


def test_second_opinion_on_trees() -> None:
    secp.equip_bitcointx()
    scripts = [b"\x51", b"\x52", multi_a_script(2, KEYS[:3])]
    with ChainParams("bitcoin"):  # a context variable, which pytest's own contexts do not inherit
        named = [CScript(script, name=str(number)) for number, script in enumerate(scripts)]
        other = TaprootScriptTree([named[0], TaprootScriptTree(named[1:])], internal_pubkey=XOnlyPubKey(NUMS_KEY))
        expected = [other.get_script_with_control_block(str(number)) for number in range(3)]
        assert other.output_pubkey is not None
    output = TaprootOutput(NUMS_KEY, TapTree.nested((scripts[0], (scripts[1], scripts[2]))))
    assert output.merkle_root == other.merkle_root
    assert output.output_key == bytes(other.output_pubkey)
    controls = [output.control_block(number) for number in range(3)]
    assert [(bytes(each[0]), each[1]) if each else None for each in expected] == list(
        zip(scripts, controls, strict=True)
    )


@pytest.mark.parametrize(
    "depths",
    [
        [],
        [1],
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1, 0],
        [1, 1, 1],
        [1, 2],
        [2, 2],
        [2, 1, 1],
        [2, 1, 2],
        [1, 2, 2, 2],
        [-1],
        [129],
        [*range(1, 129), 129, 129],
    ],
)
def test_depths_that_make_no_tree(depths: list[int]) -> None:
    with pytest.raises(InputError, match="taproot lea"):
        TapTree.of((depth, 0xC0, b"\x51") for depth in depths)


@pytest.mark.parametrize(
    "depths", [[0], [1, 1], [1, 2, 2], [2, 2, 1], [2, 2, 2, 2], [1, 2, 3, 3], [*range(1, 129), 128]]
)
def test_depths_that_make_a_tree(depths: list[int]) -> None:
    tree = TapTree.of((depth, 0xC0, bytes((number,))) for number, depth in enumerate(depths))
    assert [len(tree.path(number)) for number in range(len(depths))] == depths
    for wrong in (-1, len(depths)):
        with pytest.raises(InputError, match="has no leaf"):
            tree.path(wrong)


def test_nested_trees_that_are_none() -> None:
    deep: Nested = b"\x51"
    for _ in range(129):
        deep = (b"\x51", deep)
    wrong: list[Nested] = [(), (b"\x51",), (b"\x51",) * 3, (b"\x51", ()), deep]
    for tree in wrong:
        with pytest.raises(InputError):
            TapTree.nested(tree)
    assert isinstance(deep, tuple)
    assert len(TapTree.nested(deep[1]).leaves) == 129


@pytest.mark.parametrize("version", [1, 0xC1, 0x100, -2])
def test_leaf_versions_are_even_bytes(version: int) -> None:
    with pytest.raises(InputError, match="leaf version"):
        TapLeaf(b"", version)


def test_no_such_leaf_or_key() -> None:
    output = TaprootOutput(NUMS_KEY, TapTree.nested(b"\x51"))
    assert output.control_block(0)[1:] == NUMS_KEY
    for wrong in (-1, 1):
        with pytest.raises(InputError, match="has no leaf"):
            output.control_block(wrong)
    with pytest.raises(InputError, match="has no leaf"):
        _ = TaprootOutput(NUMS_KEY).control_block(0)
    with pytest.raises(InputError, match="internal key"):
        _ = TaprootOutput((5).to_bytes(32, "big")).script


@pytest.mark.parametrize("size", [0, 1, 32, 34, 64, 66, 33 + 32 * 129])
def test_control_blocks_of_wrong_sizes(size: int) -> None:
    with pytest.raises(InputError, match=f"control block has {size} bytes"):
        parse_control_block(bytes(size))
    assert not verify_control_block(bytes(size), b"\x51", NUMS_KEY)


def test_control_block_of_most_steps() -> None:
    control = b"\xc1" + NUMS_KEY + bytes(32 * 128)
    parsed = parse_control_block(control)
    assert (parsed.leaf_version, parsed.parity, len(parsed.path)) == (0xC0, 1, 128)
    output = TaprootOutput(
        NUMS_KEY, TapTree.of([*((depth, 0xC0, b"") for depth in range(1, 129)), (128, 0xC0, b"\x51")])
    )
    assert verify_control_block(output.control_block(128), b"\x51", output.output_key)


def test_internal_keys_off_the_curve_show_nothing() -> None:
    control = b"\xc0" + (5).to_bytes(32, "big")
    assert not verify_control_block(control, b"\x51", NUMS_KEY)


def test_witnesses() -> None:
    signature, script, control = bytes(64), b"\x51", b"\xc0" + NUMS_KEY
    assert split_witness([signature]) == TaprootWitness((signature,))
    assert split_witness([b"\x50"]) == TaprootWitness((b"\x50",))
    assert split_witness([script, control]) == TaprootWitness((), script, control)
    assert split_witness([b"", signature, script, control]) == TaprootWitness((b"", signature), script, control)
    assert split_witness([script, b""]) == TaprootWitness((), script, b"")
    with pytest.raises(InputError, match="empty"):
        split_witness([])
    for stack in ([signature, b"\x50"], [signature, script, control, b"\x50annex"]):
        with pytest.raises(InputError, match="annex"):
            split_witness(stack)


def test_multi_a_by_hand() -> None:
    script = multi_a_script(2, KEYS[:3])
    a, b, c = (key.hex() for key in KEYS[:3])
    assert script_asm(script) == f"{a} OP_CHECKSIG {b} OP_CHECKSIGADD {c} OP_CHECKSIGADD OP_2 OP_NUMEQUAL"
    assert parse_multi_a(script) == MultiA(2, tuple(KEYS[:3]))
    assert script_asm(multi_a_script(1, KEYS[:1])) == f"{a} OP_CHECKSIG OP_1 OP_NUMEQUAL"
    assert script_asm(multi_a_script(17, KEYS)).endswith(" 11 OP_NUMEQUAL")


@pytest.mark.parametrize("count", [1, 2, 16, 17, 127, 128, 255, 256, MAX_MULTI_A_KEYS])
def test_multi_a_round_trips_at_its_edges(count: int) -> None:
    keys = tuple((KEYS * (count // len(KEYS) + 1))[:count])
    for threshold in {1, count, (count + 1) // 2}:
        script = multi_a_script(threshold, keys)
        assert parse_multi_a(script) == MultiA(threshold, keys)
        assert script_asm(script).endswith("OP_NUMEQUAL")
        number = script[34 * count : -1]
        if threshold > 16:
            assert int.from_bytes(number[1:], "little", signed=True) == threshold
            assert len(number) == number[0] + 1


def test_multi_a_that_cannot_be() -> None:
    for threshold, count in ((0, 1), (2, 1), (-1, 3), (0, 0), (1, 0), (1, MAX_MULTI_A_KEYS + 1)):
        with pytest.raises(InputError, match="no multisig"):
            multi_a_script(threshold, KEYS[:1] * count)
    for key in (KEYS[0][:31], b"\x02" + KEYS[0], b""):
        with pytest.raises(InputError, match="32 bytes"):
            multi_a_script(1, [KEYS[0], key])


def test_other_scripts_are_no_multi_a() -> None:
    good = multi_a_script(2, KEYS[:3])
    key = b"\x20" + KEYS[0]
    wrong = [
        b"",
        b"\x9c",
        b"\x51\x9c",
        good[:-1],
        good + b"\x51",
        good[:-1] + b"\x9d",  # NUMEQUALVERIFY
        good[:-2] + b"\x00\x9c",
        good[:-2] + b"\x54\x9c",  # 4 of 3
        good[:-2] + b"\x01\x02\x9c",  # not the shortest
        good[:-2] + b"\x02\x02\x00\x9c",
        good[:-2] + b"\x9c",
        good[:-2] + b"\x4f\x9c",
        good[:-2] + b"\x52\x52\x9c",
        good[:33] + b"\xba" + good[34:],  # begins with CHECKSIGADD
        good[:67] + b"\xac" + good[68:],  # two CHECKSIG
        good[:33] + b"\xad" + good[34:],
        key + b"\xac",
        key + b"\xac\x51",
        b"\x21\x02" + KEYS[0] + b"\xac\x51\x9c",
        b"\x00" + good,
    ]
    for script in wrong:
        assert parse_multi_a(script) is None, script.hex()
    for end in range(len(good)):
        assert parse_multi_a(good[:end]) is None
    crowd = b"\xba".join([key] * (MAX_MULTI_A_KEYS + 1)).replace(b"\xba", b"\xac", 1)
    assert parse_multi_a(crowd + b"\xba\x51\x9c") is None


@settings(max_examples=examples(30), deadline=None)
@given(st.binary(max_size=120) | st.builds(flipped, st.integers(0, 103), st.integers(1, 255)))
def test_what_parses_as_multi_a_is_written_back_the_same(script: bytes) -> None:
    parsed = parse_multi_a(script)
    if parsed is not None:
        assert multi_a_script(parsed.threshold, parsed.keys) == script


def test_p2tr_script() -> None:
    assert p2tr_script(NUMS_KEY) == b"\x51\x20" + NUMS_KEY
