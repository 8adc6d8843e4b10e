"""A PSBT that was signed elsewhere and comes back as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile import MALLORY, Scene, add_input, edit_input, edit_tx, previous_tx, scene_of
from wormsig.bitcoin.script import p2wpkh_script
from wormsig.bitcoin.tx import TxOutput
from wormsig.errors import InputError, RefusedError
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import check_signatures, held_signatures
from wormsig.review.approve import approve
from wormsig.signers.returned import ReturnedPsbt

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved

PATH = (84 | 1 << 31, 1 | 1 << 31, 1 << 31, 0, 0)
FOREIGN = MALLORY.master.derive(PATH)


@pytest.fixture(params=["wsh", "sh-wsh", "tr"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return scene_of(request.param)


def mixed(scene: Scene) -> Psbt:
    """Two coins of the wallet, and somebody's private one at input 2."""
    script = p2wpkh_script(FOREIGN.neuter().pubkey)
    return add_input(scene.psbt(), previous_tx(script, 1_000))


def approved(scene: Scene, psbt: Psbt) -> Approved:
    return approve(psbt, scene.review(psbt), scene.wallet, by="person")


def signed_foreign(psbt: Psbt) -> Psbt:
    return sign_inputs(psbt, {2: {FOREIGN.neuter().pubkey: FOREIGN.seckey}})


def test_what_was_signed_comes_back(scene: Scene) -> None:
    psbt = scene.psbt()
    signed = scene.sign(psbt, "alice")
    signer = ReturnedPsbt("file:a.psbt", signed)
    assert (signer.label, signer.fingerprints) == ("file:a.psbt", None)
    assert signer.sign(approved(scene, psbt)) == signed


def test_c23_what_was_signed_beside_the_approved_inputs_is_stripped(scene: Scene) -> None:
    psbt = mixed(scene)
    ours = scene.sign(psbt, "alice", inputs=[0, 1])
    returned = ReturnedPsbt("file", signed_foreign(ours)).sign(approved(scene, psbt))
    assert returned == ours
    assert {check.input for check in check_signatures(returned)} == {0, 1}
    assert returned.inputs[2] == psbt.inputs[2]


def test_c23_signatures_on_other_inputs_alone_are_none(scene: Scene) -> None:
    psbt = mixed(scene)
    with pytest.raises(InputError, match="file holds no new signature of this wallet"):
        ReturnedPsbt("file", signed_foreign(psbt)).sign(approved(scene, psbt))


def test_a_file_of_another_transaction_or_without_a_good_signature(scene: Scene) -> None:
    psbt = scene.psbt()
    other = edit_tx(psbt, outputs=(TxOutput(1, psbt.tx.outputs[0].script), *psbt.tx.outputs[1:]))
    with pytest.raises(InputError, match=r"file is not what was approved: .*output 0 pays 1 sat"):
        ReturnedPsbt("file", scene.sign(other, "alice")).sign(approved(scene, psbt))
    elsewhere = scene.sign(other, "alice")
    wrong = psbt
    for index in range(2):
        fields = {key: value for key, value in elsewhere.inputs[index].items() if key not in psbt.inputs[index]}
        wrong = edit_input(wrong, index, fields)
        assert len(held_signatures(wrong, index)) == 1
    for nothing in (psbt, wrong):
        with pytest.raises(InputError, match="no new signature"):
            ReturnedPsbt("file", nothing).sign(approved(scene, psbt))


def test_c20_nothing_is_taken_when_what_was_approved_changed() -> None:
    scene = Scene(salt="changed")
    psbt = scene.psbt()
    what = approved(scene, psbt)
    psbt.outputs[0][b"\xfc\x01x\x00"] = b"changed"  # type: ignore[index]
    with pytest.raises(RefusedError, match="C20"):
        ReturnedPsbt("file", scene.sign(scene.psbt(), "alice")).sign(what)
