"""Every property whose number of examples can be chosen, with many times as many examples as in every run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.examples import FACTOR

TESTS = Path(__file__).resolve().parents[1]
MEETING = TESTS / "unit/transport/test_deaths_while_looking.py"
"""Meeting again, over loopback: each example takes longer than one of pure functions."""


def pure() -> list[Path]:
    """The files that ask `support.examples`, but for meeting again."""
    found = [path for path in TESTS.rglob("test_*.py") if "support.examples import examples\n" in path.read_text()]
    assert len(found) > 10
    return sorted(path for path in found if path != MEETING)


@pytest.mark.long
@pytest.mark.parametrize(("files", "times"), [(pure(), 100), ([MEETING], 50)], ids=["pure", "meeting again"])
def test_many_times_as_many_examples(files: list[Path], times: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not long", *map(str, files)],
        env={**os.environ, FACTOR: str(times)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
