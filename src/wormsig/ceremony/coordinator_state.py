"""The coordinator's state and every transition of it.

Two tables hold them all: `PHASES` for the ceremony, `STAGES` for each cosigner; docs/state-machines.md is drawn from
them. What is to be done in a state, and which event an answer makes, stands in `coordinator`. Only signatures that
verify on the coordinator's own copy become part of the state: `evolve` checks it once more, so that neither a damaged
journal nor a mistake of a driver can bring another one in.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from wormsig.bitcoin.tx import Transaction, parse_transaction
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
)
from wormsig.ceremony.events import Event, impossible, step
from wormsig.ceremony.transcript import SILENCE, Transcript, coordinator_letter
from wormsig.errors import StorageError, WormsigError
from wormsig.psbt import codec, combiner, finalizer, verify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.ceremony.events import HeldSignature
    from wormsig.ceremony.messages import Result
    from wormsig.psbt.model import Psbt

MAX_FAULTS = 16
"""What was wrong with one cosigner's answers: so much is remembered."""

LINKS_TRUSTED = 16
"""Digests of secrets by which a cosigner may come back, newest first: any of them may be the one that they have.

More than the secrets that `journal.secrets` keeps of a pair: each connection adds a digest here for good, also one that
came to nothing, while there the secret that both sides have stays, however old it is."""


class Phase(enum.StrEnum):
    """Where the ceremony stands."""

    NEW = "new"
    COLLECTING = "collecting"
    FINALIZED = "finalized"
    AGREED = "agreed"
    BROADCAST = "broadcast"
    KEPT = "kept"
    CANCELLED = "cancelled"


class Stage(enum.StrEnum):
    """Where one cosigner stands."""

    WAITING = "waiting"
    CONNECTED = "connected"
    OFFERED = "offered"
    SIGNED = "signed"
    NOTHING_NEW = "nothing-new"
    DECLINED = "declined"
    MISBEHAVED = "misbehaved"
    LOST = "lost"


# Everything that moves the ceremony. Events that name a cosigner stand in STAGES and can happen in every phase but NEW:
# signatures, refusals and goodbyes may still come in when all is over. So can a signature of our own or from a file.
PHASES: dict[tuple[Phase, type[Event]], Phase] = {
    (Phase.NEW, Proposed): Phase.COLLECTING,
    (Phase.COLLECTING, WaitEnded): Phase.COLLECTING,
    (Phase.COLLECTING, Finalized): Phase.FINALIZED,
    (Phase.COLLECTING, Cancelled): Phase.CANCELLED,
    (Phase.FINALIZED, BroadcastAgreed): Phase.AGREED,
    (Phase.FINALIZED, BroadcastDeclined): Phase.KEPT,
    (Phase.FINALIZED, NodeRefused): Phase.FINALIZED,
    (Phase.FINALIZED, Cancelled): Phase.CANCELLED,
    (Phase.AGREED, NodeRefused): Phase.FINALIZED,
    (Phase.AGREED, BroadcastDone): Phase.BROADCAST,
    (Phase.KEPT, BroadcastAgreed): Phase.AGREED,
    (Phase.KEPT, Cancelled): Phase.CANCELLED,
}

# Everything that moves one cosigner. Whoever was lost, declined or misbehaved may come back with a new code; who has
# signed stays so, whatever they do afterwards. No order of messages that a peer can choose is missing here.
_IN_TOUCH = (Stage.CONNECTED, Stage.OFFERED)
_ANSWERED = (Stage.SIGNED, Stage.NOTHING_NEW, Stage.DECLINED, Stage.MISBEHAVED)
_ANY = tuple(Stage)
STAGES: dict[tuple[Stage, type[Event]], Stage] = {
    **{(stage, CodeBurned): stage for stage in _ANY},
    **{(stage, Connected): Stage.CONNECTED for stage in _ANY},
    (Stage.SIGNED, Connected): Stage.SIGNED,
    **{(stage, Offered): Stage.OFFERED for stage in _IN_TOUCH},
    **{(stage, Offered): stage for stage in _ANSWERED},
    **{(stage, Contributed): Stage.SIGNED for stage in _ANY},
    **{(stage, NothingNew): Stage.NOTHING_NEW for stage in _IN_TOUCH},
    **{(stage, NothingNew): stage for stage in _ANSWERED},
    **{(stage, Misbehaved): Stage.MISBEHAVED for stage in _ANY},
    **{(stage, Misbehaved): stage for stage in (Stage.SIGNED, Stage.DECLINED)},
    **{(stage, Declined): Stage.DECLINED for stage in (*_IN_TOUCH, Stage.NOTHING_NEW, Stage.DECLINED)},
    **{(stage, Declined): stage for stage in (Stage.SIGNED, Stage.MISBEHAVED)},
    **{(stage, Lost): Stage.LOST for stage in (*_IN_TOUCH, Stage.WAITING, Stage.LOST)},
    **{(stage, Lost): stage for stage in _ANSWERED},
    **{(stage, OutcomeTold): stage for stage in _ANY},
    **{(stage, JudgedTold): stage for stage in _ANY},
    **{(stage, FarewellReceived): stage for stage in _ANY},
    **{(stage, TurnCame): stage for stage in _ANY},
}


class Verdict(msgspec.Struct, frozen=True):
    """What was taken of an answer.

    Attributes:
        accepted: Signatures that verified and were new.
        rejected: Signatures that were not taken.
        problems: Why; the first ones.
    """

    accepted: int
    rejected: int
    problems: tuple[str, ...] = ()


class Cosigner(msgspec.Struct, frozen=True):
    """What is known of one cosigner.

    Attributes:
        name: Our own name for them.
        stage: Where they stand.
        met: They were connected at some time.
        burned: Codes used up without a pairing.
        answers: Answers and refusals so far.
        inputs: The inputs that their answers brought new signatures for.
        note: Their reason, or what was wrong.
        faults: What was wrong with their answers; the first ones.
        told: The outcome that they acknowledged last.
        links: SHA-256 of the secrets by which they may come back, hex, newest first.
        owed: What was taken of their last answer, until they know it.
        offer: In a chain: what they are sent, from their turn on.
        farewell: They sent their last letter after the outcome that they acknowledged last.
        transcript: What was said.
    """

    name: str
    stage: Stage = Stage.WAITING
    met: bool = False
    burned: int = 0
    answers: int = 0
    inputs: frozenset[int] = frozenset()
    note: str = ""
    faults: tuple[str, ...] = ()
    told: Result | None = None
    links: tuple[str, ...] = ()
    owed: Verdict | None = None
    offer: bytes | None = None
    farewell: bool = False
    transcript: Transcript = SILENCE

    @property
    def settled(self) -> bool:
        """Nothing more is expected from them."""
        return self.stage in _ANSWERED


class CoordinatorState(msgspec.Struct, frozen=True):
    """Everything the coordinator knows, rebuilt from the journal by `replay`.

    Attributes:
        phase: Where the ceremony stands.
        proposal: The first event; None before it.
        psbt: The coordinator's own PSBT with every verified signature so far, and no other.
        lacking: Signatures still missing on the input that has the fewest.
        cosigners: By name, in the order they were named.
        wait_all: Cosigners beyond the threshold are waited for.
        transaction: The final transaction.
        result_note: Why it was cancelled, kept or refused.
    """

    phase: Phase = Phase.NEW
    proposal: Proposed | None = None
    psbt: Psbt | None = None
    lacking: int = 0
    cosigners: dict[str, Cosigner] = msgspec.field(default_factory=dict)
    wait_all: bool = False
    transaction: Transaction | None = None
    result_note: str = ""

    @property
    def start(self) -> Proposed:
        """The proposal, once there is one."""
        assert self.proposal is not None  # noqa: S101  every state after the first event has one
        return self.proposal

    @property
    def copy(self) -> Psbt:
        """Our own PSBT, once there is one."""
        assert self.psbt is not None  # noqa: S101  same
        return self.psbt

    def offer_to(self, cosigner: str) -> bytes:
        """The PSBT that a cosigner is sent: the same bytes however often they come back."""
        return self.cosigners[cosigner].offer or self.start.psbt

    @property
    def allowed(self) -> frozenset[int]:
        """The sighash types that are accepted."""
        return frozenset(self.start.allowed_sighash)


def evolve(state: CoordinatorState, event: CoordinatorEvent) -> CoordinatorState:
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
        return _evolved(state, event)
    except StorageError:
        raise
    except WormsigError as error:
        raise impossible(event, f"its content cannot be: {error.message}") from error


def _evolved(state: CoordinatorState, event: CoordinatorEvent) -> CoordinatorState:  # noqa: PLR0911  one per event
    name = getattr(event, "cosigner", None)
    if name is not None:
        return _with_signatures(_of_cosigner(state, name, event), event)
    if isinstance(event, Contributed):
        return _with_signatures(_begun(state, event), event)
    state = replace(state, phase=step(PHASES, state.phase, event, "ceremony"))
    match event:
        case Proposed():
            return _proposed(state, event)
        case WaitEnded():
            return replace(state, wait_all=False)
        case Finalized():
            return replace(state, transaction=parse_transaction(event.transaction))
        case Cancelled() | BroadcastDeclined() | NodeRefused():
            return replace(state, result_note=event.reason)
        case _:  # agreed, or done: nothing stands against it any more
            return replace(state, result_note="")


def _begun(state: CoordinatorState, event: Event) -> CoordinatorState:
    if state.phase is Phase.NEW:
        raise impossible(event, f"the ceremony was {state.phase}")
    return state


def _proposed(state: CoordinatorState, event: Proposed) -> CoordinatorState:
    verified = verify.verify(codec.parse(event.psbt), allowed=frozenset(event.allowed_sighash), drop=True)
    return replace(
        state,
        proposal=event,
        psbt=verified.psbt,
        lacking=max(finalizer.missing(verified).values(), default=0),
        cosigners={each: Cosigner(each) for each in event.cosigners},
        wait_all=event.wait_all,
    )


def _with_signatures(state: CoordinatorState, event: CoordinatorEvent) -> CoordinatorState:
    """The state with a contribution's signatures and preimages; those that `decide` verified cost nothing here."""
    if not isinstance(event, Contributed):
        return state
    triples = [(one.input, one.pubkey, one.signature) for one in event.signatures]
    psbt = combiner.with_signatures(state.copy, triples)
    psbt = combiner.with_preimages(psbt, [(one.input, one.key, one.preimage) for one in event.preimages])
    verified = verify.verify(psbt, allowed=state.allowed)  # refuses one that does not count
    return replace(state, psbt=psbt, lacking=max(finalizer.missing(verified).values(), default=0))


def _of_cosigner(state: CoordinatorState, name: str, event: CoordinatorEvent) -> CoordinatorState:
    before = _begun(state, event).cosigners.get(name)
    if before is None:
        raise impossible(event, f"nobody is called {name!r} in this ceremony")
    after = replace(_noted(before, event), stage=step(STAGES, before.stage, event, f"cosigner {name}"))
    letter = coordinator_letter(event)
    if letter is not None:
        after = replace(after, transcript=after.transcript.with_letter(*letter[1:]))
    if isinstance(event, TurnCame) and before.offer is None:
        after = replace(after, offer=codec.serialize(state.copy))
    return replace(state, cosigners={**state.cosigners, name: after})


def _noted(cosigner: Cosigner, event: CoordinatorEvent) -> Cosigner:  # noqa: PLR0911  one return per event
    """What else an event says of a cosigner. What they answered is not overwritten by how they left."""
    answers = cosigner.answers + 1
    match event:
        case Connected(link=link):
            return replace(
                cosigner, met=True, links=(link, *cosigner.links)[:LINKS_TRUSTED] if link else cosigner.links
            )
        case CodeBurned(why=why):
            note = cosigner.note if cosigner.settled else why
            return replace(cosigner, burned=cosigner.burned + 1, note=note)
        case Lost(why=why):
            return cosigner if cosigner.settled else replace(cosigner, note=why)
        case OutcomeTold(result=result):
            return replace(cosigner, told=result, farewell=False)
        case FarewellReceived():
            return replace(cosigner, farewell=True)
        case JudgedTold():
            return replace(cosigner, owed=None)
        case Declined(reason=reason):
            return replace(cosigner, answers=answers, note=reason)
        case Misbehaved(problem=problem):
            faults = (*cosigner.faults, problem)[:MAX_FAULTS]
            note = cosigner.note if cosigner.stage in (Stage.SIGNED, Stage.DECLINED) else problem
            owed = Verdict(0, 1, (problem,)) if event.letter else cosigner.owed
            return replace(cosigner, answers=answers, faults=faults, note=note, owed=owed)
        case Contributed() | NothingNew():
            return replace(_answered(cosigner, event), answers=answers)
        case _:
            return cosigner


def _answered(cosigner: Cosigner, event: Contributed | NothingNew) -> Cosigner:
    """A cosigner after an answer that could be read."""
    faults = (*cosigner.faults, *event.problems)[:MAX_FAULTS]
    new: tuple[HeldSignature, ...] = ()
    inputs, problems = cosigner.inputs, event.problems
    if isinstance(event, Contributed):
        new = event.signatures
        inputs |= {one.input for one in new} | {one.input for one in event.preimages}
    elif not problems:
        problems = ("nothing new: these signatures were there already",)
    owed = Verdict(len(new), event.rejected, problems)
    return replace(cosigner, inputs=inputs, faults=faults, note="; ".join(event.problems), owed=owed)


def replay(events: Iterable[CoordinatorEvent]) -> CoordinatorState:
    """The state after all events of a journal.

    Args:
        events: In their order.

    Returns:
        The state.

    Raises:
        StorageError: A journal that cannot be.
    """
    state = CoordinatorState()
    for event in events:
        state = evolve(state, event)
    return state
