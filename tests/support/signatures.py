"""ECDSA signatures taken apart and put together, also in forms that do not count."""

from __future__ import annotations

from wormsig.bitcoin.sighash import SIGHASH_ALL


def der(r: int, s: int, *, padding: bytes = b"") -> bytes:
    """A signature's DER with SIGHASH_ALL behind it; with padding, which strict DER has none of."""

    def number(value: int) -> bytes:
        raw = value.to_bytes(33, "big").lstrip(b"\0") or b"\0"
        raw = padding + (b"\0" + raw if raw[0] & 0x80 else raw)
        return bytes((2, len(raw))) + raw

    body = number(r) + number(s)
    return bytes((0x30, len(body))) + body + bytes((SIGHASH_ALL,))


def numbers(signature: bytes) -> tuple[int, int]:
    """r and s of DER."""
    length = signature[3]
    return int.from_bytes(signature[4 : 4 + length], "big"), int.from_bytes(signature[6 + length : -1], "big")
