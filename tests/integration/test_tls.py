"""Relays with certificates, good and bad, and what a client makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from support.certificates import Authority
from support.values import replace
from support.wormholes import QUICK, both, coordinator, handed_over, pair, proposal, until
from wormsig.errors import InputError
from wormsig.transport.errors import RelayCertificateError
from wormsig.transport.relay import start_relay
from wormsig.transport.relay_tls import RelayCertificate
from wormsig.transport.trust import Trust

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def encrypted(files: tuple[Path, Path], **options: Any) -> Any:
    return await start_relay(reactor, certificate=RelayCertificate(*files), **options)


async def refused(url: str, **options: Any) -> str:
    """Why a relay is not believed: at once, and before it learned anything."""
    start = reactor.seconds()
    with pytest.raises(RelayCertificateError) as caught:
        await coordinator(url, **options).allocate()
    assert reactor.seconds() - start < QUICK.connect
    assert caught.value.exit_code == 6
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest_twisted.ensureDeferred
async def test_two_sides_meet_at_a_relay_whose_certificate_they_believe(authority, host: str) -> None:
    relay = await encrypted(authority.issue("localhost", "127.0.0.1"))
    alice, bob = await pair(f"wss://{host}:{relay.port}/v1", trust=Trust(authority.file))
    await handed_over(alice, bob, proposal(b"x" * 300_000), b"x" * 300_000)
    await both(alice.close(), bob.close(), relay.stop())


@pytest_twisted.ensureDeferred
async def test_openssl_is_told_by_environment_whom_to_believe(authority, monkeypatch) -> None:
    relay = await encrypted(authority.issue("localhost"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    alice, bob = await pair(relay.url)
    await both(alice.close(), bob.close(), relay.stop())


@pytest_twisted.ensureDeferred
async def test_what_nobody_here_trusts_is_refused(authority, monkeypatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    relay = await encrypted(authority.issue("localhost"))
    assert (await refused(relay.url)).startswith("the certificate of the relay localhost is refused: ")
    assert not relay.ledger.visitors
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_somebody_else_is_refused(authority) -> None:
    relay = await encrypted(authority.issue("relay.example.org"))
    url = f"wss://localhost:{relay.port}/v1"
    assert "made out to somebody else" in await refused(url, trust=Trust(authority.file))
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_an_expired_certificate_is_refused(authority, monkeypatch) -> None:
    files = authority.issue("localhost", begins=-9, ends=-2)
    monkeypatch.setattr("wormsig.transport.relay_tls.RelayCertificate._load", _unchecked)
    relay = await encrypted(files)
    url = f"wss://localhost:{relay.port}/v1"
    assert (await refused(url, trust=Trust(authority.file))).endswith(
        "is refused: it has expired, or nobody trusted here signed it"
    )
    await relay.stop()


def _unchecked(self: Any) -> Any:
    """A relay that does not look at its own certificate."""
    from OpenSSL import SSL  # noqa: PLC0415  here only

    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(self._files[0]))
    context.use_privatekey_file(str(self._files[1]))
    return context


class Banner(Protocol):
    """A server that speaks first, and not TLS."""

    def connectionMade(self) -> None:  # noqa: N802  Twisted's name
        self.transport.write(b"220 mail.example.org ESMTP\r\n")


@pytest_twisted.ensureDeferred
async def test_what_does_not_speak_tls_is_no_wss_relay() -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Banner), interface="127.0.0.1")
    words = await refused(f"wss://127.0.0.1:{port.getHost().port}/v1")
    assert words.startswith("no TLS with the relay 127.0.0.1: ")
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_whoever_takes_the_relays_place_later_is_refused_too(authority) -> None:
    relay = await encrypted(authority.issue("localhost"))
    patient = replace(QUICK, silence=20)
    alice, bob = await pair(relay.url, trust=Trust(authority.file), limits=patient)
    await relay.stop()
    other = Authority(authority.folder)  # another key behind the same name
    impostor = await encrypted(other.issue("localhost", file="impostor"), port=relay.port)
    results = await both(alice.receive(), bob.receive())
    assert all(isinstance(result, RelayCertificateError) for result in results), results
    assert not impostor.ledger.visitors
    await both(alice.close(), bob.close(), impostor.stop())


@pytest_twisted.ensureDeferred
async def test_a_relay_takes_its_renewed_certificate_while_it_runs(authority, monkeypatch) -> None:
    monkeypatch.setattr("wormsig.transport.relay.PRUNE_EVERY", 0.05)
    said: list[str] = []
    relay = await encrypted(authority.issue("localhost"), tell=said.append)
    alice, bob = await pair(relay.url, trust=Trust(authority.file))
    authority.issue("localhost", "127.0.0.1")
    await until(lambda: said)
    assert said[-1] == "the certificate was renewed"
    await handed_over(alice, bob, proposal(b"x"), b"x")  # who was there stays
    waiting = await coordinator(f"wss://127.0.0.1:{relay.port}/v1", trust=Trust(authority.file)).allocate()
    await waiting.abandon()
    await both(alice.close(), bob.close(), relay.stop())


def test_an_authority_that_is_none(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("not a certificate")
    for path, words in ((tmp_path / "notes.txt", "holds no certificate"), (tmp_path / "missing", "cannot be read")):
        with pytest.raises(InputError, match=words):
            Trust(path)
