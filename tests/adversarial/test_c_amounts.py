"""THREATS C1, C12, C13, C19: amounts that lie, fees that burn, sums that cannot be."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from support.hostile import (
    BTC,
    STRANGER,
    Coin,
    Out,
    Scene,
    edit_input,
    edit_output,
    edit_tx,
    previous_tx,
    scene_of,
    with_output,
)
from support.values import replace
from wormsig.bitcoin.script import p2pkh_script, p2sh_script, p2wsh_script
from wormsig.bitcoin.taproot import NUMS_KEY, p2tr_script
from wormsig.bitcoin.tx import MAX_MONEY, OutPoint, TxOutput
from wormsig.review.context import FeeLimit
from wormsig.review.findings import Code

if TYPE_CHECKING:
    from conftest import Judge

ALL_TYPES = ["wsh", "sh-wsh", "sh", "tr"]


@pytest.mark.parametrize("script_type", ALL_TYPES)
@pytest.mark.parametrize("is_sorted", [True, False])
def test_c_an_honest_psbt_has_no_finding_and_is_signed(judge: Judge, script_type: str, *, is_sorted: bool):
    scene = judge.use(scene_of(script_type, is_sorted=is_sorted))
    judge.passes(scene.psbt())


def test_c1_witness_utxo_that_disagrees_with_the_previous_transaction(judge: Judge, scene: Scene):
    honest = scene.psbt()
    coin = scene.deriver.script(0, 0).script_pubkey
    lie = edit_input(honest, 0, {b"\x01": TxOutput(BTC // 2, coin).serialize()})
    finding = judge.finds(lie, Code.AMOUNT_MISMATCH)
    assert finding.where == "input 0"
    assert "100000000 sat" in finding.details[0]
    assert "50000000 sat" in finding.details[0]
    assert judge.report(lie).input_sats == 2 * BTC  # what is shown is the truth
    assert not judge.signs(lie, "--trust-amounts")


def test_c1_witness_utxo_with_another_script(judge: Judge, scene: Scene):
    other = scene.deriver.script(0, 7).script_pubkey
    judge.finds(edit_input(scene.psbt(), 0, {b"\x01": TxOutput(BTC, other).serialize()}), Code.AMOUNT_MISMATCH)


@pytest.mark.parametrize("script_type", ALL_TYPES)
def test_c1_previous_transaction_of_another_coin(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    coin = scene.deriver.script(0, 0).script_pubkey
    richer = previous_tx(coin, 5 * BTC)
    lie = edit_input(scene.psbt(), 0, {b"\x00": richer.serialize(), b"\x01": None})
    judge.finds(lie, Code.WRONG_PREVIOUS_TX)
    judge.finds(lie, Code.UNKNOWN_AMOUNT)  # it proves nothing, so nobody knows what goes in
    assert judge.report(lie).fee_sats is None


def test_c1_previous_transaction_without_that_output(judge: Judge, scene: Scene):
    honest = scene.psbt()
    inputs = list(honest.tx.inputs)
    inputs[0] = replace(inputs[0], outpoint=OutPoint(inputs[0].outpoint.txid, 2))
    judge.finds(edit_tx(honest, inputs=tuple(inputs)), Code.WRONG_PREVIOUS_TX)


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh"])
def test_c1_segwit_amounts_without_previous_transactions(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    claimed = edit_input(edit_input(scene.psbt(), 0, {b"\x00": None}), 1, {b"\x00": None})
    judge.finds(claimed, Code.NO_PREVIOUS_TX)
    # The one override: a warning that no policy can accept, and never unattended.
    trusted = judge.report(claimed, trust_amounts=True)
    assert {finding.code for finding in trusted.findings} == {Code.AMOUNT_TRUSTED}
    assert Code.AMOUNT_TRUSTED.never_unattended
    assert judge.report(claimed, trust_amounts=True, unattended=True).errors
    assert not judge.signs(claimed, "--trust-amounts")


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh"])
def test_c1_a_lone_segwit_input_without_previous_transaction_only_warns(judge: Judge, script_type: str):
    scene = judge.use(scene_of(script_type))
    lone = edit_input(scene.psbt([Coin()]), 0, {b"\x00": None})
    judge.finds(lone, Code.LONE_AMOUNT_UNPROVEN)
    assert not judge.report(lone).errors


def test_c1_a_lone_legacy_input_needs_its_previous_transaction(judge: Judge):
    scene = judge.use(scene_of("sh"))
    script = scene.deriver.script(0, 0).script_pubkey
    lie = edit_input(scene.psbt([Coin()]), 0, {b"\x00": None, b"\x01": TxOutput(BTC, script).serialize()})
    judge.finds(lie, Code.NO_PREVIOUS_TX)
    # A redeemScript that would make it segwit, and is not the output's, does not help.
    nested = edit_input(lie, 0, {b"\x04": b"\x00\x20" + bytes(32)})
    judge.finds(nested, Code.NO_PREVIOUS_TX)
    judge.finds(nested, Code.SCRIPT_MISMATCH)


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
def test_c1_a_coin_of_ours_is_not_hidden_by_calling_it_taproot(judge: Judge, script_type: str):
    """Two reviews of one transaction, each with another of our coins disguised, would show half of the loss each."""
    scene = judge.use(scene_of(script_type))
    honest = scene.psbt(outputs=[Out(BTC), Out(BTC - 2_000, place=(1, 0))])
    taproot = TxOutput(BTC, p2tr_script(NUMS_KEY)).serialize()
    for hidden in (0, 1):
        disguised = edit_input(honest, hidden, {**dict.fromkeys(honest.inputs[hidden]), b"\x01": taproot})
        judge.finds(disguised, Code.NO_PREVIOUS_TX)
    # A taproot wallet's signatures cover what every input spends: there the lie spoils them.
    foreign = scene_of("tr").psbt()
    assert not scene_of("tr").review(edit_input(foreign, 1, {b"\x00": None})).findings


def test_c1_our_node_knows_the_coin_otherwise(judge: Judge, scene: Scene):
    psbt = scene.psbt()
    outpoint = psbt.tx.inputs[0].outpoint
    truth = TxOutput(3 * BTC, scene.deriver.script(0, 0).script_pubkey)
    found = judge.finds(psbt, Code.NODE_DISAGREES, confirmed={outpoint: truth})
    assert found.details == (f"our node knows {3 * BTC} sat, the PSBT says {BTC} sat",)
    elsewhere = TxOutput(BTC, STRANGER)
    found = judge.finds(psbt, Code.NODE_DISAGREES, confirmed={outpoint: elsewhere})
    assert f"our node knows the script {STRANGER.hex()}" in found.details[0]
    assert not judge.report(psbt, confirmed={outpoint: elsewhere}).inputs[0].mine
    claimed = edit_input(edit_input(psbt, 0, {b"\x00": None}), 1, {b"\x00": None})
    confirmed = {
        txin.outpoint: TxOutput(BTC, scene.deriver.script(0, index).script_pubkey)
        for index, txin in enumerate(psbt.tx.inputs)
    }
    judge.passes(claimed, confirmed=confirmed)


def test_c9_unknown_amount_is_an_error(judge: Judge, scene: Scene):
    judge.finds(edit_input(scene.psbt(), 1, {b"\x00": None, b"\x01": None}), Code.UNKNOWN_AMOUNT)
    report = judge.report(edit_input(scene.psbt(), 1, {b"\x00": None, b"\x01": None}))
    assert report.fee_sats is None
    assert report.fee_rate is None


def test_c12_outputs_above_inputs(judge: Judge, scene: Scene):
    judge.finds(scene.psbt([Coin()], [Out(BTC + 1)]), Code.NEGATIVE_FEE)


def test_c12_sum_above_21_million(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(outputs=[Out(MAX_MONEY), Out(1)]), Code.AMOUNT_OVERFLOW)
    judge.finds(scene.psbt([Coin(MAX_MONEY), Coin(MAX_MONEY, index=1)]), Code.AMOUNT_OVERFLOW)
    judge.finds(scene.psbt(outputs=[Out(2**63 - 1), Out(2**63 - 1)]), Code.AMOUNT_OVERFLOW)


def test_c12_fee_above_ten_percent(judge: Judge, scene: Scene):
    at_limit = scene.psbt([Coin(200_000)], [Out(180_000)])
    above = scene.psbt([Coin(200_000)], [Out(179_999)])
    assert Code.FEE_TOO_HIGH not in {finding.code for finding in judge.report(at_limit).findings}
    judge.finds(above, Code.FEE_TOO_HIGH)
    for limit in (FeeLimit(percent=Fraction(11)), FeeLimit(sats=20_001)):
        assert not judge.report(above, max_fee=limit).errors
    assert judge.inspect(above, "--max-fee", "11%")[0] == 0
    assert judge.inspect(above, "--max-fee", "20000")[0] == 4


def test_c12_fee_above_five_percent_warns(judge: Judge, scene: Scene):
    high = scene.psbt([Coin(200_000)], [Out(187_000)])
    assert "6.5 %" in judge.finds(high, Code.FEE_HIGH).message
    judge.passes(scene.psbt([Coin(200_000)], [Out(190_000)]))


def test_c12_a_smaller_limit_than_the_usual_one(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(fee=2_001), Code.FEE_TOO_HIGH, "--max-fee", "2000", max_fee=FeeLimit(sats=2_000))
    assert not judge.signs(scene.psbt(fee=2_001), "--max-fee", "2000")
    assert judge.signs(scene.psbt(fee=2_000), "--max-fee", "2000")


def test_c12_fee_rate_above_1000(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(fee=400_000), Code.FEE_RATE_TOO_HIGH)
    judge.passes(scene.psbt(fee=400_000), max_fee_rate=Fraction(2_000))
    judge.passes(scene.psbt(fee=250_000))
    assert judge.signs(scene.psbt(fee=400_000), "--max-fee-rate", "2000")


def test_c12_the_headline_is_the_net_outflow(judge: Judge, scene: Scene):
    report = judge.report(scene.psbt())
    assert report.net_outflow_sats == 30_000_000 + 2_000
    assert judge.inspect(scene.psbt())[1]["net_outflow_sats"] == 30_002_000


def test_c13_the_same_coin_twice(judge: Judge, scene: Scene):
    honest = scene.psbt()
    twice = edit_tx(honest, inputs=(honest.tx.inputs[0], honest.tx.inputs[0]))
    judge.finds(twice.with_input(1, honest.inputs[0]), Code.DUPLICATE_INPUT)


def test_c13_negative_amount(judge: Judge, scene: Scene):
    judge.finds(with_output(scene.psbt(), 0, TxOutput(-1, STRANGER)), Code.NEGATIVE_AMOUNT)


def test_c13_no_outputs(judge: Judge, scene: Scene):
    judge.finds(edit_tx(scene.psbt(), outputs=()), Code.NO_OUTPUTS)


def test_c13_no_inputs(judge: Judge, scene: Scene):
    judge.finds(edit_tx(scene.psbt(), inputs=()), Code.NO_INPUTS)


def test_c13_zero_amount_warns_but_for_data_and_anchors(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(outputs=[Out(2 * BTC - 2_000), Out(0)]), Code.ZERO_AMOUNT)
    anchor = bytes.fromhex("51024e73")
    judge.passes(scene.psbt(outputs=[Out(2 * BTC - 2_000), Out(0, anchor)]))
    data = judge.report(scene.psbt(outputs=[Out(2 * BTC - 2_000), Out(0, b"\x6a\x01a")]))
    assert {finding.code for finding in data.findings} == {Code.DATA_OUTPUT}


def test_c19_dust_warns(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(outputs=[Out(293), Out(2 * BTC - 2_293, place=(1, 0))]), Code.DUST)
    judge.passes(scene.psbt(outputs=[Out(294), Out(2 * BTC - 2_294, place=(1, 0))]))


@pytest.mark.parametrize(
    ("script", "limit"),
    [
        (p2pkh_script(b"\x02" + bytes(32)), 546),
        (p2sh_script(b"\x51"), 540),
        (STRANGER, 294),
        (p2wsh_script(b"\x51"), 330),
        (p2tr_script(NUMS_KEY), 330),
    ],
    ids=["pkh", "sh", "wpkh", "wsh", "tr"],
)
def test_c19_dust_begins_where_nodes_relay_no_more(judge: Judge, script: bytes, limit: int):
    outputs = [Out(2 * BTC - 2_000 - limit), Out(limit, script)]
    judge.passes(judge.scene.psbt(outputs=outputs), quick=True)
    less = judge.scene.psbt(outputs=[outputs[0], Out(limit - 1, script)])
    assert f"relay nothing below {limit}" in judge.finds(less, Code.DUST, quick=True).message


def test_c19_change_to_an_address_that_was_paid_before(judge: Judge, scene: Scene):
    back = scene.psbt(outputs=[Out(30_000_000), Out(2 * BTC - 30_002_000, place=(0, 1))])
    judge.finds(back, Code.ADDRESS_REUSE)
    used = frozenset({scene.deriver.script(1, 0).script_pubkey})
    judge.finds(scene.psbt(), Code.ADDRESS_REUSE, used_scripts=used)


def test_c1_nothing_depends_on_the_order_of_fields(judge: Judge, scene: Scene):
    honest = scene.psbt()
    turned = honest.with_inputs({i: dict(reversed(list(fields.items()))) for i, fields in enumerate(honest.inputs)})
    judge.passes(edit_output(turned, 0, {}))
