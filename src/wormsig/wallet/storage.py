"""Files of our own: 0600, created exclusively, written to a temporary name, flushed and renamed (THREATS M2)."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING

from wormsig.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, data: bytes, *, force: bool = False, mode: int = 0o600) -> None:
    """Write a file whole or not at all.

    Args:
        path: Where; its folder must exist.
        data: The content.
        force: Replace a file that is there.
        mode: Its permissions, less the umask.

    Raises:
        UsageError: It exists, and `force` is not set.
        StorageError: It cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name[:60]}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if force:
            temporary.replace(path)
        else:
            _put_in_place(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise UsageError(f"{path} exists", hint="choose another name, or use --force") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, which nobody may have taken meanwhile.

    Raises:
        FileExistsError: The name is taken.
        OSError: It cannot be done; no file of that name is left behind.
    """
    try:
        os.link(temporary, path)  # unlike rename, this fails when the name is taken
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
    else:
        return
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    try:
        temporary.replace(path)
    except OSError:
        path.unlink()
        raise


_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links answer, such as those of USB sticks."""


def _sync_folder(folder: Path) -> None:
    """Make the new name last, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes:
    """A regular file's content, up to a limit.

    Raises:
        OSError: It cannot be read.
        StorageError: It is no regular file, or larger than the limit.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise StorageError(f"{path} is larger than {limit} bytes")
    return data
