"""What a PSBT claims about keys, read straight off its bytes: hints where to look, never proof.

A key origin's value is a fingerprint and a path (BIP174); those of the wallet's keys begin with bytes that are known
beforehand, so recognising one is a look-up and no parsing. What follows from a claim is judged elsewhere.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wormsig.wallet.model import Wallet, WalletKey

IN_DERIVATION, IN_TAP_DERIVATION = 0x06, 0x16
OUT_DERIVATION, OUT_TAP_DERIVATION = 0x02, 0x07

Place = tuple[int, int]
"""Branch and index."""

MAX_PLACES = 2
"""Places that one map may hint at before the wallet is searched instead: a true one hints at one."""

_MAX_STEPS = 4
"""Unhardened steps below an account key that are followed to recognise a key of ours at an odd place."""

_PLACE = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Claim:
    """One key origin of a PSBT.

    Args:
        pubkey: 33 or 65 bytes, or 32 when x-only (BIP371).
        origin: Fingerprint and path as BIP174 encodes them.
    """

    pubkey: bytes
    origin: bytes


def claims(fields: Mapping[bytes, bytes], derivation: int, tap_derivation: int) -> Iterator[Claim]:
    """The key origins in an input's or output's map.

    Args:
        fields: The map.
        derivation: Key type of BIP32 derivations in such a map.
        tap_derivation: Key type of taproot BIP32 derivations (BIP371) in such a map.
    """
    for key, value in fields.items():
        if key[0] == derivation:
            yield Claim(key[1:], value)
        elif key[0] == tap_derivation and value and value[0] < 0xFD:
            yield Claim(key[1:], value[1 + 32 * value[0] :])


class KeyIndex:
    """A wallet's keys, found by the bytes that key origins begin with."""

    __slots__ = ("by_fingerprint", "by_prefix", "prefixes", "wallet")

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.prefixes = tuple(key.origin.encode() for key in wallet.keys)
        self.by_prefix = dict(zip(self.prefixes, wallet.keys, strict=True))
        self.by_fingerprint: dict[bytes, WalletKey] = {}
        for key in wallet.keys:
            self.by_fingerprint.setdefault(key.fingerprint, key)

    def place(self, origin: bytes) -> Place | None:
        """Branch and index when the origin is one of the wallet's keys and two unhardened steps, else None."""
        if origin[:-8] not in self.by_prefix:
            return None
        branch, index = _PLACE.unpack_from(origin, len(origin) - 8)
        return (branch, index) if branch < HARDENED and index < HARDENED else None

    def places(self, fields: Mapping[bytes, bytes], derivation: int) -> list[Place]:
        """The first few different places that a map's key origins name."""
        found: list[Place] = []
        for key, value in fields.items():
            if key[0] == derivation:
                place = self.place(value)
                if place is not None and place not in found:
                    found.append(place)
                    if len(found) == MAX_PLACES:
                        break
        return found

    def key_of(self, origin: bytes) -> WalletKey | None:
        """The wallet's key that an origin names: by the longest agreeing path, else by fingerprint alone."""
        for cut in range(len(origin), 3, -4):
            key = self.by_prefix.get(origin[:cut])
            if key is not None:
                return key
        return self.by_fingerprint.get(origin[:4])

    def steps_below(self, origin: bytes) -> tuple[WalletKey, tuple[int, ...]] | None:
        """A wallet's key and the unhardened steps below it that an origin names, if it names such a place."""
        for cut in range(len(origin) - 4, 3, -4):
            key = self.by_prefix.get(origin[:cut])
            if key is not None:
                steps = struct.unpack(f"<{(len(origin) - cut) // 4}I", origin[cut:])
                return (key, steps) if len(steps) <= _MAX_STEPS and max(steps) < HARDENED else None
        return None

    def owns(self, claim: Claim) -> WalletKey | None:
        """The wallet's key that a claimed public key really descends from, at whatever place; None if it does not."""
        below = self.steps_below(claim.origin)
        if below is None:
            return None
        key, steps = below
        derived = key.xpub.derive(steps).pubkey
        return key if claim.pubkey in {derived, derived[1:]} else None
