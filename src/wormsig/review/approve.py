"""The gate between looking and signing: only `approve` makes an `Approved`, and signers accept nothing else.

It holds the very object that was reviewed with the hash of its bytes (row C20), and the inputs that may be signed.
Asking the person, and writing the hash to the journal, is the caller's part.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Literal, final

from wormsig.errors import NotSupportedError, RefusedError
from wormsig.psbt.model import sha256
from wormsig.psbt.musig import NOT_SUPPORTED, WHO_CAN
from wormsig.review.words import count

if TYPE_CHECKING:
    from collections.abc import Collection

    from wormsig.psbt.model import Psbt
    from wormsig.review.findings import Code
    from wormsig.review.report import Finding, Report
    from wormsig.wallet.model import Wallet

Approver = Literal["person", "unattended", "policy"]

_SEAL = object()


@final
@dataclass(frozen=True, slots=True)
class Approved:
    """A PSBT that was reviewed and may be signed; made by `approve` alone.

    Args:
        psbt: The very object that was reviewed.
        report: What the review said.
        wallet: The wallet that it was reviewed for.
        psbt_sha256: Hash of the PSBT's bytes, hex, for the journal.
        inputs: The wallet's inputs: the only ones to sign.
        by: Who approved.
    """

    psbt: Psbt
    report: Report
    wallet: Wallet
    psbt_sha256: str
    inputs: frozenset[int]
    by: Approver
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        """Refuse to be built by anybody but `approve`."""
        if seal is not _SEAL:
            raise TypeError("Approved is made by review.approve() alone")

    def check_unchanged(self) -> None:
        """Compare the PSBT with what was approved, right before signing (row C20).

        Raises:
            RefusedError: The bytes are not those that were reviewed.
        """
        if sha256(self.psbt) != self.psbt_sha256:
            raise RefusedError("not signed: the PSBT changed between review and signing (C20)")


def require_supported(report: Report, *, shown: bool = False) -> None:
    """Refuse a PSBT whose inputs this version cannot sign.

    Args:
        report: Its review.
        shown: The review is on the screen already, so nobody is sent to look at it.

    Raises:
        NotSupportedError: Such inputs stand in the way: nothing else in the PSBT is the wallet's.
    """
    if report.unsupported:
        where = ", ".join(map(str, report.unsupported[:5]))
        more = ", …" if len(report.unsupported) > 5 else ""
        raise NotSupportedError(
            f"input {where}{more}: {NOT_SUPPORTED}",
            hint=WHO_CAN if shown else f"`wormsig inspect` shows who has signed; {WHO_CAN}",
        )


def approve(
    psbt: Psbt, report: Report, wallet: Wallet, *, by: Approver, accept: Collection[Code] = frozenset()
) -> Approved:
    """Approve a reviewed PSBT for signing.

    Args:
        psbt: The PSBT that was reviewed.
        report: Its review.
        wallet: The wallet of that review.
        by: `person`: somebody saw the report and said yes, which accepts its warnings. `unattended`: nobody is
            there, so a warning refuses. `policy`: likewise, but warnings that the policy names are accepted.
        accept: The codes that the policy names; used with `policy` only.

    Returns:
        What signers take.

    Raises:
        NotSupportedError: As `require_supported`.
        RefusedError: The report has an error, a warning that nobody accepted, or nothing to sign; or it is not the
            review of this PSBT and wallet.
    """
    require_supported(report)
    digest = sha256(psbt)
    if report.psbt_sha256 != digest or report.wallet_id != wallet.id:
        raise RefusedError("not signed: this is not the PSBT and wallet that were reviewed (C20)")
    if report.errors:
        raise RefusedError(
            f"not signed: {count(len(report.errors), 'error')} in the review ({_codes(report.errors)})",
            hint="ask whoever made this PSBT; `wormsig inspect` shows every detail",
        )
    accepted = frozenset(accept) if by == "policy" else frozenset[str]()
    open_warnings = [] if by == "person" else [w for w in report.warnings if not _acceptable(w, accepted)]
    if open_warnings:
        raise RefusedError(
            f"not signed: {count(len(open_warnings), 'warning')} in the review that nobody is there to accept"
            f" ({_codes(open_warnings)})",
            hint="look at it with `wormsig inspect`, then sign without -y; `receive` also takes a policy that names it",
        )
    if not report.own_inputs:
        raise RefusedError(
            f"not signed: no input of this PSBT belongs to wallet {wallet.name}",
            hint="is it the right wallet? `wormsig wallet list` shows those on this machine",
        )
    return Approved(psbt, report, wallet, digest, report.own_inputs, by, _SEAL)


def _acceptable(warning: Finding, accepted: frozenset[str]) -> bool:
    return warning.code in accepted and not warning.code.never_unattended


def _codes(findings: Collection[Finding]) -> str:
    return ", ".join(dict.fromkeys(finding.code.value for finding in findings))
