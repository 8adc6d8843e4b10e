"""age files with a passphrase and a work factor of the test's choice: N=10 opens in milliseconds.

pyrage cannot be told a work factor and takes seconds. This writes the same format (age-encryption.org/v1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _hkdf(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)


def age_encrypt(data: bytes, passphrase: str, *, work_factor: int = 10, said: int | None = None) -> bytes:
    """An age file of at most 64 KiB; `said` writes another work factor into the header than was used."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrap = hashlib.scrypt(
        passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=1 << work_factor, r=8, p=1, dklen=32
    )
    body = ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None)
    stanza = b"-> scrypt %s %d\n%s\n---" % (_b64(salt), work_factor if said is None else said, _b64(body))
    header = b"age-encryption.org/v1\n" + stanza
    mac = hmac.digest(_hkdf(file_key, None, b"header"), header, "sha256")
    payload = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\x01", data, None)
    return header + b" " + _b64(mac) + b"\n" + nonce + payload
