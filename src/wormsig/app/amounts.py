"""Amounts and fee rates as people type them, exactly: no floats, no exponents, no guessing."""

from __future__ import annotations

import re
from fractions import Fraction

from wormsig.bitcoin.tx import MAX_MONEY
from wormsig.errors import UsageError

ALL = "all"
"""The amount that means: everything the chosen coins hold."""

_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,16})(?:\.(?P<part>[0-9]+))? ?(?P<unit>[a-zA-Z]*)", re.ASCII)
_RATE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?", re.ASCII)
_BTC_DECIMALS = 8
_FORMS = "write it as `0.5 BTC`, `0.5` or `50000 sat`"


def parse_amount(text: str) -> int:
    """Read an amount: BTC with up to eight decimals, with or without the unit, or whole satoshi.

    Args:
        text: `0.5 BTC`, `0.5`, `50000 sat`, `50000sat`, `50000 sats`; the unit's case does not matter.

    Returns:
        sats, at least 1.

    Raises:
        UsageError: Anything else, zero, more than eight decimals, more than 21 million BTC.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        hint = f"{_FORMS}, with a point" if "," in text else _FORMS
        raise UsageError(f"{text!r} is not an amount", hint=hint)
    whole, part, unit = match["whole"], match["part"] or "", match["unit"].lower()
    if unit in ("sat", "sats"):
        if part:
            raise UsageError(f"{text!r}: a satoshi is not divided", hint=_FORMS)
        sats = int(whole)
    elif unit in ("btc", ""):
        if len(part) > _BTC_DECIMALS:
            raise UsageError(f"{text!r} has more than eight decimals", hint=_FORMS)
        sats = int(whole + part.ljust(_BTC_DECIMALS, "0"))
    else:
        raise UsageError(f"{text!r}: the unit is BTC or sat", hint=_FORMS)
    if sats == 0:
        raise UsageError(f"{text!r}: an amount of zero pays nobody")
    if sats > MAX_MONEY:
        raise UsageError(f"{text!r} is more than there will ever be", hint=f"an amount without unit is BTC; {_FORMS}")
    return sats


def parse_fee_rate(text: str) -> Fraction:
    """Read a fee rate in sat/vB, with up to three decimals as bitcoind takes it.

    Raises:
        UsageError: Not such a number, or zero.
    """
    if _RATE.fullmatch(text) is None:
        raise UsageError(f"{text!r} is not a fee rate", hint="sat/vB, with at most three decimals, e.g. 4 or 2.5")
    rate = Fraction(text)
    if rate == 0:
        raise UsageError("a fee rate of zero is not relayed")
    return rate


def format_btc(sats: int) -> str:
    """`0.00050000 BTC`."""
    sign, amount = ("-", -sats) if sats < 0 else ("", sats)
    return f"{sign}{amount // 100_000_000}.{amount % 100_000_000:08d} BTC"


def format_rate(rate: Fraction) -> str:
    """A fee rate with as many of three decimals as it has: `4`, `2.5`; rounded down beyond them."""
    thousandths = rate.numerator * 1000 // rate.denominator
    return f"{thousandths // 1000}.{thousandths % 1000:03d}".rstrip("0").rstrip(".")
