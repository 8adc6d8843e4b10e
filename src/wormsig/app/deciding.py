"""A cosigner's own work on a PSBT that arrived: review, approval, signature. Needs no connection.

Whatever comes of it is in the journal when it is done, a refusal too; that the coordinator hears of it is `linking`'s
business. What is decided by whom stands in `ceremony.cosigner` and `review`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.app.receive_plan import DeclinedError
from wormsig.app.session import now
from wormsig.app.threads import in_thread
from wormsig.ceremony import cosigner as machine
from wormsig.ceremony import status
from wormsig.ceremony.cosigner_state import Phase
from wormsig.errors import InputError, NodeError, RefusedError, UsageError, WormsigError
from wormsig.psbt import codec, contribution
from wormsig.psbt.limits import MAX_TEXT
from wormsig.review.approve import Approved, approve
from wormsig.review.findings import Code

if TYPE_CHECKING:
    from wormsig.app.receive_plan import Decider, Reviewed
    from wormsig.app.seat import Seat
    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet


class Decision:
    """One PSBT's way to a signature, or to a refusal.

    Args:
        seat: The cosigner's side.

    Attributes:
        postponed: It was reviewed, and will be decided another time.
        unsaved: Why the signed PSBT could not be kept where the person asked; the signature goes out all the same.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._plan = seat.plan
        self.postponed = False
        self.unsaved: WormsigError | None = None

    async def run(self) -> None:
        """Review, ask, sign; what was signed once is not signed again.

        Raises:
            RefusedError: Not to be signed; the journal says so.
            WormsigError: It could not be signed here; likewise.
        """
        seat = self._seat
        try:
            self._check_announced()
            self._check_withdrawn()
            if seat.state.signed is not None:
                seat.watch.status(status.SignedBefore(seat.state.start.ceremony))
            else:
                if seat.state.phase is Phase.APPROVED:  # the one window: between a signer's answer and its commit
                    seat.watch.status(status.ApprovedBefore(seat.state.start.ceremony))
                seat.does("reviewing")
                await self._review_and_sign()
        except DeclinedError as refusal:
            self._decline(refusal.reason, refusal.by)
            raise
        except RefusedError as refusal:
            self._decline(refusal.message.removeprefix("not signed: "), "review")
            raise
        except (InputError, NodeError, UsageError):
            self._decline("it could not be signed here", "review")  # why is nobody else's business
            raise
        if not self.postponed:
            self._save()
            seat.does("waiting")

    def _check_announced(self) -> None:
        """Refuse what is over, and what is not what a person or a script said beforehand that it would be."""
        plan, start = self._plan, self._seat.state.start
        if machine.is_complete(self._seat.state):
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
        txid = codec.parse(start.psbt).txid
        if plan.expect_txid is not None and txid != plan.expect_txid.lower():
            raise DeclinedError(
                f"not signed: this is transaction {txid}, not the expected {plan.expect_txid}",
                reason="this is not the transaction that was expected",
                by="policy",
            )

    def _check_withdrawn(self) -> None:
        """Refuse to send a signature that a person has taken back, or takes back now.

        Raises:
            DeclinedError: They have; no code and no connection makes it be sent after that.
        """
        state = self._seat.state
        if state.signed is None:
            return
        if self._plan.reject is not None:
            raise _rejected(self._plan.reject)
        if state.withdrawn:
            raise DeclinedError(
                f"not sent: what was signed of ceremony {state.start.ceremony[:6]} was withdrawn here",
                reason=state.reason,
                by="person",
                hint="ask the coordinator to send it again as a new one",
            )

    async def _review_and_sign(self) -> None:
        seat = self._seat
        approved = await self._approval(await self._reviewed())
        if approved is None:
            return
        if self._plan.signer is None:
            raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET")
        signer = self._plan.signer(approved.wallet)
        seat.record(machine.approve(seat.state, approved.psbt_sha256, approved.by))
        seat.does("signing")
        result = await in_thread(signer.sign, approved)
        kept = contribution.strip_signatures(result, approved.inputs, approved.psbt)
        seat.record(machine.signed(seat.state, approved.psbt, kept))

    async def _reviewed(self) -> Reviewed:
        """The review, in the journal and shown."""
        seat, start = self._seat, self._seat.state.start
        try:
            reviewed = await in_thread(self._plan.review, codec.parse(start.psbt), start.wallet)
        except WormsigError as error:
            if self._plan.reject is not None:
                raise _rejected(self._plan.reject) from error
            raise
        report, wallet = reviewed.report, reviewed.wallet
        seat.record(
            machine.Reviewed(
                report.psbt_sha256,
                tuple(finding.code.value for finding in report.errors),
                tuple(finding.code.value for finding in report.warnings),
                now(),
                wallet_name=wallet.name if wallet else None,
                sats=report.net_outflow_sats,
            )
        )
        seat.watch.show_review(report)
        return reviewed

    async def _approval(self, reviewed: Reviewed) -> Approved | None:
        """What may be signed; None when it is to be decided another time."""
        report, wallet, plan = reviewed.report, reviewed.wallet, self._plan
        if plan.reject is not None:
            raise _rejected(plan.reject)
        if plan.later:
            self.postponed = True
            return None
        wallet = self._signable(report, wallet)
        verdict = await self._seat.watch.decide(report)
        if verdict.later:
            self.postponed = True
            return None
        if not verdict.sign:
            raise _rejected(verdict.reason)
        if plan.policy is not None and verdict.by == "unattended":
            return approve(reviewed.psbt, report, wallet, by="policy", accept=plan.policy.codes)
        return approve(reviewed.psbt, report, wallet, by=verdict.by)

    def _signable(self, report: Report, wallet: Wallet | None) -> Wallet:
        """The wallet, when nothing but a person's yes is missing.

        Raises:
            DeclinedError: The review, or a policy, stands against it.
        """
        policy = self._plan.policy
        if report.errors:
            count = len(report.errors)
            codes = ", ".join(dict.fromkeys(finding.code.value for finding in report.errors))
            what = f"{count} error{'s' if count > 1 else ''} in the review ({codes})"
            raise DeclinedError(f"not signed: {what}", reason=what, by="review", hint=self._way_out(report))
        if wallet is None:
            raise DeclinedError(
                "not signed: none of your wallets is the one of this PSBT",
                reason="none of the wallets here is the one of this PSBT",
                by="review",
                hint="import it with `wormsig wallet import`, or name it with --wallet",
            )
        announced = self._seat.state.start.network
        if announced != wallet.network.value:
            what = f"it was announced for {announced}, and the wallet is on {wallet.network.value}"
            raise DeclinedError(f"not signed: {what} (C11)", reason=what, by="review")
        if policy is not None:
            try:
                policy.check(report, wallet.network)
            except RefusedError as refusal:
                reason = "the policy here does not allow it"  # what it says is nobody else's business
                raise DeclinedError(f"not signed: {refusal.message}", reason=reason, by="policy") from None
        return wallet

    def _way_out(self, report: Report) -> str:
        """What to do about errors in the review."""
        for finding in report.errors:
            if finding.code is Code.OUR_KEY_IN_FOREIGN_INPUT and finding.hint is not None:  # --wallet named another
                return f"{finding.hint} and `wormsig resume {self._seat.state.start.ceremony[:6]}`"
        return "ask how this PSBT was made; `wormsig inspect` shows every detail"

    def _decline(self, reason: str, by: Decider) -> None:
        """Note why not."""
        if not machine.is_complete(self._seat.state):
            self._seat.record(machine.Declined(reason[:MAX_TEXT], by))

    def _save(self) -> None:
        """Keep the signed PSBT where the person asked; a failure is told at the end."""
        signed = self._seat.state.signed
        try:
            if self._plan.save is not None and signed is not None:
                self._plan.save(codec.parse(signed))
        except WormsigError as error:
            self.unsaved = error


def _rejected(reason: str) -> DeclinedError:
    """Somebody said no."""
    return DeclinedError(f"declined: {reason}" if reason else "declined", reason=reason, by="person")
