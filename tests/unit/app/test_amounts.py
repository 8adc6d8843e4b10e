"""Amounts are read exactly or not at all."""

from __future__ import annotations

from fractions import Fraction

import pytest

from wormsig.app.amounts import format_btc, parse_amount, parse_fee_rate
from wormsig.errors import UsageError


@pytest.mark.parametrize(
    ("text", "sats"),
    [
        ("0.5 BTC", 50_000_000),
        ("0.5", 50_000_000),
        ("0.5btc", 50_000_000),
        ("1", 100_000_000),
        ("0.00000001", 1),
        ("0.1", 10_000_000),
        ("0.3", 30_000_000),
        ("20999999.99999999", 2_099_999_999_999_999),
        ("21000000", 2_100_000_000_000_000),
        ("50000 sat", 50_000),
        ("50000sat", 50_000),
        ("1 sats", 1),
        (" 7 SAT ", 7),
        ("007 sat", 7),
    ],
)
def test_amounts_are_exact(text, sats):
    assert parse_amount(text) == sats


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.0",
        "0 sat",
        "-1",
        "+1",
        "-0.5 BTC",
        "1e3",
        "1E-8",
        "nan",
        "NaN",
        "inf",
        "Infinity",
        "0x10",
        "0.123456789",
        "0.000000001",
        "1.5 sat",
        ".5",
        "5.",
        "1,5",
        "1_000 sat",
        "1 000 sat",
        "1  BTC",
        "1 mBTC",
        "1 €",
        "\uff11",
        "٣ sat",
        "21000000.00000001",
        "2100000000000001 sat",
        "99999999999999999999 sat",
        "1 BTC BTC",
        "1\n2",
    ],
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_amount(text)
    assert caught.value.exit_code == 2


def test_a_comma_gets_a_hint():
    with pytest.raises(UsageError) as caught:
        parse_amount("0,5")
    assert "with a point" in str(caught.value.hint)


@pytest.mark.parametrize(("text", "rate"), [("4", Fraction(4)), ("2.5", Fraction(5, 2)), ("0.125", Fraction(1, 8))])
def test_fee_rates_are_exact(text, rate):
    assert parse_fee_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0.000", "-1", "1e2", "nan", "1.2345", "4 sat", "1,5", "٣", "9999999999"])
def test_what_is_no_fee_rate_is_refused(text):
    with pytest.raises(UsageError):
        parse_fee_rate(text)


def test_format_has_eight_digits():
    assert format_btc(50_000) == "0.00050000 BTC"
    assert format_btc(-1) == "-0.00000001 BTC"
    assert format_btc(2_100_000_000_000_000) == "21000000.00000000 BTC"
