"""Small PSBTs that would cost a review far more than their bytes (row C16), and what a review makes of them.

Every bomb is built in two sizes; the larger one may cost as many times more as it has more bytes, and some on top for a
busy machine: what was quadratic took sixteen times as long and more.
"""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support.hostile import (
    MALLORY,
    Scene,
    add_input,
    edit_tx,
    one_leaf,
    previous_tx,
    scene_of,
)
from wormsig.bitcoin import secp
from wormsig.bitcoin.keys import KeyOrigin
from wormsig.bitcoin.schnorr import taproot_tweak_pubkey
from wormsig.bitcoin.script import MAX_ASM_OPERATIONS, p2wsh_script, push, script_asm
from wormsig.bitcoin.taproot import TapLeaf, TaprootOutput, TapTree, p2tr_script, tapbranch_hash, tapleaf_hash
from wormsig.bitcoin.tx import TxOutput
from wormsig.psbt import codec
from wormsig.render.lines import plain
from wormsig.render.report_text import inspect_lines
from wormsig.review.findings import Code
from wormsig.review.musig import MAX_SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report

INTERNAL = MALLORY.master.neuter().pubkey[1:]
GROWTH = 8
"""How many times larger the large bombs are."""
ALLOWED = 3 * GROWTH


def scene() -> Scene:
    return scene_of("wsh")


def xonly_keys(count: int, salt: str) -> list[bytes]:
    """X-only public keys that nobody knows the secrets of."""
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = hashlib.sha256(f"{salt} {number}".encode()).digest()
        number += 1
        if secp.is_pubkey(b"\x02" + key):
            found.append(key)
    return found


def with_input(script: bytes, fields: Mapping[bytes, bytes]) -> Psbt:
    return add_input(scene().psbt(), previous_tx(script, 5_000), dict(sorted(fields.items())))


def with_output(script: bytes, fields: Mapping[bytes, bytes]) -> Psbt:
    psbt = scene().psbt()
    grown = edit_tx(psbt, outputs=(*psbt.tx.outputs, TxOutput(1_000, script)))
    return grown.with_output(len(psbt.tx.outputs), dict(sorted(fields.items())))


def leaf_fields(output: TaprootOutput) -> dict[bytes, bytes]:
    assert output.tree is not None
    leaves = output.tree.leaves
    shown = {b"\x15" + output.control_block(at): leaf.script + b"\xc0" for at, (_, leaf) in enumerate(leaves)}
    return {**shown, b"\x17": output.internal_key, b"\x18": output.tree.merkle_root}


def musig_rounds(size: int) -> Psbt:
    """Nonces for a leaf each."""
    one, two = (b"\x02" + key for key in xonly_keys(2, "musig"))
    fields = {b"\x1a" + two: one}
    for number in range(100 * size):
        fields[b"\x1b" + one + two + hashlib.sha256(b"%d" % number).digest()] = one + two
    return with_input(p2tr_script(INTERNAL), fields)


def musig_groups(size: int) -> Psbt:
    """Aggregates of the same participant many times over, and a few leaves for all of them."""
    one, two, *aggregates = (b"\x02" + key for key in xonly_keys(2 + 10 * size, "groups"))
    fields = {b"\x1a" + aggregate: one * 200 for aggregate in aggregates}
    for number in range(20):
        fields[b"\x1b" + one + two + hashlib.sha256(b"%d" % number).digest()] = one + two
    return with_input(p2tr_script(INTERNAL), fields)


def preimages_for_leaves(size: int) -> Psbt:
    """Leaves that a search for preimages is made for, and preimages."""
    keys = xonly_keys(16 * size, "leaves")
    depth = (len(keys) - 1).bit_length()
    tree = TapTree(tuple((depth, TapLeaf(b"\x20" + key + b"\xac")) for key in keys))
    fields = leaf_fields(TaprootOutput(INTERNAL, tree))
    for number in range(100 * size):
        preimage = hashlib.sha256(b"%d" % number).digest()
        fields[b"\x0b" + hashlib.sha256(preimage).digest()] = preimage
    return with_input(TaprootOutput(INTERNAL, tree).script, fields)


def large_threshold(size: int) -> Psbt:
    """A `thresh` of many parts in a leaf."""
    first, *others = xonly_keys(24 * size, "thresh")
    script = b"\x20" + first + b"\xac" + b"".join([b"\x7c\x20" + key + b"\xac\x93" for key in others])
    wanted = 12 * size
    script += push(wanted.to_bytes(wanted.bit_length() // 8 + 1, "little")) + b"\x87"
    output = one_leaf(script, INTERNAL)
    return with_input(output.script, leaf_fields(output))


def claimed_descents(size: int) -> Psbt:
    """Keys of a script that all claim to descend from ours."""
    key = scene().people[0].key("wsh")
    origin = KeyOrigin(key.origin.fingerprint, (*key.origin.path, 0, 5)).encode()
    pubkeys = [b"\x02" + xonly for xonly in xonly_keys(250 * size, "claims")]
    script = b"".join([b"\x21" + pubkey for pubkey in pubkeys])
    return with_output(p2wsh_script(script), {b"\x01": script, **{b"\x02" + pubkey: origin for pubkey in pubkeys}})


def bad_signatures(size: int) -> Psbt:
    """Signatures that do not count, under keys of nobody."""
    script = b"\x61" * 1_000 + b"\x51"
    signature = b"\x30\x06\x02\x01\x01\x02\x01\x01\x01"
    keys = xonly_keys(400 * size, "signatures")
    return with_input(p2wsh_script(script), {b"\x05": script, **{b"\x02\x02" + key: signature for key in keys}})


BOMBS = (
    musig_rounds,
    musig_groups,
    preimages_for_leaves,
    large_threshold,
    claimed_descents,
    bad_signatures,
)


def seconds(raw: bytes) -> float:
    """Of looking at a PSBT, text included."""
    began = time.process_time()
    shown(codec.parse(raw))
    return time.process_time() - began


def shown(psbt: Psbt) -> Report:
    report = scene().review(psbt)
    assert plain(inspect_lines(report))
    return report


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_c16_a_review_takes_time_as_the_bytes_do(bomb: Callable[[int], Psbt]):
    small, large = (codec.serialize(bomb(size)) for size in (1, GROWTH))
    assert len(large) < 10 * len(small) + 10_000
    seconds(small)
    assert seconds(large) < ALLOWED * max(seconds(small), 0.02)


def peak(raw: bytes) -> int:
    """Bytes that looking at a PSBT takes at most."""
    shown(codec.parse(raw))
    tracemalloc.start()
    try:
        shown(codec.parse(raw))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def tiny_leaves(depth: int) -> tuple[bytes, bytes]:
    """PSBT_OUT_TAP_TREE of as many empty leaves as there is room for, and the script that commits to them."""
    root = tapleaf_hash(b"", 0xC0)
    for _ in range(depth):
        root = tapbranch_hash(root, root)
    tree = bytes((depth, 0xC0, 0)) * (1 << depth)
    return tree, p2tr_script(taproot_tweak_pubkey(INTERNAL, root)[0])


def test_c16_a_tree_of_tiny_leaves_takes_no_memory():
    tree, script = tiny_leaves(16)
    raw = codec.serialize(with_output(script, {b"\x05": INTERNAL, b"\x06": tree}))
    assert peak(raw) < 20 * len(raw)


def test_c16_trees_that_do_not_belong_to_their_outputs_count_as_well():
    tree, script = tiny_leaves(15)
    psbt, first = scene().psbt(), len(scene().psbt().tx.outputs)
    scripts = (p2tr_script(INTERNAL), script, p2tr_script(INTERNAL))
    psbt = edit_tx(psbt, outputs=(*psbt.tx.outputs, *[TxOutput(1_000, each) for each in scripts]))
    for index in range(first, first + len(scripts)):
        psbt = psbt.with_output(index, {b"\x05": INTERNAL, b"\x06": tree})
    found = [each.where for each in shown(psbt).findings if each.code is Code.OUTPUT_SCRIPT_MISMATCH]
    assert found == [f"output {first}"]  # nothing is left for the third, which is hidden now


@pytest.mark.parametrize("where", ["bare", "hidden"])
def test_c16_a_script_of_many_operations_takes_no_memory(where: str):
    script = b"\x61" * 100_000
    psbt = with_output(script, {}) if where == "bare" else with_output(p2wsh_script(script), {b"\x01": script})
    raw = codec.serialize(psbt)
    assert peak(raw) < 50 * len(raw)  # it is written in hex, line by line


def test_c16_a_script_is_text_up_to_its_first_operations_and_hex_to_its_end():
    script = b"\xaf" * (MAX_ASM_OPERATIONS + 7)
    assert script_asm(script).endswith("OP_CHECKMULTISIGVERIFY [7 bytes more]")
    assert script_asm(script[:-7]).endswith("OP_CHECKMULTISIGVERIFY")
    report = shown(with_output(script, {}))
    assert report.outputs[2].script == script.hex()
    assert Code.NONSTANDARD_SCRIPT in {finding.code for finding in report.warnings}


def test_c16_of_musig_rounds_only_so_many_keys_are_shown():
    shown_keys = [len(group.keys) for group in scene().review(musig_groups(GROWTH)).inputs[2].musig]
    assert 0 < sum(shown_keys) <= MAX_SHOWN


def test_c16_a_musig_group_that_is_too_large_to_show_hides_no_other():
    one, two, *_ = (b"\x02" + key for key in xonly_keys(2, "hidden"))
    fields = {b"\x1a" + one: one * MAX_SHOWN, b"\x1a" + two: two, b"\x1c" + two + two: bytes(32)}
    report = scene().review(with_input(p2tr_script(INTERNAL), fields))
    (group,) = report.inputs[2].musig
    assert ([key.pubkey for key in group.keys], group.signed) == ([two.hex()], (True,))
    assert Code.SIGNATURE_NOT_CHECKED in {finding.code for finding in report.findings}
