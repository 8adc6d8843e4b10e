"""MuSig2 public keys: aggregation (BIP327), and the extended key that is made of an aggregate (BIP328). No signing."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.keys import ExtendedPublicKey
from wormsig.bitcoin.libsecp import library, scratch, serialized
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CACHE_SIZE: Final = 197
_CHAIN_CODE: Final = bytes.fromhex("868087ca02a6f974c4598924c36b57762d32cb45717167e300622c7167e38965")
"""BIP328: the SHA-256 of "MuSig2MuSig2MuSig2"."""


def aggregate(pubkeys: Sequence[bytes]) -> bytes:
    """One public key for several that sign together (BIP327, KeyAgg).

    Args:
        pubkeys: 33 bytes each, in the order that is meant; descriptors sort them first (BIP390, `sorted`).

    Returns:
        33 bytes.

    Raises:
        InputError: There is none, or one is not a compressed public key.
    """
    lib = library()
    points = [ctypes.create_string_buffer(64) for _ in pubkeys]
    for point, pubkey in zip(points, pubkeys, strict=True):
        if len(pubkey) != 33 or not lib.pubkey_parse(lib.context, point, pubkey, 33):
            raise InputError("a key to aggregate is not a compressed public key")
    addresses = (ctypes.c_void_p * len(points))(*[ctypes.addressof(point) for point in points])
    cache = ctypes.create_string_buffer(_CACHE_SIZE)
    if not points or not lib.musig_pubkey_agg(lib.context, None, cache, addresses, len(points)):
        raise InputError("these keys cannot be aggregated")
    lib.musig_pubkey_get(lib.context, scratch.sum, cache)
    return serialized(lib, scratch.sum)


def synthetic_xpub(aggregated: bytes, *, mainnet: bool) -> ExtendedPublicKey:
    """The extended key whose children stand for an aggregate's (BIP328).

    Args:
        aggregated: From `aggregate`.
        mainnet: Whether it is written xpub rather than tpub.
    """
    return ExtendedPublicKey(0, bytes(4), 0, _CHAIN_CODE, aggregated, mainnet)
