"""Hash preimages that miniscript asks for: fields of an input that count when they hash to a digest of its script.

They are evidence like signatures: they verify or they do not, wherever they come from.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.script import dsha256, hash160, ripemd160

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wormsig.psbt.model import Fields
    from wormsig.psbt.scripts import InputScripts


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


HASHES: Final[Mapping[int, tuple[str, Callable[[bytes], bytes]]]] = {
    0x0A: ("ripemd160", ripemd160),
    0x0B: ("sha256", _sha256),
    0x0C: ("hash160", hash160),
    0x0D: ("hash256", dsha256),
}
"""Key type of a preimage field -> the hash's name in miniscript, and the hash."""

PREIMAGE_SIZE: Final = 32
"""Miniscript fixes it: every other size fails its script (BIP379)."""


def preimages_in(fields: Fields) -> Iterator[tuple[str, bytes, bytes]]:
    """The preimages of an input's map that miniscript can use: the hash's name, digest and preimage; each verified."""
    for key, value in fields.items():
        if is_preimage(key, value):
            yield HASHES[key[0]][0], key[1:], value


def is_preimage(key: bytes, value: bytes) -> bool:
    """Whether a field is a preimage that miniscript can use, and a true one.

    Args:
        key: The whole key, type included.
        value: The preimage.
    """
    known = HASHES.get(key[0])
    return known is not None and len(value) == PREIMAGE_SIZE and known[1](value) == key[1:]


_HASH_CHECK: Final = re.compile(rb"\x82\x01\x20\x88(?:([\xa6\xa9])\x14(.{20})|([\xa8\xaa])\x20(.{32}))", re.DOTALL)
"""`OP_SIZE 32 OP_EQUALVERIFY <hash> digest`: how miniscript asks for a preimage."""
_TYPES: Final = {0xA6: 0x0A, 0xA8: 0x0B, 0xA9: 0x0C, 0xAA: 0x0D}
"""Opcode of a hash -> key type of its preimages."""


def wanted_in(scripts: InputScripts) -> frozenset[bytes]:
    """The whole keys of the preimage fields that an input's proven scripts ask for."""
    if scripts.taproot is not None:
        shown = [leaf.script for leaf in scripts.taproot.leaves.values() if leaf.multi_a is None]
    else:
        shown = [scripts.witness] if scripts.witness is not None else []
    found: set[bytes] = set()
    for script in shown:
        for match in _HASH_CHECK.finditer(script):
            opcode, digest = (match[1], match[2]) if match[1] else (match[3], match[4])
            found.add(bytes((_TYPES[opcode[0]],)) + digest)
    return frozenset(found)
