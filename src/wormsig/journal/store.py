"""An append-only event store: one SQLite file for all ceremonies of one person.

Full synchronisation: when `append` returns, the events survive a power cut (0.3 ms a commit on an SSD). The file is
0600 and carries an application id, so that a foreign database is named and never written to. A connection stays in
the thread that opened it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

Role = Literal["coordinator", "cosigner"]

APPLICATION_ID = 0x776F726D  # "worm", in SQLite's header: tells our files from others
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE ceremony (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER,
    network TEXT NOT NULL, wallet TEXT, title TEXT NOT NULL
) STRICT;
CREATE TABLE event (
    ceremony TEXT NOT NULL REFERENCES ceremony(id), seq INTEGER NOT NULL, at INTEGER NOT NULL,
    type TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (ceremony, seq)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class CeremonyRow:
    """One ceremony.

    Attributes:
        id: 32 hex digits, and the role's letter where both roles run on one machine.
        role: Which machine its events belong to.
        created: Unix time.
        ended: Unix time, or None while something is pending.
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


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it is kept: its type and its JSON body."""

    type: str
    body: bytes


class Journal:
    """The open journal. A context manager; closing it releases every lock it holds.

    Args:
        path: The database; made when it is not there. Its folder must exist.

    Raises:
        StorageError: Not a journal of ours, damaged, or not accessible.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locks: dict[str, int] = {}
        with self._errors():
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        empty = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if not empty and application != APPLICATION_ID:
            raise StorageError(f"{self._path} is not a journal of wormsig; it was not touched")
        if not empty and version != SCHEMA_VERSION:
            raise StorageError(
                f"{self._path} was written by another version of wormsig (format {version})",
                hint="use that version, or move the file away",
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        if empty:
            # IMMEDIATE, then looked at again: two processes may start on a new file at once.
            with self._transaction():
                if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StorageError(
                f"the journal {self._path} cannot be used: {error}",
                hint="nothing was sent; free some space or restore the file, then try again",
            ) from error
        except OSError as error:
            raise StorageError(f"the journal {self._path} cannot be used: {error.strerror}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release the locks."""
        self._db.close()
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()

    def lock(self, ceremony: str) -> None:
        """Hold a ceremony for this process until the journal is closed (THREATS M3).

        Raises:
            StorageError: Another process holds it; the message says which.
        """
        if ceremony in self._locks:
            return
        folder = self._path.parent / "locks"
        with self._errors():
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(
                folder / f"{ceremony}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise StorageError(
                    f"ceremony {ceremony[:6]} is in use by process {holder}", hint="end that one first"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._locks[ceremony] = descriptor

    def begin(self, row: CeremonyRow, records: Sequence[Record]) -> None:
        """Start a ceremony with its first events, in one transaction.

        Raises:
            StorageError: It exists already, or cannot be written.
        """
        self.lock(row.id)
        with self._errors(), self._transaction():
            if self._db.execute("SELECT 1 FROM ceremony WHERE id = ?", (row.id,)).fetchone():
                raise StorageError(f"ceremony {row.id[:6]} exists already on this machine")
            self._db.execute(
                "INSERT INTO ceremony VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.id, row.role, row.created, row.ended, row.network, row.wallet, row.title),
            )
            self._insert(row.id, 0, row.created, records)

    def append(self, ceremony: str, seq: int, at: int, records: Sequence[Record], *, ended: bool = False) -> int:
        """Add events; on return they are on the disk.

        Args:
            ceremony: Its id.
            seq: How many events the caller has seen; refused when there are more.
            at: Unix time.
            records: What happened.
            ended: Nothing is pending any more.

        Returns:
            How many events there are now.

        Raises:
            StorageError: Somebody else wrote meanwhile, or the disk is full.
        """
        with self._errors(), self._transaction():
            there = self._db.execute("SELECT count(*) FROM event WHERE ceremony = ?", (ceremony,)).fetchone()[0]
            if there != seq:
                raise StorageError(f"ceremony {ceremony[:6]} was changed by another process")
            self._insert(ceremony, seq, at, records)
            if ended:
                self._db.execute("UPDATE ceremony SET ended = ? WHERE id = ? AND ended IS NULL", (at, ceremony))
        return seq + len(records)

    def _insert(self, ceremony: str, seq: int, at: int, records: Sequence[Record]) -> None:
        rows = [(ceremony, seq + i, at, record.type, record.body) for i, record in enumerate(records)]
        self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)

    def ceremonies(self) -> list[CeremonyRow]:
        """Every ceremony, newest first."""
        with self._errors():
            rows = self._db.execute(
                "SELECT id, role, created, ended, network, wallet, title FROM ceremony"
                " ORDER BY created DESC, rowid DESC"
            ).fetchall()
        return [CeremonyRow(*row) for row in rows]

    def events(self, ceremony: str) -> list[Record]:
        """A ceremony's events in their order."""
        with self._errors():
            rows = self._db.execute(
                "SELECT type, body FROM event WHERE ceremony = ? ORDER BY seq", (ceremony,)
            ).fetchall()
        return [Record(*row) for row in rows]
