"""Whatever parses can be reviewed and shown: fields changed one by one, of taproot, miniscript and MuSig2 (row C16)."""

from __future__ import annotations

import random
from functools import cache

import pytest

from support.examples import examples
from support.hostile import Scene
from support.kinds import PEOPLE, kind
from support.mutations import mutate
from wormsig.errors import InputError
from wormsig.psbt import codec, convert, finalizer, verify
from wormsig.psbt.finalizer import IncompleteError
from wormsig.render.lines import plain
from wormsig.render.report_json import report_object
from wormsig.render.report_text import inspect_lines
from wormsig.render.sanitize import to_json
from wormsig.review.context import GapLimits, ReviewContext
from wormsig.review.review import review

KINDS = ["tr-sortedmulti-a", "tr-internal-other", "tr-tree", "tr-musig", "tr-musig-leaf", "wsh-recovery", "wsh-hash160"]
SIGNABLE = {name for name in KINDS if "musig" not in name}
CONTEXT = ReviewContext(gap=GapLimits(2, 5, 20))
ROUNDS = 100


@cache
def scene(name: str) -> Scene:
    return Scene.of(kind(name), PEOPLE)


@cache
def steps(name: str) -> tuple[bytes, ...]:
    """Unsigned, signed and final, as far as it goes, in both versions."""
    made = [scene(name).psbt()]
    if name in SIGNABLE:
        made.append(scene(name).sign(made[0], "alice", "bob"))
        try:
            made.append(finalizer.finalize(verify.verify(made[-1])))
        except IncompleteError:
            assert name == "wsh-hash160"  # nobody gave the preimage
    return tuple(codec.serialize(psbt) for psbt in (*made, *map(convert.to_version_2, made)))


@pytest.mark.parametrize("name", KINDS)
def test_changed_fields_are_found_or_harmless_and_never_an_exception(name: str) -> None:
    rng = random.Random(name)  # noqa: S311  # repeatable, and no secret
    known = [raw for each in KINDS for raw in steps(each)]
    reviewed = 0
    for _ in range(examples(ROUNDS)):
        try:
            psbt = codec.parse(mutate(rng.choice(steps(name)), rng, known))
        except InputError:
            continue
        reviewed += 1
        for wallet in (scene(name).wallet, None):
            report = review(psbt, wallet, CONTEXT, deriver=scene(name).deriver if wallet else None)
            assert plain(inspect_lines(report)).replace("\n", "").isprintable()
            assert to_json(report_object(report)).isprintable()
    assert reviewed > examples(ROUNDS) // 8
