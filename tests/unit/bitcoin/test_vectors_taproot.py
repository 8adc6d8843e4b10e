"""Public vectors: BIP386 and BIP387 scripts, BIP371's trees, keys and signatures.

The BIPs' descriptors are evaluated by a few lines here, for the primitives' sake: `wallet` has the real parser.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from wormsig.bitcoin import base58
from wormsig.bitcoin.compact import read_compact
from wormsig.bitcoin.keys import HARDENED, ExtendedPrivateKey, ExtendedPublicKey, parse_path
from wormsig.bitcoin.schnorr import schnorr_verify, split_signature, taproot_tweak_pubkey, xonly_of
from wormsig.bitcoin.secp import pubkey_of
from wormsig.bitcoin.sighash import Sighasher
from wormsig.bitcoin.taproot import (
    Nested,
    TaprootOutput,
    TapTree,
    multi_a_script,
    p2tr_script,
    parse_control_block,
    parse_multi_a,
    verify_control_block,
)
from wormsig.bitcoin.tx import TxOutput, parse_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Map = dict[bytes, bytes]


def load(vectors: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((vectors / name).read_text())["cases"]
    valid = [case for case in found if case["expect"] == "valid"]
    assert valid
    return valid


def key_of(text: str, index: int) -> bytes:
    """The x of a key expression, with `*` replaced by an index."""
    text = text.rpartition("]")[2]
    if len(text) in {64, 66}:
        return bytes.fromhex(text)[-32:]
    root, _, path = text.partition("/")
    if root[0] in "KL":
        return xonly_of(pubkey_of(base58.decode_check(root)[1:33]))[0]
    steps = parse_path(path.replace("*", str(index)))
    if root.startswith("xprv"):
        return xonly_of(ExtendedPrivateKey.from_text(root).derive(steps).pubkey)[0]
    assert not any(step >= HARDENED for step in steps)
    return xonly_of(ExtendedPublicKey.from_text(root).derive(steps).pubkey)[0]


def split(text: str) -> list[str]:
    """Split at the commas outside of all brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "({") - (letter in ")}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def tree_of(text: str, index: int) -> Nested:
    if text[0] == "{":
        return [tree_of(side, index) for side in split(text[1:-1])]
    name, _, inner = text[:-1].partition("(")
    if name == "pk":
        return b"\x20" + key_of(inner, index) + b"\xac"
    threshold, *keys = inner.split(",")
    found = [key_of(key, index) for key in keys]
    assert name in {"multi_a", "sortedmulti_a"}
    script = multi_a_script(int(threshold), sorted(found) if name == "sortedmulti_a" else found)
    assert parse_multi_a(script) is not None
    return script


def script_of(descriptor: str, index: int) -> bytes:
    internal, *tree = split(descriptor.removeprefix("tr(")[:-1])
    return TaprootOutput(key_of(internal, index), TapTree.nested(tree_of(tree[0], index)) if tree else None).script


def test_descriptors_give_their_scripts(vectors: Path) -> None:
    compared = 0
    for name in ("bip386.json", "bip387.json"):
        for case in load(vectors, name):
            for index, script in enumerate(case["scripts"]):
                assert script_of(case["descriptor"], index).hex() == script, case["id"]
                compared += 1
    assert compared == 7 + 10


def maps_of(case: dict[str, Any]) -> Iterator[Map]:
    data, offset = base64.b64decode(case["psbt"]), 5
    while offset < len(data):
        found: Map = {}
        size, offset = read_compact(data, offset)
        while size:
            key = data[offset : offset + size]
            size, offset = read_compact(data, offset + size)
            found[key] = data[offset : offset + size]
            size, offset = read_compact(data, offset + size)
        yield found


def test_bip371_keys_trees_and_signatures(vectors: Path) -> None:
    controls = signatures = 0
    for case in load(vectors, "bip371.json"):
        first, spending, *_ = maps_of(case)
        spent = TxOutput.parse(spending[b"\x01"])
        internal, root = spending[b"\x17"], spending.get(b"\x18")
        if root is not None or not any(key[0] == 0x15 for key in spending):
            assert p2tr_script(taproot_tweak_pubkey(internal, root)[0]) == spent.script
        leaves = {key[1:]: value for key, value in spending.items() if key[0] == 0x15}
        for control, value in leaves.items():
            parsed = parse_control_block(control)
            assert (parsed.internal_key, parsed.leaf_version) == (internal, value[-1])
            assert parsed.merkle_root(value[:-1]) == root
            assert verify_control_block(control, value[:-1], spent.script[2:])
            controls += 1
        hasher = Sighasher(parse_transaction(first[b"\x00"], allow_witness=False), [spent])
        for key, value in spending.items():
            if key[0] not in {0x13, 0x14}:
                continue
            split_up = split_signature(value)
            assert split_up is not None
            if key[0] == 0x13:
                assert schnorr_verify(spent.script[2:], hasher.taproot(0, split_up[1]), split_up[0])
            else:
                assert schnorr_verify(key[1:33], hasher.tapscript(0, key[33:], split_up[1]), split_up[0])
            signatures += 1
    assert (controls, signatures) == (6, 4)


def test_bip371_output_tree(vectors: Path) -> None:
    compared = 0
    for case in load(vectors, "bip371.json"):
        first, _, *outputs = maps_of(case)
        tx = parse_transaction(first[b"\x00"], allow_witness=False)
        for output, expected in zip(outputs, tx.outputs, strict=False):
            if b"\x05" not in output:
                continue
            tree, data, offset = None, output.get(b"\x06"), 0
            if data:
                leaves = []
                while offset < len(data):
                    depth, version = data[offset], data[offset + 1]
                    size, offset = read_compact(data, offset + 2)
                    leaves.append((depth, version, data[offset : offset + size]))
                    offset += size
                tree = TapTree.of(leaves)
            assert TaprootOutput(output[b"\x05"], tree).script == expected.script
            compared += tree is not None
    assert compared == 1
