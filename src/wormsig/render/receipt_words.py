"""The words that a receipt's text and page have in common. Pure; what comes from outside is escaped here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.render.sanitize import quote, sanitize
from wormsig.review.words import btc, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wormsig.ceremony.receipt import HappeningPart, Heads, LetterPart, PairPart, Receipt, SignaturePart

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
_OUTCOMES = {
    "broadcast": "broadcast",
    "final": "complete, not broadcast yet",
    "not-needed": "not needed, enough others signed",
    "cancelled": "cancelled",
    "failed": "failed",
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
    ("cosigner", "farewell-told"): "said goodbye to the coordinator",
}
_DECIDERS = {"person": "a person", "unattended": "a script (-y)", "policy": "a policy", "review": "the review"}
_TELLS_OUTCOME = ("outcome-told", "outcome-received")


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


def letters_words(receipt: Receipt, pair: PairPart) -> Iterator[tuple[LetterPart, str]]:
    """Every letter of a pair, and what it said, as far as the receipt knows."""
    happened = {(each.at, each.who): _first(each.words)[0] for each in receipt.history if each.what in _TELLS_OUTCOME}
    who, outcome = None if receipt.role == "cosigner" else pair.name, ""
    for part in pair.letters:
        if part.kind == "outcome":  # the history knows the result also where the letter's digest could not be found
            outcome = part.result or happened.get((part.at, who), "")
        yield part, _letter_words(receipt, part, outcome)


def _letter_words(receipt: Receipt, part: LetterPart, outcome: str) -> str:
    words: list[str] = []
    if part.kind == "outcome" and outcome:
        words.append(_OUTCOMES.get(outcome, sanitize(outcome, NAME)))
    if part.accepted is not None:
        words.append(f"{count(part.accepted, 'signature')} taken")
    if part.rejected:
        words.append(f"{part.rejected} not taken")
    words += [quote(text) for text in part.problems or ()]
    if part.reason:
        words.append(quote(part.reason, 500))
    if part.seen is not None:
        words.append(_seen_words(receipt, part.seen, outcome, ours=part.sender == receipt.role))
    return "; ".join(words)


def _seen_words(receipt: Receipt, seen: str, outcome: str, *, ours: bool) -> str:
    """What a node said after an outcome. `no-node` is also what goes over the wire where nothing was looked for."""
    if seen == "no-node" and outcome in ("failed", "cancelled"):
        return "there was no transaction to look for"
    if seen == "no-node" and receipt.role == "cosigner" and receipt.final is None:
        return "nothing was looked for"
    return _SEEN[seen].format(whose="our" if ours else "their")


def decision_words(receipt: Receipt) -> list[str]:
    """What was found, approved and declined on this side: one sentence each."""
    words = []
    if receipt.review is not None:
        found = [sanitize(code, NAME) for code in (*receipt.review.errors, *receipt.review.warnings)]
        words.append(f"{time_words(receipt.review.at)}  reviewed: {', '.join(found) or 'no findings'}")
    if receipt.approval is not None:
        # A coordinator's command may have asked nobody: whoever ran it sent the PSBT to be signed.
        verb = "approved" if receipt.role == "cosigner" else "sent to be signed"
        words.append(f"{time_words(receipt.approval.at)}  {verb} by {_DECIDERS[receipt.approval.by]}")
    if receipt.decline is not None:
        reason = f": {quote(receipt.decline.reason, 500)}" if receipt.decline.reason else ""
        words.append(f"{time_words(receipt.decline.at)}  declined by {_DECIDERS[receipt.decline.by]}{reason}")
    return words


def history_words(receipt: Receipt) -> Iterator[tuple[str, str]]:
    """The history: when, and what happened in one line."""
    outcomes: dict[str | None, str] = {}
    for each in receipt.history:
        if each.what in _TELLS_OUTCOME:
            outcomes[each.who] = _first(each.words)[0]
        yield each.at, happening_words(receipt, each, outcomes.get(each.who, ""))


def happening_words(receipt: Receipt, each: HappeningPart, outcome: str = "") -> str:
    """One line of the history; `outcome` is what was told before it."""
    what = _HAPPENED.get((receipt.role, each.what), sanitize(each.what, NAME))
    who = f" {sanitize(each.who, NAME)}" if each.who else " by ourselves" if what.endswith(":") else ""
    return f"{what}{who}{_happening_said(receipt, each, outcome)}"


def _happening_said(receipt: Receipt, each: HappeningPart, outcome: str) -> str:
    first, rest = _first(each.words)
    more = f": {sanitize(rest, 600)}" if rest else ""
    if each.what == "proposed" and first in _DECIDERS:
        return f"; sent to be signed by {_DECIDERS[first]}{more}"
    if receipt.role == "cosigner" and each.what in ("approved", "declined") and first in _DECIDERS:
        return f" by {_DECIDERS[first]}{more}"
    if each.what in _TELLS_OUTCOME and first in _OUTCOMES:
        return f": {_OUTCOMES[first]}{more}"
    if each.what in ("farewell-told", "farewell-received") and first in _SEEN:
        return f": {_seen_words(receipt, first, outcome, ours=receipt.role == 'cosigner')}"
    return f": {sanitize(each.words, 600)}" if each.words else ""


def _first(words: str | None) -> tuple[str, str]:
    """The first of an event's words, which may be one of ours, and the rest."""
    first, _, rest = (words or "").partition("; ")
    return first, rest


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
