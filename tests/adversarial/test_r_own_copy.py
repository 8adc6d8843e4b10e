"""The coordinator's own copy came from somebody too: what was planted in it before it was sent round (rows R2, R7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile import MALLORY, edit_input, scene_of
from wormsig.errors import ExitCode, PsbtError
from wormsig.psbt import codec, finalizer, verify
from wormsig.psbt.combiner import combine
from wormsig.psbt.contribution import extract
from wormsig.psbt.verify import SignatureProblem

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Judge
    from wormsig.psbt.model import Psbt


def written(folder: Path, name: str, psbt: Psbt) -> str:
    path = folder / name
    path.write_bytes(codec.serialize(psbt))
    return str(path)


@pytest.mark.parametrize(
    "planted", [{b"\x07": b""}, {b"\x07": b"\x51"}, {b"\x08": b"\x00"}, {b"\x08": b"\x01\x00"}], ids=str
)
def test_r7_wrong_finals_in_my_own_copy_are_not_called_complete(judge: Judge, tmp_path: Path, planted: dict):
    scene = judge.use(scene_of("wsh"))
    honest = scene.psbt()
    mine = written(tmp_path, "mine", edit_input(honest, 0, planted))
    answers = [written(tmp_path, name, scene.sign(honest, name)) for name in ("bob", "carol")]
    out = tmp_path / "combined"
    code, _ = judge.run("combine", mine, *answers, "--wallet", scene.wallet.name, "-o", str(out))
    assert code == ExitCode.INPUT
    assert not out.exists()


def without_scripts(psbt: Psbt) -> Psbt:
    """My copy says nothing of how its inputs can be spent."""
    for index, fields in enumerate(psbt.inputs):
        gone = {0x04, 0x05, 0x06, 0x15, 0x16, 0x17, 0x18}
        psbt = edit_input(psbt, index, {key: None for key in fields if key[0] in gone})
    return psbt


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh", "tr"])
def test_r7_signatures_out_of_finals_are_not_taken_where_nobody_could_use_them(script_type: str):
    scene = scene_of(script_type)
    honest = scene.psbt()
    final = finalizer.finalize(verify.verify(scene.sign(honest, "bob", "carol")))
    mine = without_scripts(honest)
    brought = extract(mine, final)
    assert not brought.signatures
    assert {check.problem for check in brought.rejected} == {SignatureProblem.NOT_SHOWN_HERE}
    assert not brought.pubkeys
    together = combine(verify.verify(mine), [brought])
    assert together.psbt == mine
    assert verify.verify(together.psbt).psbt == mine  # what was combined can be read again


def test_r7_a_final_by_key_does_not_stop_a_copy_whose_taproot_fields_lie():
    scene = scene_of("tr")
    honest = scene.psbt()
    final = finalizer.finalize(verify.verify(scene.sign(honest, "bob", "carol")))
    mine = edit_input(honest, 0, {b"\x17": MALLORY.master.neuter().pubkey[1:]})
    brought = extract(mine, final)
    assert {index for index, _, _ in brought.signatures} == {1}
    assert len(brought.pubkeys) == 2
    with pytest.raises(PsbtError):
        finalizer.finalize(combine(verify.verify(mine), [brought]))
