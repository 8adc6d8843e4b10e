"""The form of an ECDSA signature: strict DER and low S (BIP66, BIP146). What it signs is `secp`'s to verify."""

from __future__ import annotations

from typing import Final

ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
HALF_ORDER: Final = ORDER >> 1


def _der_integer(der: bytes, offset: int, end: int) -> tuple[int, int] | None:
    """A strict DER integer that is not negative, and the offset behind it."""
    if end - offset < 3 or der[offset] != 2:
        return None
    length = der[offset + 1]
    begin = offset + 2
    if not 1 <= length <= end - begin or der[begin] & 0x80:
        return None
    if length > 1 and der[begin] == 0 and not der[begin + 1] & 0x80:
        return None
    return int.from_bytes(der[begin : begin + length], "big"), begin + length


def ecdsa_form(der: bytes) -> str | None:
    """What is wrong with a signature's form, whatever it signs (BIP66, BIP146).

    Args:
        der: The signature without its sighash type.

    Returns:
        None when well formed; else "not strict DER", "out of range" or "high S".
    """
    if not 8 <= len(der) <= 72 or der[0] != 0x30 or der[1] != len(der) - 2:
        return "not strict DER"
    first = _der_integer(der, 2, len(der))
    second = _der_integer(der, first[1], len(der)) if first else None
    if first is None or second is None or second[1] != len(der):
        return "not strict DER"
    if not (0 < first[0] < ORDER and 0 < second[0] < ORDER):
        return "out of range"
    return "high S" if second[0] > HALF_ORDER else None
