"""Letters between two sides that have met: delivered once, acknowledged, and with an end that is always noticed.

The mailbox carries messages in order and encrypted, and says nothing when the other side leaves. On top of it come
an acknowledgement for each letter, chunks for objects, signs of life, and goodbyes. What a letter means is the
ceremony's; what may come in is checked by `wire` and `intake`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.internet.defer import TimeoutError as TwistedTimeoutError
from twisted.internet.task import deferLater

from wormsig.ceremony import messages, wire
from wormsig.ceremony.messages import Ack, Bye, Chunk, Compared, Ping, Progress
from wormsig.errors import PeerError, WormsigError
from wormsig.psbt.limits import MAX_TEXT
from wormsig.transport.codes import verifier_words
from wormsig.transport.errors import (
    ChannelClosedError,
    NotAcknowledgedError,
    PeerGoneError,
    RelayRefusedError,
    RelayUnreachableError,
    VerifierMismatchError,
)
from wormsig.transport.intake import Intake, Received
from wormsig.transport.library import explain
from wormsig.transport.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.base import DelayedCall

    from wormsig.ceremony.messages import Letter, Message, ProgressState
    from wormsig.transport.hello import PeerInfo
    from wormsig.transport.library import Link
    from wormsig.transport.limits import Limits

__all__ = ["Channel", "Received"]

RESUME_HINT = "nothing that was acknowledged is lost; go on with a new code"
MISMATCH_HINT = "somebody may stand between you: do not go on with this code"


class Channel:
    """An encrypted channel to one other side. Made by `Pending.paired`.

    Attributes:
        peer: What the other side said about itself.
        verifier: 32 bytes that are the same on both sides exactly when nobody stands between.
        on_notice: Called with each `Notice`; for status lines.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  the reactor has many interfaces and no one type
        link: Link,
        *,
        limits: Limits,
        peer: PeerInfo,
        verifier: bytes,
        verify: bool = False,
    ) -> None:
        self.peer = peer
        self.verifier = verifier
        self.on_notice: Callable[[Notice], None] = lambda _: None
        self._reactor = reactor
        self._link = link
        self._limits = limits
        self._failure: WormsigError | None = None
        self._must_compare = verify or peer.wants_verify
        self._they_agreed = False
        self._comparing: Deferred[None] | None = None
        self._sending = DeferredLock()
        self._unacknowledged: dict[str, list[Deferred[None]]] = {}
        self._delivered: set[str] = set()
        self._intake = Intake(peer.role)
        self._receivers: deque[Deferred[Received]] = deque()
        self._missed = 0
        self._last_heard: float = reactor.seconds()
        self._doubted: float | None = None  # the last sign of life, when a doubt was reported since
        self._heard_any = False
        self._greeting: Deferred[None] | None = None
        self._beat: DelayedCall = reactor.callLater(limits.heartbeat, self._heartbeat)
        link.route.observer = self
        ensureDeferred(self._read())

    # What the application uses.

    @property
    def must_compare(self) -> bool:
        """Whether `compare` has to be awaited before any letter: one of the two persons asked for it."""
        return self._must_compare

    @property
    def quiet_for(self) -> float:
        """Seconds since anything was heard of the other side."""
        seconds: float = self._reactor.seconds() - self._last_heard
        return seconds

    def verifier_words(self) -> tuple[str, ...]:
        """Ten words, 80 bits of the verifier, for two persons to compare."""
        return verifier_words(self.verifier)

    def derive_key(self, purpose: str, length: int = 32) -> bytes:
        """A secret that both sides can derive and nobody else, e.g. for resuming.

        Args:
            purpose: Distinguishes secrets from each other.
            length: Bytes.
        """
        key: bytes = self._link.wormhole.derive_key(f"wormsig/{purpose}", length)
        return key

    async def compare(self, same: bool) -> None:
        """Tell whether our person read the same words, and wait for the other person.

        Args:
            same: What our person said.

        Raises:
            VerifierMismatchError: One of the two said no. The channel is closed.
            PeerGoneError: The other side left, or nobody answered within `limits.compare`.
        """
        self._check()
        self._send(Compared(same=same))
        if not same:
            self._end(VerifierMismatchError("the verifier words differ", hint=MISMATCH_HINT))
            self._check()
        if not self._they_agreed:
            self._comparing = Deferred()
            try:
                await self._comparing.addTimeout(self._limits.compare, self._reactor)
            except TwistedTimeoutError:
                self._end(PeerGoneError("the other person did not compare the words in time", hint=RESUME_HINT))
                self._check()
        self._must_compare = False

    async def deliver(self, letter: Letter, obj: bytes | None = None) -> None:
        """Send a letter, and its object, and wait until the other side has journalled them.

        Delivering the same letter again is harmless: it is the same by its digest.

        Args:
            letter: Any letter but `Progress`.
            obj: The bytes of the letter's `ObjectRef`, when it has one.

        Raises:
            InputError: The letter breaks its own type's limits.
            NotAcknowledgedError: The other side is there, but did not acknowledge within `limits.delivery`.
            PeerGoneError: The other side left or fell silent.
            PeerError: The other side sent garbage meanwhile.
            ChannelClosedError: `close` was called.
        """
        self._check()
        if self._must_compare:
            raise RuntimeError("a letter before the verifier was compared")
        if isinstance(letter, Progress) or messages.object_of(letter) != (obj and wire.reference(obj)):
            raise TypeError("progress is not delivered, and an object is the one that its letter announces")
        digest = wire.digest(letter)
        if digest in self._delivered:
            return
        acknowledged: Deferred[None] = Deferred()
        if digest in self._unacknowledged:
            self._unacknowledged[digest].append(acknowledged)
        else:
            data = wire.encode(letter)
            self._unacknowledged[digest] = [acknowledged]
            ensureDeferred(self._transmit(data, obj or b""))
        try:
            await acknowledged.addTimeout(self._limits.delivery(len(obj or b"")), self._reactor)
        except TwistedTimeoutError:
            raise NotAcknowledgedError(
                "the other side is there, but did not take the message in time", hint=RESUME_HINT
            ) from None

    async def receive(self) -> Received:
        """The next letter. Ends when the other side leaves or falls silent; cancel it for a limit of your own.

        Raises:
            PeerGoneError: The other side left or fell silent.
            PeerError: The other side sent garbage, or more than it may.
            TransportError: The relay, or this side, ended the channel.
        """
        if self._intake.waiting:
            return self._intake.waiting.popleft()
        self._check()
        receiver: Deferred[Received] = Deferred()
        self._receivers.append(receiver)
        return await receiver

    def acknowledge(self, received: Received) -> None:
        """Tell the other side that a letter is kept here for good. To be called once it is journalled."""
        if not isinstance(received.letter, Progress):
            self._send(self._intake.acknowledge(received.digest))

    async def doubtful(self) -> None:
        """Wait until nothing was heard for one and a half heartbeats: it may be time to look for the other side.

        Ends once for each silence: after that only when something was heard in between. Cancelling it does no harm.

        Raises:
            PeerGoneError: The channel ended meanwhile, in this way or another of `receive`.
        """
        patience = 1.5 * self._limits.heartbeat
        while self._doubted == self._last_heard or self.quiet_for < patience:
            self._check()
            doubted = self._doubted == self._last_heard
            await deferLater(self._reactor, self._limits.heartbeat / 2 if doubted else patience - self.quiet_for)
        self._check()
        self._doubted = self._last_heard

    def greet(self) -> None:
        """Give a sign of life at once; `greeted` hears it."""
        self._send(Ping())

    async def greeted(self, limit: float) -> None:
        """Wait until the other side said anything. To be called once.

        Args:
            limit: Seconds.

        Raises:
            PeerGoneError: It said goodbye, or nothing in time; then the channel is closed.
        """
        self._check()
        if self._heard_any:
            return
        self._greeting = Deferred()
        try:
            await self._greeting.addTimeout(limit, self._reactor)
        except TwistedTimeoutError:
            self._end(PeerGoneError("the other side said nothing after the pairing", hint=RESUME_HINT))
            self._check()

    def progress(self, ceremony: str, state: ProgressState) -> None:
        """Tell the other side what happens here, without waiting and without certainty."""
        self._send(Progress(ceremony=ceremony, state=state))

    async def close(self, reason: str = "") -> None:
        """Say goodbye. What was sent before arrives. Never fails, never takes longer than `limits.close`.

        Args:
            reason: Words for the other person.
        """
        if self._failure is None:
            self._end(ChannelClosedError("this side closed the channel"), goodbye=reason)
        await self._link.close(self._limits.close)

    # Outgoing.

    def _send(self, message: Message) -> None:
        if self._failure is None:
            self._link.send(wire.encode(message))

    async def _transmit(self, letter: bytes, obj: bytes) -> None:
        """A letter and its chunks, with nothing but acknowledgements and signs of life between them."""
        async with self._sending:
            if self._failure is None:
                self._link.send(letter)
            for chunk in wire.chunks(obj):
                await deferLater(self._reactor, 0)  # other channels get their turn
                self._send(chunk)

    def _heartbeat(self) -> None:
        # Counted in beats, not by the clock: a laptop that slept for an hour has missed one.
        self._missed += 1
        missed = self._missed * self._limits.heartbeat
        if missed > self._limits.silence:
            minutes = max(1, round(self.quiet_for / 60))
            if self._link.route.connected:
                self._end(PeerGoneError(f"no sign of the other side for {minutes} min", hint=RESUME_HINT))
            else:
                self._end(RelayUnreachableError(f"no connection to the relay for {minutes} min", hint=RESUME_HINT))
            return
        if missed > self._limits.quiet:
            self.on_notice(Notice.QUIET)
        self._send(Ping())
        self._beat = self._reactor.callLater(self._limits.heartbeat, self._heartbeat)

    # Incoming.

    async def _read(self) -> None:
        try:
            while self._failure is None:
                self._heard(await self._link.wormhole.get_message())
        except PeerError as error:
            self._end(error, goodbye="your side sent something that is not part of the protocol")
        except Exception as error:  # noqa: BLE001  whatever the library raises becomes one of ours
            self._end(explain(error, paired=True))

    def _heard(self, data: bytes) -> None:
        if self._failure is not None:
            return
        if self._missed * self._limits.heartbeat > self._limits.quiet:
            self.on_notice(Notice.HEARD)
        self._missed = 0
        self._last_heard = self._reactor.seconds()
        self._take(wire.decode(data))
        self._heard_any = True
        if self._greeting is not None:
            _fire(self._greeting)

    def _take(self, message: Message) -> None:
        match message:
            case Ping():
                pass
            case Ack():
                if message.of in self._unacknowledged:
                    self._delivered.add(message.of)
                    for acknowledged in self._unacknowledged.pop(message.of):
                        _fire(acknowledged)
            case Bye():
                said = f": {message.reason}" if message.reason else ""
                self._end(PeerGoneError(f"the other side left{said}", hint=RESUME_HINT, left=message.reason))
            case Compared():
                self._take_comparison(message)
            case _:
                self._take_letter(message)

    def _take_comparison(self, message: Compared) -> None:
        if not message.same:
            self._end(VerifierMismatchError("the other person read other verifier words", hint=MISMATCH_HINT))
        self._they_agreed = True
        if self._comparing is not None:
            _fire(self._comparing)

    def _take_letter(self, message: Letter | Chunk) -> None:
        if self._must_compare:
            raise PeerError("the other side sent a letter before both had compared the verifier")
        again = self._intake.take(message)
        if again is not None:
            self._send(again)
        while self._receivers and self._intake.waiting:
            receiver = self._receivers.popleft()
            if not receiver.called:  # else it was cancelled
                receiver.callback(self._intake.waiting.popleft())

    def _end(self, error: WormsigError, *, goodbye: str | None = None) -> None:
        """The first end wins: tell everybody who waits, and let the connection go."""
        if self._failure is not None:
            return
        if goodbye is not None:
            self._send(Bye(reason=goodbye.encode("utf-8", "replace").decode()[:MAX_TEXT]))
        self._failure = error
        if self._beat.active():
            self._beat.cancel()
        waiting: list[Deferred[Any]] = [*self._receivers]
        waiting += [deferred for several in self._unacknowledged.values() for deferred in several]
        waiting += [one for one in (self._comparing, self._greeting) if one is not None]
        self._receivers.clear()
        self._unacknowledged.clear()
        self._link.close(self._limits.close)
        for deferred in waiting:
            if not deferred.called:
                deferred.errback(error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # What the route tells (RouteObserver).

    def relay_up(self) -> None:
        """The library reconnected, and sends what the relay did not confirm."""
        self.on_notice(Notice.RELAY_UP)

    def relay_down(self) -> None:
        """The library reconnects by itself."""
        if self._failure is None:
            self.on_notice(Notice.RELAY_DOWN)

    def mailbox_message(self, sides: int) -> None:
        """Watched before pairing only."""

    def relay_refused(self, error: WormsigError) -> None:
        """The relay does not let us back in."""
        self._end(error)

    def relay_broke(self, error: Exception) -> None:
        """The relay said something that is not its protocol."""
        self._end(RelayRefusedError(f"the relay sent something that is not its protocol: {error!r:.100}"))

    def oversized(self) -> None:
        """A message that no wormsig sends; the connection is cut already, so there is no goodbye."""
        self._end(PeerError("the other side sent a message longer than the protocol allows"))


def _fire(deferred: Deferred[None]) -> None:
    if not deferred.called:
        deferred.callback(None)
