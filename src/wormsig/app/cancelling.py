"""Giving a ceremony up, in either role: whether that is still possible, who does it, and who hears of it.

What can be cancelled in which state, and what stays behind, stands in `ceremony`; how it is said, in the command line.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wormsig.app.resuming import report_of
from wormsig.app.send_plan import SendPlan
from wormsig.ceremony import coordinator, cosigner
from wormsig.errors import RefusedError, TransportError

if TYPE_CHECKING:
    from wormsig.app.session import Session
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.journal.store import Journal
    from wormsig.wallet.registry import Registry

LOOK = 0.1
"""Seconds between two looks whether the process that runs a ceremony has ended it."""


def cancel(session: Session[CoordinatorState, CoordinatorEvent], words: str) -> CoordinatorState:
    """Give up a coordinator's ceremony that no other process runs; one that was given up before stays so.

    Args:
        session: The ceremony.
        words: For those who are told.

    Raises:
        RefusedError: It was broadcast, or is being.
    """
    if session.state.phase is coordinator.Phase.CANCELLED:
        return session.state
    _check(session.state)
    return session.record(coordinator.Cancelled(words))


def await_cancelled(journal: Journal, ceremony: str, patience: float) -> CoordinatorState:
    """Wait until the process that runs a ceremony, and was asked to, has given it up.

    Args:
        journal: Where it is.
        ceremony: Its id in the journal.
        patience: Seconds.

    Raises:
        RefusedError: It was broadcast meanwhile, or is being.
        TransportError: The process did not answer.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        state = coordinator.replay(coordinator.decode(each.body) for each in journal.events(ceremony))
        if state.phase is coordinator.Phase.CANCELLED:
            return state
        _check(state)
        time.sleep(LOOK)
    raise TransportError(
        "the process that runs this ceremony did not answer", hint="end it with Ctrl-C, and cancel again"
    )


def _check(state: CoordinatorState) -> None:
    if coordinator.can_cancel(state):
        return
    broadcast = state.phase is coordinator.Phase.BROADCAST
    raise RefusedError(
        "the transaction was broadcast" if broadcast else "the transaction is being broadcast",
        hint="it cannot be called back; while it is not mined, a replacement with a higher fee can take its place",
    )


def plan_to_tell(state: CoordinatorState, registry: Registry, patience: float) -> SendPlan:
    """How the cosigners of a cancelled ceremony are told.

    Args:
        state: The ceremony.
        registry: Our wallets.
        patience: Seconds for those who are not connected.

    Raises:
        StorageError: The registry cannot be read.
    """
    label = report_of(state, registry.with_id(state.start.wallet)).labeller()
    return SendPlan(label=label, broadcast=False, linger=patience)


def withdraw(session: Session[CosignerState, CosignerEvent], words: str) -> CosignerState:
    """Give up a cosigner's side, as long as no signature has gone out; who declined before has nothing to add.

    Args:
        session: The ceremony.
        words: For the coordinator.

    Raises:
        RefusedError: It is too late; the hint says what can still be done.
    """
    state, ceremony = session.state, session.state.start.ceremony[:6]
    left = cosigner.left_behind(state)
    if cosigner.is_complete(state):
        hint = left or "nothing was signed here"
        raise RefusedError(f"ceremony {ceremony} is over, and cannot be cancelled on this side", hint=hint)
    if not cosigner.can_cancel(state):
        raise RefusedError(f"ceremony {ceremony} cannot be cancelled on this side", hint=left)
    if state.phase in (cosigner.Phase.DECLINED, cosigner.Phase.DECLINE_TOLD):
        return state
    return session.record(cosigner.Declined(words or "cancelled", "person"))


def can_be_told(state: CosignerState) -> bool:
    """Whether the coordinator does not know yet that this side was given up, and can be found."""
    return state.phase is cosigner.Phase.DECLINED and bool(state.link)
