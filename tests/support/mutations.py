"""PSBTs with something changed in them, field by field: most of them still get past the frame.

Used where a great many are wanted: properties, the comparison with bitcoind, fuzzing. Everything comes from a
`random.Random`, so a seed names a PSBT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import read_compact, write_compact
from wormsig.errors import InputError

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

Maps = list[list[tuple[bytes, bytes]]]

TYPES = (
    (*range(10), 0xFB, 0xFC, 0xE0),
    (*range(0x1F), 0xFC, 0xE0),
    (*range(0x0B), 0x35, 0xFC, 0xE0),
)
"""Key types worth having in a global, input and output map."""

VALUES = (
    b"",
    b"\x00",
    b"\x01",
    b"\x01\x00\x00\x00",
    b"\x02\x00\x00\x00",
    b"\x83\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x00\x65\xcd\x1d",
    bytes(8),
    b"\xff" * 8,
    bytes(20),
    bytes(32),
    bytes(64),
    bytes(66),
    b"\xfd\xff\xff",
    b"\xfe\xff\xff\xff\xff",
    b"\xff" * 9,
    b"\x00\xc0\x01\x51",
    b"\x01\x00",
    b"\x02" + bytes(32),
)


def split(raw: bytes) -> Maps:
    """The maps of a PSBT as far as they can be read; whatever is behind is left away."""
    maps: Maps = []
    fields: list[tuple[bytes, bytes]] = []
    offset = 5
    try:
        while offset < len(raw):
            size, start = read_compact(raw, offset)
            if not size:
                maps.append(fields)
                fields, offset = [], start
                continue
            length, begin = read_compact(raw, start + size)
            fields.append((raw[start : start + size], raw[begin : begin + length]))
            offset = begin + length
    except InputError:
        pass
    return maps or [[]]


def join(maps: Maps) -> bytes:
    """Maps to bytes, whatever is in them."""
    parts = [b"psbt\xff"]
    for fields in maps:
        for key, value in fields:
            parts += (write_compact(len(key)), key, write_compact(len(value)), value)
        parts.append(b"\x00")
    return b"".join(parts)


def mutate(raw: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A PSBT with one to three changes, now and then in bytes rather than in fields.

    Args:
        raw: The PSBT.
        rng: Where every choice comes from.
        others: PSBTs that fields and keys are borrowed from.
    """
    if rng.random() < 0.1:
        return _in_bytes(raw, rng)
    maps = split(raw)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_CHANGES)(maps, rng, others)
    data = join(maps)
    return _in_bytes(data, rng) if rng.random() < 0.02 else data


def _in_bytes(raw: bytes, rng: random.Random) -> bytes:
    data = bytearray(raw)
    at = rng.randrange(len(data)) if data else 0
    size = rng.randint(1, 16)
    kind = rng.randrange(4)
    if kind == 0 and data:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[at : at + size]
    elif kind == 2:
        data[at:at] = data[at : at + size]
    else:
        data[at:at] = rng.choice(VALUES)
    return bytes(data)


def _spot(maps: Maps, rng: random.Random) -> tuple[list[tuple[bytes, bytes]], int]:
    """A map, and a position in it; -1 when it is empty."""
    fields = rng.choice(maps)
    return fields, rng.randrange(len(fields)) if fields else -1


def _bytes_changed(data: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0 or not data:
        return rng.choice(VALUES)
    at = rng.randrange(len(data))
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data + data[:1]
    if kind == 3:
        return data[:at] + rng.choice(VALUES) + data[at:]
    if kind == 4:
        return data[:at] + data[at + 1 :]
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _value(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    fields, at = _spot(maps, rng)
    if at >= 0:
        key, value = fields[at]
        fields[at] = key, _bytes_changed(value, rng)


def _key(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    fields, at = _spot(maps, rng)
    if at >= 0:
        key, value = fields[at]
        data = key[:1] + (_bytes_changed(key[1:], rng) if rng.random() < 0.8 else b"")
        fields[at] = data, value


def _type(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    fields, at = _spot(maps, rng)
    if at >= 0:
        key, value = fields[at]
        fields[at] = bytes([rng.choice(rng.choice(TYPES))]) + key[1:], value


def _drop(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    fields, at = _spot(maps, rng)
    if at >= 0:
        del fields[at]


def _double(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    fields, at = _spot(maps, rng)
    if at >= 0:
        fields.insert(rng.randrange(len(fields) + 1), fields[at])


def _shuffle(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    rng.shuffle(rng.choice(maps))


def _borrow(maps: Maps, rng: random.Random, others: Sequence[bytes]) -> None:
    """A field of another PSBT, as it is or in place of one's own value."""
    theirs, at = _spot(split(rng.choice(others)), rng)
    fields, here = _spot(maps, rng)
    if at < 0:
        return
    if here >= 0 and rng.random() < 0.5:
        fields[here] = fields[here][0], theirs[at][1]
    else:
        fields.insert(rng.randrange(len(fields) + 1), theirs[at])


def _invent(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    """A new field of some type, keyed by something that is there already or by nothing."""
    place = rng.randrange(len(maps))
    kind = 0 if place == 0 else rng.choice((1, 2))
    keys = [key[1:] for fields in maps for key, _ in fields if len(key) > 1] or [b""]
    data = rng.choice((b"", rng.choice(keys), rng.choice(keys)[1:], rng.choice(VALUES), rng.choice(keys) * 2))
    values = [value for fields in maps for _, value in fields] or [b""]
    value = rng.choice((rng.choice(VALUES), rng.choice(values)))
    maps[place].insert(rng.randrange(len(maps[place]) + 1), (bytes([rng.choice(TYPES[kind])]) + data, value))


def _map(maps: Maps, rng: random.Random, _others: Sequence[bytes]) -> None:
    """A map more or fewer, or two that change places."""
    at = rng.randrange(len(maps))
    kind = rng.randrange(3)
    if kind == 0 and len(maps) > 1:
        del maps[at]
    elif kind == 1:
        maps.insert(at, [])
    else:
        other = rng.randrange(len(maps))
        maps[at], maps[other] = maps[other], maps[at]


_CHANGES = (_value, _value, _value, _key, _key, _type, _drop, _drop, _double, _shuffle, _borrow, _invent, _invent, _map)
