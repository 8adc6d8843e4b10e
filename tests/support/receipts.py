"""Whole ceremonies without a network: both sides' events, letter by letter, with the letters' real digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.ceremony import Setting, setting
from support.values import replace
from wormsig.app.home import Home
from wormsig.app.receipt_sides import About, of_coordinator, of_cosigner
from wormsig.ceremony import coordinator, cosigner, messages, wire
from wormsig.ceremony.events import encode_event
from wormsig.journal.store import CeremonyRow, Journal, Record, Role
from wormsig.psbt import codec
from wormsig.psbt.model import sha256
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.ceremony.coordinator import CoordinatorEvent
    from wormsig.ceremony.cosigner import CosignerEvent
    from wormsig.ceremony.messages import Letter
    from wormsig.ceremony.receipt import Receipt

START = 1_795_000_000
WORDS = "adroitness unravel aardvark hamburger sailboat maritime upshot bodyguard eyeglass cannonball"


@dataclass
class Play:
    """One ceremony, as both sides' journals have it.

    Attributes:
        cast: The wallet, its PSBT and its people.
        there: The coordinator's journal: time and event.
        here: Each cosigner's.
        clock: Unix time; every event takes a few seconds.
    """

    cast: Setting = field(default_factory=setting)
    names: tuple[str, ...] = ("bob", "carol")
    clock: int = START
    there: list[tuple[int, CoordinatorEvent]] = field(default_factory=list)
    here: dict[str, list[tuple[int, CosignerEvent]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._add(self.cast.proposed(*self.names, by="person", warnings=("C13-first-payment",)))

    @property
    def state(self) -> coordinator.CoordinatorState:
        return coordinator.replay(event for _, event in self.there)

    def side(self, name: str) -> cosigner.CosignerState:
        return cosigner.replay(event for _, event in self.here[name])

    def _add(self, *events: CoordinatorEvent) -> None:
        self.clock += 7
        self.there += [(self.clock, event) for event in events]

    def _add_to(self, name: str, *events: CosignerEvent) -> None:
        self.clock += 5
        self.here.setdefault(name, []).extend((self.clock, event) for event in events)

    @staticmethod
    def _digest(letter: Letter) -> str:
        return wire.digest(letter)

    def offer(self, name: str, *, words: str | None = None) -> None:
        """The code worked, and the PSBT went over."""
        start = self.state.start
        raw = self.state.offer_to(name)
        proposal = messages.Proposal(
            start.ceremony,
            "regtest",
            start.wallet,
            start.threshold,
            start.total,
            wire.reference(raw),
            codec.parse(raw).txid,
            start.at,
        )
        verifier = f"{WORDS} {name}" if words is None else words
        self._add(coordinator.Connected(name, verifier, hashlib.sha256(name.encode()).hexdigest()))
        first = cosigner.Received(
            start.ceremony,
            "regtest",
            start.wallet,
            "family",
            raw,
            hashlib.sha256(raw).hexdigest(),
            start.threshold,
            START,
            self._digest(proposal),
        )
        self._add_to(name, first, cosigner.Linked(verifier))
        self._add(coordinator.Offered(name, self._digest(proposal)))

    def sign(self, name: str, *, data: bytes | None = None, findings: tuple[str, ...] = ()) -> None:
        """Reviewed, approved, signed and sent; judged."""
        digest = sha256(self.cast.psbt)
        signed = self.cast.signed(name) if data is None else data
        self._add_to(
            name, cosigner.Reviewed(digest, (), findings, START, "family"), cosigner.Approved(digest, "person")
        )
        self._add_to(name, cosigner.Signed(signed))
        letter = self._digest(messages.Contribution(self.state.start.ceremony, wire.reference(signed), "psbt"))
        self._add(*coordinator.decide(self.state, coordinator.Answer(name, signed, letter=letter)))
        self._add_to(name, cosigner.Answered(letter))
        self.judge(name)

    def judge(self, name: str) -> None:
        owed = self.state.cosigners[name].owed
        assert owed is not None
        problems = tuple(text[: messages.MAX_PROBLEM_TEXT] for text in owed.problems)
        letter = self._digest(messages.Judged(self.state.start.ceremony, owed.accepted, owed.rejected, problems))
        self._add_to(name, cosigner.judged(self.side(name), owed.accepted, owed.rejected, problems, letter=letter))
        self._add(coordinator.JudgedTold(name, letter))

    def decline(self, name: str, reason: str) -> None:
        letter = self._digest(messages.Decline(self.state.start.ceremony, reason))
        self._add_to(name, cosigner.Declined(reason, "person"))
        self._add(*coordinator.decide(self.state, coordinator.Refusal(name, reason, letter)))
        self._add_to(name, cosigner.DeclineTold(letter))

    def finish(self, *, broadcast: bool = True) -> None:
        self._add(*coordinator.decide(self.state, coordinator.Finalize()))
        if not broadcast:
            self._add(coordinator.BroadcastDeclined("kept for later"))
            return
        final = self.state.transaction
        assert final is not None
        self._add(coordinator.BroadcastAgreed())
        self._add(coordinator.BroadcastDone(final.txid))

    def tell(self, name: str, *, reason: str = "", failed: bool = False, seen: messages.Seen = "mempool") -> None:
        """The outcome, and the last letter back."""
        state = self.state
        result = "failed" if failed else coordinator.outcome(state, name)
        assert result is not None
        transaction = None if result in ("cancelled", "failed") else state.transaction
        raw = transaction.serialize() if transaction else None
        txid = transaction.txid if transaction else None
        head = state.cosigners[name].transcript.head(state.start.ceremony)
        obj = wire.reference(raw) if raw else None
        letter = self._digest(messages.Outcome(state.start.ceremony, result, txid, obj, reason, head))
        event = cosigner.outcome(self.side(name), result, txid, raw, reason, head=head, letter=letter)
        self._add_to(name, event)
        self._add(coordinator.OutcomeTold(name, result, letter))
        ours = self.side(name).transcript.head(state.start.ceremony)
        farewell = self._digest(messages.Farewell(state.start.ceremony, seen, ours))
        self._add(coordinator.FarewellReceived(name, seen, ours, farewell))
        self._add_to(name, cosigner.FarewellTold(seen, farewell))

    def about(self, *, now: int | None = None, wallet: bool = True) -> About:
        return About(
            "0.1.0", self.clock + 60 if now is None else now, self.clock, self.cast.scene.wallet if wallet else None
        )

    def ours(self, *, wallet: bool = True) -> Receipt:
        """The coordinator's receipt."""
        return of_coordinator(self.there, self.about(wallet=wallet))

    def theirs(self, name: str, *, wallet: bool = True) -> Receipt:
        """A cosigner's receipt."""
        return of_cosigner(self.here[name], self.about(wallet=wallet))


def played(*, declines: str | None = None) -> Play:
    """A ceremony in which two of three sign, and a third may say no."""
    play = Play(names=("bob", "carol", "alice") if declines else ("bob", "carol"))
    for name in play.names:
        play.offer(name)
    if declines is not None:
        play.decline("alice", declines)
    play.sign("bob", findings=("C12-fee-above-5-percent",))
    play.sign("carol")
    play.finish()
    for name in play.names:
        play.tell(name)
    return play


def keep(play: Play, home: Path, side: str = "coordinator", *, wallet: bool = True) -> None:
    """Put one side's journal, and its wallet, where `wormsig receipt` finds them."""
    records = play.there if side == "coordinator" else play.here[side]
    suffix = "" if side == "coordinator" else "-c"
    role: Role = "coordinator" if side == "coordinator" else "cosigner"
    place = Home(home)
    if wallet and "family" not in Registry(place.wallets()).names():
        Registry(place.wallets()).save(replace(play.cast.scene.wallet, name="family"))
    row = CeremonyRow(f"{play.state.start.ceremony}{suffix}", role, records[0][0], None, "regtest", "family", "test")
    with Journal(place.journal()) as journal:
        journal.begin(row, [Record(*encode_event(records[0][1]))])
        for number, (at, event) in enumerate(records[1:], 1):
            journal.append(row.id, number, at, [Record(*encode_event(event))], ended=number == len(records) - 1)
