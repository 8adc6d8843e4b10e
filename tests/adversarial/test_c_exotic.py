"""Odd and valid parts of transactions that a stranger can put into a PSBT (rows C1, C13, C14, C16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile import BTC, Out, Scene, add_input, edit_input, edit_tx, previous_tx, scene_of
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.script import ANCHOR_SCRIPT
from wormsig.bitcoin.tx import parse_transaction
from wormsig.errors import InputError, PsbtError
from wormsig.psbt import codec
from wormsig.render.lines import plain
from wormsig.render.report_text import review_lines
from wormsig.review.findings import Code

if TYPE_CHECKING:
    from conftest import Judge
    from wormsig.psbt.model import Psbt


@pytest.fixture
def scene(judge: Judge) -> Scene:
    return judge.use(scene_of("wsh"))


def paying(scene: Scene, sats: int) -> Psbt:
    return scene.psbt(outputs=[Out(sats, ANCHOR_SCRIPT), Out(2 * BTC - sats - 2_000, place=(1, 0))])


def test_c14_coins_for_whoever_takes_them(judge: Judge, scene: Scene):
    judge.finds(paying(scene, 1_001), Code.ANYBODY_CAN_SPEND, quick=True)
    found = judge.finds(paying(scene, BTC), Code.ANYBODY_CAN_SPEND)
    assert found.where == "output 0"


@pytest.mark.parametrize("sats", [0, 240, 1_000])
def test_c14_an_anchor_passes(judge: Judge, scene: Scene, sats: int):
    judge.passes(paying(scene, sats), quick=True)


OFF_THE_CURVE = b"\x51\x20" + bytes(31) + b"\x05"  # no y belongs to this x


@pytest.mark.parametrize("script", [OFF_THE_CURVE, b"\x51" * 10_001], ids=["no-such-key", "too-long"])
def test_c14_coins_for_nobody(judge: Judge, scene: Scene, script: bytes):
    psbt = scene.psbt(outputs=[Out(BTC, script), Out(BTC - 20_000, place=(1, 0))])
    found = judge.finds(psbt, Code.BURNED_COINS)
    assert found.where == "output 0"


def test_c14_a_large_burn_is_not_folded_away_behind_small_ones(judge: Judge, scene: Scene):
    small = [Out(1_000 + number, OFF_THE_CURVE) for number in range(8)]
    psbt = scene.psbt(outputs=[*small, Out(BTC, OFF_THE_CURVE), Out(BTC - 20_000, place=(1, 0))])
    assert judge.finds(psbt, Code.BURNED_COINS).where == "output 8"
    assert "output 8 burns 1.00000000 BTC" in plain(review_lines(judge.report(psbt)))


def test_c14_a_script_at_the_limit_can_be_spent(scene: Scene):
    psbt = scene.psbt(outputs=[Out(BTC, b"\x51" * 10_000), Out(BTC - 20_000, place=(1, 0))])
    assert Code.BURNED_COINS not in {found.code for found in scene.review(psbt).findings}


@pytest.mark.parametrize("version", [0, 4, 0xFFFF_FFFF])
def test_c14_a_version_that_nobody_relays(judge: Judge, scene: Scene, version: int):
    found = judge.finds(edit_tx(scene.psbt(), version=version), Code.NONSTANDARD_VERSION)
    assert str(version) in found.message


@pytest.mark.parametrize("version", [1, 2, 3])
def test_c14_versions_that_are_relayed(scene: Scene, version: int):
    codes = {found.code for found in scene.review(edit_tx(scene.psbt(), version=version)).findings}
    assert Code.NONSTANDARD_VERSION not in codes


@pytest.mark.parametrize("script", [ANCHOR_SCRIPT, b"\x51\x14" + bytes(20), b"\x52\x20" + bytes(32)], ids=bytes.hex)
def test_c1_a_claimed_amount_that_no_taproot_signature_covers(judge: Judge, scene: Scene, script: bytes):
    psbt = add_input(scene.psbt(), previous_tx(script, 5_000))
    assert not [found for found in scene.review(psbt).findings if found.code is Code.NO_PREVIOUS_TX]
    judge.finds(edit_input(psbt, 2, {b"\x00": None}), Code.NO_PREVIOUS_TX)


def test_c16_a_previous_transaction_with_a_witness_of_nothing_is_none(scene: Scene):
    psbt = scene.psbt()
    stripped = parse_transaction(psbt.inputs[0][b"\x00"]).serialize(witness=False)
    empty = stripped[:4] + b"\x00\x01" + stripped[4:-4] + b"\x00" + stripped[-4:]
    for reader in (lambda: previous_output(empty, 1), lambda: parse_transaction(empty)):
        with pytest.raises(InputError, match="has a witness and has none"):
            reader()
    with pytest.raises(PsbtError, match="has a witness and has none"):
        codec.parse(codec.serialize(edit_input(psbt, 0, {b"\x00": empty})))
    again = codec.parse(codec.serialize(edit_input(psbt, 0, {b"\x00": stripped})))
    assert again.txid == psbt.txid
