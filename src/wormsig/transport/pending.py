"""A code, or a place of a rendezvous, that waits for the other side. What is told and to whom is decided by `app`.

The mailbox protocol is silent about most of what can go wrong before two sides have met (docs/adr/0005 lists it); here
each of it ends in an error of its own within a time limit.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred

from wormsig.transport import hello
from wormsig.transport.channel import Channel
from wormsig.transport.errors import (
    BurnedCodeError,
    ChannelClosedError,
    MissedError,
    PairingTimeoutError,
    RelayRefusedError,
    RelaySilentError,
    RelayUnreachableError,
    StaleCodeError,
    WrongCodeError,
)
from wormsig.transport.library import APPID, NEW_CODE, RELAY_HINT, Link, explain
from wormsig.transport.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.base import DelayedCall

    from wormsig.errors import WormsigError
    from wormsig.transport.connector import Connector

FOR_EVER = 1e9
TOR_HINT = "is Tor running, and does it let connections out? (--tor-control-port)"


class Terms(msgspec.Struct, frozen=True):
    """What differs between a code that a person tells and a place that both machines compute.

    Attributes:
        pairing: Seconds for the other side to come.
        handshake: Seconds from the first sign of it to an agreed key.
        appid: The application id.
        told: A person tells the code, so that a failure may be a guess or a slip.
        moves: It can be given up here for another relay, when this one is away for too long.
    """

    pairing: float
    handshake: float
    appid: str = APPID
    told: bool = True
    moves: bool = False


class Waiting(Protocol):
    """What waits for the other side, at one relay (`Pending`) or at several (`Search`)."""

    code: str
    on_notice: Callable[[Notice], None]

    @property
    def contact(self) -> bool:
        """Whether anybody else was seen with this code."""

    @property
    def settled(self) -> bool:
        """Whether a relay has shown the mailbox, with nobody else in it."""

    @property
    def left_cleanly(self) -> bool:
        """Whether the code was given up, and confirmed."""

    async def enter(self, code: str, entering: Callable[[], None]) -> None:
        """Connect, and only then show the code."""

    async def paired(self) -> Channel:
        """Wait for the other side, and agree with it."""

    async def abandon(self) -> None:
        """Give the code up."""

    def abandon_soon(self) -> None:
        """The same, without waiting for it."""


class Pending:
    """A code that waits for the other side. Made by `Connector`.

    Attributes:
        code: The code, to be told to the other side.
        relay_url: Where it waits.
        replaceable: The relay chose the code, so that another one is as good.
        on_notice: Called with each `Notice`; for status lines.
    """

    def __init__(self, connector: Connector, terms: Terms, relay_url: str | None = None) -> None:
        self.code = ""
        self.replaceable = False
        self.relay_url = relay_url or connector.relay_url
        self._born: float = connector.reactor.seconds()
        self.on_notice: Callable[[Notice], None] = lambda _: None
        self._connector = connector
        self._reactor = connector.reactor
        self._limits = connector.limits
        self._terms = terms
        self._timers: list[DelayedCall] = []
        self._failure: Exception | None = None
        self._waiter: Deferred[Any] | None = None
        self._asked = False
        """The relay may give a number that is not known here yet."""
        self._in_mailbox = False
        self._replayed = True
        self._contact = False
        self._proved = False  # the other side has shown that it knows the code
        self._link = Link(
            self._reactor,
            self.relay_url,
            self,
            hello.app_versions(connector.role, verify=connector.verify),
            appid=terms.appid,
            tor=connector.tor,
            trust=connector.trust,
        )

    async def connect(self, start: Callable[[Any], None], limit: float) -> None:
        """Connect to the relay and get the code; one attempt, used by `Connector`.

        Raises:
            RelayUnreachableError: No connection, or no answer within the limit.
            RelayRefusedError: The relay said no.
        """
        wormhole = self._link.wormhole
        wormhole.get_verifier().addCallbacks(self._prove, lambda _: None)
        self._asked = True
        start(wormhole)
        await self._first(wormhole.get_welcome(), limit, self._no_answer)
        self.code = await self._first(wormhole.get_code(), limit, self._no_answer)
        self._asked = False

    async def enter(self, code: str, entering: Callable[[], None]) -> None:
        """Connect to the relay, and only then show it the code; one attempt. `paired` or `abandon` follows.

        Args:
            code: The place's code.
            entering: Called once the relay answers, before it learns of the place.

        Raises:
            RelayUnreachableError: No connection within `limits.connect`.
            RelayRefusedError: The relay said no.
            Exception: Whatever `entering` raised.
        """
        wormhole = self._link.wormhole
        wormhole.get_verifier().addCallbacks(self._prove, lambda _: None)
        await self._first(wormhole.get_welcome(), self._connector.share, self._no_answer)
        entering()
        wormhole.set_code(code)
        self.code = code

    @property
    def contact(self) -> bool:
        """Whether anybody else was seen with this code, be it the other side or somebody who tries."""
        return self._contact or (isinstance(self._failure, BurnedCodeError) and self._failure.counts)

    @property
    def settled(self) -> bool:
        """Whether the relay has shown the mailbox, with nobody else in it."""
        return self._in_mailbox and not self.contact

    @property
    def reached(self) -> bool:
        """Whether there is a connection to the relay, so that it may know of us."""
        return self._link.route.connected

    @property
    def left_cleanly(self) -> bool:
        """Whether the code was given up and the relay has confirmed it."""
        return self._link.closed_cleanly

    async def paired(self) -> Channel:
        """Wait for the other side, and agree with it. To be called once.

        Returns:
            The channel; before any letter the protocol is agreed.

        Raises:
            WrongCodeError: Somebody used the nameplate with other words. Both sides get this.
            CrowdedError: Two others are in this mailbox. Only the late one gets this: the relay tells nobody else, so a
                coordinator whose code was taken by a stranger sees `WrongCodeError` or `PairingTimeoutError`.
            StaleCodeError: The relay restarted, or forgot the code.
            PairingTimeoutError: Nobody came within the limit.
            RelayRefusedError: The relay said no.
            VersionError: The other side does not speak our protocol. Both sides get this.
            SameRoleError: Both coordinators or both cosigners. Both sides get this.
            PeerError: The other side sent garbage.
            ChannelClosedError: `abandon` was called.
        """
        connector = self._connector
        try:
            theirs = await self._meet()
            peer = hello.agree(connector.role, theirs)
            verifier: bytes = await self._link.wormhole.get_verifier()  # known since before the versions
        except Exception:
            await self.abandon()
            raise
        return Channel(
            self._reactor, self._link, limits=self._limits, peer=peer, verifier=verifier, verify=connector.verify
        )

    async def abandon(self) -> None:
        """Give the code up: nobody can use it any more. Never fails, never takes longer than `limits.close`."""
        self._stop_timers()
        self._fail(ChannelClosedError("this side gave the code up"))
        ends = self._reactor.seconds() + self._limits.close
        if self._asked and self._link.route.connected:  # the relay takes back only a number that is named
            with contextlib.suppress(Exception):
                await self._link.wormhole.get_code().addTimeout(self._limits.close, self._reactor)
        await self._link.close(max(ends - self._reactor.seconds(), 0.1))

    def abandon_soon(self) -> None:
        """The same, without waiting for it."""
        ensureDeferred(self.abandon())

    async def _meet(self) -> object:
        """The other side's version dict, unchecked."""
        try:
            return await self._first(self._link.wormhole.get_versions(), self._terms.pairing, self._nobody)
        finally:
            self._link.route.watching = False
            self._stop_timers()

    async def _first(self, source: Deferred[Any], limit: float, too_late: Callable[[], None]) -> Any:  # noqa: ANN401
        """What the library says, or a failure that it does not tell about, whichever comes first."""
        source.addCallbacks(self._tell, lambda failure: self._fail(explain(failure.value, paired=self._proved)))
        if self._failure is not None:
            raise self._failure
        self._waiter = Deferred()
        timer = self._reactor.callLater(limit, too_late)
        try:
            return await self._waiter
        finally:
            self._waiter = None
            if timer.active():
                timer.cancel()

    def _prove(self, _: bytes) -> None:
        self._proved = True

    def _tell(self, result: object) -> None:
        if self._waiter is not None and not self._waiter.called:
            self._waiter.callback(result)

    def _fail(self, error: Exception) -> None:
        """The first failure wins, whether somebody waits for it already or not."""
        if self._failure is None and isinstance(error, RelayUnreachableError):
            self._connector.relays.failed(self.relay_url)
        self._failure = self._failure or self._fitting(error)
        if self._waiter is not None and not self._waiter.called:
            self._waiter.errback(self._failure)

    def _fitting(self, error: Exception) -> Exception:
        """The failure in words that fit: at a rendezvous nobody told a code, and nobody guesses."""
        if isinstance(error, RelayUnreachableError) and self._connector.tor is not None:
            return type(error)(f"{error.message} (through Tor)", hint=TOR_HINT)
        if self._terms.told or not (isinstance(error, BurnedCodeError) and error.counts):
            return error
        self._contact = True
        return MissedError("somebody was where the other side is waited for, and did not prove to be it")

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        self._timers.append(self._reactor.callLater(seconds, then))

    def _stop_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def _no_answer(self) -> None:
        self._fail(RelaySilentError(f"the relay {self.relay_url} does not answer", hint=RELAY_HINT))

    def _nobody(self) -> None:
        away = "" if self._link.route.connected else "; the relay could not be reached at the end"
        if self._connector.role == "cosigner":
            words = f"nobody is at the other end of this code{away}"
            hint = "check the number before the words; else ask the coordinator for a new code"
        else:
            words = f"nobody used the code in time{away}"
            hint = "if the cosigner was told that others use it, a stranger took it; a new code is needed"
        self._fail(PairingTimeoutError(words, hint=hint))

    def _half_way(self) -> None:
        # A guesser learns from our confirmation whether the guess was right, and need not send its own.
        hint = f"{NEW_CODE}; a fixed code of a run that crashed is free again after a quarter of an hour"
        self._fail(WrongCodeError("somebody used the code and then did not prove to know it", hint=hint))

    def _forgotten(self) -> None:
        if self._replayed:
            return
        if not self._terms.told:
            self._fail(StaleCodeError("the relay has forgotten that the other side is waited for: it restarted"))
        else:
            self._connector.relays.forgot(self.relay_url, self._born)
            self._fail(StaleCodeError("the relay has forgotten the code: it restarted", hint=NEW_CODE))

    def _doubted(self) -> None:
        if not self._contact:
            self._connector.relays.forgot(self.relay_url, self._born)
            problem = "the connection was lost while the code was being made, and nobody has come"
            self._fail(StaleCodeError(problem, hint=NEW_CODE))

    # What the route tells (RouteObserver).

    def relay_up(self) -> None:
        """After a reconnection the relay has to show the mailbox again, which holds at least a message of ours."""
        if self._in_mailbox:
            self._replayed = False
            self._after(self._limits.replay, self._forgotten)
            self.on_notice(Notice.RELAY_UP)
        elif self.replaceable:
            # Lost before the mailbox was seen once: the library goes to it again, and whether the relay still has a
            # code that leads to it cannot be asked. Whoever uses the code until then says so.
            self._after(self._limits.entry, self._doubted)

    def relay_down(self) -> None:
        """The library reconnects by itself."""
        if self._failure is None:
            self.on_notice(Notice.RELAY_DOWN)
            if self._terms.moves:
                self._after(self._limits.connect, self._away)

    def _away(self) -> None:
        # Stale, so that the same place is gone to again, at another relay: what stays behind at this one harms nobody
        # who looks at several.
        if not self._link.route.connected:
            self._connector.relays.failed(self.relay_url)
            self._fail(StaleCodeError(f"the relay {self.relay_url} is gone"))

    def mailbox_message(self, sides: int) -> None:
        """The relay repeats our own messages to us too."""
        self._in_mailbox = self._replayed = True
        if sides > 1 and not self._contact:
            self._contact = True
            self._after(self._terms.handshake, self._half_way)
            self.on_notice(Notice.CONTACT)

    def relay_refused(self, error: WormsigError) -> None:
        """The relay said no: crowded, most of the time."""
        self._fail(error)

    def relay_broke(self, error: Exception) -> None:
        """The relay said something that is not its protocol."""
        self._fail(RelayRefusedError(f"the relay sent something that is not its protocol: {error!r:.100}"))

    def oversized(self) -> None:
        """A message that no handshake contains."""
        self._fail(WrongCodeError("somebody answered to the code with an oversized message", hint=NEW_CODE))
