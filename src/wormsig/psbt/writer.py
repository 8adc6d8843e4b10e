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
_LENGTHS: Final = tuple(write_compact(length) for length in range(0x400))
"""Most lengths, written beforehand."""


def _written(maps: Maps) -> Iterator[bytes]:
    """The magic, then each map with its separator.

    Joined one by one: joining everything at once takes eighty bytes of memory for each part.
    """
    yield MAGIC
    for fields in maps:
        yield written_map(fields)


def written_map(fields: Mapping[bytes, bytes]) -> bytes:
    """One map with its separator."""
    lengths = _LENGTHS
    parts: list[bytes] = []
    for key, value in fields.items():
        try:
            parts += (lengths[len(key)], key, lengths[len(value)], value)
        except IndexError:
            parts += (write_compact(len(key)), key, write_compact(len(value)), value)
    parts.append(b"\x00")
    return b"".join(parts)


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
