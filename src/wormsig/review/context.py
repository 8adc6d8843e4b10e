"""What a review may know beside the PSBT and the wallet, as one frozen value.

Whoever calls the review collects it: the clock, our own node, the journal, the options. The review itself asks
nobody. Everything has a default that means "not known" or "not allowed", so an empty context is the careful one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from wormsig.bitcoin.network import Network
    from wormsig.bitcoin.tx import OutPoint, TxOutput
    from wormsig.wallet.model import Wallet


class FeeLimit(msgspec.Struct, frozen=True):
    """The highest fee that somebody allows: one of the two.

    Args:
        sats: As an amount.
        percent: Of our inputs.
    """

    sats: int | None = None
    percent: Fraction | None = None

    def allows(self, fee_sats: int, own_sats: int) -> bool:
        """Whether a fee is within the limit.

        Args:
            fee_sats: The fee.
            own_sats: Sum of our inputs, which a percentage refers to.
        """
        if self.sats is not None and fee_sats > self.sats:
            return False
        return self.percent is None or fee_sats * 100 <= self.percent * own_sats


class GapLimits(msgspec.Struct, frozen=True):
    """How far beyond the highest index seen change may stand (row C4).

    Args:
        notice: Beyond it by more than this: worth knowing.
        warning: A person has to accept it.
        error: Refused, and how far a script is searched for when no hint leads to it.
    """

    notice: int = 20
    warning: int = 200
    error: int = 1000


class SignedBefore(msgspec.Struct, frozen=True):
    """A transaction that was signed on this machine (row C24).

    Args:
        txid: Of the unsigned transaction, display hex.
        inputs: The coins that it spends.
        payments: (scriptPubKey, sats) of what left the wallet.
        fee_sats: Its fee.
        at: Unix time of the signature, when it is known.
        own: It is known to spend a coin of the wallet at hand.
    """

    txid: str
    inputs: frozenset[OutPoint]
    payments: frozenset[tuple[bytes, int]]
    fee_sats: int | None = None
    at: int | None = None
    own: bool = False


class Settled(msgspec.Struct, frozen=True):
    """What blocks have settled of a transaction that somebody wants signed (row C24).

    Args:
        mined: It is in a block; None when it cannot be told from another one yet, because its final txid is not known.
        spent: Its coins that a transaction in a block has spent, be it this one or another.
    """

    mined: bool | None = False
    spent: frozenset[OutPoint] = frozenset()


NOTHING_SETTLED = Settled()

SIGHASH_ALL_ONLY = frozenset({0x01})


@dataclass(frozen=True, slots=True)
class ReviewContext:
    """All that a review may know beside the PSBT and the wallet.

    Args:
        now: Unix time of our clock.
        height: Of our node's tip.
        median_time: Of our node's tip (BIP113), Unix time.
        network: Our node's; without a wallet also the one to show addresses for.
        max_fee: Replaces the limit of 10 % of our inputs.
        max_fee_rate: Replaces the limit of 1000 sat/vB.
        trust_amounts: Accept claimed amounts, with a warning; ignored when unattended.
        allowed_sighash: Sighash types that are signed and accepted; those beside ALL are ignored when unattended.
        pay_anyway: Outputs that look like change but are to be paid; ignored when unattended.
        other_wallets: Further wallets of ours, to recognise payments to them.
        confirmed: Coins as our own node has them.
        previously_paid: Addresses that we paid before.
        used_scripts: Scripts of the wallet that were paid before.
        highest_seen: Highest index seen per branch, from node and journal. A branch that is not named is judged by
            the highest of the others and of this PSBT's proven inputs.
        gap: Limits beyond that.
        signed_before: What was signed on this machine.
        unreadable: What of this machine's history cannot be read, one sentence each.
        signed_coins: Coins that were signed on this machine, as a wallet's of ours.
        settled: What blocks have settled of it, as our node knows.
        unattended: Nobody is there to answer.
    """

    now: int | None = None
    height: int | None = None
    median_time: int | None = None
    network: Network | None = None
    max_fee: FeeLimit | None = None
    max_fee_rate: Fraction | None = None
    trust_amounts: bool = False
    allowed_sighash: frozenset[int] = SIGHASH_ALL_ONLY
    pay_anyway: frozenset[int] = frozenset()
    other_wallets: tuple[Wallet, ...] = ()
    confirmed: Mapping[OutPoint, TxOutput] = field(default_factory=dict)
    previously_paid: frozenset[str] = frozenset()
    used_scripts: frozenset[bytes] = frozenset()
    highest_seen: Mapping[int, int] = field(default_factory=dict)
    gap: GapLimits = field(default_factory=GapLimits)
    signed_before: tuple[SignedBefore, ...] = ()
    unreadable: tuple[str, ...] = ()
    signed_coins: frozenset[OutPoint] = frozenset()
    settled: Settled = NOTHING_SETTLED
    unattended: bool = False
