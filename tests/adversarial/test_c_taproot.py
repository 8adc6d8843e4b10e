"""THREATS C1 to C7, C20 to C23 where taproot and version 2 have ways of their own to lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile import (
    BTC,
    MALLORY,
    STRANGER,
    Out,
    Scene,
    add_input,
    edit_global,
    edit_input,
    edit_output,
    one_leaf,
    previous_tx,
    scene_of,
    with_output,
)
from support.kinds import PEOPLE, kind
from support.values import replace
from wormsig.bitcoin.keys import KeyOrigin, parse_path
from wormsig.bitcoin.taproot import TaprootOutput, multi_a_script
from wormsig.bitcoin.tx import TxOutput
from wormsig.errors import ExitCode
from wormsig.psbt import convert, updater
from wormsig.psbt.sigkeys import field_key
from wormsig.psbt.unsigned import REQUIRED_HEIGHT, REQUIRED_TIME
from wormsig.psbt.verify import held_signatures
from wormsig.review.findings import Code
from wormsig.review.report import OutputKind

if TYPE_CHECKING:
    from conftest import Judge
    from wormsig.psbt.model import Psbt

REST = 2 * BTC - 30_002_000
LEAF, ORIGIN, INTERNAL, ROOT = 0x15, 0x16, b"\x17", b"\x18"


@pytest.fixture
def scene(judge: Judge) -> Scene:
    """A 2-of-3 in one leaf, under a key that nobody holds."""
    return judge.use(scene_of("tr"))


def fields_of(psbt: Psbt, index: int, kind_: int) -> dict[bytes, bytes]:
    return {key: value for key, value in psbt.inputs[index].items() if key[0] == kind_}


# --- C1: a taproot signature covers every amount, so the previous transaction may be missing, and must not disagree


def test_c1_taproot_needs_no_previous_transaction(judge: Judge, scene: Scene):
    bare = edit_input(edit_input(scene.psbt(), 0, {b"\x00": None}), 1, {b"\x00": None})
    judge.passes(bare)


def test_c1_taproot_amount_that_disagrees_with_a_given_previous_transaction(judge: Judge, scene: Scene):
    script = scene.deriver.script(0, 0).script_pubkey
    lie = edit_input(scene.psbt(), 0, {b"\x01": TxOutput(BTC // 2, script).serialize()})
    judge.finds(lie, Code.AMOUNT_MISMATCH)
    assert not judge.signs(lie, "--trust-amounts")


def test_c1_a_foreign_segwit_input_beside_taproot_still_needs_proof(judge: Judge, scene: Scene):
    mixed = edit_input(add_input(scene.psbt(), previous_tx(STRANGER, BTC)), 2, {b"\x00": None})
    judge.finds(mixed, Code.NO_PREVIOUS_TX)


# --- C2, C3: outputs


def test_c3_our_leaf_beside_a_leaf_of_a_stranger(judge: Judge, scene: Scene):
    own = scene.deriver.script(1, 0)
    leaf = own.taproot.output.tree.leaves[0][1].script  # type: ignore[union-attr]
    backdoor = multi_a_script(1, [MALLORY.master.neuter().pubkey[1:]])
    output = one_leaf([leaf, backdoor])  # type: ignore[arg-type]
    lie = with_output(scene.psbt(), 1, TxOutput(REST, output.script))
    lie = edit_output(lie, 1, dict.fromkeys(lie.outputs[1]))
    judge.finds(updater.with_output_taproot(lie, 1, output, derivations={}), Code.FOREIGN_KEY_IN_CHANGE)


def test_c3_our_leaf_under_an_internal_key_of_a_stranger(judge: Judge, scene: Scene):
    own = scene.deriver.script(1, 0)
    leaf = own.taproot.output.tree.leaves[0][1].script  # type: ignore[union-attr]
    stolen = MALLORY.master.neuter().pubkey[1:]
    output = one_leaf(leaf, stolen)
    lie = with_output(scene.psbt(), 1, TxOutput(REST, output.script))
    lie = edit_output(lie, 1, dict.fromkeys(lie.outputs[1]))
    finding = judge.finds(updater.with_output_taproot(lie, 1, output, derivations={}), Code.FOREIGN_KEY_IN_CHANGE)
    assert stolen.hex() in finding.details[0]


@pytest.mark.parametrize("way", ["CHECKSIG", "CHECKSIGVERIFY", "CHECKSIGADD"])
def test_c3_our_key_in_a_leaf_of_any_form(judge: Judge, scene: Scene, way: str):
    """Without key origins: whatever checks a signature of one of our keys is no payment to a stranger."""
    ours = b"\x20" + next(iter(scene.deriver.script(1, 0).origins))
    stolen = b"\x20" + MALLORY.master.neuter().pubkey[1:]
    leaf = {
        "CHECKSIG": stolen + b"\xad" + ours + b"\xac",
        "CHECKSIGVERIFY": ours + b"\xad" + stolen + b"\xac",
        "CHECKSIGADD": stolen + b"\xac" + ours + b"\xba\x51\xa2",  # GREATERTHANOREQUAL: no multi_a
    }[way]
    output = one_leaf(leaf)
    lie = with_output(scene.psbt(), 1, TxOutput(REST, output.script))
    lie = edit_output(lie, 1, dict.fromkeys(lie.outputs[1]))
    finding = judge.finds(updater.with_output_taproot(lie, 1, output, derivations={}), Code.FOREIGN_KEY_IN_CHANGE)
    assert stolen[1:].hex() in finding.details[0]


def test_c2_our_internal_key_over_a_hidden_tree(judge: Judge, scene: Scene):
    alice = next(iter(scene.deriver.script(1, 0).origins.items()))
    hidden = one_leaf(b"\x51", alice[0])
    lie = with_output(scene.psbt(), 1, TxOutput(REST, hidden.script))
    lie = edit_output(lie, 1, dict.fromkeys(lie.outputs[1]))
    lie = updater.with_output_taproot(lie, 1, TaprootOutput(alice[0]), derivations={alice[0]: ((), alice[1])})
    judge.finds(lie, Code.NAMES_OUR_KEY, quick=True)
    assert judge.report(lie).outputs[1].kind is OutputKind.PAYMENT


def test_c3_payout_to_a_cosigners_own_taproot_address_is_a_notice(judge: Judge, scene: Scene):
    bob = scene.people[1]
    path = parse_path("86h/1h/0h/0/0")
    key = bob.master.derive(path).neuter().pubkey[1:]
    output = TaprootOutput(key)
    pays = with_output(scene.psbt(), 0, TxOutput(30_000_000, output.script))
    origin = KeyOrigin(bob.master.fingerprint, path)
    pays = updater.with_output_taproot(pays, 0, output, derivations={key: ((), origin)})
    assert "bob's key" in judge.finds(pays, Code.COSIGNER_PAYOUT).message
    assert judge.signs(pays)


def test_c7_an_outputs_tree_that_leads_elsewhere(judge: Judge, scene: Scene):
    honest = scene.psbt()
    lie = edit_output(honest, 0, {key: honest.outputs[1][key] for key in (b"\x05", b"\x06")})
    lie = with_output(lie, 0, TxOutput(30_000_000, b"\x51\x20" + bytes(range(1, 33))))
    judge.finds(lie, Code.OUTPUT_SCRIPT_MISMATCH)


# --- C5


@pytest.mark.parametrize("sighash", [0, 1])
def test_c5_default_and_all_are_the_same_and_signed(judge: Judge, scene: Scene, sighash: int):
    judge.passes(edit_input(scene.psbt(), 0, {b"\x03": sighash.to_bytes(4, "little")}))


@pytest.mark.parametrize("sighash", [0x02, 0x03, 0x81, 0x82, 0x83, 0x04, 0x80, 0x100])
def test_c5_every_other_type_is_refused(judge: Judge, scene: Scene, sighash: int):
    judge.finds(edit_input(scene.psbt(), 0, {b"\x03": sighash.to_bytes(4, "little")}), Code.SIGHASH_FIELD)


def test_c5_a_default_signature_where_the_field_asks_for_all(judge: Judge, scene: Scene):
    signed = scene.sign(scene.psbt(), "bob")
    finding = judge.finds(edit_input(signed, 0, {b"\x03": (1).to_bytes(4, "little")}), Code.BAD_SIGNATURE)
    assert "is of type DEFAULT, and the input asks for ALL" in finding.message


# --- C7, C21: the wallet's own inputs


def test_c7_another_internal_key_or_merkle_root(judge: Judge, scene: Scene):
    judge.finds(edit_input(scene.psbt(), 0, {INTERNAL: MALLORY.master.neuter().pubkey[1:]}), Code.SCRIPT_MISMATCH)
    judge.finds(edit_input(scene.psbt(), 0, {ROOT: bytes(32)}), Code.SCRIPT_MISMATCH)


def test_c7_a_leaf_that_is_not_the_wallets(judge: Judge, scene: Scene):
    honest = scene.psbt()
    control = next(iter(fields_of(honest, 0, LEAF)))
    judge.finds(edit_input(honest, 0, {control: scene.lookalike((0, 0))[1] + b"\xc0"}), Code.SCRIPT_MISMATCH)


def test_c21_a_path_that_is_not_the_wallets(judge: Judge, scene: Scene):
    honest = scene.psbt()
    ours = {key[1:] for key in scene.deriver.script(0, 0).pubkeys} | set(scene.deriver.script(0, 0).pubkeys)
    key, value = next((k, v) for k, v in fields_of(honest, 0, ORIGIN).items() if k[1:] in ours)
    finding = judge.finds(edit_input(honest, 0, {key: value[:-4] + (7).to_bytes(4, "little")}), Code.WRONG_KEY_ORIGIN)
    assert "0/7" in finding.details[0]


def test_c21_a_key_of_ours_that_is_not_in_the_script(judge: Judge, scene: Scene):
    alice = scene.people[0]
    path = parse_path("86h/1h/0h/0/0")
    private = alice.master.derive(path).neuter().pubkey[1:]
    extra = {bytes((ORIGIN,)) + private: b"\x00" + KeyOrigin(alice.master.fingerprint, path).encode()}
    judge.finds(edit_input(scene.psbt(), 0, extra), Code.WRONG_KEY_ORIGIN)


# --- C22


def test_c22_a_taproot_signature_with_one_bit_turned(judge: Judge, scene: Scene):
    signed = scene.sign(scene.psbt(), "bob")
    (key, signature), *_ = held_signatures(signed, 0).items()
    judge.finds(edit_input(signed, 0, {field_key(key): bytes((signature[0] ^ 1,)) + signature[1:]}), Code.BAD_SIGNATURE)
    assert judge.report(signed).inputs[0].signed == 1


def test_c22_a_signature_of_another_leaf_does_not_count(judge: Judge, scene: Scene):
    signed = scene.sign(scene.psbt(), "bob")
    (key, signature), *_ = held_signatures(signed, 0).items()
    moved = edit_input(signed, 0, {field_key(key): None, field_key(key[:32] + bytes(32)): signature})
    judge.finds(moved, Code.BAD_SIGNATURE)


# --- C20, C8: version 2


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "tr"])
@pytest.mark.parametrize(("flags", "words"), [(1, "inputs may"), (2, "outputs may"), (3, "inputs and outputs may")])
def test_c20_a_psbt_that_may_still_grow(judge: Judge, script_type: str, flags: int, words: str):
    scene = judge.use(scene_of(script_type))
    second = convert.to_version_2(scene.psbt())
    judge.passes(edit_global(second, {b"\x06": b"\x00"}), quick=True)
    finding = judge.finds(edit_global(second, {b"\x06": bytes((flags,))}), Code.STILL_MODIFIABLE)
    assert words in finding.message


def test_c8_inputs_that_exclude_each_other(judge: Judge):
    scene = judge.use(scene_of())
    second = convert.to_version_2(scene.psbt())
    inputs = (
        {**second.inputs[0], REQUIRED_HEIGHT: (700_000).to_bytes(4, "little")},
        {**second.inputs[1], REQUIRED_TIME: (1_700_000_000).to_bytes(4, "little")},
    )
    impossible = replace(second, inputs=inputs, transaction=None)
    judge.finds(impossible, Code.LOCKTIME_CONFLICT)
    report = judge.report(impossible)
    assert report.txid is None
    assert [view.mine for view in report.inputs] == [True, True]


# --- what cannot be signed yet


def test_c23_musig_inputs_are_named_and_refused_as_not_supported(judge: Judge):
    scene = judge.use(Scene.of(replace(kind("tr-musig"), name="family"), PEOPLE))
    psbt = scene.psbt()
    (first, _) = judge.report(psbt).inputs
    assert [key.name for key in first.musig[0].keys] != []
    assert {key.name for key in first.musig[0].keys} == {"alice", "bob", "carol"}
    assert not any(first.musig[0].nonces)
    code, shown = judge.inspect(psbt)
    assert code == ExitCode.INPUT
    assert len(shown["inputs"][0]["musig2"][0]["participants"]) == 3


def test_c_outputs_to_strangers_taproot_addresses_are_no_finding(judge: Judge, scene: Scene):
    key = MALLORY.master.neuter().pubkey[1:]
    judge.passes(scene.psbt(outputs=[Out(30_000_000, TaprootOutput(key).script), Out(REST, place=(1, 0))]), quick=True)
