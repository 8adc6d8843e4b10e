from __future__ import annotations

from fractions import Fraction

import pytest

from wormsig.review import words


@pytest.mark.parametrize(
    ("sats", "text"),
    [
        (0, "0.00000000 BTC"),
        (1, "0.00000001 BTC"),
        (20_208_824, "0.20208824 BTC"),
        (2_100_000_000_000_000, "21000000.00000000 BTC"),
        (-1, "-0.00000001 BTC"),
        (-150_000_000, "-1.50000000 BTC"),
    ],
)
def test_btc_has_eight_decimals(sats: int, text: str):
    assert words.btc(sats) == text


def test_small_amounts_are_in_sat():
    assert words.amount(99_999) == "99999 sat"
    assert words.amount(100_000) == "0.00100000 BTC"


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Fraction(1, 2), 2, "0.50"),
        (Fraction(945, 189), 2, "5.00"),
        (Fraction(1, 3), 2, "0.33"),
        (Fraction(2, 3), 2, "0.67"),
        (Fraction(1, 200), 2, "0.01"),
        (Fraction(-1, 2), 1, "-0.5"),
        (Fraction(-1, 2000), 2, "0.00"),
        (Fraction(10**20 + 1, 10), 1, "10000000000000000000.1"),
        (Fraction(5, 2), 0, "3"),
    ],
)
def test_decimals_are_exact(value: Fraction, places: int, text: str):
    assert words.decimal(value, places) == text


@pytest.mark.parametrize(
    ("value", "text"), [(Fraction(4), "4.0"), (Fraction(401, 80), "5.01"), (Fraction(1, 4), "0.25")]
)
def test_zeros_at_the_end_are_left_away(value: Fraction, text: str):
    assert words.trimmed(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(61, 10), "6.1 %"),
        (Fraction(2, 1000), "0.002 %"),
        (Fraction(1, 10_000_000), "below 0.001 %"),
        (Fraction(0), "0.0 %"),
        (Fraction(100), "100.0 %"),
    ],
)
def test_percent(value: Fraction, text: str):
    assert words.percent(value) == text


def test_count():
    assert [words.count(number, "coin") for number in (0, 1, 2)] == ["0 coins", "1 coin", "2 coins"]
