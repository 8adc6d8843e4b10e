"""The coordinator's machine: one PSBT goes out to several cosigners, verified signatures come back.

Two tables hold every transition: `PHASES` for the ceremony, `STAGES` for each cosigner. docs/state-machines.md is
drawn from them. A returned PSBT is evidence, not a replacement: only signatures that verify on the coordinator's
own copy become part of the state (`Contributed`), whoever sent them.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.bitcoin.tx import Transaction, parse_transaction
from wormsig.ceremony.events import Event, HeldSignature, decode_event, step
from wormsig.errors import PeerError, RefusedError, WormsigError
from wormsig.psbt import codec, combiner, contribution, extractor, finalizer, verify
from wormsig.psbt.limits import MAX_PEER_PSBT, MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.psbt.model import Psbt


MAX_NAMED = 16
"""Problems of one answer that are named; more are counted only."""


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
    DECLINED = "declined"
    MISBEHAVED = "misbehaved"
    LOST = "lost"


class Proposed(Event, frozen=True, tag="proposed"):
    """The ceremony began; its PSBT was reviewed and never changes but by signatures."""

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


class Connected(Event, frozen=True, tag="connected"):
    """Somebody who had this cosigner's code is there, and speaks our protocol."""

    cosigner: str


class Offered(Event, frozen=True, tag="offered"):
    """The cosigner acknowledged the whole PSBT."""

    cosigner: str


class CodeBurned(Event, frozen=True, tag="code-burned"):
    """A code of this cosigner was used up without a pairing."""

    cosigner: str
    why: str


class Lost(Event, frozen=True, tag="lost"):
    """The connection ended before an answer came."""

    cosigner: str
    why: str


class Contributed(Event, frozen=True, tag="contributed"):
    """An answer's good part: signatures that verified on our own copy.

    `cosigner` None: signed here, or read from a file. `problems` says which signatures were not taken and
    why, `ignored` which other fields came back changed and were left (THREATS R5).
    """

    cosigner: str | None
    signatures: tuple[HeldSignature, ...]
    rejected: int = 0
    problems: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    returned_sha256: str = ""


class Misbehaved(Event, frozen=True, tag="misbehaved"):
    """An answer of which nothing could be taken: malformed, or another transaction."""

    cosigner: str
    problem: str


class Declined(Event, frozen=True, tag="declined"):
    """A cosigner said no."""

    cosigner: str
    reason: str


class Finalized(Event, frozen=True, tag="finalized"):
    """The threshold was reached and every input's script holds."""

    transaction: bytes
    txid: str


class BroadcastAgreed(Event, frozen=True, tag="broadcast-agreed"):
    """A person, or -y, said that the transaction is to be broadcast."""


class BroadcastDeclined(Event, frozen=True, tag="broadcast-declined"):
    """The transaction is kept, not broadcast."""

    reason: str = ""


class NodeRefused(Event, frozen=True, tag="node-refused"):
    """The node did not take it; it can be tried again."""

    reason: str


class BroadcastDone(Event, frozen=True, tag="broadcast-done"):
    """Our node has the transaction."""

    txid: str


class OutcomeTold(Event, frozen=True, tag="outcome-told"):
    """A cosigner acknowledged the outcome."""

    cosigner: str


class Cancelled(Event, frozen=True, tag="cancelled"):
    """The coordinator gave up."""

    reason: str


CoordinatorEvent = (
    Proposed | Connected | Offered | CodeBurned | Lost | Contributed | Misbehaved | Declined | Finalized
    | BroadcastAgreed | BroadcastDeclined | NodeRefused | BroadcastDone | OutcomeTold | Cancelled
)  # fmt: skip

# Everything that moves the ceremony.
PHASES: dict[tuple[Phase, type[Event]], Phase] = {
    (Phase.NEW, Proposed): Phase.COLLECTING,
    (Phase.COLLECTING, Finalized): Phase.FINALIZED,
    (Phase.COLLECTING, Cancelled): Phase.CANCELLED,
    (Phase.FINALIZED, BroadcastAgreed): Phase.AGREED,
    (Phase.FINALIZED, BroadcastDeclined): Phase.KEPT,
    (Phase.FINALIZED, Cancelled): Phase.CANCELLED,
    (Phase.AGREED, NodeRefused): Phase.FINALIZED,
    (Phase.AGREED, BroadcastDone): Phase.BROADCAST,
    (Phase.KEPT, BroadcastAgreed): Phase.AGREED,
}

# Everything that moves one cosigner. A cosigner who was lost, declined or misbehaved may come back with a new code.
_IN_TOUCH = (Stage.CONNECTED, Stage.OFFERED)
_ANY = tuple(Stage)
STAGES: dict[tuple[Stage, type[Event]], Stage] = {
    **{(stage, CodeBurned): stage for stage in _ANY},
    **{(stage, Connected): Stage.CONNECTED for stage in _ANY if stage is not Stage.SIGNED},
    (Stage.SIGNED, Connected): Stage.SIGNED,
    (Stage.CONNECTED, Offered): Stage.OFFERED,
    (Stage.SIGNED, Offered): Stage.SIGNED,
    **{(stage, Contributed): Stage.SIGNED for stage in _ANY},
    **{(stage, Misbehaved): Stage.MISBEHAVED for stage in _ANY if stage is not Stage.SIGNED},
    (Stage.SIGNED, Misbehaved): Stage.SIGNED,
    **{(stage, Declined): Stage.DECLINED for stage in _IN_TOUCH},
    (Stage.SIGNED, Declined): Stage.SIGNED,
    **{(stage, Lost): Stage.LOST for stage in (*_IN_TOUCH, Stage.WAITING, Stage.LOST)},
    **{(stage, Lost): stage for stage in (Stage.SIGNED, Stage.DECLINED, Stage.MISBEHAVED)},
    **{(stage, OutcomeTold): stage for stage in _ANY},
}


@dataclass(frozen=True, slots=True)
class Cosigner:
    """What is known of one cosigner.

    Attributes:
        name: Our own name for them.
        stage: Where they stand.
        burned: Codes used up without a pairing.
        note: Their reason, or what was wrong.
        told: They acknowledged the outcome.
    """

    name: str
    stage: Stage = Stage.WAITING
    burned: int = 0
    note: str = ""
    told: bool = False

    @property
    def settled(self) -> bool:
        """Nothing more is expected from them."""
        return self.stage in (Stage.SIGNED, Stage.DECLINED, Stage.MISBEHAVED)


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """Everything the coordinator knows, rebuilt from the journal by `replay`.

    Attributes:
        phase: Where the ceremony stands.
        proposal: The first event; None before it.
        psbt: The coordinator's own PSBT with every verified signature so far.
        cosigners: By name, in the order they were named.
        transaction: The final transaction.
        result_note: Why it was cancelled, kept or refused.
    """

    phase: Phase = Phase.NEW
    proposal: Proposed | None = None
    psbt: Psbt | None = None
    cosigners: dict[str, Cosigner] = field(default_factory=dict)
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


# -- inputs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """A cosigner's answer arrived whole (None: signed here, or from a file)."""

    cosigner: str | None
    data: bytes
    form: Literal["psbt", "transaction"] = "psbt"


@dataclass(frozen=True, slots=True)
class Finalize:
    """The threshold may be reached: finalize."""


# -- effects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Converse:
    """Talk to a cosigner: get them the PSBT, wait for the answer."""

    cosigner: str


@dataclass(frozen=True, slots=True)
class FinalizeTransaction:
    """Enough signatures are there."""


@dataclass(frozen=True, slots=True)
class DecideBroadcast:
    """Ask whether to broadcast."""


@dataclass(frozen=True, slots=True)
class SubmitTransaction:
    """Hand the transaction to the node."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class TellOutcome:
    """Tell a cosigner how it ended."""

    cosigner: str


Effect = Converse | FinalizeTransaction | DecideBroadcast | SubmitTransaction | TellOutcome


# -- questions about a state -------------------------------------------------------------------------------------------


def shortfall(state: CoordinatorState) -> int:
    """Signatures still missing on the input that has the fewest; 0 when the transaction can be finalized."""
    return max(finalizer.missing(_verified(state)).values(), default=0)


def _verified(state: CoordinatorState) -> verify.Verified:
    """Our PSBT with every signature checked; those that were checked before cost nothing."""
    return verify.verify(state.copy, allowed=frozenset(state.start.allowed_sighash))


def held(state: CoordinatorState) -> int:
    """Distinct keys that have signed the input with the fewest signatures."""
    return max(0, state.start.threshold - shortfall(state))


def exhausted(state: CoordinatorState) -> bool:
    """Whether nobody is left who could bring the missing signatures."""
    return shortfall(state) > 0 and all(cosigner.settled for cosigner in state.cosigners.values())


def is_over(state: CoordinatorState) -> bool:
    """Whether the transaction's fate is settled; cosigners may still have to be told."""
    return state.phase in (Phase.BROADCAST, Phase.KEPT, Phase.CANCELLED)


def pending(state: CoordinatorState) -> tuple[Effect, ...]:
    """What is to be done now. Every effect may be performed more than once."""
    if state.phase is Phase.COLLECTING:
        open_ones = tuple(Converse(c.name) for c in state.cosigners.values() if not c.settled)
        if shortfall(state) == 0 and not (state.start.wait_all and open_ones):
            return (FinalizeTransaction(),)
        return open_ones
    if state.phase is Phase.FINALIZED:
        return (DecideBroadcast(),)
    if state.phase is Phase.AGREED:
        assert state.transaction is not None  # noqa: S101  Finalized came before
        return (SubmitTransaction(state.transaction),)
    if is_over(state):
        return tuple(
            TellOutcome(c.name) for c in state.cosigners.values() if not c.told and c.stage is not Stage.WAITING
        )
    return ()


# -- decide ------------------------------------------------------------------------------------------------------------


def decide(state: CoordinatorState, given: Answer | Finalize) -> tuple[CoordinatorEvent, ...]:
    """What an answer, or the wish to finalize, leads to. Everything else happens as its event says.

    Raises:
        WormsigError: An answer that was signed here or read from a file is bad; `Finalize` while signatures miss.
    """
    if isinstance(given, Finalize):
        return _finalized(state)
    allowed = frozenset(state.start.allowed_sighash)
    try:
        if given.form == "transaction":
            taken = contribution.extract_transaction(state.copy, parse_transaction(given.data), allowed=allowed)
        else:
            returned = codec.parse(given.data, limit=MAX_PEER_PSBT)
            taken = contribution.extract(state.copy, returned, allowed=allowed)
    except WormsigError as error:
        if given.cosigner is None:
            raise
        return (Misbehaved(given.cosigner, error.message[:MAX_TEXT]),)
    problems = tuple(_rejection(check) for check in taken.rejected[:MAX_NAMED])
    problems += tuple(f"input {index}: final scripts of a kind not checked here" for index in taken.unchecked_finals)
    ignored = tuple(f"{one.where}: {one.field} {one.what}" for one in taken.differences[:MAX_NAMED])
    if given.cosigner is not None and not taken.signatures and not taken.already_known:
        text = problems[0] if problems else "the answer brought no signature of this wallet"
        return (Misbehaved(given.cosigner, text),)
    signatures = tuple(HeldSignature(*one) for one in taken.signatures)
    digest = hashlib.sha256(given.data).hexdigest()
    return (Contributed(given.cosigner, signatures, len(taken.rejected), problems[:MAX_NAMED], ignored, digest),)


def _rejection(check: verify.SignatureCheck) -> str:
    why = check.problem.value if check.problem else "not valid"
    key = f" under {check.pubkey.hex()[:16]}…" if check.pubkey else ""
    return f"input {check.input}: signature{key}: {why}"[:MAX_TEXT]


def _finalized(state: CoordinatorState) -> tuple[CoordinatorEvent, ...]:
    if state.phase is not Phase.COLLECTING:
        return ()
    allowed = frozenset(state.start.allowed_sighash)
    transaction = extractor.extract(finalizer.finalize(_verified(state), allowed=allowed), allowed=allowed)
    return (Finalized(transaction.serialize(), transaction.txid),)


# -- evolve ------------------------------------------------------------------------------------------------------------


def evolve(state: CoordinatorState, event: CoordinatorEvent) -> CoordinatorState:
    """The state after an event.

    Raises:
        StorageError: An event that cannot happen in this state (a damaged journal).
    """
    name = getattr(event, "cosigner", None)
    if name is not None:
        before = state.cosigners.get(name)
        if before is None:
            raise RefusedError(f"no cosigner called {name!r} in this ceremony")
        after = replace(_noted(before, event), stage=step(STAGES, before.stage, event, f"cosigner {name}"))
        state = replace(state, cosigners={**state.cosigners, name: after})
    if (state.phase, type(event)) in PHASES:
        state = replace(state, phase=PHASES[state.phase, type(event)])
    elif name is None and not isinstance(event, Contributed):
        step(PHASES, state.phase, event, "ceremony")
    if isinstance(event, Proposed):
        cosigners = {each: Cosigner(each) for each in event.cosigners}
        return replace(state, proposal=event, psbt=codec.parse(event.psbt), cosigners=cosigners)
    if isinstance(event, Contributed):
        triples = [(one.input, one.pubkey, one.signature) for one in event.signatures]
        return replace(state, psbt=combiner.with_signatures(state.copy, triples))
    if isinstance(event, Finalized):
        return replace(state, transaction=parse_transaction(event.transaction))
    if isinstance(event, Cancelled | BroadcastDeclined | NodeRefused):
        return replace(state, result_note=event.reason)
    return state


def _noted(cosigner: Cosigner, event: CoordinatorEvent) -> Cosigner:
    match event:
        case CodeBurned(why=why):
            return replace(cosigner, burned=cosigner.burned + 1, note=why)
        case OutcomeTold():
            return replace(cosigner, told=True)
        case Misbehaved(problem=note) | Declined(reason=note) | Lost(why=note):
            return replace(cosigner, note=note)
        case Contributed(problems=problems):
            return replace(cosigner, note="; ".join(problems))
        case _:
            return cosigner


def replay(events: Iterable[CoordinatorEvent]) -> CoordinatorState:
    """The state after all events of a journal. Raises StorageError for a journal that cannot be."""
    state = CoordinatorState()
    for event in events:
        state = evolve(state, event)
    return state


def decode(body: bytes) -> CoordinatorEvent:
    """Read one event from the journal. Raises StorageError for anything else."""
    event: CoordinatorEvent = decode_event(body, CoordinatorEvent)
    return event


def peer_at_fault(state: CoordinatorState) -> PeerError | None:
    """The error when a peer's fault, and nothing else, decided that the threshold was not reached."""
    bad = [c for c in state.cosigners.values() if c.stage is Stage.MISBEHAVED]
    if not bad or shortfall(state) == 0:
        return None
    return PeerError("; ".join(f"{c.name}: {c.note}" for c in bad))
