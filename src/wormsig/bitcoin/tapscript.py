"""The scripts of taproot leaves (BIP342): the `multi_a` template of BIP387.

Trees of leaves stand in `taproot`; miniscript does not belong here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin.script import push
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MULTI_A_KEYS: Final = 999
"""As many as the stack of a tapscript has room for."""

_OP_1: Final = 0x51
_OP_NUMEQUAL: Final = 0x9C
_OP_CHECKSIG: Final = 0xAC
_OP_CHECKSIGADD: Final = 0xBA
_KEY_STEP: Final = 34
"""A pushed x-only key and the opcode behind it."""


class MultiA(msgspec.Struct, frozen=True):
    """An m-of-n of OP_CHECKSIGADD (BIP387); x-only keys of 32 bytes in script order.

    The witness has one item a key, in reverse order: the signature, or nothing.
    """

    threshold: int
    keys: tuple[bytes, ...]


def _number(value: int) -> bytes:
    """1 to 999 as a script writes it: an opcode, or the shortest little-endian number with a sign bit."""
    if value <= 16:
        return bytes((_OP_1 + value - 1,))
    return push(value.to_bytes(value.bit_length() // 8 + 1, "little"))


def multi_a_script(threshold: int, keys: Sequence[bytes]) -> bytes:
    """The script `<key> OP_CHECKSIG <key> OP_CHECKSIGADD ... threshold OP_NUMEQUAL` (BIP387).

    Args:
        threshold: At least 1.
        keys: X-only, in the order given (`sortedmulti_a` sorting is the caller's).

    Raises:
        InputError: No or too many keys, a threshold that cannot be, or a key of another length than 32.
    """
    if not 1 <= threshold <= len(keys) <= MAX_MULTI_A_KEYS:
        raise InputError(f"{threshold} of {len(keys)} is no multisig")
    if any(len(key) != 32 for key in keys):
        raise InputError("a public key in a tapscript multisig has 32 bytes")
    steps = b"\xba".join([b"\x20" + key for key in keys[1:]])
    first = b"\x20" + keys[0] + b"\xac"
    return first + (steps + b"\xba" if steps else b"") + _number(threshold) + b"\x9c"


def parse_multi_a(script: bytes) -> MultiA | None:
    """The inverse of `multi_a_script`, for exactly that template; None for any other script.

    That the keys are on the curve is not checked.
    """
    end = len(script)
    keys: list[bytes] = []
    offset, opcode = 0, _OP_CHECKSIG
    while end - offset > _KEY_STEP and script[offset] == 0x20 and script[offset + 33] == opcode:
        keys.append(script[offset + 1 : offset + 33])
        offset += _KEY_STEP
        opcode = _OP_CHECKSIGADD
    rest = script[offset:-1]
    if not keys or not rest or len(keys) > MAX_MULTI_A_KEYS or script[-1] != _OP_NUMEQUAL:
        return None
    threshold = rest[0] - _OP_1 + 1 if len(rest) == 1 else int.from_bytes(rest[1:], "little")
    if not 1 <= threshold <= len(keys) or _number(threshold) != rest:
        return None
    return MultiA(threshold, tuple(keys))
