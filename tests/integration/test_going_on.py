"""Both roles' drivers in this process, over a real relay: people who think, stop, come back, and change their minds.

What a SIGKILL leaves is tests/e2e/test_kill_matrix.py's; here somebody is in the middle of something when it happens.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from support.drivers import FAST, PATIENCE, Crowd, Silent
from support.hostile import Scene
from support.values import replace
from support.wormholes import until
from wormsig.app.cosigning import Cosigner
from wormsig.app.receive import receive_with_code, resume_cosigner
from wormsig.app.receive_plan import Verdict
from wormsig.app.send import Coordinator, begin
from wormsig.app.send_plan import SendPlan
from wormsig.app.session import Session
from wormsig.ceremony import coordinator, cosigner, status
from wormsig.ceremony.coordinator import MACHINE as COORDINATOR
from wormsig.ceremony.coordinator import Phase
from wormsig.ceremony.cosigner import MACHINE as COSIGNER
from wormsig.ceremony.cosigner_state import Phase as Seat
from wormsig.errors import PeerError, RefusedError, StorageError, ThresholdError, TransportError, UsageError
from wormsig.psbt import codec
from wormsig.transport.connector import Connector
from wormsig.transport.errors import VerifierMismatchError

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.ceremony.coordinator import CoordinatorState
    from wormsig.ceremony.cosigner import CosignerState
    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved
    from wormsig.transport.relay import Relay


class Watcher(Silent):
    """Somebody who may take their time over a question."""

    def __init__(self, answer: Deferred[Verdict] | None = None, *, same: bool = True) -> None:
        super().__init__(self.told_one)
        self.told: list[Any] = []
        self.codes: dict[str, str] = {}
        self.compared: list[str] = []
        self.answer = answer
        self.same = same
        self.asked = 0

    def told_one(self, told: Any) -> None:
        self.told.append(told)
        if isinstance(told, status.CodeReady):
            self.codes[told.cosigner] = told.code

    def heard(self, kind: type) -> bool:
        return any(isinstance(told, kind) for told in self.told)

    async def compare_verifier(self, *words: str) -> bool:
        self.compared.append(words[-1])
        return self.same

    async def decide(self, report: Any) -> Verdict:
        self.asked += 1
        return await super().decide(report) if self.answer is None else await self.answer


@dataclass
class Key:
    """A signer that can be slow, and counts."""

    real: Any
    go: threading.Event = field(default_factory=threading.Event)
    signed: int = 0

    def sign(self, approved: Approved) -> Psbt:
        self.signed += 1
        assert self.go.wait(PATIENCE)
        result: Psbt = self.real.sign(approved)
        return result


class Table(Crowd):
    """A 2-of-3 of alice, who coordinates and has signed, bob and carol."""

    def connector(self, role: Any, *, verify: bool = False) -> Connector:
        return Connector(reactor, self.url, role=role, limits=FAST, verify=verify)

    def begun(self, *names: str, **changes: Any) -> str:
        """A ceremony in alice's journal, which no process runs yet."""
        psbt = self.psbt()
        opening = self.opening(psbt, names, **{"signed": self.scene.sign(psbt, "alice"), **changes})
        with self.journal("coordinator") as journal:
            return begin(opening, journal).ceremony

    def lead(self, ceremony: str, watcher: Watcher, *, verify: bool = False, **how: Any) -> Any:
        """A process of alice's."""

        async def running() -> CoordinatorState:
            with self.journal("coordinator") as journal:
                session = Session.load(journal, ceremony, COORDINATOR)
                plan = SendPlan(label=lambda key: key[:8], broadcast=False, **how)
                where = self.home("coordinator")
                connector = self.connector("coordinator", verify=verify)
                return await Coordinator(plan, session, connector, node=None, watcher=watcher, home=where).run()  # type: ignore[arg-type]

        return ensureDeferred(running()).addTimeout(PATIENCE, reactor)

    def join(self, name: str, watcher: Watcher, *, code: str = "", ceremony: str = "", key: Key | None = None) -> Any:
        """A process of a cosigner's: with a code, or from the journal."""
        plan = self.receive_plan(name)
        if key is not None:
            plan = replace(plan, signer=lambda _: key)

        async def running() -> CosignerState:
            with self.journal(name) as journal:
                connector, where = self.connector("cosigner"), self.home(name)
                side = Cosigner(plan, journal, connector, where, node=None, watcher=watcher)  # type: ignore[arg-type]
                if code:
                    return await receive_with_code(side, code, connector=connector, watcher=watcher)  # type: ignore[arg-type]
                session = Session.load(journal, f"{ceremony}-c", COSIGNER)
                return await resume_cosigner(side, session, connector=connector)

        return ensureDeferred(running()).addTimeout(PATIENCE, reactor)

    def events(self, name: str, ceremony: str) -> list[Any]:
        machine: Any = COORDINATOR if name == "coordinator" else COSIGNER
        ident = ceremony if name == "coordinator" else f"{ceremony}-c"
        with self.journal(name) as journal:
            return [machine.decode(record.body) for record in journal.events(ident)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(salt="going on")


@pytest.fixture
def table(relay: Relay, scene: Scene, tmp_path: Path) -> Table:
    return Table(scene, tmp_path / "people", relay.url, limits=FAST)


async def ended(running: Deferred[Any], kind: type[BaseException]) -> Any:
    """It ended with this failure."""
    with pytest.raises(kind) as failure:
        await running
    return failure.value


async def code_for(watcher: Watcher, name: str) -> str:
    await until(lambda: name in watcher.codes)
    return watcher.codes[name]


async def stopped(running: Deferred[Any]) -> None:
    running.cancel()
    with pytest.raises((CancelledError, TransportError)):
        await running


def count(events: list[Any], kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)


@pytest_twisted.ensureDeferred
async def test_an_outcome_takes_the_question_back(table: Table) -> None:
    ceremony = table.begun("bob", "carol")
    alice, bob = Watcher(), Watcher(Deferred())
    leading = table.lead(ceremony, alice)
    thinking = table.join("bob", bob, code=await code_for(alice, "bob"))
    await until(lambda: bob.asked)
    assert (await table.join("carol", Watcher(), code=await code_for(alice, "carol"))).signed
    state = await thinking
    assert state.outcome.result == "not-needed"
    assert state.outcome.txid == (await leading).transaction.txid
    assert bob.answer is not None
    assert bob.answer.called, "the question was taken back"
    assert state.signed is None
    assert not count(table.events("bob", ceremony), cosigner.Approved)


@pytest_twisted.ensureDeferred
async def test_a_signature_that_is_under_way_when_the_coordinator_stops_is_kept_and_sent_later(table: Table) -> None:
    ceremony = table.begun("bob")
    alice, key = Watcher(), Key(table.keys["bob"])
    leading = table.lead(ceremony, alice)
    bob = Watcher()
    signing = table.join("bob", bob, code=await code_for(alice, "bob"), key=key)
    await until(lambda: key.signed)
    await stopped(leading)
    await until(lambda: bob.heard(status.CoordinatorGone))
    key.go.set()
    error = await ended(signing, TransportError)
    assert "wormsig resume" in error.hint
    assert count(table.events("bob", ceremony), cosigner.Signed) == 1
    again = Watcher()
    waiting = table.join("bob", again, ceremony=ceremony, key=key)
    state = await table.lead(ceremony, Watcher())
    assert (await waiting).outcome.txid == state.transaction.txid
    assert (key.signed, again.asked) == (1, 0)
    assert again.heard(status.SignedBefore)


@pytest_twisted.ensureDeferred
async def test_who_is_stopped_between_approval_and_signature_is_told_and_asked_again(table: Table) -> None:
    ceremony = table.begun("bob")
    alice, key = Watcher(), Key(table.keys["bob"])
    leading = table.lead(ceremony, alice)
    signing = table.join("bob", Watcher(), code=await code_for(alice, "bob"), key=key)
    await until(lambda: key.signed)
    await stopped(signing)
    key.go.set()
    again = Watcher()
    waiting = table.join("bob", again, ceremony=ceremony, key=key)
    state = await leading
    assert (await waiting).outcome.txid == state.transaction.txid
    assert (key.signed, again.asked) == (2, 1)
    assert again.heard(status.ApprovedBefore)
    assert count(table.events("bob", ceremony), cosigner.Signed) == 1


@pytest_twisted.ensureDeferred
async def test_a_disk_that_takes_nothing_at_the_yes_is_told_at_once(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceremony = table.begun("bob")
    alice, bob = Watcher(), Watcher(Deferred())
    leading = table.lead(ceremony, alice)
    code = await code_for(alice, "bob")
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **how: opened.append(connect(*args, **how)) or opened[-1])
    thinking = table.join("bob", bob, code=code)
    await until(lambda: bob.asked)
    for database in opened:
        with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed already
            database.execute("PRAGMA query_only = ON")
    assert bob.answer is not None
    began = time.monotonic()
    bob.answer.callback(Verdict(sign=True))
    await ended(thinking, StorageError)
    assert time.monotonic() - began < FAST.farewell / 2  # closing the channel may take FAST.close of it
    assert not count(table.events("bob", ceremony), cosigner.Approved)
    await until(lambda: any(isinstance(told, status.PeerLost) and "could not go on" in told.why for told in alice.told))
    await stopped(leading)


@pytest_twisted.ensureDeferred
async def test_both_come_back_at_the_same_moment_three_times(table: Table) -> None:
    ceremony = table.begun("bob")
    alice = Watcher()
    leading = table.lead(ceremony, alice)
    thinking = table.join("bob", Watcher(Deferred()), code=await code_for(alice, "bob"))
    await until(lambda: alice.heard(status.PsbtDelivered))
    for _ in range(3):
        await stopped(thinking)
        await stopped(leading)
        alice, bob = Watcher(), Watcher(Deferred())
        leading = table.lead(ceremony, alice, linger=1)
        thinking = table.join("bob", bob, ceremony=ceremony)
        await until(lambda one=alice, other=bob: one.heard(status.PsbtDelivered) and other.asked)
        assert not alice.codes, "nobody needs a code"
        assert [told.awaited for told in alice.told if isinstance(told, status.Started)] == [("bob",)]
    assert bob.answer is not None
    bob.answer.callback(Verdict(sign=True))
    assert (await thinking).outcome.txid == (await leading).transaction.txid


@pytest_twisted.ensureDeferred
async def test_who_declined_may_think_again_the_next_day(table: Table) -> None:
    ceremony = table.begun("bob")
    alice, no = Watcher(), Deferred[Verdict]()
    no.callback(Verdict(sign=False, reason="not before Friday"))
    leading = table.lead(ceremony, alice)
    declining = table.join("bob", Watcher(no), code=await code_for(alice, "bob"))
    await ended(declining, RefusedError)
    assert "not before Friday" in str(await ended(leading, ThresholdError))
    assert table.events("bob", ceremony)[-1] == cosigner.DeclineTold(table.events("bob", ceremony)[-1].letter)
    waiting = table.join("bob", Watcher(), ceremony=ceremony)
    leading = table.lead(ceremony, Watcher(), linger=PATIENCE, hope=PATIENCE)
    state = await waiting
    assert state.phase is Seat.OVER
    assert state.outcome.txid == (await leading).transaction.txid


@pytest_twisted.ensureDeferred
async def test_a_kept_transaction_stays_kept_and_whoever_was_away_is_told(table: Table) -> None:
    ceremony = table.begun("bob", "carol")
    alice = Watcher()
    leading = table.lead(ceremony, alice)
    away = table.join("bob", Watcher(Deferred()), code=await code_for(alice, "bob"))
    await until(lambda: alice.heard(status.PsbtDelivered))
    await stopped(away)
    await table.join("carol", Watcher(), code=await code_for(alice, "carol"))
    first = await leading
    assert first.phase is Phase.KEPT
    again = Watcher()
    waiting = table.join("bob", Watcher(Deferred()), ceremony=ceremony)
    second = await table.lead(ceremony, again, linger=PATIENCE, hope=PATIENCE)
    assert (second.phase, second.transaction) == (Phase.KEPT, first.transaction)
    assert (await waiting).outcome.result == "not-needed"
    assert not again.codes


@pytest_twisted.ensureDeferred
async def test_who_was_away_when_it_was_cancelled_is_told_and_may_not_sign_any_more(table: Table) -> None:
    ceremony = table.begun("bob")
    alice = Watcher()
    leading = table.lead(ceremony, alice)
    away = table.join("bob", Watcher(Deferred()), code=await code_for(alice, "bob"))
    await until(lambda: alice.heard(status.PsbtDelivered))
    await stopped(away)
    await stopped(leading)
    with table.journal("coordinator") as journal:
        Session.load(journal, ceremony, COORDINATOR).record(coordinator.Cancelled("another one is better"))
    bob = Watcher(Deferred())
    waiting = table.join("bob", bob, ceremony=ceremony)
    assert (await table.lead(ceremony, Watcher(), linger=PATIENCE, hope=PATIENCE)).phase is Phase.CANCELLED
    assert "cancelled" in str(await ended(waiting, TransportError))
    assert not count(table.events("bob", ceremony), cosigner.Approved)


@pytest_twisted.ensureDeferred
async def test_a_broadcast_that_was_agreed_needs_a_node_to_go_on(table: Table) -> None:
    ceremony = table.begun("bob", signed=None)
    with table.journal("coordinator") as journal:
        session = Session.load(journal, ceremony, COORDINATOR)
        for name in ("alice", "bob"):
            signed = table.scene.sign(session.state.copy, name)
            session.record(*coordinator.decide(session.state, coordinator.Answer(None, codec.serialize(signed))))
        session.record(*coordinator.decide(session.state, coordinator.Finalize()))
        session.record(coordinator.BroadcastAgreed())
    assert "no node" in str(await ended(table.lead(ceremony, Watcher()), UsageError))
    assert table.events("coordinator", ceremony)[-1] == coordinator.BroadcastAgreed()


@pytest_twisted.ensureDeferred
async def test_the_verifier_is_compared_on_every_connection_and_no_word_is_said_before(table: Table) -> None:
    ceremony = table.begun("bob")
    alice, bob = Watcher(), Watcher(Deferred())
    leading = table.lead(ceremony, alice, verify=True)
    thinking = table.join("bob", bob, code=await code_for(alice, "bob"))
    await until(lambda: bob.asked)
    await stopped(thinking)
    await stopped(leading)
    assert alice.compared == bob.compared
    # What comes back now reads other words: somebody stands between, or so it seems.
    suspicious, careful = Watcher(same=False), Watcher(Deferred())
    leading = table.lead(ceremony, suspicious, verify=True)
    waiting = table.join("bob", careful, ceremony=ceremony)
    await ended(waiting, VerifierMismatchError)
    await ended(leading, PeerError)
    assert suspicious.compared[0] == careful.compared[0] != alice.compared[0]
    assert count(table.events("bob", ceremony), cosigner.Linked) == 1, "no new secret from that connection"
    # And the old secret still works.
    last = Watcher()
    leading = table.lead(ceremony, last, verify=True, linger=PATIENCE, hope=PATIENCE)
    waiting = table.join("bob", Watcher(), ceremony=ceremony)
    assert (await waiting).outcome.txid == (await leading).transaction.txid
    assert len(last.compared) == 1


@pytest_twisted.ensureDeferred
async def test_who_declined_gets_a_new_code_when_the_coordinator_asks_for_one(table: Table) -> None:
    ceremony = table.begun("bob")
    alice, no = Watcher(), Deferred[Verdict]()
    no.callback(Verdict(sign=False, reason="not before Friday"))
    leading = table.lead(ceremony, alice)
    declining = table.join("bob", Watcher(no), code=await code_for(alice, "bob"))
    await ended(declining, RefusedError)
    await ended(leading, ThresholdError)
    again = Watcher()
    leading = table.lead(ceremony, again, new_codes=frozenset({"bob"}))
    state = await table.join("bob", Watcher(), code=await code_for(again, "bob"))
    assert state.outcome.txid == (await leading).transaction.txid


@pytest_twisted.ensureDeferred
async def test_who_declined_and_does_not_come_back_is_not_waited_for_without_end(table: Table) -> None:
    ceremony = table.begun("bob")
    alice, no = Watcher(), Deferred[Verdict]()
    no.callback(Verdict(sign=False, reason="never"))
    leading = table.lead(ceremony, alice)
    declining = table.join("bob", Watcher(no), code=await code_for(alice, "bob"))
    await ended(declining, RefusedError)
    await ended(leading, ThresholdError)
    again = Watcher()
    failure = await ended(table.lead(ceremony, again, linger=1, hope=1), ThresholdError)
    assert "never" in str(failure)
    assert f"`wormsig resume {ceremony[:6]}`" in failure.hint
    assert status.MayReturn("bob", "declined", 1) in again.told
