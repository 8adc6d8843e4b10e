"""Many people, many ceremonies, many times over: through one real relay in a process of its own, and measured.

The drivers run in this process (`support.drivers`), so that what grows is what a ceremony leaves behind.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults

from support.drivers import Crowd, descriptors, living, resident, workers
from support.faults import Relay
from support.hostile import scene_of
from support.wormholes import sleep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEFT_BEHIND = ("Channel", "Pending", "Link", "Conversation", "Session", "Client")
NOTHING = {"nameplates": 0, "mailboxes": 0, "messages": 0}
MiB = 1 << 20


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    with Relay(tmp_path / "relay", db=True) as running:
        yield running


def url(relay: Relay) -> str:
    return f"ws://127.0.0.1:{relay.port}/v1"


async def many(crowd: Crowd, count: int) -> list[str]:
    """So many ceremonies at once."""
    txids: list[str] = await gatherResults([ensureDeferred(crowd.ceremony()) for _ in range(count)], consumeErrors=True)
    return txids


async def in_a_row(crowd: Crowd, count: int) -> None:
    for _ in range(count):
        await crowd.ceremony()


@pytest_twisted.ensureDeferred
async def test_twenty_cosigners_in_one_ceremony(relay: Relay, tmp_path: Path) -> None:
    scene = scene_of("wsh", threshold=20, count=20, salt="twenty")
    crowd = Crowd(scene, tmp_path / "crowd", url(relay))
    assert len(crowd.names) == 20
    await crowd.ceremony()
    await settled(relay)


@pytest_twisted.ensureDeferred
async def test_a_wallet_may_have_more_keys_than_a_ceremony_has_cosigners(relay: Relay, tmp_path: Path) -> None:
    crowd = Crowd(scene_of("tr", threshold=2, count=25, salt="many keys"), tmp_path / "crowd", url(relay))
    await crowd.ceremony(crowd.names[-2:])


async def few_left(before: dict[str, int]) -> None:
    """No object stays for a ceremony that is over; the last one's may still stand on somebody's stack.

    The relay may have let go of a mailbox before our end of the line heard of it: that takes a moment.
    """
    end = time.monotonic() + 10
    while any((after := living(*LEFT_BEHIND))[name] > before[name] + 4 for name in LEFT_BEHIND):
        assert time.monotonic() < end, (before, after)
        await sleep(0.2)


async def settled(relay: Relay) -> None:
    """The relay holds nothing any more: every code was released and every mailbox closed."""
    end = time.monotonic() + 10
    while relay.kept() != NOTHING and time.monotonic() < end:
        await sleep(0.1)
    assert relay.kept() == NOTHING


async def at_once(relay: Relay, folder: Path, count: int) -> tuple[float, float]:
    """So many ceremonies of three cosigners; bytes of memory that each took at the peak, here and at the relay."""
    there = living(*LEFT_BEHIND)  # of other tests of this process
    crowd = Crowd(scene_of("wsh", threshold=3, count=3, salt="three"), folder, url(relay))
    await crowd.ceremony()  # loads and derives what the rest share
    before, relay_before = resident(), resident(relay.pid)
    txids = await many(crowd, count)
    assert len(set(txids)) == count
    grown = (resident(peak=True) - before) / count, (resident(relay.pid, peak=True) - relay_before) / count
    await settled(relay)
    await few_left(there)
    return grown


@pytest_twisted.ensureDeferred
async def test_five_ceremonies_at_once_through_one_relay(relay: Relay, tmp_path: Path) -> None:
    await at_once(relay, tmp_path / "crowd", 5)


@pytest.mark.long
@pytest_twisted.ensureDeferred
async def test_fifty_ceremonies_at_once_through_one_relay(relay: Relay, tmp_path: Path) -> None:
    here, there = await at_once(relay, tmp_path / "crowd", 50)
    assert here < 4 * MiB  # six ends of wormholes
    assert there < 1 * MiB


@pytest_twisted.ensureDeferred
async def test_twenty_ceremonies_in_a_row_leave_nothing_behind(relay: Relay, tmp_path: Path) -> None:
    await row(relay, tmp_path / "crowd", 20)


@pytest.mark.long
@pytest_twisted.ensureDeferred
async def test_a_thousand_ceremonies_in_a_row_leave_nothing_behind(relay: Relay, tmp_path: Path) -> None:
    here, there = await row(relay, tmp_path / "crowd", 1_000)
    assert here < 8 * 1024
    assert there < 8 * 1024


async def row(relay: Relay, folder: Path, count: int) -> tuple[float, float]:
    """One ceremony after another; how much memory each one left, here and at the relay, after the first quarter."""
    crowd = Crowd(scene_of("wsh", threshold=2, count=2, salt="two"), folder, url(relay))
    await in_a_row(crowd, count // 4)
    await settled(relay)
    objects, files = living(*LEFT_BEHIND), descriptors()
    before, relay_before = resident(), resident(relay.pid)
    await in_a_row(crowd, count)
    await settled(relay)
    await few_left(objects)
    assert descriptors() <= files + 2
    assert not workers()
    return (resident() - before) / count, (resident(relay.pid) - relay_before) / count
