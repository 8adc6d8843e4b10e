"""age files with a passphrase (age-encryption.org/v1, scrypt recipient), as `age -p` writes and `age -d` reads them.

pyrage does the cryptography. It takes no work factor and holds the interpreter lock for seconds: call this before a
reactor runs, or in a child process. The work factor of a file is read here before any work is done.
"""

from __future__ import annotations

import base64
import binascii
import re

from wormsig.errors import KeyFileError, UsageError

MAX_WORK_FACTOR = 20
"""log2 of scrypt's N: 1 GiB for a moment, about 3 s. What pyrage itself writes is 19 or 20."""

_MAGIC = b"age-encryption.org/v1\n"
_ARMOR_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_ARMOR_END = b"-----END AGE ENCRYPTED FILE-----"
_SCRYPT = re.compile(rb"-> scrypt [A-Za-z0-9+/]{22} ([1-9][0-9]{0,3})\n")


def is_age(data: bytes) -> bool:
    """Whether these bytes begin as an age file does, binary or armored."""
    return data.startswith((_MAGIC, _ARMOR_BEGIN))


def check_openable(data: bytes) -> bytes:
    """Look at an age file's header before a passphrase is asked for or any work is done.

    Args:
        data: The file, binary or armored.

    Returns:
        The file in binary.

    Raises:
        KeyFileError: Not an age file, not one with a passphrase, or its work factor is above `MAX_WORK_FACTOR`.
    """
    if data.startswith(_ARMOR_BEGIN):
        data = _unarmored(data)
    if not data.startswith(_MAGIC):
        raise KeyFileError("not an age file of version 1")
    stanza = _SCRYPT.match(data, len(_MAGIC))
    if stanza is None:
        raise KeyFileError(
            "the key file is not encrypted with a passphrase", hint="decrypt it with age, and import its content"
        )
    factor = int(stanza[1])
    if factor > MAX_WORK_FACTOR:
        raise KeyFileError(
            f"the key file's work factor is {factor}, more than {MAX_WORK_FACTOR}: opening it would take"
            f" {1 << min(factor, 60) - 10} MiB of memory",
            hint="decrypt it with age, and import its content",
        )
    return data


def _unarmored(data: bytes) -> bytes:
    lines = data.strip().splitlines()
    if lines[-1].strip() != _ARMOR_END:
        raise KeyFileError("the armored age file is cut off")
    try:
        return base64.b64decode(b"".join(line.strip() for line in lines[1:-1]), validate=True)
    except binascii.Error:
        raise KeyFileError("the armored age file is damaged") from None


def decrypt(data: bytes, passphrase: str) -> bytes:
    """Open an age file. Takes up to 3 s and holds the interpreter lock.

    Raises:
        KeyFileError: See `check_openable`; or the passphrase is wrong, or the file is damaged.
    """
    binary = check_openable(data)
    import pyrage  # noqa: PLC0415  1 MB of machine code, for encrypted files only

    try:
        return bytes(pyrage.passphrase.decrypt(binary, passphrase))
    except pyrage.DecryptError as error:
        if "work" in str(error).lower():  # its own limit, which depends on how fast this machine is
            raise KeyFileError("opening the key file would take too much work on this machine") from None
        raise KeyFileError("the key file cannot be opened: the passphrase is wrong, or the file is damaged") from None


def encrypt(data: bytes, passphrase: str) -> bytes:
    """Encrypt with a passphrase. Takes up to 3 s and 1 GiB, and holds the interpreter lock.

    Raises:
        UsageError: The passphrase is empty.
    """
    if not passphrase:
        raise UsageError("the passphrase is empty")
    import pyrage  # noqa: PLC0415  1 MB of machine code, for encrypted files only

    return bytes(pyrage.passphrase.encrypt(data, passphrase))
