"""An append-only event store: one SQLite file for all ceremonies of one person.

Full synchronisation: when `append` returns, the events survive a power cut (0.3 ms a commit on an SSD). Each event
carries a hash over itself and the one before it, so that a damaged or edited file is noticed. The file is 0600 and made
under another name first: what stands at its place is always whole. An application id in its header tells it from a
foreign database, which is named and never opened. A connection stays in the thread that opened it. What an event means
is not known here; who may hold a ceremony is `locks`'.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from wormsig.errors import StorageError
from wormsig.journal import header
from wormsig.journal.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

Role = Literal["coordinator", "cosigner"]

APPLICATION_ID = 0x776F726D  # "worm", in SQLite's header: tells our files from others
SCHEMA_VERSION = 1

_PATIENCE = 10  # seconds for another process to finish its transaction

_SCHEMA = """
CREATE TABLE ceremony (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER,
    network TEXT NOT NULL, wallet TEXT, title TEXT NOT NULL
) STRICT;
CREATE TABLE event (
    ceremony TEXT NOT NULL REFERENCES ceremony(id), seq INTEGER NOT NULL, at INTEGER NOT NULL,
    type TEXT NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (ceremony, seq)
) STRICT, WITHOUT ROWID;
"""


class CeremonyRow(msgspec.Struct, frozen=True):
    """One ceremony.

    Attributes:
        id: 32 hex digits; a cosigner's ends with `-c`, because both roles may run on one machine.
        role: Which machine its events belong to.
        created: Unix time.
        ended: Unix time, or None while its fate is open.
        network: The network's name.
        wallet: The wallet's name, when there is one.
        title: One line for a list.
    """

    id: str
    role: Role
    created: int
    ended: int | None
    network: str
    wallet: str | None
    title: str


class Record(msgspec.Struct, frozen=True):
    """One event as it is kept.

    Attributes:
        type: The event's type.
        body: Its JSON body.
        at: Unix time at which it was written; set by the journal.
    """

    type: str
    body: bytes
    at: int = 0


class Journal:
    """The open journal. A context manager; closing it releases every lock it holds.

    Args:
        path: The database; made when it is not there. Its folder must exist.

    Raises:
        StorageError: Not a journal of ours, of another version, damaged, or not accessible.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locks = Locks(path.parent / "locks")
        with self._errors():
            if not os.path.lexists(path):
                _create(path)
            self._held: tuple[int, int] | None = header.hold(path, APPLICATION_ID)
            try:
                self._db = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE)
                try:
                    self._prepare()
                except BaseException:
                    self._db.close()
                    raise
            except BaseException:
                header.let_go(self._held)
                raise

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StorageError(
                f"{self._path} was written by another version of wormsig (format {version}, not {SCHEMA_VERSION})",
                hint="use that version, or move the file away",
            )
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA fullfsync = ON")  # macOS: to the platter, not only to the drive
        self._db.execute("PRAGMA foreign_keys = ON")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"the journal {self._path} cannot be used: {error}",
                hint="whatever was recorded before is kept; free some space or restore the file, then go on",
            ) from error
        except OSError as error:
            raise StorageError(f"the journal {self._path} cannot be used: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite has rolled back by itself when the disk is full
                self._db.execute("ROLLBACK")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release the locks. A second time it does nothing."""
        self._db.close()
        self._locks.close()
        if self._held is not None:
            header.let_go(self._held)
            self._held = None

    def lock(self, ceremony: str) -> None:
        """Hold a ceremony for this process until the journal is closed (THREATS M3).

        Args:
            ceremony: Its id; need not exist yet.

        Raises:
            StorageError: Another process holds it; the message says which.
        """
        self._locks.hold(ceremony)

    def holder(self, ceremony: str) -> int | None:
        """The process that seems to hold a ceremony; None when none does."""
        return self._locks.holder(ceremony)

    def ask_to_end(self, ceremony: str, words: str) -> bool:
        """Ask the process that holds a ceremony to end it; False when none does. Raises as `Locks.ask`."""
        return self._locks.ask(ceremony, words)

    def asked_to_end(self, ceremony: str) -> str | None:
        """Why another process asked us to end a ceremony that we hold; None when none did."""
        return self._locks.asked(ceremony)

    def begin(self, row: CeremonyRow, records: Sequence[Record]) -> None:
        """Start a ceremony with its first events, in one transaction.

        Args:
            row: The ceremony; it is locked from here on.
            records: At least one.

        Raises:
            StorageError: It exists already, another process holds it, or it cannot be written.
        """
        self.lock(row.id)
        with self._errors(), self._transaction():
            if self._db.execute("SELECT 1 FROM ceremony WHERE id = ?", (row.id,)).fetchone():
                raise StorageError(f"ceremony {row.id[:6]} exists already on this machine")
            self._db.execute(
                "INSERT INTO ceremony VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.id, row.role, row.created, row.ended, row.network, row.wallet, row.title),
            )
            self._insert(row.id, 0, _genesis(row.id), row.created, records)

    def append(self, ceremony: str, seq: int, at: int, records: Sequence[Record], *, ended: bool = False) -> int:
        """Add events; on return they are on the disk.

        Args:
            ceremony: Its id; locked from here on.
            seq: How many events the caller has seen; refused when there are more.
            at: Unix time.
            records: What happened.
            ended: Its fate is settled with these. A ceremony that goes on after its end is open again.

        Returns:
            How many events there are now.

        Raises:
            StorageError: Another process holds it, or wrote meanwhile; or the disk is full. Nothing was added.
        """
        self.lock(ceremony)
        with self._errors(), self._transaction():
            last = self._db.execute(
                "SELECT seq, digest FROM event WHERE ceremony = ? ORDER BY seq DESC LIMIT 1", (ceremony,)
            ).fetchone()
            there, digest = (last[0] + 1, last[1]) if last else (0, _genesis(ceremony))
            if there != seq:
                raise StorageError(f"ceremony {ceremony[:6]} was changed by another process")
            self._insert(ceremony, seq, digest, at, records)
            now_ended, was_open = (at, True) if ended else (None, False)
            self._db.execute(
                "UPDATE ceremony SET ended = ? WHERE id = ? AND (ended IS NULL) = ?", (now_ended, ceremony, was_open)
            )
        return seq + len(records)

    def _insert(self, ceremony: str, seq: int, digest: bytes, at: int, records: Sequence[Record]) -> None:
        rows = []
        for place, record in enumerate(records, seq):
            digest = _chained(digest, at, record.type, record.body)
            rows.append((ceremony, place, at, record.type, record.body, digest))
        self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", rows)

    def ceremonies(self) -> list[CeremonyRow]:
        """Every ceremony, newest first.

        Returns:
            One row each.

        Raises:
            StorageError: The file cannot be read.
        """
        with self._errors():
            rows = self._db.execute(
                "SELECT id, role, created, ended, network, wallet, title FROM ceremony"
                " ORDER BY created DESC, rowid DESC"
            ).fetchall()
        return [CeremonyRow(*row) for row in rows]

    def row(self, ceremony: str) -> CeremonyRow | None:
        """One ceremony.

        Args:
            ceremony: Its id.

        Returns:
            Its row; None when there is no such ceremony.

        Raises:
            StorageError: The file cannot be read.
        """
        return next((row for row in self.ceremonies() if row.id == ceremony), None)

    def events(self, ceremony: str) -> list[Record]:
        """A ceremony's events.

        Args:
            ceremony: Its id.

        Returns:
            All of them, in their order; none when there is no such ceremony.

        Raises:
            StorageError: The file cannot be read, or an event is missing or was changed.
        """
        with self._errors():
            rows = self._db.execute(
                "SELECT seq, at, type, body, digest FROM event WHERE ceremony = ? ORDER BY seq", (ceremony,)
            ).fetchall()
        before = _genesis(ceremony)
        for place, (seq, at, kind, body, digest) in enumerate(rows):
            before = _chained(before, at, kind, body)
            if seq != place or digest != before:
                raise StorageError(
                    f"ceremony {ceremony[:6]} is damaged in the journal {self._path}, at event {place}",
                    hint="restore the file from a backup; other ceremonies in it may be whole",
                )
        return [Record(kind, body, at) for _, at, kind, body, _ in rows]


def _genesis(ceremony: str) -> bytes:
    return hashlib.sha256(ceremony.encode()).digest()


def _chained(before: bytes, at: int, kind: str, body: bytes) -> bytes:
    """The hash of an event and of all before it."""
    return hashlib.sha256(before + at.to_bytes(8, "big", signed=True) + kind.encode() + b"\x00" + body).digest()


def _create(path: Path) -> None:
    """Make an empty journal: whole, or not at all. Another process may do so at the same time; the first one stays.

    Raises:
        sqlite3.Error, OSError: It cannot be made.
    """
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # 0600
    try:
        with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as db:
            db.executescript(
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};{_SCHEMA}"
            )
            db.execute("PRAGMA journal_mode = WAL")
        os.fsync(descriptor)
        _place(Path(name), path)
    finally:
        os.close(descriptor)
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _place(made: Path, path: Path) -> None:
    try:
        path.hardlink_to(made)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            made.rename(path)
