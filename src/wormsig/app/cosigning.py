"""A cosigner's side from the proposal to the end: the work here and the talk with the coordinator, side by side.

The work (`deciding`) goes on when the connection is lost, and the talk (`linking`) waits for it; the outcome ends both,
also while a person is being asked. What happens is decided by `ceremony.cosigner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.choosing import cosigner_id
from wormsig.app.comparing import compare_verifier
from wormsig.app.deciding import Decision
from wormsig.app.linking import Link, keep_link
from wormsig.app.receive_plan import DeclinedError
from wormsig.app.seat import Seat
from wormsig.app.session import Session, now
from wormsig.ceremony import cosigner as machine
from wormsig.ceremony import messages, status
from wormsig.errors import NotSupportedError, PeerError, RefusedError, ThresholdError, TransportError, WormsigError
from wormsig.journal.secrets import TO_COORDINATOR, ResumeSecrets
from wormsig.journal.store import CeremonyRow
from wormsig.psbt import codec
from wormsig.psbt.limits import MAX_PEER_PSBT
from wormsig.psbt.model import sha256

if TYPE_CHECKING:
    from wormsig.app.home import Home
    from wormsig.app.receive_plan import ReceivePlan, Watcher
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector

POSTPONED = "they will decide later"


class Cosigner:
    """Runs one cosigner's side to its end.

    Args:
        plan: How to receive.
        journal: Where the events go.
        connector: Makes channels, and knows the time limits.
        home: Where the secret is by which the coordinator is found again.
        node: Our own node, to see the outcome with.
        watcher: Who watches and answers questions.
    """

    def __init__(
        self,
        plan: ReceivePlan,
        journal: Journal,
        connector: Connector,
        home: Home,
        *,
        node: Node | None,
        watcher: Watcher,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._connector = connector
        self._folder = home.links()
        self._node = node
        self._watch = watcher
        self._ended: dict[str, Exception | None] = {}

    async def receive(self, channel: Channel) -> CosignerState:
        """Take the proposal, review, sign, answer, wait for the outcome.

        Args:
            channel: To the coordinator; it is closed in the end.

        Returns:
            The last state: with an outcome, or without one when it is to be decided later.

        Raises:
            RefusedError: The review has an error, or somebody said no.
            PeerError: The coordinator sent something malformed, or lied about the outcome.
            ThresholdError: The ceremony failed elsewhere.
            TransportError: The connection ended too early, or the coordinator stopped.
        """
        try:
            self._watch.status(status.Joined(" ".join(channel.verifier_words())))
            await compare_verifier(channel, self._watch.compare_verifier)
            session = await self._proposal(channel)
        except BaseException as error:
            await channel.close(goodbye_of(error))
            raise
        return await self._run(session, channel)

    async def resume(self, session: Session[CosignerState, CosignerEvent]) -> CosignerState:
        """Go on with a ceremony of the journal. Returns and raises as `receive`."""
        return await self._run(session, None)

    # -- the proposal ----------------------------------------------------------------------------------------------

    async def _proposal(self, channel: Channel) -> Session[CosignerState, CosignerEvent]:
        """The PSBT, journalled and acknowledged."""
        waiting = defer.ensureDeferred(channel.receive())
        try:
            received = await waiting.addTimeout(self._connector.limits.delivery(MAX_PEER_PSBT), self._connector.reactor)
        except TwistedTimeoutError:
            raise TransportError("the coordinator is there, but sent no PSBT in time") from None
        letter, raw = received.letter, received.obj
        if not isinstance(letter, messages.Proposal) or raw is None:
            raise PeerError("the other side did not begin with a proposal")
        try:
            psbt = _parsed(raw)
        except NotSupportedError:
            channel.acknowledge(received)
            await self._not_supported(channel, letter.ceremony)
            raise
        if psbt.txid != letter.unsigned_txid:
            raise PeerError("the PSBT is not the transaction that was announced")
        session = self._begun(letter, psbt, received)
        links = self._links(session)
        keep_link(Seat(self._plan, session, self._watch), links, channel)
        channel.acknowledge(received)
        self._watch.status(status.PsbtReceived(letter.ceremony, len(raw)))
        return session

    async def _not_supported(self, channel: Channel, ceremony: str) -> None:
        reason = "this kind of PSBT is not supported here yet"
        telling = defer.ensureDeferred(channel.deliver(messages.Decline(ceremony, reason)))
        try:
            await telling.addTimeout(self._connector.limits.farewell, self._connector.reactor)
        except (TransportError, PeerError, TwistedTimeoutError):
            return
        self._watch.status(status.DeclineSent(reason))

    def _begun(
        self, letter: messages.Proposal, psbt: Psbt, received: Received
    ) -> Session[CosignerState, CosignerEvent]:
        """Start in the journal, or go on where an earlier connection ended.

        Raises:
            PeerError: A ceremony that we know came back with another PSBT.
        """
        raw = received.obj or b""
        first = machine.Received(
            ceremony=letter.ceremony,
            network=letter.network,
            wallet=letter.wallet,
            wallet_name=None,
            psbt=raw,
            psbt_sha256=sha256(psbt),
            threshold=letter.threshold,
            at=now(),
            letter=received.digest,
        )
        # Both roles may run on one machine with one journal.
        row = CeremonyRow(cosigner_id(letter.ceremony), "cosigner", now(), None, letter.network, None, "receive")
        if not self._journal.events(row.id):
            return Session.begin(self._journal, row, machine.MACHINE, first)
        session = Session.load(self._journal, row.id, machine.MACHINE)
        if session.state.start.psbt != raw:
            raise PeerError("this ceremony is known here, and it came back with another PSBT (R11)")
        return session

    def _links(self, session: Session[CosignerState, CosignerEvent]) -> ResumeSecrets:
        links = ResumeSecrets(self._folder, session.ceremony, TO_COORDINATOR)
        links.trust([session.state.link] if session.state.link else [])
        return links

    # -- work and talk, side by side -------------------------------------------------------------------------------

    async def _run(self, session: Session[CosignerState, CosignerEvent], channel: Channel | None) -> CosignerState:
        seat = Seat(self._plan, session, self._watch)
        decision = Decision(seat)
        link = Link(seat, self._connector, self._links(session), node=self._node, resumed=channel is None)
        asked = channel is not None or machine.pending(session.state) != machine.SendDecline(session.state.reason)
        working = self._started(seat, "work", decision.run()) if asked else None
        if working is not None:
            seat.stop_work = working.cancel
        talking = self._started(seat, "talk", link.run(channel))
        try:
            await self._until_over(seat, decision, link)
        except BaseException as error:
            link.goodbye = link.goodbye or goodbye_of(error)
            raise
        finally:
            if working is not None:
                working.cancel()
            talking.cancel()
            await talking
        if decision.unsaved is not None:
            raise decision.unsaved
        if not decision.postponed:
            self._judge(session.state, link.heard or session.state.outcome)
        return session.state

    def _started(self, seat: Seat, name: str, work: Any) -> defer.Deferred[None]:  # noqa: ANN401  a coroutine
        """Start something that notes how it ended, and wakes whoever waits for that."""

        async def run() -> None:
            try:
                await work
            except defer.CancelledError:
                return
            except Exception as error:  # noqa: BLE001  kept for whoever waits, bugs too
                self._ended[name] = error
            else:
                self._ended[name] = None
            seat.changed.fire()

        return defer.ensureDeferred(run())

    async def _until_over(self, seat: Seat, decision: Decision, link: Link) -> None:
        """Wait until the talk is over, or there is nothing left to talk about.

        Raises:
            WormsigError: Why it ended early.
        """
        gone: Exception | None = None
        while True:
            worked, refusal = "work" in self._ended, self._ended.get("work")
            if worked and (refusal is not None or decision.postponed):
                await self._tell(seat, link, refusal)
                return
            if "talk" in self._ended:
                failure = self._ended["talk"]
                if failure is None:
                    return
                if worked or not isinstance(failure, TransportError):
                    if isinstance(failure, TransportError):
                        failure.hint = f"what is signed here is kept; `wormsig resume {seat.state.start.ceremony[:6]}`"
                    raise failure
                if gone is None:
                    gone = failure
                    seat.watch.status(status.CoordinatorGone(str(failure)))
            await seat.changed.wait()

    async def _tell(self, seat: Seat, link: Link, refusal: Exception | None) -> None:
        """The coordinator hears why there is no signature, when it is there; then the reason is ours to raise."""
        if refusal is None:
            link.goodbye = POSTPONED
            return
        if isinstance(refusal, DeclinedError) and seat.state.phase is not machine.Phase.DECLINED:
            link.last_words = refusal.reason
            seat.changed.fire()
        # Whoever failed without having declined has nothing to tell but a goodbye.
        if link.last_words is not None or seat.state.phase is machine.Phase.DECLINED:
            timer = self._connector.reactor.callLater(self._connector.limits.farewell, self._give_up, seat)
            while "talk" not in self._ended:
                await seat.changed.wait()
            if timer.active():
                timer.cancel()
        raise refusal

    def _give_up(self, seat: Seat) -> None:
        self._ended.setdefault("talk", None)
        seat.changed.fire()

    def _judge(self, state: CosignerState, outcome: machine.OutcomeReceived | None) -> None:
        """Raise what an outcome means for whoever asked.

        Raises:
            PeerError: The coordinator lied about it.
            ThresholdError: The ceremony failed elsewhere.
            TransportError: The coordinator gave up.
        """
        if outcome is None:
            return
        if outcome.lie:
            raise PeerError(
                "the coordinator's final transaction is not the one that was approved here",
                hint="what you signed is what you approved; speak with the coordinator",
            )
        kept = "what you signed stays signed" if state.signed is not None else None
        if outcome.result == "failed":
            raise ThresholdError("the ceremony failed on the coordinator's side", hint=kept)
        if outcome.result == "cancelled":
            raise TransportError("the coordinator cancelled the ceremony", hint=kept)


def goodbye_of(error: BaseException) -> str:
    """What the coordinator is told of an early end: nothing of this machine."""
    if isinstance(error, RefusedError):
        return "it was not signed here"
    if not isinstance(error, WormsigError):
        return "the cosigner stopped, or ran out of time"
    if isinstance(error, PeerError):
        return "your side sent something that is not right"
    return "it could not go on here"


def _parsed(raw: bytes) -> Psbt:
    """A peer's PSBT, of a transaction that there is.

    Raises:
        PeerError: Malformed, or its inputs require locktimes that exclude each other.
        NotSupportedError: Of a kind that this version does not handle.
    """
    try:
        psbt = codec.parse(raw, limit=MAX_PEER_PSBT)
        _ = psbt.tx  # raises where the required locktimes leave none
    except NotSupportedError:
        raise
    except WormsigError as error:
        raise PeerError(f"the PSBT that arrived is malformed: {error.message}") from error
    return psbt
