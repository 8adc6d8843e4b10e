"""Keys, key tweaks and ECDSA on libsecp256k1, called through ctypes; safe to use from any thread.

The library is loaded and checked at first use (`libsecp`). BIP340 and taproot's tweaks stand in `schnorr`. What is
signed and why does not belong here; nor do derivation paths (`keys`).
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.batch import share_out
from wormsig.bitcoin.der import ecdsa_form
from wormsig.bitcoin.libsecp import MAX_DER, equip_bitcointx, library, library_path, scratch, serialized
from wormsig.bitcoin.points import has_pubkey_form, point_of
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wormsig.bitcoin.batch import Item

__all__ = [
    "ecdsa_form",
    "ecdsa_sign",
    "ecdsa_verify",
    "equip_bitcointx",
    "is_pubkey",
    "is_seckey",
    "library_path",
    "pubkey_of",
    "pubkey_tweak_add",
    "seckey_negate",
    "seckey_tweak_add",
    "sign_batch",
    "verify_batch",
    "verify_some",
]

_SIGNING_COST: Final = 2.5
"""In verifications (`batch.share_out`): two signatures until one has a low R, and one verification."""


def is_pubkey(pubkey: bytes) -> bool:
    """Whether these are 33 or 65 bytes of a point on the curve; hybrid keys are not. `points` remembers the answer."""
    if not has_pubkey_form(pubkey):
        return False
    lib = library()
    return bool(lib.pubkey_parse(lib.context, scratch.point, pubkey, len(pubkey)))


def is_seckey(seckey: bytes) -> bool:
    """Whether these are 32 bytes of a number from 1 to the group order less one."""
    lib = library()
    return len(seckey) == 32 and bool(lib.seckey_verify(lib.context, seckey))


def pubkey_of(seckey: bytes) -> bytes:
    """The compressed public key (33 bytes) of a secret key (32 bytes).

    Raises:
        InputError: The secret key is out of range; its value is not in the message.
    """
    lib = library()
    point = scratch.point
    if len(seckey) != 32 or not lib.pubkey_create(lib.context, point, seckey):
        raise InputError("secret key is out of range")
    return serialized(lib, point)


def pubkey_tweak_add(pubkey: bytes, tweak: bytes) -> bytes | None:
    """`pubkey + tweak*G`, as BIP32's CKDpub needs it.

    Args:
        pubkey: 33 bytes.
        tweak: 32 bytes.

    Returns:
        33 bytes, or None when the key is not a point, the tweak is out of range or the sum is infinity.
    """
    parent = point_of(pubkey)
    if not parent or len(tweak) != 32:
        return None
    lib = library()
    context, total = lib.context, scratch.sum
    scratch.point.raw = parent
    # tweak*G from the generator's table and one addition: a seventh faster than ec_pubkey_tweak_add, and the same but
    # for a tweak of zero.
    if lib.pubkey_create(context, scratch.addend, tweak):
        done = lib.pubkey_combine(context, total, scratch.addends, 2)
    else:
        total.raw = parent
        done = lib.pubkey_tweak_add(context, total, tweak)
    return serialized(lib, total) if done else None


def seckey_tweak_add(seckey: bytes, tweak: bytes) -> bytes | None:
    """`seckey + tweak` modulo the group order, as BIP32's CKDpriv needs it; None when out of range."""
    if len(seckey) != 32 or len(tweak) != 32:
        return None
    lib = library()
    buffer = ctypes.create_string_buffer(seckey, 32)
    result = buffer.raw if lib.seckey_tweak_add(lib.context, buffer, tweak) else None
    ctypes.memset(buffer, 0, 32)
    return result


def seckey_negate(seckey: bytes) -> bytes | None:
    """The secret key of the same point mirrored: its public key has the other parity; None when out of range."""
    if len(seckey) != 32:
        return None
    lib = library()
    buffer = ctypes.create_string_buffer(seckey, 32)
    result = buffer.raw if lib.seckey_negate(lib.context, buffer) else None
    ctypes.memset(buffer, 0, 32)
    return result


class _Signing:
    """Buffers for signing and verifying that one thread has for itself; nothing secret is put into them."""

    __slots__ = ("_der", "_lib", "_signature", "_size", "_to_der", "_to_signature", "_to_size")

    def __init__(self) -> None:
        self._lib = library()
        self._signature = ctypes.create_string_buffer(64)
        self._der = ctypes.create_string_buffer(MAX_DER)
        self._size = ctypes.c_size_t()
        self._to_signature, self._to_der, self._to_size = (
            ctypes.c_void_p(ctypes.addressof(buffer)) for buffer in (self._signature, self._der, self._size)
        )

    def sign(self, seckey: bytes, digest: bytes) -> bytes:
        """Sign; DER without sighash type."""
        if len(seckey) != 32 or len(digest) != 32:
            raise InputError("a secret key and a digest are 32 bytes each")
        lib, signature, size = self._lib, self._to_signature, self._size
        context, sign, write_der, der = lib.context, lib.sign, lib.write_der, self._der
        extra: bytes | None = None
        counter = 0
        while True:
            if not sign(context, signature, digest, seckey, None, extra):
                raise InputError("secret key is out of range")
            size.value = MAX_DER
            write_der(context, self._to_der, self._to_size, signature)
            if der[3] <= b"\x20":  # the length of R: 33 bytes when it is high
                return der.raw[: size.value]
            counter += 1
            extra = counter.to_bytes(32, "little")

    def is_signed_by(self, point: bytes, digest: bytes) -> bool:
        """Whether what was signed or read last is a valid signature of a digest; low S is asked for."""
        lib = self._lib
        return bool(point) and lib.verify(lib.context, self._to_signature, digest, point) == 1

    def verify(self, pubkey: bytes, digest: bytes, der: bytes) -> bool:
        """As `ecdsa_verify`."""
        lib, size = self._lib, len(der)
        if len(digest) != 32 or size > MAX_DER:
            return False
        if not lib.read_der(lib.context, self._to_signature, der, lib.sizes[size]):
            return False
        point = point_of(pubkey)
        return bool(point) and lib.verify(lib.context, self._to_signature, digest, point) == 1


_here = threading.local()


def _signing() -> _Signing:
    """This thread's own."""
    try:
        found: _Signing = _here.signing
    except AttributeError:
        found = _here.signing = _Signing()
    return found


def ecdsa_sign(seckey: bytes, digest: bytes) -> bytes:
    """Sign a digest as Bitcoin Core does, byte for byte.

    RFC6979 nonce, low S, and a low R found by counting up the extra entropy (its `CKey::Sign`).

    Args:
        seckey: 32 bytes.
        digest: 32 bytes.

    Returns:
        Strict DER, at most 70 bytes, without a sighash type.

    Raises:
        InputError: The secret key is out of range, or a length is wrong; no value is in the message.
    """
    return _signing().sign(seckey, digest)


def ecdsa_verify(pubkey: bytes, digest: bytes, der: bytes) -> bool:
    """Whether a signature is valid, in strict DER (BIP66) and with a low S (BIP146).

    Args:
        pubkey: 33 or 65 bytes.
        digest: 32 bytes.
        der: The signature without its sighash type.
    """
    return _signing().verify(pubkey, digest, der)


def verify_some(items: Sequence[Item]) -> list[bool]:
    """`verify_batch` in this thread alone."""
    verify = _signing().verify
    return [verify(*item) for item in items]


def verify_batch(items: Sequence[Item]) -> list[bool]:
    """Verify many ECDSA signatures, on every core when there are enough of them (both kinds: `schnorr.verify_mixed`).

    Args:
        items: Public key, digest and DER signature of each, as for `ecdsa_verify`.

    Returns:
        One answer an item, in order.
    """
    parts = share_out(len(items), 1, lambda first, last: verify_some(items[first:last]))
    return [answer for part in parts for answer in part]


def sign_batch(count: int, items: Callable[[int, int], Iterable[tuple[bytes, bytes, bytes]]]) -> list[bytes | None]:
    """Sign many digests as `ecdsa_sign` does, on every core when there are enough of them.

    Each signature is verified before it is handed out: one by a key that is not the public key's, or one that was
    computed wrongly and might give the key away, leaves nothing but None.

    Args:
        count: How many.
        items: Gives secret key, public key (33 or 65 bytes) and digest of those from a number up to another. What it
            computes for that is computed in the thread that signs, while others sign.

    Returns:
        The signatures, in order; None for one that does not verify under its public key.

    Raises:
        InputError: As `ecdsa_sign`.
        Exception: Whatever `items` raised.
    """

    def work(first: int, last: int) -> list[bytes | None]:
        signing = _signing()
        made: list[bytes | None] = []
        for seckey, pubkey, digest in items(first, last):
            der = signing.sign(seckey, digest)
            made.append(der if signing.is_signed_by(point_of(pubkey), digest) else None)
        return made

    return [signature for part in share_out(count, _SIGNING_COST, work) for signature in part]
