"""Shared vectors: their tests are collected only where their variable is set; a missing folder then fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import quick_btclib as _faster  # noqa: F401  these tests import wallets all the time

_NEEDS = {"test_corpus.py": "WORMSIG_CORPUS", "test_vectors.py": "WORMSIG_VECTORS"}

collect_ignore = [name for name, variable in _NEEDS.items() if not os.environ.get(variable)]


def _folder(variable: str) -> Path:
    folder = Path(os.environ[variable])
    assert folder.is_dir(), f"{variable} is set to a folder that does not exist"
    return folder


@pytest.fixture(scope="session")
def corpus() -> Path:
    return _folder("WORMSIG_CORPUS")


@pytest.fixture(scope="session")
def vectors() -> Path:
    return _folder("WORMSIG_VECTORS")
