"""Keys, key tweaks and ECDSA on libsecp256k1, called through ctypes; safe to use from any thread.

The library is loaded and checked at first use (`libsecp`). BIP340 and taproot's tweaks stand in `schnorr`. What is
signed and why does not belong here; nor do derivation paths (`keys`).
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING

from wormsig.bitcoin.batch import verify_all
from wormsig.bitcoin.der import ecdsa_form
from wormsig.bitcoin.libsecp import Library, equip_bitcointx, library, library_path, scratch, serialized
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    "verify_batch",
]


def _pubkey_form(pubkey: bytes) -> bool:
    # libsecp256k1 also reads hybrid keys (06, 07), which policy refuses.
    size = len(pubkey)
    return (size == 33 and pubkey[0] in {2, 3}) or (size == 65 and pubkey[0] == 4)


def is_pubkey(pubkey: bytes) -> bool:
    """Whether these are 33 or 65 bytes of a point on the curve; hybrid keys are not."""
    if not _pubkey_form(pubkey):
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


@functools.lru_cache(maxsize=256)
def _parsed(pubkey: bytes) -> bytes | None:
    """libsecp256k1's 64 bytes of a point: few keys have many children, and parsing is a fifth of a step."""
    point = scratch.point
    lib = library()
    if not _pubkey_form(pubkey) or not lib.pubkey_parse(lib.context, point, pubkey, len(pubkey)):
        return None
    return point.raw


def pubkey_tweak_add(pubkey: bytes, tweak: bytes) -> bytes | None:
    """`pubkey + tweak*G`, as BIP32's CKDpub needs it.

    Args:
        pubkey: 33 bytes.
        tweak: 32 bytes.

    Returns:
        33 bytes, or None when the key is not a point, the tweak is out of range or the sum is infinity.
    """
    parent = _parsed(pubkey)
    if parent is None or len(tweak) != 32:
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


def _sign(lib: Library, seckey: bytes, digest: bytes) -> bytes:
    context, signature, compact, sign = lib.context, scratch.signature, scratch.compact, lib.ecdsa_sign
    extra: bytes | None = None
    counter = 0
    while True:
        if not sign(context, signature, digest, seckey, None, extra):
            raise InputError("secret key is out of range")
        lib.serialize_compact(context, compact, signature)
        if compact[0] < b"\x80":
            break
        counter += 1
        extra = counter.to_bytes(32, "little")
    scratch.size.value = 72
    lib.serialize_der(context, scratch.der, ctypes.byref(scratch.size), signature)
    return scratch.der.raw[: scratch.size.value]


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
    if len(seckey) != 32 or len(digest) != 32:
        raise InputError("a secret key and a digest are 32 bytes each")
    return _sign(library(), seckey, digest)


def ecdsa_verify(pubkey: bytes, digest: bytes, der: bytes) -> bool:
    """Whether a signature is valid, in strict DER (BIP66) and with a low S (BIP146).

    Args:
        pubkey: 33 or 65 bytes.
        digest: 32 bytes.
        der: The signature without its sighash type.
    """
    lib = library()
    context, point, signature = lib.context, scratch.point, scratch.signature
    return (
        len(digest) == 32
        and _pubkey_form(pubkey)
        and lib.parse_der(context, signature, der, len(der)) == 1
        and lib.normalize(context, None, signature) == 0
        and lib.pubkey_parse(context, point, pubkey, len(pubkey)) == 1
        and lib.ecdsa_verify(context, signature, digest, point) == 1
    )


def verify_batch(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """Verify many ECDSA signatures, on every core when there are enough of them (both kinds: `schnorr.verify_mixed`).

    Args:
        items: Public key, digest and DER signature of each, as for `ecdsa_verify`.

    Returns:
        One answer an item, in order.
    """
    return verify_all(((ecdsa_verify, items),))[0]
