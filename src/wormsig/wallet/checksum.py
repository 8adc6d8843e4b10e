"""The eight-character descriptor checksum of BIP380. Pure; knows nothing of what a descriptor means."""

from __future__ import annotations

# BIP380, "Checksum": characters by group of 32, so that case and hardened-marker slips change few symbols.
INPUT_CHARSET = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
CHECKSUM_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM_LENGTH = 8

_GENERATOR = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)
_POSITION = {character: position for position, character in enumerate(INPUT_CHARSET)}
_LOW_35_BITS = 0x7FFFFFFFF


def _mixed(top: int) -> int:
    value = 0
    for bit, generator in enumerate(_GENERATOR):
        if top >> bit & 1:
            value ^= generator
    return value


_MIX = tuple(_mixed(top) for top in range(32))


def first_foreign_character(text: str) -> int | None:
    """The position of the first character outside BIP380's alphabet, or None."""
    return next((at for at, character in enumerate(text) if character not in _POSITION), None)


def descriptor_checksum(body: str) -> str:
    """The checksum of a descriptor without its `#checksum` (BIP380).

    Args:
        body: Characters of BIP380's alphabet only; see `first_foreign_character`.

    Returns:
        Eight characters.
    """
    state = 1
    group = 0
    count = 0
    for character in body:
        position = _POSITION[character]
        state = (state & _LOW_35_BITS) << 5 ^ (position & 31) ^ _MIX[state >> 35]
        group = group * 3 + (position >> 5)
        count += 1
        if count == 3:
            state = (state & _LOW_35_BITS) << 5 ^ group ^ _MIX[state >> 35]
            group = count = 0
    if count:
        state = (state & _LOW_35_BITS) << 5 ^ group ^ _MIX[state >> 35]
    for _ in range(CHECKSUM_LENGTH):
        state = (state & _LOW_35_BITS) << 5 ^ _MIX[state >> 35]
    state ^= 1
    return "".join(CHECKSUM_CHARSET[state >> 5 * (7 - at) & 31] for at in range(CHECKSUM_LENGTH))


def with_checksum(body: str) -> str:
    """A descriptor with its checksum appended."""
    return f"{body}#{descriptor_checksum(body)}"
