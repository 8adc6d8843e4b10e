"""Who has signed a PSBT and who may still sign it, in words for the commands on files; everything is sanitised here.

Whole reviews are in `report_text`, ceremonies in `status`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.render.sanitize import sanitize
from wormsig.review.report import named
from wormsig.review.words import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from wormsig.review.report import KeyView, Report, SignatureView

_LABEL_WIDTH = 80
_MOST_LABELS = 15
"""A wallet of ours has no more keys in one input; a hostile script can have a thousand."""


def signed_so_far(report: Report) -> str | None:
    """`Signed so far: [1f605c44] alice.`; how many inputs where it is not all of them. None when nobody has.

    Args:
        report: The review of the PSBT; only signatures that count are told.
    """
    inputs: dict[str, int] = {}
    for view in report.signatures:
        if view.valid:
            label = _label(view)
            inputs[label] = inputs.get(label, 0) + 1
    if not inputs:
        return None
    total = len(report.inputs)
    return f"Signed so far: {_listed(_with_inputs(label, number, total) for label, number in inputs.items())}."


def _label(view: KeyView | SignatureView) -> str:
    """`[fingerprint] name`, as far as they are known."""
    return named(view.fingerprint or view.pubkey[:8], view.name)


def _with_inputs(label: str, number: int, total: int) -> str:
    return label if number >= total else f"{label} ({number} of {count(total, 'input')})"


def still_needed(report: Report, missing: Mapping[int, int], signed: Mapping[int, Collection[str]]) -> str:
    """How many signatures are needed, and whose may come: `1 more signature needed. Not signed yet: [0eeb2283] bob.`.

    Args:
        report: The review, which has the keys of every input.
        missing: Input -> signatures that it still needs; at least one input.
        signed: Input -> public keys in hex that have signed it.
    """
    waiting: dict[str, None] = {}
    for view in report.inputs:
        if view.index in missing:
            have = signed.get(view.index, ())
            waiting.update({_label(key): None for key in view.keys if key.pubkey not in have})
    needed = f"{count(max(missing.values()), 'more signature')} needed"
    if len(missing) < len(report.inputs):
        needed += f", on {count(len(missing), 'input')} of {len(report.inputs)}"
    return f"{needed}. Not signed yet: {_listed(waiting)}." if waiting else f"{needed}."


def _listed(labels: Iterable[str]) -> str:
    shown = [sanitize(label, _LABEL_WIDTH) for label in labels]
    more = f" and {len(shown) - _MOST_LABELS} more" if len(shown) > _MOST_LABELS else ""
    return ", ".join(shown[:_MOST_LABELS]) + more
