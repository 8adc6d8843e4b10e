"""What makes a set of keys a wallet that people can rely on: the checks of THREATS S2 and S5 on decoded keys.

`check` refuses; `remarks` says what is allowed and still worth a second look.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED, format_path
from wormsig.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.wallet.model import ScriptKind, Wallet, WalletKey

MAX_KEYS_SEGWIT = 20
"""OP_CHECKMULTISIG's own limit."""
MAX_KEYS_LEGACY = 15
"""What fits into a redeemScript of 520 bytes: 3 + 34 * 15 = 513."""


def label(position: int, key: WalletKey) -> str:
    """How messages name a key: `key 2 [d34db33f]`, counted from 1."""
    return f"key {position} [{key.fingerprint.hex()}]"


def check(script_type: ScriptKind, threshold: int, keys: Sequence[WalletKey]) -> None:
    """Refuse what cannot be, or must not be, a shared wallet.

    Args:
        script_type: `wsh`, `sh-wsh` or `sh`.
        threshold: Signatures needed.
        keys: The cosigners' keys.

    Raises:
        DescriptorError: The numbers do not fit, or a key stands in it twice.
    """
    check_numbers(script_type, threshold, len(keys))
    numbered = [(label(position, key), key) for position, key in enumerate(keys, 1)]
    for (first_label, first), (second_label, second) in itertools.combinations(numbered, 2):
        _check_pair(f"{first_label} and {second_label}", first, second)


def check_numbers(script_type: ScriptKind, threshold: int, count: int) -> None:
    """Refuse thresholds and key counts that no script of this type can hold.

    Raises:
        DescriptorError: Which number is wrong.
    """
    if count == 0:
        raise DescriptorError("the descriptor has no keys")
    if threshold == 0:
        raise DescriptorError("the threshold is 0: anybody could spend from this wallet")
    if threshold > count:
        raise DescriptorError(f"the threshold {threshold} is above the number of keys, {count}")
    limit, why = (
        (MAX_KEYS_LEGACY, "a redeemScript holds at most 520 bytes")
        if script_type == "sh"
        else (MAX_KEYS_SEGWIT, "OP_CHECKMULTISIG takes no more")
    )
    if count > limit:
        raise DescriptorError(f"{count} keys are too many for {script_type}: at most {limit}, {why}")


def _check_pair(who: str, first: WalletKey, second: WalletKey) -> None:
    if first.xpub.pubkey == second.xpub.pubkey:
        same_chain = first.xpub.chain_code == second.xpub.chain_code
        told = _difference(first, second)
        where = f" under {told}" if told else ""
        what = "the same key" if same_chain else "the same public key with two chain codes"
        raise DescriptorError(f"{who} are {what}{where}", hint="every cosigner needs a key of their own")
    if first.origin == second.origin:
        raise DescriptorError(
            f"{who} are different keys that claim the same origin {first.origin}",
            hint="ask both cosigners for their keys again",
        )
    if _is_child(first, second) or _is_child(second, first):
        raise DescriptorError(f"{who}: one is derived from the other", hint="every cosigner needs a key of their own")


def _difference(first: WalletKey, second: WalletKey) -> str:
    parts = []
    if first.fingerprint != second.fingerprint:
        parts.append(f"two fingerprints, {first.fingerprint.hex()} and {second.fingerprint.hex()}")
    if first.origin.path != second.origin.path:
        parts.append(f"two paths, {_path(first)} and {_path(second)}")
    if first.xpub.depth != second.xpub.depth:
        parts.append(f"two depths, {first.xpub.depth} and {second.xpub.depth}")
    return "; ".join(parts)


def _path(key: WalletKey) -> str:
    return format_path(key.origin.path) if key.origin.path else "(none)"


def _is_child(parent: WalletKey, child: WalletKey) -> bool:
    """Whether the origins say that one key lies below the other without a hardened step, and the keys agree.

    A direct child without origins is found by its parent's fingerprint.
    """
    if child.xpub.parent_fingerprint == parent.xpub.fingerprint and child.xpub.child_number < HARDENED:
        return parent.xpub.child(child.xpub.child_number).pubkey == child.xpub.pubkey
    below = child.origin.path[len(parent.origin.path) :]
    if parent.fingerprint != child.fingerprint or child.origin.path != parent.origin.path + below:
        return False
    if not below or any(step >= HARDENED for step in below):
        return False
    return parent.xpub.derive(below).pubkey == child.xpub.pubkey


def remarks(wallet: Wallet) -> tuple[str, ...]:
    """What is allowed and worth a second look, each one sentence.

    Args:
        wallet: A wallet that `check` accepted.

    Returns:
        Sentences without final stop; empty when there is nothing to say.
    """
    found = []
    count = len(wallet.keys)
    if not wallet.sorted and count > 1:
        found.append("keys stand in the written order (multi): another order gives other addresses")
    if wallet.threshold == 1:
        found.append("one signature is enough: every single cosigner can spend everything")
    elif wallet.threshold == count:
        found.append("every key is needed: losing one loses the coins")
    for position, key in enumerate(wallet.keys, 1):
        found += _key_remarks(label(position, key), key, wallet)
    seen: dict[bytes, int] = {}
    for position, key in enumerate(wallet.keys, 1):
        first = seen.setdefault(key.fingerprint, position)
        if first != position:
            found.append(
                f"keys {first} and {position} come from one master key, {key.fingerprint.hex()}: one holder, two keys"
            )
    return tuple(found)


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
        agreed = {HARDENED + 1: "sh-wsh", HARDENED + 2: "wsh"}.get(path[3])
        if agreed != wallet.script_type:
            found.append(
                f"{who} has a path for {agreed or 'another script type'} (BIP48), the wallet is {wallet.script_type}"
            )
    return found


_COIN_TYPE_PURPOSES = frozenset(HARDENED + purpose for purpose in (44, 48, 49, 84, 86, 87))
