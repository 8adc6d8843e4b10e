"""Maps to bytes; apart from `codec` so that `model` can hash what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.tx import write_compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAGIC: Final = b"psbt\xff"
_LENGTHS: Final = tuple(bytes((length,)) for length in range(0xFD))
_MOST_PARTS: Final = 4_000
"""Pieces that are joined at once, about: while it lasts, joining takes eighty bytes for each."""


def write_maps(maps: Iterable[Mapping[bytes, bytes]]) -> bytes:
    """The whole PSBT: magic, then every map in order, its fields in the order they are held."""
    written: list[bytes] = []
    parts = [MAGIC]
    add = parts.append
    short = _LENGTHS
    for fields in maps:
        for key, value in fields.items():
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
