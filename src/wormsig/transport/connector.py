"""From a code to a channel: allocate or use a code, wait for the other side, agree on a protocol.

The mailbox protocol is silent about most of what can go wrong before two sides have met (docs/adr/0005 lists it); here
each of it ends in an error of its own within a time limit. What to do then (a new code, give up) is decided by `app`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.task import deferLater

from wormsig.transport import codes, hello
from wormsig.transport.channel import Channel
from wormsig.transport.errors import (
    ChannelClosedError,
    PairingTimeoutError,
    RelayRefusedError,
    RelayUnreachableError,
    StaleCodeError,
    WrongCodeError,
)
from wormsig.transport.library import APPID, NEW_CODE, PUBLIC_RELAY, RELAY_HINT, Link, check_relay_url, explain
from wormsig.transport.limits import Limits
from wormsig.transport.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.base import DelayedCall

    from wormsig.errors import WormsigError
    from wormsig.transport.hello import Role

# A relay with its database on disk is overloaded by more new wormholes than this at once.
AT_ONCE = 8
FIRST_RETRY = 0.25
LONGEST_RETRY = 4.0


class Connector:
    """Makes channels through one relay, for one side of ceremonies.

    Args:
        reactor: The reactor.
        relay_url: `ws://host:port/v1` or `wss://…`.
        role: `coordinator` or `cosigner`; the other side must be the other one.
        verify: This side's person wants to compare the verifier words.
        limits: All time limits.
        tor: What `wormhole.tor_manager.get_tor` returns, or None for direct connections.

    Raises:
        UsageError: `relay_url` is not a relay's address.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  the reactor has many interfaces and no one type
        relay_url: str = PUBLIC_RELAY,
        *,
        role: Role,
        verify: bool = False,
        limits: Limits | None = None,
        tor: Any = None,  # noqa: ANN401  the library's objects have no annotations
    ) -> None:
        self.reactor = reactor
        self.relay_url = check_relay_url(relay_url)
        self.role: Role = role
        self.verify = verify
        self.limits = limits or Limits()
        self.tor = tor
        self._slots = DeferredSemaphore(AT_ONCE)

    def verifying(self) -> Connector:
        """The same, for codes whose persons have to compare the verifier. Shares the limit of connections at once."""
        if self.verify:
            return self
        other = Connector(self.reactor, self.relay_url, role=self.role, verify=True, limits=self.limits, tor=self.tor)
        other._slots = self._slots
        return other

    async def allocate(self, code_length: int = 3) -> Pending:
        """Have the relay choose a free nameplate, and choose words for it.

        Args:
            code_length: Number of words, 8 bits each.

        Raises:
            RelayUnreachableError: No connection within `limits.connect`.
            RelayRefusedError: The relay said no.
        """
        return await self._open(lambda wormhole: wormhole.allocate_code(code_length), self.limits.pairing)

    async def use_code(self, code: str) -> Pending:
        """Use a code that was told (cosigner) or agreed before (fixed codes in scripts, either side).

        Args:
            code: As a person typed it; see `codes.normalise`.

        Raises:
            BadCodeError: Not a code; nothing was sent.
            RelayUnreachableError: No connection within `limits.connect`.
            RelayRefusedError: The relay said no.
        """
        normal = codes.normalise(code)
        limit = self.limits.entry if self.role == "cosigner" else self.limits.pairing
        return await self._open(lambda wormhole: wormhole.set_code(normal), limit)

    async def _open(self, start: Callable[[Any], None], pairing: float, appid: str = APPID) -> Pending:
        """Connect, again and again until `limits.connect` has passed: the library takes one failure as final."""
        deadline: float | None = None
        delay = FIRST_RETRY
        while True:
            async with self._slots:
                now: float = self.reactor.seconds()
                deadline = deadline or now + self.limits.connect
                pending = Pending(self, pairing, appid)
                try:
                    await pending.connect(start, max(deadline - now, 0.1))
                except RelayUnreachableError:
                    pending.abandon_soon()
                    if self.reactor.seconds() + delay >= deadline:
                        raise
                except Exception:
                    pending.abandon_soon()
                    raise
                else:
                    return pending
            await deferLater(self.reactor, delay)
            delay = min(delay * 2, LONGEST_RETRY)


class Pending:
    """A code that waits for the other side. Made by `Connector`.

    Attributes:
        code: The code, to be told to the other side.
        on_notice: Called with each `Notice`; for status lines.
    """

    def __init__(self, connector: Connector, pairing: float, appid: str) -> None:
        self.code = ""
        self.on_notice: Callable[[Notice], None] = lambda _: None
        self._connector = connector
        self._reactor = connector.reactor
        self._limits = connector.limits
        self._pairing = pairing
        self._timers: list[DelayedCall] = []
        self._failure: Exception | None = None
        self._waiter: Deferred[Any] | None = None
        self._in_mailbox = False
        self._replayed = True
        self._contact = False
        self._proved = False  # the other side has shown that it knows the code
        self._link = Link(
            self._reactor,
            connector.relay_url,
            self,
            hello.app_versions(connector.role, verify=connector.verify),
            appid=appid,
            tor=connector.tor,
        )

    async def connect(self, start: Callable[[Any], None], limit: float) -> None:
        """Connect to the relay and get the code; one attempt, used by `Connector`.

        Raises:
            RelayUnreachableError: No connection, or no answer within the limit.
            RelayRefusedError: The relay said no.
        """
        wormhole = self._link.wormhole
        wormhole.get_verifier().addCallbacks(self._prove, lambda _: None)
        start(wormhole)
        await self._first(wormhole.get_welcome(), limit, self._no_answer)
        self.code = await self._first(wormhole.get_code(), limit, self._no_answer)

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
        await self._link.close(self._limits.close)

    def abandon_soon(self) -> None:
        """The same, without waiting for it."""
        self._stop_timers()
        self._fail(ChannelClosedError("this side gave the code up"))
        self._link.close(self._limits.close)

    async def _meet(self) -> object:
        """The other side's version dict, unchecked."""
        try:
            return await self._first(self._link.wormhole.get_versions(), self._pairing, self._nobody)
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
        self._failure = self._failure or error
        if self._waiter is not None and not self._waiter.called:
            self._waiter.errback(self._failure)

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        self._timers.append(self._reactor.callLater(seconds, then))

    def _stop_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def _no_answer(self) -> None:
        url = self._connector.relay_url
        self._fail(RelayUnreachableError(f"the relay {url} does not answer", hint=RELAY_HINT))

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
        if not self._replayed:
            self._fail(StaleCodeError("the relay has forgotten the code: it restarted", hint=NEW_CODE))

    # What the route tells (RouteObserver).

    def relay_up(self) -> None:
        """After a reconnection the relay has to show the mailbox again, which holds at least a message of ours."""
        if self._in_mailbox:
            self._replayed = False
            self._after(self._limits.replay, self._forgotten)
            self.on_notice(Notice.RELAY_UP)

    def relay_down(self) -> None:
        """The library reconnects by itself."""
        if self._failure is None:
            self.on_notice(Notice.RELAY_DOWN)

    def mailbox_message(self, sides: int) -> None:
        """The relay repeats our own messages to us too."""
        self._in_mailbox = self._replayed = True
        if sides > 1 and not self._contact:
            self._contact = True
            self._after(self._limits.handshake, self._half_way)
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
