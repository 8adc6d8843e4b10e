"""T7: somebody has read the secret of a pair from a disk, and comes in the place of one of the two.

Both real drivers, a real relay, and a thief who speaks the protocol perfectly. What the thief can do is to see what the
disk held anyway, and to be in the way; nobody signs, takes or forgets anything because of it.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from support.drivers import FAST, PATIENCE, Crowd, Silent
from support.hostile import Scene, edit_tx
from support.values import replace
from support.wormholes import until
from wormsig.app.cosigning import Cosigner
from wormsig.app.receive import receive_with_code, resume_cosigner
from wormsig.app.send import Coordinator, begin
from wormsig.app.send_plan import SendPlan
from wormsig.app.session import Session
from wormsig.ceremony import coordinator, cosigner, messages, status, wire
from wormsig.ceremony.coordinator import MACHINE as COORDINATOR
from wormsig.ceremony.cosigner import MACHINE as COSIGNER
from wormsig.errors import PeerError, TransportError
from wormsig.journal.secrets import ResumeSecrets
from wormsig.psbt import codec
from wormsig.transport.connector import Connector
from wormsig.transport.errors import PeerGoneError
from wormsig.transport.relay import start_relay
from wormsig.transport.rendezvous import Rendezvous

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wormsig.app.receive_plan import Verdict
    from wormsig.psbt.model import Psbt
    from wormsig.transport.channel import Channel


class Person(Silent):
    """Somebody who thinks about it for ever, or says yes at once."""

    def __init__(self, *, thinks: bool = False) -> None:
        super().__init__(self._told)
        self.told: list[Any] = []
        self.codes: list[str] = []
        self._thinks = thinks

    def _told(self, told: Any) -> None:
        self.told.append(told)
        if isinstance(told, status.CodeReady):
            self.codes.append(told.code)

    def heard(self, kind: type) -> bool:
        return any(isinstance(told, kind) for told in self.told)

    async def decide(self, report: Any) -> Verdict:
        return await Deferred() if self._thinks else await super().decide(report)


class Table(Crowd):
    """Alice, who has signed, and bob, who has the PSBT and has not decided; then everybody was away."""

    ceremony = ""
    agreed: Psbt

    async def begun(self) -> None:
        self.agreed = self.psbt()
        opening = self.opening(self.agreed, ("bob",), signed=self.scene.sign(self.agreed, "alice"))
        with self.journal("coordinator") as journal:
            self.ceremony = begin(opening, journal).ceremony
        alice = Person()
        leading = self.lead(alice)
        await until(lambda: alice.codes)
        thinking = self.join(Person(thinks=True), code=alice.codes[0])
        await until(lambda: alice.heard(status.PsbtDelivered))
        for running in (thinking, leading):
            running.cancel()
            with pytest.raises((CancelledError, TransportError)):
                await running

    def lead(self, person: Person, **how: Any) -> Any:
        async def running() -> Any:
            with self.journal("coordinator") as journal:
                session = Session.load(journal, self.ceremony, COORDINATOR)
                plan = SendPlan(label=lambda key: key[:8], broadcast=False, **how)
                connector, home = (
                    Connector(reactor, self.url, role="coordinator", limits=FAST),
                    self.home("coordinator"),
                )
                return await Coordinator(plan, session, connector, node=None, watcher=person, home=home).run()  # type: ignore[arg-type]

        return ensureDeferred(running()).addTimeout(PATIENCE, reactor)

    def join(self, person: Person, *, code: str = "") -> Any:
        async def running() -> Any:
            with self.journal("bob") as journal:
                connector, plan = Connector(reactor, self.url, role="cosigner", limits=FAST), self.receive_plan("bob")
                side = Cosigner(plan, journal, connector, self.home("bob"), node=None, watcher=person)  # type: ignore[arg-type]
                if code:
                    return await receive_with_code(side, code, connector=connector, watcher=person)  # type: ignore[arg-type]
                return await resume_cosigner(
                    side, Session.load(journal, f"{self.ceremony}-c", COSIGNER), connector=connector
                )

        return ensureDeferred(running()).addTimeout(PATIENCE, reactor)

    def events(self, name: str) -> list[Any]:
        machine: Any = COORDINATOR if name == "coordinator" else COSIGNER
        ident = self.ceremony if name == "coordinator" else f"{self.ceremony}-c"
        with self.journal(name) as journal:
            return [machine.decode(record.body) for record in journal.events(ident)]

    def stolen(self, name: str) -> bytes:
        """What a thief reads on somebody's disk."""
        (path,) = self.home(name).links().iterdir()
        return base64.b64decode(json.loads(path.read_bytes())["secrets"][0]["secret"])

    def thief(self, role: Any, secret: bytes) -> Any:
        """The thief comes in somebody's place."""
        kept = ResumeSecrets(self.folder / "thief", secrets.token_hex(8), "victim")
        kept.keep(secret)
        connector = Connector(reactor, self.url, role=role, limits=FAST)
        return ensureDeferred(Rendezvous(connector, kept).meet()).addTimeout(PATIENCE, reactor)

    def letter(self, raw: bytes, ceremony: str) -> messages.Proposal:
        txid = codec.parse(raw).txid
        return messages.Proposal(
            ceremony=ceremony, network="regtest", wallet=self.scene.wallet.id, threshold=2, total=3,
            psbt=wire.reference(raw), unsigned_txid=txid, sent_at=1_795_000_000,
        )  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(salt="stolen secret")


@pytest_twisted.async_yield_fixture
async def table(scene: Scene, tmp_path: Path) -> AsyncIterator[Table]:
    relay = await start_relay(reactor)
    everybody = Table(scene, tmp_path / "people", relay.url, limits=FAST)
    (tmp_path / "people").mkdir()
    await everybody.begun()
    yield everybody
    await relay.stop()


async def refused(channel: Channel, letter: messages.Proposal, raw: bytes) -> None:
    """It is not acknowledged."""
    with pytest.raises(PeerGoneError):
        await channel.deliver(letter, raw)


@pytest.mark.parametrize("changed", ["more to the payee", "another coin", "a signature more", "another ceremony"])
@pytest_twisted.ensureDeferred
async def test_t7_a_thief_who_comes_as_the_coordinator_gets_nothing_signed_but_what_was_agreed(
    table: Table, changed: str
) -> None:
    agreed, ceremony = table.agreed, table.ceremony
    if changed == "more to the payee":
        outputs = agreed.tx.outputs
        other = edit_tx(agreed, outputs=(replace(outputs[0], sats=outputs[0].sats + 1), *outputs[1:]))
    elif changed == "another coin":
        other = table.psbt()
    elif changed == "a signature more":
        other = table.scene.sign(agreed, "carol")
    else:
        other, ceremony = agreed, secrets.token_hex(16)
    raw, before = codec.serialize(other), table.events("bob")
    bob, thief = table.join(Person()), table.thief("coordinator", table.stolen("bob"))
    await refused(await thief, table.letter(raw, ceremony), raw)
    with pytest.raises(PeerError, match="another PSBT") as failure:
        await bob
    assert failure.value.exit_code == 5
    after = table.events("bob")
    signed = [each for each in after if isinstance(each, cosigner.Signed)]
    assert all(codec.parse(each.psbt).txid == agreed.txid for each in signed), "what arrived first, and nothing else"
    assert not any(isinstance(each, cosigner.Linked | cosigner.Answered) for each in after[len(before) :])
    assert [name.name for name in (table.folder / "bob").rglob("*.psbt")] == []
    # The thief's own secret is not kept, so that the two who agreed still find each other.
    leading, bob = table.lead(Person()), table.join(Person())
    state = await bob
    assert state.outcome.txid == (await leading).transaction.txid == agreed.txid


@pytest_twisted.ensureDeferred
async def test_t7_a_thief_who_comes_as_the_cosigner_changes_nothing_either(table: Table) -> None:
    alice, secret = Person(), table.stolen("bob")
    leading, thief = table.lead(alice), table.thief("cosigner", secret)
    channel = await thief
    proposal = await channel.receive()
    assert codec.parse(proposal.obj).txid == table.agreed.txid, "the thief sees what bob's disk held"
    channel.acknowledge(proposal)
    other = codec.serialize(table.scene.sign(table.psbt(), "bob"))
    answer = messages.Contribution(table.ceremony, wire.reference(other), "psbt")
    await channel.deliver(answer, other)
    await until(lambda: alice.heard(status.AnswerRefused))
    await channel.close("done")
    assert not any(isinstance(each, coordinator.Contributed) and each.cosigner for each in table.events("coordinator"))
    # Bob's place is taken: the thief's connection replaced the secret. `resume --new-code` brings bob back.
    with pytest.raises(PeerError, match="bob: another transaction came back"):
        await leading
    assert table.stolen("coordinator") != secret
    leading = table.lead(again := Person(), new_codes=frozenset({"bob"}))
    await until(lambda: again.codes)
    state = await table.join(Person(), code=again.codes[0])
    assert state.outcome.txid == (await leading).transaction.txid == table.agreed.txid
