"""Maps to bytes, and to their hash; apart from `codec` so that `model` can hash what it holds."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.tx import write_compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Maps = Iterable[Mapping[bytes, bytes]]

MAGIC: Final = b"psbt\xff"
<<<<<<< Updated upstream
_LENGTHS: Final = tuple(bytes((length,)) for length in range(0xFD))
_MOST_PARTS: Final = 4_000
"""Pieces that are joined at once, about: while it lasts, joining takes eighty bytes for each."""


def write_maps(maps: Iterable[Mapping[bytes, bytes]]) -> bytes:
    """The whole PSBT: magic, then every map in order, its fields in the order they are held."""
    written: list[bytes] = []
    parts = [MAGIC]
    add = parts.append
    short = _LENGTHS
=======
_LENGTHS: Final = tuple(write_compact(length) for length in range(0x400))
"""Most lengths, written beforehand."""


def _written(maps: Maps) -> Iterator[bytes]:
    """The magic, then each map with its separator.

    Joined one by one: joining everything at once takes eighty bytes of memory for each part.
    """
    yield MAGIC
    lengths = _LENGTHS
>>>>>>> Stashed changes
    for fields in maps:
        parts: list[bytes] = []
        for key, value in fields.items():
<<<<<<< Updated upstream
            size = len(key)
            add(short[size] if size < 0xFD else write_compact(size))
            add(key)
            size = len(value)
            add(short[size] if size < 0xFD else write_compact(size))
            add(value)
        add(b"\x00")
        if len(parts) > _MOST_PARTS:
            written.append(b"".join(parts))
            parts.clear()
    return b"".join((*written, *parts))
=======
            try:
                parts += (lengths[len(key)], key, lengths[len(value)], value)
            except IndexError:
                parts += (write_compact(len(key)), key, write_compact(len(value)), value)
        parts.append(b"\x00")
        yield b"".join(parts)


def write_maps(maps: Maps) -> bytes:
    """The whole PSBT: magic, then every map in order, its fields in the order they are held."""
    whole = io.BytesIO()
    whole.writelines(_written(maps))
    return whole.getvalue()


def hash_maps(maps: Maps) -> str:
    """The SHA-256 of what `write_maps` makes, in hex."""
    digest = hashlib.sha256()
    for part in _written(maps):
        digest.update(part)
    return digest.hexdigest()
>>>>>>> Stashed changes
