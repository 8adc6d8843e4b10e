from __future__ import annotations

import pytest

from support.hostile import BTC, STRANGER, Coin, Out, Scene, edit_output, scene_of, strip_hints, with_output
from wormsig.bitcoin.tx import TxOutput
from wormsig.psbt import updater
from wormsig.review import ownership
from wormsig.review.context import GapLimits, ReviewContext
from wormsig.review.report import OutputKind
from wormsig.review.review import review

REST = 2 * BTC - 30_002_000


def derived(scene: Scene) -> int:
    return len(scene.deriver._scripts)


def test_with_honest_hints_one_script_an_item_is_derived():
    scene = Scene(salt="counted")
    psbt = scene.psbt()
    fresh = Scene(salt="counted")
    report = fresh.review(psbt)
    assert report.net_outflow_sats == 30_002_000
    review(psbt, fresh.wallet, ReviewContext(), deriver=fresh.deriver)
    assert derived(fresh) == 3  # two inputs and the change; the payment cannot be the wallet's by its form


def test_a_place_is_searched_once_for_everything_that_is_left():
    scene = Scene(count=1, threshold=1, salt="once")
    outputs = [Out(1_000, b"\x00\x20" + bytes((n,)) * 32) for n in range(40)]
    psbt = strip_hints(scene.psbt(outputs=outputs))
    fresh = Scene(count=1, threshold=1, salt="once")
    review(psbt, fresh.wallet, ReviewContext(gap=GapLimits(1, 2, 100)), deriver=fresh.deriver)
    assert derived(fresh) == 2 * 102  # both branches up to the inputs' index 1 and 100 beyond


def test_unhinted_items_next_to_hinted_ones():
    scene = scene_of()
    psbt = scene.psbt([Coin(), Coin(index=7), Coin(branch=1, index=3)])
    half = psbt.with_inputs({1: {key: value for key, value in psbt.inputs[1].items() if key[0] != 0x06}})
    assert [view.path for view in scene.review(half).inputs] == ["0/0", "0/7", "1/3"]


def test_a_hint_of_one_output_may_lead_to_another():
    scene = scene_of()
    psbt = scene.psbt(outputs=[Out(30_000_000), Out(REST, place=(1, 5))])
    psbt = edit_output(psbt, 1, {key: None for key in psbt.outputs[1] if key[0] == 0x02})
    liar = updater.with_output_scripts(psbt, 0, origins=scene.deriver.script(1, 5).origins)
    assert [view.kind for view in scene.review(liar).outputs] == [OutputKind.PAYMENT, OutputKind.CHANGE]


@pytest.mark.parametrize("branch", [0, 1])
def test_change_may_be_on_either_branch(branch: int):
    scene = scene_of()
    report = scene.review(scene.psbt(outputs=[Out(2 * BTC - 2_000, place=(branch, 11))]))
    assert (report.outputs[0].kind, report.outputs[0].path) == (OutputKind.CHANGE, f"{branch}/11")


def test_hardened_and_absurd_hints_are_ignored():
    scene = scene_of()
    psbt = with_output(scene.psbt(), 1, TxOutput(REST, STRANGER))
    key, origin = next((key, value) for key, value in psbt.outputs[1].items() if key[0] == 0x02)
    for end in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x80"):
        for value in (origin[:-4] + end, origin[:-8] + end + origin[-4:], origin[:4], origin[:-4]):
            report = scene.review(edit_output(psbt, 1, {key: value, b"\x01": None}))
            assert report.outputs[1].kind is OutputKind.PAYMENT


def test_the_number_of_wrong_hints_is_capped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ownership, "MAX_WRONG_HINTS", 5)
    scene = Scene(count=1, threshold=1, salt="capped")
    psbt = scene.psbt(outputs=[Out(1_000) for _ in range(50)])
    for index in range(50):
        origins = scene.deriver.script(0, 100 + index).origins
        psbt = updater.with_output_scripts(psbt, index, origins=origins)
    fresh = Scene(count=1, threshold=1, salt="capped")
    report = review(psbt, fresh.wallet, ReviewContext(), deriver=fresh.deriver)
    assert all(view.kind is OutputKind.PAYMENT for view in report.outputs)
    assert derived(fresh) <= 2 + 6


def test_a_coin_planted_far_away_does_not_take_the_search_away_from_the_others():
    """An own coin that is not found counts as somebody else's, and what leaves the wallet with it is not shown."""
    scene = scene_of(count=1, threshold=1, salt="once")
    psbt = scene.psbt([Coin(index=5), Coin(1_000, index=100_000), Coin(index=7)])
    hidden = psbt.with_inputs({2: {key: value for key, value in psbt.inputs[2].items() if key[0] not in {0x05, 0x06}}})
    assert [view.path for view in scene.review(hidden).inputs] == ["0/5", "0/100000", "0/7"]
    far = psbt.with_inputs({1: {key: value for key, value in psbt.inputs[1].items() if key[0] not in {0x05, 0x06}}})
    assert [view.mine for view in scene.review(far).inputs] == [True, False, True]


def test_what_a_search_finds_moves_its_limit_and_not_what_it_costs(monkeypatch: pytest.MonkeyPatch):
    """Thousands of coins, each just within reach of the one before, led a review on for hours (C16)."""
    monkeypatch.setattr(ownership, "SEARCH_WINDOW", 300)
    fresh = Scene(count=1, threshold=1, salt="led on")
    psbt = strip_hints(scene_of(count=1, threshold=1, salt="led on").psbt([Coin(index=90 * n) for n in range(1, 9)]))
    report = review(psbt, fresh.wallet, ReviewContext(gap=GapLimits(1, 2, 100)), deriver=fresh.deriver)
    assert [view.mine for view in report.inputs] == [True] * 3 + [False] * 5
    assert derived(fresh) == 2 * 300


@pytest.mark.parametrize(
    ("known", "spent", "expected"),
    [
        ({}, {}, {}),
        ({}, {0: {3, 7}}, {0: 7}),
        ({}, {0: {3, 14}}, {0: 3}),
        ({}, {0: {3, 13, 23}}, {0: 23}),
        ({}, {0: {3}, 1: {99}}, {0: 3, 1: 3}),
        ({0: 50}, {0: {3}, 1: {55}}, {0: 50, 1: 55}),
        ({0: 50, 1: 4}, {1: {55}}, {0: 50, 1: 4}),
    ],
)
def test_how_far_the_branches_are_in_use(known: dict[int, int], spent: dict[int, set[int]], expected: dict[int, int]):
    assert ownership.reached(known, spent, 10) == expected
