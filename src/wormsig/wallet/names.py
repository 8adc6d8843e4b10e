"""Names of wallets and cosigners: short, printable, no tricks with paths or the terminal."""

from __future__ import annotations

import unicodedata

from wormsig.errors import UsageError

MAX_NAME = 40
"""Characters."""

_INNER = frozenset("-_.+ ")


def _letters(name: str) -> bool:
    """Letters and digits of any script, with `- _ . +` and single spaces between them."""
    return (
        bool(name)
        and name[0].isalnum()
        and name[-1].isalnum()
        and all(character.isalnum() or character in _INNER for character in name)
        and "  " not in name
        and ".." not in name
        and unicodedata.normalize("NFC", name) == name
    )


def check_wallet_name(name: str) -> None:
    """A wallet's name is also a file's name.

    Raises:
        UsageError: It is empty, too long, or holds anything but letters, digits and `- _ . +`.
    """
    if len(name) > MAX_NAME or len(name.encode()) > 4 * MAX_NAME or " " in name or not _letters(name):
        raise UsageError(
            f"{name[:MAX_NAME]!r} cannot be the name of a wallet",
            hint=f"use up to {MAX_NAME} letters and digits, with - _ . + between them",
        )


def check_key_name(name: str) -> None:
    """A cosigner's name.

    Raises:
        UsageError: It is empty, too long, or holds anything but letters, digits, single spaces and `- _ . +`.
    """
    if len(name) > MAX_NAME or not _letters(name):
        raise UsageError(
            f"{name[:MAX_NAME]!r} cannot be the name of a cosigner",
            hint=f"use up to {MAX_NAME} letters and digits, with spaces or - _ . + between them",
        )
