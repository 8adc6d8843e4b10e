"""A cosigner with several relays: the coordinator is at one of them, and it was not told at which.

A code is looked for in order, at the next relay when nobody shows at those before, so that a number that belongs to
somebody else there is not touched without need. A place of a rendezvous belongs to the two sides alone and is looked
for at all at once. What waits at one relay is `pending`; docs/adr/0011 has the reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredQueue, ensureDeferred
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.errors import PeerError, TransportError
from wormsig.transport.errors import BurnedCodeError, PairingTimeoutError, RelayUnreachableError
from wormsig.transport.pending import Pending
from wormsig.transport.relays import no_relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wormsig.transport.channel import Channel
    from wormsig.transport.connector import Connector
    from wormsig.transport.notices import Notice
    from wormsig.transport.pending import Terms


class Search:
    """One code, waited for at several relays until the other side is found. Made by `Connector`; see `Pending`.

    Args:
        connector: Makes it.
        terms: How long to wait for what.

    Attributes:
        code: The code.
        on_notice: Called with each `Notice`, of whichever relay.
    """

    def __init__(self, connector: Connector, terms: Terms) -> None:
        self.code = ""
        self.on_notice: Callable[[Notice], None] = lambda _: None
        self._connector = connector
        self._terms = terms
        self._ahead = list(connector.relays.order())
        self._here: dict[str, Pending] = {}
        self._left: list[Pending] = []
        self._failures: dict[str, Exception] = {}
        self._events: DeferredQueue[tuple[str, Channel | None]] = DeferredQueue()
        self._answered: Deferred[None] = Deferred()
        self._entered = False
        self._over = False

    def begin(self, first: Pending) -> None:
        """Begin with a code that waits at one relay already; the others come later.

        Args:
            first: The code at the relay that answered.
        """
        self.code = first.code
        ensureDeferred(self._be(first, _nothing))

    async def enter(self, code: str, entering: Callable[[], None]) -> None:
        """Go to all relays, and show each the code once it answers.

        Args:
            code: The place's code.
            entering: Called once the first one answers, before it learns of the place.

        Raises:
            RelayUnreachableError: None answers.
            RelayRefusedError: The only one that answers said no.
            Exception: Whatever `entering` raised.
        """
        self.code = code

        def enter() -> None:
            if not self._entered:
                entering()
                self._entered = True

        for url in list(self._ahead):
            self._look(url, lambda pending: pending.enter(code, enter))
        await self._answered

    @property
    def contact(self) -> bool:
        """Whether anybody else was seen with this code, at any relay."""
        return any(pending.contact for pending in self._all())

    @property
    def settled(self) -> bool:
        """Whether this side waits at a relay, and nobody else was seen anywhere."""
        return any(pending.settled for pending in self._here.values()) and not self.contact

    @property
    def left_cleanly(self) -> bool:
        """Whether every relay that learned of the code has confirmed that it was given up."""
        return all(pending.left_cleanly for pending in self._all() if pending.code)

    async def paired(self) -> Channel:
        """Wait for the other side at every relay, and agree with it where it is. To be called once.

        Raises:
            TransportError: As `Pending.paired`, when it went wrong wherever somebody was, or nobody was anywhere.
            PeerError: The other side was found, and cannot be talked with.
        """
        try:
            while True:
                try:
                    limit = self._connector.limits.elsewhere
                    url, channel = await self._events.get().addTimeout(limit, self._connector.reactor)
                except TwistedTimeoutError:
                    self._look_further()
                    continue
                if channel is not None:
                    self._connector.relays.answered(url)
                    return channel
                self._go_on_without(url)
        except CancelledError:
            await self.abandon()
            raise
        finally:
            self.abandon_soon()

    async def abandon(self) -> None:
        """Give the code up everywhere. Never fails, never takes longer than `limits.close`."""
        self._over = True
        leaving = [ensureDeferred(pending.abandon()) for pending in list(self._here.values())]
        await DeferredList(leaving, consumeErrors=True)

    def abandon_soon(self) -> None:
        """The same, without waiting for it."""
        self._over = True
        for pending in list(self._here.values()):
            pending.abandon_soon()

    def _all(self) -> list[Pending]:
        return [*self._here.values(), *self._left]

    # Where to look.

    def _look_further(self) -> None:
        """Nothing happened for a while."""
        if any(pending.contact for pending in self._here.values()):
            return
        if self._terms.told and any(isinstance(error, BurnedCodeError) for error in self._failures.values()):
            raise self._worst()
        for url in self._ahead[:1] if self._terms.told else list(self._ahead):
            self._look_again(url)

    def _go_on_without(self, url: str) -> None:
        """It went wrong at one relay."""
        error = self._failures[url]
        if isinstance(error, PeerError) or not isinstance(error, TransportError):
            raise error
        if isinstance(error, RelayUnreachableError):
            self._ahead.append(url)
        if self._here:
            return
        unseen = [each for each in self._ahead if each not in self._failures]
        if not unseen:
            raise self._worst()
        self._look_again(unseen[0])

    def _worst(self) -> Exception:
        """What tells most of several failures."""
        failures = list(self._failures.values())
        for dull in ((RelayUnreachableError, PairingTimeoutError), (RelayUnreachableError,)):
            for error in failures:
                if not isinstance(error, dull):
                    return error
        return no_relay([error for error in failures if isinstance(error, TransportError)])

    def _look_again(self, url: str) -> None:
        if self._terms.told:
            self._look(url, self._show)
        else:
            self._look(url, lambda pending: pending.enter(self.code, _nothing))

    async def _show(self, pending: Pending) -> None:
        connector = self._connector
        async with connector.slot:
            await pending.connect(lambda wormhole: wormhole.set_code(self.code), connector.share)

    def _look(self, url: str, connect: Callable[[Pending], Awaitable[None]]) -> None:
        self._ahead.remove(url)
        ensureDeferred(self._be(Pending(self._connector, self._terms, url), connect))

    async def _be(self, pending: Pending, connect: Callable[[Pending], Any]) -> None:
        """Wait at one relay. Never fails."""
        url = pending.relay_url
        self._here[url] = pending
        if url in self._ahead:
            self._ahead.remove(url)
        pending.on_notice = self._hear
        channel: Channel | None = None
        try:
            connecting = connect(pending)
            if connecting is not None:
                await connecting
            if not self._answered.called:
                self._answered.callback(None)
            channel = await pending.paired()
        except Exception as error:  # noqa: BLE001  judged by whoever waits, a bug of ours too
            self._failures[url] = error
        del self._here[url]
        if channel is None:
            pending.abandon_soon()
            self._left.append(pending)
            self._give_up_entering(url)
        elif self._over:
            await channel.close("we met at another relay")
        self._events.put((url, channel))

    def _give_up_entering(self, url: str) -> None:
        """Nobody answers at all, or the disk does not."""
        error = self._failures[url]
        if self._answered.called or (self._here and isinstance(error, TransportError)):
            return
        self._answered.errback(self._worst() if isinstance(error, TransportError) else error)

    def _hear(self, notice: Notice) -> None:
        self.on_notice(notice)


def _nothing(*_: object) -> None:
    pass
