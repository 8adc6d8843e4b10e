"""THREATS, rows R1 to R8, on files: what `wormsig combine` makes of answers that came by USB stick.

Of P2WSH, nested P2WSH and taproot wallets alike; over the wire (test_r_answers.py) the same code judges them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.hostile import Scene, edit_global, edit_input, edit_tx
from support.kinds import PEOPLE, kind
from support.values import replace
from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.psbt.contribution import extract as extract_contribution
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.sigkeys import field_key
from wormsig.psbt.verify import held_signatures, verify

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Judge
    from wormsig.psbt.model import Psbt


class Desk:
    """The coordinator's copy, a folder for answers, and `wormsig combine`."""

    def __init__(self, judge: Judge, scene: Scene, folder: Path) -> None:
        self.judge, self.scene, self.folder = judge, scene, folder
        self.psbt = scene.psbt()
        self.mine = folder / "mine.psbt"
        self.mine.write_bytes(codec.serialize(self.psbt))
        self.out = folder / "out.psbt"

    def combine(self, *answers: Psbt | bytes, code: ExitCode) -> Psbt | None:
        """What OUT holds; MINE is as it was, whatever came back."""
        names = []
        deep = self.folder / "where answers come in" / "a long way down from where anybody would look for them"
        deep.mkdir(parents=True, exist_ok=True)
        for number, answer in enumerate(answers):
            path = deep / f"answer-{number}.psbt"
            path.write_bytes(answer if isinstance(answer, bytes) else codec.serialize(answer))
            names.append(str(path))
        self.out.unlink(missing_ok=True)
        ended, _ = self.judge.run(
            "combine", str(self.mine), *names, "--wallet", self.scene.wallet.name, "-o", str(self.out)
        )
        assert ended == code
        assert self.mine.read_bytes() == codec.serialize(self.psbt)
        return codec.parse(self.out.read_bytes()) if self.out.exists() else None


@pytest.fixture
def desk(judge: Judge, scene: Scene, tmp_path: Path) -> Desk:
    return Desk(judge, scene, tmp_path)


def spoiled(psbt: Psbt, other: Psbt) -> Psbt:
    """Bob's good signature replaced by one that he made elsewhere."""
    ((key, _),) = held_signatures(psbt, 0).items()
    (wrong,) = held_signatures(other, 0).values()
    return edit_input(psbt, 0, {field_key(key): wrong})


def test_r1_another_transaction_on_files_brings_nothing(desk: Desk) -> None:
    lie = edit_tx(desk.psbt, outputs=(replace(desk.psbt.tx.outputs[0], sats=1), desk.psbt.tx.outputs[1]))
    assert desk.combine(desk.scene.sign(lie, "bob"), code=ExitCode.PEER) == desk.psbt
    assert "answer-0.psbt" in desk.judge.said
    said = " ".join(desk.judge.said.split())
    assert said.count("another transaction came back: output 0 pays 1 sat, not 30000000 sat") == 1
    assert re.search(r"error: 1 of 1 answer held something wrong: .*answer-0\.psbt", said)


def test_r2_a_bad_answer_leaves_the_good_ones_in_the_output(desk: Desk) -> None:
    bob = desk.scene.sign(desk.psbt, "bob")
    elsewhere = desk.scene.sign(edit_tx(desk.psbt, locktime=5), "bob")
    carol = desk.scene.sign(desk.psbt, "carol")
    bad = spoiled(bob, elsewhere)
    out = desk.combine(bad, carol, b"no psbt at all", code=ExitCode.PEER)
    assert out is not None
    assert held_signatures(out, 0) == held_signatures(carol, 0)
    assert "answer-0.psbt" in desk.judge.said
    assert "bob" in desk.judge.said
    assert "it does not verify" in " ".join(desk.judge.said.split())


def test_r3_the_good_signature_stays_in_either_order(desk: Desk) -> None:
    bob = desk.scene.sign(desk.psbt, "bob")
    bad = spoiled(bob, desk.scene.sign(edit_tx(desk.psbt, locktime=5), "bob"))
    assert desk.combine(bad, bob, code=ExitCode.PEER) == bob
    assert desk.combine(bob, bad, code=ExitCode.PEER) == bob


def test_r4_another_sighash_type_is_not_merged(desk: Desk) -> None:
    assert desk.combine(desk.scene.sign(desk.psbt, "bob", sighash=0x81), code=ExitCode.PEER) == desk.psbt
    assert "its sighash type is not allowed" in " ".join(desk.judge.said.split())


def test_r5_other_fields_are_not_merged(desk: Desk) -> None:
    bob = desk.scene.sign(desk.psbt, "bob")
    noisy = edit_global(edit_input(bob, 0, {b"\xfc\x04evil\x00": b"x"}), {b"\xee\x01": b"y"})
    assert desk.combine(noisy, code=ExitCode.DONE) == bob
    for listed in ("input 0: PSBT_IN_PROPRIETARY added", "global map: unknown type 0xee added"):
        assert listed in " ".join(desk.judge.said.split())


def test_r6_the_same_answer_twice_counts_once(desk: Desk) -> None:
    bob = desk.scene.sign(desk.psbt, "bob")
    assert desk.combine(bob, bob, code=ExitCode.DONE) == bob
    assert desk.judge.run("finalize", str(desk.out))[0] == ExitCode.THRESHOLD


def test_r7_final_answers_count_only_when_they_verify(desk: Desk) -> None:
    full = desk.scene.sign(desk.psbt, "bob", "carol")
    transaction = extract(finalize(verify(full)))
    assert desk.combine(transaction.serialize(), code=ExitCode.DONE) == full
    assert desk.combine(transaction.serialize().hex().encode(), code=ExitCode.DONE) == full
    wrong = replace(transaction, witnesses=tuple(reversed(transaction.witnesses)))
    assert desk.combine(wrong.serialize(), code=ExitCode.PEER) == desk.psbt


def test_failures_of_our_own_leave_no_output(desk: Desk) -> None:
    bob = desk.scene.sign(desk.psbt, "bob")
    desk.combine(bob, code=ExitCode.DONE)
    kept = desk.out.read_bytes()
    again = ("combine", str(desk.mine), str(next(desk.folder.rglob("answer-0.psbt"))), "-o", str(desk.out))
    assert desk.judge.run(*again)[0] == ExitCode.USAGE
    assert desk.out.read_bytes() == kept
    desk.out.unlink()
    missing = ("combine", str(desk.mine), str(desk.folder / "nowhere"), "-o", str(desk.out))
    assert desk.judge.run(*missing)[0] == ExitCode.INPUT
    assert not desk.out.exists()


def test_r8_nonces_and_partial_signatures_of_musig_are_not_merged(judge: Judge, tmp_path: Path) -> None:
    scene = judge.use(Scene.of(replace(kind("tr-musig-leaf"), name="family"), PEOPLE))
    desk = Desk(judge, scene, tmp_path)
    (aggregate,) = [key[1:] for key in desk.psbt.inputs[0] if key[0] == 0x1A][:1]
    participant = desk.psbt.inputs[0][b"\x1a" + aggregate][:33]
    nonce = {b"\x1b" + participant + aggregate: participant * 2}
    signed = {b"\x1c" + participant + aggregate: bytes(31) + b"\x01"}
    # Nobody here makes or checks them yet, so a nonce that comes twice, or is bound to another message, brings nothing.
    for fields in (nonce, signed, {**nonce, **signed}):
        assert desk.combine(edit_input(desk.psbt, 0, fields), code=ExitCode.INPUT) is None
    answer = extract_contribution(desk.psbt, edit_input(desk.psbt, 0, {**nonce, **signed}))
    assert (answer.signatures, answer.preimages, answer.already_known) == ((), (), 0)
    assert {difference.field for difference in answer.differences} == {
        "PSBT_IN_MUSIG2_PUB_NONCE",
        "PSBT_IN_MUSIG2_PARTIAL_SIG",
    }
