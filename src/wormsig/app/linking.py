"""A cosigner's talk with the coordinator, over as many connections as it takes.

What is decided here goes out, what becomes of it comes in. How something is decided stands in `deciding`, and goes on
while there is no connection. Both sides find each other again by the secret of their last connection; a coordinator who
said goodbye is not waited for, unless a person resumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.comparing import compare_verifier
from wormsig.app.notices import Notices
from wormsig.app.pace import Pace
from wormsig.app.threads import first_of, in_thread
from wormsig.ceremony import cosigner as machine
from wormsig.ceremony import messages, status, wire
from wormsig.ceremony.cosigner_state import Phase
from wormsig.errors import NodeError, PeerError, TransportError, WormsigError
from wormsig.psbt.limits import MAX_PEER_PSBT
from wormsig.transport.errors import NotAcknowledgedError, PeerGoneError
from wormsig.transport.rendezvous import Rendezvous

if TYPE_CHECKING:
    from wormsig.app.seat import Seat
    from wormsig.journal.secrets import ResumeSecrets
    from wormsig.node.client import Node
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector


class Link:
    """The connections of one cosigner's side.

    Args:
        seat: What is decided.
        connector: Makes channels, and knows the time limits.
        links: The secret by which the coordinator is found again.
        node: Our own node, to see the outcome with.
        resumed: A person went on with it: wait for the coordinator until stopped.

    Attributes:
        last_words: What to tell the coordinator although nothing is to be recorded about it.
        goodbye: Why this side leaves, for the coordinator.
        heard: The outcome that was told now; what was under way then may still open the ceremony again.
    """

    def __init__(
        self, seat: Seat, connector: Connector, links: ResumeSecrets, *, node: Node | None, resumed: bool
    ) -> None:
        self._seat = seat
        self._connector = connector
        self._links = links
        self._node = node
        self._resumed = resumed
        self._sending: defer.Deferred[None] | None = None
        self._sent: set[str] = set()
        self._failure: Exception | None = None
        self._told = ""
        self._over = False
        self._why_gone = ""
        self._pace = Pace(connector)
        self.last_words: str | None = None
        self.goodbye = ""
        self.heard: machine.OutcomeReceived | None = None
        self._notices = Notices(
            connector.reactor, lambda words: seat.watch.status(status.ConnectionNotice(None, words))
        )
        self._rendezvous = Rendezvous(connector, links)
        self._rendezvous.on_notice = self._notices

    async def run(self, channel: Channel | None) -> None:
        """Talk until there is an outcome, or the coordinator knows that there is no signature from here.

        Args:
            channel: The first connection, on which the proposal was taken; None to look for the coordinator.

        Raises:
            TransportError: The connection is gone, and the coordinator did not come back.
            PeerError: The coordinator sent something malformed.
            StorageError: The journal or the secret cannot be written.
        """
        fresh = channel is not None
        try:
            while channel is not None or not self._over:  # who came back may not know that we know the outcome
                channel = await self._held(channel or await self._met(), fresh=fresh)
                fresh = False
        finally:
            await self._rendezvous.left()

    def _may_return(self, error: TransportError) -> bool:
        # Who leaves for good says so; a channel that another one took the place of is closed without a word.
        left = isinstance(error, PeerGoneError) and bool(error.left)
        return self._links.known() and (self._resumed or not left)

    async def _met(self) -> Channel:
        """The coordinator, where both sides meet again."""
        seat, limits = self._seat, self._connector.limits
        if not self._links.known():
            raise TransportError(
                "the coordinator cannot be found again without a code",
                hint="ask for a new one, and use it with `wormsig receive CODE`: what is signed here is kept",
            )
        seat.watch.status(status.Rejoining(seat.state.start.ceremony))
        waiting = defer.ensureDeferred(self._meeting())
        if not self._resumed:
            waiting.addTimeout(limits.comeback, self._connector.reactor)
        try:
            channel = await waiting
        except TwistedTimeoutError:
            raise TransportError(f"{self._why_gone or 'the coordinator'}, and did not come back in time") from None
        seat.watch.status(status.Rejoined(seat.state.start.ceremony))
        return channel

    # -- one connection --------------------------------------------------------------------------------------------

    async def _held(self, channel: Channel, *, fresh: bool) -> Channel | None:
        """Use a channel until it ends.

        Returns:
            The channel on which the coordinator came back while this one was silent; None when there is none.
        """
        self._notices.watch(channel)
        self._sent.clear()
        self._told = ""
        self._failure = None  # what the connection before this one did not take says nothing of this one
        newcomer: Channel | None = None
        try:
            which, found = await first_of(self._talk(channel, fresh=fresh), self._elsewhere(channel))
            newcomer = found if which == 1 else None
        except PeerError:
            self.goodbye = "your side sent something that is not right"
            raise
        except TransportError as error:
            if not self._may_return(error):
                raise
            self._why_gone = error.message
            self._seat.watch.status(status.CoordinatorGone(error.message))
        finally:
            self._notices.stop()
            if self._sending is not None:
                self._sending.cancel()
            await channel.close(self.goodbye)
        return newcomer

    async def _elsewhere(self, channel: Channel) -> Channel:
        """The coordinator on another channel, looked for while this one is silent."""
        await channel.doubtful()
        if not self._links.known():
            await defer.Deferred()
        return await self._meeting()

    async def _meeting(self) -> Channel:
        await self._pace.next()
        return await self._rendezvous.meet()

    async def _talk(self, channel: Channel, *, fresh: bool) -> None:
        if not fresh:
            await self._reopened(channel)
        while not self._over:
            self._send_what_is_due(channel)
            which, received = await first_of(channel.receive(), self._seat.changed.wait())
            if self._failure is not None:
                raise self._failure
            if which == 0:
                await self._letter(channel, received)

    async def _reopened(self, channel: Channel) -> None:
        """The first letter of a later connection: the PSBT that is here already, or the outcome."""
        seat = self._seat
        await compare_verifier(channel, seat.watch.compare_verifier)
        waiting = defer.ensureDeferred(channel.receive())
        try:
            received = await waiting.addTimeout(self._connector.limits.delivery(MAX_PEER_PSBT), self._connector.reactor)
        except TwistedTimeoutError:
            raise TransportError("the coordinator is there, but sent nothing in time") from None
        letter = received.letter
        if isinstance(letter, messages.Proposal):
            if received.obj != seat.state.start.psbt or letter.ceremony != seat.state.start.ceremony:
                raise PeerError("the coordinator came back with another PSBT (R11)")
            keep_link(seat, self._links, channel)
            channel.acknowledge(received)
        else:
            keep_link(seat, self._links, channel)
            await self._letter(channel, received)

    async def _letter(self, channel: Channel, received: Received) -> None:
        seat, letter = self._seat, received.letter
        if letter.ceremony != seat.state.start.ceremony:
            raise PeerError("the coordinator sent a message of another ceremony (R11)")
        if isinstance(letter, messages.Judged):
            if received.digest not in seat.state.transcript.sent_by("coordinator"):
                self._answer_is_there()
                event = machine.judged(
                    seat.state, letter.accepted, letter.rejected, letter.problems, letter=received.digest
                )
                seat.record(event)
                seat.watch.status(status.AnswerJudged(letter.accepted, letter.rejected, letter.problems))
            channel.acknowledge(received)
        elif isinstance(letter, messages.Outcome):
            await self._outcome(channel, received, letter)
        else:
            raise PeerError("the coordinator sent a message out of turn")

    def _answer_is_there(self) -> None:
        """Who judges an answer has it, although its acknowledgement may have been lost."""
        state = self._seat.state
        if state.phase is Phase.ANSWERED:
            return
        if state.signed is None or machine.is_complete(state):
            raise PeerError("the coordinator sent a message out of turn")
        self._seat.record(machine.Answered(wire.digest(self._contribution(state.signed))))

    def _refusal_is_there(self, head: str) -> None:
        """Whose head stands for our refusal too has it, although its acknowledgement was lost."""
        state = self._seat.state
        ceremony = state.start.ceremony
        digest = wire.digest(messages.Decline(ceremony, state.reason))
        with_it = state.transcript.with_letter("cosigner", digest)
        if state.phase is Phase.DECLINED and with_it.head(ceremony) == head:
            self._seat.record(machine.DeclineTold(digest))

    # -- what goes out ---------------------------------------------------------------------------------------------

    def _send_what_is_due(self, channel: Channel) -> None:
        """Begin to send what the coordinator does not know yet; letters go one after another."""
        seat = self._seat
        if seat.doing != self._told:
            self._told = seat.doing
            channel.progress(seat.state.start.ceremony, seat.doing)
        if self._sending is None:
            letter, obj = self._due()
            if letter is not None:
                self._sending = defer.ensureDeferred(self._deliver(channel, letter, obj))
                self._sending.addErrback(self._delivery_failed)

    def _due(self) -> tuple[messages.Contribution | messages.Decline | None, bytes | None]:
        state = self._seat.state
        if self.last_words is not None:
            return messages.Decline(state.start.ceremony, self.last_words), None
        if state.signed is not None and not state.withdrawn and self._seat.doing == "waiting":
            letter = self._contribution(state.signed)
            if wire.digest(letter) not in self._sent:  # again on each connection: a coordinator may have lost it
                return letter, state.signed
        elif state.phase is Phase.DECLINED:
            return messages.Decline(state.start.ceremony, state.reason), None
        return None, None

    def _contribution(self, signed: bytes) -> messages.Contribution:
        return messages.Contribution(self._seat.state.start.ceremony, wire.reference(signed), "psbt")

    async def _deliver(
        self, channel: Channel, letter: messages.Contribution | messages.Decline, obj: bytes | None
    ) -> None:
        seat, digest = self._seat, wire.digest(letter)
        await channel.deliver(letter, obj)
        self._sent.add(digest)
        self._sending = None
        if isinstance(letter, messages.Decline):
            self.last_words = None
            if seat.state.phase in (Phase.DECLINED, Phase.ANSWERED):
                seat.record(machine.DeclineTold(digest))
            seat.watch.status(status.DeclineSent(letter.reason))
            self._over = True
        elif seat.state.phase is not Phase.ANSWERED:
            seat.record(machine.Answered(digest))
            seat.watch.status(status.AnswerSent(1, seat.state.start.ceremony))
        seat.changed.fire()

    def _delivery_failed(self, failure: object) -> None:
        self._sending = None
        error = getattr(failure, "value", None)
        over = isinstance(error, TransportError) and not isinstance(error, NotAcknowledgedError)
        if isinstance(error, Exception) and not over and not isinstance(error, defer.CancelledError):
            self._failure = error  # the end of the channel itself is noticed by `receive`
            self._seat.changed.fire()

    # -- the outcome -----------------------------------------------------------------------------------------------

    async def _outcome(self, channel: Channel, received: Received, letter: messages.Outcome) -> None:
        """Keep it, look for it ourselves, and say what was seen."""
        seat = self._seat
        seat.stop_work()
        if received.digest not in seat.state.transcript.sent_by("coordinator"):
            self._refusal_is_there(letter.head)
            event = machine.outcome(
                seat.state,
                letter.result,
                letter.txid,
                received.obj,
                letter.reason,
                head=letter.head,
                letter=received.digest,
            )
            seat.record(event)
        channel.acknowledge(received)
        self._over = True
        outcome = seat.state.outcome
        assert outcome is not None  # noqa: S101  it was recorded above, or before
        self.heard = outcome
        seen = await in_thread(self._seen, outcome.txid) if outcome.txid else "no-node"
        seat.watch.status(status.OutcomeSeen(outcome.result, outcome.txid, outcome.reason, seen, lie=outcome.lie))
        try:
            await self._farewell(channel, seen)
        finally:
            if machine.is_complete(seat.state):
                self._links.remove()

    async def _farewell(self, channel: Channel, seen: messages.Seen) -> None:
        """The last letter; that it does not arrive changes nothing."""
        seat = self._seat
        ceremony = seat.state.start.ceremony
        letter = messages.Farewell(ceremony, seen, seat.state.transcript.head(ceremony))
        telling = defer.ensureDeferred(channel.deliver(letter))
        try:
            await telling.addTimeout(self._connector.limits.farewell, self._connector.reactor)
        except (WormsigError, TwistedTimeoutError):
            return
        seat.record(machine.FarewellTold(seen, wire.digest(letter)))

    def _seen(self, txid: str) -> messages.Seen:
        """What our own node says of a transaction."""
        if self._node is None:
            return "no-node"
        try:
            depth = self._node.confirmations(txid)
        except NodeError:
            return "unknown"
        return "unknown" if depth is None else "block" if depth else "mempool"


def keep_link(seat: Seat, links: ResumeSecrets, channel: Channel) -> None:
    """Keep what both sides find each other by; the coordinator forgets the one before when it hears of it.

    Args:
        seat: The cosigner's side.
        links: Where it is kept.
        channel: The connection that it comes from.

    Raises:
        StorageError: It cannot be written.
    """
    digest = links.keep(channel.derive_key("resume"))
    seat.record(machine.Linked(" ".join(channel.verifier_words()), digest))
    links.settle()
