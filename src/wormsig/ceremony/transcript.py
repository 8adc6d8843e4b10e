"""What a pair said to each other, as hashes in two chains: one per direction, in the sender's order. Pure.

Both sides build the same transcript from their own journals, each tells the other its head with its last letter, and
each keeps the other's: whoever changes a letter afterwards, on either side, no longer has the head that was told. One
chain per direction, because letters that cross have no common order. What letters say stands in `messages`, how
receipts are compared in `comparison`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from wormsig.ceremony import coordinator_events as coordinator
from wormsig.ceremony import cosigner_events as cosigner
from wormsig.ceremony.messages import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.ceremony.coordinator_events import CoordinatorEvent
    from wormsig.ceremony.cosigner_events import CosignerEvent

Sender = Role
"""Whose letter it is."""

TAG = b"wormsig transcript 1"
"""What a head's preimage begins with: a new rule gets a new number."""

_START = bytes(32)


class Transcript(msgspec.Struct, frozen=True):
    """The letters between a coordinator and one cosigner.

    Attributes:
        letters: Sender and digest (`wire.digest`, hex) of each, in the order in which this side knows of them. A letter
            that was sent again, because its acknowledgement was lost, stands here once.
    """

    letters: tuple[tuple[Sender, str], ...] = ()

    def with_letter(self, sender: Sender, digest: str) -> Transcript:
        """This transcript and one more letter.

        Args:
            sender: Who sent it.
            digest: Its digest, 64 hex digits; empty for an event that stands for no letter.

        Returns:
            The transcript; the same when the letter is in it already.
        """
        letter = (sender, digest)
        return self if not digest or letter in self.letters else Transcript((*self.letters, letter))

    def sent_by(self, sender: Sender) -> tuple[str, ...]:
        """One direction.

        Args:
            sender: Whose letters.

        Returns:
            Their digests, in the order in which they were sent.
        """
        return tuple(digest for who, digest in self.letters if who == sender)

    def head(self, ceremony: str) -> str:
        """The hash that stands for the whole transcript.

        Args:
            ceremony: The ceremony's id, 32 hex digits.

        Returns:
            SHA-256 of the tag, the id's ASCII digits and both chains, hex.
        """
        ends = (_chain(self.sent_by("coordinator"))[-1], _chain(self.sent_by("cosigner"))[-1])
        return _head(ceremony, *ends)

    def covered_by(self, ceremony: str, head: str) -> tuple[int, int] | None:
        """How much of this transcript a head stands for that the other side told.

        A letter may be under way while the other one is written, so the other side's head may stand for less than is
        known here; it never stands for something else.

        Args:
            ceremony: The ceremony's id, 32 hex digits.
            head: What the other side told, hex.

        Returns:
            How many letters of the coordinator and of the cosigner, from the first, it stands for; None when it does
            not stand for any beginning of this transcript.
        """
        ours, theirs = _chain(self.sent_by("coordinator")), _chain(self.sent_by("cosigner"))
        for sent in range(len(ours) - 1, -1, -1):
            for received in range(len(theirs) - 1, -1, -1):
                if _head(ceremony, ours[sent], theirs[received]) == head:
                    return sent, received
        return None


SILENCE = Transcript()
"""Nothing was said yet."""


def _chain(digests: Iterable[str]) -> list[bytes]:
    """The chain's value before the first letter and after each."""
    values = [_START]
    for digest in digests:
        values.append(hashlib.sha256(values[-1] + bytes.fromhex(digest)).digest())
    return values


def _head(ceremony: str, from_coordinator: bytes, from_cosigner: bytes) -> str:
    return hashlib.sha256(TAG + ceremony.encode("ascii") + from_coordinator + from_cosigner).hexdigest()


def coordinator_letter(event: CoordinatorEvent) -> tuple[str, Sender, str] | None:
    """The letter that an event of the coordinator stands for.

    Args:
        event: The event.

    Returns:
        The cosigner's name, who sent it, its digest; None when the event stands for none.
    """
    match event:
        case coordinator.Offered() | coordinator.JudgedTold() | coordinator.OutcomeTold():
            sender: Sender = "coordinator"
        case (
            coordinator.Contributed()
            | coordinator.NothingNew()
            | coordinator.Misbehaved()
            | coordinator.Declined()
            | coordinator.FarewellReceived()
        ):
            sender = "cosigner"
        case _:
            return None
    return (event.cosigner, sender, event.letter) if event.letter and event.cosigner is not None else None


def cosigner_letter(event: CosignerEvent) -> tuple[Sender, str] | None:
    """The letter that an event of a cosigner's side stands for.

    Args:
        event: The event.

    Returns:
        Who sent it, and its digest; None when the event stands for none.
    """
    match event:
        case cosigner.Received() | cosigner.Judged() | cosigner.OutcomeReceived():
            sender: Sender = "coordinator"
        case cosigner.Answered() | cosigner.DeclineTold() | cosigner.FarewellTold():
            sender = "cosigner"
        case _:
            return None
    return (sender, event.letter) if event.letter else None
