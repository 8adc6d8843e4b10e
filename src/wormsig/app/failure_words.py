"""What cosigners are told of a ceremony that failed: nothing of this machine, and of each other only what was agreed.

The words go over the wire and are not in the journal: a receipt finds out which of them it was by the letter's digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.ceremony.coordinator_state import Stage
from wormsig.psbt.limits import MAX_TEXT

if TYPE_CHECKING:
    from wormsig.ceremony.coordinator import CoordinatorState

NODE = "the coordinator's node did not take the transaction"
OURS = "something failed on the coordinator's side"


def too_few(state: CoordinatorState) -> str:
    """Too few signatures; who declined and why, where that is told to everybody."""
    reasons = [
        f"{each.name} declined: {each.note}" if each.note else f"{each.name} declined"
        for each in state.cosigners.values()
        if each.stage is Stage.DECLINED and state.start.tell_reasons
    ]
    return "; ".join(["not enough signatures came together", *reasons])[:MAX_TEXT]


def failure_words(state: CoordinatorState) -> tuple[str, ...]:
    """Every reason that a coordinator in this state may have given for a failure."""
    return too_few(state), NODE, OURS
