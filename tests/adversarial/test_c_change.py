"""THREATS C2, C3, C4, C19: outputs that pretend to be change, and change that nobody would find again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.cosigners import people
from support.hostile import (
    BTC,
    MALLORY,
    STRANGER,
    Coin,
    Out,
    Scene,
    edit_output,
    hide_output,
    scene_of,
    scripts_of,
    strip_hints,
    with_output,
    with_own_output,
)
from support.values import replace
from wormsig.bitcoin.keys import HARDENED, KeyOrigin, parse_path
from wormsig.bitcoin.script import multisig_script, p2pkh_script, p2sh_script, p2wpkh_script
from wormsig.bitcoin.tx import TxOutput
from wormsig.psbt import updater
from wormsig.review.context import GapLimits, ReviewContext
from wormsig.review.findings import Code
from wormsig.review.report import OutputKind
from wormsig.review.review import review

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conftest import Judge
    from wormsig.psbt.model import Psbt

REST = 2 * BTC - 30_002_000
ALL_TYPES = ["wsh", "sh-wsh", "sh", "tr"]
MAIN_TYPES = ["wsh", "sh-wsh", "tr"]


def kinds(judge: Judge, psbt: Psbt) -> list[str]:
    return [view.kind.value for view in judge.report(psbt).outputs]


# --- C2


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c2_fake_change_with_honest_key_origins(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    honest = scene.psbt()
    lie = with_output(honest, 1, TxOutput(REST, STRANGER))
    finding = judge.finds(lie, Code.FAKE_CHANGE)
    assert finding.where == "output 1"
    assert "1.69998000 BTC would leave the wallet" in finding.details
    report = judge.report(lie)
    assert report.outputs[1].kind is OutputKind.PAYMENT
    assert report.net_outflow_sats == 2 * BTC


def test_c2_fake_change_of_the_same_form(judge: Judge, scene: Scene):
    lie = with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(b"\x51")))
    shown = [key for key in lie.outputs[1] if key[0] not in {0x02, 0x07}]
    judge.finds(edit_output(lie, 1, dict.fromkeys(shown)), Code.FAKE_CHANGE, quick=True)
    judge.finds(lie, Code.OUTPUT_SCRIPT_MISMATCH)


def test_c2_two_names_are_enough_and_one_warns(judge: Judge, scene: Scene):
    lie = with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(b"\x51")))
    ours = {scene.key(key) for key in scene.deriver.script(1, 0).origins}
    derivations = [key for key in lie.outputs[1] if key[0] in {0x02, 0x07} and key[1:] in ours]
    hidden = dict.fromkeys(key for key in lie.outputs[1] if key not in derivations)
    two = edit_output(lie, 1, {**hidden, derivations[0]: None})
    judge.finds(two, Code.FAKE_CHANGE, quick=True)
    judge.finds(edit_output(two, 1, {derivations[1]: None}), Code.NAMES_OUR_KEY)


def test_c2_taproot_key_origins_are_read_too(judge: Judge, segwit_v0: Scene):
    scene = segwit_v0
    evil = b"\x51\x20" + bytes(range(1, 33))
    lie = with_output(scene.psbt(), 1, TxOutput(REST, evil))
    honest = {key: value for key, value in lie.outputs[1].items() if key[0] == 0x02}
    taproot = {b"\x07" + key[2:]: b"\x00" + value for key, value in honest.items()}
    judge.finds(edit_output(lie, 1, {**dict.fromkeys(honest), b"\x01": None, **taproot}), Code.FAKE_CHANGE, quick=True)


def test_c2_an_account_key_itself_and_paths_far_below_it_are_only_names(judge: Judge, scene: Scene):
    """Origins that no script of the wallet has: without a step, with too many, with hardened ones, or cut short."""
    key = scene.wallet.keys[0]
    account = key.origin.path
    lie = hide_output(with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(b"\x51"))), 1)
    for path in (account, (*account, 1, 0, 0, 0, 0), (*account, HARDENED), account[:-1], ()):
        origins = {scene.key(key.xpub.pubkey): KeyOrigin(key.fingerprint, path)}
        judge.finds(edit_output(lie, 1, dict(_origin_fields(origins))), Code.NAMES_OUR_KEY, quick=True)


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c2_without_a_hint_change_is_found_in_the_wallet(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    bare = strip_hints(scene.psbt())
    assert kinds(judge, bare) == ["payment", "change"]
    assert [view.path for view in judge.report(bare).inputs] == ["0/0", "0/1"]
    judge.passes(bare)


def test_c2_a_wrong_hint_does_not_hide_change(judge: Judge, scene: Scene):
    here, elsewhere = scene.deriver.script(1, 0), scene.deriver.script(1, 9)
    origins = dict(zip(here.origins, elsewhere.origins.values(), strict=True))
    wrong = scene.show_output(strip_hints(scene.psbt()), 1, scene.inner((1, 0)), origins)
    report = judge.report(wrong)
    assert report.outputs[1].path == "1/0"
    judge.finds(wrong, Code.WRONG_CHANGE_ORIGIN, quick=True)


def test_c2_a_hint_does_not_make_change_of_a_payment(judge: Judge, scene: Scene):
    # The stranger's output claims to be the wallet's address 1/5; the wallet's own derivation says otherwise.
    origins = scene.deriver.script(1, 5).origins
    lie = edit_output(scene.psbt(), 0, dict(_origin_fields(origins)))
    judge.finds(lie, Code.FAKE_CHANGE)
    assert kinds(judge, lie) == ["payment", "change"]


def _origin_fields(origins: Mapping[bytes, KeyOrigin]) -> Iterator[tuple[bytes, bytes]]:
    """Key origins as an output's map says them, without a script."""
    for key, origin in origins.items():
        yield (b"\x07" + key, b"\x00" + origin.encode()) if len(key) == 32 else (b"\x02" + key, origin.encode())


def test_c2_without_a_wallet_nothing_is_change(judge: Judge, scene: Scene):
    report = review(scene.psbt(), None, ReviewContext())
    assert [view.kind for view in report.outputs] == [OutputKind.PAYMENT, OutputKind.PAYMENT]
    assert not any(view.mine for view in report.inputs)
    assert report.findings == ()
    assert report.net_outflow_sats is None
    judge.passes(scene.psbt())


# --- C3


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c3_foreign_key_in_change(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    lie = _with_lookalike(scene, scene.psbt())
    finding = judge.finds(lie, Code.FOREIGN_KEY_IN_CHANGE)
    stolen = next(iter(set(scene.lookalike()[2]) - set(scene.deriver.script(1, 0).origins)))
    assert stolen.hex() in finding.details[0]
    assert "carol's key" in finding.details[0]
    assert "2-of-3" in finding.details[0]
    assert kinds(judge, lie) == ["payment", "payment"]
    # C2 would say the same of it with fewer words, and could not be overridden.
    assert Code.FAKE_CHANGE not in {found.code for found in judge.report(lie).findings}


def _with_lookalike(scene: Scene, psbt: Psbt, *, hints: bool = True, **options: int) -> Psbt:
    script_pubkey, script, origins = scene.lookalike(**options)
    lie = with_output(psbt, 1, TxOutput(REST, script_pubkey))
    lie = edit_output(lie, 1, dict.fromkeys(lie.outputs[1]))
    return scene.show_output(lie, 1, script, origins if hints else {})


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c3_without_key_origins_the_wallets_keys_are_recognised(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    judge.finds(_with_lookalike(scene, scene.psbt(), hints=False), Code.FOREIGN_KEY_IN_CHANGE, quick=True)


def test_c3_the_same_keys_with_a_lower_threshold(judge: Judge, scene: Scene):
    weak = scene.script_from(1, scene.deriver.script(1, 0).origins)
    lie = hide_output(with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(weak))), 1)
    finding = judge.finds(scene.show_output(lie, 1, weak, {}), Code.FOREIGN_KEY_IN_CHANGE, quick=True)
    assert "1-of-3 of the wallet's own keys" in finding.details[0]


def test_c3_the_wallets_keys_in_another_kind_of_script(judge: Judge, scene: Scene):
    keys = [key.rjust(33, b"\x02") for key in scene.deriver.script(1, 0).origins]  # x-only keys are even
    script = multisig_script(2, sorted(keys))
    lie = hide_output(with_output(scene.psbt(), 1, TxOutput(REST, p2sh_script(script))), 1)
    judge.finds(edit_output(lie, 1, {b"\x00": script}), Code.FOREIGN_KEY_IN_CHANGE, quick=True)


def test_c3_bare_multisig_needs_no_hint(judge: Judge, scene: Scene):
    keys = [key.rjust(33, b"\x02") for key in scene.lookalike()[2]]
    lie = with_output(scene.psbt(), 1, TxOutput(REST, multisig_script(2, sorted(keys))))
    judge.finds(hide_output(lie, 1), Code.FOREIGN_KEY_IN_CHANGE, quick=True)


def test_c3_our_key_in_a_bare_script_of_no_standard_kind(judge: Judge, scene: Scene):
    first, *_, last = (b"\x21" + key.rjust(33, b"\x02") for key in scene.lookalike()[2])
    lie = with_output(scene.psbt(), 1, TxOutput(REST, first + b"\xad" + last + b"\xac"))
    lie = hide_output(lie, 1)
    assert last[1:].hex() in judge.finds(lie, Code.FOREIGN_KEY_IN_CHANGE, quick=True).details[0]
    judge.finds(lie, Code.NONSTANDARD_SCRIPT, quick=True)


def test_c3_our_key_from_a_branch_that_the_wallet_does_not_have(judge: Judge, scene: Scene):
    alice = scene.people[0]
    path = (*alice.key(scene.script_type).origin.path, 7, 3)
    ours = alice.master.derive(path).neuter().pubkey
    script = scene.script_from(1, (ours, MALLORY.master.neuter().pubkey))
    lie = hide_output(with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(script))), 1)
    origins = {scene.key(ours): KeyOrigin(alice.master.fingerprint, path)}
    judge.finds(scene.show_output(lie, 1, script, origins), Code.FOREIGN_KEY_IN_CHANGE, quick=True)


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c3_pay_anyway_warns_and_is_never_unattended(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    lie = _with_lookalike(scene, scene.psbt())
    judge.finds(lie, Code.PAID_ANYWAY, pay_anyway=frozenset({1}))
    assert not judge.report(lie, pay_anyway=frozenset({1})).errors
    assert judge.report(lie, pay_anyway=frozenset({0})).errors
    assert judge.report(lie, pay_anyway=frozenset({1}), unattended=True).errors
    assert judge.inspect(lie, "--pay-anyway", "1")[0] == 0
    assert not judge.signs(lie, "--pay-anyway", "1")


def test_c3_payment_to_another_wallet_of_ours(judge: Judge, scene: Scene):
    other = scene_of(scene.script_type, threshold=3)
    savings = replace(other.wallet, name="savings")
    target = other.deriver.script(0, 4)
    pays = with_output(scene.psbt(), 0, TxOutput(30_000_000, target.script_pubkey))
    pays = with_own_output(pays, 0, target)
    judge.finds(pays, Code.FOREIGN_KEY_IN_CHANGE)  # the same keys under another threshold
    report = judge.report(pays, other_wallets=(savings,))
    assert [finding.code for finding in report.findings] == [Code.OTHER_WALLET]
    assert report.outputs[0].other_wallet == "savings"
    assert report.outputs[0].kind is OutputKind.PAYMENT
    no_hints = strip_hints(pays)
    assert judge.report(no_hints, other_wallets=(savings,)).outputs[0].other_wallet == "savings"


@pytest.mark.parametrize("kind", ["wpkh", "sh-wpkh", "pkh"])
def test_c3_payout_to_a_cosigners_own_address_is_a_notice(judge: Judge, scene: Scene, kind: str):
    bob = scene.people[1]
    path = parse_path("84h/1h/0h/0/0")
    pubkey = bob.master.derive(path).neuter().pubkey
    redeem = p2wpkh_script(pubkey) if kind == "sh-wpkh" else None
    script = {
        "wpkh": p2wpkh_script(pubkey),
        "sh-wpkh": p2sh_script(p2wpkh_script(pubkey)),
        "pkh": p2pkh_script(pubkey),
    }[kind]
    pays = with_output(scene.psbt(), 0, TxOutput(30_000_000, script))
    origins = {pubkey: KeyOrigin(bob.master.fingerprint, path)}
    pays = updater.with_output_scripts(pays, 0, redeem_script=redeem, origins=origins)
    finding = judge.finds(pays, Code.COSIGNER_PAYOUT)
    assert "bob's key" in finding.message
    assert len(judge.report(pays).findings) == 1
    assert judge.signs(pays)


def test_c3_payment_to_a_multisig_of_strangers_is_no_finding(judge: Judge, scene: Scene):
    strangers = scene_of(salt="others")
    target = strangers.deriver.script(0, 0)
    pays = with_output(scene.psbt(), 0, TxOutput(30_000_000, target.script_pubkey))
    judge.passes(updater.with_output_scripts(pays, 0, **scripts_of(target)), quick=True)


def test_c3_a_false_descent_makes_no_strangers_key_ours(judge: Judge, scene: Scene):
    """What a PSBT says of where a key comes from is computed before a script counts as one with a key of ours."""
    strangers = people(3, "strangers")
    keys = [person.key(scene.script_type).xpub.pubkey for person in strangers]
    script = scene.script_from(2, keys)
    pays = hide_output(with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(script))), 1)
    ours = scene.wallet.keys[0]
    claimed = {scene.key(keys[0]): KeyOrigin(ours.fingerprint, (*ours.origin.path, 1, 7))}
    lie = scene.show_output(pays, 1, script, claimed)
    assert {each.code for each in judge.report(lie).findings} == {Code.NAMES_OUR_KEY}
    judge.finds(lie, Code.NAMES_OUR_KEY, quick=True)


# --- C4


def _change_at(scene: Scene, branch: int, index: int) -> Psbt:
    return scene.psbt(outputs=[Out(30_000_000), Out(REST, place=(branch, index))])


@pytest.mark.parametrize(
    ("index", "code"),
    [
        (21, None),
        (22, Code.INDEX_AHEAD),
        (201, Code.INDEX_AHEAD),
        (202, Code.INDEX_FAR_AHEAD),
        (1001, Code.INDEX_FAR_AHEAD),
        (1002, Code.INDEX_OUT_OF_REACH),
        (HARDENED - 1, Code.INDEX_OUT_OF_REACH),
    ],
)
def test_c4_path_ransom_by_index(judge: Judge, scene: Scene, index: int, code: Code | None):
    psbt = _change_at(scene, 1, index)  # the highest index seen is that of the input at 0/1
    if code is None:
        judge.passes(psbt)
    else:
        assert len(judge.report(psbt).findings) == 1
        judge.finds(psbt, code)
    assert judge.report(psbt).outputs[1].path == f"1/{index}"


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c4_highest_seen_comes_from_the_context_and_the_inputs(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    psbt = _change_at(scene, 1, 500)
    judge.passes(psbt, highest_seen={1: 490})
    judge.finds(psbt, Code.INDEX_FAR_AHEAD, highest_seen={0: 490, 1: 5})
    grown = scene.psbt([Coin(), Coin(index=49)], [Out(30_000_000), Out(REST, place=(1, 60))])
    judge.passes(grown)


@pytest.mark.parametrize("script_type", MAIN_TYPES)
def test_c4_a_coin_planted_far_away_does_not_make_a_place_beside_it_a_used_one(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    far = 2_000_000_000
    planted = scene.psbt([Coin(2 * BTC), Coin(1_000, index=far)], [Out(30_000_000), Out(REST, place=(1, far + 1))])
    judge.finds(planted, Code.INDEX_FAR_AHEAD)
    judge.finds(planted, Code.INDEX_FAR_AHEAD, highest_seen={0: 5})
    on_its_branch = scene.psbt(
        [Coin(2 * BTC), Coin(1_000, branch=1, index=far)], [Out(30_000_000), Out(REST, place=(1, far + 1))]
    )
    judge.finds(on_its_branch, Code.INDEX_FAR_AHEAD)
    judge.finds(on_its_branch, Code.INDEX_FAR_AHEAD, highest_seen={0: 5, 1: 3})
    # Whoever gets such a coin back to where he looks is left alone, and so is who uses many addresses, step by step.
    judge.passes(scene.psbt([Coin(2 * BTC), Coin(1_000, index=far)], [Out(30_000_000), Out(REST, place=(1, 4))]))
    steps = [Coin(BTC, index=990 * number) for number in range(3)]
    judge.passes(scene.psbt(steps, [Out(30_000_000), Out(REST + BTC, place=(1, 1_990))]), quick=True)


def test_c4_the_limits_can_be_set(judge: Judge, scene: Scene):
    judge.finds(_change_at(scene, 1, 60), Code.INDEX_OUT_OF_REACH, gap=GapLimits(notice=5, warning=10, error=50))


def test_c4_branches_come_from_the_descriptor(judge: Judge, scene: Scene):
    kind = scene.script_type
    keys = [person.master.derive((*person.key(kind).origin.path, 2, 0)).neuter().pubkey for person in scene.people]
    script = scene.script_from(2, keys)
    lie = hide_output(with_output(scene.psbt(), 1, TxOutput(REST, scene.wrap(script))), 1)
    origins = {
        scene.key(key): KeyOrigin(person.master.fingerprint, (*person.key(kind).origin.path, 2, 0))
        for key, person in zip(keys, scene.people, strict=True)
    }
    judge.finds(scene.show_output(lie, 1, script, origins), Code.FOREIGN_KEY_IN_CHANGE, quick=True)
    judge.finds(edit_output(lie, 1, dict(_origin_fields(origins))), Code.FAKE_CHANGE, quick=True)


def test_c4_unhinted_change_is_searched_up_to_the_limit(judge: Judge, scene: Scene):
    found = strip_hints(_change_at(scene, 1, 300))
    assert judge.report(found).outputs[1].path == "1/300"
    beyond = strip_hints(_change_at(scene, 1, 1500))
    assert judge.report(beyond).outputs[1].kind is OutputKind.PAYMENT
    assert judge.report(beyond).net_outflow_sats == 2 * BTC


def test_c4_a_search_is_bounded_whatever_the_context_says(judge: Judge):
    scene = judge.use(scene_of(count=2, salt="bounded"))
    psbt = strip_hints(_change_at(scene, 1, 1_999_995))
    gap = GapLimits(notice=20, warning=100, error=200)
    report = judge.report(psbt, highest_seen={0: 2_000_000, 1: 1_999_990}, gap=gap)
    assert report.outputs[1].path == "1/1999995"
    assert not any(view.mine for view in report.inputs)  # at 0/0, two million places away
