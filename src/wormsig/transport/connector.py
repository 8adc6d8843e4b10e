"""Codes at a relay: allocate one, use one, or go to a place that both sides know. `pending` or `search` then waits.

What to do when it fails (a new code, give up) is decided by `app`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, DeferredSemaphore
from twisted.internet.task import deferLater

from wormsig.transport import codes
from wormsig.transport.errors import RelayRefusedError, RelaySilentError, RelayUnreachableError
from wormsig.transport.library import PUBLIC_RELAY
from wormsig.transport.limits import Limits
from wormsig.transport.pending import FOR_EVER, Pending, Terms
from wormsig.transport.relays import Relays, no_relay
from wormsig.transport.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wormsig.ceremony.messages import Role
    from wormsig.errors import TransportError
    from wormsig.transport.pending import Waiting
    from wormsig.transport.trust import Trust

__all__ = ["Connector", "Pending"]

# A relay with its database on disk is overloaded by more new wormholes than this at once.
AT_ONCE = 8
FIRST_RETRY = 0.25
LONGEST_RETRY = 4.0


class Connector:
    """Makes channels through a relay, for one side of ceremonies.

    Args:
        reactor: The reactor.
        relay_url: `ws://host:port/v1` or `wss://…`; several to fall back from one to the next.
        role: `coordinator` or `cosigner`; the other side must be the other one.
        verify: This side's person wants to compare the verifier words.
        limits: All time limits.
        tor: What `wormhole.tor_manager.get_tor` returns, or None for direct connections.
        trust: Whose certificates are believed; None: the system's.

    Raises:
        UsageError: `relay_url` is not a relay's address.

    Attributes:
        relays: Which one is in use; shared with the connectors that `verifying` makes.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  the reactor has many interfaces and no one type
        relay_url: str | Sequence[str] = PUBLIC_RELAY,
        *,
        role: Role,
        verify: bool = False,
        limits: Limits | None = None,
        tor: Any = None,  # noqa: ANN401  the library's objects have no annotations
        trust: Trust | None = None,
    ) -> None:
        self.reactor = reactor
        self.relays = Relays([relay_url] if isinstance(relay_url, str) else relay_url, lambda: float(reactor.seconds()))
        self.role: Role = role
        self.verify = verify
        self.limits = limits or Limits()
        self.tor = tor
        self.trust = trust
        self._slots = DeferredSemaphore(AT_ONCE)

    def verifying(self) -> Connector:
        """The same, for codes whose persons have to compare the verifier. Shares the limit of connections at once."""
        if self.verify:
            return self
        other = copy(self)
        other.verify = True
        return other

    async def allocate(self, code_length: int = 3) -> Pending:
        """Have the first relay that answers choose a free nameplate, and choose words for it.

        A relay that keeps forgetting codes gets pauses first, and then no more.

        Args:
            code_length: Number of words, 8 bits each.

        Raises:
            RelayUnreachableError: No connection within `limits.connect`.
            RelayRefusedError: The relay said no, or has forgotten too many codes.
        """
        pending = await self._open(lambda wormhole: wormhole.allocate_code(code_length), fresh=True)
        pending.replaceable = True
        return pending

    async def use_code(self, code: str) -> Waiting:
        """Use a code that was told (cosigner) or agreed before (fixed codes in scripts, either side).

        A cosigner with several relays looks for it at each.

        Args:
            code: As a person typed it; see `codes.normalise`.

        Raises:
            BadCodeError: Not a code; nothing was sent.
            RelayUnreachableError: No connection within `limits.connect`.
            RelayRefusedError: The relay said no.
        """
        normal = codes.normalise(code)
        pending = await self._open(lambda wormhole: wormhole.set_code(normal))
        if self.role == "coordinator" or not self.relays.several:
            return pending
        search = Search(self, self._terms)
        search.begin(pending)
        return search

    def place(self, appid: str) -> Waiting:
        """Somebody who will wait at a place of a rendezvous, for as long as it takes; see `Pending.enter`.

        With several relays a coordinator waits at one of them, the next time at another one if that does not answer,
        and a cosigner at all of them.

        Args:
            appid: The application id, known to the two sides alone.
        """
        terms = Terms(FOR_EVER, self.limits.meeting, appid, told=False)
        if not self.relays.several:
            return Pending(self, terms)
        return Search(self, terms) if self.role == "cosigner" else Pending(self, replace(terms, moves=True))

    @property
    def relay_url(self) -> str:
        """The relay that is in use, or will be tried first."""
        return self.relays.current

    @property
    def share(self) -> float:
        """Seconds in which one of the relays has to answer."""
        return self.limits.connect / len(self.relays.urls)

    @property
    def slot(self) -> DeferredSemaphore:
        """To be held while a connection is made: only so many are made at once."""
        return self._slots

    async def _open(self, start: Callable[[Any], None], *, fresh: bool = False) -> Pending:
        """Connect, again and again until `limits.connect` has passed: the library takes one failure as final."""
        deadline: float | None = None
        delay = FIRST_RETRY
        told: dict[str, TransportError] = {}
        while True:
            failures: list[TransportError] = []
            for url in self.relays.order():
                try:
                    paused = await self._pause(url) if fresh else 0.0
                    async with self._slots:
                        now: float = self.reactor.seconds()
                        deadline = now + self.limits.connect if deadline is None else deadline + paused
                        return await self._attempt(url, start, min(deadline - now, self.share))
                except RelaySilentError as error:  # the last attempt has little time: what was found before says more
                    failures.append(told.get(url, error))
                except (RelayUnreachableError, RelayRefusedError) as error:
                    told[url] = error
                    failures.append(error)
            hopeless = not any(isinstance(error, RelayUnreachableError) for error in failures)
            if hopeless or deadline is None or self.reactor.seconds() + delay >= deadline:
                raise no_relay(failures)
            await deferLater(self.reactor, delay)
            delay = min(delay * 2, LONGEST_RETRY)

    async def _attempt(self, url: str, start: Callable[[Any], None], limit: float) -> Pending:
        pending = Pending(self, self._terms, url)
        try:
            await pending.connect(start, max(limit, 0.1))
        except CancelledError:
            if pending.reached:  # who cancels may end the program next: what the relay has for us is given back before
                await pending.abandon()
            else:
                pending.abandon_soon()
            raise
        except BaseException:
            pending.abandon_soon()
            raise
        self.relays.answered(url)
        return pending

    @property
    def _terms(self) -> Terms:
        limit = self.limits.entry if self.role == "cosigner" else self.limits.pairing
        return Terms(limit, self.limits.handshake)

    async def _pause(self, url: str) -> float:
        """Make a relay wait that keeps forgetting codes; the seconds."""
        seconds = self.relays.pause(url)
        if seconds > 0:
            self.relays.on_pause(url, seconds)
            await deferLater(self.reactor, seconds)
        return seconds
