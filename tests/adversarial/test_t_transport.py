"""THREATS, section T, and the rows of R that a peer's connection can carry: hostile peers over a real relay."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spake2 import SPAKE2_Symmetric
from twisted.internet import protocol, reactor
from twisted.internet.defer import ensureDeferred
from wormhole_mailbox_server.server import SidedMessage

from support.wormholes import (
    HELLO,
    Cable,
    both,
    contribution,
    coordinator,
    cosigner,
    handed_over,
    hostile_cosigner,
    impostor,
    next_letter,
    pair,
    proposal,
    sleep,
    stock_wormhole,
    stranger,
    until,
)
from wormsig.ceremony import messages, wire
from wormsig.errors import ExitCode, PeerError
from wormsig.transport.errors import (
    CrowdedError,
    PairingTimeoutError,
    PeerGoneError,
    RelayRefusedError,
    SameRoleError,
    TamperedError,
    VersionError,
    WrongCodeError,
)
from wormsig.transport.library import APPID, MAX_FRAME
from wormsig.transport.limits import Limits
from wormsig.transport.relay import start_relay


@pytest.fixture
def relay():
    running = pytest_twisted.blockon(ensureDeferred(start_relay(reactor)))
    yield running
    pytest_twisted.blockon(ensureDeferred(running.stop()))


async def refused_by_peer(channel: Any) -> PeerError:
    error = (await both(channel.receive()))[0]
    assert isinstance(error, PeerError), error
    assert error.exit_code == ExitCode.PEER
    assert not channel._intake.waiting
    return error


# T1: a wrong code.


@pytest_twisted.ensureDeferred
async def test_t1_a_wrong_code_is_told_to_both_sides_at_once(relay) -> None:
    waiting = await coordinator(relay.url, limits=Limits()).allocate()
    entered = await cosigner(relay.url, limits=Limits()).use_code(waiting.code + "-wrong")
    started = reactor.seconds()
    for result in await both(waiting.paired(), entered.paired()):
        assert isinstance(result, WrongCodeError)
        assert result.exit_code == ExitCode.TRANSPORT
        assert result.counts
        assert "new one" in (result.hint or "")
    assert reactor.seconds() - started < 3


@pytest_twisted.ensureDeferred
async def test_t1_a_burned_code_is_worthless_even_with_the_right_words(relay) -> None:
    waiting = await coordinator(relay.url).allocate()
    guess = await cosigner(relay.url).use_code(waiting.code + "-guess")
    await both(waiting.paired(), guess.paired())
    genuine = await cosigner(relay.url, limits=Limits(entry=0.3, close=1)).use_code(waiting.code)
    with pytest.raises(PairingTimeoutError):
        await genuine.paired()


@pytest_twisted.ensureDeferred
async def test_t1_a_guesser_who_says_no_more_than_needed_is_noticed(relay) -> None:
    # The guesser runs the key exchange, checks the guess against our confirmation, and never sends one.
    waiting = await coordinator(relay.url).allocate()
    pairing = ensureDeferred(waiting.paired())
    guesser = await stranger(relay.url)
    await guesser.claim(waiting.code)
    pake = await guesser.heard("message")
    assert pake["phase"] == "pake"
    guess = SPAKE2_Symmetric(b"7-wrong-guess", idSymmetric=APPID.encode())
    guesser.say("add", phase="pake", body=json.dumps({"pake_v1": guess.start().hex()}).encode().hex())
    with pytest.raises(WrongCodeError, match="did not prove") as caught:
        await pairing
    assert caught.value.counts
    guesser.sendClose()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "zz",
        b"{}".hex(),
        b"[]".hex(),
        b"\xff".hex(),
        b'{"pake_v1": "00"}'.hex(),
        b'{"pake_v1": 7}'.hex(),
        "ab" * 500,
    ],
)
@pytest_twisted.ensureDeferred
async def test_t1_nonsense_in_the_key_exchange_burns_the_code_and_no_more(body: str, relay, capfd) -> None:
    waiting = await coordinator(relay.url).allocate()
    pairing = ensureDeferred(waiting.paired())
    other = await stranger(relay.url)
    await other.claim(waiting.code)
    other.say("add", phase="pake", body=body)
    with pytest.raises(WrongCodeError):
        await pairing
    assert capfd.readouterr().out == ""
    other.sendClose()


# T2: crowded.


@pytest_twisted.ensureDeferred
async def test_t2_a_stranger_takes_the_code_first_and_sits_still(relay) -> None:
    limits = Limits(pairing=4, close=1)
    waiting = await coordinator(relay.url, limits=limits).allocate()
    pairing = ensureDeferred(waiting.paired())
    squatter = await stranger(relay.url)
    await squatter.claim(waiting.code)
    genuine = await cosigner(relay.url, limits=limits).use_code(waiting.code)
    started = reactor.seconds()
    with pytest.raises(CrowdedError) as caught:
        await genuine.paired()
    assert caught.value.counts
    assert reactor.seconds() - started < 4
    with pytest.raises(PairingTimeoutError) as late:
        await pairing
    assert "stranger" in (late.value.hint or "")
    squatter.sendClose()


@pytest_twisted.ensureDeferred
async def test_t2_two_cosigners_with_one_code_one_is_told_and_nobody_hangs(relay) -> None:
    waiting = await coordinator(relay.url).use_code("4-some-words")
    first = await cosigner(relay.url).use_code("4-some-words")
    second = await cosigner(relay.url).use_code("4-some-words")
    alice, bob, late = await both(waiting.paired(), first.paired(), second.paired())
    assert isinstance(late, CrowdedError | PairingTimeoutError)
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_t2_crowding_a_code_that_is_in_use_ends_nothing_that_runs(relay) -> None:
    alice, bob = await pair(relay.url)
    mailbox = relay.server._db.execute("SELECT id FROM mailboxes").fetchone()["id"]
    other = await stranger(relay.url)
    other.say("open", mailbox=mailbox)
    assert (await other.heard("error"))["error"] == "crowded"
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())
    other.sendClose()


@pytest_twisted.ensureDeferred
async def test_t2_after_crowding_a_lost_connection_is_told_and_not_waited_for(relay) -> None:
    cable = Cable(relay.port)
    waiting = await coordinator(cable.url, limits=Limits(heartbeat=0.1, close=1)).allocate()
    entered = await cosigner(relay.url).use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    other = await stranger(relay.url)
    other.say("open", mailbox=relay.server._db.execute("SELECT id FROM mailboxes").fetchone()["id"])
    await other.heard("error")
    cable.pull()
    refused, left = await both(alice.receive(), bob.receive())
    assert isinstance(refused, RelayRefusedError)
    assert "stranger" in refused.message
    assert refused.resumable
    assert isinstance(left, PeerGoneError)
    await both(alice.close(), bob.close())
    other.sendClose()
    await cable.unplug()


@pytest_twisted.ensureDeferred
async def test_t2_a_coordinator_who_lost_the_connection_is_told_that_the_code_is_crowded(relay) -> None:
    cable = Cable(relay.port)
    waiting = await coordinator(cable.url, limits=Limits(close=1)).allocate()
    pairing = ensureDeferred(both(waiting.paired()))
    strangers = [await stranger(relay.url, side) for side in ("one", "two")]
    await sleep(0.1)
    await strangers[0].claim(waiting.code)
    strangers[1].say("claim", nameplate=waiting.code.partition("-")[0])
    await strangers[1].heard("error")
    cable.pull()
    assert isinstance((await pairing)[0], CrowdedError)
    for each in strangers:
        each.sendClose()
    await cable.unplug()


# T3: the relay vanishes, restarts, forgets (see tests/integration/test_pairing.py and test_channel.py for the rest).


@pytest_twisted.ensureDeferred
async def test_t3_a_cable_pulled_again_and_again_loses_nothing() -> None:
    relay = await start_relay(reactor)
    cable = Cable(relay.port)
    waiting = await coordinator(cable.url, limits=Limits(close=1)).allocate()
    entered = await cosigner(relay.url, limits=Limits(close=1)).use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    obj = os.urandom(2_000_000)
    delivering = ensureDeferred(alice.deliver(proposal(obj), obj))
    for _ in range(2):
        await sleep(0.15)
        cable.pull()
    received = await bob.receive()
    assert received.obj == obj
    bob.acknowledge(received)
    await delivering
    await both(alice.close(), bob.close())
    await cable.unplug()
    await relay.stop()


# T4: the relay, or somebody who knows the mailbox, replays, reorders, drops, invents.


@pytest.mark.parametrize("phase", ["0", "version", "pake"])
@pytest_twisted.ensureDeferred
async def test_t4_a_replayed_message_is_not_read_again(phase: str, relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits(close=1))
    await handed_over(alice, bob, proposal(b"x"), b"x")
    replay(relay, phase)
    await handed_over(alice, bob, proposal(b"y"), b"y")
    await both(alice.close(), bob.close())


@pytest.mark.parametrize("phase", ["2", "7"])
@pytest_twisted.ensureDeferred
async def test_t4_a_message_moved_to_another_place_ends_the_channel(phase: str, relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits(close=1))
    await handed_over(alice, bob, proposal(b"x"), b"x")
    replay(relay, phase)
    for channel in (alice, bob):
        with pytest.raises(TamperedError):
            await channel.receive()
    await both(alice.close(), bob.close())


def replay(relay: Any, phase: str) -> None:
    """The relay repeats somebody's first message under another phase, as from both sides."""
    row = relay.server._db.execute("SELECT * FROM messages WHERE phase = '0'").fetchone()
    mailbox = relay.server.get_app(APPID)._mailboxes[row["mailbox_id"]]
    for side in {one["side"] for one in relay.server._db.execute("SELECT side FROM mailbox_sides")}:
        mailbox.broadcast_message(SidedMessage(side, phase, row["body"], 0, "id"))


@pytest_twisted.ensureDeferred
async def test_t4_a_relay_that_drops_messages_is_noticed(relay) -> None:
    alice, bob = await pair(relay.url)
    mailbox = next(iter(relay.server.get_app(APPID)._mailboxes.values()))
    mailbox.add_message = lambda _: None
    results = await both(alice.deliver(proposal(b"x"), b"x"), bob.receive())
    assert all(isinstance(result, PeerGoneError) for result in results)
    await both(alice.close(), bob.close())


class Babbler(protocol.Protocol):
    """A relay that answers a WebSocket handshake and then says what it likes."""

    says: bytes = b""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  Twisted's name
        if b"Sec-WebSocket-Key: " not in data:
            return
        key = data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324  RFC 6455
        accept = base64.b64encode(digest)
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + bytes([0x81, len(self.says)]) + self.says
        )


@pytest.mark.parametrize(
    "says", [b"hello", b"[]", b"{}", b'{"type": "welcome"}', b'{"type": "claimed", "mailbox": 7}', b"\xff\xfe"]
)
@pytest_twisted.ensureDeferred
async def test_t4_a_relay_that_babbles_is_told_apart_from_a_peer(says: bytes, capfd) -> None:
    factory = protocol.Factory.forProtocol(type("Saying", (Babbler,), {"says": says}))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    connector = coordinator(f"ws://127.0.0.1:{port.getHost().port}/v1", limits=Limits(connect=0.5, close=0.2))
    with pytest.raises(Exception) as caught:  # noqa: PT011  asserted below
        await connector.allocate()
    assert caught.value.exit_code == ExitCode.TRANSPORT
    assert capfd.readouterr().out == ""
    await port.stopListening()


# T5: another version, or garbage.


@pytest.mark.parametrize(
    "versions",
    [
        {},
        {"transfer": {}},
        {"wormsig": None},
        {"wormsig": 7},
        {"wormsig": {}},
        {"wormsig": {**HELLO["wormsig"], "protocols": [2, 3]}},
        {"wormsig": {**HELLO["wormsig"], "protocols": []}},
        {"wormsig": {**HELLO["wormsig"], "protocols": ["1"]}},
        {"wormsig": {**HELLO["wormsig"], "role": "admin"}},
        {"wormsig": {**HELLO["wormsig"], "version": "v" * 100}},
        {"wormsig": {**HELLO["wormsig"], "verify": "yes"}},
    ],
)
@pytest_twisted.ensureDeferred
async def test_t5_a_peer_of_another_kind_gets_no_psbt(versions: dict[str, Any], relay) -> None:
    waiting = await coordinator(relay.url).allocate()
    hostile = stock_wormhole(relay.url, versions)
    hostile.set_code(waiting.code)
    result, _ = await both(waiting.paired(), hostile.get_versions())
    assert isinstance(result, VersionError)
    assert result.exit_code == ExitCode.PEER
    # Nothing but the handshake was ever in the mailbox.
    phases = {row["phase"] for row in relay.server._db.execute("SELECT phase FROM messages")}
    assert phases <= {"pake", "version"}
    await both(hostile.close())


@pytest_twisted.ensureDeferred
async def test_t5_no_common_protocol_and_equal_roles_are_told_to_both_sides(relay) -> None:
    waiting = await coordinator(relay.url).allocate()
    other = await coordinator(relay.url).use_code(waiting.code)
    for result in await both(waiting.paired(), other.paired()):
        assert isinstance(result, SameRoleError)
        assert result.exit_code == ExitCode.PEER


@pytest.mark.parametrize(
    "versions",
    [b"[]", b"7", b"not json", b'{"app_versions": 7}', b'{"app_versions": [1]}', b"\xff", b'{"app_versions": {}}'],
)
@pytest_twisted.ensureDeferred
async def test_t5_a_version_message_that_is_none(versions: bytes, relay, capfd) -> None:
    waiting = await coordinator(relay.url).allocate()
    pairing = ensureDeferred(waiting.paired())
    hostile = await impostor(relay.url, waiting.code)
    hostile.send("version", versions)
    with pytest.raises(PeerError) as caught:
        await pairing
    assert caught.value.exit_code == ExitCode.PEER
    assert capfd.readouterr().out == ""
    hostile.socket.sendClose()


@pytest_twisted.ensureDeferred
async def test_t5_letters_before_the_version_agreement_are_not_read(relay) -> None:
    waiting = await coordinator(relay.url).allocate()
    pairing = ensureDeferred(waiting.paired())
    hostile = await impostor(relay.url, waiting.code)
    hostile.send("0", wire.encode(messages.Decline(ceremony="ab" * 16, reason="early")))
    hostile.send("version", json.dumps({"app_versions": {"wormsig": {"protocols": [99]}}}).encode())
    with pytest.raises(VersionError):
        await pairing
    hostile.socket.sendClose()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff" * 600,
        b'{"type":"proposal"}',
        b'{"type":"ping","type":"ping"}',
        b'{"type":"invite","file":"../../.ssh/id_rsa"}',
        b"[" * 50_000,
        b'{"reason":"' + b"x" * 340_000 + b'","type":"bye"}',
    ],
)
@pytest_twisted.ensureDeferred
async def test_t5_garbage_ends_the_channel_and_is_told(data: bytes, relay) -> None:
    channel, hostile = await hostile_cosigner(relay.url)
    hostile.send_message(data)
    await refused_by_peer(channel)
    goodbye = await next_letter(hostile)
    assert isinstance(goodbye, messages.Bye)
    assert "not part of the protocol" in goodbye.reason
    await both(channel.close(), hostile.close())


GARBAGE = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda fields: json.dumps(fields, sort_keys=True, separators=(",", ":")).encode(),
        st.dictionaries(
            st.sampled_from(["type", "ceremony", "psbt", "state", "of", "reason", "form", "data", "seq", "sha256"]),
            st.sampled_from(["progress", "chunk", "ack", "ab" * 16, "ab" * 32, "signing", 0, -1, None, 1.5, []]),
            max_size=4,
        ),
    ),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=GARBAGE)
@pytest_twisted.ensureDeferred
async def test_t5_whatever_a_peer_sends_is_a_peers_error(relay, data: bytes) -> None:
    channel, hostile = await hostile_cosigner(relay.url)
    hostile.send_message(data)
    try:
        harmless = isinstance(wire.decode(data), messages.Ping | messages.Ack | messages.Progress)
    except PeerError:
        harmless = False
    if not harmless:
        await refused_by_peer(channel)
    await both(channel.close(), hostile.close())


# T6: file names.


def test_t6_no_message_has_room_for_a_file_name() -> None:
    names = {field for kind in messages.Message.__args__ for field in kind.__struct_fields__}
    assert not names & {"file", "filename", "name", "path", "directory"}
    with pytest.raises(PeerError):
        wire.decode(b'{"ceremony":"' + b"ab" * 16 + b'","filename":"../x","reason":"","type":"decline"}')


# T8: what the relay learns.


@pytest_twisted.ensureDeferred
async def test_t8_our_relay_does_not_list_nameplates(relay) -> None:
    waiting = await coordinator(relay.url).allocate()
    curious = await stranger(relay.url)
    curious.say("list")
    assert (await curious.heard("nameplates"))["nameplates"] == []
    await waiting.abandon()
    curious.sendClose()


@pytest_twisted.ensureDeferred
async def test_t8_the_relay_sees_size_classes_only(relay) -> None:
    seen: set[int] = set()
    alice, bob = await pair(relay.url, limits=Limits(close=1))
    for size in (1, 300, 900, 1400):
        obj = os.urandom(size)
        await handed_over(alice, bob, proposal(obj, note="n" * (size // 10)), obj)
    bob.progress("ab" * 16, "signing")
    await until(lambda: alice._intake.waiting)
    for row in relay.server._db.execute("SELECT body FROM messages WHERE phase NOT IN ('pake', 'version')"):
        seen.add(len(row["body"]) // 2 - 40)
    assert seen <= set(wire.BUCKETS[:2])
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_t8_nothing_readable_reaches_the_relays_disk(tmp_path) -> None:
    relay = await start_relay(reactor, db=tmp_path / "relay.sqlite")
    alice, bob = await pair(relay.url, limits=Limits(close=1))
    await handed_over(alice, bob, proposal(b"psbt\xffsecret", note="secret note"), b"psbt\xffsecret")
    on_disk = b"".join(path.read_bytes() for path in tmp_path.glob("relay.sqlite*"))  # the journal beside it too
    assert len(on_disk) > 10_000
    for secret in (b"secret", b"secret".hex().encode(), b"proposal".hex().encode()):
        assert secret not in on_disk
    await both(alice.close(), bob.close())
    await relay.stop()
    left = sqlite3.connect(tmp_path / "relay.sqlite").execute("SELECT count(*) FROM messages").fetchone()
    assert left == (0,)


# R10: answers that are huge, endless, slow, or never come.


@pytest_twisted.ensureDeferred
async def test_r10_a_message_longer_than_any_is_cut_off_by_the_socket(relay) -> None:
    channel, hostile = await hostile_cosigner(relay.url)
    hostile.send_message(b" " * MAX_FRAME)
    await refused_by_peer(channel)
    await both(channel.close(), hostile.close())


@pytest_twisted.ensureDeferred
async def test_r10_an_object_bigger_than_announced_or_allowed(relay) -> None:
    for letter, chunk in [
        (contribution(b"abc"), messages.Chunk(sha256=contribution(b"abc").psbt.sha256, seq=0, data=b"abcd")),
        (contribution(b"abc"), messages.Chunk(sha256="00" * 32, seq=0, data=b"abc")),
        (contribution(b"abc"), messages.Chunk(sha256=contribution(b"abc").psbt.sha256, seq=0, data=b"abd")),
    ]:
        channel, hostile = await hostile_cosigner(relay.url)
        hostile.send_message(wire.encode(letter))
        hostile.send_message(wire.encode(chunk))
        await refused_by_peer(channel)
        await both(channel.close(), hostile.close())


@pytest_twisted.ensureDeferred
async def test_r10_pieces_without_a_letter_and_letters_in_each_other(relay) -> None:
    piece = wire.encode(next(wire.chunks(b"abc")))
    decline = wire.encode(messages.Decline(ceremony="ab" * 16, reason=""))
    for sent in ([piece], [wire.encode(contribution(b"abc")), decline], [wire.encode(proposal(b"abc"))]):
        channel, hostile = await hostile_cosigner(relay.url)
        for data in sent:
            hostile.send_message(data)
        await refused_by_peer(channel)
        await both(channel.close(), hostile.close())


@pytest_twisted.ensureDeferred
async def test_r10_endless_letters_are_refused_and_not_kept(relay) -> None:
    channel, hostile = await hostile_cosigner(relay.url, limits=Limits(close=1))
    for i in range(40):
        hostile.send_message(wire.encode(messages.Decline(ceremony="ab" * 16, reason=str(i))))
    await until(lambda: channel._failure is not None)
    assert len(channel._intake.waiting) <= 16
    channel._intake.waiting.clear()
    with pytest.raises(PeerError, match="more than it may"):
        await channel.receive()
    await both(channel.close(), hostile.close())


@pytest_twisted.ensureDeferred
async def test_r10_a_thousand_words_of_progress_keep_one(relay) -> None:
    channel, hostile = await hostile_cosigner(relay.url, limits=Limits(close=1))
    word = wire.encode(messages.Progress(ceremony="ab" * 16, state="signing"))
    for _ in range(300):
        hostile.send_message(word)
    await until(lambda: channel._intake.waiting)
    await sleep(0.3)
    assert len(channel._intake.waiting) == 1
    await both(channel.close(), hostile.close())


@pytest_twisted.ensureDeferred
async def test_r10_a_peer_that_dies_half_way_through_an_object(relay) -> None:
    channel, hostile = await hostile_cosigner(relay.url)
    obj = os.urandom(600_000)
    hostile.send_message(wire.encode(contribution(obj)))
    hostile.send_message(wire.encode(next(wire.chunks(obj))))
    with pytest.raises(PeerGoneError):
        await channel.receive()
    assert not channel._intake.waiting
    await both(channel.close(), hostile.close())


@pytest_twisted.ensureDeferred
async def test_r10_one_hostile_cosigner_does_not_hold_up_another(relay) -> None:
    alice = coordinator(relay.url)
    for_mallory, for_bob = await alice.allocate(), await alice.allocate()
    mallory = stock_wormhole(relay.url, HELLO)
    mallory.set_code(for_mallory.code)
    entered = await cosigner(relay.url).use_code(for_bob.code)
    to_mallory, to_bob, bob = await both(for_mallory.paired(), for_bob.paired(), entered.paired())
    for _ in range(50):
        mallory.send_message(b"x" * 300_000)
    await handed_over(to_bob, bob, proposal(b"x"), b"x")
    await refused_by_peer(to_mallory)
    await both(to_mallory.close(), to_bob.close(), bob.close(), mallory.close())


# R11: replayed letters.


@pytest_twisted.ensureDeferred
async def test_r11_a_contribution_sent_again_is_acknowledged_and_not_handed_over_again(relay) -> None:
    channel, hostile = await hostile_cosigner(relay.url, limits=Limits(close=1))
    letter, piece = contribution(b"abc"), next(wire.chunks(b"abc"))
    for message in (letter, piece):
        hostile.send_message(wire.encode(message))
    received = await channel.receive()
    channel.acknowledge(received)
    for message in (letter, piece):
        hostile.send_message(wire.encode(message))
    for _ in range(2):
        assert await next_letter(hostile) == messages.Ack(of=wire.digest(letter))
    assert not channel._intake.waiting
    await both(channel.close(), hostile.close())


# The verifier.


@pytest_twisted.ensureDeferred
async def test_a_letter_before_both_compared_is_refused(relay) -> None:
    waiting = await coordinator(relay.url, verify=True).allocate()
    hostile = stock_wormhole(relay.url, HELLO)
    hostile.set_code(waiting.code)
    channel, _ = await both(waiting.paired(), hostile.get_versions())
    hostile.send_message(wire.encode(messages.Compared(same=True)))
    hostile.send_message(wire.encode(contribution(b"abc")))
    assert "compared" in (await refused_by_peer(channel)).message
    await both(channel.close(), hostile.close())
