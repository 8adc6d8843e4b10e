"""Taproot inputs beside the wallet's own: a threshold is shown where the PSBT proves that there is one way to spend."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from support.hostile import BTC, add_input, previous_tx, scene_of
from wormsig.bitcoin.keys import ExtendedPrivateKey
from wormsig.bitcoin.taproot import NUMS_KEY, TapLeaf, TaprootOutput, TapTree, multi_a_script
from wormsig.psbt import updater
from wormsig.psbt.model import TAP_LEAF_SCRIPT
from wormsig.review.context import GapLimits

if TYPE_CHECKING:
    from wormsig.review.views import InputView

OWNER = ExtendedPrivateKey.from_seed(hashlib.sha256(b"owner of a taproot coin").digest(), mainnet=False)
ONE, TWO, THREE, INTERNAL = (OWNER.derive((number,)).pubkey[1:] for number in range(4))
MULTI = multi_a_script(2, [ONE, TWO, THREE])
SINGLE = b"\x20" + THREE + b"\xac"
NEAR = GapLimits(2, 5, 20)


def seen(internal_key: bytes, *scripts: bytes, hidden: int | None = None) -> InputView:
    """Somebody's coin with these leaves, of which one may be left away."""
    leaves = tuple(map(TapLeaf, scripts))
    tree = TapTree.nested(leaves if len(leaves) > 1 else leaves[0]) if leaves else None
    output = TaprootOutput(internal_key, tree)
    scene = scene_of("wsh")
    psbt = add_input(scene.psbt(), previous_tx(output.script, BTC))
    psbt = updater.with_input_taproot(psbt, 2, output, derivations={})
    if hidden is not None:
        control = bytes((TAP_LEAF_SCRIPT,)) + output.control_block(hidden)
        assert control in psbt.inputs[2]
        psbt = psbt.with_input(2, {key: value for key, value in psbt.inputs[2].items() if key != control})
    return scene.review(psbt, gap=NEAR).inputs[2]


@pytest.mark.parametrize(
    ("internal_key", "scripts", "threshold", "keys"),
    [
        (INTERNAL, (), 1, [INTERNAL]),
        (NUMS_KEY, (MULTI,), 2, [ONE, TWO, THREE]),
        (INTERNAL, (MULTI,), None, [INTERNAL, ONE, TWO, THREE]),  # the internal key is a second way
        (NUMS_KEY, (MULTI, SINGLE), None, [ONE, TWO, THREE]),
    ],
)
def test_a_threshold_is_shown_where_there_is_one_way_to_spend(
    internal_key: bytes, scripts: tuple[bytes, ...], threshold: int | None, keys: list[bytes]
) -> None:
    view = seen(internal_key, *scripts)
    assert (view.script_type, view.mine, view.threshold) == ("tr", False, threshold)
    assert sorted(key.key for key in view.keys) == sorted(keys)


def test_a_leaf_that_is_not_shown_is_another_way_to_spend() -> None:
    view = seen(NUMS_KEY, MULTI, SINGLE, hidden=1)
    assert view.threshold is None
    assert sorted(key.key for key in view.keys) == sorted([ONE, TWO, THREE])


def test_the_internal_key_stays_a_way_to_spend_when_one_leaf_is_shown() -> None:
    view = seen(INTERNAL, MULTI, SINGLE, hidden=0)
    assert view.threshold is None
    assert sorted(key.key for key in view.keys) == sorted([INTERNAL, THREE])
