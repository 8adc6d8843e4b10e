"""The cosigner's machine: a PSBT arrives, is reviewed, approved, signed, sent back; then the outcome is checked.

All transitions are in `PHASES`; docs/state-machines.md is drawn from it. What is signed is the very PSBT that was
reviewed: its hash is an event at review and is compared at signing (THREATS C20).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from wormsig.bitcoin.tx import Transaction, parse_transaction
from wormsig.ceremony.events import Event, decode_event, step
from wormsig.errors import InputError, RefusedError
from wormsig.psbt import codec
from wormsig.psbt.model import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.psbt.model import Psbt

Result = Literal["broadcast", "final", "not-needed", "cancelled", "failed"]


class Phase(enum.StrEnum):
    """Where the cosigner's side of a ceremony stands."""

    NEW = "new"
    RECEIVED = "received"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    SIGNED = "signed"
    ANSWERED = "answered"
    DECLINED = "declined"
    DECLINE_TOLD = "decline-told"
    OVER = "over"


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
    """How it ended, as the coordinator says it; `lie` when the transaction is not the one we approved (R12)."""

    result: Result
    txid: str | None
    transaction: bytes | None
    reason: str
    lie: bool = False


class LeftEarly(Event, frozen=True, tag="left-early"):
    """The wait for the outcome ended without one: what was signed is signed."""

    why: str


CosignerEvent = (
    Received | Reviewed | Approved | Declined | Signed | Answered | DeclineTold | Judged | OutcomeReceived | LeftEarly
)  # fmt: skip

PHASES: dict[tuple[Phase, type[Event]], Phase] = {
    (Phase.NEW, Received): Phase.RECEIVED,
    (Phase.RECEIVED, Reviewed): Phase.REVIEWED,
    (Phase.REVIEWED, Reviewed): Phase.REVIEWED,
    (Phase.REVIEWED, Approved): Phase.APPROVED,
    (Phase.APPROVED, Reviewed): Phase.REVIEWED,
    (Phase.REVIEWED, Declined): Phase.DECLINED,
    (Phase.APPROVED, Declined): Phase.DECLINED,
    (Phase.APPROVED, Signed): Phase.SIGNED,
    (Phase.SIGNED, Answered): Phase.ANSWERED,
    (Phase.ANSWERED, Judged): Phase.ANSWERED,
    (Phase.DECLINED, DeclineTold): Phase.DECLINE_TOLD,
    # The coordinator may end it at any time: the threshold was reached without us, or it gave up.
    **{(phase, OutcomeReceived): Phase.OVER for phase in Phase if phase is not Phase.NEW},
    **{(phase, LeftEarly): phase for phase in (Phase.ANSWERED, Phase.DECLINE_TOLD)},
}


@dataclass(frozen=True, slots=True)
class CosignerState:
    """Everything a cosigner's side knows, rebuilt from the journal by `replay`.

    Attributes:
        phase: Where it stands.
        received: The first event; None before it.
        approved_sha256: Hash of the PSBT that was approved.
        signed: What the signer gave, ready to be sent.
        judged: What the coordinator says it took.
        outcome: How it ended.
        reason: Why it was declined.
    """

    phase: Phase = Phase.NEW
    received: Received | None = None
    reviewed_sha256: str = ""
    approved_sha256: str = ""
    signed: bytes | None = None
    judged: Judged | None = None
    outcome: OutcomeReceived | None = None
    reason: str = ""

    @property
    def start(self) -> Received:
        """The first event, once there is one."""
        assert self.received is not None  # noqa: S101  every state after the first event has one
        return self.received


# -- effects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    """Review the PSBT and ask."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Have the approved PSBT signed."""


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """Send the signatures back."""

    psbt: bytes


@dataclass(frozen=True, slots=True)
class SendDecline:
    """Send the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class AwaitOutcome:
    """Wait for what becomes of it."""


Effect = Review | Sign | SendAnswer | SendDecline | AwaitOutcome


def pending(state: CosignerState) -> Effect | None:
    """What is to be done now; None when it is over. Every effect may be performed more than once."""
    match state.phase:
        case Phase.RECEIVED | Phase.REVIEWED:
            return Review()
        case Phase.APPROVED:
            return Sign()
        case Phase.SIGNED:
            assert state.signed is not None  # noqa: S101  Signed came before
            return SendAnswer(state.signed)
        case Phase.DECLINED:
            return SendDecline(state.reason)
        case Phase.ANSWERED:
            return AwaitOutcome()
        case _:
            return None


def is_over(state: CosignerState) -> bool:
    """Whether nothing is left to do on this side."""
    return state.phase in (Phase.OVER, Phase.DECLINE_TOLD)


# -- decide ------------------------------------------------------------------------------------------------------------


def approve(state: CosignerState, psbt_sha256: str, by: Literal["person", "unattended", "policy"]) -> Approved:
    """The event of an approval.

    Raises:
        RefusedError: The approved bytes are not the reviewed ones (THREATS C20).
    """
    if psbt_sha256 != state.reviewed_sha256:
        raise RefusedError("the PSBT changed between review and approval; nothing was signed")
    return Approved(psbt_sha256, by)


def signed(state: CosignerState, given: Psbt, result: Psbt) -> Signed:
    """The event of a signature.

    Args:
        state: The state.
        given: What the signer got.
        result: What it returned, stripped.

    Raises:
        RefusedError: The signer got other bytes than were approved (THREATS C20).
    """
    if sha256(given) != state.approved_sha256:
        raise RefusedError("the PSBT changed between approval and signing; the signature was not kept")
    return Signed(codec.serialize(result))


def outcome(
    state: CosignerState, result: Result, txid: str | None, transaction: bytes | None, reason: str
) -> OutcomeReceived:
    """The event of an outcome: the final transaction is compared with the one that was approved (THREATS R12)."""
    lie = False
    if transaction is not None:
        try:
            final = parse_transaction(transaction)
            lie = not same_payment(final, codec.parse(state.start.psbt).tx) or (txid is not None and final.txid != txid)
        except InputError:
            lie = True
    elif result == "broadcast":
        lie = True  # an outcome without the transaction cannot be checked
    return OutcomeReceived(result, txid, transaction, reason, lie=lie)


def same_payment(final: Transaction, unsigned: Transaction) -> bool:
    """Whether a final transaction is the unsigned one with scripts and witnesses added."""
    bare = tuple(replace(each, script_sig=b"") for each in final.inputs)
    return replace(final, inputs=bare, witnesses=()).serialize(witness=False) == unsigned.serialize(witness=False)


# -- evolve ------------------------------------------------------------------------------------------------------------


def evolve(state: CosignerState, event: CosignerEvent) -> CosignerState:  # noqa: PLR0911  one return per event
    """The state after an event.

    Raises:
        StorageError: An event that cannot happen in this state (a damaged journal).
    """
    state = replace(state, phase=step(PHASES, state.phase, event, "cosigner's side"))
    match event:
        case Received():
            return replace(state, received=event)
        case Reviewed():
            return replace(state, reviewed_sha256=event.psbt_sha256)
        case Approved():
            return replace(state, approved_sha256=event.psbt_sha256)
        case Declined():
            return replace(state, reason=event.reason)
        case Signed():
            return replace(state, signed=event.psbt)
        case Judged():
            return replace(state, judged=event)
        case OutcomeReceived():
            return replace(state, outcome=event)
        case _:
            return state


def replay(events: Iterable[CosignerEvent]) -> CosignerState:
    """The state after all events of a journal. Raises StorageError for a journal that cannot be."""
    state = CosignerState()
    for event in events:
        state = evolve(state, event)
    return state


def decode(body: bytes) -> CosignerEvent:
    """Read one event from the journal. Raises StorageError for anything else."""
    event: CosignerEvent = decode_event(body, CosignerEvent)
    return event
