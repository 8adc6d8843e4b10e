"""What a PSBT claims about keys, read straight off its bytes: hints where to look, never proof.

A key origin's value is a fingerprint and a path (BIP174), behind leaf hashes in taproot (BIP371); those of the wallet's
keys begin with bytes that are known beforehand, so recognising one is a look-up and no parsing. What follows from a
claim is judged elsewhere.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.keys import HARDENED
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wormsig.wallet.derive import Deriver, WalletScript
    from wormsig.wallet.model import WalletKey

Place = tuple[int, int]
"""Branch and index."""

MAX_PLACES = 2
"""Places that one map may hint at before the wallet is searched instead: a true one hints at one."""

MAX_WRONG_CLAIMS = 2_000
"""Claims of a descent that turn out wrong before no more are followed: each costs BIP32 steps (row C16)."""

_MAX_STEPS = 4
"""Unhardened steps below an account key that are followed to recognise a key of ours at an odd place."""


class Kind(msgspec.Struct, frozen=True):
    """Key types of the fields that hold key origins in one kind of map.

    Args:
        ecdsa: Of BIP32 derivations.
        taproot: Of taproot BIP32 derivations.
    """

    ecdsa: int
    taproot: int


INPUT = Kind(0x06, 0x16)
OUTPUT = Kind(0x02, 0x07)


class Claim(msgspec.Struct, frozen=True):
    """One key origin of a PSBT.

    Args:
        pubkey: 33 or 65 bytes, or 32 when x-only (BIP371).
        origin: Fingerprint and path as BIP174 encodes them.
    """

    pubkey: bytes
    origin: bytes


def xonly(pubkey: bytes) -> bytes:
    """The x coordinate alone, 32 bytes: what a key is compared by, whichever form a script wants it in."""
    return pubkey if len(pubkey) == 32 else pubkey[1:33]


def tap_origin(value: bytes) -> bytes:
    """The key origin in the value of a taproot derivation, behind its leaf hashes; empty when there is none."""
    return value[1 + 32 * value[0] :] if value and value[0] < 0xFD else b""


def claims(fields: Mapping[bytes, bytes], kind: Kind) -> Iterator[Claim]:
    """The key origins in an input's or output's map."""
    for key, value in fields.items():
        if key[0] == kind.ecdsa:
            yield Claim(key[1:], value)
        elif key[0] == kind.taproot:
            origin = tap_origin(value)
            if origin:
                yield Claim(key[1:], origin)


class KeyIndex:
    """A wallet's keys, found by the bytes that key origins begin with.

    Args:
        deriver: The wallet's.

    Attributes:
        wallet: The wallet.
        by_origin: Key origin of an account key -> the key.
        by_fingerprint: Master fingerprint -> its first key.
        may_own: Whether a script is of the wallet's output type (`Deriver`).
    """

    __slots__ = (
        "_branches",
        "_expected",
        "_is_taproot",
        "_patience",
        "by_fingerprint",
        "by_origin",
        "may_own",
        "wallet",
    )

    def __init__(self, deriver: Deriver) -> None:
        self.wallet = deriver.wallet
        self.may_own = deriver.may_own
        self.by_origin = {key.origin.encode(): key for key in self.wallet.keys}
        self.by_fingerprint: dict[bytes, WalletKey] = {}
        for key in self.wallet.keys:
            self.by_fingerprint.setdefault(key.fingerprint, key)
        self._patience = MAX_WRONG_CLAIMS
        self._is_taproot = self.wallet.script_type == "tr"
        self._branches: dict[bytes, int] = {}
        self._expected: dict[int, tuple[bytes, ...]] = {}
        for branch in BRANCHES:
            signers = deriver.signers(branch)
            self._branches |= {origin.encode(): branch for origin in signers.children}
            self._expected[branch] = tuple(origin.encode() for origin in signers.origins)

    def places(self, fields: Mapping[bytes, bytes], kind: Kind) -> list[Place]:
        """The first few different places that a map's key origins name, of the kind that the wallet's scripts have."""
        named: list[tuple[int, bytes]] = []
        is_taproot, branches = self._is_taproot, self._branches
        wanted = kind.taproot if is_taproot else kind.ecdsa
        for key, value in fields.items():  # every map of a PSBT comes through here
            if key[0] == wanted:
                origin = tap_origin(value) if is_taproot else value
                branch = branches.get(origin[:-4])
                if branch is not None and (branch, origin[-4:]) not in named:
                    named.append((branch, origin[-4:]))
                    if len(named) == MAX_PLACES:
                        break
        places = [(branch, int.from_bytes(index, "little")) for branch, index in named]
        return [place for place in places if place[1] < HARDENED]

    def key_of(self, origin: bytes) -> WalletKey | None:
        """The wallet's key that an origin names: by the longest agreeing path, else by fingerprint alone."""
        for cut in range(len(origin), 3, -4):
            key = self.by_origin.get(origin[:cut])
            if key is not None:
                return key
        return self.by_fingerprint.get(origin[:4])

    def expected(self, script: WalletScript) -> Iterator[tuple[bytes, bytes]]:
        """The public keys of one of the wallet's ECDSA scripts, and their key origins as BIP174 encodes them."""
        index = script.index.to_bytes(4, "little")
        for pubkey, prefix in zip(script.pubkeys, self._expected[script.branch], strict=True):
            yield pubkey, prefix + index

    def steps_below(self, origin: bytes) -> tuple[WalletKey, tuple[int, ...]] | None:
        """A wallet's key and the unhardened steps below it that an origin names, if it names such a place."""
        for cut in range(len(origin) - 4, 3, -4):
            key = self.by_origin.get(origin[:cut])
            if key is not None:
                steps = struct.unpack(f"<{(len(origin) - cut) // 4}I", origin[cut:])
                return (key, steps) if len(steps) <= _MAX_STEPS and max(steps) < HARDENED else None
        return None

    def owns(self, claim: Claim) -> WalletKey | None:
        """The wallet's key that a claimed public key really descends from, at whatever place; None if it does not."""
        below = self.steps_below(claim.origin)
        if below is None or not self._patience:
            return None
        key, steps = below
        if xonly(key.xpub.derive(steps).pubkey) == xonly(claim.pubkey):
            return key
        self._patience -= 1
        return None
