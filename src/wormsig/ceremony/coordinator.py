"""The coordinator's machine: one PSBT goes out to several cosigners, verified signatures come back.

`decide` makes events of what comes in, `pending` says what is to be done. State and transitions stand in
`coordinator_state`, the events in `coordinator_events`, what an answer is worth in `coordinator_answers`; the names
that others need are given again here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.ceremony.coordinator_answers import Answer, judged
from wormsig.ceremony.coordinator_events import (
    BroadcastAgreed,
    BroadcastDeclined,
    BroadcastDone,
    Cancelled,
    CodeBurned,
    Connected,
    Contributed,
    CoordinatorEvent,
    Declined,
    FarewellReceived,
    Finalized,
    JudgedTold,
    Lost,
    Misbehaved,
    NodeRefused,
    NothingNew,
    Offered,
    OutcomeTold,
    Proposed,
    TurnCame,
    WaitEnded,
    decode,
)
from wormsig.ceremony.coordinator_state import (
    PHASES,
    STAGES,
    CoordinatorState,
    Cosigner,
    Phase,
    Stage,
    Verdict,
    evolve,
    replay,
)
from wormsig.ceremony.machine import Machine
from wormsig.errors import InputError, PeerError, UsageError
from wormsig.psbt import codec, extractor, finalizer, verify
from wormsig.psbt.limits import MAX_PEER_PSBT, MAX_TEXT

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import Transaction
    from wormsig.ceremony.messages import Result

__all__ = [
    "MACHINE",
    "PHASES",
    "STAGES",
    "Answer",
    "BroadcastAgreed",
    "BroadcastDeclined",
    "BroadcastDone",
    "Cancelled",
    "CodeBurned",
    "Connected",
    "Contributed",
    "Converse",
    "CoordinatorEvent",
    "CoordinatorState",
    "Cosigner",
    "DecideBroadcast",
    "Declined",
    "Effect",
    "FarewellReceived",
    "Finalize",
    "FinalizeTransaction",
    "Finalized",
    "JudgedTold",
    "Lost",
    "Misbehaved",
    "NodeRefused",
    "NothingNew",
    "Offered",
    "OutcomeTold",
    "Phase",
    "Proposed",
    "Refusal",
    "Stage",
    "SubmitTransaction",
    "TellOutcome",
    "TurnCame",
    "Verdict",
    "WaitEnded",
    "begin",
    "can_cancel",
    "decide",
    "decode",
    "evolve",
    "held",
    "is_over",
    "left_behind",
    "outcome",
    "peer_at_fault",
    "pending",
    "replay",
    "shortfall",
    "untold",
]

MAX_ANSWERS = 32
"""Answers of one cosigner in one ceremony, refusals included: each is an event for ever (THREATS R10)."""


# -- inputs ----------------------------------------------------------------------------------------------------------


class Refusal(msgspec.Struct, frozen=True):
    """A cosigner said no."""

    cosigner: str
    reason: str
    letter: str = ""


class Finalize(msgspec.Struct, frozen=True):
    """The threshold may be reached: finalize."""


# -- effects ---------------------------------------------------------------------------------------------------------


class Converse(msgspec.Struct, frozen=True):
    """Talk to a cosigner: get them the PSBT, wait for the answer."""

    cosigner: str


class FinalizeTransaction(msgspec.Struct, frozen=True):
    """Enough signatures are there."""


class DecideBroadcast(msgspec.Struct, frozen=True):
    """Ask whether to broadcast."""


class SubmitTransaction(msgspec.Struct, frozen=True):
    """Hand the transaction to the node."""

    transaction: Transaction


class TellOutcome(msgspec.Struct, frozen=True):
    """Tell a cosigner how it ended."""

    cosigner: str
    result: Result


Effect = Converse | FinalizeTransaction | DecideBroadcast | SubmitTransaction | TellOutcome


# -- questions about a state -------------------------------------------------------------------------------------------


def shortfall(state: CoordinatorState) -> int:
    """Signatures still missing on the input that has the fewest; 0 when the transaction can be finalized."""
    return state.lacking


def held(state: CoordinatorState) -> int:
    """Distinct keys that have signed the input with the fewest signatures, up to the threshold."""
    return max(0, state.start.threshold - state.lacking)


def is_over(state: CoordinatorState) -> bool:
    """Whether the transaction's fate is settled; cosigners may still have to be told."""
    return state.phase in (Phase.BROADCAST, Phase.KEPT, Phase.CANCELLED)


def outcome(state: CoordinatorState, cosigner: str) -> Result | None:
    """What a cosigner is to be told.

    Args:
        state: The state.
        cosigner: One of its cosigners.

    Returns:
        The result; `not-needed` when it worked without them; None while there is no outcome.
    """
    if not is_over(state):
        return None
    if state.phase is Phase.CANCELLED:
        return "cancelled"
    if state.cosigners[cosigner].stage is not Stage.SIGNED:
        return "not-needed"
    return "broadcast" if state.phase is Phase.BROADCAST else "final"


def pending(state: CoordinatorState) -> tuple[Effect, ...]:
    """What is to be done now. Every effect may be performed more than once.

    Args:
        state: The state.

    Returns:
        The effects; none before the proposal, when all is done and told, or while signatures miss that nobody is
        asked for. In a chain the cosigners are talked with one after another, in this order.
    """
    cosigners = state.cosigners.values()
    if state.phase is Phase.COLLECTING:
        open_ones = tuple(Converse(c.name) for c in cosigners if not c.settled)
        if state.lacking == 0 and not (state.wait_all and open_ones):
            return (FinalizeTransaction(),)
        return open_ones
    if state.phase is Phase.FINALIZED:
        return (DecideBroadcast(),)
    if state.phase is Phase.AGREED:
        assert state.transaction is not None  # noqa: S101  Finalized came before
        return (SubmitTransaction(state.transaction),)
    results = [(c, outcome(state, c.name)) for c in cosigners if c.met]
    return tuple(TellOutcome(c.name, result) for c, result in results if result is not None and not _knows(c, result))


def _knows(cosigner: Cosigner, result: Result) -> bool:
    """Whether a cosigner was told all that they can be told.

    For who was told that the transaction is complete, and has it, the ceremony is over: they forget how we find them.
    That it was broadcast later their own node shows them.
    """
    return cosigner.told == result or (cosigner.told, result) == ("final", "broadcast")


def untold(state: CoordinatorState) -> tuple[str, ...]:
    """The cosigners who are still to be told how it ended; none while there is no outcome."""
    return tuple(effect.cosigner for effect in pending(state) if isinstance(effect, TellOutcome))


def can_cancel(state: CoordinatorState) -> bool:
    """Whether a person can still give the ceremony up: what is being broadcast, or was, cannot be called back."""
    return (state.phase, Cancelled) in PHASES


def left_behind(state: CoordinatorState) -> str | None:
    """What a cancellation cannot undo, in words.

    Args:
        state: The state.

    Returns:
        What remains, and what makes it harmless; None when nobody signed.
    """
    if state.transaction is not None:
        what = "the complete transaction exists"
    elif verify.verify(state.copy, allowed=state.allowed).signatures:
        what = "signatures exist"
    else:
        return None
    return (
        f"{what}, and cannot be taken back: whoever has them can still use them."
        " Its coins stay reserved here until one of them is spent elsewhere"
    )


def peer_at_fault(state: CoordinatorState) -> PeerError | None:
    """The error when peers' faults decided that the threshold was not reached.

    They did when honest answers of theirs would have been enough, or when nobody else was left out.

    Args:
        state: The state, after the last answer that can be expected.

    Returns:
        The error, which names who and what; None when too few were there or others said no.
    """
    short = [c for c in state.cosigners.values() if len(c.inputs) < len(state.copy.inputs)]
    bad = [c for c in short if c.faults]
    if not bad or state.lacking == 0 or (len(bad) < len(short) and len(bad) < state.lacking):
        return None
    return PeerError("; ".join(f"{c.name}: {c.faults[0]}" for c in bad))


# -- decide ------------------------------------------------------------------------------------------------------------


def begin(proposed: Proposed, signed: bytes | None = None) -> tuple[CoordinatorEvent, ...]:
    """The first events of a ceremony.

    Args:
        proposed: What goes out.
        signed: The PSBT as our own signer returned it.

    Returns:
        The proposal, and what our own signer signed; to be committed together.

    Raises:
        InputError: The PSBT is too large to be sent.
        PsbtError: It holds a signature that does not verify; our own signer returned none that does.
        PeerError: Our own signer returned another transaction.
    """
    if len(proposed.psbt) > MAX_PEER_PSBT:
        raise InputError(
            f"the PSBT has {len(proposed.psbt)} bytes; at most {MAX_PEER_PSBT} can be sent",
            hint="sign it from files: `wormsig sign`, `wormsig combine`",
        )
    verify.verify(codec.parse(proposed.psbt), allowed=frozenset(proposed.allowed_sighash))
    if signed is None:
        return (proposed,)
    return (proposed, *decide(evolve(CoordinatorState(), proposed), Answer(None, signed)))


def decide(state: CoordinatorState, given: Answer | Refusal | Finalize) -> tuple[CoordinatorEvent, ...]:
    """What an answer, or the wish to finalize, leads to. Everything else happens as its event says.

    Args:
        state: The state; other cosigners' events may be committed before these are.
        given: What came.

    Returns:
        The events; none when nothing changes.

    Raises:
        PeerError: The cosigner has sent more answers than anybody needs.
        WormsigError: An answer that was signed here or read from a file is bad; `Finalize` while signatures miss.
        UsageError: There is no such cosigner.
    """
    if isinstance(given, Finalize):
        return _finalized(state)
    cosigner = None
    if given.cosigner is not None:
        cosigner = state.cosigners.get(given.cosigner)
        if cosigner is None:
            raise UsageError(f"no cosigner called {given.cosigner!r} in this ceremony")
        if cosigner.answers >= MAX_ANSWERS:
            raise PeerError(f"{cosigner.name} sent more than {MAX_ANSWERS} answers")
    if isinstance(given, Refusal):
        return (Declined(given.cosigner, given.reason[:MAX_TEXT], given.letter),)
    if given.cosigner is not None and _heard(cosigner, given):
        return ()
    return judged(state, given)


def _heard(cosigner: Cosigner | None, given: Answer) -> bool:
    """Whether an answer whose signatures were taken comes again, because its acknowledgement was lost."""
    return (
        cosigner is not None
        and cosigner.stage is Stage.SIGNED
        and given.letter in cosigner.transcript.sent_by("cosigner")
    )


def _finalized(state: CoordinatorState) -> tuple[CoordinatorEvent, ...]:
    if state.phase is not Phase.COLLECTING:
        return ()
    verified = verify.verify(state.copy, allowed=state.allowed)
    transaction = extractor.extract(finalizer.finalize(verified, allowed=state.allowed), allowed=state.allowed)
    return (Finalized(transaction.serialize(), transaction.txid),)


MACHINE = Machine("coordinator", CoordinatorState(), evolve, decode, is_over)
"""What a session needs to run it."""
