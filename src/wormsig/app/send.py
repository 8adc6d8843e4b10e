"""The coordinator's driver: conversations with all cosigners at once, then finalize, broadcast, tell everybody.

What happens is decided by `ceremony.coordinator`; here is only the order of doing: decide, commit to the journal,
act. The ceremony ends when the machine says that enough is there, or when nobody is left who could bring more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer
from twisted.internet.task import deferLater

from wormsig.app import failure_words
from wormsig.app.conversation import Conversation
from wormsig.app.session import Session, now
from wormsig.app.table import Table
from wormsig.app.threads import first_of, in_thread, the_reactor
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import status
from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState, Phase
from wormsig.ceremony.coordinator_state import Stage
from wormsig.errors import NodeError, PeerError, RefusedError, ThresholdError, TransportError, UsageError, WormsigError
from wormsig.journal.secrets import ResumeSecrets
from wormsig.journal.store import CeremonyRow
from wormsig.node.client import TransactionRefusedError
from wormsig.psbt import codec
from wormsig.psbt.limits import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.app.home import Home
    from wormsig.app.send_plan import Opening, SendPlan, Watcher
    from wormsig.bitcoin.tx import Transaction
    from wormsig.ceremony.messages import Result
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.transport.connector import Connector


LOOK_FOR_CANCEL = 1.0
"""Seconds between two looks whether somebody asked for a cancellation."""

_STAGES = {
    Stage.WAITING: "did not come",
    Stage.CONNECTED: "came and did not get the PSBT",
    Stage.OFFERED: "has not answered",
    Stage.NOTHING_NEW: "brought nothing new",
}
"""Where a cosigner stands, for a person; the other stages are words already."""

_RESULTS: dict[Phase, Result] = {Phase.BROADCAST: "broadcast", Phase.CANCELLED: "cancelled"}


def begin(opening: Opening, journal: Journal) -> Session[CoordinatorState, CoordinatorEvent]:
    """Write the ceremony's first events: the proposal, and what our own signer signed.

    Raises:
        StorageError: The journal cannot be written.
        PsbtError: Our own signer returned something bad.
    """
    wallet = opening.wallet
    first = machine.Proposed(
        ceremony=opening.ceremony,
        network=opening.network,
        wallet=wallet.id if wallet else None,
        wallet_name=wallet.name if wallet else None,
        psbt=codec.serialize(opening.psbt),
        threshold=opening.threshold,
        cosigners=opening.cosigners,
        allowed_sighash=tuple(sorted(opening.allowed_sighash)),
        wait_all=opening.wait_all,
        at=now(),
        total=len(wallet.keys) if wallet else 0,
        broadcast=opening.broadcast,
        chain=opening.chain,
        tell_reasons=opening.tell_reasons,
        sats=opening.sats,
        warnings=opening.warnings,
        by=opening.by,
    )
    title = f"send to {', '.join(opening.cosigners)}"
    row = CeremonyRow(opening.ceremony, "coordinator", now(), None, opening.network, first.wallet_name, title)
    signed = None if opening.signed is None else codec.serialize(opening.signed)
    return Session.begin(journal, row, machine.MACHINE, *machine.begin(first, signed))


class Coordinator:
    """Runs one ceremony to its end, from wherever it stands.

    Args:
        plan: How it is run.
        session: The ceremony, as `begin` started it or as the journal has it.
        connector: Makes channels.
        node: Our node; None when there is none, and then the transaction is kept.
        watcher: Who watches and answers questions.
        home: Where the secrets are by which cosigners are found again.
    """

    def __init__(
        self,
        plan: SendPlan,
        session: Session[CoordinatorState, CoordinatorEvent],
        connector: Connector,
        *,
        node: Node | None,
        watcher: Watcher,
        home: Home,
    ) -> None:
        self._plan = plan
        self._session = session
        self._connector = connector
        self._node = node
        self._expired = False
        self._talks: dict[str, defer.Deferred[None]] = {}
        self._let_gone: set[str] = set()
        self._hoped_for: set[str] = set()
        folder = home.links()

        def links(name: str) -> ResumeSecrets:
            secrets = ResumeSecrets(folder, session.state.start.ceremony, f"to {name}")
            secrets.trust(session.state.cosigners[name].links)
            return secrets

        self._table = Table(plan, session, watcher, links)

    @property
    def state(self) -> CoordinatorState:
        """The ceremony's state."""
        return self._table.state

    @property
    def _resume(self) -> str:
        """The command that goes on with it."""
        return f"wormsig resume {self.state.start.ceremony[:6]}"

    @property
    def _transaction(self) -> Transaction:
        assert self.state.transaction is not None  # noqa: S101  asked only after Finalized
        return self.state.transaction

    async def run(self) -> CoordinatorState:
        """Collect, finalize, broadcast, tell everybody.

        Returns:
            The last state, with the transaction unless it was cancelled.

        Raises:
            ThresholdError: Too few signatures, and nobody left to bring them.
            PeerError: The same, because of a peer's fault.
            TransportError: The same, because a fixed code was burned; or the relay cannot be reached.
            RefusedError: It was cancelled meanwhile.
            NodeError: The node refused.
        """
        self._announce()
        try:
            await first_of(self._to_the_end(), self._asked_to_cancel())
        except WormsigError as error:
            # The node may have the transaction without having said so: that nobody is told as a failure.
            if self.state.phase is Phase.AGREED:
                self._let_go(self._talks)
            else:
                self._table.end("failed", self._for_cosigners(error))
            raise
        except BaseException:  # interrupted: everybody hears that it can go on, and nothing is over
            self._let_go(self._talks)
            raise
        finally:
            await self._goodbyes()
        return self.state

    async def _to_the_end(self) -> None:
        if self.state.phase is Phase.COLLECTING:
            self._wait_for_the_settled()
            await self._collected()
            self._finalize()
        await self._settle()
        self._table.end(_RESULTS.get(self.state.phase, "final"), self.state.result_note)
        self._call_back()
        self._forget()

    async def _asked_to_cancel(self) -> None:
        """End the ceremony when `wormsig cancel` asks for it, as long as it can be.

        Raises:
            RefusedError: It was cancelled.
        """
        while True:
            await deferLater(the_reactor(), LOOK_FOR_CANCEL)
            words = self._session.asked_to_end()
            if words is not None and machine.can_cancel(self.state):
                self._table.record(machine.Cancelled(words[:MAX_TEXT]))
                self._table.end("cancelled", words)
                raise RefusedError("the ceremony was cancelled", hint=machine.left_behind(self.state))

    def _announce(self) -> None:
        start, have, tell = self.state.start, machine.held(self.state), self._table.watch.status
        if self._plan.signer:
            tell(status.SignedHere(self._plan.signer, have, start.threshold))
        gone_on = self._plan.linger > 0  # else everybody's code is shown next
        names = tuple(each.cosigner for each in machine.pending(self.state) if isinstance(each, machine.Converse))
        awaited = names if gone_on else ()
        tell(status.Started(start.ceremony, "coordinator", start.threshold, have, start.cosigners, awaited))

    def _start_talks(self) -> None:
        """Begin to talk with whoever is to be talked with now; in a chain that is one after another."""
        open_ones = [each.cosigner for each in machine.pending(self.state) if isinstance(each, machine.Converse)]
        if self.state.start.chain:  # who cannot be reached any more holds up nobody
            open_ones = [name for name in open_ones if name not in self._table.failures][:1]
        for name in open_ones:
            if name not in self._talks:
                if self.state.start.chain:
                    self._table.commit(machine.TurnCame(name))
                self._start_talk(name)

    def _wait_for_the_settled(self) -> None:
        """Who has answered already, to an earlier process of ours, may wait for the outcome, or have thought again."""
        for each in self.state.cosigners.values():
            asked = each.name in self._plan.new_codes
            if each.settled and each.name not in self._talks and (asked or self._table.links(each.name).known()):
                self._start_talk(each.name)
                if each.stage is not Stage.SIGNED and (asked or self._plan.hope):
                    self._hoped_for.add(each.name)
                    if not asked:
                        self._table.watch.status(status.MayReturn(each.name, str(each.stage), self._plan.hope))

    def _stop_hoping(self) -> None:
        """Who said no, or nothing of use, had the time to come back; but for those who were given a new code."""
        self._hoped_for &= self._plan.new_codes
        self._table.changed.fire()

    def _start_talk(self, name: str) -> None:
        self._talks[name] = defer.ensureDeferred(Conversation(self._table, self._connector, name).run())

    def _call_back(self) -> None:
        """When an earlier process has ended before everybody was told: wait for those who can come back."""
        if not self._plan.linger:
            return
        for effect in machine.pending(self.state):
            if not isinstance(effect, machine.TellOutcome) or effect.cosigner in self._talks:
                continue
            if self._table.links(effect.cosigner).known():
                self._table.watch.status(status.StillToTell(effect.cosigner, effect.result, self._plan.linger))
                self._start_talk(effect.cosigner)

    def _forget(self) -> None:
        """Remove the secrets of those who know the outcome: an earlier process may have ended before it did."""
        for each in self.state.cosigners.values():
            if each.name not in self._talks and each.told == machine.outcome(self.state, each.name):
                self._table.links(each.name).remove()

    async def _goodbyes(self) -> None:
        """Let everybody who is connected hear the outcome; who is not, gets `linger` seconds to come back."""
        timer = None
        if self._plan.linger and machine.is_over(self.state):
            timer = the_reactor().callLater(self._plan.linger, self._close)
        else:
            self._close()
        try:
            # Talks keep their failures in the table. Who interrupts this wait, cuts the goodbyes short.
            await defer.DeferredList(list(self._talks.values()), consumeErrors=True)
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    def _close(self) -> None:
        """From now on nobody is waited for who is not connected, nor who vanishes."""
        self._table.patient = False
        self._let_go([name for name in self._talks if name not in self._table.in_touch])

    def _let_go(self, names: Iterable[str]) -> None:
        """End talks; each once: a second time would cut short what it says to the relay."""
        for name in names:
            if name not in self._let_gone:
                self._let_gone.add(name)
                self._talks[name].cancel()

    # -- the threshold ---------------------------------------------------------------------------------------------

    async def _collected(self) -> None:
        """Wait until the transaction can be finalized: with --wait-all for everybody who may still come."""
        timers = [the_reactor().callLater(self._plan.hope, self._stop_hoping)] if self._hoped_for else []
        if self._plan.timeout is not None:
            timers.append(the_reactor().callLater(self._plan.timeout, self._expire))
        try:
            while machine.FinalizeTransaction() not in machine.pending(self.state):
                self._start_talks()
                self._raise_ours()
                if not self._expired and not self._nobody_left():
                    await self._table.changed.wait()
                elif machine.shortfall(self.state):
                    raise self._why_not()
                else:
                    self._table.record(machine.WaitEnded("time is up" if self._expired else "nobody else will come"))
        finally:
            for timer in timers:
                if timer.active():
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
        everybody = self.state.cosigners.values()
        self._hoped_for -= {each.name for each in everybody if not each.settled}  # they came
        return all(
            each.name in self._table.failures or (each.settled and each.name not in self._hoped_for)
            for each in everybody
        )

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
            hint=f"nothing is lost: `{self._resume}` goes on with what was signed so far",
        )

    # -- the transaction -------------------------------------------------------------------------------------------

    def _finalize(self) -> None:
        self._table.record(*machine.decide(self.state, machine.Finalize()))
        need, final = self.state.start.threshold, self._transaction
        self._table.watch.status(
            status.ThresholdReached(max(need, machine.held(self.state)), need, final.txid, final.vsize)
        )

    async def _settle(self) -> None:
        """Broadcast, or keep the transaction; what is settled already stays so."""
        node = self._node
        if self.state.phase not in (Phase.FINALIZED, Phase.KEPT, Phase.AGREED):
            return
        if self.state.phase is not Phase.AGREED and (node is None or not self._plan.broadcast):
            self._keep("there is no node" if node is None else "it is not to be broadcast yet")
            return
        if node is None:
            raise UsageError(
                "the transaction was about to be broadcast, and there is no node now",
                hint="use --rpc-url, --rpc-cookie",
            )
        if self.state.phase is not Phase.AGREED and not await self._agreed(node):
            return
        try:
            txid = await in_thread(node.send, self._transaction.serialize())
        except TransactionRefusedError as error:
            self._table.record(machine.NodeRefused(error.message[:MAX_TEXT]))
            raise
        self._table.record(machine.BroadcastDone(txid))
        self._table.watch.status(status.Broadcast(txid))

    def _keep(self, why: str) -> None:
        if self.state.phase is not Phase.KEPT:
            self._table.record(machine.BroadcastDeclined(why))

    async def _agreed(self, node: Node) -> bool:
        """Whether the node would take it, and a person wants it to."""
        final, watch = self._transaction, self._table.watch
        acceptance = await in_thread(node.test_accept, final.serialize())
        if not acceptance.allowed:
            if self.state.phase is Phase.FINALIZED:
                self._table.record(machine.NodeRefused((acceptance.reason or "")[:MAX_TEXT]))
            raise NodeError(
                f"the node does not accept the transaction: {acceptance.reason}",
                hint=acceptance.hint or f"the signatures are good and kept; `{self._resume}` tries again",
            )
        watch.status(status.NodeAccepts(final.vsize))
        if not await watch.ask_broadcast(final.txid):
            self._keep("the coordinator keeps it for now")
            return False
        self._table.record(machine.BroadcastAgreed())
        return True

    def _for_cosigners(self, error: WormsigError) -> str:
        """What cosigners are told of a failure: nothing of this machine, and of each other only what was agreed."""
        if isinstance(error, NodeError):
            return failure_words.NODE
        if not isinstance(error, ThresholdError | PeerError | TransportError):
            return failure_words.OURS
        return failure_words.too_few(self.state)
