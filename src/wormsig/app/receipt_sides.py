"""From a journal to a receipt, for each side of a ceremony. Pure: events and their times in, a `Receipt` out.

Which ceremony and where its journal is stands in `receipts`. What a letter said is taken from the events and kept only
when it gives the letter's digest: a receipt never says of a letter what cannot be checked.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from wormsig.app.failure_words import failure_words
from wormsig.app.receipt_events import happening
from wormsig.bitcoin.network import Network
from wormsig.bitcoin.sighash import ECDSA_TYPES
from wormsig.bitcoin.tx import parse_transaction
from wormsig.ceremony import coordinator, cosigner, messages
from wormsig.ceremony.receipt import (
    FORMAT,
    MAX_LETTERS,
    MAX_LIST,
    ApprovalPart,
    CoinPart,
    ConnectionPart,
    DeclinePart,
    FinalPart,
    LetterPart,
    OutputPart,
    PairPart,
    Receipt,
    ReviewPart,
    SignaturePart,
    WalletPart,
    transcript_of,
)
from wormsig.ceremony.receipt_checks import heads, is_whole
from wormsig.ceremony.transcript import coordinator_letter, cosigner_letter
from wormsig.psbt import codec
from wormsig.psbt.limits import MAX_TEXT
from wormsig.psbt.model import is_final
from wormsig.psbt.verify import held_signatures
from wormsig.review.context import ReviewContext
from wormsig.review.review import review

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wormsig.bitcoin.tx import Transaction
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.ceremony.messages import Role
    from wormsig.ceremony.receipt import Kind, Origin
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.sigkeys import SignatureKey
    from wormsig.review.report import Report, SignatureView
    from wormsig.wallet.model import Wallet

Place = tuple[int, "SignatureKey | None"]
"""Where a signature stands: the input, and what it stands under; None when it is inside final scripts."""


class About(msgspec.Struct, frozen=True):
    """What a receipt says beside the journal's events.

    Attributes:
        version: Of wormsig.
        now: Unix time.
        ended: Unix time at which the ceremony's fate was settled.
        wallet: The wallet, when it is on this machine.
    """

    version: str
    now: int
    ended: int | None
    wallet: Wallet | None


def iso(at: int) -> str:
    """A Unix time as `2026-11-22T15:12:32Z`; one that no calendar has becomes the calendar's first or last second."""
    first, last = 0, 253_402_300_799
    return dt.datetime.fromtimestamp(min(max(at, first), last), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class _Pair:
    """A pair's part of a receipt, while it is made."""

    letters: list[LetterPart] = field(default_factory=list)
    connections: list[ConnectionPart] = field(default_factory=list)

    def connect(self, at: int, verifier: str) -> None:
        """A connection, when its verifier is known."""
        if verifier:
            self.connections.append(ConnectionPart(iso(at), verifier[:MAX_TEXT]))

    def add(self, ceremony: str, kind: Kind, digest: str, at: int, said: Iterable[dict[str, object]]) -> None:
        """A letter, with the first of `said` that gives its digest; an idempotent one that came again is left out."""
        if any((one.kind, one.digest) == (kind, digest) for one in self.letters) or len(self.letters) == MAX_LETTERS:
            return
        parts = [LetterPart(iso(at), kind, digest, **each) for each in said]  # type: ignore[arg-type]
        bare = LetterPart(iso(at), kind, digest)
        self.letters.append(next((part for part in parts if is_whole(ceremony, part)), bare))

    def part(self, role: Role, name: str, ceremony: str, psbt_sha256: str) -> PairPart:
        letters = tuple(self.letters)
        their_head, verdict = heads(role, ceremony, letters)
        return PairPart(
            name=name[:MAX_TEXT],
            psbt_sha256=psbt_sha256,
            connections=tuple(self.connections[:MAX_LIST]),
            letters=letters,
            head=transcript_of(letters).head(ceremony),
            their_head=their_head,
            heads=verdict,
        )


# -- the coordinator ---------------------------------------------------------------------------------------------------


def of_coordinator(records: Sequence[tuple[int, CoordinatorEvent]], about: About) -> Receipt:
    """A coordinator's receipt.

    Args:
        records: Unix time and event, in their order; at least the first.
        about: The rest.

    Returns:
        The receipt.

    Raises:
        StorageError: These events cannot have happened.
    """
    state = coordinator.CoordinatorState()
    pairs: dict[str, _Pair] = {}
    brought: dict[Place, tuple[int, str | None]] = {}
    final: FinalPart | None = None
    for at, event in records:
        before, state = state, coordinator.evolve(state, event)
        if isinstance(event, coordinator.Connected):
            pairs.setdefault(event.cosigner, _Pair()).connect(at, event.verifier)
        if isinstance(event, coordinator.Contributed):
            for one in event.signatures:
                brought.setdefault((one.input, one.pubkey), (at, event.cosigner))
        if isinstance(event, coordinator.Finalized):
            final = _final(at, parse_transaction(event.transaction))
        letter = coordinator_letter(event)
        if letter is not None:
            kind, said = _coordinator_said(before, event)
            pairs.setdefault(letter[0], _Pair()).add(state.start.ceremony, kind, letter[2], at, said)
    start, began = state.start, records[0][0]
    report = _report(state.copy, about.wallet, start.network)
    signatures = []
    for place, view in _verified(state.copy, report):
        at, via = brought.get(place, (start.at, None))
        origin: Origin = "proposal" if place not in brought else "here" if via is None else "cosigner"
        signatures.append(_signature(at, view, origin, via))
    offers = {name: hashlib.sha256(state.offer_to(name)).hexdigest() for name in state.cosigners}
    return msgspec.structs.replace(
        _base(records, state, state.copy, report, about),
        review=None if start.by is None else ReviewPart(iso(began), (), start.warnings[:MAX_LIST]),
        approval=None if start.by is None else ApprovalPart(iso(began), start.by),
        signatures=tuple(signatures),
        pairs=tuple(
            pairs.get(name, _Pair()).part("coordinator", name, start.ceremony, offers[name]) for name in state.cosigners
        ),
        final=final,
    )


def _coordinator_said(  # noqa: PLR0911  one return per kind of event
    before: CoordinatorState, event: CoordinatorEvent
) -> tuple[Kind, list[dict[str, object]]]:
    """A letter's kind, and what it may have said; `before` is the state before the event."""
    match event:
        case coordinator.Offered():
            offer = before.offer_to(event.cosigner)
            return "proposal", [_object(offer)]
        case coordinator.Contributed() | coordinator.NothingNew() if event.returned_sha256:
            return "contribution", [{"sha256": event.returned_sha256}]
        case coordinator.Declined():
            return "decline", [{"reason": event.reason}]
        case coordinator.JudgedTold(cosigner=name):
            owed = before.cosigners[name].owed
            if owed is None:
                return "judged", []
            problems = tuple(text[: messages.MAX_PROBLEM_TEXT] for text in owed.problems[: messages.MAX_PROBLEMS])
            return "judged", [{"accepted": owed.accepted, "rejected": owed.rejected, "problems": problems}]
        case coordinator.OutcomeTold():
            return "outcome", list(_outcomes(before, event))
        case coordinator.FarewellReceived():
            return "farewell", [{"seen": event.seen, "head": event.head}]
        case _:
            return "contribution", []


def _outcomes(before: CoordinatorState, event: coordinator.OutcomeTold) -> Iterator[dict[str, object]]:
    """What an outcome may have said: with the transaction or without, with a reason or without."""
    head = before.cosigners[event.cosigner].transcript.head(before.start.ceremony)
    for reason in dict.fromkeys((before.result_note[:MAX_TEXT], "", *failure_words(before))):
        if before.transaction is not None:
            raw = before.transaction.serialize()
            shown = {"txid": before.transaction.txid, **_object(raw)}
            yield {"result": event.result, "reason": reason, "head": head, **shown}
        yield {"result": event.result, "reason": reason, "head": head}


# -- a cosigner --------------------------------------------------------------------------------------------------------


def of_cosigner(records: Sequence[tuple[int, CosignerEvent]], about: About) -> Receipt:
    """A cosigner's receipt.

    Args:
        records: Unix time and event, in their order; at least the first.
        about: The rest.

    Returns:
        The receipt.

    Raises:
        StorageError: These events cannot have happened.
    """
    state = cosigner.CosignerState()
    pair = _Pair()
    signed_at = began = records[0][0]
    final: FinalPart | None = None
    for at, event in records:
        before, state = state, cosigner.evolve(state, event)
        if isinstance(event, cosigner.Linked):
            pair.connect(at, event.verifier)
        if isinstance(event, cosigner.Signed):
            signed_at = at
        if isinstance(event, cosigner.OutcomeReceived) and event.txid is not None and event.transaction is not None:
            final = _final(at, parse_transaction(event.transaction))
        letter = cosigner_letter(event)
        if letter is not None:
            kind, said = _cosigner_said(before, event, pair)
            pair.add(state.start.ceremony, kind, letter[1], at, said)
    start = state.start
    received = codec.parse(start.psbt)
    psbt = received if state.signed is None else codec.parse(state.signed)
    report = _report(psbt, about.wallet, start.network)
    return msgspec.structs.replace(
        _with_verdicts(_base(records, state, received, report, about), records),
        signatures=tuple(
            _signature(began, view, "proposal", None)
            if _was_there(received, psbt, place)
            else _signature(signed_at, view, "here", None)
            for place, view in _verified(psbt, report)
        ),
        pairs=(pair.part("cosigner", "coordinator", start.ceremony, start.psbt_sha256),),
        final=final,
    )


def _with_verdicts(receipt: Receipt, records: Sequence[tuple[int, CosignerEvent]]) -> Receipt:
    """The receipt with what was said here of the PSBT, last."""
    signed = False
    for at, event in records:
        match event:
            case cosigner.Reviewed():
                found = ReviewPart(iso(at), event.errors[:MAX_LIST], event.warnings[:MAX_LIST])
                receipt = msgspec.structs.replace(receipt, review=found)
            case cosigner.Approved():
                receipt = msgspec.structs.replace(receipt, approval=ApprovalPart(iso(at), event.by), decline=None)
            case cosigner.Signed():
                signed = True
            case cosigner.Declined():
                approval = receipt.approval if signed else None
                decline = DeclinePart(iso(at), event.by, event.reason[:MAX_TEXT])
                receipt = msgspec.structs.replace(receipt, approval=approval, decline=decline)
    return receipt


def _cosigner_said(  # noqa: PLR0911  one return per kind of event
    before: CosignerState, event: CosignerEvent, pair: _Pair
) -> tuple[Kind, list[dict[str, object]]]:
    """A letter's kind, and what it may have said; `before` is the state before the event."""
    match event:
        case cosigner.Received():
            return "proposal", [_object(event.psbt)]
        case cosigner.Answered():
            return "contribution", [] if before.signed is None else [_object(before.signed)]
        case cosigner.DeclineTold():
            return "decline", [{"reason": before.reason}]
        case cosigner.Judged():
            said = {"accepted": event.accepted, "rejected": event.rejected, "problems": event.problems}
            return "judged", [said]
        case cosigner.OutcomeReceived():
            shown = {} if event.transaction is None else _object(event.transaction)
            told = {"result": event.result, "txid": event.claimed_txid, "reason": event.reason, "head": event.head}
            return "outcome", [{**told, **shown}] if event.head else []
        case cosigner.FarewellTold():
            head = transcript_of(tuple(pair.letters)).head(before.start.ceremony)
            return "farewell", [{"seen": event.seen, "head": head}]
        case _:
            return "contribution", []


def _was_there(received: Psbt, psbt: Psbt, place: Place) -> bool:
    """Whether a signature came with the PSBT, byte for byte."""
    index, key = place
    if key is None:
        return is_final(received, index)
    return held_signatures(received, index).get(key) == held_signatures(psbt, index)[key]


# -- both --------------------------------------------------------------------------------------------------------------


def _base(
    records: Sequence[tuple[int, CoordinatorEvent | CosignerEvent]],
    state: CoordinatorState | CosignerState,
    psbt: Psbt,
    report: Report,
    about: About,
) -> Receipt:
    """A receipt with all that both sides have alike; the rest is replaced. `psbt` is what went out, or came."""
    start = state.start
    network = Network.named(start.network)
    return Receipt(
        wormsig_receipt=FORMAT,
        wormsig=about.version,
        made_at=iso(about.now),
        role="coordinator" if isinstance(start, coordinator.Proposed) else "cosigner",
        ceremony=start.ceremony,
        network=network.value if network else None,
        began_at=iso(records[0][0]),
        ended_at=None if about.ended is None else iso(about.ended),
        phase=str(state.phase),
        threshold=start.threshold,
        wallet=_wallet(about.wallet, start.wallet, start.wallet_name, report),
        psbt_sha256=hashlib.sha256(start.psbt).hexdigest(),
        unsigned_txid=psbt.txid,
        inputs=tuple(CoinPart(view.outpoint, view.sats, view.mine, view.path) for view in report.inputs),
        outputs=tuple(
            OutputPart(view.sats, view.script, view.address, view.kind.value, view.path) for view in report.outputs
        ),
        fee_sats=report.fee_sats,
        locktime=report.locktime,
        review=None,
        approval=None,
        decline=None,
        signatures=(),
        pairs=(),
        final=None,
        history=tuple(happening(iso(at), event) for at, event in records[:MAX_LIST]),
    )


def _object(data: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _final(at: int, transaction: Transaction) -> FinalPart:
    return FinalPart(iso(at), transaction.txid, transaction.wtxid, transaction.vsize)


def _report(psbt: Psbt, wallet: Wallet | None, network: str) -> Report:
    """What the review says of a PSBT without asking anybody: who is paid, what is change, who signed."""
    # Which sighash types were accepted was decided when the signatures came.
    return review(psbt, wallet, ReviewContext(network=Network.named(network), allowed_sighash=ECDSA_TYPES))


def _verified(psbt: Psbt, report: Report) -> Iterator[tuple[Place, SignatureView]]:
    """The signatures that verify, and where they stand; a report has them in the PSBT's order, by input."""
    keys: dict[int, list[SignatureKey]] = {}
    for view in report.signatures:
        if view.input not in keys:
            keys[view.input] = list(held_signatures(psbt, view.input))
        key = keys[view.input].pop(0) if keys[view.input] else None
        if view.valid:
            yield (view.input, key), view


def _signature(at: int, view: SignatureView, origin: Origin, via: str | None) -> SignaturePart:
    return SignaturePart(
        at=iso(at),
        input=view.input,
        pubkey=view.pubkey,
        fingerprint=view.fingerprint,
        name=None if view.name is None else view.name[:MAX_TEXT],
        origin=origin,
        via=None if via is None else via[:MAX_TEXT],
    )


def _wallet(wallet: Wallet | None, named: str | None, name: str | None, report: Report) -> WalletPart | None:
    if wallet is not None:
        return WalletPart(wallet.id, wallet.name[:MAX_TEXT], report.policy, known=True)
    return None if named is None else WalletPart(named, name and name[:MAX_TEXT], None, known=False)
