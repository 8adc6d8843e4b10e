"""A ceremony that is going on: its state, and the journal that it is rebuilt from.

`record` commits events to the disk before the state moves and before anybody acts on them; that order is what makes
a ceremony survive a crash.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic

from wormsig.ceremony.events import encode_event
from wormsig.ceremony.machine import E, S
from wormsig.errors import StorageError
from wormsig.journal.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wormsig.ceremony.machine import Machine
    from wormsig.journal.store import CeremonyRow, Journal


def now() -> int:
    """Unix time."""
    return int(time.time())


class Session(Generic[S, E]):
    """One ceremony of one role; `begin` starts it, `load` rebuilds it.

    Args:
        journal: Where its events go; the ceremony is locked for this process.
        ceremony: Its id in the journal.
        machine: The role's machine.
        events: What is in the journal already.

    Attributes:
        ceremony: Its id in the journal.
        state: The state after every event so far.

    Raises:
        StorageError: These events cannot have happened.
    """

    def __init__(self, journal: Journal, ceremony: str, machine: Machine[S, E], events: Sequence[E]) -> None:
        self._journal = journal
        self._machine = machine
        self._seq = len(events)
        self.ceremony = ceremony
        self.state = _evolved(machine, machine.new, events)

    @classmethod
    def begin(cls, journal: Journal, row: CeremonyRow, machine: Machine[S, E], *events: E) -> Session[S, E]:
        """Start a ceremony with its first events, which are committed together.

        Args:
            journal: Where they go.
            row: The ceremony.
            machine: The role's machine.
            events: At least one.

        Returns:
            The session, after them.

        Raises:
            StorageError: It cannot be written, exists already, or these events cannot be its first; nothing was
                written.
        """
        session = cls(journal, row.id, machine, events)
        journal.begin(row, [Record(*encode_event(event)) for event in events])
        return session

    @classmethod
    def load(cls, journal: Journal, ceremony: str, machine: Machine[S, E]) -> Session[S, E]:
        """Go on with a ceremony from its journal.

        Args:
            journal: Where its events are.
            ceremony: Its id in the journal.
            machine: The role's machine.

        Returns:
            The session, after all its events.

        Raises:
            StorageError: There is none of this role, another process holds it, or the journal cannot be read.
        """
        row = journal.row(ceremony)
        if row is None or row.role != machine.role:
            raise StorageError(f"there is no ceremony {ceremony[:6]} of a {machine.role} on this machine")
        journal.lock(ceremony)
        return cls(journal, ceremony, machine, [machine.decode(record.body) for record in journal.events(ceremony)])

    def asked_to_end(self) -> str | None:
        """Why another process of ours asked this one to end the ceremony; None when none did."""
        return self._journal.asked_to_end(self.ceremony)

    def record(self, *events: E) -> S:
        """Commit events to the disk, then move the state.

        Args:
            events: What happened; they are committed together.

        Returns:
            The new state.

        Raises:
            StorageError: They cannot be written, or cannot happen now; the state and the journal stay as they were.
        """
        if events:
            state = _evolved(self._machine, self.state, events)
            records = [Record(*encode_event(event)) for event in events]
            ended = self._machine.is_over(state)
            self._seq = self._journal.append(self.ceremony, self._seq, now(), records, ended=ended)
            self.state = state
        return self.state


def _evolved(machine: Machine[S, E], state: S, events: Iterable[E]) -> S:
    for event in events:
        state = machine.evolve(state, event)
    return state
