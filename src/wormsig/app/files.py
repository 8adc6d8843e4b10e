"""Reading what a person names and writing what a person asked for: whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wormsig.errors import InputError, StorageError, UsageError
from wormsig.psbt.limits import MAX_FILE_PSBT
from wormsig.wallet.storage import write_whole

BASE64_MAGIC = "cHNidP"
_MAX_SHOWN = 200
"""Characters of an argument that a message repeats. No file has a longer name; base64, and a key by mistake, do."""


def shown(argument: str) -> str:
    """What a message calls an argument: standard input, a path, or the beginning of something long."""
    if argument == "-":
        return "standard input"
    if len(argument) <= _MAX_SHOWN:
        return argument
    return "the argument" if argument.lstrip().startswith(BASE64_MAGIC) else f"{argument[:40]}…"


def read_argument(argument: str, *, limit: int = MAX_FILE_PSBT) -> bytes:
    """The bytes behind a PSBT argument: base64 itself, `-` for standard input, else a file.

    Args:
        argument: What was typed.
        limit: Bytes of raw content; base64 may take a third more.

    Raises:
        InputError: The file cannot be read, or holds more than the limit.
    """
    if argument.lstrip().startswith(BASE64_MAGIC):
        return argument.encode("utf-8", "surrogateescape")
    if not argument:
        raise InputError("the name of the file is empty", hint="name a file, or - for standard input")
    bound = limit // 3 * 4 + 4096
    try:
        if argument == "-":
            data = sys.stdin.buffer.read(bound + 1)
        else:
            with Path(argument).open("rb") as file:
                data = file.read(bound + 1)
    except OSError as error:
        hint = f"base64 of a PSBT begins with {BASE64_MAGIC}" if len(argument) > _MAX_SHOWN else None
        raise InputError(f"cannot read {shown(argument)}: {error.strerror}", hint=hint) from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"cannot read {shown(argument)}: not a path") from error
    if len(data) > bound:
        raise InputError(f"{shown(argument)} is larger than {limit} bytes", hint="is it a PSBT?")
    return data


def check_output(path: Path | None, *, force: bool) -> None:
    """Refuse an output file that exists, before any work is done.

    Raises:
        UsageError: It exists and `force` is not set, its folder is missing, or it is no name for a file.
        StorageError: The system does not let us look.
    """
    if path is None:
        return
    try:
        _refuse_output(path, force=force)
    except OSError as error:
        raise StorageError(f"cannot write {shown(str(path))}: {error.strerror}") from error


def _refuse_output(path: Path, *, force: bool) -> None:
    if str(path) == "-":
        raise UsageError("- is no name for a file", hint="name one; without -o the result goes to standard output")
    if not path.name:
        raise UsageError("the name of the output file is empty", hint="name a file, or leave -o out")
    if not path.parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist")
    if path.is_dir():
        raise UsageError(f"{path} is a folder")
    if path.exists() and not path.is_file():  # a device or a pipe: a file would be put in its place
        raise UsageError(f"{path} is not a regular file", hint="leave -o out for standard output")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} exists", hint="choose another name, or use --force")


def write_file(path: Path, data: bytes, *, force: bool = False, mode: int = 0o600) -> None:
    """Write a file whole or not at all: temporary name in the same folder, flushed to disk, then renamed.

    Raises:
        UsageError: It exists and `force` is not set.
        StorageError: It cannot be written; nothing is left behind.
    """
    check_output(path, force=force)
    write_whole(path, data, force=force, mode=mode)


def write_result(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write what a ceremony brought. It was checked before that this can work: what fails now is no wrong usage.

    Raises:
        StorageError: It cannot be written, or somebody made the file meanwhile.
    """
    try:
        write_file(path, data, force=force)
    except UsageError as error:
        raise StorageError(error.message, hint="nothing is lost: the ceremony is in the journal") from error
