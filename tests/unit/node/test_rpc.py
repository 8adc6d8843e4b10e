"""Amounts from and to the node, exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from wormsig.errors import NodeError
from wormsig.node.rpc import to_btc, to_sats


@pytest.mark.parametrize(
    ("amount", "sats"),
    [
        (Decimal("0.00000001"), 1),
        (Decimal("0.1"), 10_000_000),
        (Decimal("1E-8"), 1),
        (Decimal("20999999.9769"), 2_099_999_997_690_000),
        (50, 5_000_000_000),
        (Decimal("-0.5"), -50_000_000),
    ],
)
def test_amounts_become_sats_exactly(amount, sats):
    assert to_sats(amount) == sats
    assert to_sats(to_btc(sats)) == sats


@pytest.mark.parametrize(
    "amount",
    [
        *(
            Decimal(text)
            for text in ("1E-9", "NaN", "sNaN", "Infinity", "21000000.00000001", "-21000001", "9E999999", "1E-999999")
        ),
        True,
        None,
        "1",
        0.5,
    ],
)
def test_what_is_no_amount_is_the_nodes_fault(amount):
    with pytest.raises(NodeError):
        to_sats(amount)
