"""Base58check, as addresses of the first kind and extended keys are written.

bitcointx has it too, behind 0.1 s of imports that nothing else needs (docs/adr/0002).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from wormsig.errors import InputError

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_MAX_TEXT: Final = 128
"""An extended key has 111 characters; conversion takes quadratic time."""


def _checksum(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()[:4]


def encode_check(payload: bytes) -> str:
    """Version byte(s) and data, with the checksum added, as text."""
    data = payload + _checksum(payload)
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\x00"))
    return "1" * zeros + "".join(reversed(digits))


def decode_check(text: str) -> bytes:
    """The payload of base58check text, without the checksum.

    Raises:
        InputError: Too long, a character that is none of base58's, or a wrong checksum. The text itself is never in
            the message: it may be a private key.
    """
    if not 5 <= len(text) <= _MAX_TEXT:
        raise InputError("not base58: wrong length")
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            raise InputError("not base58: it has a character that does not occur there")
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) < 5 or _checksum(data[:-4]) != data[-4:]:
        raise InputError("checksum is wrong: a character is mistyped or missing")
    return data[:-4]
