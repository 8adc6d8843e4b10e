"""The coordinator's talk with one cosigner: codes until a pairing works, the PSBT, the answer, the outcome.

Several run at once; what they share is the `Table`. A conversation that fails leaves its reason there and touches
no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.comparing import compare_verifier
from wormsig.app.notices import Notices
from wormsig.app.threads import Changed, first_of, in_thread
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import messages, status, wire
from wormsig.ceremony.coordinator_state import Stage
from wormsig.errors import PeerError, TransportError, UsageError
from wormsig.psbt.limits import MAX_TEXT
from wormsig.psbt.scripts import signer_of
from wormsig.transport.errors import BurnedCodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.app.send_plan import SendPlan, Watcher
    from wormsig.app.session import Session
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState
    from wormsig.ceremony.status import Status
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector, Pending

CODES_BEFORE_ASKING = 3
"""Burned codes of one cosigner before a person has to agree to another one (THREATS T1)."""

MAX_PROGRESS = 64
"""Words of progress over one connection that are shown; more are heard and ignored."""


class Table:
    """What the conversations of one ceremony share: its state, its end, and who watches.

    Attributes:
        plan: What is sent to whom.
        watch: Who watches.
        changed: Fires whenever something was recorded.
        over: Fires once, when there is an outcome to tell.
        ending: The outcome's result and words, once there is one.
        failures: By cosigner: why nothing more is to be expected from a conversation; a bug of ours is kept here too.
        in_touch: Who is connected.
    """

    def __init__(self, plan: SendPlan, session: Session[CoordinatorState, CoordinatorEvent], watcher: Watcher) -> None:
        self._session = session
        self.plan = plan
        self.watch = watcher
        self.changed = Changed()
        self.over = Changed()
        self.ending: tuple[messages.Result, str] | None = None
        self.failures: dict[str, Exception] = {}
        self.in_touch: set[str] = set()

    @property
    def state(self) -> CoordinatorState:
        """The ceremony's state."""
        return self._session.state

    def commit(self, *events: CoordinatorEvent) -> None:
        """Commit events to the journal and move the state; `announce` follows."""
        self._session.record(*events)

    def announce(self, *told: Status) -> None:
        """Tell what happened, and only then wake whoever waits for it."""
        for each in told:
            self.watch.status(each)
        self.changed.fire()

    def record(self, *events: CoordinatorEvent, tell: Callable[[], Status] | None = None) -> None:
        """Commit events, and announce them.

        Args:
            events: What happened.
            tell: Gives what is told about it, from the new state.
        """
        self.commit(*events)
        self.announce(*(() if tell is None else (tell(),)))

    def end(self, result: messages.Result, words: str) -> None:
        """There is an outcome; the first one stands."""
        if self.ending is None:
            self.ending = (result, words)
            self.over.fire()


class Conversation:
    """One cosigner's conversation.

    Args:
        table: What all conversations share.
        connector: Makes channels.
        name: Our name for the cosigner.
        fixed: A code that was agreed before; it is not replaced when it burns.
    """

    def __init__(self, table: Table, connector: Connector, name: str, fixed: str | None) -> None:
        self._table = table
        self._connector = connector
        self._name = name
        self._fixed = fixed
        self._progress = 0
        self._notices = Notices(
            connector.reactor, lambda words: table.watch.status(status.ConnectionNotice(name, words))
        )

    @property
    def _settled(self) -> bool:
        return self._table.state.cosigners[self._name].settled

    def _say(self, what: Status) -> None:
        self._table.watch.status(what)

    async def run(self) -> None:
        """Codes, pairing and talk until the cosigner is settled or the ceremony ends. Failures go to the table."""
        table, replaces = self._table, False
        try:
            while table.ending is None and not self._settled:
                pending = await self._code()
                pending.on_notice = self._notices
                self._say(status.CodeReady(self._name, pending.code, replaces=replaces))
                replaces = True
                channel = await self._paired(pending)
                if channel is not None:
                    await self._with_channel(channel)
        except defer.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  kept for whoever waits for the ceremony, bugs too
            table.failures[self._name] = error
            if isinstance(error, TransportError) and not _counts(error):
                self._lost(error.message)
            table.changed.fire()

    async def _code(self) -> Pending:
        plan, burned = self._table.plan, self._table.state.cosigners[self._name].burned
        if self._fixed is not None:
            return await self._connector.use_code(self._fixed)
        if burned < CODES_BEFORE_ASKING:
            return await self._connector.allocate(plan.code_length)
        if not await self._table.watch.ask_new_code(self._name, burned):
            raise TransportError(
                f"{burned} codes for {self._name} were used up without a connection; somebody may be guessing",
                hint="speak with them, and start again with a longer code (-c) and --verify",
            )
        return await self._connector.verifying().allocate(plan.code_length + 1)

    async def _paired(self, pending: Pending) -> Channel | None:
        """The channel; None when the code is used up and another one is to be made."""
        try:
            return await pending.paired()
        except PeerError as error:
            self._misbehaved(error.message)
        except BurnedCodeError as error:
            if error.counts:
                self._burned(error.message)
            if self._fixed is not None:
                raise
            if not error.counts:
                self._lost(error.message)
        finally:
            self._notices.stop()
        return None

    def _burned(self, why: str) -> None:
        def tell() -> Status:
            return status.CodeFailed(self._name, why, self._table.state.cosigners[self._name].burned)

        self._table.record(machine.CodeBurned(self._name, why[:MAX_TEXT]), tell=tell)

    def _misbehaved(self, problem: str) -> None:
        event = machine.Misbehaved(self._name, problem[:MAX_TEXT])
        self._table.record(event, tell=lambda: status.AnswerRefused(self._name, problem))

    def _lost(self, why: str) -> None:
        event = machine.Lost(self._name, why[:MAX_TEXT])
        self._table.record(event, tell=lambda: status.PeerLost(self._name, why))

    async def _with_channel(self, channel: Channel) -> None:
        channel.on_notice = self._notices
        self._table.in_touch.add(self._name)
        goodbye = ""
        try:
            await self._talk(channel)
        except PeerError as error:
            goodbye = f"your side {error.message}"
            self._misbehaved(error.message)
        except TransportError as error:
            if self._fixed is not None and not self._settled:
                raise
            if self._table.state.cosigners[self._name].stage is not Stage.DECLINED:  # who has said no may go
                self._lost(error.message)
        except UsageError:
            goodbye = "nobody is at the coordinator's side to compare the verifier"
            raise
        finally:
            self._notices.stop()
            await channel.close(goodbye)  # still in touch: what was said last has to arrive
            self._table.in_touch.discard(self._name)

    # -- the talk --------------------------------------------------------------------------------------------------

    async def _talk(self, channel: Channel) -> None:
        """Hand over the PSBT, take answers, and tell the outcome as soon as there is one."""
        table, name = self._table, self._name
        words = " ".join(channel.verifier_words())
        table.record(machine.Connected(name), tell=lambda: status.PeerConnected(name, words))
        if table.ending is None:
            await first_of(self._exchange(channel), table.over.wait())
        if table.ending is not None and not channel.must_compare:
            await self._tell_outcome(channel, *table.ending)

    async def _exchange(self, channel: Channel) -> None:
        """Everything before the outcome. Ends by being cancelled: whatever the peer leaves open holds up nobody."""
        table, name = self._table, self._name
        await compare_verifier(channel, lambda words: table.watch.compare_verifier(name, words))
        data = table.state.start.psbt
        await channel.deliver(self._proposal(data), data)
        table.record(machine.Offered(name), tell=lambda: status.PsbtDelivered(name))
        while True:
            await self._letter(channel, await channel.receive())

    def _proposal(self, data: bytes) -> messages.Proposal:
        plan, start = self._table.plan, self._table.state.start
        return messages.Proposal(
            ceremony=start.ceremony,
            network=cast("messages.NetworkName", start.network),
            wallet=start.wallet,
            threshold=start.threshold,
            total=len(plan.wallet.keys) if plan.wallet else max(start.threshold, len(plan.cosigners)),
            psbt=wire.reference(data),
            unsigned_txid=plan.psbt.txid,
            sent_at=start.at,
        )

    async def _letter(self, channel: Channel, received: Received) -> None:
        letter = received.letter
        if letter.ceremony != self._table.plan.ceremony:
            raise PeerError("sent a message of another ceremony (R11)")
        if isinstance(letter, messages.Progress):
            self._progress += 1
            if self._progress <= MAX_PROGRESS:
                self._say(status.PeerProgress(self._name, letter.state))
        elif isinstance(letter, messages.Decline):
            # Acknowledged first: the wake-up may end the ceremony, and the channel with it.
            self._table.commit(*machine.decide(self._table.state, machine.Refusal(self._name, letter.reason)))
            channel.acknowledge(received)
            self._table.announce(status.PeerDeclined(self._name, letter.reason))
        elif isinstance(letter, messages.Contribution) and received.obj is not None:
            await self._answer(channel, received, machine.Answer(self._name, received.obj, letter.form))
        else:
            raise PeerError("sent a message that only a coordinator sends")

    async def _answer(self, channel: Channel, received: Received, answer: machine.Answer) -> None:
        events = await self._decided(answer)
        self._table.commit(*events)
        channel.acknowledge(received)
        taken, rejected = 0, 0
        problems: tuple[str, ...] = ()
        for event in events:
            if isinstance(event, machine.Misbehaved):
                rejected, problems = 1, (event.problem,)
                self._table.announce(status.AnswerRefused(self._name, event.problem))
            elif isinstance(event, machine.Contributed | machine.NothingNew):
                told = self._taken(event)
                taken, rejected, problems = told.new, event.rejected, event.problems
                self._table.announce(told)
        if not taken and not problems:
            problems = ("nothing new: these signatures were there already",)
        cut = tuple(text[: messages.MAX_PROBLEM_TEXT] for text in problems[: messages.MAX_PROBLEMS])
        await channel.deliver(messages.Judged(self._table.plan.ceremony, taken, rejected, cut))

    async def _decided(self, answer: machine.Answer) -> tuple[CoordinatorEvent, ...]:
        """What an answer leads to, judged against everything that was taken before it (THREATS R6)."""
        while True:
            before = self._table.state
            events = await in_thread(machine.decide, before, answer)
            if self._table.state.psbt == before.psbt:
                return events  # else somebody else's signatures came in meanwhile

    def _taken(self, event: machine.Contributed | machine.NothingNew) -> status.SignaturesTaken:
        state, label = self._table.state, self._table.plan.report.label
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

    async def _tell_outcome(self, channel: Channel, result: messages.Result, words: str) -> None:
        """Tell it, and wait for the acknowledgement no longer than a polite goodbye takes (THREATS R10)."""
        state, limits = self._table.state, self._connector.limits
        if result in ("broadcast", "final"):
            result = machine.outcome(state, self._name) or result  # not everybody was needed
        transaction = None if result in ("failed", "cancelled") else state.transaction
        raw = transaction.serialize() if transaction else None
        letter = messages.Outcome(
            ceremony=self._table.plan.ceremony,
            result=result,
            txid=transaction.txid if transaction else None,
            transaction=wire.reference(raw) if raw else None,
            reason=words[:MAX_TEXT],
            head=state.cosigners[self._name].transcript.head(state.start.ceremony),
        )
        patience = limits.close if result == "cancelled" else limits.farewell + len(raw or b"") / limits.slowest
        telling = defer.ensureDeferred(channel.deliver(letter, raw))
        try:
            await telling.addTimeout(patience, self._connector.reactor)
        except TwistedTimeoutError:
            raise TransportError("did not acknowledge the outcome in time") from None
        name = self._name
        self._table.record(machine.OutcomeTold(name, result), tell=lambda: status.OutcomeDelivered(name, result))


def _counts(error: TransportError) -> bool:
    """Whether a failure was told already as a burned code."""
    return isinstance(error, BurnedCodeError) and error.counts
