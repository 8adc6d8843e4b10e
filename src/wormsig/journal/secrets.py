"""The secrets by which the two sides of a ceremony find each other again: one file for each pair, beside the journal.

A secret is a bearer credential, so that it is no event (THREATS T7): the journal holds its SHA-256 alone, and only what
the journal names is used. The file is 0600, replaced whole at each resume, and removed at the end. How two sides meet
by a secret is `transport`'s.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

KEPT = 4
"""Secrets of one pair: the newest, and those before it until the other side is known to have a newer one."""

TO_COORDINATOR = "to the coordinator"
"""A cosigner's name for the other side."""

SECRET_SIZE = 32
MAX_MARKS = 256
_MAX_FILE = 64_000


class _Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret and the marks of its numbers."""

    secret: Annotated[bytes, Meta(min_length=SECRET_SIZE, max_length=SECRET_SIZE)]
    marks: dict[Annotated[int, Meta(ge=0, le=1_000_000_000)], float]

    def __repr__(self) -> str:
        return f"_Secret({len(self.marks)} marks)"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds, newest secret first."""

    version: Literal[1]
    secrets: Annotated[tuple[_Secret, ...], Meta(max_length=KEPT)]


class ResumeSecrets:
    """The secrets of one pair. What it can do for `transport` is what `Meetings` asks for there.

    A file that is missing, damaged, readable through a symlink or somebody else's counts as none. Until `trust`, only
    secrets that this object kept itself are used.

    Args:
        folder: Where the files are; made when it is needed. The folder above must exist.
        ceremony: The ceremony's id, or the journal's name for it where both roles run on one machine.
        peer: Our name for the other side.
        now: The clock of the marks, Unix time.
    """

    def __init__(self, folder: Path, ceremony: str, peer: str, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._path = folder / hashlib.sha256(f"{ceremony}\n{peer}".encode()).hexdigest()
        self._new = self._path.with_suffix(".new")
        self._trusted: frozenset[str] = frozenset()
        self._now = now

    def __repr__(self) -> str:
        return f"ResumeSecrets({str(self._path)!r})"

    def keep(self, secret: bytes) -> str:
        """Keep a secret as the newest; those before it stay until `settle` or `shared`.

        Args:
            secret: 32 bytes, derived from the channel.

        Returns:
            Its SHA-256 in hex, for the journal.

        Raises:
            StorageError: It could not be written; what was kept before still is.
        """
        if len(secret) != SECRET_SIZE:
            raise ValueError(f"a secret has {SECRET_SIZE} bytes")
        digest = _digest(secret)
        before = self._read()
        self._trusted |= {digest}
        known = next((one for one in before if one.secret == secret), _Secret(secret, {}))
        self._write((known, *(one for one in before if one.secret != secret))[:KEPT])
        return digest

    def settle(self) -> None:
        """The other side has the newest secret: forget those before it.

        Raises:
            StorageError: It could not be written.
        """
        kept = self._read()
        if len(kept) > 1:
            self._write(kept[:1])

    def shared(self, secret: bytes) -> None:
        """The other side was found by this secret, so that it is the one it has: forget the others.

        Without this a few connections that came to nothing would push out the only secret that both have.

        Raises:
            StorageError: It could not be written.
        """
        kept = self._read()
        ours = tuple(one for one in kept if one.secret == secret)
        if ours and ours != kept:
            self._write(ours)

    def trust(self, digests: Collection[str]) -> None:
        """Say which secrets may be used, as the journal knows them: a file that was swapped or edited gives none.

        Args:
            digests: SHA-256 in hex, as `keep` returned them.
        """
        self._trusted = frozenset(digests)

    def known(self) -> bool:
        """Whether there is a secret that can be used."""
        return bool(self._read())

    def remove(self) -> None:
        """Remove the file, if it is there, and what an interrupted write may have left.

        Raises:
            StorageError: It could not be removed.
        """
        try:
            for path in (self._path, self._new):
                path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise StorageError(f"{self._path} cannot be removed: {error.strerror or error}") from error
        self._sync_folder()

    # What a rendezvous needs.

    def secrets(self) -> tuple[bytes, ...]:
        """The secrets that can be used, newest first."""
        return tuple(one.secret for one in self._read())

    def marked(self, secret: bytes) -> Mapping[int, float]:
        """The marked numbers of a secret, and the Unix time of each mark."""
        return next((dict(one.marks) for one in self._read() if one.secret == secret), {})

    def mark(self, secret: bytes, number: int) -> None:
        """Mark a number with the time; it is on the disk when this returns.

        Raises:
            StorageError: It could not be written, or the secret is gone.
        """
        self._change(secret, lambda marks: {**marks, number: self._now()})

    def unmark(self, secret: bytes, number: int) -> None:
        """Take a mark away. Does nothing when it is not there.

        Raises:
            StorageError: It could not be written.
        """
        if number in self.marked(secret):
            self._change(secret, lambda marks: {each: at for each, at in marks.items() if each != number})

    # The file.

    def _change(self, secret: bytes, change: Callable[[dict[int, float]], dict[int, float]]) -> None:
        kept = self._read()
        if all(one.secret != secret for one in kept):
            raise StorageError("the secret for finding the other side again is gone", hint="go on with a new code")
        self._write(
            tuple(_Secret(one.secret, change(one.marks)) if one.secret == secret else one for one in kept),
        )

    def _read(self) -> tuple[_Secret, ...]:
        """What the file holds and the journal knows; nothing when it is not a file of ours."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                    return ()
                held = msgspec.json.decode(file.read(_MAX_FILE), type=_File)
        except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
            return ()
        return tuple(one for one in held.secrets if _digest(one.secret) in self._trusted)

    def _write(self, kept: tuple[_Secret, ...]) -> None:
        """Replace the file whole. One process holds a ceremony, so that nobody else writes the same name."""
        pruned = tuple(_Secret(one.secret, _newest(one.marks)) for one in kept)
        data = msgspec.json.encode(_File(1, pruned))
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not stat.S_ISDIR(self._folder.lstat().st_mode):
                raise StorageError(f"{self._folder} is not a folder", hint="move away what stands there")
            self._new.unlink(missing_ok=True)  # of a write that was interrupted
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(self._new, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._new.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._new.unlink(missing_ok=True)
            raise StorageError(
                f"{self._path} cannot be written: {error.strerror or error}", hint="free some space, then go on"
            ) from error
        self._sync_folder()

    def _sync_folder(self) -> None:
        """Make the change of names last, where the system can."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _newest(marks: Mapping[int, float]) -> dict[int, float]:
    """As many marks as matter: each lasts for minutes, and a side makes a few in that time."""
    return dict(sorted(marks.items(), key=lambda mark: mark[1])[-MAX_MARKS:])


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
