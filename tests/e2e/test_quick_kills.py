"""Two SIGKILLs in quick succession, each while a meeting place is being opened: both commands meet again soon.

With the seconds of everyday use; the other moments are the simulation's (tests/unit/transport) and the real relay's
(tests/integration/test_rendezvous.py).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from support.faults import at_once
from support.kills import Killed, Point

if TYPE_CHECKING:
    from support.faults import Relay
    from support.stage import Stage

SOON = 60.0
"""Seconds for the whole ceremony: three starts of a command, 20 s until the spare places, and a busy machine."""

FIRST_MARK = ("secret", "after", 1)
DEATHS = {
    "the coordinator": (Point("alice", "commit", "after", 4), *[Point("alice", *FIRST_MARK)] * 2),
    "the cosigner": (Point("bob", "commit", "after", 3), *[Point("bob", *FIRST_MARK)] * 2),
}


@pytest.mark.long
def test_m4_two_kills_at_a_meeting_place_keep_nobody_apart(stage: Stage, relay: Relay) -> None:
    every = [Killed(stage, relay, stage.psbt(), points) for points in DEATHS.values()]
    took: dict[str, float] = {}

    def play(name: str, killed: Killed) -> None:
        try:
            took[name] = killed.play()
            killed.ends_well()
        finally:
            killed.close()

    at_once([functools.partial(play, *each) for each in zip(DEATHS, every, strict=True)], width=2)
    for name, killed in zip(DEATHS, every, strict=True):
        assert len(killed.died()) == 3, killed.told()
        assert took[name] < SOON, killed.told()
