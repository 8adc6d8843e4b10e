"""What a script pushes: whether it names a key, or the hash of one, or a digest. Nothing is run."""

from __future__ import annotations

from functools import lru_cache

from wormsig.bitcoin.script import hash160, walk
from wormsig.errors import InputError


@lru_cache(maxsize=64)
def pushed(script: bytes) -> frozenset[bytes]:
    """What a script pushes; remembered, because every signature of an input asks again (THREATS C16).

    Nothing when the script ends within a push.
    """
    try:
        return frozenset(data for _, data, _ in walk(script) if data)
    except InputError:
        return frozenset()


def mentions(script: bytes, pubkey: bytes) -> bool:
    """Whether a script pushes a key or its hash."""
    found = pushed(script)
    return pubkey in found or hash160(pubkey) in found
