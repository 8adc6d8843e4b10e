"""What a cosigner's side is told before it begins, and who watches it. What is done with it stands in `cosigning`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from wormsig.errors import RefusedError
from wormsig.psbt.limits import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wormsig.app.policy import Policy
    from wormsig.ceremony.status import Status
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.signers.protocol import Signer
    from wormsig.wallet.model import Wallet


Decider = Literal["person", "review", "policy"]


class Verdict(msgspec.Struct, frozen=True):
    """What was decided about a reviewed PSBT.

    Attributes:
        sign: Sign it.
        reason: Words for the coordinator when not.
        by: Who decided.
        later: Neither: it is kept, and decided another time.
    """

    sign: bool
    reason: str = ""
    by: Literal["person", "unattended", "policy"] = "person"
    later: bool = False


class Reviewed(msgspec.Struct, frozen=True):
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
    """Who watches a cosigner's side: a terminal, or a script. Cancelling a question takes it back."""

    def status(self, status: Status) -> None:
        """Something happened."""

    def show_review(self, report: Report) -> None:
        """The review, before anything is asked."""

    def decide(self, report: Report) -> Awaitable[Verdict]:
        """Whether to sign."""

    def compare_verifier(self, words: str) -> Awaitable[bool]:
        """Whether the other side reads the same words. Raises UsageError when nobody is there to compare."""


class ReceivePlan(msgspec.Struct, frozen=True):
    """How a cosigner receives.

    Attributes:
        review: (PSBT, the coordinator's wallet id) -> the review; blocks while our node answers.
        signer: Gives the signer for the wallet of the review.
        reject: Decline with this reason, whatever the review says.
        expect_txid: The unsigned transaction's id, when it is known beforehand.
        network: The only network to accept, when it is known beforehand.
        save: Keeps the signed PSBT in a file, before it is sent.
        policy: What may be signed; with `-y` also which warnings do not stop it.
        later: Only receive and review; sign another time.
    """

    review: Callable[[Psbt, str | None], Reviewed]
    signer: Callable[[Wallet], Signer] | None
    reject: str | None = None
    expect_txid: str | None = None
    network: str | None = None
    save: Callable[[Psbt], None] | None = None
    policy: Policy | None = None
    later: bool = False


class DeclinedError(RefusedError):
    """Not signed, and the coordinator is to be told why.

    Args:
        message: For the person here.
        reason: For the coordinator: nothing about this machine.
        by: Who decided.
        hint: What to do next.
    """

    def __init__(self, message: str, *, reason: str, by: Decider, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason[:MAX_TEXT]
        self.by = by
