"""Locktime and sequences (row C8): what delays a transaction, and what only seems to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.review.findings import Code
from wormsig.review.report import Finding

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import Transaction
    from wormsig.review.context import ReviewContext

LOCKTIME_THRESHOLD = 500_000_000
"""Below it a locktime is a height, from it on a Unix time."""

FINAL_SEQUENCE = 0xFFFF_FFFF
MAX_REPLACEABLE_SEQUENCE = 0xFFFF_FFFD
"""The highest sequence that signals replacement (BIP125)."""

_SEQUENCE_DISABLED = 1 << 31
_SEQUENCE_SECONDS = 1 << 22
_SEQUENCE_MASK = 0xFFFF
_GRANULARITY = 512

TOLERATED_BLOCKS = 6
TOLERATED_SECONDS = 2 * 3600


class RelativeDelay(msgspec.Struct, frozen=True):
    """A relative locktime (BIP68): one of the two is 0."""

    blocks: int = 0
    seconds: int = 0

    def __str__(self) -> str:
        if self.seconds:
            return f"{self.seconds // 3600} h {self.seconds % 3600 // 60} min"
        return f"{self.blocks} block" if self.blocks == 1 else f"{self.blocks} blocks"


def relative_delay(sequence: int, tx_version: int) -> RelativeDelay:
    """What a sequence demands since the coin's confirmation (BIP68); nothing below transaction version 2."""
    if tx_version < 2 or sequence & _SEQUENCE_DISABLED:
        return RelativeDelay()
    value = sequence & _SEQUENCE_MASK
    return RelativeDelay(seconds=value * _GRANULARITY) if sequence & _SEQUENCE_SECONDS else RelativeDelay(blocks=value)


def is_replaceable(tx: Transaction) -> bool:
    """Whether any input signals replacement (BIP125)."""
    return any(txin.sequence <= MAX_REPLACEABLE_SEQUENCE for txin in tx.inputs)


def is_enforced(tx: Transaction) -> bool:
    """Whether the locktime means anything: one sequence that is not final is enough."""
    return any(txin.sequence != FINAL_SEQUENCE for txin in tx.inputs)


def timing_findings(tx: Transaction, context: ReviewContext) -> list[Finding]:
    """Judge locktime and sequences."""
    found = [] if tx.locktime == 0 else _locktime_findings(tx, context)
    late: dict[str, list[int]] = {}
    for index, txin in enumerate(tx.inputs):
        if txin.sequence & _SEQUENCE_DISABLED:
            continue
        delay = relative_delay(txin.sequence, tx.version)
        if delay.blocks > TOLERATED_BLOCKS or delay.seconds > TOLERATED_SECONDS:
            late.setdefault(str(delay), []).append(index)
    for words, indexes in late.items():
        first = f"input {indexes[0]}"
        others = f" and {len(indexes) - 1} more" if len(indexes) > 1 else ""
        message = f"{first}{others} can be spent only {words} after the coin was confirmed"
        found.append(Finding(Code.RELATIVE_DELAY, first, message))
    return found


def _locktime_findings(tx: Transaction, context: ReviewContext) -> list[Finding]:
    where = "transaction"
    if not is_enforced(tx):
        message = f"locktime {tx.locktime} is set, but every sequence is final, so nothing enforces it"
        return [Finding(Code.LOCKTIME_UNENFORCED, where, message)]
    by_height = tx.locktime < LOCKTIME_THRESHOLD
    tip = context.height if by_height else context.median_time
    if tip is None:
        unit = f"block {tx.locktime}" if by_height else f"Unix time {tx.locktime}"
        message = f"it cannot be mined before {unit}; no node was asked how far that is"
        return [Finding(Code.LOCKTIME_UNCHECKED, where, message)]
    ahead = tx.locktime - tip
    if by_height and ahead > TOLERATED_BLOCKS:
        message = f"it cannot be mined before block {tx.locktime}, {ahead} blocks from now"
        return [Finding(Code.LOCKTIME_AHEAD, where, message)]
    if not by_height and ahead > TOLERATED_SECONDS:
        message = f"it cannot be mined before Unix time {tx.locktime}, {ahead // 3600} hours from now"
        return [Finding(Code.LOCKTIME_AHEAD, where, message)]
    return []
