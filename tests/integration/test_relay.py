from __future__ import annotations

import shutil
import time
from typing import Any

import pytest
import pytest_twisted
from autobahn.exception import Disconnected
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from support.certificates import Authority, write_key
from support.wormholes import Stranger, both, coordinator, cosigner, handed_over, pair, proposal, stranger, until
from wormsig.errors import InputError, StorageError
from wormsig.transport import relay as relay_module
from wormsig.transport.errors import ListenError, RelayRefusedError
from wormsig.transport.library import APPID
from wormsig.transport.limits import Limits
from wormsig.transport.relay import is_loopback, start_relay
from wormsig.transport.relay_server import RelayLimits
from wormsig.transport.relay_tls import RelayCertificate


def mailboxes(relay) -> int:
    return relay.server._db.execute("SELECT count(*) AS n FROM mailboxes").fetchone()["n"]


async def ended(visitor: Stranger) -> None:
    await until(lambda: visitor.state == Stranger.STATE_CLOSED)


class Raw(Protocol):
    """Bytes to the relay's port, and what it answers until it hangs up."""

    def __init__(self) -> None:
        self.heard = b""
        self.over: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  Twisted's name
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002, N802  Twisted's name
        self.over.callback(self.heard)


async def raw(relay, data: bytes) -> Raw:
    protocol = await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", relay.port), Raw())
    protocol.transport.write(data)
    return protocol


@pytest_twisted.ensureDeferred
async def test_a_channel_leaves_nothing_behind(relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits(close=2))
    assert mailboxes(relay) == 1
    await handed_over(alice, bob, proposal(b"x"), b"x")
    assert sum(relay.ledger._stored.values()) == relay.ledger._sum > 0
    await both(alice.close(), bob.close())
    assert mailboxes(relay) == 0
    assert (relay.ledger._stored, relay.ledger._sum) == ({}, 0)
    await until(lambda: not relay.ledger.visitors)
    relay.ledger.prune(time.time(), time.time())
    assert relay.server._apps == {}


@pytest_twisted.ensureDeferred
async def test_what_nobody_uses_is_forgotten_and_what_is_listened_to_is_kept(monkeypatch) -> None:
    monkeypatch.setattr(relay_module, "PRUNE_EVERY", 0.05)
    monkeypatch.setattr(relay_module, "FORGET_AFTER", 0.2)
    relay = await start_relay(reactor)
    waiting = await coordinator(relay.url).use_code("4-some-words")
    gone = await stranger(relay.url)
    await gone.claim("5-other-words")
    assert mailboxes(relay) == 2
    gone.sendClose()
    await until(lambda: mailboxes(relay) == 1)
    await until(lambda: len(relay.server.get_app(APPID)._mailboxes) == 1)  # nor does the library keep it in memory
    entered = await cosigner(relay.url).use_code("4-some-words")
    alice, bob = await both(waiting.paired(), entered.paired())
    await both(alice.close(), bob.close(), relay.stop())


@pytest_twisted.ensureDeferred
async def test_two_sides_meet_although_everything_else_was_forgotten_between_them(relay) -> None:
    early = await stranger(relay.url, "early")
    await early.claim("6-x")
    other = await stranger(relay.url, "other")
    other.say("ping", ping=1)
    await other.heard("pong")  # bound, and in no mailbox yet
    early.say("close", mood="lonely")
    await early.heard("closed")
    relay.ledger.prune(time.time(), time.time())
    late = await stranger(relay.url, "late")
    await other.claim("7-x")
    await late.claim("7-x")
    late.say("add", phase="greeting", body="00")
    assert (await other.heard("message"))["phase"] == "greeting"


@pytest_twisted.ensureDeferred
async def test_a_code_of_before_a_restart_still_pairs(tmp_path) -> None:
    db = tmp_path / "relay.sqlite"
    relay = await start_relay(reactor, db=db)
    waiting = await coordinator(relay.url).allocate()
    port = relay.port
    await relay.stop()
    relay = await start_relay(reactor, port=port, db=db)
    entered = await cosigner(relay.url).use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_after_an_hour_off_line_mailboxes_have_their_time_again_and_after_a_day_they_are_gone(tmp_path) -> None:
    for hours, left in ((1, 1), (25, 0)):
        db = tmp_path / f"{hours}.sqlite"
        relay = await start_relay(reactor, db=db)
        visitor = await stranger(relay.url)
        await visitor.claim("4-some-words")
        relay.server._db.execute("UPDATE mailboxes SET updated=?", (time.time() - hours * 3600,))
        relay.server._db.commit()
        await relay.stop()
        relay = await start_relay(reactor, db=db)
        assert mailboxes(relay) == left
        await relay.stop()


@pytest_twisted.ensureDeferred
async def test_where_it_cannot_listen(relay) -> None:
    with pytest.raises(ListenError) as caught:
        await start_relay(reactor, port=relay.port)
    assert str(relay.port) in caught.value.message
    assert caught.value.exit_code == 6


@pytest_twisted.ensureDeferred
async def test_what_is_no_database(tmp_path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"not a database" * 100)
    for path in (tmp_path / "notes.txt", tmp_path / "no" / "such" / "folder.sqlite"):
        with pytest.raises(StorageError):
            await start_relay(reactor, db=path)


@pytest_twisted.ensureDeferred
async def test_stopping_drops_who_is_connected() -> None:
    relay = await start_relay(reactor)
    other = await stranger(relay.url)
    await relay.stop()
    await ended(other)


def test_who_can_connect_to_an_address() -> None:
    assert all(is_loopback(name) for name in ("127.0.0.1", "127.3.4.5", "::1", "localhost"))
    assert not any(is_loopback(name) for name in ("0.0.0.0", "::", "192.0.2.1", "relay.example.org"))  # noqa: S104  nothing listens


# -- what visitors may not do ------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_too_long_ends_its_connection_only() -> None:
    relay = await start_relay(reactor, limits=RelayLimits(message=5_000))
    alice, bob = await pair(relay.url)
    bold = await stranger(relay.url)
    await bold.claim("900-x")
    bold.say("add", phase="0", body="00" * 5_000)
    await ended(bold)
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close(), relay.stop())


@pytest_twisted.ensureDeferred
async def test_a_mailbox_and_a_relay_can_be_full() -> None:
    relay = await start_relay(reactor, limits=RelayLimits(mailbox_bytes=100, stored_bytes=150))
    first, second = await stranger(relay.url, "a"), await stranger(relay.url, "b")
    await first.claim("1-x")
    await second.claim("2-x")
    first.say("add", phase="0", body="00" * 50)
    assert (await first.heard("message"))["phase"] == "0"
    first.say("add", phase="1", body="00")
    assert (await first.heard("error"))["error"] == "this mailbox is full"
    second.say("add", phase="0", body="00" * 26)
    assert (await second.heard("error"))["error"].startswith("this relay is full")
    first.say("close", mood="happy")
    await first.heard("closed")
    second.say("add", phase="0", body="00" * 26)  # there is room again
    assert (await second.heard("message"))["phase"] == "0"
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_a_relay_full_of_mailboxes_makes_no_new_codes_and_serves_those_that_it_made() -> None:
    relay = await start_relay(reactor, limits=RelayLimits(mailboxes=1))
    waiting = await coordinator(relay.url).allocate()
    with pytest.raises(RelayRefusedError, match="full"):
        await coordinator(relay.url).allocate()
    with pytest.raises(RelayRefusedError, match="full"):
        await (await coordinator(relay.url).use_code("999-other-words")).paired()
    entered = await cosigner(relay.url).use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close(), relay.stop())


@pytest_twisted.ensureDeferred
async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    relay = await start_relay(reactor, limits=RelayLimits(connections=2))
    alice, bob = await pair(relay.url)
    late = await raw(relay, b"GET / HTTP/1.1\r\n\r\n")
    assert await late.over == b""
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    await until(lambda: not relay.ledger.visitors)
    now_free = await stranger(relay.url)
    now_free.say("ping", ping=1)
    await now_free.heard("pong")
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_who_does_not_read_is_dropped_before_the_relay_fills_its_memory() -> None:
    relay = await start_relay(reactor, limits=RelayLimits(unread_bytes=2_000_000))
    writer, deaf = await stranger(relay.url, "writer"), await stranger(relay.url, "deaf")
    await writer.claim("1-x")
    await deaf.claim("1-x")
    deaf.transport.pauseProducing()
    for number in range(200):
        try:
            writer.say("add", phase=str(number), body="00" * 50_000)
        except Disconnected:
            break
        await writer.heard("ack")
        assert relay.ledger.unread <= 2_200_000
        if len(relay.ledger.visitors) < 2:
            break
    assert len(relay.ledger.visitors) == 1
    await until(lambda: relay.ledger.unread == 0)  # the writer's own last message may be under way
    writer.say("ping", ping=1)
    await writer.heard("pong")
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_who_does_not_say_what_it_wants_is_sent_away() -> None:
    relay = await start_relay(reactor, limits=RelayLimits(introduction=0.1))
    mute = await stranger(relay.url, bind=False)
    await ended(mute)
    await relay.stop()


NONSENSE: list[bytes] = [
    b"not json",
    b"[]",
    b"null",
    b'{"type": ["claim"]}',
    b'{"type": "bind", "appid": 7, "side": "x"}',
    b'{"type": "bind", "appid": "' + b"x" * 1000 + b'", "side": "x"}',
    b'{"type": "bind", "appid": "x", "side": {}}',
    b'{"type": "bind", "appid": "x", "side": "x", "client_version": 7}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("payload", NONSENSE, ids=lambda payload: payload[:40].decode())
@pytest_twisted.ensureDeferred
async def test_nonsense_is_answered_or_ends_the_connection_and_nothing_is_logged(relay, payload, monkeypatch) -> None:
    failures: list[Any] = []
    monkeypatch.setattr("twisted.logger._logger.Logger.failure", lambda _, *a, **k: failures.append((a, k)))
    fool = await stranger(relay.url, bind=False)
    fool.sendMessage(payload, False)
    fool.sendMessage(b'{"type": "ping", "ping": 1}', False)
    answers = []
    while fool.state == Stranger.STATE_OPEN and "pong" not in answers:
        answers.append((await fool._inbox.get().addTimeout(1, reactor).addErrback(lambda _: {"type": "end"}))["type"])
    assert "error" in answers or fool.state != Stranger.STATE_OPEN
    assert not failures
    alice, bob = await pair(relay.url)
    await both(alice.close(), bob.close())


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "claim", "nameplate": "x" * 300},
        {"kind": "claim", "nameplate": "seven"},
        {"kind": "claim", "nameplate": 7},
        {"kind": "open", "mailbox": "x" * 300},
        {"kind": "add", "phase": "x" * 300, "body": "00"},
        {"kind": "add", "phase": {}, "body": "00"},
        {"kind": "add", "phase": "0", "body": {}},
        {"kind": "close", "mood": {}},
    ],
    ids=str,
)
@pytest_twisted.ensureDeferred
async def test_fields_that_are_no_short_texts(relay, fields: dict[str, Any]) -> None:
    fool = await stranger(relay.url)
    if fields["kind"] in ("add", "close"):
        await fool.claim("900-x")
    before = mailboxes(relay)
    fool.say(**fields)
    fool.say("ping", ping=1)
    answers = []
    while fool.state == Stranger.STATE_OPEN and "pong" not in answers:
        answers.append((await fool._inbox.get().addTimeout(1, reactor).addErrback(lambda _: {"type": "end"}))["type"])
    assert "error" in answers or fool.state != Stranger.STATE_OPEN
    assert mailboxes(relay) == before
    assert relay.server._db.execute("SELECT count(*) AS n FROM messages").fetchone()["n"] == 0


@pytest_twisted.ensureDeferred
async def test_nobody_can_have_the_web_server_keep_a_body(relay) -> None:
    for headers in (b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"):
        visitor = await raw(relay, b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n" + b"x" * 1000)
        await visitor.over.addTimeout(5, reactor)


@pytest_twisted.ensureDeferred
async def test_proxies_headers_are_neither_needed_nor_repeated(relay) -> None:
    """Many proxies say X-Real-IP and no X-Real-Port, over which the library stumbles."""
    request = (
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Real-IP: 203.0.113.77\r\n\r\n"
    )
    visitor = await raw(relay, request)
    await until(lambda: b"welcome" in visitor.heard)
    assert visitor.heard.startswith(b"HTTP/1.1 101")
    assert b"203.0.113.77" not in visitor.heard
    assert b"127.0.0.1" not in visitor.heard
    visitor.transport.loseConnection()


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_certificate_that_cannot_be_used_is_told_in_words(tmp_path) -> None:
    authority = Authority(tmp_path)
    good, key = authority.issue("localhost")
    _, other_key = authority.issue("localhost", file="other")
    locked = write_key(tmp_path / "locked.key", authority.key, b"passphrase")
    expired = authority.issue("localhost", begins=-9, ends=-2, file="expired")
    early = authority.issue("localhost", begins=2, file="early")
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    cases = [
        ((tmp_path / "missing.pem", key), "certificate .* cannot be read: No such file"),
        ((good, tmp_path / "missing.key"), "key .* cannot be read: No such file"),
        ((tmp_path, key), "cannot be read"),
        ((junk, key), "holds no certificate in PEM form"),
        ((key, key), "holds no certificate in PEM form"),
        ((good, good), "holds no private key in PEM form"),
        ((good, locked), "protected by a passphrase"),
        ((good, other_key), "does not belong to the certificate"),
        (expired, "expired on"),
        (early, "is not valid before"),
    ]
    for files, words in cases:
        with pytest.raises(InputError, match=words) as caught:
            RelayCertificate(*files)
        assert caught.value.exit_code == 3


def test_a_renewed_certificate_is_taken_and_a_bad_one_is_not(tmp_path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("one.example.org")
    certificate = RelayCertificate(*files)
    before = certificate._context
    said: list[str] = []
    certificate.renew(said.append)
    assert (said, certificate._context, certificate.name) == ([], before, "one.example.org")
    shutil.copy(authority.issue("two.example.org", ends=-0.5, file="expired")[0], files[0])
    certificate.renew(said.append)
    assert "from before is still in use" in said.pop()
    assert certificate._context is before
    authority.issue("two.example.org")
    certificate.renew(said.append)
    assert said == ["the certificate was renewed"]
    assert (certificate._context is before, certificate.name) == (False, "two.example.org")


@pytest_twisted.ensureDeferred
async def test_the_url_says_what_the_certificate_does(tmp_path) -> None:
    authority = Authority(tmp_path)
    for names, host in (
        (("relay.example.org", "127.0.0.1"), "relay.example.org"),
        (("*.example.org", "::1"), "[::1]"),
    ):
        relay = await start_relay(reactor, certificate=RelayCertificate(*authority.issue(*names)))
        assert relay.url == f"wss://{host}:{relay.port}/v1"
        await relay.stop()
