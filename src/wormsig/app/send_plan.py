"""What a coordinator is to do, and who watches it. How it is done stands in `send` and `conversation`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from wormsig.bitcoin.sighash import SIGHASH_ALL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from wormsig.ceremony.status import Status
    from wormsig.psbt.model import Psbt
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


class Opening(msgspec.Struct, frozen=True):
    """What a ceremony begins with. All of it goes into the journal, and none of it changes afterwards.

    Attributes:
        ceremony: 32 hex digits, random.
        psbt: Reviewed, with previous transactions.
        network: The network's name.
        wallet: The agreed wallet.
        threshold: Signatures needed.
        cosigners: Our names for them; a code each.
        signed: The PSBT as our own signer signed it.
        allowed_sighash: Types that are accepted.
        broadcast: Whether the transaction may be broadcast.
        wait_all: Wait for every cosigner.
        chain: One cosigner after another, each with the signatures of those before.
        tell_reasons: Everybody is told why others declined.
        sats: What leaves the wallet, when that is known.
        warnings: Finding codes of the review.
        by: Who agreed to send it, and to sign our own share.
    """

    ceremony: str
    psbt: Psbt
    network: str
    wallet: Wallet | None
    threshold: int
    cosigners: tuple[str, ...]
    signed: Psbt | None = None
    allowed_sighash: frozenset[int] = frozenset({SIGHASH_ALL})
    broadcast: bool = True
    wait_all: bool = False
    chain: bool = False
    tell_reasons: bool = False
    sats: int | None = None
    warnings: tuple[str, ...] = ()
    by: Literal["person", "unattended"] = "person"


@dataclass(frozen=True, slots=True)
class SendPlan:
    """How a ceremony is run by this process; another one may go on with it in another way.

    Attributes:
        label: A public key in hex -> our name for it.
        codes: Codes that were agreed before, by cosigner.
        new_codes: Who gets a new code, although both sides could find each other without one.
        signer: Our own signer's name, when it has just signed.
        broadcast: Whether the transaction may be broadcast.
        timeout: Seconds for the whole, None without limit.
        code_length: Words in a new code.
        linger: Seconds that are given, when all is over, to cosigners who are not connected and have to be told.
        hope: Seconds that are given to cosigners who said no, or sent nothing of use, to come back without a new code.
    """

    label: Callable[[str], str]
    codes: Mapping[str, str] = field(default_factory=dict)
    new_codes: frozenset[str] = frozenset()
    signer: str = ""
    broadcast: bool = True
    timeout: float | None = None
    code_length: int = 3
    linger: float = 0.0
    hope: float = 0.0
