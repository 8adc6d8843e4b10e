"""Many children of a few extended keys at once (BIP32): what checking a wallet's scripts costs, and signing for it.

One public step is one HMAC-SHA512 and three calls of libsecp256k1. Here the HMAC's first half is computed once a
parent, and the arguments of the calls are made once; the longest call lets the interpreter lock go, so that threads can
share the work. Single steps are `keys.derive_public`.
"""

from __future__ import annotations

import ctypes
import hashlib
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.batch import share_out
from wormsig.bitcoin.keys import HARDENED
from wormsig.bitcoin.libsecp import COMPRESSED, library
from wormsig.bitcoin.secp import pubkey_of
from wormsig.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRIVATE_COST: Final = 0.7
"""Of a private key's public key, in verifications (`batch.share_out`)."""
_BLOCK: Final = 128
"""Bytes that SHA-512 takes at a time; HMAC's key is padded to it (RFC 2104)."""
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class Parent:
    """An extended public key that has many children.

    Args:
        pubkey: 33 bytes.
        chain_code: 32 bytes.

    Raises:
        DescriptorError: The key is not on the curve.
    """

    __slots__ = ("_inner", "_outer", "_point", "chain_code", "pubkey")

    def __init__(self, pubkey: bytes, chain_code: bytes) -> None:
        self.pubkey = pubkey
        self.chain_code = chain_code
        key = chain_code.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha512(key.translate(_INNER) + pubkey)
        self._outer = hashlib.sha512(key.translate(_OUTER))
        self._point = ctypes.create_string_buffer(64)
        lib = library()
        if len(pubkey) != 33 or not lib.pubkey_parse(lib.context, self._point, pubkey, 33):
            raise DescriptorError("extended key: its public key is not on the curve")

    def children(self, indices: Sequence[int]) -> list[bytes]:
        """The children at some indices, in their order.

        Args:
            indices: Not hardened.

        Returns:
            33 bytes each.

        Raises:
            DescriptorError: A child does not exist (one in 2**127), or an index is hardened.
        """
        lib = library()
        create, combine, serialize = lib.steps
        # Made for this call alone: threads share a parent, and nothing that is written to may be shared.
        addend, total, key = (ctypes.create_string_buffer(size) for size in (64, 64, 33))
        addends = (ctypes.c_void_p * 2)(ctypes.addressof(self._point), ctypes.addressof(addend))
        size = ctypes.c_size_t(33)
        to_addend, to_total, to_key, to_addends, to_size = (
            ctypes.c_void_p(ctypes.addressof(buffer)) for buffer in (addend, total, key, addends, size)
        )
        context, two, flag = lib.context, ctypes.c_size_t(2), ctypes.c_uint(COMPRESSED)
        new_inner, new_outer = self._inner.copy, self._outer.copy
        found = []
        for index in indices:
            if not 0 <= index < HARDENED:
                raise DescriptorError("a hardened step needs the private key")
            inner, outer = new_inner(), new_outer()
            inner.update(index.to_bytes(4, "big"))
            outer.update(inner.digest())
            # The first 32 of the 64 bytes are the tweak, and the library reads no more.
            if not (create(context, to_addend, outer.digest()) and combine(context, to_total, to_addends, two)):
                raise DescriptorError(f"key has no child {index}")
            serialize(context, to_key, to_size, to_total, flag)
            found.append(key.raw)
        return found


class PrivateParent:
    """An extended private key that has many children; its repr shows none of it.

    Args:
        seckey: 32 bytes.
        chain_code: 32 bytes.

    Raises:
        InputError: The secret key is out of range; its value is not in the message.
    """

    __slots__ = ("_inner", "_outer", "_seckey")

    def __init__(self, seckey: bytes, chain_code: bytes) -> None:
        key = chain_code.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha512(key.translate(_INNER) + pubkey_of(seckey))
        self._outer = hashlib.sha512(key.translate(_OUTER))
        self._seckey = seckey

    def children(self, indices: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """The children at some indices, in their order, on every core when there are enough of them.

        Args:
            indices: Not hardened.

        Returns:
            Secret key (32 bytes) and public key (33) of each.

        Raises:
            DescriptorError: A child does not exist (one in 2**127), or an index is hardened.
        """
        seckeys = self.seckeys(indices)

        def work(first: int, last: int) -> list[tuple[bytes, bytes]]:
            return [(seckey, pubkey_of(seckey)) for seckey in seckeys[first:last]]

        return [child for part in share_out(len(indices), _PRIVATE_COST, work) for child in part]

    def seckeys(self, indices: Sequence[int]) -> list[bytes]:
        """The children's secret keys alone, which takes a tenth of the time: for whoever knows the public keys.

        Args:
            indices: Not hardened.

        Returns:
            32 bytes each.

        Raises:
            DescriptorError: As `children`.
        """
        lib = library()
        add, context, parent = lib.tweak, lib.context, self._seckey
        new_inner, new_outer = self._inner.copy, self._outer.copy
        buffer = ctypes.create_string_buffer(32)
        to_buffer = ctypes.c_void_p(ctypes.addressof(buffer))
        found = []
        try:
            for index in indices:
                if not 0 <= index < HARDENED:
                    raise DescriptorError("only steps that are not hardened are made here")
                inner, outer = new_inner(), new_outer()
                inner.update(index.to_bytes(4, "big"))
                outer.update(inner.digest())
                buffer.raw = parent
                # The first 32 of the 64 bytes are the tweak, and the library reads no more.
                if not add(context, to_buffer, outer.digest()):
                    raise DescriptorError(f"key has no child {index}")
                found.append(buffer.raw)
        finally:
            ctypes.memset(buffer, 0, 32)
        return found


def children(parents: Sequence[Parent], indices: Sequence[int]) -> list[tuple[bytes, ...]]:
    """The children of several keys at the same indices; `batch.share_out` puts parts of them on every core.

    Args:
        parents: The keys.
        indices: Not hardened.

    Returns:
        For each index the children of all parents, in their order.

    Raises:
        DescriptorError: A child does not exist (one in 2**127), or an index is hardened.
    """
    return list(zip(*[parent.children(indices) for parent in parents], strict=True))
