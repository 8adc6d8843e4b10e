"""The coordinator's driver: conversations with all cosigners at once, then finalize, broadcast, tell everybody.

What happens is decided by `ceremony.coordinator`; here is only the order of doing: decide, commit to the journal,
act. The ceremony ends when the machine says that enough is there, or when nobody is left who could bring more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer

from wormsig.app.conversation import Conversation, SendPlan, Table, Watcher
from wormsig.app.session import COORDINATOR, Session, now
from wormsig.app.threads import in_thread, the_reactor
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import status
from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState, Phase
from wormsig.errors import NodeError, PeerError, ThresholdError, TransportError, WormsigError
from wormsig.journal.store import CeremonyRow
from wormsig.psbt import codec
from wormsig.psbt.limits import MAX_TEXT

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import Transaction
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.transport.connector import Connector


def begin(plan: SendPlan, journal: Journal) -> Session[CoordinatorState, CoordinatorEvent]:
    """Write the ceremony's first events: the proposal, and what our own signer signed.

    Raises:
        StorageError: The journal cannot be written.
        PsbtError: Our own signer returned something bad.
    """
    network = plan.report.network.value if plan.report.network else "unknown"
    name = plan.wallet.name if plan.wallet else None
    first = machine.Proposed(
        ceremony=plan.ceremony,
        network=network,
        wallet=plan.wallet.id if plan.wallet else None,
        wallet_name=name,
        psbt=codec.serialize(plan.psbt),
        threshold=plan.threshold,
        cosigners=plan.cosigners,
        allowed_sighash=tuple(sorted(plan.allowed_sighash)),
        wait_all=plan.wait_all,
        at=now(),
    )
    title = f"send to {', '.join(plan.cosigners)}"
    row = CeremonyRow(plan.ceremony, "coordinator", now(), None, network, name, title)
    session = Session.begin(journal, row, COORDINATOR, first)
    if plan.signed is not None:
        session.record(*machine.decide(session.state, machine.Answer(None, codec.serialize(plan.signed))))
    return session


class Coordinator:
    """Runs one ceremony to its end.

    Args:
        plan: What is sent to whom.
        session: The ceremony as `begin` started it.
        connector: Makes channels.
        node: Our node; None when there is none, and then the transaction is kept.
        watcher: Who watches and answers questions.
    """

    def __init__(
        self,
        plan: SendPlan,
        session: Session[CoordinatorState, CoordinatorEvent],
        connector: Connector,
        node: Node | None,
        watcher: Watcher,
    ) -> None:
        self._plan = plan
        self._table = Table(plan, session, watcher)
        self._connector = connector
        self._node = node
        self._expired = False

    @property
    def state(self) -> CoordinatorState:
        """The ceremony's state."""
        return self._table.state

    @property
    def _transaction(self) -> Transaction:
        assert self.state.transaction is not None  # noqa: S101  asked only after Finalized
        return self.state.transaction

    async def run(self) -> CoordinatorState:
        """Collect, finalize, broadcast, tell everybody.

        Returns:
            The last state, with the transaction.

        Raises:
            ThresholdError: Too few signatures, and nobody left to bring them.
            PeerError: The same, because of a peer's fault.
            TransportError: The same, because a fixed code was burned; or the relay cannot be reached.
            NodeError: The node refused.
        """
        self._announce()
        talks = self._start_talks()
        try:
            await self._collected()
            self._finalize()
            await self._settle()
            broadcast = self.state.phase is Phase.BROADCAST
            self._table.end("broadcast" if broadcast else "final", self.state.result_note)
        except WormsigError as error:
            self._table.end("failed", error.message)
            raise
        finally:
            self._table.end("cancelled", "the coordinator stopped")  # no effect when there is an outcome already
            for name, talk in talks.items():
                if name not in self._table.in_touch:
                    talk.cancel()
            for talk in talks.values():
                await _ended(talk)
        return self.state

    def _announce(self) -> None:
        have, need = machine.held(self.state), self.state.start.threshold
        if self._plan.signed is not None:
            self._table.watch.status(status.SignedHere(self._plan.signer, have, need))
        started = status.Started(self._plan.ceremony, "coordinator", need, have, self._plan.cosigners)
        self._table.watch.status(started)

    def _start_talks(self) -> dict[str, defer.Deferred[None]]:
        if not machine.shortfall(self.state) and not self._plan.wait_all:
            return {}
        codes = dict(zip(self._plan.cosigners, self._plan.codes, strict=False))
        return {
            name: defer.ensureDeferred(Conversation(self._table, self._connector, name, codes.get(name)).run())
            for name in self._plan.cosigners
        }

    # -- the threshold ---------------------------------------------------------------------------------------------

    async def _collected(self) -> None:
        """Wait until the machine wants to finalize."""
        timer = None
        if self._plan.timeout is not None:
            timer = the_reactor().callLater(self._plan.timeout, self._expire)
        try:
            while machine.FinalizeTransaction() not in machine.pending(self.state):
                if self._expired:
                    raise self._too_few("time is up")
                self._give_up_when_hopeless()
                await self._table.changed.wait()
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        self._table.changed.fire()

    def _give_up_when_hopeless(self) -> None:
        """Raise when nobody is left who could bring the missing signatures."""
        failures = self._table.failures
        for failure in failures.values():
            if not isinstance(failure, TransportError | PeerError):
                raise failure  # ours: the disk is full, say
        if any(not each.settled and each.name not in failures for each in self.state.cosigners.values()):
            return
        fault = machine.peer_at_fault(self.state)
        if fault is not None:
            raise fault
        for failure in failures.values():
            raise failure
        raise self._too_few("nobody is left who could sign")

    def _too_few(self, why: str) -> ThresholdError:
        state = self.state
        said = [f"{c.name} {c.stage}{f' ({c.note})' if c.note else ''}" for c in state.cosigners.values()]
        return ThresholdError(
            f"{machine.held(state)} of {state.start.threshold} signatures, and {why}: {', '.join(said)}",
            hint=f"every signature so far is kept in ceremony {self._plan.ceremony[:6]}",
        )

    # -- the transaction -------------------------------------------------------------------------------------------

    def _finalize(self) -> None:
        self._table.record(*machine.decide(self.state, machine.Finalize()))
        need, final = self.state.start.threshold, self._transaction
        self._table.watch.status(
            status.ThresholdReached(max(need, machine.held(self.state)), need, final.txid, final.vsize)
        )

    async def _settle(self) -> None:
        """Broadcast, or keep the transaction."""
        final, watch = self._transaction, self._table.watch
        if self._node is None or not self._plan.broadcast:
            why = "there is no node" if self._node is None else "it is not to be broadcast yet"
            self._table.record(machine.BroadcastDeclined(why))
            return
        raw = final.serialize()
        acceptance = await in_thread(self._node.test_accept, raw)
        if not acceptance.allowed:
            raise NodeError(
                f"the node does not accept the transaction: {acceptance.reason}",
                hint="the signatures are good and kept; `wormsig broadcast` tries again",
            )
        watch.status(status.NodeAccepts(final.vsize))
        if not await in_thread(watch.ask_broadcast, final.txid):
            self._table.record(machine.BroadcastDeclined("the coordinator keeps it for now"))
            return
        self._table.record(machine.BroadcastAgreed())
        try:
            txid = await in_thread(self._node.send, raw)
        except NodeError as error:
            self._table.record(machine.NodeRefused(error.message[:MAX_TEXT]))
            raise
        self._table.record(machine.BroadcastDone(txid))
        watch.status(status.Broadcast(txid))


async def _ended(talk: defer.Deferred[None]) -> None:
    """Wait for a conversation's end; why it ended stands in the table."""
    try:
        await talk
    except defer.CancelledError:
        return
