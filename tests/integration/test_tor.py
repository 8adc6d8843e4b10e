"""Through Tor, as far as it can be tested without its network: a SOCKS port and a control port of the test's own."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory

from support.certificates import Authority
from support.tor import FakeTor, as_executable
from support.values import replace
from support.wormholes import QUICK, both, coordinator, cosigner, handed_over, proposal, sleep, until
from wormsig.errors import UsageError
from wormsig.transport import tor as tor_module
from wormsig.transport.errors import RelayUnreachableError, TorError
from wormsig.transport.notices import Notice
from wormsig.transport.relay import start_relay
from wormsig.transport.relay_tls import RelayCertificate
from wormsig.transport.tor import start_tor
from wormsig.transport.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = ("hidden.onion", 4000)
URL = "ws://hidden.onion:4000/v1"  # a name that nothing but our Tor can resolve


@contextmanager
def tor_for(relay: Any, folder: Path, **how: Any) -> Iterator[FakeTor]:
    with FakeTor({HIDDEN: ("127.0.0.1", relay.port)}, folder, **how) as running:
        yield running


async def both_sides(url: str, tor: Any, **options: Any) -> tuple[Any, Any]:
    waiting = await coordinator(url, tor=tor, **options).allocate()
    entered = await cosigner(url, tor=tor, **options).verifying().use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    await both(alice.compare(same=True), bob.compare(same=True))
    return alice, bob


@pytest_twisted.ensureDeferred
async def test_with_a_control_port_every_byte_goes_through_socks(relay, tmp_path) -> None:
    with tor_for(relay, tmp_path) as fake:
        tor = await start_tor(reactor, control_port=fake.endpoint)
        alice, bob = await both_sides(URL, tor)
        await handed_over(alice, bob, proposal(b"x" * 10_000), b"x" * 10_000)
        assert [(one.host, one.port, one.by_name) for one in fake.asked] == [(*HIDDEN, True)] * 2
        assert len(relay.ledger.visitors) == 2  # nobody came to the relay in another way
        await both(alice.close(), bob.close())
        assert all(one.sent > 1_000 and one.heard > 10_000 for one in fake.asked)
        assert fake.commands[:3] == ["PROTOCOLINFO 1", "AUTHCHALLENGE", "AUTHENTICATE"]


@pytest_twisted.ensureDeferred
async def test_without_a_control_port_the_usual_socks_port_is_used(relay, tmp_path, monkeypatch) -> None:
    with tor_for(relay, tmp_path) as fake:
        monkeypatch.setattr("txtorcon.endpoints.TorClientEndpoint.socks_ports_to_try", [fake.socks_port])
        tor = await start_tor(reactor)
        alice, bob = await both_sides(URL, tor)
        assert [(one.host, one.by_name) for one in fake.asked] == [(HIDDEN[0], True)] * 2
        assert not fake.commands
        await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_certificates_are_checked_through_tor_too(tmp_path) -> None:
    authority = Authority(tmp_path)
    relay = await start_relay(reactor, certificate=RelayCertificate(*authority.issue("hidden.onion")))
    with FakeTor({("hidden.onion", 443): ("127.0.0.1", relay.port)}, tmp_path) as fake:
        tor = await start_tor(reactor, control_port=fake.endpoint)
        alice, bob = await both_sides("wss://hidden.onion/v1", tor, trust=Trust(authority.file))
        await both(alice.close(), bob.close())
        stranger = Authority(tmp_path)
        with pytest.raises(Exception, match=r"certificate of the relay hidden\.onion is refused"):
            await coordinator("wss://hidden.onion/v1", tor=tor, trust=Trust(stranger.file)).allocate()
    await relay.stop()


# -- where it does not work --------------------------------------------------------------------------------------------


async def unused_port() -> int:
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    number: int = port.getHost().port
    await port.stopListening()
    return number


@pytest_twisted.ensureDeferred
async def test_no_tor_where_it_was_said_to_be(capfd) -> None:
    with pytest.raises(TorError, match="Tor cannot be reached: Connection was refused") as caught:
        await start_tor(reactor, control_port=f"tcp:127.0.0.1:{await unused_port()}")
    assert caught.value.exit_code == 6
    assert capfd.readouterr() == ("", "")


@pytest_twisted.ensureDeferred
async def test_a_control_port_that_does_not_let_us_in(relay, tmp_path) -> None:
    with tor_for(relay, tmp_path, deny=True) as fake:
        with pytest.raises(TorError, match="Tor cannot be reached: 515 Authentication failed") as caught:
            await start_tor(reactor, control_port=fake.endpoint)
        assert "cookie file" in str(caught.value.hint)


@pytest_twisted.ensureDeferred
async def test_a_cookie_that_cannot_be_read(relay, tmp_path) -> None:
    with tor_for(relay, tmp_path) as fake:
        fake.cookie_file.unlink()
        with pytest.raises(TorError, match="Failed to read COOKIEFILE"):
            await start_tor(reactor, control_port=fake.endpoint)


@pytest_twisted.ensureDeferred
async def test_a_control_port_that_never_answers(relay, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tor_module, "FIND_LIMIT", 0.3)
    with tor_for(relay, tmp_path, mute=True) as fake, pytest.raises(TorError, match="did not answer within"):
        await start_tor(reactor, control_port=fake.endpoint)


@pytest_twisted.ensureDeferred
async def test_tor_does_not_let_us_out(relay, tmp_path) -> None:
    for refuse, words in ((2, "connection not allowed by ruleset"), (4, "Host unreachable"), (5, "Connection refused")):
        with tor_for(relay, tmp_path, refuse=refuse) as fake:
            tor = await start_tor(reactor, control_port=fake.endpoint)
            with pytest.raises(RelayUnreachableError, match=words) as caught:
                await coordinator(URL, tor=tor, limits=replace(QUICK, connect=2)).allocate()
            assert "through Tor" in caught.value.message
            assert caught.value.exit_code == 6
    assert not relay.ledger.visitors


@pytest_twisted.ensureDeferred
async def test_without_any_tor_here_the_relay_is_unreachable() -> None:
    tor = await start_tor(reactor)
    with pytest.raises(RelayUnreachableError, match="through Tor"):
        await coordinator("ws://relay.invalid:4000/v1", tor=tor, limits=replace(QUICK, connect=2)).allocate()


@pytest_twisted.ensureDeferred
async def test_tor_dies_midway_and_nobody_goes_around_it(relay, tmp_path) -> None:
    with tor_for(relay, tmp_path) as fake:
        tor = await start_tor(reactor, control_port=fake.endpoint)
        alice, bob = await both_sides(URL, tor)
        noticed: list[Notice] = []
        alice.on_notice = noticed.append
        fake.die()
        results = await both(alice.receive(), bob.receive())
        assert all(isinstance(result, RelayUnreachableError) for result in results), results
        assert Notice.RELAY_DOWN in noticed
        assert not relay.ledger.visitors
        await both(alice.close(), bob.close())
        await sleep(0.2)
        assert not relay.ledger.visitors


@pytest_twisted.ensureDeferred
async def test_a_tor_that_comes_back_is_used_again(relay, tmp_path) -> None:
    patient = replace(QUICK, silence=20, quiet=15)
    with tor_for(relay, tmp_path) as fake:
        tor = await start_tor(reactor, control_port=fake.endpoint)
        alice, bob = await both_sides(URL, tor, limits=patient)
        fake.die()
        await until(lambda: not relay.ledger.visitors)
    with tor_for(relay, tmp_path, socks_port=fake.socks_port) as again:
        await handed_over(alice, bob, proposal(b"x"), b"x")
        assert {one.host for one in again.asked} == {HIDDEN[0]}
        await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_options_that_make_no_sense() -> None:
    with pytest.raises(UsageError):
        await start_tor(reactor, launch=True, control_port="tcp:127.0.0.1:9051")
    with pytest.raises(UsageError):
        await start_tor(reactor, control_port="9051")


# -- a Tor of our own --------------------------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest_twisted.ensureDeferred
async def test_a_tor_is_launched_and_used(relay, tmp_path, monkeypatch) -> None:
    as_executable(tmp_path / "tor", {HIDDEN: ("127.0.0.1", relay.port)})
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tor = await start_tor(reactor, launch=True)
    pid = int((tmp_path / "tor.pid").read_text())
    assert alive(pid)
    alice, bob = await both_sides(URL, tor)
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    await tor.quit()
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        await sleep(0.05)
    assert not alive(pid)


@pytest_twisted.ensureDeferred
async def test_no_tor_to_launch(monkeypatch) -> None:
    monkeypatch.setattr("txtorcon.controller.find_tor_binary", lambda: None)
    with pytest.raises(TorError, match="Tor cannot be started: Tor binary could not be found") as caught:
        await start_tor(reactor, launch=True)
    assert caught.value.hint == "is tor installed?"


@pytest_twisted.ensureDeferred
async def test_a_tor_that_ends_at_once(tmp_path, monkeypatch) -> None:
    (tmp_path / "tor").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "tor").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TorError, match="Tor cannot be started: Tor exited with error-code 1"):
        await start_tor(reactor, launch=True)


def test_the_name_of_the_hidden_relay_means_nothing_here() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HIDDEN[0], HIDDEN[1])
