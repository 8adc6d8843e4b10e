"""What a node's reject reason means, in plain words; pure.

The reasons are policy strings of Bitcoin Core and Knots (validation.cpp, policy.cpp). They come with or without
details behind a comma, in `testmempoolaccept` and in the message of `sendrawtransaction`'s error.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """A reject reason for a person.

    Attributes:
        message: What is wrong with the transaction.
        hint: What can be done about it.
    """

    message: str
    hint: str | None


_SPENT_HINT = "was another version of this payment sent already? is the node synchronised?"
_FEE_HINT = "make the PSBT again with a higher fee rate"
_WAIT_HINT = "the transaction is good: broadcast it later"

# The first entry whose text stands in the node's reason counts, so the special ones come first.
_REASONS: tuple[tuple[str, Refusal], ...] = (
    (
        "insufficient fee",
        Refusal("it replaces a transaction in the mempool, and its fee is too low for that", _FEE_HINT),
    ),
    ("too many potential replacements", Refusal("it would replace too many transactions at once", _WAIT_HINT)),
    (
        "txn-mempool-conflict",
        Refusal("another transaction in the mempool spends one of its coins and cannot be replaced", _SPENT_HINT),
    ),
    ("missingorspent", Refusal("one of its coins is spent already, or unknown to this node", _SPENT_HINT)),
    ("missing-inputs", Refusal("one of its coins is spent already, or unknown to this node", _SPENT_HINT)),
    ("min relay fee not met", Refusal("its fee is below what this node relays", _FEE_HINT)),
    (
        "mempool min fee not met",
        Refusal("its fee is below what this node's full mempool takes", f"{_FEE_HINT}, or broadcast it later"),
    ),
    ("max-fee-exceeded", Refusal("its fee rate is above the limit", "allow it with --max-fee-rate, if it is meant")),
    (
        "exceeds maximum configured",
        Refusal("its fee rate is above the limit", "allow it with --max-fee-rate, if it is meant"),
    ),
    ("non-BIP68-final", Refusal("a coin is too young for a relative locktime", _WAIT_HINT)),
    ("non-final", Refusal("its locktime is not reached yet", _WAIT_HINT)),
    ("premature-spend-of-coinbase", Refusal("it spends mined coins that need 100 confirmations", _WAIT_HINT)),
    ("script-verify-flag-failed", Refusal("a signature or a script is wrong", None)),
    ("maxburnamount", Refusal("it pays money to an output that nobody can spend", None)),
    ("dust", Refusal("it pays an amount too small to be relayed", None)),
    ("too-long-mempool-chain", Refusal("too many unconfirmed transactions hang together", _WAIT_HINT)),
    ("bad-txns-in-belowout", Refusal("it pays more than it spends", None)),
    ("txn-same-nonwitness-data", Refusal("the mempool has it already, with other signatures", None)),
    ("nonstandard-inputs", Refusal("it spends a script that nodes do not relay", None)),
    ("witness-nonstandard", Refusal("one of its witnesses is of a kind that nodes do not relay", None)),
    ("scriptpubkey", Refusal("it pays a kind of script that this node does not relay", None)),
    ("bare-multisig", Refusal("it pays a bare multisig script, which this node does not relay", None)),
    ("multi-op-return", Refusal("it has several data outputs, which this node does not relay", None)),
    ("datacarrier", Refusal("it has more data than this node relays", None)),
    ("tx-size", Refusal("it is larger than nodes relay", "spend fewer coins at once")),
    ("mempool full", Refusal("this node's mempool is full", f"{_FEE_HINT}, or broadcast it later")),
)

ALREADY_IN_MEMPOOL = ("txn-already-in-mempool",)
ALREADY_MINED = ("txn-already-known", "already in utxo set", "already in block chain")


def explain(reason: str) -> Refusal:
    """A node's reject reason in plain words, the reason itself quoted behind them.

    Args:
        reason: `testmempoolaccept`'s reject reason, or the text of `sendrawtransaction`'s error.
    """
    lowered = reason.lower()
    for text, refusal in _REASONS:
        if text.lower() in lowered:
            return Refusal(f"{refusal.message} ({reason})", refusal.hint)
    return Refusal(reason or "no reason given", None)


def is_already_known(reason: str) -> bool:
    """Whether a reason says that the transaction is in the mempool or in a block: no failure at all."""
    lowered = reason.lower()
    return any(text in lowered for text in (*ALREADY_IN_MEMPOOL, *ALREADY_MINED))


def may_be_mined(reason: str) -> bool:
    """Whether a reason also fits a transaction that is mined and whose outputs are spent already."""
    lowered = reason.lower()
    return "missing-inputs" in lowered or "missingorspent" in lowered
