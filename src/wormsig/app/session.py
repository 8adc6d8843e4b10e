"""A ceremony that is going on: its state, and the journal that it is rebuilt from.

`record` commits events to the disk before the state moves and before anybody acts on them; that order is what makes
a ceremony survive a crash.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.events import Event, encode_event
from wormsig.journal.store import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.journal.store import CeremonyRow, Journal

S = TypeVar("S")
E = TypeVar("E", bound=Event)


def now() -> int:
    """Unix time."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, E]):
    """One role's state machine, as far as a session needs it.

    Attributes:
        new: The state before the first event.
        evolve: (state, event) -> state.
        decode: A journal's body -> event.
        is_over: Whether nothing is pending in a state.
    """

    new: S
    evolve: Callable[[S, E], S]
    decode: Callable[[bytes], E]
    is_over: Callable[[S], bool]


COORDINATOR: Machine[coordinator.CoordinatorState, coordinator.CoordinatorEvent] = Machine(
    coordinator.CoordinatorState(), coordinator.evolve, coordinator.decode, coordinator.is_over
)
COSIGNER: Machine[cosigner.CosignerState, cosigner.CosignerEvent] = Machine(
    cosigner.CosignerState(), cosigner.evolve, cosigner.decode, cosigner.is_over
)


class Session(Generic[S, E]):
    """One ceremony of one role; `begin` starts it, `load` rebuilds it.

    Args:
        journal: Where its events go; the ceremony is locked for this process.
        ceremony: Its id in the journal.
        machine: The role's machine.
        events: What is in the journal already.
    """

    def __init__(self, journal: Journal, ceremony: str, machine: Machine[S, E], events: list[E]) -> None:
        self._journal = journal
        self._machine = machine
        self._seq = len(events)
        self.ceremony = ceremony
        self.state = machine.new
        for event in events:
            self.state = machine.evolve(self.state, event)

    @classmethod
    def begin(cls, journal: Journal, row: CeremonyRow, machine: Machine[S, E], *first: E) -> Session[S, E]:
        """Start a ceremony with its first events, committed together.

        Raises:
            StorageError: It cannot be written, or exists already.
        """
        journal.begin(row, [Record(*encode_event(event)) for event in first])
        return cls(journal, row.id, machine, list(first))

    @classmethod
    def load(cls, journal: Journal, ceremony: str, machine: Machine[S, E]) -> Session[S, E]:
        """Go on with a ceremony from its journal.

        Raises:
            StorageError: Another process holds it, or the journal cannot be read.
        """
        journal.lock(ceremony)
        return cls(journal, ceremony, machine, [machine.decode(r.body) for r in journal.events(ceremony)])

    def record(self, *events: E) -> S:
        """Commit events to the disk, then move the state.

        Returns:
            The new state.

        Raises:
            StorageError: They cannot be written; the state stays as it was.
        """
        state = self.state
        for event in events:
            state = self._machine.evolve(state, event)
        if events:
            records = [Record(*encode_event(event)) for event in events]
            ended = self._machine.is_over(state)
            self._seq = self._journal.append(self.ceremony, self._seq, now(), records, ended=ended)
            self.state = state
        return state
