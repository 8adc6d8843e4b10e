"""THREATS C5, C6, C7, C9, C20, C21, C22, C23: what a signature would cover, and by which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile import (
    BTC,
    MALLORY,
    STRANGER,
    Coin,
    Out,
    add_input,
    edit_input,
    edit_output,
    previous_tx,
    scene_of,
)
from support.values import replace
from wormsig.bitcoin.keys import HARDENED, KeyOrigin, parse_path
from wormsig.bitcoin.script import p2sh_script, p2wpkh_script, p2wsh_script
from wormsig.errors import RefusedError
from wormsig.psbt import finalizer, verify
from wormsig.psbt.model import input_derivations, partial_sigs
from wormsig.psbt.sigkeys import field_key
from wormsig.psbt.verify import held_signatures
from wormsig.review.approve import Approved, approve
from wormsig.review.findings import Code
from wormsig.signers.secret import from_extended_key
from wormsig.signers.software import SoftwareKey

if TYPE_CHECKING:
    from conftest import Judge
    from support.hostile import Scene
    from wormsig.psbt.model import Psbt

ALL, NONE, SINGLE, ANYONE = 1, 2, 3, 0x80
ALL_TYPES = ["wsh", "sh-wsh", "sh", "tr"]
MAIN_TYPES = ["wsh", "sh-wsh", "tr"]


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


# --- C5, C6


@pytest.mark.parametrize(
    "sighash", [NONE, SINGLE, ALL | ANYONE, NONE | ANYONE, SINGLE | ANYONE, 0, 4, 0x100, 0x0100_0001]
)
def test_c5_sighash_field(judge: Judge, scene: Scene, sighash: int):
    judge.passes(edit_input(scene.psbt(), 0, {b"\x03": u32(ALL)}), quick=True)
    asked = edit_input(scene.psbt(), 0, {b"\x03": u32(sighash)})
    if sighash == 0 and scene.script_type == "tr":
        judge.passes(asked)  # DEFAULT, which is ALL in 64 bytes
    else:
        judge.finds(asked, Code.SIGHASH_FIELD)


@pytest.mark.parametrize("script_type", ALL_TYPES)
@pytest.mark.parametrize("sighash", [NONE, SINGLE, ALL | ANYONE])
def test_c5_last_byte_of_a_signature(judge: Judge, script_type: str, sighash: int):
    scene = judge.use(scene_of(script_type))
    signed = scene.sign(scene.psbt(), "bob", sighash=sighash)
    judge.finds(signed, Code.SIGHASH_SIGNATURE, quick=script_type != "wsh")
    report = judge.report(signed)
    assert not any(view.valid for view in report.signatures)
    assert [view.signed for view in report.inputs] == [0, 0]


def test_c5_allowed_by_a_person_for_the_named_type_only(judge: Judge, scene: Scene):
    asked = edit_input(scene.psbt(), 0, {b"\x03": u32(ALL | ANYONE)})
    signed = scene.sign(asked, "bob", inputs=[0], sighash=ALL | ANYONE)
    allowed = frozenset({ALL | ANYONE})
    unasked = scene.sign(scene.psbt(), "bob", "carol", inputs=[0], sighash=ALL | ANYONE)
    final = finalizer.finalize(
        verify.verify(scene.sign(unasked, "bob", "carol", inputs=[1]), allowed=allowed | {ALL}), allowed=allowed | {ALL}
    )
    assert {each.code for each in judge.report(final).errors} == {Code.BAD_FINAL, Code.SIGHASH_SIGNATURE}
    for psbt in (asked, signed, unasked, final):  # asked for by the field alone, used, used unasked, and in a final
        judge.finds(psbt, Code.SIGHASH_ALLOWED, allowed_sighash=allowed)
    assert not judge.report(signed, allowed_sighash=allowed).errors
    assert {each.code for each in judge.report(signed).errors} == {Code.SIGHASH_FIELD, Code.SIGHASH_SIGNATURE}
    # Of a type that covers everything, where the field asks for the other: it is no good, and leaves nothing open.
    for_all = edit_input(scene.sign(scene.psbt(), "bob"), 0, {b"\x03": u32(ALL | ANYONE)})
    assert {each.code for each in judge.report(for_all, allowed_sighash=allowed).errors} == {Code.BAD_SIGNATURE}
    assert [view.signed for view in judge.report(signed, allowed_sighash=allowed).inputs] == [1, 0]
    assert judge.report(signed, allowed_sighash=frozenset({NONE})).errors
    assert judge.report(signed, allowed_sighash=allowed, unattended=True).errors
    assert judge.inspect(signed, "--allow-sighash", "ALL|ANYONECANPAY")[0] == 0
    assert not judge.signs(signed, "--allow-sighash", "ALL|ANYONECANPAY")


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c6_single_without_an_output_is_never_allowed(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    outputs = [Out(2 * BTC - 2_000)]
    asked = edit_input(scene.psbt(outputs=outputs), 1, {b"\x03": u32(SINGLE)})
    judge.finds(asked, Code.SINGLE_WITHOUT_OUTPUT)
    report = judge.report(asked, allowed_sighash=frozenset({SINGLE}))
    assert Code.SINGLE_WITHOUT_OUTPUT in {finding.code for finding in report.errors}
    # With an output at that index there is nothing wrong but the type itself.
    fine = judge.report(edit_input(scene.psbt(), 1, {b"\x03": u32(SINGLE)}))
    assert {finding.code for finding in fine.findings} == {Code.SIGHASH_FIELD}


def test_c6_in_the_last_byte_of_a_signature(judge: Judge, scene: Scene):
    signed = scene.sign(scene.psbt(outputs=[Out(2 * BTC - 2_000)]), "bob")
    (key, signature), *_ = held_signatures(signed, 1).items()
    bare = signature if scene.script_type == "tr" else signature[:-1]
    lie = edit_input(signed, 1, {field_key(key): bare + bytes((SINGLE,))})
    judge.finds(lie, Code.SINGLE_WITHOUT_OUTPUT)
    report = judge.report(lie, allowed_sighash=frozenset({SINGLE}))
    assert Code.SINGLE_WITHOUT_OUTPUT in {finding.code for finding in report.errors}


# --- C7


def test_c7_witness_script_of_a_native_p2wsh_input(judge: Judge, scene: Scene):
    _, script, _ = scene.lookalike((0, 0))
    judge.finds(edit_input(scene.psbt(), 0, {b"\x05": script}), Code.SCRIPT_MISMATCH)


def test_c7_redeem_script_of_a_p2sh_input(judge: Judge):
    scene = judge.use(scene_of("sh"))
    _, script, _ = scene.lookalike((0, 0))
    judge.finds(edit_input(scene.psbt(), 0, {b"\x04": script}), Code.SCRIPT_MISMATCH)


def test_c7_either_script_of_a_nested_input(judge: Judge):
    scene = judge.use(scene_of("sh-wsh"))
    _, script, _ = scene.lookalike((0, 0))
    judge.finds(edit_input(scene.psbt(), 0, {b"\x05": script}), Code.SCRIPT_MISMATCH)
    judge.finds(edit_input(scene.psbt(), 0, {b"\x04": p2wsh_script(script)}), Code.SCRIPT_MISMATCH)
    both = {b"\x04": p2wsh_script(script), b"\x05": script}
    judge.finds(edit_input(scene.psbt(), 0, both), Code.SCRIPT_MISMATCH)


def test_c7_a_script_that_does_not_belong_there(judge: Judge, scene: Scene):
    judge.finds(edit_input(scene.psbt(), 0, {b"\x04": b"\x51"}), Code.SCRIPT_MISMATCH)


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c7_a_missing_script_warns(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    kind = {"sh": 0x04, "tr": 0x15}.get(script_type, 0x05)
    gone = {key: None for key in scene.psbt().inputs[0] if key[0] == kind}
    report = judge.report(edit_input(scene.psbt(), 0, gone))
    assert [finding.code for finding in report.findings] == [Code.SCRIPT_MISSING]
    assert report.vsize == judge.report(scene.psbt()).vsize


def test_c7_scripts_of_an_input_that_is_not_ours(judge: Judge, scene: Scene):
    foreign = add_input(scene.psbt(), previous_tx(p2sh_script(b"\x51"), BTC), {b"\x04": b"\x52"})
    judge.finds(foreign, Code.SCRIPT_MISMATCH)


def test_c7_scripts_of_an_output(judge: Judge, scene: Scene):
    judge.finds(edit_output(scene.psbt(), 0, {b"\x01": b"\x51"}), Code.OUTPUT_SCRIPT_MISMATCH)


@pytest.mark.parametrize(("script_type", "field"), [("wsh", 1), ("sh-wsh", 1), ("sh-wsh", 0), ("sh", 0), ("tr", 6)])
def test_c7_scripts_of_change_that_are_not_its_own(judge: Judge, script_type: str, field: int):
    scene = judge.use(scene_of(script_type))
    lie = b"\x00\xc0\x01\x51" if field == 6 else b"\x51"
    judge.finds(edit_output(scene.psbt(), 1, {bytes((field,)): lie}), Code.OUTPUT_SCRIPT_MISMATCH, quick=True)


# --- C9


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c9_foreign_inputs_are_counted_and_named(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    foreign = add_input(scene.psbt(), previous_tx(STRANGER, BTC))
    finding = judge.finds(foreign, Code.FOREIGN_INPUTS, max_fee_rate=None)
    assert finding.message == "1 of 3 inputs is not the wallet's: 2"
    assert [view.mine for view in judge.report(foreign).inputs] == [True, True, False]


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh", "tr"])
def test_c9_an_input_that_could_be_the_wallets_far_away_is_named_as_such(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    shown = scene.psbt([Coin(), Coin(index=7_000)])
    hidden = edit_input(shown, 1, {key: None for key in shown.inputs[1] if key[0] not in {0x00, 0x01}})
    stranger = add_input(hidden, previous_tx(STRANGER, BTC))
    (detail,) = judge.finds(stranger, Code.FOREIGN_INPUTS, quick=True).details
    assert detail.endswith("would look the same: 1")


def test_c9_nothing_of_the_wallet(judge: Judge, scene: Scene):
    other = scene_of(salt="others").psbt()
    assert judge.finds(other, Code.FOREIGN_INPUTS, quick=True).message == "no input is the wallet's"
    report = judge.report(other)
    with pytest.raises(RefusedError, match="no input"):
        approve(other, report, scene.wallet, by="person")


# --- C20


def test_c20_the_signer_signs_the_very_object_that_was_reviewed(judge: Judge, scene: Scene):
    psbt = scene.psbt()
    report = judge.report(psbt)
    other = scene.psbt(outputs=[Out(2 * BTC - 2_000)])
    with pytest.raises(RefusedError, match="C20"):
        approve(other, report, scene.wallet, by="person")
    with pytest.raises(RefusedError, match="C20"):
        approve(psbt, report, scene_of(salt="others").wallet, by="person")
    approved = approve(psbt, report, scene.wallet, by="person")
    assert approved.psbt is psbt
    assert approved.psbt_sha256 == report.psbt_sha256
    psbt.outputs[0][b"\xfc\x01x\x00"] = b"changed behind everybody's back"  # type: ignore[index]
    signer = SoftwareKey(
        from_extended_key(scene.people[0].master.text(), scene.wallet.network), scene.wallet, label="a"
    )
    with pytest.raises(RefusedError, match="C20"):
        signer.sign(approved)


def test_c20_nobody_else_makes_an_approval(judge: Judge, scene: Scene):
    psbt = scene.psbt()
    approved = approve(psbt, judge.report(psbt), scene.wallet, by="person")
    with pytest.raises((TypeError, ValueError)):
        replace(approved, inputs=frozenset({5}))
    with pytest.raises(TypeError):
        Approved(psbt, approved.report, scene.wallet, approved.psbt_sha256, frozenset(), "person", object())


# --- C21


def _derivations(psbt: Psbt, index: int) -> dict[bytes, bytes]:
    return {b"\x06" + key: origin.encode() for key, origin in input_derivations(psbt, index).items()}


def test_c21_a_path_that_is_not_the_wallets(judge: Judge, segwit_v0: Scene):
    honest = segwit_v0.psbt()
    key, origin = next(iter(_derivations(honest, 0).items()))
    finding = judge.finds(edit_input(honest, 0, {key: origin[:-4] + u32(7)}), Code.WRONG_KEY_ORIGIN)
    assert "0/7" in finding.details[0]
    judge.finds(edit_input(honest, 0, {key: bytes(4) + origin[4:]}), Code.WRONG_KEY_ORIGIN)
    judge.finds(edit_input(honest, 0, {key: origin[:4]}), Code.WRONG_KEY_ORIGIN)


def test_c21_two_keys_under_each_others_names(judge: Judge, scene: Scene):
    honest = scene.psbt()
    ours = scene.deriver.script(0, 0).origins
    (first, one), (second, two) = [
        (key, value) for key, value in honest.inputs[0].items() if key[0] in {0x06, 0x16} and key[1:] in ours
    ][:2]
    judge.finds(edit_input(honest, 0, {first: two, second: one}), Code.WRONG_KEY_ORIGIN)


def test_c21_a_key_of_ours_that_is_not_in_the_script(judge: Judge, scene: Scene):
    alice = scene.people[0]
    path = parse_path("84h/1h/0h/0/0")
    private = alice.master.derive(path).neuter().pubkey
    extra = {b"\x06" + private: KeyOrigin(alice.master.fingerprint, path).encode()}
    judge.finds(edit_input(scene.psbt(), 0, extra), Code.WRONG_KEY_ORIGIN)


def test_c21_our_key_at_a_branch_that_the_wallet_does_not_have(judge: Judge, scene: Scene):
    keys = {}
    for person in scene.people:
        path = (*person.key(scene.script_type).origin.path, 9, 4)
        keys[person.master.derive(path).neuter().pubkey] = KeyOrigin(person.master.fingerprint, path)
    script = scene.script_from(2, keys)
    psbt = add_input(scene.psbt(), previous_tx(scene.wrap(script), BTC))
    psbt = scene.show_input(psbt, 2, script, {scene.key(key): origin for key, origin in keys.items()})
    finding = judge.finds(psbt, Code.KEY_OUT_OF_PLACE)
    assert "9/4" in finding.message
    judge.finds(psbt, Code.OUR_KEY_IN_FOREIGN_INPUT)


def test_c21_our_keys_from_two_indices_in_one_script(judge: Judge, scene: Scene):
    first, second = scene.deriver.script(0, 5), scene.deriver.script(0, 6)
    mixed = [*list(first.origins)[:1], *list(second.origins)[1:]]
    script = scene.script_from(2, mixed)
    origins = {**first.origins, **second.origins}
    psbt = add_input(scene.psbt(), previous_tx(scene.wrap(script), BTC))
    psbt = scene.show_input(psbt, 2, script, {key: origins[key] for key in mixed})
    judge.finds(psbt, Code.KEY_OUT_OF_PLACE)


# --- C22


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c22_a_signature_over_something_else(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    other = scene.sign(scene.psbt(fee=9_999), "bob")
    (key, signature), *_ = held_signatures(other, 0).items()
    lie = edit_input(scene.psbt(), 0, {field_key(key): signature})
    finding = judge.finds(lie, Code.BAD_SIGNATURE)
    (view,) = judge.report(lie).signatures
    assert (view.valid, view.name) == (False, "bob")
    assert finding.message == f"the signature of [{view.fingerprint}] bob on input 0 does not count: it does not verify"
    assert [detail.startswith("key ") for detail in finding.details] == [True]
    assert judge.report(lie).inputs[0].signed == 0


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c22_a_signature_that_verifies_is_counted_by_name(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    signed = scene.sign(scene.psbt(), "bob")
    judge.passes(signed)
    report = judge.report(signed)
    assert [(view.name, view.valid) for view in report.signatures] == [("bob", True), ("bob", True)]
    assert not report.complete
    assert judge.report(scene.sign(signed, "carol")).complete


def test_c22_high_s(judge: Judge, segwit_v0: Scene):
    signed = segwit_v0.sign(segwit_v0.psbt(), "bob")
    (pubkey, signature), *_ = partial_sigs(signed, 0).items()
    judge.finds(edit_input(signed, 0, {b"\x02" + pubkey: _high_s(signature)}), Code.BAD_SIGNATURE)


def _high_s(signature: bytes) -> bytes:
    order = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
    r = signature[4 : 4 + signature[3]]
    s = int.from_bytes(signature[4 + len(r) + 2 : -1], "big")
    high = (order - s).to_bytes(33, "big")
    body = b"\x02" + bytes((len(r),)) + r + b"\x02\x21" + high
    return b"\x30" + bytes((len(body),)) + body + signature[-1:]


def test_c22_a_key_that_is_not_in_the_script(judge: Judge, scene: Scene):
    signed = scene.sign(scene.psbt(), "bob")
    (key, signature), *_ = held_signatures(signed, 0).items()
    stray = scene.key(MALLORY.master.neuter().pubkey) + key[32:] * (scene.script_type == "tr")
    finding = judge.finds(edit_input(signed, 0, {field_key(stray): signature}), Code.BAD_SIGNATURE)
    pubkey = stray[:32].hex() if scene.script_type == "tr" else stray.hex()
    assert f"the signature of key {pubkey[:8]} on input 0 does not count" in finding.message
    assert finding.details == (f"key {pubkey}",)


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c22_final_scripts_that_do_not_verify(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    final = finalizer.finalize(verify.verify(scene.sign(scene.psbt(), "bob", "carol")))
    assert judge.report(final).findings == ()
    assert judge.report(final).complete
    key = b"\x07" if script_type == "sh" else b"\x08"
    value = bytearray(final.inputs[0][key])
    value[20] ^= 1
    lie = edit_input(final, 0, {key: bytes(value)})
    judge.finds(lie, Code.BAD_FINAL)
    assert not judge.report(lie).complete
    assert [(view.satisfied, view.signed) for view in judge.report(lie).inputs] == [(False, 0), (True, 2)]


def test_c22_finals_that_nobody_can_check_warn(judge: Judge, scene: Scene):
    odd = p2wsh_script(b"\x51")
    psbt = add_input(scene.psbt(), previous_tx(odd, BTC), {b"\x08": b"\x01\x01\x51"})
    judge.finds(psbt, Code.FINAL_NOT_CHECKED, quick=True)
    assert not judge.report(psbt).inputs[2].satisfied


def test_c22_a_signature_on_an_input_that_cannot_be_checked(judge: Judge, scene: Scene):
    signed = scene.sign(scene.psbt(), "bob")
    scripts = dict.fromkeys(key for key in signed.inputs[0] if key[0] in {0x05, 0x15})
    blind = edit_input(signed, 0, scripts)
    # A leaf that is not shown is one that the output may not have: the key is nobody's.
    code = Code.BAD_SIGNATURE if scene.script_type == "tr" else Code.SIGNATURE_NOT_CHECKED
    judge.finds(blind, code)
    assert judge.report(blind).inputs[0].signed == 0


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c22_a_signature_over_an_amount_that_nobody_knows(judge: Judge, script_type: str):
    """It may be good: that it is not checked is said, and it is not counted; a taproot one covers every amount."""
    scene = judge.use(scene_of(script_type))
    signed = scene.sign(scene.psbt(), "bob")
    blind = edit_input(signed, 0, {b"\x00": None, b"\x01": None})
    codes = {(each.code, each.where) for each in judge.report(blind).findings}
    affected = {0, 1} if script_type == "tr" else {0}
    for index in affected:
        assert (Code.SIGNATURE_NOT_CHECKED, f"input {index}") in codes
        assert judge.report(blind).inputs[index].signed == 0
    assert Code.BAD_SIGNATURE not in {code for code, _ in codes}


# --- C23


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c23_a_private_coin_of_ours_slipped_in(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    alice = scene.people[0]
    path = parse_path("84h/1h/0h/0/0")
    pubkey = alice.master.derive(path).neuter().pubkey
    fields = {b"\x06" + pubkey: KeyOrigin(alice.master.fingerprint, path).encode()}
    psbt = add_input(scene.psbt(), previous_tx(p2wpkh_script(pubkey), BTC), fields)
    finding = judge.finds(psbt, Code.OUR_KEY_IN_FOREIGN_INPUT)
    assert "alice's key" in finding.message
    judge.finds(psbt, Code.FOREIGN_INPUTS)
    # A stranger's coin of the same form names nobody and only warns.
    stranger = add_input(scene.psbt(), previous_tx(p2wpkh_script(MALLORY.master.neuter().pubkey), BTC))
    assert not any(found.code is Code.OUR_KEY_IN_FOREIGN_INPUT for found in judge.report(stranger).findings)


def test_c23_an_account_key_itself_and_places_far_below_it_are_names_too(judge: Judge, scene: Scene):
    key = scene.wallet.keys[0]
    foreign = add_input(scene.psbt(), previous_tx(STRANGER, BTC))
    for steps in ((), (1, 0, 0, 0, 0), (HARDENED,)):
        origin = KeyOrigin(key.fingerprint, (*key.origin.path, *steps)).encode()
        named = edit_input(foreign, 2, {b"\x06" + key.xpub.pubkey: origin})
        judge.finds(named, Code.OUR_KEY_IN_FOREIGN_INPUT, quick=True)


def test_c23_taproot_key_origins_are_read_too(judge: Judge, scene: Scene):
    alice = scene.people[0]
    path = parse_path("86h/1h/0h/0/0")
    xonly = alice.master.derive(path).neuter().pubkey[1:]
    fields = {b"\x16" + xonly: b"\x00" + KeyOrigin(alice.master.fingerprint, path).encode()}
    psbt = add_input(scene.psbt(), previous_tx(b"\x51\x20" + xonly, BTC), fields)
    judge.finds(psbt, Code.OUR_KEY_IN_FOREIGN_INPUT)


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c23_our_key_in_a_script_without_key_origins(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    script_pubkey, script, _ = scene.lookalike((0, 3))
    psbt = add_input(scene.psbt(), previous_tx(script_pubkey, BTC))
    psbt = scene.show_input(psbt, 2, script, {})
    judge.finds(psbt, Code.OUR_KEY_IN_FOREIGN_INPUT, quick=True)


def test_c23_a_coin_of_another_wallet_of_ours(judge: Judge, scene: Scene):
    other = scene_of(salt="others")
    coin = other.deriver.script(0, 2)
    psbt = add_input(scene.psbt(), previous_tx(coin.script_pubkey, 1_000))
    assert not judge.report(psbt).errors
    wallet = replace(other.wallet, name="savings")
    finding = judge.finds(psbt, Code.OUR_KEY_IN_FOREIGN_INPUT, other_wallets=(wallet,))
    assert ("savings" in finding.message, finding.hint) == (True, None)


def test_c23_a_psbt_of_another_wallet_of_ours_says_which_to_choose(judge: Judge):
    other = scene_of(salt="others")
    psbt, wallet = other.psbt(), replace(other.wallet, name="savings")
    finding = judge.finds(psbt, Code.OUR_KEY_IN_FOREIGN_INPUT, other_wallets=(wallet,))
    assert finding.hint == "all of it spends from your wallet savings: choose it with --wallet"


def test_c23_only_the_wallets_inputs_are_approved(judge: Judge, scene: Scene):
    psbt = add_input(scene.psbt(), previous_tx(STRANGER, 1_000))
    approved = approve(psbt, judge.report(psbt), scene.wallet, by="person")
    assert approved.inputs == {0, 1}


def test_c_signatures_do_not_change_what_is_proven(judge: Judge, scene: Scene):
    psbt = scene.psbt([Coin(), Coin(index=1), Coin(branch=1, index=4)])
    assert [view.path for view in judge.report(scene.sign(psbt, "alice", "bob")).inputs] == ["0/0", "0/1", "1/4"]
