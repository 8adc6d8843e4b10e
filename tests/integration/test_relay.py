from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor

from support.wormholes import Stranger, both, coordinator, cosigner, handed_over, pair, proposal, stranger, until
from wormsig.errors import StorageError
from wormsig.transport import relay as relay_module
from wormsig.transport.errors import ListenError
from wormsig.transport.limits import Limits
from wormsig.transport.relay import start_relay


def mailboxes(relay) -> int:
    return relay.server._db.execute("SELECT count(*) AS n FROM mailboxes").fetchone()["n"]


@pytest_twisted.ensureDeferred
async def test_a_channel_leaves_nothing_behind(relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits(close=2))
    assert mailboxes(relay) == 1
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    assert mailboxes(relay) == 0


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
    entered = await cosigner(relay.url).use_code("4-some-words")
    alice, bob = await both(waiting.paired(), entered.paired())
    await both(alice.close(), bob.close(), relay.stop())


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
    await until(lambda: other.state == Stranger.STATE_CLOSED)
