"""Where two sides meet that were paired before: places that both compute from a secret (docs/wire-format.md).

Which of them a side goes to, and when, is for `agenda` and `rendezvous`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

_NAMEPLATES = 10**38  # 39 digits: the library's limit is 40


@dataclass(frozen=True, slots=True)
class Place:
    """Where two sides meet. Whoever knows it can meet them, so that it is not printed.

    Attributes:
        appid: The application id, one for each secret: nobody else can list or use up its nameplates.
        code: Nameplate and password.
    """

    appid: str = field(repr=False)
    code: str = field(repr=False)


def meeting_place(secret: bytes, number: int) -> Place:
    """A place of a secret.

    Args:
        secret: What both sides derived from their last channel, 32 bytes.
        number: From 0.
    """
    appid = _derived(secret, "appid", 20).hex()
    nameplate = int.from_bytes(_derived(secret, f"{number}/nameplate", 32)) % (9 * _NAMEPLATES) + _NAMEPLATES
    return Place(f"wormsig/1/{appid}", f"{nameplate}-{_derived(secret, f'{number}/password', 20).hex()}")


def _derived(secret: bytes, info: str, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt, for at most one block."""
    key = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(key, f"wormsig/rendezvous/{info}".encode() + b"\x01", hashlib.sha256)[:length]
