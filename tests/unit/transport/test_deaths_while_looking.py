"""Whoever is killed while both look for each other, at whatever point and however often: they meet soon after.

The code that looks is the real one, seconds and the relay are simulated (`support.places`). What the real relay does
with what the dead leave is tests/integration/test_rendezvous.py's.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.places import HOP, World
from wormsig.app.resuming import LINGER
from wormsig.transport import agenda
from wormsig.transport.limits import Limits

UNSEEN, SILENT, SPOKE = 1.5 * HOP, 2.5 * HOP, 3.5 * HOP
"""Seconds into a life: its first place is marked, and the relay knows nothing yet; it was let in, and said nothing; its
first message is there."""

SECOND = {"coordinator": 0.5, "cosigner": 3.0}
"""Seconds until a side's second place."""

QUICK = agenda.APART - 1
Lives = list[tuple[float, float]]


def played(deaths: dict[str, Lives], *, waiting: str | None = None, before: float = 60.0) -> tuple[float, World]:
    """Somebody waits, or not; then the deaths; then both live. How long until they have met, in seconds.

    Args:
        deaths: Of each side, how long it was gone, and how long it lived then.
        waiting: Who waits all the time.
        before: For how long, when it begins.
    """
    world = World()
    if waiting:
        world.start(waiting)
        world.run(before)
    ahead = []
    for role, lives in deaths.items():
        at = world.at
        for gone, lived in lives:
            ahead += [(at + gone, "start", role), (at + gone + lived, "kill", role)]
            at += gone + lived
        if role != waiting:
            ahead.append((at + 0.2, "start", role))
    for at, what, role in sorted(ahead):
        world.run(max(at - world.at, 0.0))
        getattr(world, what)(role)
    began = world.at
    world.run(600.0, until_met=True)
    assert world.met(), "they did not meet"
    return world.at - began, world


def test_nobody_dies() -> None:
    assert played({"coordinator": [], "cosigner": []})[0] < 2


@pytest.mark.parametrize(
    "points", [(UNSEEN, UNSEEN), (SILENT, SILENT), (UNSEEN, SILENT), (SILENT, UNSEEN), (SPOKE, SILENT)]
)
@pytest.mark.parametrize("killed", ["coordinator", "cosigner"])
@pytest.mark.parametrize("waits", [True, False])
def test_two_deaths_within_half_a_second(killed: str, points: tuple[float, float], waits: bool) -> None:
    other = "cosigner" if killed == "coordinator" else "coordinator"
    lives = {killed: [(0.05, lived) for lived in points], other: []}
    took, _ = played(lives, waiting=other if waits else None)
    assert took <= agenda.APART + 2


@pytest.mark.parametrize("place", ["first", "second"])
@pytest.mark.parametrize("killed", ["coordinator", "cosigner"])
def test_any_two_points(killed: str, place: str) -> None:
    """A kill every tenth of a second around the opening of a place, twice."""
    other = "cosigner" if killed == "coordinator" else "coordinator"
    begin = 0.0 if place == "first" else SECOND[killed]
    points = [begin + tenth * HOP / 2 for tenth in range(1, 10)]
    for first in points:
        for second in points:
            took, _ = played({killed: [(0.1, first), (0.1, second)], other: []}, waiting=other)
            assert took <= agenda.APART + Limits().meeting + 2, (first, second)


@pytest.mark.parametrize("point", [UNSEEN, SILENT, SPOKE])
@pytest.mark.parametrize("number", [3, 6, 20])
def test_many_quick_deaths_cost_no_more_than_two(point: float, number: int) -> None:
    for killed, other in (("coordinator", "cosigner"), ("cosigner", "coordinator")):
        for waiting in (other, None):
            took, world = played({killed: [(0.1, point)] * number, other: []}, waiting=waiting)
            assert took <= agenda.APART + Limits().meeting + 2
            assert world.most <= 9


def moments(longest: float) -> st.SearchStrategy[float]:
    """Times of a death: any, and those at which a place is being opened."""
    steps = [UNSEEN, SILENT, SPOKE]
    opened = [0.0, *SECOND.values(), agenda.APART, 2 * agenda.APART, agenda.RENEW]
    nasty = [begin + step for begin in opened for step in steps if begin + step <= longest]
    return st.one_of(st.sampled_from(nasty), st.floats(0.01, longest))


def some_deaths(most: int, longest: float) -> st.SearchStrategy[Lives]:
    gone = st.sampled_from([0.05, 0.3, 1.0, 5.0, 20.0, 100.0])
    return st.lists(st.tuples(gone, moments(longest)), max_size=most)


@settings(max_examples=examples(40), deadline=None)
@given(some_deaths(10, QUICK), some_deaths(10, QUICK), st.sampled_from(["coordinator", "cosigner", None]))
def test_any_quick_deaths(coordinators: Lives, cosigners: Lives, waiting: str | None) -> None:
    lives = {"coordinator": coordinators, "cosigner": cosigners}
    if waiting is not None:
        lives[waiting] = []
    assert played(lives, waiting=waiting)[0] <= 2 * agenda.APART


@settings(max_examples=examples(40), deadline=None)
@example([(0.3, 0.65), (100.0, 20.25), (0.05, 40.25)], [])  # one death at each opening: only marks tried again help
@given(some_deaths(3, 120.0), some_deaths(3, 120.0))
def test_three_deaths_of_each_at_any_points(coordinators: Lives, cosigners: Lives) -> None:
    took, world = played({"coordinator": coordinators, "cosigner": cosigners})
    assert took <= 60 <= LINGER, "who only has an outcome to tell waits for as long"
    assert world.most <= 16


@settings(max_examples=examples(20), deadline=None)
@given(some_deaths(10, 120.0), some_deaths(10, 120.0))
def test_ten_deaths_of_each_at_any_points(coordinators: Lives, cosigners: Lives) -> None:
    assert played({"coordinator": coordinators, "cosigner": cosigners})[0] <= 180


def test_who_waits_for_long_holds_four_places_of_a_secret_and_no_more() -> None:
    world = World()
    world.start("coordinator")
    world.run(3600)
    assert sorted(world.disks["coordinator"].marks) in (
        [0, 1, agenda.SPARE, 2 * agenda.SPARE],
        [0, agenda.SPARE, 2 * agenda.SPARE],  # one is being gone to anew
    )
    assert world.most == 4
