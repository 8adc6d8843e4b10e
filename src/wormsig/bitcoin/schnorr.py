"""BIP340 signatures and the key tweaks of BIP341, on the same libsecp256k1 as `secp`; safe to use from any thread.

Public keys are x-only here: 32 bytes, of the point with an even y. Which script a key belongs to, and what it signs,
does not belong here (`taproot`, `sighash`).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.batch import Item, share_out
from wormsig.bitcoin.libsecp import KEYPAIR_SIZE, library, scratch
from wormsig.bitcoin.script import tagged_hash
from wormsig.bitcoin.secp import is_pubkey, pubkey_of, pubkey_tweak_add, seckey_negate, seckey_tweak_add, verify_some
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_AUX: Final = bytes(32)
"""Auxiliary bytes of a signature that is the same each time, as Bitcoin Core makes them."""

_EVEN: Final = b"\x02"


def is_xonly(key: bytes) -> bool:
    """Whether these are 32 bytes of the x of a point on the curve."""
    return len(key) == 32 and is_pubkey(_EVEN + key)


def xonly_of(pubkey: bytes) -> tuple[bytes, int]:
    """The x of a compressed public key, and the parity of its y.

    Only the form is looked at, not whether the point is on the curve.

    Args:
        pubkey: 33 bytes.

    Returns:
        32 bytes, and 0 (even) or 1 (odd).

    Raises:
        InputError: It is not a compressed public key.
    """
    if len(pubkey) != 33 or pubkey[0] not in {2, 3}:
        raise InputError("not a compressed public key")
    return pubkey[1:], pubkey[0] & 1


def schnorr_sign(seckey: bytes, digest: bytes, aux: bytes) -> bytes:
    """Sign a digest (BIP340). The signature is not verified here: whoever hands it out does that.

    Args:
        seckey: 32 bytes; for taproot's key path the tweaked one (`taproot_tweak_seckey`).
        digest: 32 bytes.
        aux: 32 bytes that nobody can foresee, to make side channels harder to use; or `NO_AUX`.

    Returns:
        64 bytes.

    Raises:
        InputError: The secret key is out of range, or a length is wrong; no value is in the message.
    """
    if not len(seckey) == len(digest) == len(aux) == 32:
        raise InputError("a secret key, a digest and auxiliary bytes are 32 bytes each")
    lib = library()
    context, signature = lib.context, scratch.signature
    pair = ctypes.create_string_buffer(KEYPAIR_SIZE)
    try:
        if not lib.keypair_create(context, pair, seckey):
            raise InputError("secret key is out of range")
        if not lib.schnorr_sign(context, signature, digest, pair, aux):
            raise InputError("this digest cannot be signed with this key")
    finally:
        ctypes.memset(pair, 0, KEYPAIR_SIZE)
    return signature.raw


def schnorr_verify(xonly: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether a signature is valid (BIP340).

    Args:
        xonly: The public key, 32 bytes.
        digest: 32 bytes.
        signature: 64 bytes, without a sighash type.
    """
    lib = library()
    context, point = lib.context, scratch.point
    return (
        len(xonly) == len(digest) == 32
        and len(signature) == 64
        and lib.xonly_parse(context, point, xonly) == 1
        and lib.schnorr_verify(context, signature, digest, 32, point) == 1
    )


def verify_mixed(ecdsa: Sequence[Item], schnorr: Sequence[Item]) -> tuple[list[bool], list[bool]]:
    """Verify signatures of both kinds, on every core when there are enough of them together.

    The kinds are kept apart, so that no key or signature of one can be taken for one of the other.

    Args:
        ecdsa: Public key, digest and DER signature of each, as for `secp.ecdsa_verify`.
        schnorr: X-only key, digest and signature of each, as for `schnorr_verify`.

    Returns:
        The answers for each, in order.
    """
    split = len(ecdsa)

    def work(first: int, last: int) -> list[bool]:
        others = schnorr[max(first - split, 0) : max(last - split, 0)]
        return [*verify_some(ecdsa[first:last]), *(schnorr_verify(*item) for item in others)]

    answers = [answer for part in share_out(split + len(schnorr), 1, work) for answer in part]
    return answers[:split], answers[split:]


def taproot_tweak(internal_key: bytes, merkle_root: bytes | None) -> bytes:
    """What is added to an internal key, times G (BIP341): the tagged hash of the key and the script tree's root.

    Args:
        internal_key: X-only, 32 bytes.
        merkle_root: 32 bytes, or None for an output without scripts.

    Raises:
        InputError: The root has another length.
    """
    if merkle_root is None:
        return tagged_hash("TapTweak", internal_key)
    if len(merkle_root) != 32:
        raise InputError("a taproot tree's root has 32 bytes")
    return tagged_hash("TapTweak", internal_key + merkle_root)


def taproot_tweak_pubkey(internal_key: bytes, merkle_root: bytes | None) -> tuple[bytes, int]:
    """The output key of an internal key and a script tree (BIP341, `taproot_tweak_pubkey`).

    Args:
        internal_key: X-only, 32 bytes.
        merkle_root: 32 bytes, or None for an output without scripts.

    Returns:
        The output key, x-only, and the parity of its y.

    Raises:
        InputError: The internal key is not on the curve, or a length is wrong.
    """
    tweaked = None
    if len(internal_key) == 32:
        tweaked = pubkey_tweak_add(_EVEN + internal_key, taproot_tweak(internal_key, merkle_root))
    if tweaked is None:
        raise InputError("taproot internal key is not an x-only public key")
    return tweaked[1:], tweaked[0] & 1


def taproot_tweak_seckey(seckey: bytes, merkle_root: bytes | None) -> bytes:
    """The secret key of an output key, for signing the key path (BIP341, `taproot_tweak_seckey`).

    Args:
        seckey: The internal key's, 32 bytes.
        merkle_root: 32 bytes, or None for an output without scripts.

    Raises:
        InputError: The secret key is out of range, or a length is wrong; no value is in the message.
    """
    internal_key, odd = xonly_of(pubkey_of(seckey))
    even = seckey_negate(seckey) if odd else seckey
    tweaked = seckey_tweak_add(even, taproot_tweak(internal_key, merkle_root)) if even else None
    if tweaked is None:  # one in 2**127: the tweak is beyond the group order, or undoes the key
        raise InputError("this key cannot be tweaked so")
    return tweaked


def split_signature(signature: bytes) -> tuple[bytes, int] | None:
    """A taproot signature as a witness or a PSBT has it, taken apart (BIP341).

    Returns:
        64 bytes and the sighash type (DEFAULT when there is none); None for another length, and for a type DEFAULT that
        is written out.
    """
    if len(signature) == 64:
        return signature, 0
    if len(signature) == 65 and signature[64]:
        return signature[:64], signature[64]
    return None
