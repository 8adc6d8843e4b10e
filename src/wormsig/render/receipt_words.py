"""The words that a receipt's text and page have in common. Pure; what comes from outside is escaped here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.render.sanitize import quote, sanitize
from wormsig.review.words import btc, count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.ceremony.receipt import HappeningPart, Heads, LetterPart, Receipt, SignaturePart

NAME = 60
"""Characters of a name that are shown."""

_PHASES = {
    ("coordinator", "collecting"): "Not finished: signatures are missing",
    ("coordinator", "finalized"): "Complete, not broadcast yet",
    ("coordinator", "agreed"): "Complete, to be broadcast",
    ("coordinator", "broadcast"): "Broadcast",
    ("coordinator", "kept"): "Complete and kept, not broadcast",
    ("coordinator", "cancelled"): "Cancelled",
    ("cosigner", "received"): "Received, not decided yet",
    ("cosigner", "reviewed"): "Reviewed, not decided yet",
    ("cosigner", "approved"): "Approved, not signed yet",
    ("cosigner", "signed"): "Signed, not sent yet",
    ("cosigner", "answered"): "Signed and sent; the outcome is open",
    ("cosigner", "declined"): "Declined",
    ("cosigner", "decline-told"): "Declined",
}
_RESULTS = {
    "broadcast": "Signed; broadcast, as the coordinator says",
    "final": "Signed; complete and kept, as the coordinator says",
    "not-needed": "Not needed: enough others signed",
    "cancelled": "Cancelled by the coordinator",
    "failed": "Failed, as the coordinator says",
}
_SEEN = {
    "mempool": "the transaction is in the mempool of {whose} node",
    "block": "{whose} node has the transaction in a block",
    "unknown": "{whose} node does not know the transaction (yet)",
    "no-node": "there was no node to look with",
}
HEADS: dict[Heads, str] = {
    "none": "the other side has not told its own yet",
    "agree": "the other side told one that stands for the same letters",
    "earlier": "the other side told one that stands for the same letters, but for one that was under way",
    "differ": "the other side told one that stands for OTHER LETTERS",
}
_HAPPENED = {
    ("coordinator", "proposed"): "the ceremony began",
    ("coordinator", "turn-came"): "next in the chain:",
    ("coordinator", "connected"): "connected:",
    ("coordinator", "offered"): "the PSBT is there:",
    ("coordinator", "code-burned"): "a code was used up:",
    ("coordinator", "lost"): "the connection ended:",
    ("coordinator", "contributed"): "signatures came:",
    ("coordinator", "nothing-new"): "signatures came that were here already:",
    ("coordinator", "misbehaved"): "an answer could not be used:",
    ("coordinator", "declined"): "declined:",
    ("coordinator", "judged-told"): "knows what was taken:",
    ("coordinator", "wait-ended"): "nobody is waited for any more",
    ("coordinator", "finalized"): "the transaction is complete",
    ("coordinator", "broadcast-agreed"): "broadcasting was agreed to",
    ("coordinator", "broadcast-declined"): "kept, not broadcast",
    ("coordinator", "node-refused"): "the node refused",
    ("coordinator", "broadcast-done"): "our node has the transaction",
    ("coordinator", "outcome-told"): "knows the outcome:",
    ("coordinator", "farewell-received"): "said goodbye:",
    ("coordinator", "cancelled"): "cancelled",
    ("cosigner", "received"): "the PSBT arrived",
    ("cosigner", "linked"): "connected",
    ("cosigner", "answered"): "the coordinator has the signatures",
    ("cosigner", "decline-told"): "the coordinator knows the reason",
    ("cosigner", "judged"): "the coordinator judged",
    ("cosigner", "outcome-received"): "the outcome came",
    ("cosigner", "farewell-told"): "goodbye; our node said",
}
_APPROVERS = {"person": "a person", "unattended": "a script (-y)", "policy": "a policy"}
_DECLINERS = {"person": "a person", "review": "the review", "policy": "a policy"}


class Signer(msgspec.Struct, frozen=True):
    """A key that signed, with all its signatures.

    Attributes:
        fingerprint: Of the master key, or the beginning of the public key.
        name: Our name for it; empty when there is none.
        inputs: The inputs that it signed, in order.
        whence: How the signatures came.
        at: When the first one was here.
    """

    fingerprint: str
    name: str
    inputs: tuple[int, ...]
    whence: str
    at: str


def headline(receipt: Receipt) -> str:
    """How it ended, in a few words."""
    told = [part.result for pair in receipt.pairs for part in pair.letters if part.kind == "outcome"]
    if receipt.role == "cosigner" and receipt.phase == "over":
        result = told[-1] if told else None
        words = _RESULTS.get(result or "", "Over")
        signed = any(each.origin == "here" for each in receipt.signatures)
        return words if signed else words.replace("Signed; broadcast", "Broadcast").replace("Signed; comp", "Comp")
    return _PHASES.get((receipt.role, receipt.phase), sanitize(receipt.phase, NAME))


def signers(receipt: Receipt) -> list[Signer]:
    """Who signed: one line for each key and each way that its signatures came."""
    groups: dict[tuple[str, str, str], list[SignaturePart]] = {}
    for each in receipt.signatures:
        mark = each.fingerprint or each.pubkey[:8]
        groups.setdefault((mark, sanitize(each.name or "", NAME), _whence(each)), []).append(each)
    return [
        Signer(mark, name, tuple(sorted(each.input for each in group)), whence, min(each.at for each in group))
        for (mark, name, whence), group in sorted(groups.items(), key=lambda each: min(one.at for one in each[1]))
    ]


def _whence(part: SignaturePart) -> str:
    if part.origin == "cosigner":
        return f"over {sanitize(part.via or 'a cosigner', NAME)}'s code"
    return "here" if part.origin == "here" else "in the PSBT from the beginning"


def numbers(values: Iterable[int]) -> str:
    """`0`, `0-2, 5`: ascending numbers, runs of three and more drawn together."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = []
    for run in runs:
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(value) for value in run]
    return ", ".join(parts)


def inputs_words(signer: Signer) -> str:
    """`input 0`, `inputs 0-2, 5`."""
    return f"input{'' if len(signer.inputs) == 1 else 's'} {numbers(signer.inputs)}"


def time_words(at: str) -> str:
    """`2026-11-22 15:12:32 UTC`."""
    return f"{at[:10]} {at[11:19]} UTC"


def letter_words(receipt: Receipt, part: LetterPart) -> str:
    """What a letter said, as far as the receipt knows."""
    words: list[str] = []
    if part.result is not None:
        words.append(part.result)
    if part.accepted is not None:
        words.append(f"{count(part.accepted, 'signature')} taken")
    if part.rejected:
        words.append(f"{part.rejected} not taken")
    words += [quote(text) for text in part.problems or ()]
    if part.reason:
        words.append(quote(part.reason, 500))
    if part.seen is not None:
        words.append(_SEEN[part.seen].format(whose="our" if part.sender == receipt.role else "their"))
    return "; ".join(words)


def decision_words(receipt: Receipt) -> list[str]:
    """What was found, approved and declined on this side: one sentence each."""
    words = []
    if receipt.review is not None:
        found = [sanitize(code, NAME) for code in (*receipt.review.errors, *receipt.review.warnings)]
        words.append(f"{time_words(receipt.review.at)}  reviewed: {', '.join(found) or 'no findings'}")
    if receipt.approval is not None:
        words.append(f"{time_words(receipt.approval.at)}  approved by {_APPROVERS[receipt.approval.by]}")
    if receipt.decline is not None:
        reason = f": {quote(receipt.decline.reason, 500)}" if receipt.decline.reason else ""
        words.append(f"{time_words(receipt.decline.at)}  declined by {_DECLINERS[receipt.decline.by]}{reason}")
    return words


def happening_words(receipt: Receipt, each: HappeningPart) -> str:
    """One line of the history."""
    what = _HAPPENED.get((receipt.role, each.what), sanitize(each.what, NAME))
    who = f" {sanitize(each.who, NAME)}" if each.who else " by ourselves" if what.endswith(":") else ""
    said = f": {sanitize(each.words, 600)}" if each.words else ""
    return f"{what}{who}{said}"


def paid_words(receipt: Receipt) -> str:
    """What it was about, in one line."""
    paid = [output.sats for output in receipt.outputs if output.kind == "payment"]
    words = f"{btc(sum(paid))} in {count(len(paid), 'payment')}"
    return words if receipt.fee_sats is None else f"{words} · {btc(receipt.fee_sats)} fee"


def wallet_words(receipt: Receipt) -> str:
    """`family · 2 of 3 · regtest`."""
    wallet = receipt.wallet
    if wallet is None:
        parts = ["no wallet"]
    elif wallet.name is None:
        parts = [f"wallet {wallet.id[:8]}, not on this machine"]
    else:
        parts = [sanitize(wallet.name, NAME)]
        parts += [sanitize(wallet.policy, NAME)] if wallet.policy else []
        parts += [] if wallet.known else ["not on this machine"]
    return " · ".join([*parts, receipt.network or "network not known"])
