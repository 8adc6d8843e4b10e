"""Compact sizes, the variable-length numbers of Bitcoin's formats; only the shortest form is read."""

from __future__ import annotations

import struct

from wormsig.errors import InputError

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


def read_compact(data: bytes, offset: int) -> tuple[int, int]:
    """Read a compact size.

    Args:
        data: The bytes.
        offset: Where the number begins.

    Returns:
        The number and the offset behind it.

    Raises:
        InputError: The bytes end within the number, or it is not written in its shortest form.
    """
    try:
        first = data[offset]
        if first < 0xFD:
            return first, offset + 1
        if first == 0xFD:
            value, size, least = _U16.unpack_from(data, offset + 1)[0], 3, 0xFD
        elif first == 0xFE:
            value, size, least = _U32.unpack_from(data, offset + 1)[0], 5, 0x1_0000
        else:
            value, size, least = _U64.unpack_from(data, offset + 1)[0], 9, 0x1_0000_0000
    except (IndexError, struct.error):
        raise InputError("ends within a length") from None
    if value < least:
        raise InputError("has a length that is not written in its shortest form")
    return value, offset + size


def write_compact(value: int) -> bytes:
    """A compact size in its shortest form; `value` is 0 to 2**64 - 1."""
    if value < 0xFD:
        return bytes((value,))
    if value < 0x1_0000:
        return b"\xfd" + _U16.pack(value)
    if value < 0x1_0000_0000:
        return b"\xfe" + _U32.pack(value)
    return b"\xff" + _U64.pack(value)
