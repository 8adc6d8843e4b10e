"""Who holds a ceremony: one lock file each, kept by the operating system only as long as its process lives.

A file names the process that holds it, and is removed when it lets go. Nothing of a ceremony's content is here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from typing import TYPE_CHECKING

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
_MAX_WORDS = 2000
_WRITING = 0.02  # seconds that a holder may need between taking a lock and writing its name


class Locks:
    """The locks that this process holds.

    Args:
        folder: Where the lock files go; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def hold(self, ceremony: str) -> None:
        """Take a lock, and keep it until `close`; one that is held already is kept.

        Args:
            ceremony: A ceremony's id, which may be of a peer's choice.

        Raises:
            StorageError: Another process holds it, and which; or the lock file cannot be made.
        """
        if ceremony in self._held:
            return
        if not _NAME.fullmatch(ceremony):
            raise StorageError(f"{ceremony!r} cannot be a ceremony's id")
        path = self._folder / f"{ceremony}.lock"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = _locked(path)
        except OSError as error:
            raise StorageError(f"the lock {path} cannot be taken: {error.strerror or error}") from error
        if descriptor is None:
            raise StorageError(
                f"ceremony {ceremony[:6]} is in use by process {_holder(path)}", hint="end that one first"
            )
        self._held[ceremony] = descriptor
        with contextlib.suppress(OSError):  # what an earlier holder was asked, and died before it could answer
            (self._folder / f"{ceremony}.ask").unlink()
        with contextlib.suppress(OSError):  # on a full disk the lock holds, without a name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def ask(self, ceremony: str, words: str) -> bool:
        """Ask whoever holds a ceremony to end it.

        Args:
            ceremony: Its id.
            words: Why.

        Returns:
            Whether somebody holds it; else nothing was asked.

        Raises:
            StorageError: It cannot be written.
        """
        if ceremony in self._held or not self._is_held(ceremony):
            return False
        path = self._folder / f"{ceremony}.ask"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(words.encode("utf-8", "replace")[:_MAX_WORDS] + b"\n")
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
        return True

    def asked(self, ceremony: str) -> str | None:
        """Why somebody asked us to end a ceremony that we hold; None when nobody did. Asked once, told once."""
        path = self._folder / f"{ceremony}.ask"
        if ceremony not in self._held:
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                    return None  # not of our making
                data = file.read(_MAX_WORDS + 1)
            if not data.endswith(b"\n"):
                return None  # it is being written
            path.unlink()
        except OSError:
            return None
        return data.decode("utf-8", "replace").strip()

    def holder(self, ceremony: str) -> int | None:
        """The process that seems to hold a ceremony; None when none does. Takes no lock, so it stands in nobody's way.

        Args:
            ceremony: Its id.
        """
        try:
            number = int((self._folder / f"{ceremony}.lock").read_bytes()[:20])
            os.kill(number, 0)  # a process that was killed has left its file
        except PermissionError:
            return number
        except (OSError, ValueError, OverflowError):
            return None
        return number

    def _is_held(self, ceremony: str) -> bool:
        path = self._folder / f"{ceremony}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def close(self) -> None:
        """Let go of all locks. A second time it does nothing."""
        for ceremony, descriptor in self._held.items():
            for suffix in (".ask", ".lock"):
                with contextlib.suppress(OSError):
                    (self._folder / f"{ceremony}{suffix}").unlink()
            os.close(descriptor)
        self._held.clear()


def _locked(path: Path) -> int | None:
    """The descriptor of a lock file that is now ours; None when somebody else holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file between our opening and our locking it.
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _holder(path: Path) -> str:
    """The number of the process that holds a lock, as far as it says."""
    for _ in range(2):
        with contextlib.suppress(OSError):
            text = path.read_bytes()[:20].decode("ascii", "replace").strip()
            if text:
                return text
        time.sleep(_WRITING)
    return "unknown"
