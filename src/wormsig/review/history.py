"""What was paid and signed before (rows C18 and C24), as far as the context knows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wormsig.review.findings import Code
from wormsig.review.report import Finding, OutputKind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wormsig.bitcoin.tx import Transaction
    from wormsig.review.context import ReviewContext, SignedBefore
    from wormsig.review.report import OutputView

_NAMED = 5
_SAME_ENDS = 3
"""Characters at both ends that must agree: what a person compares, with chance 2**-30 in bech32."""


def _ends(address: str) -> tuple[str, str]:
    """Beginning and end as a person compares them: the beginning counts after what all addresses share."""
    prefix, separator, data = address.lower().rpartition("1")
    if separator and prefix in {"bc", "tb", "bcrt"}:
        return address.lower()[: len(prefix) + 2 + _SAME_ENDS], data[-_SAME_ENDS:]
    return address[: 1 + _SAME_ENDS], address[-_SAME_ENDS:]


def look_alike_findings(outputs: Sequence[OutputView], paid: Collection[str], own: Collection[str]) -> list[Finding]:
    """Payments to addresses that begin and end like a known one but differ.

    Args:
        outputs: All outputs.
        paid: Addresses paid before.
        own: Addresses of the wallet in this PSBT.
    """
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for addresses, what in ((own, "of this wallet"), (paid, "paid before")):
        known |= {_ends(address): (address, what) for address in addresses}
    exact = {*paid, *own}
    found: list[Finding] = []
    for view in outputs:
        if view.kind is not OutputKind.PAYMENT or view.address is None or view.address in exact:
            continue
        twin = known.get(_ends(view.address))
        if twin is not None:
            message = f"output {view.index} pays an address that begins and ends like one {twin[1]}, but differs"
            details = (f"here:  {view.address}", f"known: {twin[0]}")
            found.append(Finding(Code.LOOK_ALIKE, f"output {view.index}", message, details=details))
    return found


def repeat_findings(
    tx: Transaction, payments: frozenset[tuple[bytes, int]], fee_sats: int | None, context: ReviewContext
) -> list[Finding]:
    """Payments that were signed before, and transactions that this one replaces.

    Args:
        tx: The unsigned transaction.
        payments: (scriptPubKey, sats) of what leaves the wallet.
        fee_sats: Its fee.
        context: What was signed before.
    """
    coins = frozenset(txin.outpoint for txin in tx.inputs)
    found: list[Finding] = []
    seen = {tx.txid}
    for before in context.signed_before:
        if before.txid in seen:  # two of our keys may have signed it, each at a time of its own
            continue
        seen.add(before.txid)
        if coins & before.inputs:
            found.append(_replacement(before, payments, fee_sats))
        elif payments & before.payments:
            message = f"it pays a recipient and amount that transaction {before.txid} pays, {_signed_here(before)}"
            details = ("it shares no coin with that one, so both can be mined: the recipient would be paid twice",)
            found.append(Finding(Code.PAID_BEFORE, "transaction", message, details=details))
    return found


def settled_findings(tx: Transaction, context: ReviewContext) -> list[Finding]:
    """Say that it is too late for this transaction, as far as our node knows; it harms nobody, so it stops nobody."""
    if context.settled.mined:
        return [Finding(Code.MINED, "transaction", "it is in a block already: there is nothing left to sign")]
    spent = [index for index, txin in enumerate(tx.inputs) if txin.outpoint in context.settled.spent]
    if not spent:
        return []
    named = ", ".join(map(str, spent[:_NAMED])) + (", …" if len(spent) > _NAMED else "")
    which = f"the coin of input {named} is" if len(spent) == 1 else f"the coins of inputs {named} are"
    details = ("it can never be mined",)
    if context.settled.mined is None:
        details = ("by this one or by another, which can be told when it is final",)
    message = f"{which} spent already, in a block"
    return [Finding(Code.COINS_SPENT, "transaction", message, details=details)]


def unreadable_findings(context: ReviewContext) -> list[Finding]:
    """Say that the past is not wholly known; it stops nobody."""
    if not context.unreadable:
        return []
    message = "what was signed here before cannot all be read, so repeated payments may go unnoticed"
    return [Finding(Code.HISTORY_UNREADABLE, "this machine", message, details=context.unreadable[:_NAMED])]


def _signed_here(before: SignedBefore) -> str:
    if before.at is None:
        return "which was signed here"
    return f"which was signed here on {datetime.fromtimestamp(before.at, UTC):%Y-%m-%d}"


def _replacement(before: SignedBefore, payments: frozenset[tuple[bytes, int]], fee_sats: int | None) -> Finding:
    same = payments == before.payments
    code = Code.REPLACES if same else Code.REPLACES_DIFFERENTLY
    how = "and pays the same" if same else "and pays otherwise"
    old, new = (f"{sats} sat" if sats is not None else "unknown" for sats in (before.fee_sats, fee_sats))
    message = f"it replaces transaction {before.txid}, {_signed_here(before)}, {how}"
    return Finding(code, "transaction", message, details=(f"fee before: {old}; now: {new}",))
