"""What a signature of an input stands under: one kind of key for every kind of signature.

| signature | field | its `SignatureKey` |
|---|---|---|
| ECDSA | PSBT_IN_PARTIAL_SIG | the public key, 33 or 65 bytes |
| taproot key path | PSBT_IN_TAP_KEY_SIG | the output key that is spent, x-only, 32 bytes |
| tapscript | PSBT_IN_TAP_SCRIPT_SIG | an x-only key and the hash of the leaf that it signs for, 64 bytes |

The length tells which. Where the field has key data, the `SignatureKey` is that key data: ECDSA users need not know of
taproot. Whether a signature verifies is for `verify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from wormsig.bitcoin.sighash import SIGHASH_DEFAULT
from wormsig.psbt.model import PARTIAL_SIG, TAP_KEY_SIG, TAP_SCRIPT_SIG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.psbt.model import Fields

SignatureKey: TypeAlias = bytes
"""33 or 65 bytes, 32, or 64: see above."""

UNKNOWN_OUTPUT: Final = bytes(32)
"""Stands for the output key while nobody knows which output is spent; no key is zero."""

SIGNATURE_TYPES: Final = frozenset({PARTIAL_SIG, TAP_KEY_SIG[0], TAP_SCRIPT_SIG})
"""The key types of input fields that hold a signature."""

SCHNORR_KEYS: Final = frozenset({32, 64})
"""Lengths of the keys that BIP340 signatures stand under."""

_ECDSA: Final = bytes((PARTIAL_SIG,))
_TAPSCRIPT: Final = bytes((TAP_SCRIPT_SIG,))


def field_key(key: SignatureKey) -> bytes:
    """The whole key, type included, of the field that holds the signature."""
    if len(key) == 64:
        return _TAPSCRIPT + key
    return TAP_KEY_SIG if len(key) == 32 else _ECDSA + key


def is_schnorr(key: SignatureKey) -> bool:
    """Whether BIP340 signatures stand under it, else ECDSA ones."""
    return len(key) in SCHNORR_KEYS


def pubkey_of(key: SignatureKey) -> bytes:
    """The public key alone: 33 or 65 bytes, or 32 for taproot; empty when it is not known."""
    if len(key) == 64:
        return key[:32]
    return b"" if key == UNKNOWN_OUTPUT else key


def leaf_of(key: SignatureKey) -> bytes | None:
    """The hash of the leaf that a tapscript signature is for; None for every other kind."""
    return key[32:] if len(key) == 64 else None


def sighash_of(key: SignatureKey, signature: bytes) -> int | None:
    """The sighash type that a signature says it has; None when it is too short to say.

    A taproot signature of 64 bytes says nothing, which means DEFAULT (BIP341).
    """
    if is_schnorr(key):
        return SIGHASH_DEFAULT if len(signature) == 64 else signature[64] if len(signature) > 64 else None
    return signature[-1] if signature else None


def signatures_in(fields: Fields, output_key: bytes = UNKNOWN_OUTPUT) -> Iterator[tuple[SignatureKey, bytes]]:
    """The signatures that an input's map holds, unverified, in its order.

    Args:
        fields: The input's map.
        output_key: The taproot output key that it spends, when it does and that is known.
    """
    for key, value in fields.items():
        kind = key[0]
        if kind in SIGNATURE_TYPES:
            yield (output_key if kind == 0x13 else key[1:]), value
