"""Two relays, one to fall back to: they answer, do not answer, vanish, and lie; over real mailbox servers."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory, Protocol

from support.values import replace
from support.wormholes import QUICK, Cable, both, coordinator, cosigner, handed_over, proposal, sleep, until
from wormsig.transport.channel import Channel
from wormsig.transport.errors import (
    PairingTimeoutError,
    RelayRefusedError,
    RelayUnreachableError,
    StaleCodeError,
    WrongCodeError,
)
from wormsig.transport.relay import start_relay
from wormsig.transport.relay_server import RelayLimits
from wormsig.transport.relays import MOST_FORGOTTEN, Relays
from wormsig.transport.rendezvous import Rendezvous

BRIEF = replace(QUICK, connect=6, elsewhere=0.4, entry=5, handshake=5)
DEAD = "ws://127.0.0.1:1/v1"


@pytest_twisted.async_yield_fixture
async def second():
    running = await start_relay(reactor)
    yield running
    await running.stop()


def names(relay: Any) -> list[str]:
    return [row["name"] for row in relay.server._db.execute("SELECT name FROM nameplates")]


async def meet(waiting: Any, entered: Any) -> tuple[Channel, Channel]:
    alice, bob = await both(waiting.paired(), entered.paired())
    assert isinstance(alice, Channel), alice
    assert isinstance(bob, Channel), bob
    await handed_over(alice, bob, proposal(b"x"), b"x")
    return alice, bob


@pytest_twisted.ensureDeferred
async def test_the_first_that_answers_is_used_and_told(relay) -> None:
    chosen: list[str] = []
    alice = coordinator([DEAD, relay.url], limits=BRIEF)
    alice.relays.on_chosen = chosen.append
    waiting = await alice.allocate()
    assert (waiting.relay_url, chosen) == (relay.url, [relay.url])
    again = await alice.allocate()  # straight to the one that answered
    assert (again.relay_url, chosen) == (relay.url, [relay.url])
    await both(waiting.abandon(), again.abandon())


@pytest_twisted.ensureDeferred
async def test_a_relay_that_never_answers_costs_its_share_of_the_time(relay) -> None:
    silent = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    start = reactor.seconds()
    waiting = await coordinator(
        [f"ws://127.0.0.1:{silent.getHost().port}/v1", relay.url], limits=replace(BRIEF, connect=6)
    ).allocate()
    assert 3 <= reactor.seconds() - start < 6
    assert waiting.relay_url == relay.url
    await both(waiting.abandon(), silent.stopListening())


@pytest_twisted.ensureDeferred
async def test_when_none_answers_each_is_named() -> None:
    relay = await start_relay(reactor)
    await relay.stop()
    with pytest.raises(RelayUnreachableError) as caught:
        await coordinator([DEAD, relay.url], limits=replace(BRIEF, connect=0.5)).allocate()
    assert DEAD in caught.value.message
    assert relay.url in caught.value.message


@pytest_twisted.ensureDeferred
async def test_a_relay_that_says_no_is_passed_over(second) -> None:
    full = await start_relay(reactor, limits=RelayLimits(mailboxes=0))
    waiting = await coordinator([full.url, second.url], limits=BRIEF).allocate()
    assert waiting.relay_url == second.url
    await both(waiting.abandon(), full.stop())


@pytest_twisted.ensureDeferred
async def test_a_code_of_the_coordinators_is_at_one_relay_only(relay, second) -> None:
    waiting = await coordinator([relay.url, second.url], limits=BRIEF).allocate()
    fixed = await coordinator([relay.url, second.url], limits=BRIEF).use_code("77-some-words")
    await until(lambda: len(names(relay)) == 2)
    assert names(second) == []
    await both(waiting.abandon(), fixed.abandon())


@pytest_twisted.ensureDeferred
async def test_the_cosigner_does_not_touch_the_second_relay_without_need(relay, second) -> None:
    waiting = await coordinator([relay.url, second.url], limits=BRIEF).allocate()
    entered = await cosigner([relay.url, second.url], limits=BRIEF).use_code(waiting.code)
    alice, bob = await meet(waiting, entered)
    await sleep(1)
    assert second.server._apps == {}
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_cosigner_who_reaches_the_first_finds_a_coordinator_at_the_second(relay, second) -> None:
    waiting = await coordinator(second.url, limits=BRIEF).allocate()
    chosen: list[str] = []
    bob_connects = cosigner([relay.url, second.url], limits=BRIEF)
    bob_connects.relays.on_chosen = chosen.append
    entered = await bob_connects.use_code(waiting.code)
    alice, bob = await meet(waiting, entered)
    assert chosen == [relay.url, second.url]
    await until(lambda: names(relay) == [])  # nothing is left behind where nobody was
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_cosigner_finds_the_coordinator_at_the_second_relay_when_the_first_is_gone(second) -> None:
    waiting = await coordinator([DEAD, second.url], limits=BRIEF).allocate()
    entered = await cosigner([DEAD, second.url], limits=BRIEF).use_code(waiting.code)
    alice, bob = await meet(waiting, entered)
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_late_coordinator_with_a_fixed_code_is_found_wherever_it_comes(relay, second) -> None:
    for url in (relay.url, second.url):
        entered = await cosigner([relay.url, second.url], limits=BRIEF).use_code("44-some-words")
        looking = ensureDeferred(entered.paired())
        await sleep(0.8)  # by now it waits at both
        waiting = await coordinator(url, limits=BRIEF).use_code("44-some-words")
        alice, bob = await both(waiting.paired(), looking)
        assert isinstance(bob, Channel), bob
        await handed_over(alice, bob, proposal(b"x"), b"x")
        await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_somebody_elses_number_at_the_first_relay_does_not_stop_the_cosigner(relay, second) -> None:
    """The first relay has another ceremony under the same number; ours waits at the second."""
    other = await coordinator(relay.url, limits=BRIEF).use_code("7-other-words")
    spoilt = ensureDeferred(other.paired())
    waiting = await coordinator(second.url, limits=BRIEF).use_code("7-our-words")
    entered = await cosigner([relay.url, second.url], limits=BRIEF).use_code("7-our-words")
    alice, bob = await meet(waiting, entered)
    with pytest.raises(WrongCodeError):  # the price, which the order of the list keeps rare
        await spoilt
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_mistyped_code_is_told_soon_although_there_is_another_relay(relay, second) -> None:
    waiting = await coordinator([relay.url, second.url], limits=BRIEF).allocate()
    wrong = waiting.code.rpartition("-")[0] + "-zulu-zulu"
    entered = await cosigner([relay.url, second.url], limits=replace(BRIEF, entry=60)).use_code(wrong)
    alice, bob = await both(waiting.paired(), entered.paired())
    assert isinstance(alice, WrongCodeError), alice
    assert isinstance(bob, WrongCodeError), bob


@pytest_twisted.ensureDeferred
async def test_nobody_anywhere_ends_in_time(relay, second) -> None:
    entered = await cosigner([relay.url, second.url, DEAD], limits=replace(BRIEF, entry=1)).use_code("44-some-words")
    (result,) = await both(entered.paired())
    assert isinstance(result, PairingTimeoutError), result
    await until(lambda: names(relay) == names(second) == [])


@pytest_twisted.ensureDeferred
async def test_a_search_that_is_given_up_leaves_nothing(relay, second) -> None:
    entered = await cosigner([relay.url, second.url], limits=BRIEF).use_code("44-some-words")
    looking = ensureDeferred(entered.paired())
    await until(lambda: names(relay) and names(second))
    looking.cancel()
    await both(looking)
    assert names(relay) == names(second) == []


# -- resuming ----------------------------------------------------------------------------------------------------------


class Kept:
    """A pair's secret, in memory."""

    def __init__(self) -> None:
        self.marks: dict[int, float] = {}

    def secrets(self) -> tuple[bytes, ...]:
        return (b"s" * 32,)

    def marked(self, secret: bytes) -> dict[int, float]:  # noqa: ARG002  one secret
        return dict(self.marks)

    def mark(self, secret: bytes, number: int) -> None:  # noqa: ARG002  one secret
        self.marks[number] = reactor.seconds()

    def unmark(self, secret: bytes, number: int) -> None:  # noqa: ARG002  one secret
        self.marks.pop(number, None)


RESUMING = replace(BRIEF, meeting=3, stagger=0.2, connect=1, silence=60, quiet=50)


async def found(alice: Any, bob: Any) -> None:
    one, other = await both(alice.meet(), bob.meet())
    assert isinstance(one, Channel), one
    assert isinstance(other, Channel), other
    await handed_over(one, other, proposal(b"x"), b"x")
    await both(one.close(), other.close())


@pytest_twisted.ensureDeferred
async def test_two_sides_meet_again_at_the_relay_that_is_left(relay, second) -> None:
    for urls in ([relay.url, second.url], [DEAD, second.url], [second.url, DEAD]):
        alice = Rendezvous(coordinator(urls, limits=RESUMING), Kept())
        bob = Rendezvous(cosigner(urls, limits=RESUMING), Kept())
        await found(alice, bob)


@pytest_twisted.ensureDeferred
async def test_two_sides_meet_again_when_each_began_at_another_relay(relay, second) -> None:
    alice = Rendezvous(coordinator([second.url], limits=RESUMING), Kept())
    bob = Rendezvous(cosigner([relay.url, second.url], limits=RESUMING), Kept())
    await found(alice, bob)


@pytest_twisted.ensureDeferred
async def test_a_coordinator_moves_when_its_relay_is_gone_for_good(second) -> None:
    relay = await start_relay(reactor)
    urls = [relay.url, second.url]
    alice = Rendezvous(coordinator(urls, limits=RESUMING), Kept())
    waiting = ensureDeferred(alice.meet())
    await until(lambda: len(relay.ledger.visitors) == 2)
    await relay.stop()
    bob = Rendezvous(cosigner(urls, limits=RESUMING), Kept())
    one, other = await both(waiting, bob.meet())
    assert isinstance(one, Channel), one
    assert isinstance(other, Channel), other
    await handed_over(one, other, proposal(b"x"), b"x")
    await both(one.close(), other.close())


# -- a relay that forgets ----------------------------------------------------------------------------------------------


class Forgetful(Cable):
    """A relay that drops every connection, and has forgotten the code when it is back."""

    def __init__(self, relay: Any) -> None:
        super().__init__(relay.port)
        self._database = relay.server._db

    async def forget(self) -> None:
        """After this whoever waits here has lost the code."""
        self.pull()
        for table in ("messages", "nameplate_sides", "nameplates", "mailbox_sides", "mailboxes"):
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608  the tables' names
        self._database.commit()


@pytest_twisted.ensureDeferred
async def test_t3_a_relay_that_keeps_forgetting_codes_is_not_fed_new_ones_for_ever(relay, monkeypatch) -> None:
    monkeypatch.setattr("wormsig.transport.relays.LONGEST_PAUSE", 0.1)
    cable = Forgetful(relay)
    alice = coordinator(cable.url, limits=replace(BRIEF, replay=0.2))
    pauses: list[float] = []
    alice.relays = Relays([cable.url], lambda: 1.0)  # however long anything takes, no pause is over before it begins
    alice.relays.on_pause = lambda _, seconds: pauses.append(seconds)
    for count in range(MOST_FORGOTTEN):
        waiting = await alice.allocate()
        pairing = ensureDeferred(waiting.paired())
        await until(lambda: waiting.settled)  # noqa: B023  awaited here
        await cable.forget()
        (result,) = await both(pairing)
        assert isinstance(result, StaleCodeError), (count, result)
    assert pauses == [pytest.approx(0.1)] * (MOST_FORGOTTEN - 2)
    with pytest.raises(RelayRefusedError, match="has forgotten the codes 8 times"):
        await alice.allocate()
    await cable.unplug()


@pytest_twisted.ensureDeferred
async def test_t3_with_another_relay_codes_go_there(relay, second) -> None:
    cable = Forgetful(relay)
    alice = coordinator([cable.url, second.url], limits=replace(BRIEF, replay=0.2))
    used = []
    for _ in range(3):
        waiting = await alice.allocate()
        used.append(waiting.relay_url)
        pairing = ensureDeferred(waiting.paired())
        if waiting.relay_url == second.url:
            pairing.cancel()
            await both(pairing)
            break
        await until(lambda: waiting.settled)  # noqa: B023  awaited here
        await cable.forget()
        await both(pairing)
    assert used == [cable.url, cable.url, second.url]
    await cable.unplug()
