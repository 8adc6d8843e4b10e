from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory

from support.wormholes import QUICK, both, coordinator, cosigner, handed_over, proposal
from wormsig.errors import UsageError
from wormsig.transport.errors import RelayUnreachableError, TorError
from wormsig.transport.limits import Limits
from wormsig.transport.tor import start_tor


class Onion:
    """Stands for Tor: knows where `hidden.onion` is, and remembers what it was asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[tuple[str, int, bool]] = []

    def stream_via(self, host: str, port: int, tls: Any = False) -> Any:
        self.asked.append((host, port, bool(tls)))
        return HostnameEndpoint(reactor, "127.0.0.1", self._port)


@pytest_twisted.ensureDeferred
async def test_with_tor_every_connection_goes_through_it(relay) -> None:
    tor = Onion(relay.port)
    url = "ws://hidden.onion:4000/v1"  # a name that nothing but Tor can resolve
    waiting = await coordinator(url, tor=tor).allocate()
    entered = await cosigner(url, tor=tor).verifying().use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    await both(alice.compare(same=True), bob.compare(same=True))
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    assert tor.asked == [("hidden.onion", 4000, False)] * 2


@pytest_twisted.ensureDeferred
async def test_tls_is_left_to_tor(relay) -> None:
    tor = Onion(relay.port)
    waiting = await coordinator("wss://hidden.onion/v1", tor=tor).allocate()
    assert tor.asked == [("hidden.onion", 443, True)]
    await waiting.abandon()


@pytest_twisted.ensureDeferred
async def test_no_tor_where_it_was_said_to_be(capfd) -> None:
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    number = port.getHost().port
    await port.stopListening()
    with pytest.raises(TorError, match="cannot be reached") as caught:
        await start_tor(reactor, control_port=f"tcp:127.0.0.1:{number}")
    assert caught.value.exit_code == 6
    assert capfd.readouterr() == ("", "")


@pytest_twisted.ensureDeferred
async def test_options_that_make_no_sense() -> None:
    with pytest.raises(UsageError):
        await start_tor(reactor, launch=True, control_port="tcp:127.0.0.1:9051")
    with pytest.raises(UsageError):
        await start_tor(reactor, control_port="9051")


@pytest_twisted.ensureDeferred
async def test_without_any_tor_here_the_relay_is_unreachable() -> None:
    tor = await start_tor(reactor)
    with pytest.raises(RelayUnreachableError):
        await coordinator(
            "ws://relay.invalid:4000/v1", tor=tor, limits=Limits(connect=QUICK.close, close=0.2)
        ).allocate()
