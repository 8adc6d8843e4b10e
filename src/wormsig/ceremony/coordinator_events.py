"""What can happen to a coordinator's ceremony: the events, and nothing about what follows from them.

What moves what stands in the tables of `coordinator`, which gives these names again. No event holds a secret: no
code, no key, no passphrase. `letter` is the digest (`wire.digest`, hex) of the letter that an event stands for: the
pair's transcript is made of them (`transcript`).
"""

from __future__ import annotations

from typing import Literal

from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.ceremony.events import Event, HeldPreimage, HeldSignature, decode_event
from wormsig.ceremony.messages import Result, Seen  # noqa: TC001  msgspec reads the annotation when it decodes


class Proposed(Event, frozen=True, tag="proposed"):
    """The ceremony began; its PSBT was reviewed and never changes but by signatures.

    Attributes:
        ceremony: 32 hex digits, random.
        network: The network's name.
        wallet: The agreed wallet's id, when there is one.
        wallet_name: Our own name for it.
        psbt: The reviewed PSBT, as every cosigner gets it.
        threshold: Signatures that every input needs.
        cosigners: Our names for those who are sent a code, each once.
        allowed_sighash: Sighash types that are accepted.
        wait_all: Wait for every cosigner, also beyond the threshold.
        at: Unix time.
        total: Keys in the wallet; 0 when that is not known.
        broadcast: Whether the transaction may be broadcast at the end.
        chain: One cosigner after another, each with the signatures of those before.
        tell_reasons: Everybody is told why others declined.
        sats: What leaves the wallet, when that is known.
        warnings: Finding codes of our own review, which has no errors.
        by: Who agreed to send it, and to sign it where we sign.
    """

    ceremony: str
    network: str
    wallet: str | None
    wallet_name: str | None
    psbt: bytes
    threshold: int
    cosigners: tuple[str, ...]
    allowed_sighash: tuple[int, ...] = (SIGHASH_ALL,)
    wait_all: bool = False
    at: int = 0
    total: int = 0
    broadcast: bool = True
    chain: bool = False
    tell_reasons: bool = False
    sats: int | None = None
    warnings: tuple[str, ...] = ()
    by: Literal["person", "unattended"] | None = None


class TurnCame(Event, frozen=True, tag="turn-came"):
    """In a chain: the cosigner is next, and is sent our copy as it is now."""

    cosigner: str


class Connected(Event, frozen=True, tag="connected"):
    """Somebody who had this cosigner's code, or the secret of an earlier connection, is there and speaks our protocol.

    Attributes:
        cosigner: Whose code.
        verifier: The connection's verifier words.
        link: SHA-256 of the secret by which both sides find each other again, hex.
    """

    cosigner: str
    verifier: str = ""
    link: str = ""


class Offered(Event, frozen=True, tag="offered"):
    """The cosigner acknowledged the whole PSBT."""

    cosigner: str
    letter: str = ""


class CodeBurned(Event, frozen=True, tag="code-burned"):
    """A code of this cosigner was used up without a pairing."""

    cosigner: str
    why: str


class Lost(Event, frozen=True, tag="lost"):
    """The connection ended before an answer came, or none came about."""

    cosigner: str
    why: str


class Contributed(Event, frozen=True, tag="contributed"):
    """An answer's good part: signatures and preimages that verified on our own copy and were new to it.

    Attributes:
        cosigner: Whose code brought them (which says nothing about whose they are); None: signed here, or from a file.
        signatures: At least one, or at least one preimage.
        rejected: Signatures of the answer that were not taken.
        problems: Which, and why; the first ones.
        ignored: Other fields that came back changed and were left (THREATS R5); the first ones.
        returned_sha256: Of the whole answer, hex.
        preimages: For miniscript.
    """

    cosigner: str | None
    signatures: tuple[HeldSignature, ...]
    rejected: int = 0
    problems: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    returned_sha256: str = ""
    preimages: tuple[HeldPreimage, ...] = ()
    letter: str = ""


class NothingNew(Event, frozen=True, tag="nothing-new"):
    """An answer that held good signatures, all of which were here already (THREATS R6).

    Attributes:
        cosigner: Whose code brought it.
        rejected: Signatures of the answer that were not taken.
        problems: Which, and why; the first ones.
        ignored: Other fields that came back changed and were left; the first ones.
        returned_sha256: Of the whole answer, hex.
    """

    cosigner: str
    rejected: int = 0
    problems: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    returned_sha256: str = ""
    letter: str = ""


class Misbehaved(Event, frozen=True, tag="misbehaved"):
    """An answer of which nothing could be taken: malformed, another transaction, no good signature."""

    cosigner: str
    problem: str
    letter: str = ""


class Declined(Event, frozen=True, tag="declined"):
    """A cosigner said no."""

    cosigner: str
    reason: str
    letter: str = ""


class JudgedTold(Event, frozen=True, tag="judged-told"):
    """The cosigner acknowledged what we took of the answer."""

    cosigner: str
    letter: str = ""


class WaitEnded(Event, frozen=True, tag="wait-ended"):
    """Cosigners beyond the threshold are not waited for any more, though `wait_all` was asked for."""

    why: str


class Finalized(Event, frozen=True, tag="finalized"):
    """The threshold was reached and every input's script holds.

    Attributes:
        transaction: The final transaction, network serialization.
        txid: Its id, display hex.
    """

    transaction: bytes
    txid: str


class BroadcastAgreed(Event, frozen=True, tag="broadcast-agreed"):
    """A person, or -y, said that the transaction is to be broadcast."""


class BroadcastDeclined(Event, frozen=True, tag="broadcast-declined"):
    """The transaction is kept, not broadcast."""

    reason: str = ""


class NodeRefused(Event, frozen=True, tag="node-refused"):
    """The node would not take it, or did not; it can be tried again."""

    reason: str


class BroadcastDone(Event, frozen=True, tag="broadcast-done"):
    """Our node has the transaction."""

    txid: str


class OutcomeTold(Event, frozen=True, tag="outcome-told"):
    """A cosigner acknowledged an outcome.

    Attributes:
        cosigner: Who.
        result: What they were told. A ceremony that failed can go on, and then they have to be told again.
    """

    cosigner: str
    result: Result | None = None
    letter: str = ""


class FarewellReceived(Event, frozen=True, tag="farewell-received"):
    """A cosigner's last letter.

    Attributes:
        cosigner: Who.
        seen: Where their node sees the final transaction, as they say.
        head: Their head of the pair's transcript.
    """

    cosigner: str
    seen: Seen
    head: str
    letter: str = ""


class Cancelled(Event, frozen=True, tag="cancelled"):
    """The coordinator gave up."""

    reason: str


CoordinatorEvent = (
    Proposed | TurnCame | Connected | Offered | CodeBurned | Lost | Contributed | NothingNew | Misbehaved | Declined
    | JudgedTold | WaitEnded | Finalized | BroadcastAgreed | BroadcastDeclined | NodeRefused | BroadcastDone
    | OutcomeTold | FarewellReceived | Cancelled
)  # fmt: skip


def decode(body: bytes) -> CoordinatorEvent:
    """Read one event from the journal.

    Args:
        body: As `events.encode_event` wrote it.

    Returns:
        The event.

    Raises:
        StorageError: Not an event of the coordinator.
    """
    event: CoordinatorEvent = decode_event(body, CoordinatorEvent)
    return event
