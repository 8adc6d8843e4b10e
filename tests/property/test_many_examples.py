"""The property tests of the PSBT layer, of dying and of meeting again, with fifty times as many examples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.examples import FACTOR

HERE = Path(__file__).resolve().parent


@pytest.mark.long
def test_fifty_times_as_many_examples() -> None:
    meeting = HERE.parent / "unit" / "transport" / "test_deaths_while_looking.py"
    files = sorted(map(str, [*HERE.glob("test_psbt_*.py"), HERE / "test_ceremony_crashes.py", meeting]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *files],
        env={**os.environ, FACTOR: "50"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
