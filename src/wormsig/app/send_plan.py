"""What a coordinator is to do, and who watches it. How it is done stands in `send` and `conversation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wormsig.bitcoin.sighash import SIGHASH_ALL

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wormsig.ceremony.status import Status
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet


class Watcher(Protocol):
    """Who watches a coordinator's ceremony: a terminal, or a script. Cancelling a question takes it back."""

    def status(self, status: Status) -> None:
        """Something happened."""

    def ask_broadcast(self, txid: str) -> Awaitable[bool]:
        """Whether to broadcast."""

    def ask_new_code(self, cosigner: str, burned: int) -> Awaitable[bool]:
        """Whether to make another code after several were burned."""

    def compare_verifier(self, cosigner: str, words: str) -> Awaitable[bool]:
        """Whether the other side reads the same words. Raises UsageError when nobody is there to compare."""


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
