"""Locktime, sequences and replacement in words (row C8): when a transaction can be mined, and whether it can change."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from wormsig.review.findings import Code
from wormsig.review.timing import FINAL_SEQUENCE, LOCKTIME_THRESHOLD, relative_delay

if TYPE_CHECKING:
    from wormsig.review.report import Report

_SETTLED: Final = {
    Code.LOCKTIME_CONFLICT: "It can never be mined.",
    Code.MINED: "It is mined already.",
    Code.COINS_SPENT: "A coin of it is spent already.",
}
"""What is said instead where one of these was found."""


def timing_words(report: Report) -> str:
    """One sentence, e.g. `Replaceable; can be mined at once.`."""
    codes = {finding.code for finding in report.findings}
    settled = next((words for code, words in _SETTLED.items() if code in codes), None)
    if settled is not None:
        return settled
    replaceable = "Replaceable" if report.replaceable else "Not replaceable"
    parts = [_locktime_words(report)]
    delays = {
        str(delay)
        for view in report.inputs
        if (delay := relative_delay(view.sequence, report.tx_version)).blocks or delay.seconds
    }
    if delays:
        parts.append(f"not before a coin is {' or '.join(sorted(delays))} old")
    return f"{replaceable}; {', '.join(parts)}."


def _locktime_words(report: Report) -> str:
    if report.locktime == 0:
        return "can be mined at once"
    if all(view.sequence == FINAL_SEQUENCE for view in report.inputs):
        return f"can be mined at once: its locktime ({moment(report.locktime)}) is not enforced"
    return f"can be mined after {moment(report.locktime)}"


def moment(locktime: int) -> str:
    """A locktime as a block or a time (UTC)."""
    if locktime < LOCKTIME_THRESHOLD:
        return f"block {locktime}"
    when = dt.datetime.fromtimestamp(locktime, dt.UTC)
    return f"{when:%Y-%m-%d %H:%M} UTC"
