"""Events in one line each, as a receipt's history has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.receipt import HappeningPart
from wormsig.psbt.limits import MAX_TEXT

if TYPE_CHECKING:
    from wormsig.ceremony.coordinator import CoordinatorEvent
    from wormsig.ceremony.cosigner import CosignerEvent


def happening(at: str, event: CoordinatorEvent | CosignerEvent) -> HappeningPart:
    """One event.

    Args:
        at: When, as a receipt writes it.
        event: What happened.

    Returns:
        The line: the event's name, whom it is about, and its words.
    """
    who = getattr(event, "cosigner", None)
    words = "; ".join(text for text in _words(event) if text)
    what = str(type(event).__struct_config__.tag)
    return HappeningPart(at, what, None if who is None else who[:MAX_TEXT], words[:MAX_TEXT] or None)


def _words(event: CoordinatorEvent | CosignerEvent) -> tuple[str, ...]:
    if isinstance(event, coordinator.Contributed | coordinator.NothingNew | cosigner.Judged):
        return _verdict(event)
    if isinstance(event, cosigner.Reviewed):
        return (*event.errors, *event.warnings) or ("no findings",)
    if isinstance(event, cosigner.OutcomeReceived):
        return (event.result, event.reason, "not what was approved here" if event.lie else "")
    named = (getattr(event, name, "") for name in _NAMED)
    return tuple(str(value) for value in named if value)


_NAMED = ("by", "why", "problem", "reason", "result", "seen")
"""The fields of events that are words for people."""


def _verdict(event: coordinator.Contributed | coordinator.NothingNew | cosigner.Judged) -> tuple[str, ...]:
    """What was taken of an answer, and why not all of it."""
    if isinstance(event, coordinator.Contributed):
        taken = len(event.signatures)
    else:
        taken = event.accepted if isinstance(event, cosigner.Judged) else 0
    refused = (f"{_signatures(event.rejected)} not taken",) if event.rejected else ()
    return (f"{_signatures(taken)} taken", *refused, *event.problems)


def _signatures(count: int) -> str:
    return f"{count or 'no'} signature{'' if count == 1 else 's'}"
