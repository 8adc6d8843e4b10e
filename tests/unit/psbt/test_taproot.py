"""What a PSBT says about a taproot input counts only as far as the output that is spent proves it (THREATS C7)."""

from __future__ import annotations

import pytest

from support.psbts import key_at
from support.taproot import people, script_of, spend, taproot_coin, without_leaves
from wormsig.bitcoin.script import p2sh_script
from wormsig.bitcoin.taproot import NUMS_KEY, TapLeaf, TaprootOutput, TapTree, multi_a_script, parse_control_block
from wormsig.bitcoin.tx import TxOutput
from wormsig.errors import PsbtError
from wormsig.psbt import taproot as proofs
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.model import (
    REDEEM_SCRIPT,
    TAP_INTERNAL_KEY,
    TAP_LEAF_SCRIPT,
    TAP_MERKLE_ROOT,
    WITNESS_SCRIPT,
    WITNESS_UTXO,
    Fields,
    Psbt,
)
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.taproot import Leaf, TaprootScripts, proven_leaf, tap_derivations
from wormsig.psbt.updater import with_input_taproot, with_output_taproot

KEYS = people(0)
RECOVERY = "and_v(v:pkh(@d),older(144))"
TREE = taproot_coin(0, "e", [((2, "abc"), (RECOVERY, "pk(@a)"))])
PSBT = spend([TREE])


def proven(psbt: Psbt, index: int = 0) -> TaprootScripts:
    found = input_scripts(psbt, index)
    assert found.script_type == "tr"
    assert (found.redeem, found.witness, found.multisig, found.script_code) == (None, None, None, b"")
    assert found.taproot is not None
    return found.taproot


def changed(fields: dict[bytes, bytes | None], psbt: Psbt = PSBT) -> Psbt:
    every = {**psbt.inputs[0], **fields}
    return psbt.with_input(0, {key: value for key, value in every.items() if value is not None})


def leaf_fields(fields: Fields) -> dict[bytes, bytes]:
    return {key: value for key, value in fields.items() if key[0] == TAP_LEAF_SCRIPT}


def test_everything_that_the_output_commits_to_is_proven() -> None:
    found = proven(PSBT)
    assert TREE.taproot is not None
    assert found == TaprootScripts.of(TREE.taproot)
    assert (found.output_key, found.internal_key) == (TREE.output.script[2:], TREE.xonly("e"))
    assert found.merkle_root == TREE.taproot.merkle_root
    assert [leaf.script for leaf in found.leaves.values()].count(TREE.leaf(1).script) == 1
    assert set(found.leaves) == {TREE.leaf(number).hash for number in range(3)}
    for leaf in found.leaves.values():
        assert parse_control_block(leaf.control).merkle_root(leaf.script) == found.merkle_root
    assert [leaf.multi_a is not None for leaf in found.leaves.values()].count(True) == 1


def test_one_tweak_proves_any_number_of_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    tweak = proofs.taproot_tweak_pubkey
    monkeypatch.setattr(proofs, "taproot_tweak_pubkey", lambda *given: calls.append(given) or tweak(*given))
    assert len(proven(parse(serialize(PSBT))).leaves) == 3
    assert len(calls) == 1


def test_who_can_sign_for_what() -> None:
    found = proven(PSBT)
    multi, recovery, single = (TREE.leaf(number).hash for number in range(3))
    a, c, d = TREE.xonly("a"), TREE.xonly("c"), TREE.xonly("d")
    assert set(found.signable(a)) == {a + multi, a + single}
    assert found.signable(c) == (c + multi,)
    assert found.signable(d) == (d + recovery,)  # the script has only the key's hash
    assert found.signable(TREE.xonly("e")) == (found.output_key,)  # tweaked: whoever has the key path needs no script
    assert found.signable(key_at("stranger", 0).pubkey[1:]) == ()
    assert all(found.has_key(key) for key in (a + multi, c + multi, d + recovery, found.output_key))
    for key in (d + multi, c + single, a + bytes(32), TREE.xonly("e"), a, KEYS["a"].pubkey, b""):
        assert not found.has_key(key)


def test_what_a_leaf_pushes_beside_its_keys_is_no_key() -> None:
    script = script_of("and_v(v:pk(@a),after(1000))", KEYS, tapscript=True)
    leaf = Leaf.of(script, 0xC0, b"")
    assert leaf.has_key(TREE.xonly("a"))
    assert not leaf.has_key(b"\xe8\x03")
    multi = Leaf.of(multi_a_script(1, [TREE.xonly("a")]), 0xC0, b"")
    assert not multi.has_key(TREE.xonly("b"))
    assert not multi.has_key(b"")


def test_a_leaf_of_a_version_without_meaning_is_signed_by_nobody() -> None:
    script = script_of("pk(@a)", KEYS, tapscript=True)
    coin = taproot_coin(0, None, [TapLeaf(script, 0xC2)])
    (leaf,) = proven(spend([coin])).leaves.values()
    assert (leaf.version, leaf.multi_a) == (0xC2, None)
    assert proven(spend([coin])).signable(coin.xonly("a")) == ()


# Less than everything


def test_leaves_alone_prove_the_internal_key_and_the_root() -> None:
    assert proven(changed({TAP_INTERNAL_KEY: None, TAP_MERKLE_ROOT: None})) == proven(PSBT)


def test_a_part_of_the_leaves_proves_itself() -> None:
    first = next(iter(leaf_fields(PSBT.inputs[0])))
    found = proven(changed({first: None}))
    assert len(found.leaves) == 2
    assert found.merkle_root == proven(PSBT).merkle_root


def test_internal_key_and_root_prove_each_other_without_a_leaf() -> None:
    found = proven(without_leaves(PSBT))
    assert (found.internal_key, found.merkle_root, found.leaves) == (
        TREE.xonly("e"),
        proven(PSBT).merkle_root,
        {},
    )


def test_an_internal_key_without_the_root_proves_nothing_and_is_no_lie() -> None:
    bare = without_leaves(changed({TAP_MERKLE_ROOT: None}))
    assert proven(bare) == TaprootScripts(TREE.output.script[2:])
    assert proven(changed({TAP_INTERNAL_KEY: None}, without_leaves(PSBT))) == TaprootScripts(TREE.output.script[2:])
    single = taproot_coin(1, "a")
    assert proven(spend([single])).internal_key == single.xonly("a")
    nothing = {WITNESS_UTXO: single.output.serialize()}
    assert proven(PSBT.with_input(0, nothing)) == TaprootScripts(single.output.script[2:])


def test_of_a_script_at_two_places_the_cheaper_one_is_kept() -> None:
    script = script_of("pk(@a)", KEYS, tapscript=True)
    coin = taproot_coin(0, None, [(script, (script, "pk(@b)"))])
    leaves = proven(spend([coin])).leaves
    assert len(leaves) == 2
    assert {len(leaf.control) for leaf in leaves.values()} == {33 + 32, 33 + 64}
    assert len(leaves[TapLeaf(script).hash].control) == 33 + 32
    assert coin.taproot is not None
    assert TaprootScripts.of(coin.taproot).leaves == leaves


# C7: what contradicts the output


def other_leaf(version: int = 0xC0, script: bytes | None = None) -> tuple[bytes, bytes]:
    control, value = next(iter(leaf_fields(PSBT.inputs[0]).items()))
    return control, (script or value[:-1]) + bytes([version])


LYING: list[tuple[str, dict[bytes, bytes | None], str]] = [
    ("a script that the tree does not have", dict([other_leaf(script=b"\x51")]), "contradicts"),
    ("another version than in the control block", dict([other_leaf(version=0xC2)]), "another leaf version"),
    ("another internal key", {TAP_INTERNAL_KEY: TREE.xonly("a")}, "contradicts"),
    ("another root", {TAP_MERKLE_ROOT: bytes(32)}, "contradicts"),
]


@pytest.mark.parametrize(("what", "fields", "words"), LYING)
def test_c7_a_field_that_contradicts_the_others_is_refused(
    what: str, fields: dict[bytes, bytes | None], words: str
) -> None:
    with pytest.raises(PsbtError, match=words) as caught:
        input_scripts(changed(fields), 0)
    assert (caught.value.where, caught.value.field) == ("input 0", "PSBT_IN_TAP_LEAF_SCRIPT"), what


def test_c7_a_leaf_of_another_output_is_refused() -> None:
    other = taproot_coin(3, "b", [(1, "bc")])
    fields = {key: None for key in PSBT.inputs[0] if key[0] != WITNESS_UTXO[0]}
    with pytest.raises(PsbtError, match="does not commit to the output"):
        input_scripts(changed({**fields, **leaf_fields(spend([other]).inputs[0])}), 0)


def test_c7_the_parity_in_a_control_block_is_checked() -> None:
    flipped = {key[:1] + bytes([key[1] ^ 1]) + key[2:]: value for key, value in leaf_fields(PSBT.inputs[0]).items()}
    with pytest.raises(PsbtError, match="does not commit to the output"):
        input_scripts(changed({**dict.fromkeys(leaf_fields(PSBT.inputs[0])), **flipped}), 0)


def test_c7_an_internal_key_and_a_root_that_do_not_give_the_output_are_refused() -> None:
    for lie in ({TAP_INTERNAL_KEY: TREE.xonly("a")}, {TAP_MERKLE_ROOT: bytes(32)}):
        with pytest.raises(PsbtError, match="do not give the output") as caught:
            input_scripts(changed(lie, without_leaves(PSBT)), 0)
        assert caught.value.field == "PSBT_IN_TAP_INTERNAL_KEY"


@pytest.mark.parametrize("field", [REDEEM_SCRIPT, WITNESS_SCRIPT])
def test_c7_a_script_field_of_another_kind_is_refused(field: bytes) -> None:
    with pytest.raises(PsbtError, match="is there, but the output that is spent is not"):
        input_scripts(changed({field: b"\x51"}), 0)


def test_taproot_within_p2sh_is_not_taproot() -> None:
    program = TREE.output.script
    nested = TxOutput(TREE.output.sats, p2sh_script(program)).serialize()
    found = input_scripts(changed({WITNESS_UTXO: nested, REDEEM_SCRIPT: program}), 0)
    assert (found.script_type, found.taproot, found.signable) == ("sh", None, False)


def test_what_was_proven_goes_with_copies_that_prove_the_same_alone() -> None:
    psbt = parse(serialize(PSBT))
    signed = sign_inputs(psbt, {0: TREE.secrets("a")})
    assert signed.memo is psbt.memo
    for key in (TAP_INTERNAL_KEY, TAP_MERKLE_ROOT, next(iter(leaf_fields(psbt.inputs[0])))):
        assert changed({key: None}, psbt).memo is not psbt.memo
    extra = bytes([TAP_LEAF_SCRIPT]) + bytes(33)
    assert changed({extra: b"\xc0"}, psbt).memo is not psbt.memo
    assert changed({b"\xe0": b"x"}, psbt).memo is psbt.memo


# The end of a witness


def test_a_witness_proves_its_leaf_by_itself() -> None:
    found = proven(PSBT)
    for leaf in found.leaves.values():
        shown = proven_leaf(found.output_key, leaf.script, leaf.control)
        assert shown is not None
        assert shown.leaves == {leaf.hash: leaf}
        assert proven_leaf(found.output_key, leaf.script + b"\x61", leaf.control) is None
        assert proven_leaf(found.output_key, leaf.script, leaf.control + bytes(32)) is None
        assert proven_leaf(found.output_key, leaf.script, leaf.control[:-1]) is None
        assert proven_leaf(TREE.xonly("a"), leaf.script, leaf.control) is None


# The Updater's part


def test_the_updater_writes_what_reads_back() -> None:
    assert TREE.taproot is not None
    plain = PSBT.with_output(0, {})
    origin = KEYS["a"].origin
    given = {TREE.xonly("a"): ([TREE.leaf(2).hash, TREE.leaf(0).hash], origin), NUMS_KEY: ([], origin)}
    aggregate, pair = KEYS["c"].pubkey, [KEYS["b"].pubkey, KEYS["a"].pubkey]
    for psbt, kind in (
        (with_input_taproot(plain, 0, TREE.taproot, derivations=given, participants={aggregate: pair}), "input"),
        (with_output_taproot(plain, 0, TREE.taproot, derivations=given, participants={aggregate: pair}), "output"),
    ):
        again = parse(serialize(psbt))
        fields = again.inputs[0] if kind == "input" else again.outputs[0]
        assert list(fields) == sorted(fields)
        leaves, kept = tap_derivations(fields, 0x16 if kind == "input" else 0x07)[TREE.xonly("a")]
        assert (leaves, kept) == (tuple(sorted((TREE.leaf(0).hash, TREE.leaf(2).hash))), origin)
        assert fields[bytes([0x1A if kind == "input" else 0x08]) + aggregate] == b"".join(pair)
    tree = again.outputs[0][b"\x06"]
    assert tree.startswith(b"\x01\xc0")
    assert again.outputs[0][b"\x05"] == TREE.xonly("e")


def test_the_updater_refuses_what_is_no_key() -> None:
    output = TaprootOutput(NUMS_KEY, TapTree.nested(b"\x51"))
    origin = KEYS["a"].origin
    for given in ({bytes(32): ([], origin)}, {KEYS["a"].pubkey: ([], origin)}):
        for update, field in ((with_input_taproot, "PSBT_IN_TAP"), (with_output_taproot, "PSBT_OUT_TAP")):
            with pytest.raises(PsbtError, match="is not an x-only public key") as caught:
                update(PSBT, 0, output, derivations=given)
            assert str(caught.value.field).startswith(field)
    for keys in ({KEYS["a"].pubkey: [bytes(33)]}, {bytes(33): []}, {TREE.xonly("a"): []}):
        with pytest.raises(PsbtError, match="is not a compressed public key"):
            with_input_taproot(PSBT, 0, output, derivations={}, participants=keys)
