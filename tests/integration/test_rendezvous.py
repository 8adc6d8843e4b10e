from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from spake2 import SPAKE2_Symmetric
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.threads import deferToThread

from support.values import replace
from support.wormholes import Cable, Stranger, both, handed_over, proposal, sleep, stranger, until
from wormsig.errors import StorageError
from wormsig.journal.secrets import ResumeSecrets
from wormsig.transport import agenda
from wormsig.transport.connector import Connector
from wormsig.transport.errors import SameRoleError
from wormsig.transport.limits import Limits
from wormsig.transport.notices import Notice
from wormsig.transport.places import Place, meeting_place
from wormsig.transport.relay import start_relay
from wormsig.transport.rendezvous import Rendezvous

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.transport.channel import Channel

SECRET, OLDER = bytes(range(32)), bytes(range(32, 64))
FAST = Limits(connect=20, meeting=1.5, stagger=0.3, replay=0.4, close=0.5, heartbeat=30)
SOON = 25.0
"""Seconds within which both meet: less than `agenda.RENEW`, after which they would in any case."""
A_MINUTE = 60.0
"""Seconds within which a process that was killed is met again (docs/wire-format.md), its start included: where this is
waited for, places are not gone to anew (`rarely`), so that nothing but what is tested can bring both together."""
OTHER = {"coordinator": "cosigner", "cosigner": "coordinator"}


class Side:
    """One side of a pair, with a cable of its own and a file of secrets that outlives it."""

    def __init__(self, port: int, role: Any, folder: Path, *secrets: bytes, limits: Limits = FAST) -> None:
        self.port = port
        self.role = role
        self.limits = limits
        self.secrets = ResumeSecrets(folder, "ceremony", role)
        for secret in secrets or (SECRET,):
            self.secrets.keep(secret)
        self.notices: list[Notice] = []
        self.start()

    def start(self) -> None:
        self.cable = Cable(self.port)
        connector = Connector(reactor, self.cable.url, role=self.role, limits=self.limits)
        self.rendezvous = Rendezvous(connector, self.secrets)
        self.rendezvous.on_notice = self.notices.append
        self.waiting: Deferred[Channel] | None = None

    def meet(self) -> Deferred[Channel]:
        self.waiting = ensureDeferred(self.rendezvous.meet())
        return self.waiting

    async def stop(self) -> None:
        """Ctrl-C: everything is left in good order."""
        assert self.waiting is not None
        self.waiting.cancel()
        with pytest.raises(CancelledError):
            await self.waiting
        self.waiting = None

    async def die(self) -> None:
        """SIGKILL and power cut: the connection is gone, nothing is tidied up, the disk stays."""
        await self.cable.unplug()
        if self.waiting is not None and not self.waiting.called:
            await self.stop()
        self.start()

    async def waits(self, count: int = 2, secret: bytes = SECRET) -> None:
        """Until it waits at so many places."""
        await until(lambda: len(self.marks(secret)) >= count)
        await sleep(0.1)

    def marks(self, secret: bytes = SECRET) -> list[int]:
        return sorted(self.secrets.marked(secret))


def two(port: int, folder: Path) -> tuple[Side, Side]:
    return Side(port, "coordinator", folder / "a"), Side(port, "cosigner", folder / "b")


async def met(one: Side, other: Side, limit: float = SOON) -> tuple[Channel, Channel]:
    """Both meet, and what one says the other hears."""
    waiting = [side.waiting or side.meet() for side in (one, other)]  # they may have met by now
    one.waiting = other.waiting = None
    results: list[Any] = await both(*(each.addTimeout(limit, reactor) for each in waiting))
    for result in results:
        if isinstance(result, Exception):
            raise result
    alice, bob = results if one.role == "coordinator" else results[::-1]
    await handed_over(alice, bob, proposal(b"psbt"), b"psbt")
    return alice, bob


async def gone(*channels: Channel) -> None:
    await both(*(channel.close() for channel in channels))


@pytest.mark.parametrize("first", ["coordinator", "cosigner", "nobody"])
@pytest_twisted.ensureDeferred
async def test_they_meet_whoever_comes_first(relay, tmp_path: Path, first: str) -> None:
    alice, bob = two(relay.port, tmp_path)
    for side in (alice, bob):
        if side.role == first:
            side.meet()
            await side.waits()
    channels = await met(alice, bob)
    assert channels[0].verifier == channels[1].verifier
    assert channels[0].derive_key("resume") == channels[1].derive_key("resume")
    assert [channel.peer.role for channel in channels] == ["cosigner", "coordinator"]
    # Where they met stays marked, and nothing else.
    await until(lambda: len(alice.marks()) == len(bob.marks()) == 1, 10)
    assert alice.marks() == bob.marks()
    await gone(*channels)


@pytest.mark.parametrize("role", ["coordinator", "cosigner"])
@pytest_twisted.ensureDeferred
async def test_who_stops_in_good_order_leaves_nothing_behind(relay, tmp_path: Path, role: str) -> None:
    slow = replace(FAST, meeting=15)  # so long it would take to find out that nobody is where somebody was
    alice, bob = (Side(relay.port, who, tmp_path / who, limits=slow) for who in ("coordinator", "cosigner"))
    stopping, staying = (alice, bob) if role == "coordinator" else (bob, alice)
    stopping.meet()
    await stopping.waits()
    await stopping.stop()
    assert stopping.marks() == []
    assert relay.server._db.execute("SELECT COUNT(*) AS n FROM mailboxes").fetchone()["n"] == 0
    staying.meet()
    await staying.waits()
    started = reactor.seconds()
    channels = await met(alice, bob)
    assert reactor.seconds() - started < slow.meeting
    await gone(*channels)


@pytest_twisted.ensureDeferred
async def test_meeting_again_at_once_waits_for_the_places_to_be_left(relay, tmp_path: Path) -> None:
    alice = Side(relay.port, "coordinator", tmp_path)
    for _ in range(3):
        ended = alice.meet()
        await alice.waits()
        ended.cancel()
        ended.addErrback(lambda failure: failure.trap(CancelledError))
    ended = alice.meet()
    await until(lambda: alice.marks() == [], pause=0)
    await alice.waits()
    ended.cancel()
    ended.addErrback(lambda failure: failure.trap(CancelledError))
    await alice.rendezvous.left()
    assert alice.marks() == []
    alice.meet()
    await alice.waits()
    assert alice.marks() == [0, 1]
    await alice.stop()


@pytest.mark.parametrize("role", ["coordinator", "cosigner"])
@pytest_twisted.ensureDeferred
async def test_one_is_killed_while_it_waits(relay, tmp_path: Path, role: str) -> None:
    alice, bob = two(relay.port, tmp_path)
    killed, other = (alice, bob) if role == "coordinator" else (bob, alice)
    killed.meet()
    await killed.waits()
    await killed.die()
    assert killed.marks() == [0, 1]
    killed.meet()
    await killed.waits(4)
    channels = await met(killed, other)
    assert set(killed.marks()) & set(other.marks()) & {2, 3}
    await gone(*channels)


@pytest_twisted.ensureDeferred
async def test_both_are_killed_while_they_wait(relay, tmp_path: Path) -> None:
    alice, bob = two(relay.port, tmp_path)
    for side in (alice, bob):
        side.meet()
        await side.waits()
        await side.die()
    await gone(*(await met(alice, bob)))


@pytest.mark.parametrize("role", ["coordinator", "cosigner"])
@pytest_twisted.ensureDeferred
async def test_one_is_killed_three_times_while_the_other_listens(relay, tmp_path: Path, role: str) -> None:
    alice, bob = two(relay.port, tmp_path)
    killed, other = (alice, bob) if role == "coordinator" else (bob, alice)
    for _ in range(3):
        alice_channel, bob_channel = await met(alice, bob)
        await killed.die()
        other.meet()  # beside its channel, which is dead and does not know it
        await sleep(0.2)
        await gone(alice_channel, bob_channel)
    await gone(*(await met(alice, bob)))


@pytest_twisted.ensureDeferred
async def test_one_died_in_the_middle_of_the_handshake_with_a_listener(relay, tmp_path: Path) -> None:
    alice, bob = two(relay.port, tmp_path)
    bob.meet()
    await bob.waits()
    for number in (0, 1):
        await half_a_handshake(relay.url, meeting_place(SECRET, number))
        alice.secrets.mark(SECRET, number)
    channels = await met(alice, bob)
    assert set(alice.marks()) & set(bob.marks()) & {2, 3}
    await gone(*channels)


async def at_place(url: str, place: Place, side: str = "spoiler") -> Stranger:
    """Somebody who knows appid and nameplate, as the relay's operator does."""
    socket = await stranger(url, side, bind=False)
    socket.say("bind", appid=place.appid, side=side)
    await socket.claim(place.code)
    return socket


async def half_a_handshake(url: str, place: Place) -> None:
    """What a side leaves behind that dies after its first message."""
    dead = await at_place(url, place, "dead")
    exchange = SPAKE2_Symmetric(place.code.encode(), idSymmetric=place.appid.encode())
    dead.say("add", phase="pake", body=_pake(exchange))
    await dead.heard("message")
    dead.dropConnection(abort=True)


def _pake(exchange: Any) -> str:
    return ('{"pake_v1": "' + exchange.start().hex() + '"}').encode().hex()


@pytest_twisted.ensureDeferred
async def test_the_relay_restarts_while_one_waits(tmp_path: Path) -> None:
    relay = await start_relay(reactor)
    alice, bob = two(relay.port, tmp_path)
    alice.meet()
    await alice.waits()
    await relay.stop()
    await sleep(0.2)
    relay = await start_relay(reactor, port=relay.port)
    await until(lambda: Notice.RELAY_UP in alice.notices)
    channels = await met(alice, bob)
    assert alice.notices == [Notice.RELAY_DOWN, Notice.RELAY_UP]
    assert set(alice.marks()) <= {0, 1}
    await gone(*channels)
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_the_relay_is_away_while_both_wait(tmp_path: Path) -> None:
    relay = await start_relay(reactor)
    await relay.stop()
    alice, bob = two(relay.port, tmp_path)
    alice.meet()
    bob.meet()
    await sleep(1.5)
    assert alice.notices == bob.notices == [Notice.RELAY_DOWN], "told once"
    assert alice.marks() == bob.marks() == [], "nobody was anywhere"
    relay = await start_relay(reactor, port=relay.port)
    await gone(*(await met(alice, bob)))
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_the_relay_restarts_with_its_database_while_both_are_cut_off(tmp_path: Path) -> None:
    relay = await start_relay(reactor, db=tmp_path / "relay.sqlite")
    alice, bob = two(relay.port, tmp_path)
    alice.meet()
    await alice.waits()
    await alice.cable.unplug()
    bob.meet()
    await bob.waits()  # has answered to what the coordinator left there, and so the coordinator will find a pairing
    await bob.cable.unplug()
    await relay.stop()
    relay = await start_relay(reactor, port=relay.port, db=tmp_path / "relay.sqlite")
    alice.cable.plug_in()
    bob.cable.plug_in()
    await gone(*(await met(alice, bob)))
    await relay.stop()


@pytest.mark.parametrize("early", ["coordinator", "cosigner", "nobody"])
@pytest_twisted.ensureDeferred
async def test_a_relay_that_spoils_places_does_not_keep_them_apart(relay, tmp_path: Path, early: str) -> None:
    alice, bob = two(relay.port, tmp_path)
    for side in (alice, bob):
        if side.role == early:
            side.meet()
            await side.waits()
    spoilers = []
    for number in (0, 1, 2):
        place = meeting_place(SECRET, number)
        spoiler = await at_place(relay.url, place)
        wrong = SPAKE2_Symmetric(b"not the password", idSymmetric=place.appid.encode())
        spoiler.say("add", phase="pake", body=_pake(wrong))
        spoiler.say("add", phase="version", body="00" * 40)
        spoilers.append(spoiler)
    await gone(*(await met(alice, bob)))
    for spoiler in spoilers:
        spoiler.sendClose()


@pytest_twisted.ensureDeferred
async def test_a_place_that_was_spoilt_is_tried_again(relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "REVISIT", 1.0)
    monkeypatch.setattr("wormsig.transport.rendezvous.LOOK", 0.2)
    alice, bob = two(relay.port, tmp_path)
    alice.meet()
    await alice.waits()
    for number in (0, 1, 2, 3):  # and then they leave, so that the cosigner finds nothing where it begins
        place = meeting_place(SECRET, number)
        spoiler = await at_place(relay.url, place)
        spoiler.say("add", phase="pake", body="00")
        await until(lambda number=number: number + 2 in alice.marks())
        spoiler.say("close", mood="scary")
        await spoiler.heard("closed")
        spoiler.sendClose()
    await gone(*(await met(alice, bob)))


@pytest.mark.parametrize(
    ("coordinators", "cosigners"), [((OLDER, SECRET), (OLDER,)), ((OLDER, SECRET), (SECRET,)), ((SECRET,), (SECRET,))]
)
@pytest_twisted.ensureDeferred
async def test_a_crash_between_the_two_sides_keeping_a_secret(
    relay, tmp_path: Path, coordinators: tuple[bytes, ...], cosigners: tuple[bytes, ...]
) -> None:
    alice = Side(relay.port, "coordinator", tmp_path / "a", *coordinators)
    bob = Side(relay.port, "cosigner", tmp_path / "b", *cosigners)
    await gone(*(await met(alice, bob)))


@pytest_twisted.ensureDeferred
async def test_two_of_one_kind_are_told(relay, tmp_path: Path) -> None:
    one, other = (Side(relay.port, "cosigner", tmp_path / name) for name in "ab")
    results = await both(one.meet(), other.meet())
    assert all(isinstance(result, SameRoleError) for result in results)


@pytest_twisted.ensureDeferred
async def test_a_disk_that_does_not_take_a_mark_ends_it(relay, tmp_path: Path) -> None:
    alice = Side(relay.port, "coordinator", tmp_path)
    alice.secrets._new.mkdir()  # where the next version of the file would be written
    with pytest.raises(StorageError, match="cannot be written"):
        await alice.meet()
    assert relay.server._db.execute("SELECT COUNT(*) AS n FROM mailboxes").fetchone()["n"] == 0
    alice.secrets._new.rmdir()
    alice.secrets.remove()
    with pytest.raises(StorageError, match="nothing by which"):
        await alice.meet()


@pytest.mark.parametrize("waits", [0, 1])
@pytest_twisted.ensureDeferred
async def test_a_secret_that_is_replaced_while_its_places_are_opened_ends_nothing(
    relay, tmp_path: Path, waits: int
) -> None:
    """What was said on a channel that was silent for long gives a newer one, while the other side is looked for."""
    alice, bob = Side(relay.port, "coordinator", tmp_path / "a", OLDER), Side(relay.port, "cosigner", tmp_path / "b")
    for side in (alice, bob):
        side.secrets.keep(OLDER)
        side.secrets.settle()
        side.meet()
        if waits:
            await side.waits(waits, OLDER)
        side.secrets.keep(SECRET)
        side.secrets.settle()
    await gone(*await met(alice, bob))
    assert alice.marks(OLDER) == bob.marks(OLDER) == []


@pytest_twisted.ensureDeferred
async def test_who_waits_without_a_channel_says_nothing_to_strangers(relay, tmp_path: Path) -> None:
    alice = Side(relay.port, "coordinator", tmp_path)
    alice.meet()
    await alice.waits()
    place = meeting_place(SECRET, 0)
    spoiler = await at_place(relay.url, place)
    assert (await spoiler.heard("message"))["phase"] == "pake"
    await sleep(0.2)
    phases = {row["phase"] for row in relay.server._db.execute("SELECT phase FROM messages").fetchall()}
    assert phases == {"pake"}
    assert alice.notices == []
    await alice.stop()
    spoiler.sendClose()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is alone goes to spare places soon."""
    monkeypatch.setattr(agenda, "APART", 1.5)


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place where nobody came is gone to anew much later than anybody here waits."""
    monkeypatch.setattr(agenda, "RENEW", 300.0)


@pytest.mark.parametrize("role", ["coordinator", "cosigner"])
@pytest.mark.usefixtures("brief")
@pytest_twisted.ensureDeferred
async def test_two_lives_that_said_nothing_where_the_other_waits(relay, tmp_path: Path, role: str) -> None:
    alice, bob = two(relay.port, tmp_path)
    killed, other = (alice, bob) if role == "coordinator" else (bob, alice)
    other.meet()
    await other.waits()
    for number in (0, 1):  # nobody can see them there, and nobody else is let in
        silent = await at_place(relay.url, meeting_place(SECRET, number), f"dead{number}")
        silent.dropConnection(abort=True)
        killed.secrets.mark(SECRET, number)
    started = reactor.seconds()
    channels = await met(alice, bob)
    assert reactor.seconds() - started < SOON
    assert agenda.SPARE in killed.marks()
    assert agenda.SPARE in other.marks()
    await gone(*channels)


@pytest_twisted.ensureDeferred
async def test_who_comes_anew_finds_out_who_died_in_silence(
    relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda, "RENEW", 0.5)
    monkeypatch.setattr("wormsig.transport.rendezvous.LOOK", 0.2)
    alice = Side(relay.port, "coordinator", tmp_path / "a")
    alice.meet()
    await alice.waits()
    silent = await at_place(relay.url, meeting_place(SECRET, 0), "dead")
    silent.dropConnection(abort=True)
    await until(lambda: {0, 1, 2} <= set(alice.marks()))
    await sleep(2)
    assert 0 in alice.marks(), "the relay does not let it in again, so that it stays away"
    bob = Side(relay.port, "cosigner", tmp_path / "b")
    bob.secrets.mark(SECRET, 0)
    bob.secrets.mark(SECRET, 1)
    await gone(*(await met(alice, bob)))
    assert 2 in set(alice.marks()) & set(bob.marks())


PROCESS = """
import os
import signal
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from wormhole._rendezvous import RendezvousConnector
from wormsig.journal.secrets import ResumeSecrets
from wormsig.transport import agenda
from wormsig.transport.connector import Connector
from wormsig.transport.limits import Limits
from wormsig.transport.rendezvous import Rendezvous

url, role, folder, digest, *dies = sys.argv[1:]
kept = ResumeSecrets(Path(folder), "ceremony", role)
kept.trust([digest])
agenda.APART = 1.5
agenda.RENEW = 300.0

def then_dies(owner, name):
    whole = getattr(owner, name)
    def deadly(*args):
        whole(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, deadly)

if "marked" in dies:
    then_dies(ResumeSecrets, "mark")
if "let in" in dies:  # the relay has said so, and has heard nothing yet
    then_dies(RendezvousConnector, "_response_handle_claimed")

async def main():
    channel = await Rendezvous(Connector(reactor, url, role=role, limits=Limits(meeting=5, stagger=0.3)), kept).meet()
    print("met", channel.verifier.hex(), flush=True)

reactor.callWhenRunning(lambda: ensureDeferred(main()))
reactor.run()
"""


def process(url: str, side: Side, *dies: str) -> subprocess.Popen[str]:
    arguments = [url, side.role, str(side.secrets._folder), next(iter(side.secrets._trusted)), *dies]
    return subprocess.Popen([sys.executable, "-c", PROCESS, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("role", ["coordinator", "cosigner"])
@pytest.mark.usefixtures("rarely")
@pytest_twisted.ensureDeferred
async def test_a_process_that_is_really_killed_is_met_again(relay, tmp_path: Path, role: str) -> None:
    other = Side(relay.port, OTHER[role], tmp_path / "other")
    kept = Side(relay.port, role, tmp_path / "killed")  # for its file
    victim = process(relay.url, kept)
    await until(lambda: len(kept.marks()) == 2)
    await sleep(0.1)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    other.meet()
    again = process(relay.url, kept)
    try:
        channel = await other.waiting.addTimeout(A_MINUTE, reactor)
        said: Deferred[str] = Deferred()
        reactor.callInThread(lambda: reactor.callFromThread(said.callback, again.stdout.readline()))
        assert (await said).split() == ["met", channel.verifier.hex()]
        await channel.close()
    finally:
        again.kill()
        again.wait()


@pytest.mark.parametrize("points", [("marked", "marked"), ("let in", "let in"), ("marked", "let in")])
@pytest.mark.parametrize("role", ["coordinator", "cosigner"])
@pytest.mark.usefixtures("brief", "rarely")
@pytest_twisted.ensureDeferred
async def test_two_kills_one_after_the_other_while_a_place_is_being_opened(
    relay, tmp_path: Path, role: str, points: tuple[str, ...]
) -> None:
    patient = replace(FAST, meeting=5)  # longer than a busy machine keeps a process waiting
    other = Side(relay.port, OTHER[role], tmp_path / "other", limits=patient)
    kept = Side(relay.port, role, tmp_path / "killed")  # for its file
    other.meet()
    await other.waits()
    for count, point in enumerate(points, 1):
        victim = process(relay.url, kept, point)
        assert await deferToThread(victim.wait) == -signal.SIGKILL
        assert len(kept.marks()) == count, "one place each, so that both of the other side's are taken"
    again = process(relay.url, kept)
    try:
        channel = await other.waiting.addTimeout(A_MINUTE, reactor)
        assert (await deferToThread(again.stdout.readline)).split() == ["met", channel.verifier.hex()]
        assert agenda.SPARE in kept.marks()
        await channel.close()
    finally:
        again.kill()
        again.wait()
