"""Key origins beside scripts of the wallet: what a PSBT says of a key against what the wallet says (row C21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.keys import KeyOrigin
from wormsig.errors import InputError
from wormsig.review.claims import INPUT, claims, tap_origin, xonly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wormsig.review.claims import Claim, KeyIndex, Kind
    from wormsig.review.subject import Subject
    from wormsig.wallet.derive import WalletScript
    from wormsig.wallet.model import WalletKey


class WrongOrigin(msgspec.Struct, frozen=True):
    """A key of one of the wallet's scripts for which the PSBT states another origin.

    Args:
        who: Whose key, in words.
        stated: What the PSBT says, in words.
        expected: What the wallet says, in words.
    """

    who: str
    stated: str
    expected: str


def unlike_the_wallets(subject: Subject) -> dict[int, tuple[list[WrongOrigin], bool]]:
    """The wallet's inputs whose key origins are not all, and only, those of the wallet; see `wrong_origins`."""
    found: dict[int, tuple[list[WrongOrigin], bool]] = {}
    if subject.keys is not None:
        for index, own in subject.owned.inputs.items():
            judged = wrong_origins(subject.keys, own, subject.psbt.inputs[index], INPUT)
            if judged[0] or judged[1]:
                found[index] = judged
    return found


def wrong_origins(
    keys: KeyIndex, script: WalletScript, fields: Mapping[bytes, bytes], kind: Kind
) -> tuple[list[WrongOrigin], bool]:
    """Compare a map's key origins with the wallet's.

    Args:
        keys: The wallet's.
        script: The wallet's script that the map is about.
        fields: An input's or output's map.
        kind: Which of the two.

    Returns:
        What is wrong, and whether there are key origins for other keys as well.
    """
    known = 0
    wrong: list[WrongOrigin] = []
    if script.taproot is not None:
        prefix = bytes((kind.taproot,))
        for key, derivation in script.taproot.derivations.items():
            value = fields.get(prefix + key)
            if value is not None:
                known += 1
                expected = derivation.origin.encode()
                if tap_origin(value) != expected:
                    wrong.append(_wrong(keys, tap_origin(value), expected))
    else:
        prefix = bytes((kind.ecdsa,))
        for key, expected in keys.expected(script):
            value = fields.get(prefix + key)
            if value is not None:
                known += 1
                if value != expected:
                    wrong.append(_wrong(keys, value, expected))
    there = sum([1 for key in fields if key[0] == kind.ecdsa or key[0] == kind.taproot])
    return wrong, there != known


def _wrong(keys: KeyIndex, stated: bytes, expected: bytes) -> WrongOrigin:
    key = keys.key_of(expected)
    who = "a key that nobody holds alone" if key is None else label(key)
    return WrongOrigin(who, origin_text(stated), origin_text(expected))


def stray_claims(
    keys: KeyIndex, script: WalletScript, fields: Mapping[bytes, bytes], kind: Kind
) -> Iterator[tuple[WalletKey, Claim]]:
    """Key origins under our fingerprints for public keys that are not in the wallet's script."""
    inside = {xonly(pubkey) for pubkey in script.pubkeys}
    if script.taproot is not None:
        inside |= script.taproot.derivations.keys()
    for claim in claims(fields, kind):
        key = keys.by_fingerprint.get(claim.origin[:4])
        if key is not None and xonly(claim.pubkey) not in inside:
            yield key, claim


def label(key: WalletKey) -> str:
    """A wallet's key in a sentence: `carol's key [9a6a2580]`, or without a name `key [9a6a2580]`."""
    owner = f"{key.name}'s key" if key.name is not None else "key"
    return f"{owner} [{key.fingerprint.hex()}]"


def origin_text(origin: bytes) -> str:
    """A key origin's bytes as people write it."""
    try:
        return str(KeyOrigin.decode(origin))
    except InputError:
        return origin.hex()
