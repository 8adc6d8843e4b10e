"""Standard output and standard error as every command writes to them; what is written stands elsewhere.

A character that the encoding does not have becomes an escape, and a stream that cannot be written to is a failure with
a name: a full disk is no bug. A closed pipe stays a `BrokenPipeError`, because nobody reads any more.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTPUT = "standard output"
ERRORS = "standard error"
WIDTH = 80
"""Columns of a terminal that does not say how many it has."""


class OutputError(StorageError):
    """A stream of ours cannot be written to: the disk that it goes to is full, or it was closed."""


class _Stream(io.TextIOWrapper):
    """A stream whose failures say which it is.

    Args:
        stream: What the interpreter opened.
        called: Its name in a message.
    """

    def __init__(self, stream: io.TextIOWrapper, called: str) -> None:
        super().__init__(
            os.fdopen(stream.fileno(), "wb", closefd=False),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self._called = called
        self.at_margin = True

    def write(self, text: str, /) -> int:
        """As every text stream. Raises OutputError."""
        if text:
            self.at_margin = text.endswith("\n")
        with self._named():
            return super().write(text)

    def flush(self) -> None:
        """As every text stream. Raises OutputError."""
        with self._named():
            super().flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write to {self._called}: {error.strerror or type(error).__name__}") from error


def open_streams() -> None:
    """Put streams that name their failures in the place of the interpreter's.

    Raises:
        OutputError: There is no standard output: before anything is done, because what is done could not be told.
    """
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  open to the end
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  same
    elif isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Stream(sys.stderr, ERRORS)
    if sys.stdout is None:
        raise OutputError(f"{OUTPUT} is closed", hint="use >/dev/null to throw the result away")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Stream(sys.stdout, OUTPUT)


def interrupted() -> None:
    """Ctrl-C was typed: where that shows, it shows where the next words would begin."""
    if isinstance(sys.stderr, _Stream) and sys.stderr.isatty():
        sys.stderr.at_margin = False


def at_margin() -> bool:
    """Whether the next words on standard error begin a line."""
    return not isinstance(sys.stderr, _Stream) or sys.stderr.at_margin


def terminal_width() -> int | None:
    """The columns of the terminal that standard error is; None when it is none."""
    try:
        return (os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH) if sys.stderr.isatty() else None
    except (OSError, ValueError):
        return None


def drop_unwritten() -> None:
    """Throw away what a stream did not take: the interpreter would try again when it ends, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, OutputError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
