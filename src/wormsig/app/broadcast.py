"""The last step on a file: a finished transaction is verified here, shown, tested by the node, and sent (THREATS M5).

A PSBT with enough signatures is finalized on the way. A transaction in hex is put beside the coins that our own node
knows, so that its signatures are verified here as well, and its fee is known.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from wormsig.app.combining import as_transaction, finalize_psbt
from wormsig.app.context import Sources, prepare, with_previous_transactions
from wormsig.app.files import BASE64_MAGIC, read_argument, shown
from wormsig.app.history import NO_HISTORY
from wormsig.app.loading import parse_psbt
from wormsig.bitcoin.tx import Transaction, parse_transaction
from wormsig.errors import InputError, NodeError, RefusedError
from wormsig.psbt import codec, creator, finals, maps, model, updater
from wormsig.review.review import review

if TYPE_CHECKING:
    from fractions import Fraction

    from wormsig.app.history import History
    from wormsig.app.settings import ReviewOptions
    from wormsig.node.client import Acceptance, Node
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.registry import Registry

_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){10,}", re.ASCII)


class Ready(msgspec.Struct, frozen=True):
    """A finished transaction, verified here and tested by the node.

    Attributes:
        transaction: With its witnesses.
        report: What it spends and pays.
        acceptance: What the node says; allowed.
        unchecked: Inputs whose scripts nobody here can check; the node did.
        max_fee_rate: sat/vB, for the node; its own limit when None.
    """

    transaction: Transaction
    report: Report
    acceptance: Acceptance
    unchecked: tuple[int, ...]
    max_fee_rate: Fraction | None


def read_finished(argument: str) -> Psbt | Transaction:
    """Read what is to be broadcast: a PSBT as everywhere, a transaction in hex, or a file with either.

    Raises:
        InputError: It cannot be read, or is neither.
    """
    if _HEX.fullmatch(argument) and not Path(argument[:200]).exists():
        return parse_transaction(bytes.fromhex(argument))
    data = read_argument(argument)
    if data.startswith((BASE64_MAGIC.encode(), b"psbt")):
        return parse_psbt(argument, data)
    transaction = as_transaction(data)
    if transaction is not None:
        return transaction
    try:
        raw = codec.from_any(data)
    except InputError as error:
        raise InputError(
            f"{shown(argument)} is neither a PSBT nor a transaction",
            hint=error.hint or "give a file with either, base64 of a PSBT, or hex",
        ) from error
    return parse_psbt(argument, raw)


def check_finished(
    finished: Psbt | Transaction,
    node: Node,
    wallet: Wallet | None,
    *,
    registry: Registry,
    history: History = NO_HISTORY,
    options: ReviewOptions,
    unattended: bool,
) -> Ready:
    """Finalize when that is still to be done, verify every input, ask the node. Nothing is sent.

    Args:
        finished: A PSBT or a transaction.
        node: Our node.
        wallet: To tell change from payments, when it is known.
        registry: Further wallets of ours, for the review.
        history: What was signed here before, for the same.
        options: What a person allows beyond the review's defaults.
        unattended: Nobody will be asked.

    Raises:
        UsageError: An option cannot be read.
        ThresholdError: Signatures are missing.
        PsbtError: A signature or a script is bad.
        NodeError: The node does not accept it.
    """
    psbt = _as_psbt(finished) if isinstance(finished, Transaction) else finished
    sources = Sources(registry, history, node, unattended=unattended)
    prepared = prepare(_with_coins(psbt, node), wallet, options, sources)
    allowed, rate = prepared.context.allowed_sighash, prepared.context.max_fee_rate
    final = finalize_psbt(prepared.psbt, allowed=allowed)
    acceptance = node.test_accept(final.transaction.serialize(), max_fee_rate=rate)
    if not acceptance.allowed:
        raise NodeError(f"the node does not accept the transaction: {acceptance.reason}", hint=acceptance.hint)
    checks = finals.check_finals(final.psbt, allowed=allowed)
    return Ready(
        transaction=final.transaction,
        report=review(final.psbt, wallet, prepared.context),
        acceptance=acceptance,
        unchecked=tuple(check.input for check in checks if check.state is finals.FinalState.NOT_CHECKED),
        max_fee_rate=rate,
    )


def refuse_findings(ready: Ready, *, unattended: bool) -> None:
    """Refuse a transaction whose review has an error, or a warning and nobody to ask.

    Raises:
        RefusedError: With the findings' codes.
    """
    report = ready.report
    for kind, found in (("error", report.errors), ("warning", report.warnings if unattended else ())):
        if found:
            codes = ", ".join(dict.fromkeys(finding.code.value for finding in found))
            raise RefusedError(
                f"not broadcast: {len(found)} {kind}{'s' if len(found) > 1 else ''} in the review ({codes})",
                hint=found[0].hint,
            )


def _as_psbt(transaction: Transaction) -> Psbt:
    """A transaction as the finalized PSBT that it came from, without its coins."""
    bare = [structs.replace(txin, script_sig=b"") for txin in transaction.inputs]
    version = transaction.version & 0xFFFFFFFF
    psbt = creator.create(bare, transaction.outputs, version=version, locktime=transaction.locktime)
    stacks = transaction.witnesses or ((),) * len(bare)
    for index, (txin, stack) in enumerate(zip(transaction.inputs, stacks, strict=True)):
        final = finals.FinalScripts(txin.script_sig, stack)
        psbt = psbt.with_input(index, maps.finalized(psbt.inputs[index], final))
    return psbt


def _with_coins(psbt: Psbt, node: Node) -> Psbt:
    """With the coins that it spends, as far as our own node knows them."""
    psbt, confirmed = with_previous_transactions(psbt, node)
    for index, txin in enumerate(psbt.tx.inputs):
        coin = confirmed.get(txin.outpoint)
        if coin is not None and model.witness_utxo(psbt, index) is None:
            psbt = updater.with_witness_utxo(psbt, index, coin)
    return psbt
