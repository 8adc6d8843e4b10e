"""What a power cut may leave of the journal's files, at every commit: it opens, and nothing acknowledged is missing.

SQLite writes frames to the write-ahead log and synchronises it at each commit; pages go to the database later. So a cut
leaves the database as of some checkpoint, possibly half-written, the log with at most a torn tail, and an index
(`-shm`) that means nothing. Each such state is made here from copies of the real files of a real ceremony.
"""

from __future__ import annotations

import itertools
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from support.ceremony import CEREMONY, setting
from wormsig.app.session import Session
from wormsig.ceremony import coordinator
from wormsig.ceremony.coordinator import MACHINE as COORDINATOR
from wormsig.errors import StorageError
from wormsig.journal.store import CeremonyRow, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState

NAME = "ceremonies.sqlite3"
ROW = CeremonyRow(CEREMONY, "coordinator", 1_795_000_000, None, "regtest", "family", "send to bob, carol")
PAGE = 4096


def ceremony() -> Iterator[tuple[CoordinatorEvent, ...]]:
    """The commits of a whole ceremony, in their order."""
    whole = setting()
    events = coordinator.begin(whole.proposed("bob", "carol"), whole.signed("alice"))
    yield events
    state = coordinator.replay(events)
    for step in (
        lambda _: (coordinator.Connected("bob", "ten words", "ab" * 32),),
        lambda _: (coordinator.Offered("bob", "01" * 32),),
        lambda _: (coordinator.Lost("bob", "gone"),),
        lambda _: (coordinator.Connected("bob", "ten words", "cd" * 32), coordinator.Offered("bob", "01" * 32)),
        lambda now: coordinator.decide(now, coordinator.Answer("bob", whole.signed("bob"), letter="02" * 32)),
        lambda _: (coordinator.JudgedTold("bob", "03" * 32),),
        lambda now: coordinator.decide(now, coordinator.Finalize()),
        lambda _: (coordinator.BroadcastAgreed(),),
        lambda now: (coordinator.BroadcastDone(now.transaction.txid if now.transaction else ""),),
        lambda _: (coordinator.OutcomeTold("bob", "broadcast", "04" * 32),),
    ):
        events = step(state)
        for event in events:
            state = coordinator.evolve(state, event)
        yield events


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for suffix in ("", "-wal", "-shm"):
        if (folder / (NAME + suffix)).exists():
            shutil.copyfile(folder / (NAME + suffix), to / (NAME + suffix))
    return to


@pytest.fixture
def moments(tmp_path: Path) -> list[tuple[Path, CoordinatorState]]:
    """The files right after each commit, and the state that was acknowledged then."""
    folder = tmp_path / "live"
    folder.mkdir()
    found = []
    commits = ceremony()
    with Journal(folder / NAME) as journal:
        session = Session.begin(journal, ROW, COORDINATOR, *next(commits))
        found.append((copied(folder, tmp_path / "0"), session.state))
        for number, events in enumerate(commits, 1):
            session.record(*events)
            found.append((copied(folder, tmp_path / f"{number}"), session.state))
    return found


def opened(folder: Path) -> CoordinatorState:
    """The state after the cut, which can be gone on with."""
    with Journal(folder / NAME) as journal:
        session = Session.load(journal, CEREMONY, COORDINATOR)
        state = session.state
        session.record(coordinator.CodeBurned("carol", "the power is back"))
    with Journal(folder / NAME) as journal:
        assert Session.load(journal, CEREMONY, COORDINATOR).state == session.state
    return state


def test_whatever_was_acknowledged_is_there_at_every_commit(moments: list[tuple[Path, CoordinatorState]]) -> None:
    assert len(moments) == 11
    for folder, state in moments:
        assert opened(folder) == state


@pytest.mark.parametrize("index", ["gone", "empty", "zeros", "of another moment"])
def test_the_index_of_the_log_is_never_needed(moments: list[tuple[Path, CoordinatorState]], index: str) -> None:
    first = (moments[0][0] / f"{NAME}-shm").read_bytes()
    for folder, state in moments:
        shm = folder / f"{NAME}-shm"
        if index == "gone":
            shm.unlink()
        else:
            shm.write_bytes({"empty": b"", "zeros": bytes(32768)}.get(index, first))
        assert opened(folder) == state


def test_a_commit_that_was_cut_off_happened_or_did_not(
    moments: list[tuple[Path, CoordinatorState]], tmp_path: Path
) -> None:
    chance = random.Random(1)  # noqa: S311  the same cuts every time
    for number, (before, after) in enumerate(itertools.pairwise(moments)):
        old, new = ((folder / f"{NAME}-wal").read_bytes() for folder, _ in (before, after))
        assert new.startswith(old), "the log only grows"
        sizes = {len(old), len(new), *(chance.randrange(len(old), len(new)) for _ in range(5))}
        for size in sizes:
            folder = copied(after[0], tmp_path / f"cut-{number}-{size}")
            (folder / f"{NAME}-wal").write_bytes(new[:size])
            state = opened(folder)
            assert state == (after[1] if size == len(new) else before[1])


def test_sectors_that_did_not_arrive_are_not_taken_for_events(
    moments: list[tuple[Path, CoordinatorState]], tmp_path: Path
) -> None:
    """The tail that was not synchronised yet may have holes: sectors are written in any order."""
    chance = random.Random(2)  # noqa: S311  the same holes every time
    for number, (before, after) in enumerate(itertools.pairwise(moments)):
        old, new = ((folder / f"{NAME}-wal").read_bytes() for folder, _ in (before, after))
        torn = bytearray(new)
        for start in range(len(old), len(new), 512):
            if chance.random() < 0.5:
                torn[start : start + 512] = bytes(len(torn[start : start + 512]))
        folder = copied(after[0], tmp_path / f"holes-{number}")
        (folder / f"{NAME}-wal").write_bytes(torn)
        assert opened(folder) == (after[1] if bytes(torn) == new else before[1])


def test_a_checkpoint_that_was_cut_off_is_done_again(
    moments: list[tuple[Path, CoordinatorState]], tmp_path: Path
) -> None:
    chance = random.Random(3)  # noqa: S311  the same pages every time
    folder, state = moments[-1]
    done = copied(folder, tmp_path / "done")
    db = sqlite3.connect(done / NAME)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    old, new = (folder / NAME).read_bytes(), (done / NAME).read_bytes()
    assert len(new) > len(old)
    for number in range(12):
        half = copied(folder, tmp_path / f"half-{number}")
        size = chance.randrange(len(old), len(new) + 1)
        mixed = bytearray(old.ljust(size, b"\0"))
        for start in range(0, size, PAGE):
            if chance.random() < 0.5:
                mixed[start : start + PAGE] = new[start : start + PAGE]
        (half / NAME).write_bytes(mixed[: size - size % 512])
        assert opened(half) == state


def test_a_log_that_is_gone_is_told_and_nothing_is_overwritten(moments: list[tuple[Path, CoordinatorState]]) -> None:
    """No power cut does this; a backup of one file of three does. The whole ceremony is lost, and that is told."""
    folder, _ = moments[-1]
    kept = (folder / NAME).read_bytes()
    for suffix in ("-wal", "-shm"):
        (folder / f"{NAME}{suffix}").unlink()
    with Journal(folder / NAME) as journal:
        assert journal.ceremonies() == []
        with pytest.raises(StorageError, match="there is no ceremony 7f3a19"):
            Session.load(journal, CEREMONY, COORDINATOR)
    assert (folder / NAME).read_bytes() == kept


def test_a_journal_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    """A cut while the file was made leaves a piece of it under another name."""
    (tmp_path / ".new-abcdef").write_bytes(b"SQLite format 3\x00" + bytes(50))
    with Journal(tmp_path / NAME) as journal:
        assert journal.ceremonies() == []
