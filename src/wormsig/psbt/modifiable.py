"""What may still be added to a version 2 PSBT, and what its signatures leave of that (BIP370).

PSBT_GLOBAL_TX_MODIFIABLE says whether inputs and outputs may come and go. Whoever signs, or puts signatures in, brings
it in step with them. A PSBT without the field cannot be modified, and stays without it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_NONE, SIGHASH_SINGLE
from wormsig.psbt.model import FINAL_SCRIPTSIG, FINAL_SCRIPTWITNESS, PARTIAL_SIG, SIGHASH_TYPE

if TYPE_CHECKING:
    from wormsig.psbt.model import Fields, Psbt

TX_MODIFIABLE: Final = b"\x06"

_TAP_KEY_SIG: Final = 0x13
_TAP_SCRIPT_SIG: Final = 0x14
_MUSIG2_PARTIAL_SIG: Final = 0x1C
_SCHNORR: Final = frozenset({_TAP_KEY_SIG, _TAP_SCRIPT_SIG})
_FINALS: Final = frozenset({FINAL_SCRIPTSIG[0], FINAL_SCRIPTWITNESS[0]})
_SIGNATURES: Final = _SCHNORR | _FINALS | {PARTIAL_SIG, _MUSIG2_PARTIAL_SIG}


class Modifiable(enum.IntFlag):
    """The flags of PSBT_GLOBAL_TX_MODIFIABLE; bits without a meaning are kept."""

    INPUTS = 1
    OUTPUTS = 2
    HAS_SINGLE = 4


NOTHING: Final = Modifiable(0)


def modifiable(psbt: Psbt) -> Modifiable:
    """What a PSBT says may still be added or removed; nothing in version 0, and where the field is missing."""
    value = psbt.global_map.get(TX_MODIFIABLE) if psbt.version else None
    return NOTHING if value is None else Modifiable(value[0])


def with_modifiable(psbt: Psbt, flags: Modifiable) -> Psbt:
    """A version 2 PSBT with other flags; one without the field gets none."""
    value = bytes((flags,))
    if psbt.global_map.get(TX_MODIFIABLE, value) == value:
        return psbt
    return psbt.with_global({**psbt.global_map, TX_MODIFIABLE: value})


def commits_to_inputs(sighash: int) -> bool:
    """Whether a signature of this type is broken by another input."""
    return not sighash & SIGHASH_ANYONECANPAY


def commits_to_outputs(sighash: int) -> bool:
    """Whether BIP370 takes a signature of this type as one that outputs may not be added to: all but NONE."""
    return sighash & 0x1F != SIGHASH_NONE


def is_single(sighash: int) -> bool:
    """Whether a signature of this type binds its input to the output at the same index."""
    return sighash & 0x1F == SIGHASH_SINGLE


def signature_types(fields: Fields) -> frozenset[int]:
    """The sighash types of the signatures in an input's map, unverified.

    Final scripts count as one of type ALL: what is in them is not looked at, so they are taken to commit to everything.
    """
    return frozenset([_type_of(fields, key, value) for key, value in fields.items() if key[0] in _SIGNATURES])


def _type_of(fields: Fields, key: bytes, value: bytes) -> int:
    kind = key[0]
    if kind == PARTIAL_SIG and value:
        return value[-1]
    if kind in _SCHNORR and len(value) == 65:
        return value[64]
    if kind == _MUSIG2_PARTIAL_SIG:
        return fields.get(SIGHASH_TYPE, b"\x00")[0]
    return SIGHASH_ALL


def after_signing(before: Psbt, after: Psbt) -> Psbt:
    """Bring the flags in step with the signatures that were added (BIP370, Signer).

    Args:
        before: The PSBT as it was.
        after: The same with signatures added; its other flags are not looked at.

    Returns:
        `after` with the flags of `before`, less what the new signatures rule out.
    """
    flags = modifiable(before)
    if TX_MODIFIABLE not in before.global_map or not before.version:
        return after
    for old, new in zip(before.inputs, after.inputs, strict=True):
        if old is new:
            continue
        for key, value in new.items():
            if key[0] in _SIGNATURES and old.get(key) != value:
                flags = _less(flags, _type_of(new, key, value))
    return with_modifiable(after, flags)


def _less(flags: Modifiable, sighash: int) -> Modifiable:
    bits = int(flags)  # `~` of a flag would drop the bits without a meaning
    if commits_to_inputs(sighash):
        bits &= ~int(Modifiable.INPUTS)
    if commits_to_outputs(sighash):
        bits &= ~int(Modifiable.OUTPUTS)
    if is_single(sighash):
        bits |= int(Modifiable.HAS_SINGLE)
    return Modifiable(bits)
