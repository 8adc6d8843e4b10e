"""The ceremonies of a machine as a list for people, in 80 columns, and as objects for scripts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from wormsig.render.lines import Line, Style, wrapped
from wormsig.render.sanitize import quote, sanitize
from wormsig.review import words

if TYPE_CHECKING:
    from wormsig.ceremony.summary import Summary, Waiting

SHORT = 6
"""Digits of an id that are shown; `resume` takes four."""

_INDENT = " " * 8
_NAME = 40
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))

_STAGES = {
    "waiting": "has not come yet",
    "connected": "came, and has no PSBT yet",
    "offered": "has the PSBT",
    "lost": "was here, and is gone",
    "nothing-new": "brought nothing new",
    "declined": "declined",
    "misbehaved": "answered wrongly",
    "signed": "signed",
}
_AWAITED = {
    "finalize": "enough signatures are there: it can be completed",
    "broadcast-decision": "waits for you: broadcast it, or not",
    "broadcast": "is to be broadcast",
    "decision": "waits for you: sign it, or decline",
    "signature": "approved here, and not signed yet",
    "to-send": "signed here; the coordinator does not have it yet",
    "outcome": "signed and sent; waits for the outcome",
    "to-decline": "declined here; the coordinator does not know it yet",
}
_LEFT_OUT = ("declined", "misbehaved", "nothing-new")
_PHASES = {
    "collecting": "signatures are missing, and nobody is asked for them",
    "kept": "complete, and kept: not broadcast",
    "decline-told": "declined",
    "over": "over",
}
_OUTCOMES = {
    "broadcast": "broadcast, as the coordinator says",
    "final": "complete, and not broadcast yet when you were told; a node knows whether it is now",
    "not-needed": "over: your signature was not needed",
    "cancelled": "cancelled by the coordinator",
    "failed": "failed on the coordinator's side",
}


def short_id(ident: str) -> str:
    """What a person types to name a ceremony: the first digits of its id, `-c` where it is a cosigner's."""
    return sanitize(ident[:SHORT], _NAME)


def summary_object(summary: Summary) -> dict[str, Any]:
    """A ceremony as the object that `status --json` prints; docs/howto/resume.md has its fields."""
    return {
        **structs.asdict(summary),
        "awaits": [structs.asdict(each) for each in summary.awaits],
        "cosigners": dict(summary.cosigners),
        "notes": dict(summary.notes),
        "resume": f"wormsig resume {summary.id}" if summary.open else None,
    }


def summary_lines(summary: Summary, now: int, *, alone: bool = True) -> list[Line]:
    """A ceremony for a person.

    Args:
        summary: The ceremony.
        now: Unix time.
        alone: No other ceremony has the same short id; else the whole one is shown.
    """
    ident = short_id(summary.id) if alone else sanitize(summary.id, _NAME)
    parts = [summary.role, sanitize(summary.wallet or "wallet not known", _NAME), sanitize(summary.network, _NAME)]
    parts += [words.btc(summary.sats)] if summary.sats is not None else []
    parts.append(age(now - summary.created))
    lines = wrapped(" · ".join(parts), first=f"{ident:<6}  ", rest=_INDENT, style=Style.STRONG)
    for text in (_signed(summary), _standing(summary)):
        lines += wrapped(text, first=_INDENT) if text else []
    for text in _left_out(summary):
        lines += wrapped(text, first=_INDENT)
    for each in summary.awaits:
        lines += wrapped(_awaited(each), first=_INDENT)
    if summary.process is not None:
        lines += wrapped(f"running now, in process {summary.process}", first=_INDENT)
    elif summary.phase == "unreadable":
        lines += wrapped(f"`wormsig receipt {ident}` says what is wrong", first=_INDENT)
    elif summary.open:
        lines += wrapped(f"go on: {_command(summary, ident)}", first=_INDENT)
    return lines


def _signed(summary: Summary) -> str:
    if summary.have is None:
        return ""
    who = f": {', '.join(sanitize(name, _NAME) for name in summary.signed)}" if summary.signed else ""
    return f"{summary.have} of {summary.need} signatures{who}"


def _left_out(summary: Summary) -> list[str]:
    """Who answered and did not sign, while signatures are missing; and what can be done when nobody else is asked."""
    if summary.phase != "collecting":
        return []
    notes, words_ = dict(summary.notes), []
    left_out = [(name, stage) for name, stage in summary.cosigners if stage in _LEFT_OUT]
    for name, stage in left_out:
        why = f": {quote(notes[name], 200)}" if notes.get(name) else ""
        words_.append(f"{sanitize(name, _NAME)} {_STAGES[stage]}{why}")
    if left_out and not summary.awaits:
        words_.append(
            "nobody else is asked; who did not sign may still do it: with `wormsig resume` on both sides, or with"
            f" a new code from here (--new-code {sanitize(left_out[0][0], _NAME)})"
        )
    return words_


def _standing(summary: Summary) -> str:
    """Where a ceremony stands that waits for nothing."""
    if summary.outcome is not None and not summary.awaits:
        return _OUTCOMES.get(summary.outcome, sanitize(summary.outcome, _NAME))
    if summary.open and summary.awaits:
        return ""
    if summary.awaits and summary.role == "cosigner":
        return ""
    if _left_out(summary):
        return ""
    return _PHASES.get(summary.phase, summary.phase)


def _awaited(waiting: Waiting) -> str:
    if waiting.who is None:
        return _AWAITED[waiting.what]
    who = sanitize(waiting.who, _NAME)
    if waiting.what == "to-tell":
        return f"{who} does not know the outcome yet"
    return f"waits for {who}: {_STAGES.get(waiting.stage or '', 'has not come yet')}"


def _command(summary: Summary, ident: str) -> str:
    needs_signer = any(each.what in ("decision", "signature") for each in summary.awaits)
    return f"wormsig resume {ident}{' --signer SPEC' if needs_signer else ''}"


def age(seconds: int) -> str:
    """How long ago something was: `3 hours ago`."""
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
