"""The cosigner's driver: a PSBT comes through a channel, is reviewed, approved and signed here, and goes back.

What happens is decided by `ceremony.cosigner`; here is only the order of doing: decide, commit to the journal, act.
The coordinator may end it at any time (the threshold was reached without us), also while a person is being asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.comparing import compare_verifier
from wormsig.app.receive_plan import DeclinedError
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
    ThresholdError,
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
    from collections.abc import Awaitable

    from wormsig.app.receive_plan import Decider, ReceivePlan, Reviewed, Watcher
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.transport.channel import Channel, Received
    from wormsig.transport.connector import Connector


class Cosigner:
    """Runs one cosigner's side to its end.

    Args:
        plan: How to receive.
        journal: Where the events go.
        connector: What made the channel; for its time limits.
        channel: To the coordinator.
        node: Our own node, to see the outcome with.
        watcher: Who watches and answers questions.
    """

    def __init__(
        self,
        plan: ReceivePlan,
        journal: Journal,
        connector: Connector,
        channel: Channel,
        *,
        node: Node | None,
        watcher: Watcher,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._connector = connector
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
            The last state, with an outcome.

        Raises:
            RefusedError: The review has an error, or somebody said no.
            PeerError: The coordinator sent something malformed, or lied about the outcome.
            ThresholdError: The ceremony failed elsewhere.
            TransportError: The connection ended too early, or the coordinator stopped.
        """
        self._watch.status(status.Joined(" ".join(self._channel.verifier_words())))
        await compare_verifier(self._channel, self._watch.compare_verifier)
        psbt, wallet_id = await self._proposal()
        unsaved: WormsigError | None = None
        if await self._signed(psbt, wallet_id):
            unsaved = self._save()
            if await self._send_answer():
                await self._await_outcome()
        if unsaved is not None:
            raise unsaved
        return self._state

    # -- the proposal ----------------------------------------------------------------------------------------------

    async def _proposal(self) -> tuple[Psbt, str | None]:
        """The PSBT, journalled and acknowledged, and the id of the wallet that the coordinator means."""
        waiting = defer.ensureDeferred(self._channel.receive())
        try:
            limits = self._connector.limits
            received = await waiting.addTimeout(limits.delivery(MAX_PEER_PSBT), self._connector.reactor)
        except TwistedTimeoutError:
            raise TransportError("the coordinator is there, but sent no PSBT in time") from None
        letter, raw = received.letter, received.obj
        if not isinstance(letter, messages.Proposal) or raw is None:
            raise PeerError("the other side did not begin with a proposal")
        try:
            psbt = _parsed(raw)
        except NotSupportedError:
            self._channel.acknowledge(received)
            await self._tell_decline(letter.ceremony, "this kind of PSBT is not supported here yet")
            raise
        if psbt.txid != letter.unsigned_txid:
            raise PeerError("the PSBT is not the transaction that was announced")
        self._begin(letter, psbt, raw)
        self._channel.acknowledge(received)
        self._watch.status(status.PsbtReceived(letter.ceremony, len(raw)))
        return psbt, letter.wallet

    def _begin(self, letter: messages.Proposal, psbt: Psbt, raw: bytes) -> None:
        """Start in the journal, or go on where an earlier connection ended.

        Raises:
            PeerError: A ceremony that we know came back with another PSBT.
        """
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
        if not self._journal.events(row.id):
            self._session = Session.begin(self._journal, row, COSIGNER, first)
            return
        self._session = Session.load(self._journal, row.id, COSIGNER)
        if self._state.start.psbt != raw:
            raise PeerError("this ceremony is known here, and it came back with another PSBT (R11)")

    # -- review and signature --------------------------------------------------------------------------------------

    async def _signed(self, psbt: Psbt, wallet_id: str | None) -> bool:
        """Whether it is signed and to be sent; False when the coordinator ended it before.

        Raises:
            RefusedError: Not to be signed.
        """
        state = self._state
        try:
            self._check_announced(psbt)
            if state.signed is not None:
                self._watch.status(status.SignedBefore(state.start.ceremony))
                return True
            self._channel.progress(state.start.ceremony, "reviewing")
            return await self._review_and_sign(psbt, wallet_id)
        except DeclinedError as refusal:
            await self._decline(refusal.reason, refusal.by)
            raise
        except RefusedError as refusal:
            await self._decline(refusal.message.removeprefix("not signed: "), "review")
            raise
        except (InputError, NodeError, UsageError):
            await self._decline("it could not be signed here", "review")  # why is nobody else's business
            raise

    def _check_announced(self, psbt: Psbt) -> None:
        """Refuse what is over, and what is not what a person or a script said beforehand that it would be."""
        plan, start = self._plan, self._state.start
        if machine.is_complete(self._state):
            raise DeclinedError(
                f"not signed: ceremony {start.ceremony[:6]} is over on this machine",
                reason="this ceremony is over here",
                by="review",
                hint="ask the coordinator to send it again as a new one",
            )
        if plan.reject is not None:
            return
        if plan.network is not None and start.network != plan.network:
            raise DeclinedError(
                f"not signed: the coordinator says this is for {start.network}, and we are on {plan.network}",
                reason=f"this is for {start.network}, not for {plan.network}",
                by="review",
            )
        if plan.expect_txid is not None and psbt.txid != plan.expect_txid.lower():
            raise DeclinedError(
                f"not signed: this is transaction {psbt.txid}, not the expected {plan.expect_txid}",
                reason="this is not the transaction that was expected",
                by="policy",
            )

    async def _review_and_sign(self, psbt: Psbt, wallet_id: str | None) -> bool:
        reviewed = await self._reviewed(psbt, wallet_id)
        over, approved = await self._unless_over(self._approval(reviewed))
        if over:
            return False
        if self._plan.signer is None:
            raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET")
        signer = self._plan.signer(approved.wallet)
        self._record(machine.approve(self._state, approved.psbt_sha256, approved.by))
        self._channel.progress(self._state.start.ceremony, "signing")
        over, result = await self._unless_over(in_thread(signer.sign, approved))
        if over:
            return False
        kept = contribution.strip_signatures(result, approved.inputs, approved.psbt)
        self._record(machine.signed(self._state, approved.psbt, kept))
        return True

    async def _reviewed(self, psbt: Psbt, wallet_id: str | None) -> Reviewed:
        """The review, in the journal and shown."""
        try:
            reviewed = await in_thread(self._plan.review, psbt, wallet_id)
        except WormsigError as error:
            if self._plan.reject is not None:
                raise _rejected(self._plan.reject) from error
            raise
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
        return reviewed

    async def _approval(self, reviewed: Reviewed) -> Approved:
        report, wallet = reviewed.report, reviewed.wallet
        if self._plan.reject is not None:
            raise _rejected(self._plan.reject)
        if report.errors:
            count = len(report.errors)
            codes = ", ".join(dict.fromkeys(finding.code.value for finding in report.errors))
            what = f"{count} error{'s' if count > 1 else ''} in the review ({codes})"
            hint = "ask how this PSBT was made; `wormsig inspect` shows every detail"
            raise DeclinedError(f"not signed: {what}", reason=what, by="review", hint=hint)
        if wallet is None:
            raise DeclinedError(
                "not signed: none of your wallets is the one of this PSBT",
                reason="none of the wallets here is the one of this PSBT",
                by="review",
                hint="import it with `wormsig wallet import`, or name it with --wallet",
            )
        announced = self._state.start.network
        if announced != wallet.network.value:
            what = f"it was announced for {announced}, and the wallet is on {wallet.network.value}"
            raise DeclinedError(f"not signed: {what} (C11)", reason=what, by="review")
        policy = self._plan.policy
        if policy is not None:
            try:
                policy.check(report, wallet.network)
            except RefusedError as refusal:
                reason = "the policy here does not allow it"  # what it says is nobody else's business
                raise DeclinedError(f"not signed: {refusal.message}", reason=reason, by="policy") from None
        verdict = await self._watch.decide(report)
        if not verdict.sign:
            raise _rejected(verdict.reason)
        if policy is not None and verdict.by == "unattended":
            return approve(reviewed.psbt, report, wallet, by="policy", accept=policy.codes)
        return approve(reviewed.psbt, report, wallet, by=verdict.by)

    async def _decline(self, reason: str, by: Decider) -> None:
        """Note why not, and tell the coordinator; failing to tell changes nothing for us."""
        complete = machine.is_complete(self._state)
        if not complete:
            self._record(machine.Declined(reason[:MAX_TEXT], by))
        if await self._tell_decline(self._state.start.ceremony, reason[:MAX_TEXT]) and not complete:
            self._record(machine.DeclineTold())

    async def _tell_decline(self, ceremony: str, reason: str) -> bool:
        telling = defer.ensureDeferred(self._channel.deliver(messages.Decline(ceremony, reason)))
        try:
            await telling.addTimeout(self._connector.limits.farewell, self._connector.reactor)
        except (TransportError, PeerError, TwistedTimeoutError):
            return False
        self._watch.status(status.DeclineSent(reason))
        return True

    # -- the answer and the outcome --------------------------------------------------------------------------------

    def _save(self) -> WormsigError | None:
        """Keep the signed PSBT where the person asked; a failure is told at the end, the signature goes out."""
        signed = self._state.signed
        try:
            if self._plan.save is not None and signed is not None:
                self._plan.save(codec.parse(signed))
        except WormsigError as error:
            return error
        return None

    async def _send_answer(self) -> bool:
        """Whether the coordinator has it and an outcome is to come."""
        signed = self._state.signed
        assert signed is not None  # noqa: S101  `_signed` said so
        letter = messages.Contribution(self._state.start.ceremony, wire.reference(signed), "psbt")
        over, _ = await self._unless_over(self._channel.deliver(letter, signed))
        if over:
            return False
        self._record(machine.Answered())
        self._watch.status(status.AnswerSent(1))
        return True

    async def _await_outcome(self) -> None:
        while True:
            received = await self._next()
            letter = received.letter
            if isinstance(letter, messages.Judged):
                self._record(machine.judged(self._state, letter.accepted, letter.rejected, letter.problems))
                self._channel.acknowledge(received)
                self._watch.status(status.AnswerJudged(letter.accepted, letter.rejected, letter.problems))
            elif isinstance(letter, messages.Outcome):
                await self._outcome(received)
                return
            else:
                raise PeerError("the coordinator sent a message out of turn")

    async def _unless_over(self, work: Awaitable[Any]) -> tuple[bool, Any]:
        """Whether the coordinator ended the ceremony before the work was done, else its result."""
        which, value = await first_of(work, self._outcome_letter())
        if which == 0:
            return False, value
        await self._outcome(value)
        return True, None

    async def _outcome_letter(self) -> Received:
        """The next letter, which can only be an outcome while we are not waiting for anything else."""
        received = await self._next()
        if not isinstance(received.letter, messages.Outcome):
            raise PeerError("the coordinator sent a message out of turn")
        return received

    async def _next(self) -> Received:
        """The next letter of this ceremony."""
        received = await self._channel.receive()
        if received.letter.ceremony != self._state.start.ceremony:
            raise PeerError("the coordinator sent a message of another ceremony (R11)")
        return received

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
        kept = "what you signed stays signed" if self._state.signed is not None else None
        if event.result == "failed":
            raise ThresholdError("the ceremony failed on the coordinator's side", hint=kept)
        if event.result == "cancelled":
            raise TransportError("the coordinator stopped the ceremony", hint=kept)

    def _seen(self, txid: str) -> str:
        """What our own node says of a transaction: `mempool`, `block`, `unknown`, or `no-node`."""
        if self._node is None:
            return "no-node"
        try:
            depth = self._node.confirmations(txid)
        except NodeError:
            return "unknown"
        return "unknown" if depth is None else "block" if depth else "mempool"


def _rejected(reason: str) -> DeclinedError:
    """Somebody said no."""
    return DeclinedError(f"declined: {reason}" if reason else "declined", reason=reason, by="person")


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
