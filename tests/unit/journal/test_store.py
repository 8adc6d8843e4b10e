from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wormsig.errors import StorageError
from wormsig.journal.locks import Locks
from wormsig.journal.store import SCHEMA_VERSION, CeremonyRow, Journal, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO = "1" * 32, "2" * 32 + "-c"
NOBODY = 65534

PROLOGUE = """
import os, resource, sys
from pathlib import Path
from wormsig.errors import StorageError
from wormsig.journal.store import CeremonyRow, Journal, Record
path, ceremony = Path(sys.argv[1]), sys.argv[2]
def row(): return CeremonyRow(ceremony, "coordinator", 100, None, "regtest", "family", "send")
def say(*words): print(*words, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ceremonies.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as opened:
        yield opened


def row(ceremony: str = ONE, **changed: object) -> CeremonyRow:
    fields = {
        "role": "coordinator",
        "created": 100,
        "ended": None,
        "network": "regtest",
        "wallet": "family",
        "title": "t",
    }
    return CeremonyRow(ceremony, **(fields | changed))  # type: ignore[arg-type]


def record(number: int, size: int = 0) -> Record:
    return Record("happened", b'{"number":%d}' % number + b" " * size)


def bodies(journal: Journal, ceremony: str = ONE) -> list[bytes]:
    return [each.body.rstrip() for each in journal.events(ceremony)]


def numbered(*numbers: int) -> list[bytes]:
    return [record(number).body for number in numbers]


def start(script: str, path: Path, ceremony: str = ONE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + script, str(path), ceremony],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def run(script: str, path: Path, ceremony: str = ONE) -> list[str]:
    out, _ = start(script, path, ceremony).communicate(timeout=60)
    return out.splitlines()


def contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_events_come_back_in_their_order_with_their_times(journal: Journal, path: Path) -> None:
    journal.begin(row(), [record(0), record(1)])
    assert journal.append(ONE, 2, 200, [record(2)]) == 3
    assert journal.append(ONE, 3, 300, []) == 3
    journal.close()
    with Journal(path) as again:
        assert bodies(again) == numbered(0, 1, 2)
        assert [each.at for each in again.events(ONE)] == [100, 100, 200]
        assert again.append(ONE, 3, 400, [record(3)]) == 4


def test_ceremonies_are_listed_newest_first(journal: Journal) -> None:
    old, new = row(created=100), row(TWO, created=200, role="cosigner", wallet=None)
    for each in (old, new):
        journal.begin(each, [record(0)])
    assert journal.ceremonies() == [new, old]
    assert (journal.row(ONE), journal.row("3" * 32)) == (old, None)
    assert journal.events("3" * 32) == []


def test_a_ceremony_that_goes_on_after_its_end_is_open_again(journal: Journal) -> None:
    def ended() -> int | None:
        return journal.ceremonies()[0].ended

    journal.begin(row(), [record(0)])
    journal.append(ONE, 1, 200, [record(1)], ended=True)
    journal.append(ONE, 2, 300, [record(2)], ended=True)
    assert ended() == 200
    journal.append(ONE, 3, 400, [record(3)])
    assert ended() is None


def test_a_ceremony_begins_once(journal: Journal) -> None:
    journal.begin(row(), [record(0)])
    with pytest.raises(StorageError, match="exists already"):
        journal.begin(row(), [record(7)])
    assert bodies(journal) == numbered(0)


def test_whoever_has_not_seen_every_event_cannot_add_one(journal: Journal) -> None:
    journal.begin(row(), [record(0)])
    journal.append(ONE, 1, 200, [record(1)])
    for seen in (0, 1, 3):
        with pytest.raises(StorageError, match="changed by another process"):
            journal.append(ONE, seen, 300, [record(9)])
    assert bodies(journal) == numbered(0, 1)


def test_an_event_of_no_ceremony_is_not_kept(journal: Journal) -> None:
    with pytest.raises(StorageError):
        journal.append(TWO, 0, 100, [record(0)])
    assert journal.events(TWO) == []


def test_each_commit_is_on_the_disk(journal: Journal) -> None:
    settings = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


# -- who may read it ---------------------------------------------------------------------------------------------------


def test_only_its_owner_can_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal(path) as journal:
            journal.begin(row(), [record(0)])
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.rglob("*")}
    finally:
        os.umask(before)
    assert modes == {
        path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600,
        "locks": 0o700, f"{ONE}.lock": 0o600,
    }  # fmt: skip


def test_a_file_that_others_could_read_is_shut_again(path: Path) -> None:
    Journal(path).close()
    path.chmod(0o644)
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_closing_leaves_nothing_beside_the_file_and_nothing_open(path: Path) -> None:
    Journal(path).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        journal = Journal(path)
        journal.begin(row(f"{number:032x}"), [record(0)])
        journal.close()
        journal.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert {each.name for each in path.parent.rglob("*")} == {"locks", path.name}


# -- files that are not ours -------------------------------------------------------------------------------------------


def test_a_foreign_database_is_named_and_not_touched(path: Path) -> None:
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("PRAGMA journal_mode = WAL")
    foreign.execute("CREATE TABLE theirs (a)")
    foreign.execute("INSERT INTO theirs VALUES (1)")
    before = contents(path.parent)
    assert f"{path.name}-wal" in before
    with pytest.raises(StorageError, match=f"{path} is not a journal of wormsig; it was not touched"):
        Journal(path)
    assert contents(path.parent) == before
    foreign.close()


@pytest.mark.parametrize("data", [b"", b"hello", b"SQLite format 3\x00", bytes(4096)])
def test_another_file_is_named_and_not_touched(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(StorageError, match="not a journal of wormsig"):
        Journal(path)
    assert contents(path.parent) == {path.name: data}


def test_a_folder_a_pipe_and_a_link_are_not_followed(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match="not a journal of wormsig"):
        Journal(path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StorageError, match="not a journal of wormsig"):
        Journal(pipe)
    Journal(tmp_path / "real").close()
    for name, target in (("link", "real"), ("dangling", "nowhere")):
        link = tmp_path / name
        link.symlink_to(tmp_path / target)
        with pytest.raises(StorageError, match="cannot be used"):
            Journal(link)
    assert not (tmp_path / "nowhere").exists()


def test_another_version_is_named_and_not_changed(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 41}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=f"format {SCHEMA_VERSION + 41}, not {SCHEMA_VERSION}"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        Journal(tmp_path / "nowhere" / "ceremonies.sqlite3")


# -- damage ------------------------------------------------------------------------------------------------------------


def written(path: Path) -> None:
    with Journal(path) as journal:
        journal.begin(row(), [record(0), record(1), record(2)])
        journal.begin(row(TWO), [record(5)])


def test_a_changed_byte_is_noticed_and_other_ceremonies_are_whole(path: Path) -> None:
    written(path)
    data = path.read_bytes()
    assert data.count(record(1).body) == 1
    path.write_bytes(data.replace(record(1).body, record(7).body))
    damaged = path.read_bytes()
    with Journal(path) as journal:
        with pytest.raises(StorageError, match=r"ceremony 111111 is damaged in the journal .*, at event 1") as failure:
            journal.events(ONE)
        assert "backup" in (failure.value.hint or "")
        assert bodies(journal, TWO) == numbered(5)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM event WHERE seq = 0",
        "DELETE FROM event WHERE seq = 1",
        "UPDATE event SET at = 7 WHERE seq = 1",
        "UPDATE event SET type = 'other' WHERE seq = 1",
        "UPDATE event SET seq = 9 WHERE seq = 2",
        "UPDATE event SET ceremony = '11111111111111111111111111111111', seq = 3 WHERE ceremony LIKE '2%'",
    ],
)
def test_an_edited_journal_is_noticed(path: Path, change: str) -> None:
    written(path)
    with sqlite3.connect(path) as db:
        db.execute(change)
    db.close()
    with Journal(path) as journal, pytest.raises(StorageError, match="is damaged"):
        journal.events(ONE)


def test_a_file_that_was_cut_or_overwritten_is_an_error_not_a_new_start(path: Path) -> None:
    written(path)
    whole = path.read_bytes()
    for data in (whole[:200], whole[:5000], whole[:4096] + b"\xff" * (len(whole) - 4096), whole[:100] + bytes(8000)):
        path.write_bytes(data)
        with pytest.raises(StorageError), Journal(path) as journal:  # noqa: PT012  when it opens, reading must fail
            journal.ceremonies()
            journal.events(ONE)
            journal.append(ONE, 3, 200, [record(3)])
        assert path.read_bytes() == data


# -- several processes -------------------------------------------------------------------------------------------------


HOLD = """
with Journal(path) as journal:
    journal.begin(row(), [Record("happened", b"{}")])
    say(os.getpid())
    sys.stdin.read()
"""


def test_the_second_process_is_told_who_holds_a_ceremony(path: Path) -> None:
    holder = start(HOLD, path)
    assert holder.stdout is not None
    pid = holder.stdout.readline().strip()
    assert pid == str(holder.pid)
    with Journal(path) as journal:
        for attempt in (
            lambda: journal.lock(ONE),
            lambda: journal.begin(row(), [record(0)]),
            lambda: journal.append(ONE, 1, 200, [record(1)]),
        ):
            with pytest.raises(StorageError, match=f"ceremony 111111 is in use by process {pid}") as failure:
                attempt()
            assert failure.value.hint == "end that one first"
        journal.begin(row(TWO), [record(0)])  # another ceremony is free
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate(timeout=60)
        journal.lock(ONE)
        assert (path.parent / "locks" / f"{ONE}.lock").read_text() == str(os.getpid())
        assert journal.append(ONE, 1, 200, [record(1)]) == 2


def test_a_lock_can_be_taken_again_as_soon_as_it_is_let_go(path: Path) -> None:
    for _ in range(3):
        with Journal(path) as one, Journal(path) as two:
            one.lock(ONE)
            one.lock(ONE)
            with pytest.raises(StorageError, match=f"process {os.getpid()}"):
                two.lock(ONE)
            one.close()
            two.lock(ONE)


@pytest.mark.parametrize("ceremony", ["../../etc/passwd", "", "a/b", ".hidden", "a\n", "A" * 32, "a" * 100])
def test_an_id_cannot_name_a_file(journal: Journal, path: Path, ceremony: str) -> None:
    with pytest.raises(StorageError, match="cannot be a ceremony's id"):
        journal.lock(ceremony)
    assert not (path.parent / "locks").exists()


def test_many_may_start_at_once_where_there_is_no_journal_yet(path: Path) -> None:
    script = """
sys.stdin.read()
with Journal(path) as journal:
    journal.begin(row(), [Record("happened", b"{}")])
    for seq in range(1, 20):
        journal.append(ceremony, seq, 100, [Record("happened", b"{}")])
"""
    several = [start(script, path, f"{number:032x}") for number in range(4)]
    for each in several:
        each.communicate(timeout=60)
    assert [each.returncode for each in several] == [0] * 4
    with Journal(path) as journal:
        assert [len(journal.events(f"{number:032x}")) for number in range(4)] == [20] * 4
    assert {each.name for each in path.parent.rglob("*")} == {"locks", path.name}


# -- killed, full, read-only -------------------------------------------------------------------------------------------


APPEND = """
with Journal(path) as journal:
    journal.begin(row(), [Record("happened", b'{"number":0}')])
    say(0)
    for seq in range(1, 100_000):
        journal.append(ceremony, seq, 100, [Record("happened", b'{"number":%d}' % seq)])
        say(seq)
"""


@pytest.mark.parametrize("after", [0, 1, 7, 50])
def test_what_was_acknowledged_survives_a_kill(path: Path, after: int) -> None:
    process = start(APPEND, path)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(after + 1)]
    os.kill(process.pid, signal.SIGKILL)
    # Not communicate(): it would pass over what readline() has buffered already.
    acknowledged += [int(line) for line in process.stdout.read().splitlines() if line]
    process.communicate(timeout=60)
    with Journal(path) as journal:
        kept = bodies(journal)
        assert len(acknowledged) <= len(kept) <= len(acknowledged) + 1
        assert kept == numbered(*range(len(kept)))
        assert journal.append(ONE, len(kept), 200, [record(len(kept))]) == len(kept) + 1


def test_a_full_disk_loses_nothing_that_was_acknowledged(path: Path) -> None:
    Journal(path).close()
    script = """
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
journal = Journal(path)
journal.begin(row(), [Record("happened", b'{"number":0}' + b" " * 5000)])
seq = 1
try:
    while True:
        seq = journal.append(ceremony, seq, 100, [Record("happened", b'{"number":%d}' % seq + b" " * 5000)])
except StorageError as error:
    say(seq, error.message)
    say(error.hint)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
say(len(journal.events(ceremony)))
say(journal.append(ceremony, seq, 100, [Record("happened", b'{"number":%d}' % seq)]))
"""
    refused, hint, kept, after = run(script, path)
    count, _, message = refused.partition(" ")
    assert int(count) > 10
    assert "cannot be used" in message
    assert "rollback" not in message
    assert "kept" in hint
    assert kept == count
    assert int(after) == int(count) + 1
    with Journal(path) as journal:
        assert bodies(journal) == numbered(*range(int(after)))


def test_a_disk_without_any_room_makes_no_journal(path: Path) -> None:
    script = """
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Journal(path)
except StorageError as error:
    say(error.message)
"""
    (message,) = run(script, path)
    assert "cannot be used" in message
    assert list(path.parent.iterdir()) == []


def test_a_lock_holds_on_a_full_disk_though_it_cannot_say_whose_it_is(path: Path) -> None:
    script = """
from wormsig.journal.locks import Locks
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
one, two = Locks(path.parent / "locks"), Locks(path.parent / "locks")
one.hold(ceremony)
try:
    two.hold(ceremony)
except StorageError as error:
    say(error.message)
one.close()
two.hold(ceremony)
say("held")
"""
    assert run(script, path) == ["ceremony 111111 is in use by process unknown", "held"]


def test_a_folder_that_locks_cannot_use_is_named(journal: Journal, path: Path) -> None:
    (path.parent / "locks").write_bytes(b"")
    with pytest.raises(StorageError, match=r"the lock .* cannot be taken"):
        journal.begin(row(), [record(0)])
    assert journal.ceremonies() == []


def test_a_file_system_without_hard_links_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(_self: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    with Journal(path) as journal:
        journal.begin(row(), [record(0)])
    with Journal(path) as journal:
        assert bodies(journal) == numbered(0)
    assert {each.name for each in path.parent.rglob("*")} == {"locks", path.name}


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_folder_is_named(exists: bool) -> None:
    script = f"""
if os.geteuid() == 0:
    os.setuid({NOBODY})
try:
    with Journal(path) as journal:
        journal.begin(row(), [Record("happened", b"{{}}")])
except StorageError as error:
    say(error.message)
"""
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to other users
        folder = Path(name)
        path = folder / "ceremonies.sqlite3"
        if exists:
            Journal(path).close()
        if os.geteuid() == 0:
            for each in (folder, *folder.iterdir()):
                os.chown(each, NOBODY, NOBODY)
        folder.chmod(0o500)
        (message,) = run(script, path)
        folder.chmod(0o700)
        assert message.startswith(("the journal ", "the lock "))
        assert name in message
        assert sorted(each.name for each in folder.iterdir()) == [path.name] * exists


def test_a_lock_file_that_vanishes_while_it_is_taken_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (Locks(tmp_path / "locks") for _ in range(3))
    first.hold(ONE)
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        first.close()  # between the second's opening of the file and its locking it
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    second.hold(ONE)
    monkeypatch.undo()
    with pytest.raises(StorageError, match="in use"):
        third.hold(ONE)
    second.close()
    third.hold(ONE)
    third.close()


READER = """
import sys
from pathlib import Path
from wormsig.journal.store import Journal
with Journal(Path(sys.argv[1])) as journal:
    print(len(journal.events("a" * 32)))
"""


def test_who_only_reads_takes_nothing_away_from_who_writes(tmp_path: Path) -> None:
    """Another process comes and goes while this one reads beside its own writing, as a review does."""
    path = tmp_path / "journal.sqlite3"
    row = CeremonyRow("a" * 32, "coordinator", 1, None, "regtest", None, "send")
    with Journal(path) as journal:
        journal.begin(row, [Record("x", b"{}")])
        for seq in range(1, 4):
            with Journal(path) as beside:
                assert len(beside.events(row.id)) == seq
            read = subprocess.run([sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=True)
            assert int(read.stdout) == seq
            journal.append(row.id, seq, 1, [Record("x", b"{}")])
        # As after a power cut: what is on the disk, without what this process would still do.
        copy = tmp_path / "copy.sqlite3"
        for suffix in ("", "-wal"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                shutil.copy(part, copy.with_name(copy.name + suffix))
    with Journal(copy) as found:
        assert len(found.events(row.id)) == 4


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    Journal(path).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with Journal(path), Journal(path):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
