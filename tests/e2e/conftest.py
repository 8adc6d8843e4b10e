"""What the whole commands run in, made once per file: people who share a wallet (`world`), or a hostile `stage`.

A file says what it wants to be different by constants of its own: COINS of the wallet (0), and the LIMITS of everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.faults import Relay
from support.stage import Stage
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.node.regtest import RegtestNode


@pytest.fixture(scope="module")
def world(
    node: RegtestNode, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[World]:
    with World(node, tmp_path_factory.mktemp("world")) as running:
        for _ in range(getattr(request.module, "COINS", 0)):
            running.fund()
        for person in running.people.values():
            person.env["WORMSIG_LIMITS"] = getattr(request.module, "LIMITS", "")
        yield running


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay in a process of its own that keeps its mailboxes."""
    with Relay(tmp_path_factory.mktemp("relay"), db=True) as running:
        yield running
