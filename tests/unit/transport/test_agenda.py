from __future__ import annotations

from dataclasses import dataclass, field

import pytest

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
    assert plan.wanted(SECRET, (), 0) == (0, 4)
    clock.at += 2
    assert plan.wanted(SECRET, (), 0) == (0, 1), "in time each is tried again"
    assert sorted(disk.marks) == []


def test_a_place_that_is_spoilt_again_and_again_is_tried_less_and_less() -> None:
    clock = Clock()
    disk = Disk(clock)
    plan = Agenda(disk, clock)
    pauses = []
    for _ in range(5):
        plan.enter(SECRET, 0)
        plan.leave(SECRET, 0, contact=True, clean=True)
        left = clock()
        while plan.wanted(SECRET, (), 0)[0] != 0:
            clock.at += 1
        pauses.append(clock() - left)
    assert pauses == [45, 90, 180, 300, 300]
    assert plan.wait(SECRET, 0) == 0, "and it never counts as another one"


def test_a_place_that_was_good_for_long_and_is_spoilt_then_counts_as_new() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock), clock)
    for number in range(6):
        plan.enter(SECRET, number)
        clock.at += 500
        plan.wanted(SECRET, {number}, 0)
        plan.leave(SECRET, number, contact=True, clean=True)
    assert plan.wait(SECRET, 0) == 10


def test_the_mark_of_a_place_where_we_are_is_kept_fresh() -> None:
    clock = Clock()
    disk = Disk(clock)
    plan = Agenda(disk, clock)
    plan.enter(SECRET, 0)
    for _ in range(100):
        clock.at += 60
        plan.stay(SECRET, 0)
    assert clock() - disk.marks[0] <= agenda.REFRESH
    assert Agenda(disk, clock).wanted(SECRET, (), 0) == (1, 2)


def test_patience_grows_with_the_places_that_are_spoilt_and_is_forgotten() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock), clock)
    waits = []
    for number in range(24):
        plan.leave(SECRET, number, contact=True, clean=True)
        waits.append(plan.wait(SECRET, 0))
    assert waits[:5] == [0] * 5
    assert waits[5::2] == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    clock.at += 299
    assert plan.wait(SECRET, 0) == 1
    clock.at -= 400  # somebody set the clock back: nobody waits longer for that
    assert plan.wait(SECRET, 0) <= 300
    clock.at += 2000
    assert plan.wait(SECRET, 0) == 0


def test_who_is_alone_for_long_waits_at_spare_places_too() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock, {0: START, 1: START, agenda.SPARE: START}), clock)
    assert plan.wanted(SECRET, (), 0) == (2, 3)
    assert plan.wanted(SECRET, (2, 3), agenda.APART - 0.1) == (2, 3)
    first, second = agenda.SPARE + 1, 2 * agenda.SPARE
    assert plan.wanted(SECRET, (2, 3), agenda.APART) == (2, 3, first)
    assert plan.wanted(SECRET, (2, 3, first), 2 * agenda.APART) == (2, 3, first, second)
    assert plan.wanted(SECRET, (2, 3, first, second), 1e6) == (2, 3, first, second), "and no more"


def test_spoilt_places_of_one_kind_do_not_hold_up_another() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock), clock)
    for number in range(6):
        plan.leave(SECRET, number, contact=True, clean=True)
    assert plan.wait(SECRET, 6) == 10
    assert plan.wait(SECRET, agenda.SPARE) == 0
    for number in range(agenda.SPARE, agenda.SPARE + 6):
        plan.leave(SECRET, number, contact=True, clean=True)
    assert plan.wait(SECRET, agenda.SPARE) == 10
    assert plan.wait(SECRET, 2 * agenda.SPARE) == 0


def test_a_place_where_nobody_comes_is_gone_to_anew_less_and_less() -> None:
    clock = Clock()
    plan = Agenda(Disk(clock), clock)
    pauses = []
    for _ in range(6):
        alone = next(seconds for seconds in range(1000) if plan.renew(SECRET, 0, seconds))
        pauses.append(alone)
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert plan.renew(SECRET, 1, 30), "each on its own"
