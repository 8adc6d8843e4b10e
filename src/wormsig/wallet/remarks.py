"""What is allowed in a wallet and still worth a second look, in sentences for the people who agree on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED, format_path
from wormsig.wallet.checks import label
from wormsig.wallet.condition import SEQUENCE_MASK, SEQUENCE_SECONDS, Preimage, can_spend, locks_of, node_condition
from wormsig.wallet.policy import MultisigPolicy, TaprootPolicy, scripts, walk

if TYPE_CHECKING:
    from wormsig.wallet.model import Wallet, WalletKey


def remarks(wallet: Wallet) -> tuple[str, ...]:
    """What is allowed and worth a second look, each one sentence.

    Args:
        wallet: A wallet that `checks.check` accepted.

    Returns:
        Sentences without final stop; empty when there is nothing to say.
    """
    found = _order(wallet) + _power(wallet) + _internal_key(wallet) + _locks(wallet)
    for position, key in enumerate(wallet.keys, 1):
        found += _key_remarks(label(position, key), key, wallet)
    seen: dict[bytes, int] = {}
    for position, key in enumerate(wallet.keys, 1):
        first = seen.setdefault(key.fingerprint, position)
        if first != position:
            found.append(
                f"keys {first} and {position} come from one master key, {key.fingerprint.hex()}: one holder, two keys"
            )
    if any(use.is_aggregate for use in wallet.uses):
        found.append("MuSig2 keys are shown and derived here; wormsig cannot sign for them yet")
    return tuple(found)


def _order(wallet: Wallet) -> list[str]:
    """Keys whose order nobody sorts, though it could be."""
    policy = wallet.policy
    if isinstance(policy, MultisigPolicy):
        function = "" if policy.sorted or len(wallet.keys) == 1 else "multi"
    else:
        function = "multi_a" if any(script.name == "multi_a" for script in scripts(policy)) else ""
    return [f"keys stand in the written order ({function}): another order gives other addresses"] if function else []


def _power(wallet: Wallet) -> list[str]:
    """Who can spend alone at once, and who cannot be done without."""
    everybody = frozenset(range(len(wallet.keys)))
    alone = [key for key in everybody if can_spend(wallet.condition, {key}, opened=False)]
    needed = [key for key in everybody if not can_spend(wallet.condition, everybody - {key}, opened=True)]
    found = []
    if len(alone) == len(everybody):
        found.append("one signature is enough: every single cosigner can spend everything")
    elif alone:
        found.append(f"{_labels(wallet, alone)} can spend everything alone, at once")
    if len(needed) == len(everybody) > 1:
        found.append("every key is needed: losing one loses the coins")
    elif needed and not alone:
        losing = "losing one of them" if len(needed) > 1 else "losing it"
        found.append(f"no way to spend goes without {_labels(wallet, needed)}: {losing} loses the coins")
    return found


def _labels(wallet: Wallet, positions: list[int]) -> str:
    return " and ".join(label(position + 1, wallet.keys[position]) for position in positions)


def _internal_key(wallet: Wallet) -> list[str]:
    """A taproot key path of somebody who has no part in the scripts."""
    policy = wallet.policy
    if not isinstance(policy, TaprootPolicy) or not isinstance(policy.internal, int) or policy.tree is None:
        return []
    internal = policy.uses[policy.internal]
    inside = {
        key for leaf in policy.leaves for node in walk(leaf) for use in node.keys for key in policy.uses[use].keys
    }
    if internal.is_aggregate or internal.keys[0] in inside:
        return []
    return [f"{_labels(wallet, [internal.keys[0]])} is the taproot internal key and stands in none of the scripts"]


def _locks(wallet: Wallet) -> list[str]:
    policy = wallet.policy
    if isinstance(policy, MultisigPolicy):
        return []
    found = []
    for script in scripts(policy):
        for node in walk(script):
            counted = node.number & (SEQUENCE_MASK | SEQUENCE_SECONDS)
            if node.name == "older" and counted != node.number:
                found.append(f"older({node.number}) counts as older({counted}): its other bits have no meaning (BIP68)")
        found += [
            f"one way to spend needs the preimage of {lock.function} {lock.digest.hex()}: somebody must keep it"
            for lock in locks_of(node_condition(script, policy.uses))
            if isinstance(lock, Preimage)
        ]
    return found


def _key_remarks(who: str, key: WalletKey, wallet: Wallet) -> list[str]:
    found = []
    path = key.origin.path
    if not path and key.xpub.depth:
        found.append(f"{who} has no key origin: a hardware wallet may not recognise it as its own")
    if path and key.xpub.depth != len(path):
        found.append(f"{who} says depth {key.xpub.depth}, its origin has {len(path)} steps")
    elif path and key.xpub.child_number != path[-1]:
        found.append(f"{who} says child {format_path((key.xpub.child_number,))}, its origin ends in another step")
    if not path and not key.xpub.depth and key.fingerprint != key.xpub.fingerprint:
        found.append(f"{who} is a master key with another fingerprint, {key.xpub.fingerprint.hex()}")
    if len(path) >= 2 and path[0] in _COIN_TYPE_PURPOSES:
        coin = path[1] - HARDENED
        if coin != wallet.network.coin_type:
            found.append(
                f"{who} has coin type {coin} in its path; {wallet.network.value} has {wallet.network.coin_type}"
            )
    if len(path) == 4 and path[0] == HARDENED + 48:
        agreed = _BIP48.get(path[3])
        if agreed != wallet.script_type:
            found.append(
                f"{who} has a path for {agreed or 'another script type'} (BIP48), the wallet is {wallet.script_type}"
            )
    return found


_COIN_TYPE_PURPOSES = frozenset(HARDENED + purpose for purpose in (44, 48, 49, 84, 86, 87))


_COIN_TYPE_PURPOSES = frozenset(HARDENED + purpose for purpose in (44, 48, 49, 84, 86, 87))
_BIP48 = {HARDENED + 1: "sh-wsh", HARDENED + 2: "wsh", HARDENED + 3: "tr"}
"""The last step of BIP48, and 3 for taproot as wallets have it."""
