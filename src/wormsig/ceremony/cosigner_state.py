"""The state of a cosigner's side, and every transition of it.

`PHASES` holds them all; docs/state-machines.md is drawn from it. What is to be done in a state, and which event an
answer makes, stands in `cosigner`.
"""

from __future__ import annotations

import enum
import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

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
)
from wormsig.ceremony.events import Event, impossible, step
from wormsig.ceremony.transcript import SILENCE, Transcript, cosigner_letter
from wormsig.errors import StorageError, WormsigError
from wormsig.psbt import codec

if TYPE_CHECKING:
    from collections.abc import Iterable


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


MAY_GO_ON = ("failed", "cancelled")
"""Results after which the coordinator may come again."""

# The same ceremony may come again over a new code: who declined, and whose coordinator failed, may think again; who has
# signed sends the same signature. Who has answered stays so, whatever happens afterwards. An acknowledgement that comes
# after the last outcome (a late signer's) leads nowhere any more: `evolve` leaves such a ceremony over.
PHASES: dict[tuple[Phase, type[Event]], Phase] = {
    (Phase.NEW, Received): Phase.RECEIVED,
    **{
        (phase, Reviewed): Phase.REVIEWED
        for phase in (
            Phase.RECEIVED, Phase.REVIEWED, Phase.APPROVED, Phase.DECLINED, Phase.DECLINE_TOLD, Phase.OVER,
        )
    },
    (Phase.REVIEWED, Approved): Phase.APPROVED,
    (Phase.APPROVED, Signed): Phase.SIGNED,
    **{
        (phase, Answered): Phase.ANSWERED
        for phase in (Phase.SIGNED, Phase.ANSWERED, Phase.DECLINED, Phase.DECLINE_TOLD, Phase.OVER)
    },
    (Phase.ANSWERED, Judged): Phase.ANSWERED,
    **{
        (phase, Declined): Phase.DECLINED
        for phase in Phase if phase not in (Phase.NEW, Phase.ANSWERED)
    },
    (Phase.ANSWERED, Declined): Phase.ANSWERED,
    (Phase.DECLINED, DeclineTold): Phase.DECLINE_TOLD,
    (Phase.ANSWERED, DeclineTold): Phase.ANSWERED,
    # The coordinator may end it at any time: the threshold was reached without us, or it gave up.
    **{(phase, OutcomeReceived): Phase.OVER for phase in Phase if phase is not Phase.NEW},
    **{(phase, Linked): phase for phase in Phase if phase is not Phase.NEW},
    **{(phase, FarewellTold): phase for phase in Phase if phase is not Phase.NEW},
}  # fmt: skip


class CosignerState(msgspec.Struct, frozen=True):
    """Everything a cosigner's side knows, rebuilt from the journal by `replay`.

    Attributes:
        phase: Where it stands.
        received: The first event; None before it.
        reviewed_sha256: Hash of the PSBT that was reviewed last.
        approved_sha256: Hash of the PSBT that was approved last.
        signed: What the signer gave, ready to be sent.
        withdrawn: A person said no after it was signed: it is not sent (again), whoever asks.
        judged: What the coordinator says it took, at last.
        judgements: How often it has said so.
        outcome: How it ended.
        reason: Why it was declined.
        wallet_name: Our own name for the wallet.
        sats: What would leave the wallet, as reviewed.
        link: SHA-256 of the secret by which the coordinator can be found again, hex; empty without one.
        farewell: The coordinator has our last letter.
        transcript: What was said.
    """

    phase: Phase = Phase.NEW
    received: Received | None = None
    reviewed_sha256: str = ""
    approved_sha256: str = ""
    signed: bytes | None = None
    withdrawn: bool = False
    judged: Judged | None = None
    judgements: int = 0
    outcome: OutcomeReceived | None = None
    reason: str = ""
    wallet_name: str | None = None
    sats: int | None = None
    link: str = ""
    farewell: bool = False
    transcript: Transcript = SILENCE

    @property
    def start(self) -> Received:
        """The first event, once there is one."""
        assert self.received is not None  # noqa: S101  every state after the first event has one
        return self.received


def evolve(state: CosignerState, event: CosignerEvent) -> CosignerState:
    """The state after an event.

    Args:
        state: The state before.
        event: What happened.

    Returns:
        The state after it; the one before is as it was.

    Raises:
        StorageError: An event that cannot happen in this state, or whose content cannot be (a damaged journal).
    """
    try:
        return _evolved(replace(state, phase=step(PHASES, state.phase, event, "cosigner's side")), event)
    except StorageError:
        raise
    except WormsigError as error:
        raise impossible(event, f"its content cannot be: {error.message}") from error


def _evolved(state: CosignerState, event: CosignerEvent) -> CosignerState:  # noqa: PLR0911  one per event
    _check(state, event)
    letter = cosigner_letter(event)
    if letter is not None:
        state = replace(state, transcript=state.transcript.with_letter(*letter))
    if isinstance(event, Answered) and state.outcome is not None and state.outcome.result not in MAY_GO_ON:
        return replace(state, phase=Phase.OVER)
    match event:
        case Received():
            return replace(state, received=event, wallet_name=event.wallet_name)
        case Linked():
            return replace(state, link=event.link or state.link)
        case Reviewed():
            name = event.wallet_name or state.wallet_name
            state = replace(state, wallet_name=name, sats=event.sats)
            return replace(state, reviewed_sha256=event.psbt_sha256, approved_sha256="", outcome=None)
        case Approved():
            return replace(state, approved_sha256=event.psbt_sha256)
        case Declined():
            withdrawn = state.withdrawn or (state.signed is not None and event.by == "person")
            return replace(state, reason=event.reason, withdrawn=withdrawn)
        case Signed():
            return replace(state, signed=event.psbt)
        case _:
            return _after_signing(state, event)


def _after_signing(state: CosignerState, event: CosignerEvent) -> CosignerState:
    match event:
        case Answered():
            return replace(state, outcome=None)
        case Judged():
            return replace(state, judged=event, judgements=state.judgements + 1)
        case OutcomeReceived():
            return replace(state, outcome=event, farewell=False)
        case FarewellTold():
            return replace(state, farewell=True)
        case _:
            return state


def _check(state: CosignerState, event: CosignerEvent) -> None:
    """Refuse an event whose content cannot be.

    Raises:
        StorageError: It does not fit what was there before.
        WormsigError: Its PSBT is none.
    """
    if isinstance(event, Received) and hashlib.sha256(event.psbt).hexdigest() != event.psbt_sha256:
        raise impossible(event, "its PSBT is not the one that arrived")
    if isinstance(event, Received | Signed):
        codec.parse(event.psbt)
    if isinstance(event, Approved) and event.psbt_sha256 != state.reviewed_sha256:
        raise impossible(event, "another PSBT was reviewed")
    if isinstance(event, Reviewed) and state.signed is not None:
        raise impossible(event, "it is signed already; the same signature is sent again")
    if isinstance(event, Answered) and state.signed is None:
        raise impossible(event, "nothing was signed")


def replay(events: Iterable[CosignerEvent]) -> CosignerState:
    """The state after all events of a journal.

    Args:
        events: In their order.

    Returns:
        The state.

    Raises:
        StorageError: A journal that cannot be.
    """
    state = CosignerState()
    for event in events:
        state = evolve(state, event)
    return state
