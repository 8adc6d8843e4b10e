"""What can happen on a cosigner's side of a ceremony: the events, and nothing about what follows from them.

What moves what stands in the table of `cosigner_state`; `cosigner` gives these names again. No event holds a secret.
`letter` is the digest (`wire.digest`, hex) of the letter that an event stands for: the pair's transcript is made of
them (`transcript`).
"""

from __future__ import annotations

from typing import Literal

from wormsig.ceremony.events import Event, decode_event
from wormsig.ceremony.messages import Result, Seen  # noqa: TC001  msgspec reads the annotation when it decodes


class Received(Event, frozen=True, tag="received"):
    """The whole PSBT is here, and nothing was believed yet.

    Attributes:
        ceremony: The ceremony's id, of the coordinator's choice.
        network: In the coordinator's words.
        wallet: Id of the wallet that the coordinator means.
        wallet_name: Our own name for that wallet, when it is here.
        psbt: The PSBT.
        psbt_sha256: Its SHA-256, hex.
        threshold: In the coordinator's words.
        at: Unix time.
    """

    ceremony: str
    network: str
    wallet: str | None
    wallet_name: str | None
    psbt: bytes
    psbt_sha256: str
    threshold: int
    at: int = 0
    letter: str = ""


class Linked(Event, frozen=True, tag="linked"):
    """A connection to the coordinator, the first or a later one, on which the PSBT was offered.

    Attributes:
        verifier: The connection's verifier words.
        link: SHA-256 of the secret by which both sides find each other again, hex.
    """

    verifier: str
    link: str = ""


class Reviewed(Event, frozen=True, tag="reviewed"):
    """The review's verdict on exactly these bytes.

    Attributes:
        psbt_sha256: Of what was reviewed, hex.
        errors: Finding codes.
        warnings: Finding codes.
        at: Unix time.
        wallet_name: Our own name for the wallet it was reviewed for.
        sats: What would leave the wallet, when that is known.
    """

    psbt_sha256: str
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    at: int = 0
    wallet_name: str | None = None
    sats: int | None = None


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

    letter: str = ""


class DeclineTold(Event, frozen=True, tag="decline-told"):
    """The coordinator acknowledged the reason."""

    letter: str = ""


class Judged(Event, frozen=True, tag="judged"):
    """What the coordinator says it took."""

    accepted: int
    rejected: int
    problems: tuple[str, ...] = ()
    letter: str = ""


class OutcomeReceived(Event, frozen=True, tag="outcome-received"):
    """How it ended, as the coordinator says it.

    Attributes:
        result: What the coordinator says.
        txid: Id of the final transaction, when it came along and is the one that was approved; display hex.
        transaction: What came along, network serialization.
        reason: The coordinator's words.
        lie: What it says does not fit what was approved (THREATS R12).
        claimed_txid: The id that the coordinator named, true or not.
        head: The coordinator's head of the pair's transcript.
    """

    result: Result
    txid: str | None
    transaction: bytes | None
    reason: str
    lie: bool = False
    claimed_txid: str | None = None
    head: str = ""
    letter: str = ""


class FarewellTold(Event, frozen=True, tag="farewell-told"):
    """The coordinator acknowledged our last letter.

    Attributes:
        seen: Where our own node saw the final transaction.
    """

    seen: Seen
    letter: str = ""


CosignerEvent = (
    Received | Linked | Reviewed | Approved | Declined | Signed | Answered | DeclineTold | Judged | OutcomeReceived
    | FarewellTold
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
