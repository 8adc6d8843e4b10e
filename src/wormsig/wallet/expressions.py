"""Key expressions to `WalletKey`s: decoding, key origins, names. Light: needs no descriptor library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import ExtendedPublicKey, KeyOrigin, parse_path
from wormsig.errors import UsageError
from wormsig.wallet.model import WalletKey
from wormsig.wallet.names import check_key_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wormsig.wallet.grammar import KeyText


def decode_key(pieces: KeyText) -> WalletKey:
    """The key of an expression, without a name.

    A key without origin is its own root (BIP380): the xpub's own fingerprint and an empty path.

    Raises:
        DescriptorError: Not an extended public key, or a path that is none.
    """
    xpub = ExtendedPublicKey.from_text(pieces.key)
    if pieces.fingerprint is None:
        return WalletKey(KeyOrigin(xpub.fingerprint, ()), xpub)
    path = parse_path(pieces.path) if pieces.path else ()
    return WalletKey(KeyOrigin(bytes.fromhex(pieces.fingerprint), path), xpub)


def named(keys: Sequence[WalletKey], names: Mapping[bytes, str]) -> tuple[WalletKey, ...]:
    """The keys with their cosigners' names.

    Args:
        keys: In order.
        names: Master fingerprint -> name.

    Raises:
        UsageError: A name for a fingerprint that no key has, a name used twice, or one that cannot be shown.
    """
    known = {key.fingerprint for key in keys}
    taken: dict[str, bytes] = {}
    for fingerprint, given in names.items():
        if fingerprint not in known:
            there = ", ".join(sorted(key.fingerprint.hex() for key in keys))
            raise UsageError(f"no key has the fingerprint {fingerprint.hex()}", hint=f"the wallet has {there}")
        check_key_name(given)
        if taken.setdefault(given.casefold(), fingerprint) != fingerprint:
            raise UsageError(f"two cosigners cannot both be called {given}")
    return tuple(WalletKey(key.origin, key.xpub, names.get(key.fingerprint)) for key in keys)
