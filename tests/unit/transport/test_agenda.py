from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormsig.transport import agenda
from wormsig.transport.agenda import Agenda, lowest_free

SECRET = b"s" * 32
START = 1_795_000_000.0


@dataclass
class Clock:
    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class Disk:
    """The marks of one side, which outlive it."""

    clock: Clock
    marks: dict[int, float] = field(default_factory=dict)

    def secrets(self) -> tuple[bytes, ...]:
        return (SECRET,)

    def marked(self, _: bytes) -> dict[int, float]:
        return dict(self.marks)

    def mark(self, _: bytes, number: int) -> None:
        self.marks[number] = self.clock()

    def unmark(self, _: bytes, number: int) -> None:
        self.marks.pop(number, None)


def test_the_lowest_two_that_are_not_marked() -> None:
    assert lowest_free({}, (), START) == (0, 1)
    assert lowest_free({0: START, 2: START}, (), START) == (1, 3)
    assert lowest_free({0: START, 1: START}, {0, 1}, START) == (0, 1), "its own marks bind nobody"


@pytest.mark.parametrize(("age", "counts"), [(0, True), (1199, True), (1201, False), (-1199, True), (-1201, False)])
def test_a_mark_lasts_twenty_minutes_whichever_way_the_clock_was_wrong(age: float, counts: bool) -> None:
    assert lowest_free({0: START - age}, (), START) == ((1, 2) if counts else (0, 1))


def test_a_place_left_in_good_order_is_free_and_any_other_is_not() -> None:
    clock = Clock()
    disk = Disk(clock)
    plan = Agenda(disk, clock)
    for number, contact, clean in ((0, False, True), (1, True, True), (2, False, False), (3, True, False)):
        plan.enter(SECRET, number)
        plan.leave(SECRET, number, contact=contact, clean=clean)
    assert sorted(disk.marks) == [1, 2, 3]
    clock.at += agenda.REVISIT - 1
    assert plan.wanted(SECRET, ()) == (0, 4)
    clock.at += 2
    assert plan.wanted(SECRET, ()) == (0, 1), "in time each is tried again"
    assert sorted(disk.marks) == []


def test_a_place_that_is_spoilt_again_and_again_is_tried_less_and_less() -> None:
    clock = Clock()
    disk = Disk(clock)
    plan = Agenda(disk, clock)
    pauses = []
    for _ in range(4):
        plan.enter(SECRET, 0)
        plan.leave(SECRET, 0, contact=True, clean=True)
        left = clock()
        while plan.wanted(SECRET, ())[0] != 0:
            clock.at += 1
        pauses.append(clock() - left)
    assert pauses == [90, 180, 300, 300]
    assert plan.wait(SECRET) == 0, "and it never counts as another one"


def test_a_place_that_was_good_for_long_and_is_spoilt_then_counts_as_new() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock), clock)
    for number in range(6):
        plan.enter(SECRET, number)
        clock.at += 500
        plan.wanted(SECRET, {number})
        plan.leave(SECRET, number, contact=True, clean=True)
    assert plan.wait(SECRET) == 10


def test_the_mark_of_a_place_where_we_are_is_kept_fresh() -> None:
    clock = Clock()
    disk = Disk(clock)
    plan = Agenda(disk, clock)
    plan.enter(SECRET, 0)
    for _ in range(100):
        clock.at += 60
        plan.stay(SECRET, 0)
    assert clock() - disk.marks[0] <= agenda.REFRESH
    assert Agenda(disk, clock).wanted(SECRET, ()) == (1, 2)


def test_patience_grows_with_the_places_that_are_spoilt_and_is_forgotten() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock), clock)
    waits = []
    for number in range(24):
        plan.leave(SECRET, number, contact=True, clean=True)
        waits.append(plan.wait(SECRET))
    assert waits[:5] == [0] * 5
    assert waits[5::2] == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    clock.at += 299
    assert plan.wait(SECRET) == 1
    clock.at -= 400  # somebody set the clock back: nobody waits longer for that
    assert plan.wait(SECRET) <= 300
    clock.at += 2000
    assert plan.wait(SECRET) == 0


# Any sequence of kills: the two sides come to share a place.

FORGETS = 960.0
"""Seconds after which the relay has forgotten the messages of somebody who is gone."""

KINDS = ("kill", "kill unseen", "start", "stop", "wait")


@dataclass
class Left:
    """What a dead side left in a mailbox."""

    owner: str
    at: float


class World:
    """Two sides, a relay and a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.mailboxes: dict[int, list[Left]] = {}
        self.sides = {name: Life(self, name) for name in "ab"}

    def left_at(self, number: int) -> bool:
        return any(self.clock() - left.at < FORGETS for left in self.mailboxes.get(number, ()))

    def step(self, kind: str, name: str) -> None:
        side = self.sides[name]
        if kind == "wait":
            self.pass_by(15)
        elif kind == "start":
            side.start()
        elif kind == "stop":
            side.stop()
        else:
            side.kill(seen=kind == "kill")

    def pass_by(self, seconds: float) -> None:
        self.clock.at += seconds
        for side in self.sides.values():
            side.look()

    def together(self) -> bool:
        """Whether both are at one place where nobody else left anything."""
        shared = self.sides["a"].here & self.sides["b"].here
        return any(not self.left_at(number) for number in shared)


class Life:
    """One side: its disk, and its process while it runs."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.disk = Disk(world.clock)
        self.here: set[int] = set()
        self.plan: Agenda | None = None

    def start(self) -> None:
        if self.plan is None:
            self.plan = Agenda(self.disk, self.world.clock)
            self.go()

    def go(self) -> None:
        assert self.plan is not None
        wanted = self.plan.wanted(SECRET, self.here)
        if self.plan.wait(SECRET) <= 0:
            for number in sorted(set(wanted) - self.here):
                early = [left for left in self.world.mailboxes.get(number, ()) if left.owner == self.name]
                assert all(self.world.clock() - left.at >= agenda.REVISIT for left in early), "it is there already"
                self.plan.enter(SECRET, number)
                self.here.add(number)
        for number in self.here:
            self.plan.stay(SECRET, number)
        if set(wanted) <= self.here:
            for number in self.here - set(wanted):
                self.plan.leave(SECRET, number, contact=False, clean=True)
            self.here &= set(wanted)

    def look(self) -> None:
        """Fifteen seconds later: who was dead has not proved to be the other side."""
        if self.plan is None:
            return
        for number in sorted(self.here):
            if self.world.left_at(number):
                self.here.discard(number)
                self.plan.leave(SECRET, number, contact=True, clean=True)
        self.go()

    def stop(self) -> None:
        if self.plan is None:
            return
        for number in sorted(self.here):
            self.plan.leave(SECRET, number, contact=self.world.left_at(number), clean=True)
        self.here, self.plan = set(), None

    def kill(self, *, seen: bool) -> None:
        """SIGKILL; `seen`: its first message had reached the relay."""
        if self.plan is None:
            return
        if seen:
            for number in self.here:
                self.world.mailboxes.setdefault(number, []).append(Left(self.name, self.world.clock()))
        self.here, self.plan = set(), None


def converge(steps: list[tuple[str, str]]) -> float:
    """Do what is asked, start both, and tell how many seconds later they are together."""
    world = World()
    for kind, name in steps:
        world.step(kind, name)
    for side in world.sides.values():
        side.start()
    began = world.clock()
    while not world.together():
        world.pass_by(15)
        assert world.clock() - began <= 600, "they did not come together"
    return world.clock() - began


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from("ab")), max_size=20))
def test_whoever_is_killed_however_often_they_come_to_share_a_place(steps: list[tuple[str, str]]) -> None:
    converge(steps)


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("kills", [1, 2, 3])
def test_kills_that_the_relay_saw_cost_less_than_two_minutes(kills: int, first: str) -> None:
    steps = [step for _ in range(kills) for step in (("start", first), ("kill", first))]
    assert converge(steps) <= 15 * kills + (10 if kills > 2 else 0) + 15
    both_killed = [step for _ in range(kills) for name in "ab" for step in (("start", name), ("kill", name))]
    assert converge(both_killed) <= 120
