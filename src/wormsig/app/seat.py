"""What the parts of a cosigner's side share: the ceremony, who watches, and word of whatever changes.

`deciding` reviews and signs, `linking` talks with the coordinator; each goes on without the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.app.threads import Changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.app.receive_plan import ReceivePlan, Watcher
    from wormsig.app.session import Session
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.ceremony.messages import ProgressState


class Seat:
    """A cosigner's place in one ceremony.

    Args:
        plan: How to receive.
        session: The ceremony.
        watcher: Who watches and answers questions.

    Attributes:
        changed: Fires whenever something was recorded, or something else is being done.
        doing: What the coordinator is told that happens here.
        stop_work: Ends the work here at once: there is an outcome, and nothing may be decided after it.
    """

    def __init__(self, plan: ReceivePlan, session: Session[CosignerState, CosignerEvent], watcher: Watcher) -> None:
        self._session = session
        self.plan = plan
        self.watch = watcher
        self.changed = Changed()
        self.doing: ProgressState = "received"
        self.stop_work: Callable[[], None] = lambda: None

    @property
    def state(self) -> CosignerState:
        """The ceremony's state."""
        return self._session.state

    def record(self, *events: CosignerEvent) -> None:
        """Commit events to the journal, move the state, and wake whoever waits. Raises as `Session.record`."""
        self._session.record(*events)
        self.changed.fire()

    def does(self, what: ProgressState) -> None:
        """Something else is being done here now."""
        self.doing = what
        self.changed.fire()
