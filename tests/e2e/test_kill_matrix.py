"""SIGKILL of either side around every commit, message, write of a secret and signature: the same transaction.

Real commands, a real relay, a real node. Whoever dies goes on with `wormsig resume`, or starts again where nothing was
kept; the other side needs nothing but what it has. The long form has every point there is, and several deaths in one
ceremony; the short one a few of the nastiest.
"""

from __future__ import annotations

import functools
import logging
import random
from typing import TYPE_CHECKING

import pytest

from support.faults import Relay, at_once
from support.kills import Killed, Point

if TYPE_CHECKING:
    from typing import Any

    from support.stage import Stage

NASTY = {
    "the proposal is not acknowledged yet": Point("bob", "commit", "after", 1),
    "the signer answered": Point("bob", "sign", "after", 1),
    "the signature is kept and not sent": Point("bob", "commit", "after", 5),
    "the answer is taken and not acknowledged": Point("alice", "commit", "after", 4),
    "the node has it and the journal does not": Point("alice", "broadcast", "after", 1),
    "the outcome is kept and not acknowledged": Point("bob", "commit", "after", 8),
}
WIDTH = 4

log = logging.getLogger(__name__)


def played(killed: Killed) -> Killed:
    try:
        took = killed.play()
        killed.ends_well()
    finally:
        killed.close()
    log.info("%5.1f s, told again %d: %s", took, killed.tellings, "; ".join(killed.died()) or "nobody died")
    return killed


def all_played(stage: Stage, relay: Relay, lists: list[tuple[Point, ...]], **options: Any) -> list[Killed]:
    """Ceremonies with these deaths, several at once."""
    every = [Killed(stage, relay, stage.psbt(), points, **options) for points in lists]
    at_once([functools.partial(played, each) for each in every], width=WIDTH)
    return every


def test_the_nastiest_points(stage: Stage, relay: Relay) -> None:
    for each in all_played(stage, relay, [(point,) for point in NASTY.values()]):
        assert each.died()


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["commit", "send", "hear", "secret", "sign", "broadcast"])
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_every_point(stage: Stage, relay: Relay, who: str, kind: str, when: str) -> None:
    whole = played(Killed(stage, relay, stage.psbt()))
    calls = len(whole.calls(who, kind))
    assert calls or (who, kind) == ("bob", "broadcast")
    points = [Point(who, kind, when, number) for number in range(1, calls + 1)]
    done = all_played(stage, relay, [(point,) for point in points])
    # How many messages there are depends a little on what crosses what.
    assert sum(bool(each.died()) for each in done) >= len(points) - 2


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--chain",)])
def test_several_deaths_of_everybody(stage: Stage, relay: Relay, options: tuple[str, ...]) -> None:
    chance = random.Random(2009)  # noqa: S311  the same deaths every time
    # Not while a secret's file is written: two such deaths of one side may cost 20 s (test_quick_kills), six too much.
    kinds = ["commit", "send", "hear"]
    lists = [
        tuple(
            Point(who, chance.choice(kinds), chance.choice(["before", "after"]), chance.randint(1, 8))
            for who in ("alice", "bob", "carol")
            for _ in range(2)
        )
        for _ in range(12)
    ]
    all_played(stage, relay, lists, names=("bob", "carol"), options=("--wait-all", *options))
