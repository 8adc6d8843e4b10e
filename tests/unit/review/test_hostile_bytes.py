"""Whatever parses can be reviewed and shown: random damage never ends in an exception (row C16)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from support.examples import examples
from support.hostile import (
    BTC,
    MALLORY,
    STRANGER,
    Coin,
    Out,
    Scene,
    add_input,
    edit_global,
    edit_output,
    previous_tx,
    scene_of,
)
from wormsig.errors import InputError
from wormsig.psbt import codec, finalizer, verify
from wormsig.render.lines import plain
from wormsig.render.report_json import report_object
from wormsig.render.report_text import inspect_lines
from wormsig.render.sanitize import to_json
from wormsig.review.context import GapLimits, ReviewContext
from wormsig.review.review import review

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

QUICK = GapLimits(2, 5, 20)
ROUNDS = 40
XONLY = MALLORY.master.neuter().pubkey[1:]


def rich_psbt(scene: Scene) -> Psbt:
    """A PSBT with something of everything."""
    psbt = scene.psbt([Coin(), Coin(index=3)], [Out(1_000), Out(2 * BTC - 4_000, place=(1, 2)), Out(0, b"\x6a\x02hi")])
    psbt = add_input(psbt, previous_tx(STRANGER, 2_000), {b"\x16" + XONLY: b"\x00" + bytes(12)})
    psbt = edit_output(psbt, 0, {b"\x07" + XONLY: b"\x00" + bytes(12), b"\xfc\x01x\x00": b"y"})
    psbt = edit_global(psbt, {b"\xfc\x03abc\x00": b"z"})
    return scene.sign(psbt, "bob", inputs=[0, 1])


def damaged(raw: bytes, dice: random.Random) -> bytes:
    """The bytes with one to four of them changed; mostly small changes, which still parse."""
    data = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(5, len(data))
        data[at] = dice.choice((data[at] ^ 1 << dice.randrange(8), dice.randrange(256), 0, 0xFF))
    return bytes(data)


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
@pytest.mark.parametrize("stage", ["signed", "final"])
def test_damage_is_found_or_harmless_and_never_an_exception(script_type: str, stage: str):
    scene = scene_of(script_type)
    psbt = rich_psbt(scene)
    if stage == "final":
        psbt = finalizer.finalize(verify.verify(scene.sign(scene.psbt(), "bob", "carol")))
    assert codec.parse(codec.serialize(psbt)) == psbt
    raw = codec.serialize(psbt)
    dice = random.Random(f"{script_type}/{stage}")  # noqa: S311  the same damage in every run
    reviewed = 0
    for _ in range(examples(ROUNDS)):
        try:
            broken = codec.parse(damaged(raw, dice))
        except InputError:
            continue
        reviewed += 1
        for wallet in (scene.wallet, None):
            context = ReviewContext(network=scene.wallet.network, gap=QUICK)
            report = review(broken, wallet, context, deriver=scene.deriver if wallet else None)
            assert plain(inspect_lines(report)).replace("\n", "").isprintable()
            assert to_json(report_object(report)).isprintable()
    assert reviewed > examples(ROUNDS) // 4
