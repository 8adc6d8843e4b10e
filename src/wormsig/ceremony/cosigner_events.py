"""What can happen on a cosigner's side of a ceremony: the events, and nothing about what follows from them.

What moves what stands in the table of `cosigner_state`; `cosigner` gives these names again. No event holds a secret.
"""

from __future__ import annotations

from typing import Literal

from wormsig.ceremony.events import Event, decode_event
from wormsig.ceremony.messages import Result  # noqa: TC001  msgspec reads the annotation when it decodes


class Received(Event, frozen=True, tag="received"):
    """The whole PSBT is here, and nothing was believed yet."""

    ceremony: str
    network: str
    wallet: str | None
    wallet_name: str | None
    psbt: bytes
    psbt_sha256: str
    threshold: int
    at: int = 0


class Reviewed(Event, frozen=True, tag="reviewed"):
    """The review's verdict on exactly these bytes."""

    psbt_sha256: str
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    at: int = 0


class Approved(Event, frozen=True, tag="approved"):
    """A person, -y, or a policy agreed to sign."""

    psbt_sha256: str
    by: Literal["person", "unattended", "policy"]


class Declined(Event, frozen=True, tag="declined"):
    """Not signed, and why."""

    reason: str
    by: Literal["person", "review", "policy"]


class Signed(Event, frozen=True, tag="signed"):
    """What the signer returned, less what it signed beyond the review (THREATS C23)."""

    psbt: bytes


class Answered(Event, frozen=True, tag="answered"):
    """The coordinator acknowledged the signatures."""


class DeclineTold(Event, frozen=True, tag="decline-told"):
    """The coordinator acknowledged the reason."""


class Judged(Event, frozen=True, tag="judged"):
    """What the coordinator says it took."""

    accepted: int
    rejected: int
    problems: tuple[str, ...] = ()


class OutcomeReceived(Event, frozen=True, tag="outcome-received"):
    """How it ended, as the coordinator says it.

    Attributes:
        result: What the coordinator says.
        txid: Id of the final transaction, when it came along and is the one that was approved; display hex.
        transaction: What came along, network serialization.
        reason: The coordinator's words.
        lie: What it says does not fit what was approved (THREATS R12).
        claimed_txid: The id that the coordinator named, true or not.
    """

    result: Result
    txid: str | None
    transaction: bytes | None
    reason: str
    lie: bool = False
    claimed_txid: str | None = None


CosignerEvent = (
    Received | Reviewed | Approved | Declined | Signed | Answered | DeclineTold | Judged | OutcomeReceived
)  # fmt: skip


def decode(body: bytes) -> CosignerEvent:
    """Read one event from the journal.

    Args:
        body: As `events.encode_event` wrote it.

    Returns:
        The event.

    Raises:
        StorageError: Not an event of the cosigner.
    """
    event: CosignerEvent = decode_event(body, CosignerEvent)
    return event
