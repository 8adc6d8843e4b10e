"""What came in and waits to be taken: letters with their objects, each once, bounded. Pure; used by `channel`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from wormsig.ceremony import messages, wire
from wormsig.ceremony.messages import MAX_OBJECT, Ack, Chunk, Progress
from wormsig.errors import PeerError

if TYPE_CHECKING:
    from wormsig.ceremony.messages import Letter, Role

# What a peer may make us keep: letters that nobody has taken yet, with their objects, and digests of those taken.
MAX_WAITING = 16
MAX_WAITING_BYTES = 2 * MAX_OBJECT
MAX_LETTERS = 4096


class Received(msgspec.Struct, frozen=True):
    """A letter from the other side.

    Attributes:
        letter: The letter.
        obj: Its object, with the hash that the letter announced.
        digest: SHA-256 of the letter, hex: what makes it the same letter when it comes again.
    """

    letter: Letter
    obj: bytes | None
    digest: str


class _Announced(msgspec.Struct, frozen=True):
    letter: Letter
    digest: str
    pieces: wire.Reassembler


class Intake:
    """Letters and chunks in, complete letters out.

    Args:
        sender: The other side's role, which decides what it may send.

    Attributes:
        waiting: Complete letters that nobody has taken yet.
    """

    def __init__(self, sender: Role) -> None:
        self.waiting: deque[Received] = deque()
        self._sender = sender
        self._announced: _Announced | None = None
        self._seen: dict[str, bool] = {}  # digest -> acknowledged

    def take(self, message: Letter | Chunk) -> Ack | None:
        """Take what came.

        Returns:
            The acknowledgement to repeat, when a letter came again that was acknowledged before.

        Raises:
            PeerError: From the wrong role, out of order, wrong pieces, or more than a peer may send.
        """
        if isinstance(message, Chunk):
            return self._take_chunk(message)
        if messages.sender_of(message) != self._sender:
            raise PeerError(f"a {self._sender} sent what only the other role may send")
        digest = wire.digest(message)
        if isinstance(message, Progress):
            if self.waiting and isinstance(self.waiting[-1].letter, Progress):
                self.waiting.pop()  # only the latest counts
            self.waiting.append(Received(message, None, digest))
            return None
        if self._announced is not None:
            raise PeerError("the other side sent a letter before the object of the last one was complete")
        ref = messages.object_of(message)
        if ref is None:
            return self._arrived(Received(message, None, digest))
        self._announced = _Announced(message, digest, wire.Reassembler(ref))
        return None

    def acknowledge(self, digest: str) -> Ack:
        """The acknowledgement of a letter, remembered in case the letter comes again."""
        self._seen[digest] = True
        return Ack(of=digest)

    def _take_chunk(self, chunk: Chunk) -> Ack | None:
        if self._announced is None:
            raise PeerError("the other side sent a piece of an object that it did not announce")
        obj = self._announced.pieces.feed(chunk)
        if obj is None:
            return None
        announced, self._announced = self._announced, None
        return self._arrived(Received(announced.letter, obj, announced.digest))

    def _arrived(self, received: Received) -> Ack | None:
        """A letter is complete: keep it, unless it was here before."""
        if received.digest in self._seen:
            return Ack(of=received.digest) if self._seen[received.digest] else None
        held = sum(len(other.obj or b"") for other in self.waiting)
        if len(self.waiting) >= MAX_WAITING or held > MAX_WAITING_BYTES or len(self._seen) >= MAX_LETTERS:
            raise PeerError("the other side sends more than it may")
        self._seen[received.digest] = False
        self.waiting.append(received)
        return None
