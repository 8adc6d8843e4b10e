"""Inputs of one key beside the wallet's own: shown as what they are, counted when their owner signed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from support.hostile import BTC, Scene, add_input, previous_tx, scene_of
from wormsig.bitcoin.keys import ExtendedPrivateKey, KeyOrigin
from wormsig.bitcoin.script import p2pkh_script, p2sh_script, p2wpkh_script
from wormsig.bitcoin.taproot import TaprootOutput
from wormsig.psbt import finalizer, signer, updater, verify
from wormsig.psbt.extractor import extract
from wormsig.review.context import GapLimits

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

OWNER = ExtendedPrivateKey.from_seed(hashlib.sha256(b"owner of a single key").digest(), mainnet=False)
PATH = (84 | 1 << 31, 1 | 1 << 31, 1 << 31, 0, 3)
KEY = OWNER.derive(PATH)
ORIGIN = KeyOrigin(OWNER.fingerprint, PATH)
NEAR = GapLimits(2, 5, 20)
"""How far somebody else's script is looked for among the wallet's: as far as any of its own stands here."""


def beside(scene: Scene, kind: str) -> Psbt:
    """The wallet's two coins, and one of somebody's at input 2."""
    if kind == "tr":
        output = TaprootOutput(KEY.pubkey[1:])
        psbt = add_input(scene.psbt(), previous_tx(output.script, BTC))
        return updater.with_input_taproot(psbt, 2, output, derivations={KEY.pubkey[1:]: ((), ORIGIN)})
    redeem = p2wpkh_script(KEY.pubkey) if kind == "sh-wpkh" else None
    script = {
        "pkh": p2pkh_script(KEY.pubkey),
        "wpkh": p2wpkh_script(KEY.pubkey),
        "sh-wpkh": p2sh_script(p2wpkh_script(KEY.pubkey)),
    }[kind]
    psbt = add_input(scene.psbt(), previous_tx(script, BTC))
    return updater.with_input_scripts(psbt, 2, redeem_script=redeem, origins={KEY.pubkey: ORIGIN})


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "tr"])
@pytest.mark.parametrize("kind", ["pkh", "wpkh", "sh-wpkh", "tr"])
def test_a_single_key_beside_ours_is_shown_and_finalized_when_its_owner_signed(kind: str, script_type: str) -> None:
    scene = scene_of(script_type)
    psbt = beside(scene, kind)
    view = scene.review(psbt, gap=NEAR).inputs[2]
    assert (view.script_type, view.mine, view.threshold, view.satisfied) == (kind, False, 1, False)
    pubkey = KEY.pubkey[1:] if kind == "tr" else KEY.pubkey
    assert [(key.key, key.fingerprint, key.name) for key in view.keys] == [(pubkey, OWNER.fingerprint.hex(), None)]
    by_owner = signer.sign_inputs(psbt, {2: {pubkey: KEY.seckey}})
    report = scene.review(by_owner, gap=NEAR)
    assert (report.inputs[2].signed, report.inputs[2].satisfied, report.complete) == (1, True, False)
    full = scene.sign(by_owner, "alice", "bob", inputs=[0, 1])
    report = scene.review(full, gap=NEAR)
    assert report.complete
    assert report.vsize is not None
    final = extract(finalizer.finalize(verify.verify(full)))
    assert abs(report.vsize - final.vsize) * 100 <= final.vsize
