from __future__ import annotations

from fractions import Fraction

import pytest

from wormsig.review.context import FeeLimit, ReviewContext
from wormsig.review.fees import fee_findings, sum_findings
from wormsig.review.findings import Code

LOW = Fraction(1)


def codes(fee: int, own: int, rate: Fraction | None = LOW, **context) -> list[Code]:
    return [finding.code for finding in fee_findings(fee, own, rate, ReviewContext(**context))]


@pytest.mark.parametrize(
    ("fee", "expected"),
    [
        (0, []),
        (5_000, []),
        (5_001, [Code.FEE_HIGH]),
        (10_000, [Code.FEE_HIGH]),
        (10_001, [Code.FEE_TOO_HIGH]),
        (100_000, [Code.FEE_TOO_HIGH]),
        (-1, [Code.NEGATIVE_FEE]),
    ],
)
def test_limits_are_exact(fee: int, expected: list[Code]):
    assert codes(fee, 100_000) == expected


def test_one_satoshi_decides_even_where_floats_would_not_see_it():
    own = 2_099_999_999_999_990
    assert codes(own // 10, own) == [Code.FEE_HIGH]
    assert codes(own // 10 + 1, own) == [Code.FEE_TOO_HIGH]


def test_rates():
    assert codes(0, 100_000, Fraction(1000)) == []
    assert codes(0, 100_000, Fraction(1000) + Fraction(1, 10**9)) == [Code.FEE_RATE_TOO_HIGH]
    assert codes(0, 100_000, Fraction(5000), max_fee_rate=Fraction(5000)) == []
    assert codes(0, 100_000, Fraction(6), max_fee_rate=Fraction(5)) == [Code.FEE_RATE_TOO_HIGH]
    assert codes(0, 100_000, None) == []


def test_a_limit_takes_the_place_of_the_usual_one():
    assert codes(50_000, 100_000, max_fee=FeeLimit(sats=50_000)) == [Code.FEE_HIGH]
    assert codes(50_001, 100_000, max_fee=FeeLimit(sats=50_000)) == [Code.FEE_TOO_HIGH]
    assert codes(50_000, 100_000, max_fee=FeeLimit(percent=Fraction(50))) == [Code.FEE_HIGH]
    assert codes(50_001, 100_000, max_fee=FeeLimit(percent=Fraction(50))) == [Code.FEE_TOO_HIGH]
    assert codes(200, 100_000, max_fee=FeeLimit(percent=Fraction(1, 10))) == [Code.FEE_TOO_HIGH]


def test_sums():
    most = 21_000_000 * 100_000_000
    assert sum_findings([most], [most]) == []
    assert [finding.code for finding in sum_findings([most, 1], [1])] == [Code.AMOUNT_OVERFLOW]
    assert [finding.code for finding in sum_findings([1], [most, 1])] == [Code.AMOUNT_OVERFLOW]
    negative = sum_findings([None, -5], [-1])
    assert [(finding.code, finding.where) for finding in negative] == [
        (Code.NEGATIVE_AMOUNT, "input 1"),
        (Code.NEGATIVE_AMOUNT, "output 0"),
    ]
    # A negative amount does not hide one that is too large.
    assert Code.AMOUNT_OVERFLOW in {finding.code for finding in sum_findings([1], [most + 1, -most])}
