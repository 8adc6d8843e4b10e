"""Codes at one relay: allocate one, use one, or go to a place that both sides know. `pending` then waits there.

What to do when it fails (a new code, give up) is decided by `app`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.task import deferLater

from wormsig.transport import codes
from wormsig.transport.errors import RelayUnreachableError
from wormsig.transport.library import PUBLIC_RELAY, check_relay_url
from wormsig.transport.limits import Limits
from wormsig.transport.pending import FOR_EVER, Pending, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.transport.hello import Role
    from wormsig.transport.trust import Trust

__all__ = ["Connector", "Pending"]

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
        trust: Whose certificates are believed; None: the system's.

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
        trust: Trust | None = None,
    ) -> None:
        self.reactor = reactor
        self.relay_url = check_relay_url(relay_url)
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

    def place(self, appid: str) -> Pending:
        """Somebody who will wait at a place of a rendezvous, for as long as it takes; see `Pending.enter`.

        Args:
            appid: The application id, known to the two sides alone.
        """
        return Pending(self, Terms(FOR_EVER, self.limits.meeting, appid, told=False))

    @property
    def slot(self) -> DeferredSemaphore:
        """To be held while a connection is made: only so many are made at once."""
        return self._slots

    async def _open(self, start: Callable[[Any], None], pairing: float) -> Pending:
        """Connect, again and again until `limits.connect` has passed: the library takes one failure as final."""
        deadline: float | None = None
        delay = FIRST_RETRY
        while True:
            async with self._slots:
                now: float = self.reactor.seconds()
                deadline = deadline or now + self.limits.connect
                pending = Pending(self, Terms(pairing, self.limits.handshake))
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
