"""Public keys as points: whether they are on the curve, checked once for each key, and many at a time.

To read a public key costs libsecp256k1 a square root, an eighth of a verification. The same keys come back in every
copy of a PSBT, in the check of every signature and as parents of others, so what came out is remembered by the key's
own bytes. Whose keys they are does not belong here.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.batch import share_out
from wormsig.bitcoin.libsecp import library, scratch

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_REMEMBERED: Final = 1 << 15
"""Keys: about eight megabytes. When it is full everything is forgotten: whoever sends more keys gains nothing."""

_NO_POINT: Final = b""
_COST: Final = 0.07
"""Of reading a key, in verifications (`batch.share_out`): half of what it takes, because threads that hand each other
the interpreter lock every five microseconds gain half."""

_remembered: dict[bytes, bytes] = {}
# Public key -> libsecp256k1's own 64 bytes of the point, or nothing when it is none. Threads share it: an entry is
# the same whoever writes it.


def has_pubkey_form(pubkey: bytes) -> bool:
    """Whether these are 33 or 65 bytes that begin as a public key does.

    libsecp256k1 also reads hybrid keys (06, 07), which policy refuses.
    """
    size = len(pubkey)
    return (size == 33 and pubkey[0] in {2, 3}) or (size == 65 and pubkey[0] == 4)


def point_of(pubkey: bytes) -> bytes:
    """libsecp256k1's own 64 bytes of a public key; empty when it is none. Remembered."""
    known = _remembered.get(pubkey)
    return _read(pubkey) if known is None else known


def is_known_pubkey(pubkey: bytes) -> bool:
    """Whether these are 33 or 65 bytes of a point on the curve; remembered."""
    known = _remembered.get(pubkey)
    return bool(_read(pubkey) if known is None else known)


def _read(pubkey: bytes) -> bytes:
    found = _NO_POINT
    if has_pubkey_form(pubkey):
        lib = library()
        point = scratch.point
        if lib.pubkey_parse(lib.context, point, pubkey, len(pubkey)):
            found = point.raw
    _make_room(1)
    _remembered[pubkey] = found
    return found


def _make_room(count: int) -> None:
    if len(_remembered) + count > MOST_REMEMBERED:
        _remembered.clear()


def learn(pubkeys: Iterable[bytes]) -> None:
    """Read many public keys on every core, so that `point_of` and `is_known_pubkey` know them already.

    It is only a way to be fast: whoever asks for a key that was not learned gets the same answer.

    Args:
        pubkeys: Anything that may be one. Only what has 33 bytes is read, and more than half of what is remembered is
            left for later.
    """
    known = _remembered
    new = [pubkey for pubkey in dict.fromkeys(pubkeys) if len(pubkey) == 33 and pubkey not in known]
    del new[MOST_REMEMBERED // 2 :]
    _make_room(len(new))

    def work(first: int, last: int) -> dict[bytes, bytes]:
        lib = library()
        point = ctypes.create_string_buffer(64)
        to_point, parse, context, size = ctypes.c_void_p(ctypes.addressof(point)), lib.parse, lib.context, lib.sizes[33]
        return {
            pubkey: point.raw if parse(context, to_point, pubkey, size) else _NO_POINT for pubkey in new[first:last]
        }

    for part in share_out(len(new), _COST, work):
        known.update(part)
