"""Sums and the fee (rows C12 and C13): integers for amounts, exact fractions for rates, floats nowhere."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import MAX_MONEY
from wormsig.review import words
from wormsig.review.findings import Code
from wormsig.review.report import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.review.context import ReviewContext

ERROR_PERCENT = 10
WARNING_PERCENT = 5
ERROR_RATE = 1000
"""sat/vB."""

_WHERE = "transaction"


def sum_findings(input_sats: Sequence[int | None], output_sats: Sequence[int]) -> list[Finding]:
    """Amounts that no coin can have: negative ones, and sums above 21 million BTC.

    Args:
        input_sats: Amounts of the inputs, None where unknown.
        output_sats: Amounts of the outputs.
    """
    known = [sats for sats in input_sats if sats is not None]
    found: list[Finding] = []
    for kind, amounts in (("input", input_sats), ("output", output_sats)):
        found += [
            Finding(Code.NEGATIVE_AMOUNT, f"{kind} {index}", f"{kind} {index} has a negative amount ({sats} sat)")
            for index, sats in enumerate(amounts)
            if sats is not None and sats < 0
        ]
    for kind, total, highest in (
        ("inputs", sum(known), max(known, default=0)),
        ("outputs", sum(output_sats), max(output_sats, default=0)),
    ):
        if max(total, highest) > MAX_MONEY:
            found.append(
                Finding(Code.AMOUNT_OVERFLOW, _WHERE, f"the {kind} claim {total} sat, more than there can ever be")
            )
    return found


def percent_of(fee_sats: int, own_sats: int) -> Fraction | None:
    """The fee in percent of our inputs; None when there are none."""
    return Fraction(fee_sats * 100, own_sats) if own_sats > 0 else None


def fee_findings(fee_sats: int, own_sats: int, fee_rate: Fraction | None, context: ReviewContext) -> list[Finding]:
    """Judge a known fee.

    Args:
        fee_sats: Inputs minus outputs.
        own_sats: Sum of our inputs; of all of them when there is no wallet.
        fee_rate: sat/vB; None when the final size cannot be told.
        context: Its limits replace the usual ones.
    """
    if fee_sats < 0:
        return [
            Finding(Code.NEGATIVE_FEE, _WHERE, f"the outputs are worth {words.amount(-fee_sats)} more than the inputs")
        ]
    found: list[Finding] = []
    percent = percent_of(fee_sats, own_sats)
    share = f"{words.percent(percent)} of what is spent" if percent is not None else "paid without an input of ours"
    sentence = f"the fee is {share} ({words.amount(fee_sats)})"
    if context.max_fee is not None:
        too_high = not context.max_fee.allows(fee_sats, own_sats)
    else:
        too_high = percent is not None and percent > ERROR_PERCENT
    if too_high:
        found.append(
            Finding(Code.FEE_TOO_HIGH, _WHERE, f"{sentence}: too high", "if it is meant, say so with --max-fee")
        )
    elif percent is not None and percent > WARNING_PERCENT:
        found.append(Finding(Code.FEE_HIGH, _WHERE, sentence))
    highest_rate = Fraction(ERROR_RATE) if context.max_fee_rate is None else context.max_fee_rate
    if fee_rate is not None and fee_rate > highest_rate:
        message = f"the fee rate is {words.trimmed(fee_rate, 2)} sat/vB: too high"
        found.append(Finding(Code.FEE_RATE_TOO_HIGH, _WHERE, message, "if it is meant, say so with --max-fee-rate"))
    return found
