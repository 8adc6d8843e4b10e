"""The tutorials work as they are written: their commands run, in three people's terminals, against real parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wormsig.node.regtest import find_bitcoind

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_a_tutorial_runs_as_it_is_written(page):
    path = f"{find_bitcoind().resolve().parent}:{os.environ['PATH']}"  # with bitcoin-cli beside it
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/record_tutorial.py", "--check", page],
        env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{page}: " in done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_every_output_in_a_tutorial_was_recorded(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "```text\n```" not in text
    assert "code-for-" not in text
