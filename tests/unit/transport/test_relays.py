from __future__ import annotations

import pytest

from wormsig.errors import UsageError
from wormsig.transport.errors import RelayRefusedError, RelayUnreachableError
from wormsig.transport.relays import MOST_FORGOTTEN, WINDOW, Relays, no_relay

A, B, C = "ws://a.example/v1", "ws://b.example/v1", "wss://c.example/v1"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_is_used_until_it_fails_and_then_the_one_that_answered() -> None:
    relays = Relays([A, B, C], Clock())
    chosen: list[str] = []
    relays.on_chosen = chosen.append
    assert (relays.current, relays.order()) == (A, (A, B, C))
    relays.failed(B)  # not the one in use
    assert relays.current == A
    relays.failed(A)
    assert relays.order() == (B, A, C)
    relays.answered(C)
    relays.answered(C)
    assert relays.order() == (C, A, B)
    relays.failed(C)
    assert relays.current == A
    assert chosen == [C]


def test_of_a_single_relay_nothing_is_told() -> None:
    relays = Relays([A, A], Clock())
    relays.on_chosen = pytest.fail
    relays.answered(A)
    relays.failed(A)
    assert (relays.several, relays.order()) == (False, (A,))


@pytest.mark.parametrize("urls", [[], ["http://a.example"], [A, "ws://"], [f"ws://{n}.example/v1" for n in range(9)]])
def test_lists_that_are_none(urls: list[str]) -> None:
    with pytest.raises(UsageError):
        Relays(urls, Clock())


def test_a_relay_that_forgets_waits_longer_each_time_and_then_gets_no_more() -> None:
    clock = Clock()
    relays = Relays([A], clock)
    pauses = []
    for _ in range(MOST_FORGOTTEN - 1):
        born = clock.now
        clock.now += 20
        relays.forgot(A, born)
        pauses.append(relays.pause(A))
        clock.now += pauses[-1]
        assert relays.pause(A) == 0
    assert pauses == [0, 1, 2, 4, 8, 16, 32]
    relays.forgot(A, clock.now)
    with pytest.raises(RelayRefusedError, match="forgotten the codes 8 times within 15 min"):
        relays.pause(A)
    clock.now += WINDOW
    assert relays.pause(A) == 0


def test_a_restart_counts_once_however_many_codes_it_costs() -> None:
    clock = Clock()
    relays = Relays([A], clock)
    clock.now += 60
    for _ in range(50):
        relays.forgot(A, 1000.0)
        clock.now += 0.1
    assert relays.pause(A) == 0


def test_who_forgets_comes_last() -> None:
    clock = Clock()
    relays = Relays([A, B], clock)
    for _ in range(2):
        relays.forgot(A, clock.now)
        clock.now += 1
    assert relays.order() == (B, A)


def test_words_for_several_failures() -> None:
    one = RelayRefusedError("the relay said no: full")
    assert no_relay([one]) is one
    both = no_relay([RelayUnreachableError("the relay A does not answer"), one])
    assert both.message == "none of the 2 relays can be used: the relay A does not answer; the relay said no: full"
    assert both.hint
