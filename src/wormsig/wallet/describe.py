"""A wallet's ways to spend in words, with the names of its people: for `wallet show` and whoever else shows it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from wormsig.wallet.condition import alternatives, summary, ways
from wormsig.wallet.policy import TaprootPolicy, Unspendable, walk

if TYPE_CHECKING:
    from wormsig.wallet.condition import Condition
    from wormsig.wallet.model import Wallet


class Way(msgspec.Struct, frozen=True):
    """One way to spend.

    Attributes:
        where: `key path`, `leaf 1`, `way 1`; `script` when there is only one.
        condition: What it takes.
        words: The same with names: `2 of alice, bob, carol`.
    """

    where: str
    condition: Condition
    words: str


def ways_to_spend(wallet: Wallet) -> tuple[Way, ...]:
    """Every way, in the order of the descriptor: of taproot the key path and each leaf, else each alternative."""
    policy = wallet.policy
    if isinstance(policy, TaprootPolicy):
        conditions = tuple(ways(policy))
        places = [f"leaf {number}" for number in range(1, len(policy.leaves) + 1)]
        if isinstance(policy.internal, int):
            places.insert(0, "key path")
    else:
        conditions = alternatives(wallet.condition)
        places = [f"way {number}" for number in range(1, len(conditions) + 1)] if len(conditions) > 1 else ["script"]
    return tuple(
        Way(place, condition, summary(condition, lambda key: key_label(wallet, key)))
        for place, condition in zip(places, conditions, strict=True)
    )


def key_label(wallet: Wallet, position: int) -> str:
    """A key's name, or its fingerprint in brackets; with its number where a fingerprint is not enough to tell it."""
    key = wallet.keys[position]
    alike = sum(1 for other in wallet.keys if other.fingerprint == key.fingerprint)
    called = key.name if key.name is not None else f"[{key.fingerprint.hex()}]"
    return called if alike == 1 else f"{called} (key {position + 1})"


def unspendable_key(wallet: Wallet) -> str | None:
    """What a taproot internal key is that nobody can sign with; None for every other wallet."""
    policy = wallet.policy
    if not isinstance(policy, TaprootPolicy) or not isinstance(policy.internal, Unspendable):
        return None
    xpub = None if policy.internal.key is None else policy.internal.key.xpub
    if xpub is None:
        return "BIP341's point H: nobody can sign with it"
    made = "made of the wallet's keys" if xpub.chain_code in _chain_codes(wallet, policy) else "of unknown making"
    return f"an xpub over BIP341's point H, its chain code {made}: nobody can sign with it"


def _chain_codes(wallet: Wallet, policy: TaprootPolicy) -> tuple[bytes, ...]:
    """The chain codes that wallets give an xpub over H: hash of the scripts' keys as written, or each once, sorted."""
    written = [
        wallet.keys[key].xpub.pubkey
        for leaf in policy.leaves
        for node in walk(leaf)
        for use in node.keys
        for key in policy.uses[use].keys
    ]
    return tuple(sha256(b"".join(keys)).digest() for keys in (written, sorted(set(written))))
