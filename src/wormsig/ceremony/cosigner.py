"""The cosigner's machine: a PSBT arrives, is reviewed, approved, signed, sent back; then the outcome is checked.

State and transitions stand in `cosigner_state`, the events in `cosigner_events`, and all their names are given again
here. What is signed is the very PSBT that was reviewed: its hash is an event at review and is compared at signing
(THREATS C20). A signature that was given once is in the journal and is sent again when the ceremony comes again; nobody
is asked for a second one.
"""

from __future__ import annotations

from dataclasses import replace  # noqa: TID251  `Transaction` is a dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import structs

from wormsig.bitcoin.sighash import ECDSA_TYPES
from wormsig.bitcoin.tx import Transaction, parse_transaction
from wormsig.ceremony.cosigner_events import (
    Answered,
    Approved,
    CosignerEvent,
    Declined,
    DeclineTold,
    FarewellTold,
    Judged,
    Linked,
    OutcomeReceived,
    Received,
    Reviewed,
    Signed,
    decode,
)
from wormsig.ceremony.cosigner_state import MAY_GO_ON, PHASES, CosignerState, Phase, evolve, replay
from wormsig.ceremony.machine import Machine
from wormsig.ceremony.messages import MAX_PROBLEMS, Result
from wormsig.errors import InputError, PeerError, RefusedError
from wormsig.psbt import codec, finals
from wormsig.psbt.limits import MAX_TEXT
from wormsig.psbt.model import sha256, spent_output

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

__all__ = [
    "MACHINE",
    "PHASES",
    "Answered",
    "Approved",
    "AwaitOutcome",
    "CosignerEvent",
    "CosignerState",
    "DeclineTold",
    "Declined",
    "Effect",
    "FarewellTold",
    "Judged",
    "Linked",
    "OutcomeReceived",
    "Phase",
    "Received",
    "Result",
    "Review",
    "Reviewed",
    "SendAnswer",
    "SendDecline",
    "Sign",
    "Signed",
    "approve",
    "can_cancel",
    "decode",
    "evolve",
    "is_complete",
    "is_over",
    "judged",
    "left_behind",
    "outcome",
    "pending",
    "replay",
    "same_payment",
    "signed",
]

MAX_JUDGEMENTS = 32
"""Judgements of one ceremony that are kept: each is an event for ever (THREATS R10)."""


# -- effects ---------------------------------------------------------------------------------------------------------


class Review(msgspec.Struct, frozen=True):
    """Review the PSBT and ask."""


class Sign(msgspec.Struct, frozen=True):
    """Have the approved PSBT signed."""


class SendAnswer(msgspec.Struct, frozen=True):
    """Send the signatures back."""

    psbt: bytes


class SendDecline(msgspec.Struct, frozen=True):
    """Send the reason."""

    reason: str


class AwaitOutcome(msgspec.Struct, frozen=True):
    """Wait for what becomes of it."""


Effect = Review | Sign | SendAnswer | SendDecline | AwaitOutcome


def pending(state: CosignerState) -> Effect | None:
    """What is to be done now.

    Args:
        state: The state.

    Returns:
        The effect, which may be performed more than once; None before the first event, and when it is over.
    """
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


def is_complete(state: CosignerState) -> bool:
    """Whether the transaction is complete, so that the ceremony cannot be taken up again."""
    return state.phase is Phase.OVER and state.outcome is not None and state.outcome.result not in MAY_GO_ON


def can_cancel(state: CosignerState) -> bool:
    """Whether a person can still give this side up: not when an answer has gone out, nor when all is complete."""
    return state.phase is not Phase.ANSWERED and not is_complete(state)


def left_behind(state: CosignerState) -> str | None:
    """What no cancellation can undo, in words.

    Args:
        state: The state.

    Returns:
        What remains, and what makes it worthless; None when nothing was signed here.
    """
    if state.signed is None:
        return None
    if is_complete(state):
        return (
            "the transaction is complete, and your signature in it cannot be taken back; while it is not mined, only"
            " spending one of its coins with a higher fee can take its place"
        )
    return (
        "your signature has left this machine and cannot be taken back; to make it worthless, spend one of its coins"
        " elsewhere. They stay reserved here until then"
    )


# -- decide ------------------------------------------------------------------------------------------------------------


def approve(state: CosignerState, psbt_sha256: str, by: Literal["person", "unattended", "policy"]) -> Approved:
    """The event of an approval.

    Args:
        state: The state, after a review.
        psbt_sha256: Hash of what was approved, hex.
        by: Who said yes.

    Returns:
        The event.

    Raises:
        RefusedError: The approved bytes are not the reviewed ones (THREATS C20).
    """
    if psbt_sha256 != state.reviewed_sha256:
        raise RefusedError("the PSBT changed between review and approval; nothing was signed")
    return Approved(psbt_sha256, by)


def signed(state: CosignerState, given: Psbt, result: Psbt) -> Signed:
    """The event of a signature.

    Args:
        state: The state, after an approval.
        given: What the signer got.
        result: What it returned, stripped.

    Returns:
        The event.

    Raises:
        RefusedError: The signer got other bytes than were approved, or signed another transaction than the one that
            arrived (THREATS C20).
    """
    if sha256(given) != state.approved_sha256:
        raise RefusedError("the PSBT changed between approval and signing; the signature was not kept")
    arrived = codec.parse(state.start.psbt).tx
    if given.tx != arrived or result.tx != arrived:
        raise RefusedError("what was signed is not the transaction that arrived; the signature was not kept")
    return Signed(codec.serialize(result))


def judged(
    state: CosignerState, accepted: int, rejected: int, problems: tuple[str, ...], *, letter: str = ""
) -> Judged:
    """The event of a judgement.

    Args:
        state: The state, after the answer.
        accepted: Signatures that the coordinator says it took.
        rejected: Signatures that it says it did not take.
        problems: Why.
        letter: The letter's digest.

    Returns:
        The event.

    Raises:
        PeerError: The coordinator has said so more often than it has any reason to.
    """
    if state.judgements >= MAX_JUDGEMENTS:
        raise PeerError(f"the coordinator judged the same answer more than {MAX_JUDGEMENTS} times")
    return Judged(accepted, rejected, tuple(text[:MAX_TEXT] for text in problems[:MAX_PROBLEMS]), letter)


def outcome(
    state: CosignerState,
    result: Result,
    txid: str | None,
    transaction: bytes | None,
    reason: str,
    *,
    head: str = "",
    letter: str = "",
) -> OutcomeReceived:
    """The event of an outcome: the final transaction is compared with the one that arrived (THREATS R12).

    Args:
        state: The state.
        result: What the coordinator says.
        txid: The id that it names, display hex.
        transaction: What it sent along, network serialization.
        reason: Its words.
        head: Its head of the transcript.
        letter: The letter's digest.

    Returns:
        The event; a `lie` when it names a transaction that it does not show, or shows another one, or one whose
        scripts do not satisfy the coins.

    Raises:
        PeerError: It contradicts a broadcast that it has proven before; what was proven stays.
    """
    event = OutcomeReceived(result, None, transaction, reason, claimed_txid=txid, head=head, letter=letter)
    event = _checked(state, event)
    known = state.outcome
    proven = known.txid if known is not None and known.result == "broadcast" and not known.lie else None
    if proven is not None and (event.txid != proven or event.result in MAY_GO_ON):
        raise PeerError("the coordinator takes back that the transaction was broadcast")
    return event


def _checked(state: CosignerState, event: OutcomeReceived) -> OutcomeReceived:
    if event.transaction is None:
        return structs.replace(event, lie=event.claimed_txid is not None or event.result in ("broadcast", "final"))
    try:
        final = parse_transaction(event.transaction)
        lie = not _is_ours(state, final) or event.claimed_txid not in (None, final.txid)
    except InputError:
        return structs.replace(event, lie=True)
    return structs.replace(event, txid=None if lie else final.txid, lie=lie)


def _is_ours(state: CosignerState, final: Transaction) -> bool:
    """Whether a final transaction is what arrived, with scripts that satisfy every coin, as far as can be seen here."""
    psbt = codec.parse(state.start.psbt if state.signed is None else state.signed)
    if not same_payment(final, psbt.tx):
        return False
    stacks = final.witnesses or ((),) * len(final.inputs)
    given = {
        index: finals.FinalScripts(txin.script_sig, stack)
        for index, (txin, stack) in enumerate(zip(final.inputs, stacks, strict=True))
        if spent_output(psbt, index) is not None
    }
    checks = finals.match(psbt, given, ECDSA_TYPES)
    return all(check.state is not finals.FinalState.INVALID for check in checks)


def same_payment(final: Transaction, unsigned: Transaction) -> bool:
    """Whether a final transaction is the unsigned one with scripts and witnesses added.

    Args:
        final: The final transaction.
        unsigned: The unsigned one.

    Returns:
        Whether version, inputs, sequences, outputs and locktime are the same.
    """
    bare = tuple(structs.replace(each, script_sig=b"") for each in final.inputs)
    return replace(final, inputs=bare, witnesses=()).serialize(witness=False) == unsigned.serialize(witness=False)


MACHINE = Machine("cosigner", CosignerState(), evolve, decode, is_over)
"""What a session needs to run it."""
