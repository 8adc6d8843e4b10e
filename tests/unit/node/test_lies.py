"""THREATS M5, C1: a node that answers with another transaction than was asked for is caught before it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.hostile import BTC, STRANGER, previous_tx
from support.values import replace
from wormsig.bitcoin.tx import OutPoint
from wormsig.errors import ExitCode, NodeError
from wormsig.node.client import Node
from wormsig.node.rpc import NodeSettings, Rpc

if TYPE_CHECKING:
    from collections.abc import Sequence

TRUE, OTHER = previous_tx(STRANGER, BTC), previous_tx(STRANGER, 5 * BTC)
SETTINGS = NodeSettings(url="http://127.0.0.1:1", cookie=Path("none"))
COIN = OutPoint(TRUE.txid_bytes, 1)


class Answers(Rpc):
    """What stands in for the connection: every question gets one answer."""

    def __init__(self, answer: str) -> None:
        super().__init__(SETTINGS)
        self.answer = answer

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]], *, timeout: float = 0) -> list[Any]:  # noqa: ARG002
        return [self.answer] * len(calls)


def node_that_says(answer: str) -> Node:
    node = Node(SETTINGS)
    node.rpc = Answers(answer)
    return node


def test_m5_the_transaction_that_was_asked_for_is_taken_without_its_witness():
    found = node_that_says(TRUE.serialize().hex()).previous_transactions([COIN])
    assert found == {COIN: TRUE.serialize(witness=False)}


@pytest.mark.parametrize(
    "answer",
    [
        OTHER.serialize().hex(),
        replace(TRUE, locktime=1).serialize().hex(),
        TRUE.serialize().hex()[:-2],
        TRUE.serialize().hex() + "00",
        "",
        "no hex",
    ],
    ids=["other", "nearly", "cut", "more", "empty", "text"],
)
def test_m5_anything_else_is_the_nodes_fault(answer: str):
    with pytest.raises(NodeError, match="the node gave") as caught:
        node_that_says(answer).previous_transactions([COIN])
    assert caught.value.exit_code == ExitCode.NODE
    assert COIN.txid[::-1].hex() in caught.value.message
