"""The shared corpus: its tests are collected only where its variable is set; a missing folder then fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

collect_ignore = [] if os.environ.get("WORMSIG_CORPUS") else ["test_corpus.py"]


@pytest.fixture(scope="session")
def corpus() -> Path:
    folder = Path(os.environ["WORMSIG_CORPUS"])
    assert folder.is_dir(), "WORMSIG_CORPUS is set to a folder that does not exist"
    return folder
