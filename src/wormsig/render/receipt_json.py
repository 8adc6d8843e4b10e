"""A receipt, or what came out of a comparison, as one line of JSON; docs/receipt-format.md describes every field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wormsig.ceremony.receipt import write
from wormsig.render.sanitize import to_json

if TYPE_CHECKING:
    from wormsig.ceremony.comparison import Comparison
    from wormsig.ceremony.receipt import Receipt


def receipt_json(receipt: Receipt) -> str:
    """The receipt as printable ASCII on one line; `ceremony.receipt.read` gives it back."""
    return to_json(json.loads(write(receipt)))


def comparison_json(comparison: Comparison) -> str:
    """Every statement, and whether all of them agree."""
    return to_json(
        {
            "agrees": not comparison.differing,
            "pair": comparison.pair,
            "statements": [
                {
                    "what": each.what,
                    "verdict": each.verdict,
                    "ours": each.ours,
                    "theirs": each.theirs,
                    "why": each.why,
                    "unit": each.unit,
                }
                for each in comparison.statements
            ],
        }
    )
