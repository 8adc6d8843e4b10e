"""The coordinator's talk with one cosigner: codes until a pairing works, the PSBT, the answer, the outcome.

Several run at once; what they share is the `Table`. A conversation that fails leaves its reason there and touches
no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from wormsig.app.threads import Changed, first_of, in_thread
from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import messages, status, wire
from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState, Stage
from wormsig.errors import PeerError, TransportError, WormsigError
from wormsig.psbt.limits import MAX_TEXT
from wormsig.transport.errors import BurnedCodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.app.session import Session
    from wormsig.ceremony.status import Status
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector, Pending
    from wormsig.wallet.model import Wallet

CODES_BEFORE_ASKING = 3
"""Burned codes of one cosigner before a person has to agree to another one (THREATS T1)."""


class Watcher(Protocol):
    """Who watches a coordinator's ceremony: a terminal, or a script. Questions block; they are asked in a thread."""

    def status(self, status: Status) -> None:
        """Something happened."""

    def ask_broadcast(self, txid: str) -> bool:
        """Whether to broadcast."""

    def ask_new_code(self, cosigner: str, burned: int) -> bool:
        """Whether to make another code after several were burned."""

    def compare_verifier(self, cosigner: str, words: str) -> bool:
        """Whether the other side reads the same words."""


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What is to be sent to whom.

    Attributes:
        ceremony: 32 hex digits, random.
        psbt: Reviewed, with previous transactions.
        report: Its review.
        wallet: The agreed wallet.
        threshold: Signatures needed.
        cosigners: Our names for them; a code each.
        codes: Fixed codes for the first of them.
        signed: The PSBT as our own signer signed it.
        signer: Our own signer's name.
        allowed_sighash: Types that are accepted.
        broadcast: Whether the transaction may be broadcast.
        wait_all: Wait for every cosigner.
        timeout: Seconds for the whole, None without limit.
        code_length: Words in a new code.
    """

    ceremony: str
    psbt: Psbt
    report: Report
    wallet: Wallet | None
    threshold: int
    cosigners: tuple[str, ...]
    codes: tuple[str, ...] = ()
    signed: Psbt | None = None
    signer: str = ""
    allowed_sighash: frozenset[int] = frozenset({SIGHASH_ALL})
    broadcast: bool = True
    wait_all: bool = False
    timeout: float | None = None
    code_length: int = 3


class Table:
    """What the conversations of one ceremony share: its state, its end, and who watches.

    Attributes:
        plan: What is sent to whom.
        watch: Who watches.
        changed: Fires whenever something was recorded.
        over: Fires once, when there is an outcome to tell.
        ending: The outcome's result and words, once there is one.
        failures: By cosigner: why nothing more is to be expected from a conversation.
        in_touch: Who is connected.
    """

    def __init__(self, plan: SendPlan, session: Session[CoordinatorState, CoordinatorEvent], watcher: Watcher) -> None:
        self._session = session
        self.plan = plan
        self.watch = watcher
        self.changed = Changed()
        self.over = Changed()
        self.ending: tuple[messages.Result, str] | None = None
        self.failures: dict[str, WormsigError] = {}
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

    @property
    def _settled(self) -> bool:
        return self._table.state.cosigners[self._name].settled

    def _say(self, what: Status) -> None:
        self._table.watch.status(what)

    async def run(self) -> None:
        """Codes, pairing and talk until the cosigner is settled or the ceremony ends."""
        table, replaces = self._table, False
        try:
            while table.ending is None and not self._settled:
                pending = await self._code()
                self._say(status.CodeReady(self._name, pending.code, replaces=replaces))
                replaces = True
                channel = await self._paired(pending)
                if channel is not None:
                    await self._with_channel(channel)
        except WormsigError as error:
            table.failures[self._name] = error
            table.changed.fire()

    async def _code(self) -> Pending:
        plan, burned = self._table.plan, self._table.state.cosigners[self._name].burned
        if self._fixed is not None:
            return await self._connector.use_code(self._fixed)
        if burned < CODES_BEFORE_ASKING:
            return await self._connector.allocate(plan.code_length)
        if not await in_thread(self._table.watch.ask_new_code, self._name, burned):
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
            else:
                self._lost(error.message)
            if self._fixed is not None:
                raise
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
        self._table.in_touch.add(self._name)
        try:
            await self._talk(channel)
        except PeerError as error:
            self._misbehaved(error.message)
        except TransportError as error:
            self._lost(error.message)
            if self._fixed is not None and not self._settled:
                raise
        finally:
            self._table.in_touch.discard(self._name)
            await channel.close()

    async def _talk(self, channel: Channel) -> None:
        """Hand over the PSBT, take the answer, tell the outcome."""
        table, name = self._table, self._name
        words = " ".join(channel.verifier_words())
        table.record(machine.Connected(name), tell=lambda: status.PeerConnected(name, words))
        if channel.must_compare:
            await channel.compare(await in_thread(table.watch.compare_verifier, name, words))
        data = table.state.start.psbt
        await channel.deliver(self._proposal(data), data)
        table.record(machine.Offered(name), tell=lambda: status.PsbtDelivered(name))
        while table.ending is None:
            which, received = await first_of(channel.receive(), table.over.wait())
            if which == 0:
                await self._letter(channel, received)
        await self._tell_outcome(channel, *table.ending)

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
            raise PeerError(f"{self._name} sent a message of another ceremony (R11)")
        if isinstance(letter, messages.Progress):
            self._say(status.PeerProgress(self._name, letter.state))
        elif isinstance(letter, messages.Decline):
            # Acknowledged first: the wake-up may end the ceremony, and the channel with it.
            self._table.commit(machine.Declined(self._name, letter.reason))
            channel.acknowledge(received)
            self._table.announce(status.PeerDeclined(self._name, letter.reason))
        elif isinstance(letter, messages.Contribution) and received.obj is not None:
            await self._answer(channel, received, machine.Answer(self._name, received.obj, letter.form))
        else:
            raise PeerError(f"{self._name} sent a message that only a coordinator sends")

    async def _answer(self, channel: Channel, received: Received, answer: machine.Answer) -> None:
        events = await in_thread(machine.decide, self._table.state, answer)
        self._table.commit(*events)
        channel.acknowledge(received)
        taken, rejected = 0, 0
        problems: tuple[str, ...] = ()
        for event in events:
            if isinstance(event, machine.Misbehaved):
                rejected, problems = 1, (event.problem,)
                self._table.announce(status.AnswerRefused(self._name, event.problem))
            elif isinstance(event, machine.Contributed):
                taken, rejected, problems = len(event.signatures), event.rejected, event.problems
                self._table.announce(self._taken(event))
        if not taken and not problems:
            problems = ("nothing new: these signatures were there already",)
        cut = tuple(text[: messages.MAX_PROBLEM_TEXT] for text in problems[: messages.MAX_PROBLEMS])
        await channel.deliver(messages.Judged(self._table.plan.ceremony, taken, rejected, cut))

    def _taken(self, event: machine.Contributed) -> status.SignaturesTaken:
        state, label = self._table.state, self._table.plan.report.label
        return status.SignaturesTaken(
            cosigner=self._name,
            keys=tuple(dict.fromkeys(label(one.pubkey.hex()) for one in event.signatures)),
            new=len(event.signatures),
            rejected=event.rejected,
            problems=event.problems,
            ignored=event.ignored,
            have=machine.held(state),
            need=state.start.threshold,
        )

    async def _tell_outcome(self, channel: Channel, result: messages.Result, words: str) -> None:
        state = self._table.state
        if result in ("broadcast", "final") and state.cosigners[self._name].stage is not Stage.SIGNED:
            result = "not-needed"
        transaction = None if result in ("failed", "cancelled") else state.transaction
        raw = transaction.serialize() if transaction else None
        letter = messages.Outcome(
            ceremony=self._table.plan.ceremony,
            result=result,
            txid=transaction.txid if transaction else None,
            transaction=wire.reference(raw) if raw else None,
            reason=words[:MAX_TEXT],
        )
        await channel.deliver(letter, raw)
        name = self._name
        self._table.record(machine.OutcomeTold(name), tell=lambda: status.OutcomeDelivered(name, result))
