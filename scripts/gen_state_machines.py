#!/usr/bin/env python3
"""Write docs/state-machines.md from the machines' transition tables; `--check` compares only."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_args

from generated import settle, table
from wormsig.ceremony import coordinator, cosigner

if TYPE_CHECKING:
    import enum
    from collections.abc import Iterable, Mapping

    from wormsig.ceremony.events import Event

INTRO = """# State machines

Both sides of a ceremony are event-sourced machines without I/O ([decision 0006](adr/0006-sans-io-event-sourced.md)). An
event is written to the journal before anybody acts on it ([0007](adr/0007-journal-before-acting.md)), and the state is
what all events so far lead to. What is drawn here is all that can happen: an event that is not in a machine's table
means a damaged journal.

An arrow bears the events that lead along it. Events that change nothing about where a side stands are listed below each
drawing; they are kept all the same (a code that was used up is counted, a signature that comes late is added).

"""

PHASES = """## The ceremony, as the coordinator sees it

Events that name a cosigner move that cosigner (next drawing) and can happen in every phase but `new`. So can
`Contributed` without a cosigner: a signature of the coordinator's own, or from a file.

"""

STAGES = """## One cosigner, as the coordinator sees them

Who has signed stays so, whatever they send afterwards. Everybody else may come back with a new code. Whose signatures
came in is decided by their keys, never by whose code brought them.

"""

SIDE = """## A cosigner's side

The coordinator may end the ceremony at any time. When it comes again, over a new code, who declined or was told of a
failure may think again, and who has signed sends the very same signature: a second one is never asked for.

"""

EVENTS = """## The events

"""


def name(state: enum.StrEnum) -> str:
    """A state's name as Mermaid takes it."""
    return state.value.replace("-", "_")


def moves(
    transitions: Mapping[tuple[Any, type[Event]], Any],
) -> tuple[dict[tuple[Any, Any], list[str]], dict[Any, list[str]]]:
    """A table's transitions, by what they do.

    Args:
        transitions: (state, event type) -> state.

    Returns:
        (before, after) -> the events that lead from one to the other; state -> the events that leave it as it is.
    """
    between: dict[tuple[Any, Any], list[str]] = {}
    staying: dict[Any, list[str]] = {}
    for (before, event), after in transitions.items():
        if before is after:
            staying.setdefault(before, []).append(event.__name__)
        else:
            between.setdefault((before, after), []).append(event.__name__)
    return between, staying


def drawing(first: enum.StrEnum, transitions: Mapping[tuple[Any, type[Event]], Any]) -> str:
    """A Mermaid drawing of a table, and a list of what it leaves out.

    Args:
        first: Where the machine begins.
        transitions: (state, event type) -> state.

    Returns:
        Markdown.
    """
    between, staying = moves(transitions)
    states = list(type(first))
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state.value}" as {name(state)}' for state in states if name(state) != state.value]
    lines.append(f"    [*] --> {name(first)}")
    for (before, after), events in sorted(between.items(), key=lambda item: [states.index(state) for state in item[0]]):
        lines.append(f"    {name(before)} --> {name(after)} : {', '.join(events)}")
    left = {before for before, _ in between}
    lines += [f"    {name(state)} --> [*]" for state in states if state not in left]
    rows = [
        (f"`{state.value}`", ", ".join(f"`{event}`" for event in staying[state]))
        for state in states
        if state in staying
    ]
    return "\n".join([*lines, "```", "", table(("stays", "through"), rows), ""])


def described(events: Iterable[type[Event]]) -> str:
    """A table of events with the first paragraph of their docstrings."""
    rows = []
    for event in events:
        text = (inspect.getdoc(event) or "").split("\n\n", 1)[0].replace("\n", " ")
        rows.append((f"`{event.__name__}`", text))
    return table(("event", "meaning"), rows)


def page() -> str:
    """The whole page."""
    return (
        INTRO
        + PHASES
        + drawing(coordinator.Phase.NEW, coordinator.PHASES)
        + STAGES
        + drawing(coordinator.Stage.WAITING, coordinator.STAGES)
        + SIDE
        + drawing(cosigner.Phase.NEW, cosigner.PHASES)
        + EVENTS
        + "Of the coordinator:\n\n"
        + described(get_args(coordinator.CoordinatorEvent))
        + "\nOf a cosigner's side:\n\n"
        + described(get_args(cosigner.CosignerEvent))
    )


if __name__ == "__main__":
    settle("state-machines.md", "gen_state_machines.py", page())
