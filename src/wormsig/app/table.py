"""What the conversations of one ceremony share: its state, its end, and who watches.

A conversation that fails leaves its reason here and touches no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.app.threads import Changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.app.send_plan import SendPlan, Watcher
    from wormsig.app.session import Session
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState, Cosigner
    from wormsig.ceremony.messages import Result
    from wormsig.ceremony.status import Status
    from wormsig.journal.secrets import ResumeSecrets
    from wormsig.transport.channel import Channel


class Table:
    """What the conversations of one ceremony share.

    Args:
        plan: How it is run.
        session: The ceremony.
        watcher: Who watches.
        links: Gives the secrets by which one cosigner is found again.

    Attributes:
        changed: Fires whenever something was recorded.
        over: Fires once, when there is an outcome to tell.
        ending: The outcome's result and words, once there is one.
        failures: By cosigner: why nothing more is to be expected from a conversation; a bug of ours is kept here too.
        in_touch: Who is connected, and how.
        patient: Whether who has to be told the outcome, and is not connected, is still waited for.
    """

    def __init__(
        self,
        plan: SendPlan,
        session: Session[CoordinatorState, CoordinatorEvent],
        watcher: Watcher,
        links: Callable[[str], ResumeSecrets],
    ) -> None:
        self._session = session
        self.plan = plan
        self.watch = watcher
        self.links = links
        self.changed = Changed()
        self.over = Changed()
        self.ending: tuple[Result, str] | None = None
        self.failures: dict[str, Exception] = {}
        self.in_touch: dict[str, Channel] = {}
        self.patient = plan.linger > 0

    @property
    def state(self) -> CoordinatorState:
        """The ceremony's state."""
        return self._session.state

    def cosigner(self, name: str) -> Cosigner:
        """What is known of one cosigner."""
        return self._session.state.cosigners[name]

    def commit(self, *events: CoordinatorEvent) -> None:
        """Commit events to the journal and move the state; `announce` follows. Raises as `Session.record`."""
        self._session.record(*events)

    def announce(self, *told: Status) -> None:
        """Tell what happened, and only then wake whoever waits for it."""
        for each in told:
            self.watch.status(each)
        self.changed.fire()

    def record(self, *events: CoordinatorEvent, tell: Callable[[], Status] | None = None) -> None:
        """Commit events, and announce them.

        Args:
            events: What happened.
            tell: Gives what is told about it, from the new state.

        Raises:
            StorageError: They cannot be written, or cannot happen now; nothing was told.
        """
        self.commit(*events)
        self.announce(*(() if tell is None else (tell(),)))

    def end(self, result: Result, words: str) -> None:
        """There is an outcome; the first one stands."""
        if self.ending is None:
            self.ending = (result, words)
            self.over.fire()
