from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import protocol, reactor
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.web.server import Site
from twisted.web.static import Data

from support.proxy import Proxy
from support.wormholes import (
    QUICK,
    Cable,
    both,
    coordinator,
    cosigner,
    handed_over,
    pair,
    proposal,
    sleep,
    stranger,
    until,
)
from wormsig.errors import UsageError
from wormsig.transport.errors import (
    BadCodeError,
    ChannelClosedError,
    PairingTimeoutError,
    RelayRefusedError,
    RelayUnreachableError,
    StaleCodeError,
)
from wormsig.transport.library import APPID
from wormsig.transport.limits import Limits
from wormsig.transport.notices import Notice
from wormsig.transport.relay import RunningRelay, start_relay


@pytest_twisted.ensureDeferred
async def test_the_cosigner_may_come_first_with_a_fixed_code(relay) -> None:
    entered = await cosigner(relay.url).use_code(" 042 Guitarist revenge ")
    pairing = ensureDeferred(entered.paired())
    await sleep(0.1)
    waiting = await coordinator(relay.url).use_code("42-guitarist-revenge")
    assert waiting.code == entered.code == "42-guitarist-revenge"
    alice, bob = await both(waiting.paired(), pairing)
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_codes_have_as_many_words_as_asked(relay) -> None:
    for words in (2, 3, 5):
        waiting = await coordinator(relay.url).allocate(words)
        assert len(waiting.code.split("-")) == 1 + words
        await waiting.abandon()


@pytest.mark.parametrize(
    "code", ["", "7", "7-", "guitarist-revenge", "\u0667-guitarist", "7-guitarist; rm -rf", "1" * 41 + "-a"]
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_code_is_refused_before_anything_is_sent(code: str) -> None:
    with pytest.raises(BadCodeError):
        await cosigner("ws://127.0.0.1:1/v1").use_code(code)


@pytest.mark.parametrize("url", ["", "relay.example:4000", "http://relay.example/v1", "ws://", "ws://host:99999/v1"])
def test_what_is_no_relay_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        coordinator(url)


@pytest_twisted.ensureDeferred
async def test_nobody_comes(relay) -> None:
    limits = Limits(pairing=0.3, entry=0.2, close=1)
    waiting = await coordinator(relay.url, limits=limits).allocate()
    with pytest.raises(PairingTimeoutError, match="nobody used the code") as caught:
        await waiting.paired()
    assert caught.value.exit_code == 6
    entered = await cosigner(relay.url, limits=limits).use_code("7-nobody-there")
    with pytest.raises(PairingTimeoutError, match="nobody is at the other end"):
        await entered.paired()


@pytest_twisted.ensureDeferred
async def test_an_abandoned_code_is_free_again(relay) -> None:
    waiting = await coordinator(relay.url).use_code("5-first-words")
    pairing = ensureDeferred(waiting.paired())
    results = both(pairing, waiting.abandon())
    assert isinstance((await results)[0], ChannelClosedError)
    again = await coordinator(relay.url).use_code("5-second-words")
    entered = await cosigner(relay.url).use_code("5-second-words")
    alice, bob = await both(again.paired(), entered.paired())
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_cancelling_gives_the_code_up(relay) -> None:
    waiting = await coordinator(relay.url).use_code("5-some-words")
    pairing = ensureDeferred(waiting.paired())
    await sleep(0.05)
    pairing.cancel()
    with pytest.raises(CancelledError):
        await pairing
    assert not waiting._link.route.connected
    other = await stranger(relay.url)
    other.say("allocate")
    await other.heard("allocated")
    assert len(relay.server.get_app(APPID)._get_nameplate_ids()) == 1  # the stranger's own
    other.sendClose()


@pytest_twisted.ensureDeferred
async def test_a_number_that_comes_while_it_is_given_up_is_given_back(relay) -> None:
    """The relay counts it as taken before we know of it, and would for a quarter of an hour."""
    with Proxy(relay.port) as line:
        line.delay = 0.1
        allocating = ensureDeferred(coordinator(line.url, limits=Limits(close=10)).allocate())
        await until(lambda: numbers(relay))
        allocating.cancel()
        with pytest.raises(CancelledError):
            await allocating
        assert numbers(relay) == []


def numbers(relay: RunningRelay) -> list[str]:
    """The nameplates that somebody has."""
    return [row["name"] for row in relay.server._db.execute("SELECT name FROM nameplates").fetchall()]


@pytest_twisted.ensureDeferred
async def test_no_relay(unused: int) -> None:
    started = reactor.seconds()
    with pytest.raises(RelayUnreachableError, match="refused") as caught:
        await coordinator(f"ws://127.0.0.1:{unused}/v1", limits=Limits(connect=3, close=1)).allocate()
    assert 1 < reactor.seconds() - started < 15
    assert caught.value.exit_code == 6
    assert str(unused) in caught.value.message


@pytest.fixture
def unused() -> int:
    port = reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")
    number: int = port.getHost().port
    pytest_twisted.blockon(port.stopListening())
    return number


@pytest_twisted.ensureDeferred
async def test_a_relay_that_comes_up_late_is_waited_for(unused: int) -> None:
    allocating = ensureDeferred(coordinator(f"ws://127.0.0.1:{unused}/v1").allocate())
    await sleep(0.4)
    relay = await start_relay(reactor, port=unused)
    waiting = await allocating
    assert waiting.code
    await waiting.abandon()
    await relay.stop()


class Mute(protocol.Protocol):
    """Accepts, and says nothing."""


@pytest_twisted.ensureDeferred
async def test_a_server_that_says_nothing() -> None:
    port = reactor.listenTCP(0, protocol.Factory.forProtocol(Mute), interface="127.0.0.1")
    with pytest.raises(RelayUnreachableError, match="does not answer"):
        await coordinator(f"ws://127.0.0.1:{port.getHost().port}/v1", limits=Limits(connect=0.4, close=0.2)).allocate()
    await port.stopListening()


class MuteAtLast(protocol.Factory):
    """Hangs up on the first who comes, and says nothing to the others."""

    def __init__(self) -> None:
        self.visits = 0

    def buildProtocol(self, _: object) -> protocol.Protocol | None:  # noqa: N802  Twisted's name
        self.visits += 1
        return None if self.visits == 1 else Mute()


@pytest_twisted.ensureDeferred
async def test_what_was_found_before_the_last_attempt_had_no_time_left_is_told() -> None:
    port = reactor.listenTCP(0, visitors := MuteAtLast(), interface="127.0.0.1")
    with pytest.raises(RelayUnreachableError, match="cannot be reached: ") as caught:
        await coordinator(f"ws://127.0.0.1:{port.getHost().port}/v1", limits=Limits(connect=4, close=0.2)).allocate()
    assert visitors.visits > 1
    assert "does not answer" not in caught.value.message
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_web_server_that_is_no_relay() -> None:
    port = reactor.listenTCP(0, Site(Data(b"hello", "text/plain")), interface="127.0.0.1")
    with pytest.raises(RelayUnreachableError, match="cannot be reached"):
        await cosigner(f"ws://127.0.0.1:{port.getHost().port}/v1", limits=Limits(connect=0.6, close=0.2)).use_code(
            "4-some-words"
        )
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_relay_that_turns_us_away(relay) -> None:
    relay.server._welcome["error"] = "closed for today"
    for attempt in (coordinator(relay.url).allocate(), cosigner(relay.url).use_code("4-some-words")):
        with pytest.raises(RelayRefusedError, match="closed for today"):
            await attempt


@pytest_twisted.ensureDeferred
async def test_a_relay_that_forgets_the_code_before_anybody_came() -> None:
    relay = await start_relay(reactor)
    waiting = await coordinator(relay.url).allocate()
    notices: list[Notice] = []
    waiting.on_notice = notices.append
    pairing = ensureDeferred(waiting.paired())
    await sleep(0.1)
    await relay.stop()
    relay = await start_relay(reactor, port=relay.port)
    with pytest.raises(StaleCodeError, match="forgotten"):
        await pairing
    assert notices == [Notice.RELAY_DOWN, Notice.RELAY_UP]
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_a_relay_that_restarts_and_remembers(tmp_path) -> None:
    relay = await start_relay(reactor, db=tmp_path / "relay.sqlite")
    waiting = await coordinator(relay.url).allocate()
    pairing = ensureDeferred(waiting.paired())
    await sleep(0.1)
    await relay.stop()
    relay = await start_relay(reactor, port=relay.port, db=tmp_path / "relay.sqlite")
    await sleep(QUICK.replay + 2)
    entered = await cosigner(relay.url).use_code(waiting.code)
    alice, bob = await both(pairing, entered.paired())
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_a_cable_that_breaks_while_pairing_does_no_harm(relay) -> None:
    cable = Cable(relay.port)
    waiting = await coordinator(cable.url, limits=Limits(close=1)).allocate()
    pairing = ensureDeferred(waiting.paired())
    cable.pull()
    entered = await cosigner(relay.url, limits=Limits(close=1)).use_code(waiting.code)
    alice, bob = await both(pairing, entered.paired())
    cable.pull()
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    await cable.unplug()


@pytest_twisted.ensureDeferred
async def test_twenty_cosigners_at_once(relay) -> None:
    alice = coordinator(relay.url, limits=Limits(close=2))
    pendings = await both(*(alice.allocate() for _ in range(20)))
    codes = [pending.code for pending in pendings]
    assert len({code.split("-")[0] for code in codes}) == 20

    async def one(pending, index: int) -> None:
        bob = await (await cosigner(relay.url, limits=Limits(close=2)).use_code(pending.code)).paired()
        received = await bob.receive()
        assert received.obj == f"psbt {index}".encode()
        bob.acknowledge(received)
        await bob.close()

    async def serve(pending, index: int) -> None:
        channel = await pending.paired()
        obj = f"psbt {index}".encode()
        await channel.deliver(proposal(obj), obj)
        await channel.close()

    jobs = [job for i, pending in enumerate(pendings) for job in (serve(pending, i), one(pending, i))]
    assert await both(*jobs) == [None] * 40


@pytest_twisted.ensureDeferred
async def test_nothing_is_printed(relay, capfd) -> None:
    alice, bob = await pair(relay.url)
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    out, err = capfd.readouterr()
    assert out == err == ""


@pytest_twisted.ensureDeferred
async def test_it_is_known_whether_anybody_used_a_code(relay) -> None:
    waiting = await coordinator(relay.url).allocate()
    assert not waiting.contact
    pairing = ensureDeferred(both(waiting.paired()))
    guess = await cosigner(relay.url).use_code(waiting.code.partition("-")[0] + "-wrong-words-here")
    await both(guess.paired())
    await pairing
    assert waiting.contact
    assert guess.contact
    unused = await coordinator(relay.url, limits=Limits(pairing=0.2, close=1)).allocate()
    await both(unused.paired())
    assert not unused.contact
