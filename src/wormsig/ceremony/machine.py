"""What the machines of both roles have alike, so that one session can run either; nothing of what they decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from wormsig.ceremony.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.ceremony.messages import Role

S = TypeVar("S")
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, E]):
    """One role's state machine, as far as a session needs it.

    Attributes:
        role: The role, as the journal names it.
        new: The state before the first event.
        evolve: (state, event) -> state.
        decode: A journal's body -> event.
        is_over: Whether a ceremony's fate is settled in a state.
    """

    role: Role
    new: S
    evolve: Callable[[S, E], S]
    decode: Callable[[bytes], E]
    is_over: Callable[[S], bool]
