"""Numbers as people read them: amounts, rates and shares, exactly and without floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

SATS_PER_BTC = 100_000_000

SMALL_AMOUNT = 100_000
"""Below it an amount is easier to read in sat."""


def btc(sats: int) -> str:
    """`0.20208824 BTC`: eight decimals always."""
    sign, whole = ("-", -sats) if sats < 0 else ("", sats)
    return f"{sign}{whole // SATS_PER_BTC}.{whole % SATS_PER_BTC:08d} BTC"


def amount(sats: int) -> str:
    """An amount in a sentence: in BTC, and in sat as well when it is small."""
    return f"{sats} sat" if abs(sats) < SMALL_AMOUNT else btc(sats)


def decimal(value: Fraction, places: int) -> str:
    """A fraction with a fixed number of decimals, rounded half up (away from zero)."""
    scale = 10**places
    numerator = abs(value.numerator) * scale * 2 + value.denominator
    scaled = numerator // (2 * value.denominator)
    sign = "-" if value < 0 and scaled else ""
    return f"{sign}{scaled // scale}.{scaled % scale:0{places}d}" if places else f"{sign}{scaled}"


def trimmed(value: Fraction, places: int) -> str:
    """The same with zeros at the end left away, but for one: `4.0`, `0.25`."""
    whole, _, digits = decimal(value, places).partition(".")
    return f"{whole}.{digits.rstrip('0') or '0'}"


def percent(value: Fraction) -> str:
    """A share in percent: `6.1 %`, `0.002 %`; never rounded to nothing."""
    if value > 0 and value * 2000 < 1:
        return "below 0.001 %"
    return f"{trimmed(value, 1 if value >= 1 else 3)} %"


def count(number: int, noun: str) -> str:
    """`1 coin`, `2 coins`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
