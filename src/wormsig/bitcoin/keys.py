"""BIP32: extended keys, derivation, paths and key origins.

Secrets stand only in `ExtendedPrivateKey`, whose repr does not show them. Key files, words and passphrases do not
belong here, nor do descriptors.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass, field
from typing import Final

import msgspec

from wormsig.bitcoin import base58, secp
from wormsig.bitcoin.script import hash160
from wormsig.errors import DescriptorError, InputError

HARDENED: Final = 1 << 31
MAX_DEPTH: Final = 255

_U32 = struct.Struct(">I")
_FIELDS = struct.Struct(">4sB4sI32s33s")

_PUBLIC: Final = {True: bytes.fromhex("0488b21e"), False: bytes.fromhex("043587cf")}
_PRIVATE: Final = {True: bytes.fromhex("0488ade4"), False: bytes.fromhex("04358394")}
# SLIP-132: version bytes -> prefix; lower-case letters single key, upper case multisig.
_SLIP132: Final = {
    bytes.fromhex(version): prefix
    for version, prefix in (
        ("049d7cb2", "ypub"), ("04b24746", "zpub"), ("0295b43f", "Ypub"), ("02aa7ed3", "Zpub"),
        ("044a5262", "upub"), ("045f1cf6", "vpub"), ("024289ef", "Upub"), ("02575483", "Vpub"),
        ("049d7878", "yprv"), ("04b2430c", "zprv"), ("0295b005", "Yprv"), ("02aa7a99", "Zprv"),
        ("044a4e28", "uprv"), ("045f18bc", "vprv"), ("024285b5", "Uprv"), ("02575048", "Vprv"),
    )
}  # fmt: skip


def parse_path(text: str) -> tuple[int, ...]:
    """Read a derivation path: `48h/1'/0H/2h`, with or without `m/` before it; empty or `m` is no step.

    Raises:
        DescriptorError: A step is not a number from 0 to 2147483647 with an optional hardening mark.
    """
    rest = text.strip()
    if rest in {"", "m", "M"}:
        return ()
    rest = rest.removeprefix("m/").removeprefix("M/")
    steps: list[int] = []
    for step in rest.split("/"):
        hardened = step[-1:] in {"h", "H", "'"}
        digits = step[:-1] if hardened else step
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10) or int(digits) >= HARDENED:
            raise DescriptorError("not a derivation path", hint="write it like 48h/1h/0h/2h")
        steps.append(int(digits) | (HARDENED if hardened else 0))
    if len(steps) > MAX_DEPTH:
        raise DescriptorError("derivation path has too many steps")
    return tuple(steps)


def format_path(path: tuple[int, ...]) -> str:
    """Write a derivation path with `h` and without `m/`; no step is the empty text."""
    return "/".join([f"{step - HARDENED}h" if step >= HARDENED else str(step) for step in path])


class KeyOrigin(msgspec.Struct, frozen=True):
    """Where a key comes from: a master key's fingerprint and the path from it.

    Args:
        fingerprint: 4 bytes.
        path: Unsigned 32 bit steps; hardened ones have the highest bit.
    """

    fingerprint: bytes
    path: tuple[int, ...]

    def __str__(self) -> str:
        return "/".join(filter(None, (self.fingerprint.hex(), format_path(self.path))))

    def encode(self) -> bytes:
        """The value of PSBT_IN_BIP32_DERIVATION (BIP174): the fingerprint, then little-endian steps."""
        return self.fingerprint + struct.pack(f"<{len(self.path)}I", *self.path)

    @classmethod
    def decode(cls, value: bytes) -> KeyOrigin:
        """The inverse of `encode`.

        Raises:
            InputError: The length is not a multiple of four, or is nothing, or the path is longer than BIP32 allows.
        """
        size = len(value)
        if size < 4 or size % 4:
            raise InputError("key origin is not a fingerprint and whole steps")
        if size > 4 * (1 + MAX_DEPTH):
            raise InputError("key origin has too many steps")
        return cls(value[:4], struct.unpack_from(f"<{size // 4 - 1}I", value, 4))

    @classmethod
    def from_text(cls, text: str) -> KeyOrigin:
        """Read `d34db33f/48h/1h/0h/2h`, as it stands in a descriptor's brackets.

        Raises:
            DescriptorError: Not eight hex digits and a path.
        """
        digits, slash, path = text.partition("/")
        try:
            fingerprint = bytes.fromhex(digits)
        except ValueError:
            fingerprint = b""
        if len(digits) != 8 or len(fingerprint) != 4 or (slash and not path) or path[:1] in {"m", "M"}:
            raise DescriptorError("not a key origin", hint="write it like d34db33f/48h/1h/0h/2h")
        return cls(fingerprint, parse_path(path))

    def extend(self, steps: tuple[int, ...]) -> KeyOrigin:
        """The origin of a key derived further."""
        return KeyOrigin(self.fingerprint, self.path + steps)


def derive_public(pubkey: bytes, chain_code: bytes, index: int) -> tuple[bytes, bytes]:
    """BIP32 CKDpub over bytes, the hot path.

    Args:
        pubkey: 33 bytes.
        chain_code: 32 bytes.
        index: Not hardened.

    Returns:
        The child's public key and chain code.

    Raises:
        DescriptorError: The index is hardened, or this child does not exist (one in 2**127).
    """
    if not 0 <= index < HARDENED:
        raise DescriptorError("a hardened step needs the private key")
    digest = hmac.digest(chain_code, pubkey + _U32.pack(index), "sha512")
    child = secp.pubkey_tweak_add(pubkey, digest[:32])
    if child is None:
        raise DescriptorError(f"key has no child {index}")
    return child, digest[32:]


def _payload(text: str) -> bytes:
    """Decode the text of an extended key; the text is never in a message, for it may be private."""
    try:
        data = base58.decode_check(text)
    except InputError as error:
        raise DescriptorError(f"extended key: {error.message}") from None
    if len(data) != _FIELDS.size:
        raise DescriptorError("extended key: wrong length")
    prefix = _SLIP132.get(data[:4])
    if prefix is not None:
        plain = ("x" if prefix[0] in "yzYZ" else "t") + prefix[1:]
        raise DescriptorError(
            f"extended key: {prefix} (SLIP-132) is not used in descriptors",
            hint=f"export it as {plain}: the descriptor says the script type",
        )
    if data[4] == 0 and data[5:13] != bytes(8):
        raise DescriptorError("extended key: a master key cannot have a parent")
    return data


def _is_mainnet(version: bytes, versions: dict[bool, bytes]) -> bool | None:
    return next((mainnet for mainnet, known in versions.items() if known == version), None)


@dataclass(frozen=True, slots=True)
class ExtendedPublicKey:
    """An xpub or tpub.

    Args:
        depth: 0 for a master key.
        parent_fingerprint: 4 bytes, zeros for a master key.
        child_number: The last step, with its hardening bit.
        chain_code: 32 bytes.
        pubkey: 33 bytes.
        mainnet: Whether it is written xpub rather than tpub.
    """

    depth: int
    parent_fingerprint: bytes
    child_number: int
    chain_code: bytes
    pubkey: bytes
    mainnet: bool

    def __repr__(self) -> str:
        return f"ExtendedPublicKey({self.text()})"

    @classmethod
    def from_text(cls, text: str) -> ExtendedPublicKey:
        """Read an xpub or tpub.

        Raises:
            DescriptorError: Malformed, private, SLIP-132, or the key is not on the curve. A text that may be private
                is never in the message.
        """
        data = _payload(text)
        if _is_mainnet(data[:4], _PRIVATE) is not None:
            raise DescriptorError(
                "extended key: a private key stands where a public one belongs",
                hint="give the xpub; treat that private key as seen by whoever saw this text",
            )
        mainnet = _is_mainnet(data[:4], _PUBLIC)
        if mainnet is None:
            raise DescriptorError("extended key: unknown kind", hint="it must begin with xpub or tpub")
        return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> ExtendedPublicKey:
        """Read the 78 bytes, as PSBT_GLOBAL_XPUB has them.

        Raises:
            DescriptorError: Wrong length or version bytes, or the key is not on the curve.
        """
        mainnet = _is_mainnet(data[:4], _PUBLIC)
        if len(data) != _FIELDS.size or mainnet is None:
            raise DescriptorError("extended key: not the bytes of an xpub or tpub")
        _, depth, parent, number, chain_code, pubkey = _FIELDS.unpack(data)
        if not secp.is_pubkey(pubkey):
            raise DescriptorError("extended key: its public key is not on the curve")
        return cls(depth, parent, number, chain_code, pubkey, mainnet)

    def to_bytes(self) -> bytes:
        """The 78 bytes that base58check writes."""
        return _FIELDS.pack(
            _PUBLIC[self.mainnet],
            self.depth,
            self.parent_fingerprint,
            self.child_number,
            self.chain_code,
            self.pubkey,
        )

    def text(self) -> str:
        """Write it as xpub or tpub."""
        return base58.encode_check(self.to_bytes())

    @property
    def fingerprint(self) -> bytes:
        """The first 4 bytes of the public key's HASH160."""
        return hash160(self.pubkey)[:4]

    def child(self, index: int) -> ExtendedPublicKey:
        """One step (CKDpub).

        Raises:
            DescriptorError: The index is hardened, or depth 255 is passed.
        """
        if self.depth >= MAX_DEPTH:
            raise DescriptorError("extended key: cannot be derived any deeper")
        pubkey, chain_code = derive_public(self.pubkey, self.chain_code, index)
        return ExtendedPublicKey(self.depth + 1, self.fingerprint, index, chain_code, pubkey, self.mainnet)

    def derive(self, path: tuple[int, ...]) -> ExtendedPublicKey:
        """Several steps; see `child`."""
        key = self
        for index in path:
            key = key.child(index)
        return key


@dataclass(frozen=True, slots=True)
class ExtendedPrivateKey:
    """An xprv or tprv; its repr shows neither key nor chain code.

    Args:
        depth: 0 for a master key.
        parent_fingerprint: 4 bytes, zeros for a master key.
        child_number: The last step, with its hardening bit.
        chain_code: 32 bytes.
        seckey: 32 bytes.
        mainnet: Whether it is written xprv rather than tprv.
    """

    depth: int
    parent_fingerprint: bytes
    child_number: int
    chain_code: bytes = field(repr=False)
    seckey: bytes = field(repr=False)
    mainnet: bool
    _public: tuple[bytes, bytes] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def from_seed(cls, seed: bytes, mainnet: bool) -> ExtendedPrivateKey:
        """The master key of a seed.

        Args:
            seed: 16 to 64 bytes.
            mainnet: Whether it is written xprv rather than tprv.

        Raises:
            DescriptorError: Wrong length, or this seed has no master key (one in 2**127).
        """
        if not 16 <= len(seed) <= 64:
            raise DescriptorError("a seed has 16 to 64 bytes")
        digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
        if not secp.is_seckey(digest[:32]):
            raise DescriptorError("this seed has no master key")
        return cls(0, bytes(4), 0, digest[32:], digest[:32], mainnet)

    @classmethod
    def from_text(cls, text: str) -> ExtendedPrivateKey:
        """Read an xprv or tprv.

        Raises:
            DescriptorError: Malformed, public, SLIP-132 or out of range; the text is never in the message.
        """
        data = _payload(text)
        if _is_mainnet(data[:4], _PUBLIC) is not None:
            raise DescriptorError("extended key: this is a public key, a private one is needed")
        mainnet = _is_mainnet(data[:4], _PRIVATE)
        if mainnet is None:
            raise DescriptorError("extended key: unknown kind", hint="it must begin with xprv or tprv")
        _, depth, parent, number, chain_code, padded = _FIELDS.unpack(data)
        if padded[0] != 0 or not secp.is_seckey(padded[1:]):
            raise DescriptorError("extended key: its private key is out of range")
        return cls(depth, parent, number, chain_code, padded[1:], mainnet)

    def text(self) -> str:
        """Write it as xprv or tprv: the secret itself."""
        payload = _FIELDS.pack(
            _PRIVATE[self.mainnet],
            self.depth,
            self.parent_fingerprint,
            self.child_number,
            self.chain_code,
            b"\x00" + self.seckey,
        )
        return base58.encode_check(payload)

    @property
    def pubkey(self) -> bytes:
        """The compressed public key, 33 bytes."""
        return self._known_public()[0]

    @property
    def fingerprint(self) -> bytes:
        """The first 4 bytes of the public key's HASH160."""
        return self._known_public()[1]

    def _known_public(self) -> tuple[bytes, bytes]:
        """Public key and fingerprint: computed once, for every child asks for them."""
        known = self._public
        if known is None:
            pubkey = secp.pubkey_of(self.seckey)
            known = (pubkey, hash160(pubkey)[:4])
            object.__setattr__(self, "_public", known)
        return known

    def child(self, index: int) -> ExtendedPrivateKey:
        """One step (CKDpriv); hardened when the index has the highest bit.

        Raises:
            DescriptorError: Depth 255 is passed, or this child does not exist (one in 2**127).
        """
        if self.depth >= MAX_DEPTH or not 0 <= index < 1 << 32:
            raise DescriptorError("extended key: cannot be derived so")
        pubkey, fingerprint = self._known_public()
        start = b"\x00" + self.seckey if index >= HARDENED else pubkey
        digest = hmac.digest(self.chain_code, start + _U32.pack(index), "sha512")
        seckey = secp.seckey_tweak_add(self.seckey, digest[:32])
        if seckey is None:
            raise DescriptorError("key has no such child")
        return ExtendedPrivateKey(self.depth + 1, fingerprint, index, digest[32:], seckey, self.mainnet)

    def derive(self, path: tuple[int, ...]) -> ExtendedPrivateKey:
        """Several steps; see `child`."""
        key = self
        for index in path:
            key = key.child(index)
        return key

    def neuter(self) -> ExtendedPublicKey:
        """The extended public key of the same place."""
        return ExtendedPublicKey(
            self.depth, self.parent_fingerprint, self.child_number, self.chain_code, self.pubkey, self.mainnet
        )
