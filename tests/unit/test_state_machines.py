"""docs/state-machines.md says exactly what the machines' tables say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from wormsig.ceremony import coordinator, cosigner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.ceremony.events import Event

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/state-machines.md").read_text(encoding="utf-8")
PARTS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
TABLES: list[tuple[str, Mapping[tuple[Any, type[Event]], Any]]] = [
    ("The ceremony", coordinator.PHASES),
    ("One cosigner", coordinator.STAGES),
    ("A cosigner's side", cosigner.PHASES),
]


def drawn(part: str) -> set[tuple[str, str, str]]:
    """Before, event and after, read off a drawing and the list below it."""
    found = set()
    for before, after, events in re.findall(r"^    (\w+) --> (\w+) : (.+)$", part, flags=re.MULTILINE):
        found |= {(before.replace("_", "-"), event, after.replace("_", "-")) for event in events.split(", ")}
    for state, events in re.findall(r"^\| `([\w-]+)` \| (`.+`) \|$", part, flags=re.MULTILINE):
        found |= {(state, event.strip("`"), state) for event in events.split(", ")}
    return found


@pytest.mark.parametrize(("heading", "table"), TABLES, ids=[heading for heading, _ in TABLES])
def test_every_transition_is_drawn_and_no_other(heading: str, table: Mapping[tuple[Any, type[Event]], Any]) -> None:
    (part,) = (part for part in PARTS if part.startswith(heading))
    assert drawn(part) == {(str(before), event.__name__, str(after)) for (before, event), after in table.items()}


def test_every_event_is_described() -> None:
    events = [*get_args(coordinator.CoordinatorEvent), *get_args(cosigner.CosignerEvent)]
    described = re.findall(r"^\| `(\w+)` \| .+\. \|$", PARTS[-1], flags=re.MULTILINE)
    assert described == [event.__name__ for event in events]


def test_the_page_is_in_step_with_the_tables() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/gen_state_machines.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
