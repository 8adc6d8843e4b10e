"""Which coin each input spends, and how far that is proven (rows C1 and C9).

A segwit v0 signature covers its own input's amount only, and a legacy one no amount at all: two signing sessions
with different lies can burn everything as fee. So an amount counts as proven only by the previous transaction,
whose txid the outpoint names, or by our own node. A taproot signature covers what every input spends (BIP341), but only
where we give one: to a wallet of another kind the word taproot is a claim as any other, and may hide a coin of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.script import ScriptType, classify, p2sh_script, witness_program
from wormsig.psbt.model import (
    NON_WITNESS_UTXO,
    REDEEM_SCRIPT,
    UtxoProblem,
    previous_txout,
    spent_or_problem,
    witness_utxo,
)
from wormsig.review.findings import Code
from wormsig.review.report import Finding
from wormsig.review.words import amount

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.model import Psbt
    from wormsig.review.context import ReviewContext


class Coins(msgspec.Struct, frozen=True):
    """What the inputs spend.

    Args:
        outputs: One an input, from the best source there is; None where nothing is known.
        findings: What is wrong with them.
    """

    outputs: tuple[TxOutput | None, ...]
    findings: tuple[Finding, ...]


def find_coins(psbt: Psbt, context: ReviewContext, *, covers_all: bool = True) -> Coins:
    """Find out what every input spends.

    Args:
        psbt: The PSBT.
        context: `confirmed` holds what our own node says; `trust_amounts` accepts claims.
        covers_all: Whether our signatures would be taproot's; without a wallet nothing is signed.
    """
    outputs: list[TxOutput | None] = []
    found: list[Finding] = []
    for index in range(len(psbt.inputs)):
        output, finding = _coin(psbt, index, context, covers_all=covers_all)
        outputs.append(output)
        if finding is not None:
            found += finding
    return Coins(tuple(outputs), tuple(found))


def _coin(
    psbt: Psbt, index: int, context: ReviewContext, *, covers_all: bool
) -> tuple[TxOutput | None, list[Finding] | None]:
    said = spent_or_problem(psbt, index)
    if context.confirmed:
        node = context.confirmed.get(psbt.tx.inputs[index].outpoint)
        if node is not None:
            return node, _against_node(psbt, index, node, said)
    if isinstance(said, UtxoProblem):
        return _contradiction(psbt, index, said)
    if NON_WITNESS_UTXO in psbt.inputs[index]:
        return said, None
    if covers_all and classify(said.script) is ScriptType.TR:
        return said, None
    return said, _unproven(psbt, index, said, context)


def _against_node(psbt: Psbt, index: int, node: TxOutput, said: TxOutput | UtxoProblem) -> list[Finding] | None:
    """Our node knows the coin: compare what the PSBT says about it."""
    if said is UtxoProblem.MISSING or said == node:
        return None
    if isinstance(said, UtxoProblem):
        return _contradiction(psbt, index, said)[1]
    where = f"input {index}"
    message = f"{where} spends another coin than the PSBT says"
    detail = f"our node knows {node.sats} sat, the PSBT says {said.sats} sat"
    if said.sats == node.sats:
        detail = f"our node knows the script {node.script.hex()}, the PSBT says {said.script.hex()}"
    return [Finding(Code.NODE_DISAGREES, where, message, details=(detail,))]


def _contradiction(psbt: Psbt, index: int, problem: UtxoProblem) -> tuple[TxOutput | None, list[Finding]]:
    where = f"input {index}"
    claimed = witness_utxo(psbt, index)
    if problem is UtxoProblem.MISSING:
        unknown = Finding(Code.UNKNOWN_AMOUNT, where, f"the amount of {where} is unknown, and so is the fee")
        return None, [unknown, Finding(Code.NO_PREVIOUS_TX, where, f"{where} comes without its previous transaction")]
    if problem is UtxoProblem.DISAGREES:
        proven = previous_txout(psbt, index)
        truth = proven[1] if proven is not None else None
        detail = "the scripts differ"
        if truth is not None and claimed is not None and truth.sats != claimed.sats:
            detail = f"the previous transaction says {truth.sats} sat, the witness UTXO says {claimed.sats} sat"
        message = f"{where} lies about the coin that it spends"
        return truth, [Finding(Code.AMOUNT_MISMATCH, where, message, details=(detail,))]
    message = f"{where} carries a previous transaction that proves nothing: {problem.value}"
    found = [Finding(Code.WRONG_PREVIOUS_TX, where, message)]
    if claimed is None:
        found.append(Finding(Code.UNKNOWN_AMOUNT, where, f"the amount of {where} is unknown, and so is the fee"))
    return claimed, found


def _unproven(psbt: Psbt, index: int, claimed: TxOutput, context: ReviewContext) -> list[Finding]:
    """Only the witness UTXO says what is spent."""
    program = witness_program(claimed.script)
    where = f"input {index}"
    if len(psbt.inputs) == 1 and (program is not None or _is_nested_segwit(psbt, index, claimed)):
        message = f"the amount of {where} is only claimed; it is the only input, so a lie would spoil the signature"
        return [Finding(Code.LONE_AMOUNT_UNPROVEN, where, message)]
    message = f"the amount of {where} ({amount(claimed.sats)}) is only claimed: its previous transaction is missing"
    if context.trust_amounts and not context.unattended:
        return [Finding(Code.AMOUNT_TRUSTED, where, message)]
    hint = "ask for a PSBT with the previous transactions, or give a node that knows them"
    return [Finding(Code.NO_PREVIOUS_TX, where, message, hint)]


def _is_nested_segwit(psbt: Psbt, index: int, claimed: TxOutput) -> bool:
    redeem = psbt.inputs[index].get(REDEEM_SCRIPT)
    return redeem is not None and p2sh_script(redeem) == claimed.script and witness_program(redeem) is not None
