"""The coordinator's talk with one cosigner: the PSBT, the answer, the outcome, over as many connections as it takes.

Several run at once; what they share is the `Table`. How a connection comes about stands in `reach`. A cosigner who was
killed and comes back takes the place of the old connection, which may look alive for half an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.comparing import compare_verifier
from wormsig.app.notices import Notices
from wormsig.app.reach import Reach
from wormsig.app.threads import first_of, in_thread
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import messages, status, wire
from wormsig.ceremony.coordinator_state import Stage
from wormsig.errors import PeerError, TransportError, UsageError, WormsigError
from wormsig.psbt.limits import MAX_TEXT
from wormsig.psbt.scripts import signer_of
from wormsig.transport.errors import BurnedCodeError

if TYPE_CHECKING:
    from wormsig.app.table import Table
    from wormsig.ceremony.coordinator import CoordinatorEvent
    from wormsig.ceremony.status import Status
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector

MAX_PROGRESS = 64
"""Words of progress over one connection that are shown; more are heard and ignored."""

STOPPED = "the coordinator stopped for now; it can go on later"


class Conversation:
    """One cosigner's conversation.

    Args:
        table: What all conversations share.
        connector: Makes channels.
        name: Our name for the cosigner.
    """

    def __init__(self, table: Table, connector: Connector, name: str) -> None:
        self._table = table
        self._connector = connector
        self._name = name
        self._progress = 0
        self._told = False
        self._newcomer: Channel | None = None
        self._verdict: defer.Deferred[None] | None = None
        self._links = table.links(name)
        self._notices = Notices(
            connector.reactor, lambda words: table.watch.status(status.ConnectionNotice(name, words)), name
        )
        self._reach = Reach(table, connector, name, self._links, self._notices)

    @property
    def _settled(self) -> bool:
        return self._table.cosigner(self._name).settled

    def _say(self, what: Status) -> None:
        self._table.watch.status(what)

    async def run(self) -> None:
        """Reach the cosigner and talk, again and again, until there is an outcome and the cosigner knows it.

        Ends earlier only by being cancelled. Failures go to the table.
        """
        table, channel = self._table, None
        try:
            while not self._told and (channel is not None or table.ending is None or table.patient):
                channel = await self._held(channel or await self._reach.channel())
            if channel is not None:  # came back when there was nothing left to say
                await channel.close()
        except defer.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  kept for whoever waits for the ceremony, bugs too
            table.failures[self._name] = error
            if isinstance(error, TransportError) and not _counts(error):
                self._reach.lost(error.message)
            table.changed.fire()
        finally:
            await self._reach.left()

    async def _held(self, channel: Channel) -> Channel | None:
        """Talk until the connection ends.

        Returns:
            The channel on which the cosigner came back meanwhile; None when there is none.
        """
        self._newcomer = None
        talk = defer.ensureDeferred(self._with_channel(channel))

        def replace(newcomer: Channel) -> None:
            self._newcomer = newcomer
            talk.cancel()

        arrival = defer.ensureDeferred(self._reach.takeover())
        arrival.addCallbacks(replace, lambda _: None)
        try:
            await talk
        except defer.CancelledError:
            if self._newcomer is None:
                raise
        finally:
            arrival.cancel()
        return self._newcomer

    async def _with_channel(self, channel: Channel) -> None:
        self._notices.watch(channel)
        self._table.in_touch[self._name] = channel
        goodbye = ""
        try:
            await self._talk(channel)
        except PeerError as error:
            goodbye = f"your side {error.message}"
            self._reach.misbehaved(error.message)
        except TransportError as error:
            self._reach.was_lost = True
            if self._reach.fixed and not self._settled:
                raise
            if self._table.cosigner(self._name).stage is not Stage.DECLINED:  # who has said no may go
                self._reach.lost(error.message)
        except UsageError:
            goodbye = "nobody is at the coordinator's side to compare the verifier"
            raise
        except defer.CancelledError:
            goodbye = STOPPED
            raise
        finally:
            self._notices.stop()
            await channel.close(goodbye)  # still in touch: what was said last has to arrive
            if self._table.in_touch.get(self._name) is channel:
                del self._table.in_touch[self._name]

    # -- the talk --------------------------------------------------------------------------------------------------

    async def _talk(self, channel: Channel) -> None:
        """Hand over the PSBT, take answers, and tell the outcome as soon as there is one."""
        table, name = self._table, self._name
        words = " ".join(channel.verifier_words())
        table.announce(status.PeerConnected(name, words))
        if table.ending is None:
            await first_of(self._exchange(channel, words), table.over.wait())
        elif table.cosigner(name).transcript.letters:
            await self._link(channel, words)
            self._tell_verdict(channel)
        else:  # an outcome can be understood only by who knows what it is about
            await self._offer(channel, words)
            self._tell_verdict(channel)
        if table.ending is not None and not channel.must_compare:
            await self._tell_outcome(channel, *table.ending)
            await self._hear_farewell(channel)

    async def _exchange(self, channel: Channel, words: str) -> None:
        """Everything before the outcome. Ends by being cancelled: whatever the peer leaves open holds up nobody."""
        await self._offer(channel, words)
        self._tell_verdict(channel)
        while True:
            await self._letter(channel, await channel.receive())

    async def _offer(self, channel: Channel, words: str) -> None:
        table, name = self._table, self._name
        await self._link(channel, words)
        data = table.state.offer_to(name)
        proposal = self._proposal(data)
        await channel.deliver(proposal, data)
        table.record(machine.Offered(name, wire.digest(proposal)), tell=lambda: status.PsbtDelivered(name))
        self._links.settle()  # the cosigner keeps the new secret before it acknowledges

    async def _link(self, channel: Channel, words: str) -> None:
        """Compare the verifier where that was asked for, and keep what both sides find each other by."""
        name, watch = self._name, self._table.watch
        await compare_verifier(channel, lambda shown: watch.compare_verifier(name, shown))
        link = self._links.keep(channel.derive_key("resume"))
        self._table.record(machine.Connected(name, words, link))

    def _proposal(self, data: bytes) -> messages.Proposal:
        state = self._table.state
        start = state.start
        return messages.Proposal(
            ceremony=start.ceremony,
            network=cast("messages.NetworkName", start.network),
            wallet=start.wallet,
            threshold=start.threshold,
            total=min(start.total or max(start.threshold, len(start.cosigners)), messages.MAX_KEYS),
            psbt=wire.reference(data),
            unsigned_txid=state.copy.txid,
            sent_at=start.at,
        )

    async def _letter(self, channel: Channel, received: Received) -> None:
        letter, name = received.letter, self._name
        if letter.ceremony != self._table.state.start.ceremony:
            raise PeerError("sent a message of another ceremony (R11)")
        if isinstance(letter, messages.Progress):
            self._progress += 1
            if self._progress <= MAX_PROGRESS:
                self._say(status.PeerProgress(name, letter.state))
        elif isinstance(letter, messages.Decline):
            # Acknowledged first: the wake-up may end the ceremony, and the channel with it.
            refusal = machine.Refusal(name, letter.reason, received.digest)
            self._table.commit(*machine.decide(self._table.state, refusal))
            channel.acknowledge(received)
            self._table.announce(status.PeerDeclined(name, letter.reason))
        elif isinstance(letter, messages.Contribution) and received.obj is not None:
            answer = machine.Answer(name, received.obj, letter.form, received.digest)
            await self._answer(channel, received, answer)
        else:
            raise PeerError("sent a message out of turn")

    async def _answer(self, channel: Channel, received: Received, answer: machine.Answer) -> None:
        events = await self._decided(answer)
        self._table.commit(*events)
        channel.acknowledge(received)
        self._tell_verdict(channel)
        for event in events:
            if isinstance(event, machine.Misbehaved):
                self._table.announce(status.AnswerRefused(self._name, event.problem))
            elif isinstance(event, machine.Contributed | machine.NothingNew):
                self._table.announce(self._taken(event))

    async def _decided(self, answer: machine.Answer) -> tuple[CoordinatorEvent, ...]:
        """What an answer leads to, judged against everything that was taken before it (THREATS R6)."""
        while True:
            before = self._table.state
            events = await in_thread(machine.decide, before, answer)
            if self._table.state.psbt == before.psbt:
                return events  # else somebody else's signatures came in meanwhile

    def _taken(self, event: machine.Contributed | machine.NothingNew) -> status.SignaturesTaken:
        state, label = self._table.state, self._table.plan.label
        signatures = event.signatures if isinstance(event, machine.Contributed) else ()
        return status.SignaturesTaken(
            cosigner=self._name,
            keys=tuple(dict.fromkeys(label(signer_of(state.copy, one.input, one.pubkey).hex()) for one in signatures)),
            new=len(signatures),
            rejected=event.rejected,
            problems=event.problems,
            ignored=event.ignored,
            have=machine.held(state),
            need=state.start.threshold,
        )

    # -- what was taken, and the outcome ---------------------------------------------------------------------------

    def _tell_verdict(self, channel: Channel) -> None:
        """Begin to tell what was taken of the last answer, after what was told before; nobody waits for it."""
        before, self._verdict = self._verdict, None

        async def tell() -> None:
            if before is not None:
                await before
            owed = self._table.cosigner(self._name).owed
            if owed is None:
                return
            cut = tuple(text[: messages.MAX_PROBLEM_TEXT] for text in owed.problems[: messages.MAX_PROBLEMS])
            letter = messages.Judged(self._table.state.start.ceremony, owed.accepted, owed.rejected, cut)
            try:
                await channel.deliver(letter)
            except (WormsigError, defer.CancelledError):
                return  # owed until the next connection; the end of this one is noticed elsewhere
            self._table.record(machine.JudgedTold(self._name, wire.digest(letter)))

        self._verdict = defer.ensureDeferred(tell())
        self._verdict.addErrback(self._verdict_failed)

    def _verdict_failed(self, failure: object) -> None:
        """What only we can have done wrong: the journal cannot be written."""
        error = getattr(failure, "value", None)
        if isinstance(error, Exception):
            self._table.failures[self._name] = error
            self._table.changed.fire()

    async def _tell_outcome(self, channel: Channel, result: messages.Result, words: str) -> None:
        """Tell it, and wait for the acknowledgement no longer than a polite goodbye takes (THREATS R10)."""
        limits, name = self._connector.limits, self._name
        if self._verdict is not None:  # letters keep their order, on both sides
            await first_of(self._verdict, self._after(limits.farewell))
        state = self._table.state
        if result in ("broadcast", "final"):
            result = machine.outcome(state, name) or result  # not everybody was needed
        transaction = None if result in ("failed", "cancelled") else state.transaction
        raw = transaction.serialize() if transaction else None
        letter = messages.Outcome(
            ceremony=state.start.ceremony,
            result=result,
            txid=transaction.txid if transaction else None,
            transaction=wire.reference(raw) if raw else None,
            reason=words[:MAX_TEXT],
            head=state.cosigners[name].transcript.head(state.start.ceremony),
        )
        patience = limits.farewell + len(raw or b"") / limits.slowest
        telling = defer.ensureDeferred(channel.deliver(letter, raw))
        try:
            await telling.addTimeout(patience, self._connector.reactor)
        except TwistedTimeoutError:
            raise TransportError("did not acknowledge the outcome in time") from None
        event = machine.OutcomeTold(name, result, wire.digest(letter))
        self._table.record(event, tell=lambda: status.OutcomeDelivered(name, result))
        self._told = True
        if machine.is_over(self._table.state):
            self._links.remove()  # nothing is left to come back for

    async def _hear_farewell(self, channel: Channel) -> None:
        """The cosigner's last letter, with whatever was under way before it; who does not send one, does not."""
        try:
            await first_of(self._farewell(channel), self._after(self._connector.limits.farewell))
        except (TransportError, PeerError):
            return

    async def _farewell(self, channel: Channel) -> None:
        while True:
            received = await channel.receive()
            letter = received.letter
            if isinstance(letter, messages.Farewell) and letter.ceremony == self._table.state.start.ceremony:
                event = machine.FarewellReceived(self._name, letter.seen, letter.head, received.digest)
                self._table.record(event)
                channel.acknowledge(received)
                return
            await self._letter(channel, received)

    async def _after(self, seconds: float) -> None:
        waiting: defer.Deferred[None] = defer.Deferred()
        timer = self._connector.reactor.callLater(seconds, waiting.callback, None)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()


def _counts(error: TransportError) -> bool:
    """Whether a failure was told already as a burned code."""
    return isinstance(error, BurnedCodeError) and error.counts
