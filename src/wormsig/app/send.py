"""The coordinator's driver: conversations with all cosigners at once, then finalize, broadcast, tell everybody.

What happens is decided by `ceremony.coordinator`; here is only the order of doing: decide, commit to the journal,
act. The ceremony ends when the machine says that enough is there, or when nobody is left who could bring more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer

from wormsig.app.conversation import Conversation, Table
from wormsig.app.session import COORDINATOR, Session, now
from wormsig.app.threads import in_thread, the_reactor
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import status
from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState, Phase
from wormsig.ceremony.coordinator_state import Stage
from wormsig.errors import NodeError, PeerError, ThresholdError, TransportError, UsageError, WormsigError
from wormsig.journal.store import CeremonyRow
from wormsig.psbt import codec
from wormsig.psbt.limits import MAX_TEXT

if TYPE_CHECKING:
    from wormsig.app.send_plan import SendPlan, Watcher
    from wormsig.bitcoin.tx import Transaction
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.transport.connector import Connector


_STAGES = {
    Stage.WAITING: "did not come",
    Stage.CONNECTED: "came and did not get the PSBT",
    Stage.OFFERED: "has not answered",
    Stage.NOTHING_NEW: "brought nothing new",
}
"""Where a cosigner stands, for a person; the other stages are words already."""


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
        total=len(plan.wallet.keys) if plan.wallet else 0,
        broadcast=plan.broadcast,
    )
    title = f"send to {', '.join(plan.cosigners)}"
    row = CeremonyRow(plan.ceremony, "coordinator", now(), None, network, name, title)
    signed = None if plan.signed is None else codec.serialize(plan.signed)
    return Session.begin(journal, row, COORDINATOR, *machine.begin(first, signed))


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
            self._table.end("failed", _for_cosigners(error))
            raise
        finally:
            self._table.end("cancelled", "the coordinator stopped")  # no effect when there is an outcome already
            for name, talk in talks.items():
                if name not in self._table.in_touch:
                    talk.cancel()
            # Talks keep their failures in the table. Who interrupts this wait, cuts the goodbyes short.
            await defer.DeferredList(list(talks.values()), consumeErrors=True)
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
        """Wait until the transaction can be finalized: with --wait-all for everybody who may still come."""
        timer = None
        if self._plan.timeout is not None:
            timer = the_reactor().callLater(self._plan.timeout, self._expire)
        try:
            while machine.FinalizeTransaction() not in machine.pending(self.state):
                self._raise_ours()
                if not self._expired and not self._nobody_left():
                    await self._table.changed.wait()
                elif machine.shortfall(self.state):
                    raise self._why_not()
                else:
                    self._table.record(machine.WaitEnded("time is up" if self._expired else "nobody else will come"))
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        self._table.changed.fire()

    def _raise_ours(self) -> None:
        """Raise a failure that is nobody else's: the disk is full, say, or a bug."""
        for failure in self._table.failures.values():
            if not isinstance(failure, TransportError | PeerError | UsageError):
                raise failure

    def _nobody_left(self) -> bool:
        """Whether nobody can be expected to bring anything any more."""
        return all(each.settled or each.name in self._table.failures for each in self.state.cosigners.values())

    def _why_not(self) -> Exception:
        """Why the signatures that are missing will not come."""
        state = self.state
        fault = machine.peer_at_fault(state)
        if fault is not None:
            return fault
        failures = list(self._table.failures.values())
        if failures and not self._expired:
            return failures[0]
        said = [
            f"{c.name} {_STAGES.get(c.stage, c.stage)}{f' ({c.note})' if c.note else ''}"
            for c in state.cosigners.values()
        ]
        why = "time is up" if self._expired else "nobody is left who could sign"
        return ThresholdError(
            f"{machine.held(state)} of {state.start.threshold} signatures, and {why}: {', '.join(said)}",
            hint="nothing is lost: what was signed so far can be sent again, to whoever is missing",
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
            self._table.record(machine.NodeRefused((acceptance.reason or "")[:MAX_TEXT]))
            raise NodeError(
                f"the node does not accept the transaction: {acceptance.reason}",
                hint=acceptance.hint or "the signatures are good and kept; `wormsig broadcast` tries again",
            )
        watch.status(status.NodeAccepts(final.vsize))
        if not await watch.ask_broadcast(final.txid):
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


def _for_cosigners(error: WormsigError) -> str:
    """What cosigners are told of a failure: nothing of this machine, and nothing of each other."""
    if isinstance(error, NodeError):
        return "the coordinator's node did not take the transaction"
    if isinstance(error, ThresholdError | PeerError | TransportError):
        return "not enough signatures came together"
    return "something failed on the coordinator's side"
