"""What `create` is asked for: payments, coins and the rest, read from words and checked before any node is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.app.amounts import ALL, parse_amount
from wormsig.bitcoin.network import script_of
from wormsig.bitcoin.tx import OutPoint
from wormsig.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection
    from fractions import Fraction

    from wormsig.bitcoin.network import Network

SEQUENCE_RBF = 0xFFFFFFFD
"""BIP125: replaceable."""
SEQUENCE_FINAL = 0xFFFFFFFE
"""Not replaceable, and a locktime is enforced."""
SEQUENCE_MAX = 0xFFFFFFFF
"""Neither replaceable, nor is a locktime enforced."""


class Payment(msgspec.Struct, frozen=True):
    """One recipient.

    Attributes:
        address: As it was typed.
        script: What the output will hold.
        sats: The amount; None for everything that the coins hold.
    """

    address: str
    script: bytes
    sats: int | None


class Order(msgspec.Struct, frozen=True):
    """What to create.

    Attributes:
        payments: At least one; at most one of them takes everything.
        fee_rate: sat/vB.
        coins: Spend exactly these; bitcoind's choice when empty.
        avoid: Coins that must not be chosen: other payments that were signed spend them (THREATS C24).
        subtract_fee: The recipients pay the fee, in equal parts.
        replaceable: Signal BIP125.
        locktime: Height or time before which the transaction cannot be mined.
        sequence: Of every input: what opens the wallet's paths behind older() (BIP68, BIP112). Coins that are younger
            than it asks for are left alone. What `replaceable` says when left out.
        change_index: Where change goes; the first unused index when left out.
        rescan: Let the node look through every block first.
        psbt_version: 0, or 2 for signers that want BIP370.
    """

    payments: tuple[Payment, ...]
    fee_rate: Fraction
    coins: tuple[OutPoint, ...] = ()
    avoid: frozenset[OutPoint] = frozenset()
    subtract_fee: bool = False
    replaceable: bool = True
    locktime: int = 0
    sequence: int | None = None
    change_index: int | None = None
    rescan: bool = False
    psbt_version: int = 0

    @property
    def input_sequence(self) -> int:
        """The sequence of every input."""
        if self.sequence is not None:
            return self.sequence
        return SEQUENCE_RBF if self.replaceable else SEQUENCE_FINAL


def parse_payment(text: str, network: Network) -> Payment:
    """Read `ADDRESS:AMOUNT`, or `ADDRESS:all`.

    Raises:
        UsageError: No such pair, or no amount.
        InputError: No address of this network.
    """
    address, colon, amount = text.partition(":")
    if not colon or not address.strip() or not amount.strip():
        raise UsageError(f"{text!r} is not ADDRESS:AMOUNT", hint="for example bc1q…:0.5, or bc1q…:50000 sat")
    try:
        script = script_of(address.strip(), network)
    except InputError as error:
        error.message = f"--to {address.strip()[:100]}: {error.message}"
        raise
    sats = None if amount.strip().lower() == ALL else parse_amount(amount)
    return Payment(address.strip(), script, sats)


def check_order(order: Order) -> None:
    """Refuse what cannot be meant, before the node is asked.

    Raises:
        UsageError: Nobody to pay, one recipient twice, two that take everything, a coin twice or reserved; a sequence
            that does not fit to the rest.
    """
    if not order.payments:
        raise UsageError("nobody is to be paid", hint="give --to ADDRESS:AMOUNT")
    for position, payment in enumerate(order.payments):
        if any(payment.script == other.script for other in order.payments[:position]):
            raise UsageError(f"{payment.address} is to be paid twice", hint="give one --to with the sum")
    if sum(payment.sats is None for payment in order.payments) > 1:
        raise UsageError("only one recipient can get all that is left")
    if len(set(order.coins)) != len(order.coins):
        raise UsageError("a coin is named twice")
    if order.sequence == SEQUENCE_MAX and order.locktime:
        raise UsageError("with the final sequence the locktime means nothing", hint="leave --sequence away")
    if order.sequence is not None and not order.replaceable and order.sequence <= SEQUENCE_RBF:
        raise UsageError(f"sequence {order.sequence} signals replacement", hint="leave --no-rbf away")
    reserved = [str(coin) for coin in order.coins if coin in order.avoid]
    if reserved:
        raise UsageError(
            f"coin {reserved[0]} is reserved for a payment that was signed here before",
            hint="`wormsig status` shows it; a signature cannot be taken back",
        )


def parse_coins(texts: Collection[str]) -> tuple[OutPoint, ...]:
    """Read `--coin TXID:INDEX`.

    Raises:
        UsageError: Not an outpoint.
    """
    coins = []
    for text in texts:
        try:
            coins.append(OutPoint.from_text(text))
        except InputError as error:
            raise UsageError(f"--coin {text!r}: {error.message}", hint=error.hint) from error
    return tuple(coins)
