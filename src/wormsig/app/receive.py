"""The cosigner's driver: a PSBT comes through a channel, is reviewed, approved and signed here, and goes back.

What happens is decided by `ceremony.cosigner`; here is only the order of doing: decide, commit to the journal, act.
The coordinator may end it at any time (the threshold was reached without us), also while a person is being asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.session import COSIGNER, Session, now
from wormsig.app.threads import first_of, in_thread
from wormsig.ceremony import cosigner as machine
from wormsig.ceremony import messages, status, wire
from wormsig.errors import (
    InputError,
    NodeError,
    NotSupportedError,
    PeerError,
    RefusedError,
    TransportError,
    UsageError,
    WormsigError,
)
from wormsig.journal.store import CeremonyRow
from wormsig.psbt import codec, contribution
from wormsig.psbt.limits import MAX_PEER_PSBT, MAX_TEXT
from wormsig.psbt.model import sha256
from wormsig.review.approve import Approved, approve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.ceremony.status import Status
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.signers.protocol import Signer
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector
    from wormsig.wallet.model import Wallet


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about a reviewed PSBT.

    Attributes:
        sign: Sign it.
        reason: Words for the coordinator when not.
        by: Who decided.
    """

    sign: bool
    reason: str = ""
    by: Literal["person", "unattended", "policy"] = "person"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A received PSBT after its review.

    Attributes:
        psbt: With the previous transactions that our node could add.
        report: The review.
        wallet: The wallet it was reviewed for.
    """

    psbt: Psbt
    report: Report
    wallet: Wallet | None


class Watcher(Protocol):
    """Who watches a cosigner's side: a terminal, or a script. Questions block; they are asked in a thread."""

    def status(self, status: Status) -> None:
        """Something happened."""

    def show_review(self, report: Report) -> None:
        """The review, before anything is asked."""

    def decide(self, report: Report) -> Verdict:
        """Whether to sign."""

    def compare_verifier(self, words: str) -> bool:
        """Whether the other side reads the same words."""


@dataclass(frozen=True, slots=True)
class ReceivePlan:
    """How a cosigner receives.

    Attributes:
        review: (PSBT, the coordinator's wallet id) -> the review; blocks while our node answers.
        signer: Gives the signer for the wallet of the review.
        expect_txid: The unsigned transaction's id, when it is known beforehand.
        network: The only network to accept, when it is known beforehand.
        save: Keeps the signed PSBT in a file, before it is sent.
    """

    review: Callable[[Psbt, str | None], Reviewed]
    signer: Callable[[Wallet], Signer] | None
    expect_txid: str | None = None
    network: str | None = None
    save: Callable[[Psbt], None] | None = None


class Cosigner:
    """Runs one cosigner's side to its end.

    Args:
        plan: How to receive.
        journal: Where the events go.
        channel: To the coordinator.
        node: Our own node, to see the outcome with.
        watcher: Who watches and answers questions.
    """

    def __init__(
        self, plan: ReceivePlan, journal: Journal, channel: Channel, *, node: Node | None, watcher: Watcher
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._channel = channel
        self._node = node
        self._watch = watcher
        self._session: Session[CosignerState, CosignerEvent] | None = None

    @property
    def _state(self) -> CosignerState:
        assert self._session is not None  # noqa: S101  asked only after the proposal
        return self._session.state

    def _record(self, *events: CosignerEvent) -> None:
        assert self._session is not None  # noqa: S101  recorded only after the proposal
        self._session.record(*events)

    async def run(self) -> CosignerState:
        """Receive, review, sign, answer, wait for the outcome.

        Returns:
            The last state.

        Raises:
            RefusedError: The review has an error, or somebody said no.
            PeerError: The coordinator sent something malformed, or lied about the outcome.
            TransportError: The connection ended too early.
        """
        channel, watch = self._channel, self._watch
        words = " ".join(channel.verifier_words())
        watch.status(status.Joined(words))
        if channel.must_compare:
            await channel.compare(await in_thread(watch.compare_verifier, words))
        psbt, wallet_id = await self._proposal()
        channel.progress(self._state.start.ceremony, "reviewing")
        try:
            if await self._review_and_sign(psbt, wallet_id):
                await self._send_answer()
                await self._await_outcome()
        except RefusedError as refusal:
            await self._decline(refusal)
            raise
        except (InputError, NodeError, UsageError) as failure:
            await self._decline(RefusedError(f"could not sign: {failure.message}"))
            raise
        return self._state

    # -- the proposal ----------------------------------------------------------------------------------------------

    async def _proposal(self) -> tuple[Psbt, str | None]:
        received = await self._channel.receive()
        letter, raw = received.letter, received.obj
        if not isinstance(letter, messages.Proposal) or raw is None:
            raise PeerError("the other side did not begin with a proposal")
        psbt = _parsed(raw)
        if psbt.txid != letter.unsigned_txid:
            raise PeerError("the PSBT is not the transaction that was announced")
        first = machine.Received(
            ceremony=letter.ceremony,
            network=letter.network,
            wallet=letter.wallet,
            wallet_name=None,
            psbt=raw,
            psbt_sha256=sha256(psbt),
            threshold=letter.threshold,
            at=now(),
        )
        # Both roles may run on one machine with one journal.
        row = CeremonyRow(f"{letter.ceremony}-c", "cosigner", now(), None, letter.network, None, "receive")
        self._session = Session.begin(self._journal, row, COSIGNER, first)
        self._channel.acknowledge(received)
        self._watch.status(status.PsbtReceived(letter.ceremony, len(raw)))
        if self._plan.network is not None and letter.network != self._plan.network:
            await self._decline(RefusedError(f"this is for {letter.network}, not for {self._plan.network}"))
            raise UsageError(f"the PSBT is for {letter.network}, but we are on {self._plan.network}")
        return psbt, letter.wallet

    # -- review and signature --------------------------------------------------------------------------------------

    async def _review_and_sign(self, psbt: Psbt, wallet_id: str | None) -> bool:
        """Whether it was signed; False when the coordinator ended it before.

        Raises:
            RefusedError: Not to be signed.
        """
        expected = self._plan.expect_txid
        if expected is not None and psbt.txid != expected.lower():
            raise RefusedError(f"this is transaction {psbt.txid}, not the expected {expected}")
        reviewed = await in_thread(self._plan.review, psbt, wallet_id)
        report = reviewed.report
        self._record(
            machine.Reviewed(
                report.psbt_sha256,
                tuple(finding.code.value for finding in report.errors),
                tuple(finding.code.value for finding in report.warnings),
                now(),
            )
        )
        self._watch.show_review(report)
        approved = await self._unless_over(self._approval(reviewed))
        if approved is None:
            return False
        if self._plan.signer is None:
            raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET")
        self._record(machine.approve(self._state, approved.psbt_sha256, approved.by))
        self._channel.progress(self._state.start.ceremony, "signing")
        signer = self._plan.signer(approved.wallet)
        result = await self._unless_over(in_thread(signer.sign, approved))
        if result is None:
            return False
        kept = contribution.strip_signatures(result, approved.inputs, approved.psbt)
        self._record(machine.signed(self._state, approved.psbt, kept))
        if self._plan.save is not None:
            self._plan.save(kept)
        return True

    async def _approval(self, reviewed: Reviewed) -> Approved:
        report, wallet = reviewed.report, reviewed.wallet
        if report.errors:
            count = len(report.errors)
            codes = ", ".join(dict.fromkeys(finding.code.value for finding in report.errors))
            raise RefusedError(
                f"not signed: {count} error{'s' if count > 1 else ''} in the review ({codes})",
                hint="ask how this PSBT was made; `wormsig inspect` shows every detail",
            )
        if wallet is None:
            raise RefusedError(
                "not signed: none of your wallets is the one of this PSBT",
                hint="import it with `wormsig wallet import`, or name it with --wallet",
            )
        verdict = await in_thread(self._watch.decide, report)
        if not verdict.sign:
            raise RefusedError(f"declined: {verdict.reason}" if verdict.reason else "declined")
        return approve(reviewed.psbt, report, wallet, by=verdict.by)

    async def _unless_over(self, work: Awaitable[Any]) -> Any:  # noqa: ANN401  what the work gives
        """The work's result; None when the coordinator ended the ceremony meanwhile."""
        which, value = await first_of(work, self._outcome_letter())
        if which == 0:
            return value
        await self._outcome(value)
        return None

    async def _outcome_letter(self) -> Received:
        """The next letter, which can only be an outcome while we are not waiting for anything else."""
        received = await self._channel.receive()
        if not isinstance(received.letter, messages.Outcome):
            raise PeerError("the coordinator sent a message out of turn")
        return received

    async def _decline(self, refusal: RefusedError) -> None:
        """Tell the coordinator why not; failing to tell changes nothing for us."""
        reason = refusal.message.removeprefix("declined: ").removeprefix("not signed: ")[:MAX_TEXT]
        self._record(machine.Declined(reason, "review" if "review" in reason else "person"))
        try:
            await self._channel.deliver(messages.Decline(self._state.start.ceremony, reason))
        except TransportError:
            return
        self._record(machine.DeclineTold())
        self._watch.status(status.DeclineSent(reason))

    # -- the answer and the outcome --------------------------------------------------------------------------------

    async def _send_answer(self) -> None:
        effect = machine.pending(self._state)
        assert isinstance(effect, machine.SendAnswer)  # noqa: S101  Signed was just recorded
        letter = messages.Contribution(self._state.start.ceremony, wire.reference(effect.psbt), "psbt")
        await self._channel.deliver(letter, effect.psbt)
        self._record(machine.Answered())
        self._watch.status(status.AnswerSent(1))

    async def _await_outcome(self) -> None:
        while True:
            received = await self._channel.receive()
            letter = received.letter
            if isinstance(letter, messages.Judged):
                self._record(machine.Judged(letter.accepted, letter.rejected, letter.problems))
                self._channel.acknowledge(received)
                self._watch.status(status.AnswerJudged(letter.accepted, letter.rejected, letter.problems))
            elif isinstance(letter, messages.Outcome):
                await self._outcome(received)
                return
            else:
                raise PeerError("the coordinator sent a message out of turn")

    async def _outcome(self, received: Received) -> None:
        letter = received.letter
        assert isinstance(letter, messages.Outcome)  # noqa: S101  the callers looked
        event = machine.outcome(self._state, letter.result, letter.txid, received.obj, letter.reason)
        self._record(event)
        self._channel.acknowledge(received)
        seen = await in_thread(self._seen, event.txid) if event.txid else "no-node"
        self._watch.status(status.OutcomeSeen(event.result, event.txid, event.reason, seen, lie=event.lie))
        if event.lie:
            raise PeerError(
                "the coordinator's final transaction is not the one that was approved here",
                hint="what you signed is what you approved; speak with the coordinator",
            )

    def _seen(self, txid: str) -> str:
        """What our own node says of a transaction: `mempool`, `block`, `unknown`, or `no-node`."""
        if self._node is None:
            return "no-node"
        try:
            depth = self._node.confirmations(txid)
        except NodeError:
            return "unknown"
        return "unknown" if depth is None else "block" if depth else "mempool"


def _parsed(raw: bytes) -> Psbt:
    """A peer's PSBT.

    Raises:
        PeerError: Malformed.
        NotSupportedError: Of a kind that this version does not handle.
    """
    try:
        return codec.parse(raw, limit=MAX_PEER_PSBT)
    except NotSupportedError:
        raise
    except WormsigError as error:
        raise PeerError(f"the PSBT that arrived is malformed: {error.message}") from error


async def receive_with_code(
    plan: ReceivePlan,
    code: str,
    *,
    connector: Connector,
    journal: Journal,
    node: Node | None,
    watcher: Watcher,
    time_limit: float | None = None,
) -> CosignerState:
    """Use a code, and run the cosigner's side to its end.

    Args:
        plan: How to receive.
        code: As it was typed.
        connector: Makes the channel.
        journal: Where the events go.
        node: Our own node, to see the outcome with.
        watcher: Who watches and answers questions.
        time_limit: Seconds for the whole.

    Raises:
        TransportError: No pairing, the connection ended too early, or time is up.
        WormsigError: As `Cosigner.run`.
    """

    async def all_of_it() -> CosignerState:
        channel = await (await connector.use_code(code)).paired()
        try:
            return await Cosigner(plan, journal, channel, node=node, watcher=watcher).run()
        finally:
            await channel.close()

    work = defer.ensureDeferred(all_of_it())
    if time_limit is not None:
        work.addTimeout(time_limit, connector.reactor)
    try:
        return await work
    except TwistedTimeoutError:
        raise TransportError("time is up", hint="whatever was signed is kept in the journal") from None
