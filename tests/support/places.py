"""Two sides that look for each other, a relay and a clock, all simulated but the code that looks: `Rendezvous` itself.

Seconds cost nothing here, and a process can be killed between any two of its steps. What the mailbox server does with
mailboxes that somebody died in is as measured with the real one: a mailbox holds what the dead left, lets no third side
in, and is forgotten some time after nobody is connected any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred
from twisted.internet.task import Clock, deferLater

from wormsig.transport.errors import MissedError, PeerGoneError
from wormsig.transport.limits import Limits
from wormsig.transport.rendezvous import Rendezvous

SECRET = bytes(range(32))
START = 1_795_000_000.0
HOP = 0.1
"""Seconds from a side to the relay and back."""

FORGETS = 960.0
"""Seconds after which the relay has forgotten a mailbox where nobody is connected."""

AGAIN = 5.0
"""Seconds until somebody whose other side died after they had met looks for it again."""


class Disk:
    """The marks of one side, which outlive it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.marks: dict[int, float] = {}

    def secrets(self) -> tuple[bytes, ...]:
        return (SECRET,)

    def marked(self, _: bytes) -> dict[int, float]:
        return dict(self.marks)

    def mark(self, _: bytes, number: int) -> None:
        self.marks[number] = self.world.now()

    def unmark(self, _: bytes, number: int) -> None:
        self.marks.pop(number, None)


@dataclass(eq=False)
class Mailbox:
    """What the relay keeps of one place. A side that was ever in it stays one of the two."""

    sides: list[Visitor] = field(default_factory=list)
    closed: set[Visitor] = field(default_factory=set)
    left_alone: float = 0.0

    def dead(self, now: float) -> bool:
        """Whether it is forgotten, or was left in good order by everybody."""
        if any(side.life.alive and side not in self.closed for side in self.sides):
            self.left_alone = now
        return all(side in self.closed for side in self.sides) or now - self.left_alone > FORGETS


class World:
    """A relay, a clock and two sides."""

    def __init__(self) -> None:
        self.at = 0.0
        self.mailboxes: dict[str, Mailbox] = {}
        self.disks = {role: Disk(self) for role in ("coordinator", "cosigner")}
        self.lives: dict[str, Life] = {}
        self.graves: list[Life] = []  # kept, so that nothing of them is tidied up
        self.most = 0

    def now(self) -> float:
        return START + self.at

    def start(self, role: str) -> None:
        self.lives[role] = Life(self, role)

    def kill(self, role: str) -> None:
        """SIGKILL: nothing of it happens any more."""
        for mailbox in self.mailboxes.values():
            mailbox.dead(self.at)
        life = self.lives.pop(role)
        life.alive = False
        self.graves.append(life)

    def mailbox(self, code: str) -> Mailbox:
        kept = self.mailboxes.get(code)
        if kept is None or kept.dead(self.at):
            kept = self.mailboxes[code] = Mailbox(left_alone=self.at)
        return kept

    def run(self, seconds: float, *, until_met: bool = False) -> None:
        """Let time pass, from event to event."""
        end = self.at + seconds
        while not (until_met and self.met()):
            ahead = [call.getTime() for life in self.lives.values() for call in life.clock.getDelayedCalls()]
            step = min([end, *ahead])
            for life in list(self.lives.values()):
                life.clock.advance(max(step - life.clock.seconds(), 0.0))
            self.at = max(self.at, step)
            self.most = max([self.most, *(len(life.places) for life in self.lives.values())])
            if self.at >= end:
                return

    def met(self) -> bool:
        """Whether both know it, of each other."""
        channels = [life.channel for life in self.lives.values()]
        return len(channels) == 2 and all(one is not None and one.other in channels for one in channels)


class Life:
    """One process of one side."""

    def __init__(self, world: World, role: str) -> None:
        self.world = world
        self.role = role
        self.alive = True
        self.clock = Clock()
        self.clock.advance(world.at)
        self.reactor = self.clock
        self.limits = Limits()
        self.slot = DeferredSemaphore(8)
        self.channel: Talk | None = None
        self.places: set[Visitor] = set()
        self.failure: Exception | None = None
        self._rendezvous = Rendezvous(self, world.disks[role], now=world.now)  # type: ignore[arg-type]
        self.look()

    def look(self) -> None:
        self.channel = None
        ensureDeferred(self._meet())

    async def _meet(self) -> None:
        self.channel = await self._rendezvous.meet()  # type: ignore[assignment]
        self.clock.callLater(AGAIN, self._doubt)

    def _doubt(self) -> None:
        assert self.channel is not None
        assert self.channel.other is not None
        if self.channel.other.life.alive:
            self.clock.callLater(AGAIN, self._doubt)
        else:
            self.look()

    def place(self, _: str) -> Visitor:
        return Visitor(self)


class Visitor:
    """Somebody at one place, as `Pending` is."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.code = ""
        self.on_notice: Any = None
        self.contact = False
        self.settled = False
        self.left_cleanly = False
        self.spoke = False
        self._mailbox: Mailbox | None = None
        self._over = False
        self._paired: Deferred[Any] = Deferred()
        self._talk: Talk | None = None

    async def enter(self, code: str, entering: Any) -> None:
        await deferLater(self.life.clock, HOP)
        entering()
        self.code = code
        self.life.places.add(self)
        self.life.clock.callLater(HOP, self._claim)

    def _claim(self) -> None:
        if self._over:
            return
        mailbox = self._mailbox = self.life.world.mailbox(self.code)
        mailbox.sides.append(self)
        if len(mailbox.sides) > 2:
            self._missed()
        else:
            self.life.clock.callLater(HOP, self._speak)

    def _speak(self) -> None:
        if self._over:
            return
        self.spoke = True
        assert self._mailbox is not None
        other = next((side for side in self._mailbox.sides[:2] if side is not self), None)
        self.life.clock.callLater(HOP, self._settle)
        if other is None or not other.spoke:
            return
        self._touch()
        if other.life.alive and not other._over:
            other._touch()
            # Both release the nameplate, so that the next one there finds a new mailbox.
            self.life.world.mailboxes.pop(self.code, None)
            one, two = Talk(self.life, self), Talk(other.life, other)
            one.other, two.other = two, one
            for talk in (one, two):
                talk.life.clock.callLater(3 * HOP, talk.visitor._found, talk)

    def _settle(self) -> None:
        self.settled = not self.contact

    def _touch(self) -> None:
        self.contact, self.settled = True, False
        self.life.clock.callLater(self.life.limits.meeting, self._missed)

    def _missed(self) -> None:
        self.contact, self.settled = True, False
        if not self._paired.called:
            self._paired.errback(MissedError("nobody proved to be the other side"))

    def _found(self, talk: Talk) -> None:
        if not self._over and not self._paired.called:
            self._paired.callback(talk)

    async def paired(self) -> Any:
        return await self._paired

    async def abandon(self) -> None:
        self.abandon_soon()

    def abandon_soon(self) -> None:
        if not self._over:
            self._over = self.left_cleanly = True
            self.life.places.discard(self)
            if self._mailbox is not None and len(self._mailbox.sides) <= 2:
                self._mailbox.closed.add(self)


class Talk:
    """One end of a channel."""

    def __init__(self, life: Life, visitor: Visitor) -> None:
        self.life = life
        self.visitor = visitor
        self.other: Talk | None = None
        self._heard: Deferred[None] = Deferred()

    def greet(self) -> None:
        assert self.other is not None
        if self.other.life.alive:
            self.other.life.clock.callLater(HOP, self.other._hear)

    def _hear(self) -> None:
        if not self._heard.called:
            self._heard.callback(None)

    async def greeted(self, limit: float) -> None:
        timer = self.life.clock.callLater(limit, self._silence)
        try:
            await self._heard
        finally:
            if timer.active():
                timer.cancel()

    def _silence(self) -> None:
        if not self._heard.called:
            self._heard.errback(PeerGoneError("said nothing"))

    async def close(self, _: str = "") -> None:
        self.visitor.abandon_soon()
