"""Two sides that were paired before find each other again, without a code and without a person (docs/wire-format.md).

From a secret of their last channel both compute places: an appid, and numbered codes under it. Each side waits at two
places at a time, later at more, and goes on to others when somebody else was there or an earlier life of its own may
have left something. Which ones is decided by `agenda`; where the secrets are kept, by the journal; when, by `app`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredLock, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from wormsig.errors import StorageError, TransportError
from wormsig.transport.agenda import Agenda, Meetings
from wormsig.transport.errors import RelayRefusedError, RelayUnreachableError, StaleCodeError
from wormsig.transport.notices import Notice
from wormsig.transport.places import meeting_place

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.transport.channel import Channel
    from wormsig.transport.connector import Connector
    from wormsig.transport.pending import Waiting

__all__ = ["Meetings", "Rendezvous"]

COORDINATORS_SECOND = 0.5
"""Seconds between a coordinator's two places."""

LOOK = 5.0
SHORTEST_LOOK = 0.05
"""Seconds between two looks at what has changed by itself: marks that ran out, time that has passed."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two attempts to reach the relay."""

log = Logger()


class Rendezvous:
    """Finds one other side again. Use one object for one pair, so that one meeting has ended before the next begins.

    Args:
        connector: Makes connections.
        meetings: The secrets of the pair.
        now: The clock of the marks, Unix time.

    Attributes:
        on_notice: Called with each `Notice`; the relay, most of the time.
        on_found: Called with the secret by which the other side was found, which it therefore has.
    """

    def __init__(self, connector: Connector, meetings: Meetings, *, now: Callable[[], float] = time.time) -> None:
        self.on_notice: Callable[[Notice], None] = lambda _: None
        self.on_found: Callable[[bytes], None] = lambda _: None
        self._connector = connector
        self._meetings = meetings
        self._now = now
        self._one = DeferredLock()
        self._last: _Meeting | None = None

    async def meet(self) -> Channel:
        """Wait until the other side is there. Cancel it to stop: every place is then left in good order.

        Trouble with the network or the relay never ends it.

        Returns:
            The channel.

        Raises:
            StorageError: There is no secret, or a mark could not be written.
            PeerError: The other side came, and cannot be talked with (`VersionError`, `SameRoleError`).
        """
        async with self._one:
            await self._all_left()
            meeting = self._last = _Meeting(self._connector, self._meetings, self._now, self._tell)
            try:
                channel = await meeting.run()
            except Exception:
                await meeting.stop()
                raise
            meeting.stop()  # the channel need not wait for it; the next meeting does, and `left`
            try:
                self.on_found(meeting.found)
            except Exception:
                await channel.close()
                raise
            return channel

    async def left(self) -> None:
        """Wait until every place of a meeting that was cancelled, or that came about, is left in good order.

        To be awaited before the process ends, where the end of `meet` itself was not waited for.
        """
        async with self._one:
            await self._all_left()

    async def _all_left(self) -> None:
        if self._last is not None:
            await self._last.stop()

    def _tell(self, notice: Notice) -> None:
        self.on_notice(notice)


class _Visit:
    """Being at one place.

    Attributes:
        secret: The secret.
        number: Its number.
        pending: What waits there, once it is on its way.
        entered: The number is marked.
        since: When the relay answered.
        leaving: It is being left, and must not be disturbed.
        running: The coroutine.
    """

    __slots__ = ("entered", "leaving", "number", "pending", "running", "secret", "since")

    def __init__(self, secret: bytes, number: int) -> None:
        self.secret = secret
        self.number = number
        self.pending: Waiting | None = None
        self.entered = False
        self.since = 0.0
        self.leaving = False
        self.running: Deferred[None] | None = None

    @property
    def contact(self) -> bool:
        """Whether somebody was there."""
        return self.pending is not None and self.pending.contact

    @property
    def settled(self) -> bool:
        """Whether this side waits there, alone."""
        return self.pending is not None and self.pending.settled and not self.leaving

    def end(self) -> None:
        """Leave."""
        if not self.leaving and self.running is not None:
            self.leaving = True
            self.running.cancel()


class _Meeting:
    """One wait for the other side."""

    def __init__(
        self, connector: Connector, meetings: Meetings, now: Callable[[], float], tell: Callable[[Notice], None]
    ) -> None:
        self._connector = connector
        self._reactor = connector.reactor
        self._meetings = meetings
        self._agenda = Agenda(meetings, now)
        self._tell = tell
        self._visits: list[_Visit] = []
        self._outcome: Channel | Exception | None = None
        self.found = b""  # the secret by which
        self._over = False
        self._woken: Deferred[None] | None = None
        self._stirred = False  # since the last look
        self._down = False  # and told so
        self._failures = 0
        self._relay_again = 0.0
        self._began: float | None = None  # when the relay first answered

    async def run(self) -> Channel:
        """Wait. `stop` has to follow."""
        while self._outcome is None:
            self._go()
            await self._sleep(self._patience())
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def stop(self) -> Deferred[Any]:
        """Leave every place. Fires when that is done; never fails, and takes no longer than `limits.close`.

        It may be called again, to wait again.
        """
        self._over = True
        running = [visit.running for visit in self._visits if visit.running is not None]
        for visit in list(self._visits):
            visit.end()
        left: Deferred[Any] = Deferred()  # of its own: cancelling it does not disturb the leaving

        def all_left(_: object) -> None:
            if not left.called:
                left.callback(None)

        DeferredList(running, consumeErrors=True).addBoth(all_left)
        return left

    # Where to be.

    def _go(self) -> None:
        """Go to the places that are wanted, and leave the others once it is certain that these can be used."""
        if self._reactor.seconds() < self._relay_again:
            return
        secrets = self._meetings.secrets()
        if not secrets:
            raise StorageError("there is nothing by which the other side could be found again", hint="use a new code")
        for secret in secrets:
            visits = {visit.number: visit for visit in self._visits if visit.secret == secret}
            wanted = self._agenda.wanted(secret, visits, self._apart())
            pause = 0.0 if visits else self._stagger()
            for index, number in enumerate(number for number in wanted if number not in visits):
                if self._agenda.wait(secret, number) <= 0:
                    self._visit(secret, number, index * pause)
            for number, visit in visits.items():
                if visit.entered:
                    self._agenda.stay(secret, number)
            if all(number in visits and visits[number].settled for number in wanted):
                self._dismiss([visit for number, visit in visits.items() if number not in wanted])
                self._renew([visits[number] for number in wanted])
        self._dismiss([visit for visit in self._visits if visit.secret not in secrets])

    def _renew(self, visits: list[_Visit]) -> None:
        """Leave one of several places, to go there again: while the others are waited at."""
        now = self._reactor.seconds()
        for visit in visits:
            if self._agenda.renew(visit.secret, visit.number, now - visit.since):
                visit.end()
                return

    def _apart(self) -> float:
        """Seconds for which the other side was looked for."""
        return 0.0 if self._began is None else float(self._reactor.seconds()) - self._began

    def _stagger(self) -> float:
        return self._connector.limits.stagger if self._connector.role == "cosigner" else COORDINATORS_SECOND

    def _dismiss(self, visits: list[_Visit]) -> None:
        for visit in visits:
            if not visit.contact:
                visit.end()

    def _patience(self) -> float:
        relay: float = self._relay_again - self._reactor.seconds()
        waits = [self._agenda.patience(secret, self._apart()) for secret in self._meetings.secrets()]
        return max(min([LOOK, *waits, *([relay] if relay > 0 else [])]), SHORTEST_LOOK)

    async def _sleep(self, seconds: float) -> None:
        """Until `_wake`, or some seconds."""
        if self._stirred:
            self._stirred = False
            return
        woken = self._woken = Deferred()
        timer = self._reactor.callLater(seconds, self._wake)
        try:
            await woken
        finally:
            self._woken, self._stirred = None, False
            if timer.active():
                timer.cancel()

    def _wake(self) -> None:
        self._stirred = True
        if self._woken is not None and not self._woken.called:
            self._woken.callback(None)

    # One place.

    def _visit(self, secret: bytes, number: int, delay: float) -> None:
        visit = _Visit(secret, number)
        self._visits.append(visit)
        visit.running = ensureDeferred(self._being(visit, delay))

    async def _being(self, visit: _Visit, delay: float) -> None:
        """Go to a place, wait there, and leave. Never fails."""
        channel: Channel | None = None
        error: Exception | None = None
        try:
            await deferLater(self._reactor, delay)
            channel = await self._paired(visit)
            await self._confirm(channel)
        except Exception as failure:  # noqa: BLE001  judged below, a bug of ours too
            error = failure
        if error is None and self._outcome is None and not self._over:
            self._outcome, self.found = channel, visit.secret
        else:
            error = await self._leave(visit, channel, error) or error
        self._visits.remove(visit)
        if error is not None and not self._is_replaced(visit, error):
            self._judge(error)
        self._wake()

    def _is_replaced(self, visit: _Visit, error: Exception) -> bool:
        """Whether a mark failed because a newer secret took the place of this one: nobody waits there any more.

        It may be kept while its places are being opened: a channel that was silent for long said something after all.
        """
        return isinstance(error, StorageError) and visit.secret not in self._meetings.secrets()

    async def _paired(self, visit: _Visit) -> Channel:
        place = meeting_place(visit.secret, visit.number)
        async with self._connector.slot:
            pending = visit.pending = self._connector.place(place.appid)
            pending.on_notice = self._hear
            await pending.enter(place.code, lambda: self._enter(visit))
        return await pending.paired()

    def _enter(self, visit: _Visit) -> None:
        """The relay answers."""
        self._agenda.enter(visit.secret, visit.number)
        visit.entered, visit.since = True, self._reactor.seconds()
        self._began = visit.since if self._began is None else self._began
        self._failures = 0
        self._hear(Notice.RELAY_UP)

    async def _confirm(self, channel: Channel) -> None:
        """Agree on one of several pairings, with somebody who is still there.

        A pairing can be read from a mailbox long after the other side left it. So the coordinator says something on
        each, and the cosigner answers on the first of them, and on no other.
        """
        limit = self._connector.limits.meeting
        if self._connector.role == "coordinator":
            channel.greet()
            await channel.greeted(limit)
            return
        await channel.greeted(limit)
        if self._outcome is None and not self._over:
            channel.greet()

    async def _leave(self, visit: _Visit, channel: Channel | None, why: Exception | None) -> Exception | None:
        """Leave a place where it did not come to the meeting; the disk's complaint, when there is one."""
        visit.leaving = True
        if visit.pending is None:
            return None
        if channel is not None:
            await channel.close("we met at another place")
        await visit.pending.abandon()
        try:
            if visit.entered:
                # What the relay has forgotten was left in good order.
                clean = visit.pending.left_cleanly or isinstance(why, StaleCodeError)
                self._agenda.leave(visit.secret, visit.number, contact=visit.contact, clean=clean)
        except StorageError as error:  # the mark stays, which only costs time
            return error
        return None

    def _judge(self, error: Exception) -> None:
        """What a failure at one place means for the whole."""
        if isinstance(error, CancelledError):
            return
        if isinstance(error, RelayUnreachableError | RelayRefusedError):
            self._relay_failed()
        elif not isinstance(error, TransportError) and self._outcome is None:
            self._outcome = error

    def _relay_failed(self) -> None:
        now = self._reactor.seconds()
        if now >= self._relay_again:  # else several failed at once
            self._relay_again = now + min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE)
            self._failures += 1
        self._hear(Notice.RELAY_DOWN)

    def _hear(self, notice: Notice) -> None:
        """The relay comes and goes, which several places notice; who else looks in is nobody's business."""
        down = {Notice.RELAY_DOWN: True, Notice.RELAY_UP: False}.get(notice)
        if down is not None and down != self._down and not self._over:
            self._down = down
            self._tell(notice)
