"""What a running ceremony tells, as lines for a person and as objects for a script. Pure.

Words from a peer or a node are quoted, escaped and cut to length (THREATS C17); names of cosigners are ours.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any, TypeAlias, assert_never

import msgspec

from wormsig.ceremony import status as told
from wormsig.render.sanitize import quote, sanitize

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")
_PROGRESS = {
    "received": "has the PSBT",
    "reviewing": "is reviewing",
    "signing": "is signing",
    "waiting": "is waiting for the outcome",
}
_RESULTS = {
    "broadcast": "says that it was broadcast",
    "final": "says that it is complete and kept, not broadcast yet",
    "not-needed": "thanks you: your signature is not needed, enough others signed",
    "cancelled": "cancelled",
    "failed": "says that it failed",
}
_TOLD = {
    "broadcast": "was told: broadcast",
    "final": "was told: complete, and not broadcast yet",
    "cancelled": "was told: cancelled",
    "failed": "was told: it failed",
}
_ANSWERED = {
    "declined": "declined before",
    "nothing-new": "brought nothing new before",
    "misbehaved": "answered wrongly before",
}
_SEEN = {
    "mempool": "your node has it in its mempool",
    "block": "your node has it in a block",
    "unknown": "your node does not know it (yet)",
    "no-node": "you have no node here to check that with",
}

LEFT = "the other side left"
"""How the transport begins to tell of a goodbye; what follows are the words of the other side."""

_COLUMNS = 80
_INDENT = 15
"""Where the words about a cosigner begin; what does not fit on their line goes on there."""

_WORDS = 300
"""Characters of somebody else's words that are shown."""

# A status that stands in none of the three, but CodeReady, is a type error here.
_OfConnection: TypeAlias = (
    told.CodeFailed | told.PeerConnected | told.PeerLost | told.PsbtDelivered | told.PeerProgress
    | told.ConnectionNotice | told.RelayChosen | told.RelayPaused
)  # fmt: skip
_OfOurs: TypeAlias = (
    told.Joined | told.PsbtReceived | told.SignedBefore | told.ApprovedBefore | told.AnswerSent | told.DeclineSent
    | told.AnswerJudged | told.OutcomeSeen | told.CoordinatorGone | told.Rejoining | told.Rejoined
)  # fmt: skip
_OfCeremony: TypeAlias = (
    told.Started | told.SignedHere | told.SignaturesTaken | told.AnswerRefused
    | told.PeerDeclined | told.ThresholdReached | told.NodeAccepts | told.Broadcast | told.OutcomeDelivered
    | told.StillToTell | told.MayReturn
)  # fmt: skip


def status_object(status: told.Status) -> dict[str, Any]:
    """A status as the object that `--json` prints.

    Args:
        status: What happened.

    Returns:
        `event`, the class's name in lower case with dashes; then the fields of the class, as they are.
    """
    name = _WORD_START.sub("-", type(status).__name__).lower()
    return {"event": name, **msgspec.structs.asdict(status)}


def status_line(status: told.Status) -> str:
    """A status for a person.

    Args:
        status: What happened.

    Returns:
        One line or a few, of printable text, each of at most 80 columns: a terminal would break a longer one where a
        stranger's words could then look like a line of ours. Only a code is never broken.
    """
    if isinstance(status, told.CodeReady):
        return _of(status.cosigner, f"{'new code: ' if status.replaces else ''}{sanitize(status.code)}")
    return "\n".join(_fold(line) for line in _text(status).split("\n"))


def _fold(line: str) -> str:
    """A line in 80 columns; its rest is indented further than any line of ours begins."""
    indent = _INDENT if line.startswith("  ") else 2
    return textwrap.fill(
        line, _COLUMNS, subsequent_indent=" " * indent, break_on_hyphens=False, replace_whitespace=False
    )


def _text(status: _OfConnection | _OfOurs | _OfCeremony) -> str:
    if isinstance(status, _OfConnection):
        return _about_connection(status)
    if isinstance(status, _OfOurs):
        return _about_us(status)
    return _about_ceremony(status)


def _said(text: str) -> str:
    return quote(text, _WORDS)


def _left(why: str) -> str | None:
    """What somebody said who left; None of who is gone without having left."""
    if why == LEFT:
        return "left"
    return f"left: {_said(why.removeprefix(f'{LEFT}: '))}" if why.startswith(f"{LEFT}: ") else None


def _of(cosigner: str, text: str) -> str:
    return f"  {sanitize(cosigner, 40):<12} {text}"


def _about_connection(status: _OfConnection) -> str:  # noqa: PLR0911  one line per status
    match status:
        case told.CodeFailed(cosigner=who, why=why, count=count):
            times = f" (number {count})" if count > 1 else ""
            return _of(who, f"code used up{times}: {sanitize(why, _WORDS)}")
        case told.PeerConnected(cosigner=who, verifier=words):
            return _of(who, f"connected · verifier: {sanitize(words)}")
        case told.PeerLost(cosigner=who, why=why):
            return _of(who, _left(why) or f"lost: {sanitize(why, _WORDS)}")
        case told.PsbtDelivered(cosigner=who):
            return _of(who, "has the PSBT")
        case told.PeerProgress(cosigner=who, state=state):
            return _of(who, _PROGRESS.get(state, sanitize(state, 40)))
        case told.ConnectionNotice(cosigner=who, notice=notice):
            if who is None:
                return f"{sanitize(notice[:1].upper() + notice[1:])}."
            return _of(who, sanitize(notice.removeprefix(f"{who} ")))
        case told.RelayChosen(relay=relay):
            return f"The relay {sanitize(relay, 200)} is in use; the others need it in their --relay-url too."
        case told.RelayPaused(relay=relay, seconds=seconds):
            return f"The relay {sanitize(relay, 200)} keeps forgetting codes; the next one comes in {seconds} s."
        case _:
            assert_never(status)


def _about_ceremony(status: _OfCeremony) -> str:  # noqa: C901, PLR0911, PLR0912  one line per status
    match status:
        case told.Started(ceremony=ceremony, threshold=need, have=have, awaited=awaited):
            whom = f" Waits for {', '.join(sanitize(name, 40) for name in awaited)}." if awaited else ""
            return f"Ceremony {sanitize(ceremony[:6])}: {have} of {need} signatures.{whom}"
        case told.MayReturn(cosigner=who, stage=stage, seconds=seconds):
            before = _ANSWERED.get(stage, "answered before")
            return _of(who, f"{before}; waits {seconds:.0f} s for them to come back with `wormsig resume`")
        case told.SignedHere(signer=signer, have=have, need=need):
            return f"Signed with {sanitize(signer, 80)}: {have} of {need} signatures."
        case told.SignaturesTaken():
            return _taken(status)
        case told.AnswerRefused(cosigner=who, problem=problem):
            return _of(who, f"answer refused, nothing taken: {_said(problem)}")
        case told.PeerDeclined(cosigner=who, reason=reason):
            return _of(who, f"declined: {_said(reason)}")
        case told.ThresholdReached(have=have, need=need, vsize=vsize):
            return f"{have} of {need} signatures, all verified. The transaction is final ({vsize} vB)."
        case told.NodeAccepts(vsize=vsize):
            return f"The node accepts the transaction ({vsize} vB)."
        case told.Broadcast():
            return "Broadcast; the node has it."
        case told.OutcomeDelivered(cosigner=who, result=result):
            if result == "not-needed":
                return _of(who, f"late: {sanitize(who, 40)}'s signature was not needed, thanked and told")
            return _of(who, _TOLD.get(result, f"was told: {sanitize(result, 40)}"))
        case told.StillToTell(cosigner=who, seconds=seconds):
            return _of(who, f"does not know the outcome yet; waits {seconds:.0f} s for them to come back")
        case _:
            assert_never(status)


def _taken(status: told.SignaturesTaken) -> str:
    who = status.cosigner
    if status.new:
        lines = [_of(who, f"signed: {', '.join(sanitize(key, 60) for key in status.keys)}, verified")]
    else:
        lines = [_of(who, "brought nothing new: these signatures were there already")]
    lines += [_of("", f"not taken: {sanitize(problem, _WORDS)}") for problem in status.problems]
    lines += [_of("", f"came back changed, ignored: {sanitize(field, 200)}") for field in status.ignored]
    lines.append(f"  {status.have} of {status.need} signatures.")
    return "\n".join(lines)


def _about_us(status: _OfOurs) -> str:  # noqa: C901, PLR0911  one line per status
    match status:
        case told.Joined(verifier=words):
            return f"connected · verifier: {sanitize(words)} (compare when asked to)"
        case told.PsbtReceived(ceremony=ceremony, size=size):
            return f"The PSBT is here ({size} bytes, ceremony {sanitize(ceremony[:6])})."
        case told.SignedBefore(ceremony=ceremony):
            return f"Signed here before, in ceremony {sanitize(ceremony[:6])}; the same signatures are sent again."
        case told.ApprovedBefore(ceremony=ceremony):
            return (
                f"Approved here before, in ceremony {sanitize(ceremony[:6])}, and stopped before a signature was kept."
                "\nIt is asked for once more: a device may have given it already, for the same transaction."
            )
        case told.AnswerSent(ceremony=ceremony):
            safe = f"\n  Ctrl-C is safe: `wormsig resume {sanitize(ceremony[:6])}` goes on." if ceremony else ""
            return f"Signed and sent; the coordinator has it. Waiting for the outcome …{safe}"
        case told.DeclineSent(reason=reason):
            return f"The coordinator was told: {_said(reason)}"
        case told.AnswerJudged(accepted=accepted, rejected=rejected, problems=problems):
            lines = [f"The coordinator took {accepted} signature{'' if accepted == 1 else 's'}."]
            lines += [f"  {rejected} not taken"] if rejected else []
            return "\n".join([*lines, *(f"  {_said(problem)}" for problem in problems)])
        case told.OutcomeSeen():
            return _outcome(status)
        case told.CoordinatorGone(why=why):
            gone = _left(why) or f"is gone: {sanitize(why, _WORDS)}"
            return f"The coordinator {gone}. Nothing is lost: what is signed here is kept."
        case told.Rejoining(ceremony=ceremony):
            return (
                "Waiting for the coordinator to come back. Ctrl-C is safe:"
                f" `wormsig resume {sanitize(ceremony[:6])}` goes on."
            )
        case told.Rejoined():
            return "The coordinator is back."
        case _:
            assert_never(status)


def _outcome(status: told.OutcomeSeen) -> str:
    text = f"The coordinator {_RESULTS.get(status.result, 'says ' + sanitize(status.result, 40))}"
    if status.reason:
        text += f": {_said(status.reason)}"
    if status.lie:
        return f"{text}.\nBut what came with it is not the transaction that was approved here."
    if status.txid is None:
        return text + "."
    if status.result in ("broadcast", "not-needed"):
        text += f"; {_SEEN.get(status.seen, _SEEN['unknown'])}"
    later = "\nThis ends here: whether it is broadcast later a node knows, or the coordinator."
    return f"{text}:\n  txid {sanitize(status.txid)}{later if status.result == 'final' else ''}"
