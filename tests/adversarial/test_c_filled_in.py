"""What a stranger can make our own node add to a PSBT (rows C1 and C16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.hostile import STRANGER, scene_of
from wormsig.app.context import MAX_FILLED_IN, with_previous_transactions
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput, parse_transaction
from wormsig.node.client import Node
from wormsig.psbt import codec, creator
from wormsig.psbt.limits import MAX_PEER_PSBT
from wormsig.psbt.model import previous_tx, utxo_problem
from wormsig.review.context import ReviewContext
from wormsig.review.findings import Code
from wormsig.review.review import review

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt

OUTPUTS = 1_000
MANY = 600
INPUTS = 200
SATS = 10_000


class Counting(Node):
    """Our node, and how many coins' transactions it was asked for."""

    asked = 0

    def previous_transactions(self, outpoints: Iterable[OutPoint]) -> dict[OutPoint, bytes]:
        wanted = list(outpoints)
        self.asked += len(wanted)
        return super().previous_transactions(wanted)


def large_payment(node: RegtestNode, script: bytes) -> Transaction:
    """A confirmed transaction with many outputs to one script."""
    node.mine(101)
    wallet = node.wallet()
    wanted = Transaction(2, (), (TxOutput(SATS, script),) * OUTPUTS, 0).serialize(witness=False)
    funded = wallet.call("fundrawtransaction", wanted.hex(), {"changePosition": OUTPUTS})
    signed = wallet.call("signrawtransactionwithwallet", funded["hex"])["hex"]
    node.rpc.call("sendrawtransaction", signed)
    node.mine(1)
    return parse_transaction(bytes.fromhex(signed))


def spending(paid: Transaction, inputs: int) -> Psbt:
    """So many coins of one transaction, and nothing said about them."""
    return creator.create(
        [TxInput(OutPoint(paid.txid_bytes, index)) for index in range(inputs)],
        [TxOutput(inputs * SATS - 50_000, STRANGER)],
    )


def test_c16_many_coins_of_one_large_transaction_do_not_grow_a_psbt_without_end(node: RegtestNode):
    scene = scene_of("wsh")
    paid = large_payment(node, scene.deriver.script(0, 0).script_pubkey)
    size = len(paid.serialize(witness=False))
    assert INPUTS * size > 2 * MAX_FILLED_IN
    counting = Counting(node.settings)
    with_previous_transactions(spending(paid, MANY), counting)
    assert counting.asked == INPUTS  # the first ones fill it, so no others are fetched
    psbt = spending(paid, INPUTS)
    filled, confirmed = with_previous_transactions(psbt, Node(node.settings))
    with_previous = [index for index in range(INPUTS) if previous_tx(filled, index) is not None]
    assert len(with_previous) == MAX_FILLED_IN // size
    assert not any(utxo_problem(filled, index) for index in with_previous)
    assert len(codec.serialize(filled)) < MAX_PEER_PSBT
    # What was not added is confirmed all the same: every amount is known.
    assert len(confirmed) == INPUTS - len(with_previous)
    report = review(filled, scene.wallet, ReviewContext(confirmed=confirmed), deriver=scene.deriver)
    assert report.own_sats == INPUTS * SATS
    assert not {Code.UNKNOWN_AMOUNT, Code.NO_PREVIOUS_TX} & {finding.code for finding in report.findings}
