"""How the coordinator reaches one cosigner: by a code, or, after a first connection, where both meet without one.

What is said then stands in `conversation`. A code that burned is replaced for that cosigner alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater

from wormsig.app.pace import Pace
from wormsig.app.threads import first_of
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import status
from wormsig.ceremony.coordinator_state import Stage
from wormsig.errors import PeerError, TransportError
from wormsig.psbt.limits import MAX_TEXT
from wormsig.transport.errors import BurnedCodeError
from wormsig.transport.rendezvous import Rendezvous

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wormsig.app.notices import Notices
    from wormsig.app.table import Table
    from wormsig.journal.secrets import ResumeSecrets
    from wormsig.transport.channel import Channel
    from wormsig.transport.connector import Connector, Pending
    from wormsig.transport.pending import Waiting

CODES_BEFORE_ASKING = 3
"""Burned codes of one cosigner before a person has to agree to another one (THREATS T1)."""

SAME_NUMBER = 5
"""Attempts at a code whose number this cosigner has not heard yet: an old code with the same number would burn it."""


class Reach:
    """The ways to one cosigner.

    Args:
        table: What all conversations share.
        connector: Makes channels.
        name: Our name for the cosigner.
        links: The secrets by which the cosigner is found again.
        notices: Gets what happens on the way.
    """

    def __init__(self, table: Table, connector: Connector, name: str, links: ResumeSecrets, notices: Notices) -> None:
        self._table = table
        self._connector = connector
        self._name = name
        self._links = links
        self._notices = notices
        self._rendezvous = Rendezvous(connector, links)
        self._rendezvous.on_notice = notices
        self._rendezvous.on_found = links.shared
        self._fixed = table.plan.codes.get(name)
        self._numbers: set[str] = set()
        self._shown = False
        self._leaving: list[Deferred[None]] = []
        self._pace = Pace(connector)
        self.was_lost = False

    @property
    def fixed(self) -> bool:
        """The code was agreed before, so that nobody can be told another one."""
        return self._fixed is not None

    async def channel(self) -> Channel:
        """A channel to the cosigner, in whichever way comes first. Waits for ever where there is none.

        Raises:
            TransportError: No code can be made, or the fixed one is used up.
            StorageError: The secrets cannot be written.
        """
        ways: list[Awaitable[Channel]] = []
        if self._links.known():
            ways.append(self._meeting())
        if self._wants_code():
            ways.append(self._by_code())
        if not ways:
            await Deferred()  # settled, and no way back: cancelled at the end
        _, channel = await first_of(*ways, tidily=True)  # a code that is given up is free again
        found: Channel = channel
        return found

    def _wants_code(self) -> bool:
        who = self._table.cosigner(self._name)
        if self._table.ending is not None or who.stage is Stage.SIGNED:
            return False
        if who.settled:
            return self._name in self._table.plan.new_codes
        if not who.transcript.letters:
            return True  # they acknowledged nothing yet, and may have kept nothing
        return not self._links.known() or self.was_lost or self._name in self._table.plan.new_codes

    async def takeover(self) -> Channel:
        """A new channel while there still seems to be one: the cosigner was killed, and came back."""
        while True:
            await deferLater(self._connector.reactor, self._connector.limits.takeover)
            if self._links.known():
                return await self._meeting()

    async def left(self) -> None:
        """Wait until nothing is left behind at the relay; to be awaited at the end."""
        await DeferredList(self._leaving, consumeErrors=True)
        await self._rendezvous.left()

    async def _meeting(self) -> Channel:
        await self._pace.next()
        try:
            return await self._rendezvous.meet()
        except PeerError as error:  # who knows the secret and speaks another protocol
            self._say(status.AnswerRefused(self._name, error.message))
            await Deferred()
            raise

    async def _by_code(self) -> Channel:
        while True:
            pending = await self._code()
            pending.on_notice = self._notices
            self._say(status.CodeReady(self._name, pending.code, replaces=self._shown))
            self._shown = True
            channel = await self._paired(pending)
            if channel is not None:
                return channel

    async def _code(self) -> Waiting:
        plan, burned = self._table.plan, self._table.cosigner(self._name).burned
        if self._fixed is not None:
            return await self._connector.use_code(self._fixed)
        if burned < CODES_BEFORE_ASKING:
            return await self._allocated(self._connector, plan.code_length)
        if not await self._table.watch.ask_new_code(self._name, burned):
            raise TransportError(
                f"{burned} codes for {self._name} were used up without a connection; somebody may be guessing",
                hint="speak with them, and start again with a longer code (-c) and --verify",
            )
        return await self._allocated(self._connector.verifying(), plan.code_length + 1)

    async def _allocated(self, connector: Connector, length: int) -> Pending:
        """A new code, with a number that none of this cosigner's codes had."""
        same: list[Pending] = []
        try:
            while True:
                pending = await connector.allocate(length)
                number = pending.code.partition("-")[0]
                if number not in self._numbers or len(same) >= SAME_NUMBER:
                    self._numbers.add(number)
                    return pending
                same.append(pending)  # kept until another number is found: the relay would give the same again
        finally:
            self._leaving += [ensureDeferred(each.abandon()) for each in same]

    async def _paired(self, pending: Waiting) -> Channel | None:
        """The channel; None when the code is used up and another one is to be made."""
        try:
            return await pending.paired()
        except PeerError as error:
            self.misbehaved(error.message)
        except BurnedCodeError as error:
            if error.counts:
                self._burned(error.message)
            if self._fixed is not None:
                raise
            if not error.counts:
                self.lost(error.message)
        finally:
            self._notices.stop()
        return None

    # -- what is told about it -------------------------------------------------------------------------------------

    def _say(self, what: status.Status) -> None:
        self._table.watch.status(what)

    def _burned(self, why: str) -> None:
        def tell() -> status.Status:
            return status.CodeFailed(self._name, why, self._table.cosigner(self._name).burned)

        self._table.record(machine.CodeBurned(self._name, why[:MAX_TEXT]), tell=tell)

    def misbehaved(self, problem: str) -> None:
        """The other side did what nobody may."""
        event = machine.Misbehaved(self._name, problem[:MAX_TEXT])
        self._table.record(event, tell=lambda: status.AnswerRefused(self._name, problem))

    def lost(self, why: str) -> None:
        """The connection, or the code, is gone."""
        event = machine.Lost(self._name, why[:MAX_TEXT])
        self._table.record(event, tell=lambda: status.PeerLost(self._name, why))
