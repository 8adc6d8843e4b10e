"""Looks at a database file before SQLite does, and keeps it open as long as SQLite has it open.

A foreign database must not be opened: that could already change it. And a file that a process opened twice must not be
closed once while SQLite uses it: POSIX then drops every lock that the process has on it, another process takes itself
for the last user of the write-ahead log and removes it, and what is committed afterwards is lost in a crash.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"SQLite format 3\x00"

_guard = threading.Lock()
_held: dict[tuple[int, int], list[int]] = {}
"""Device and inode -> the descriptor, and how many users it has."""


def hold(path: Path, application_id: int) -> tuple[int, int]:
    """Check that a file is ours, and keep it open until `let_go`.

    Args:
        path: The database.
        application_id: What stands in the header of ours.

    Returns:
        What `let_go` takes, after SQLite has closed the file.

    Raises:
        StorageError: Not ours; it was not touched.
        OSError: Not readable, or a symbolic link.
    """
    with _guard:
        status = path.lstat()
        key = (status.st_dev, status.st_ino)
        if key in _held:
            _held[key][1] += 1
            return key
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            opened = os.fstat(descriptor)
            _check(descriptor, opened.st_mode, path, application_id)
        except BaseException:
            os.close(descriptor)
            raise
        key = (opened.st_dev, opened.st_ino)
        _held[key] = [descriptor, 1]
        return key


def let_go(key: tuple[int, int]) -> None:
    """The file is closed by one user; the last one closes it here, too.

    Args:
        key: What `hold` returned.
    """
    with _guard:
        held = _held[key]
        held[1] -= 1
        if not held[1]:
            os.close(held[0])
            del _held[key]


def _check(descriptor: int, mode: int, path: Path, application_id: int) -> None:
    header = os.read(descriptor, 100) if stat.S_ISREG(mode) else b""
    if not header.startswith(MAGIC) or int.from_bytes(header[68:72], "big") != application_id:
        raise StorageError(f"{path} is not a journal of wormsig; it was not touched", hint="move it away")
    if mode & 0o077:
        os.fchmod(descriptor, 0o600)  # a backup that came back readable for others
