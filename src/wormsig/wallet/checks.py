"""What makes keys and a policy a wallet that people can rely on: the checks of THREATS S2 and S5 on decoded keys.

`check` refuses; what is allowed and still worth a second look stands in `remarks`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED, format_path
from wormsig.bitcoin.taproot import MAX_MULTI_A_KEYS
from wormsig.errors import DescriptorError
from wormsig.wallet.condition import SEQUENCE_MASK
from wormsig.wallet.miniscript import MULTI
from wormsig.wallet.policy import MultisigPolicy, scripts, walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.wallet.model import ScriptKind, WalletKey
    from wormsig.wallet.policy import KeyUse, Node, Policy

MAX_KEYS_SEGWIT = 20
"""OP_CHECKMULTISIG's own limit."""
MAX_KEYS_LEGACY = 15
"""What fits into a redeemScript of 520 bytes: 3 + 34 * 15 = 513."""
_TAPSCRIPT_LIMIT = (MAX_MULTI_A_KEYS, "the stack has no room for more signatures")
_LIMITS = {
    "sh": (MAX_KEYS_LEGACY, "a redeemScript holds at most 520 bytes"),
    "multi_a": _TAPSCRIPT_LIMIT,
    "sortedmulti_a": _TAPSCRIPT_LIMIT,
}
_OWN_KEY = "every cosigner needs a key of their own"


def label(position: int, key: WalletKey) -> str:
    """How messages name a key: `key 2 [d34db33f]`, counted from 1."""
    return f"key {position} [{key.fingerprint.hex()}]"


def check(script_type: ScriptKind, policy: Policy, keys: Sequence[WalletKey]) -> None:
    """Refuse what cannot be, or must not be, a shared wallet.

    Args:
        script_type: `wsh`, `sh-wsh`, `sh` or `tr`.
        policy: What the scripts ask for.
        keys: The cosigners' keys.

    Raises:
        DescriptorError: The numbers do not fit, a key stands in it twice where it must not, or a lock locks nothing.
    """
    if isinstance(policy, MultisigPolicy):
        check_numbers(script_type, policy.threshold, len(keys))
    numbered = [(label(position, key), key) for position, key in enumerate(keys, 1)]
    for (first_label, first), (second_label, second) in itertools.combinations(numbered, 2):
        _check_pair(f"{first_label} and {second_label}", first, second)
    if not isinstance(policy, MultisigPolicy):
        _check_uses(policy.uses, [who for who, _ in numbered])
        for script in scripts(policy):
            _check_script(script, policy.uses, [who for who, _ in numbered])


def _check_uses(uses: Sequence[KeyUse], labels: Sequence[str]) -> None:
    """Refuse branches of one key that overlap: an address of one branch would repeat keys of the other."""
    for first, second in itertools.combinations(uses, 2):
        if first.keys == second.keys and set(first.branches) & set(second.branches):
            pairs = " and ".join(f"<{use.branches[0]};{use.branches[1]}>" for use in (first, second))
            who = " with ".join(labels[key] for key in first.keys)
            raise DescriptorError(f"the branches of {who} overlap: {pairs}")


def _check_script(script: Node, uses: Sequence[KeyUse], labels: Sequence[str]) -> None:
    """Refuse what no miniscript check looks for: who signs twice, and locks that mean something else than they say."""
    for node in walk(script):
        if node.name in MULTI:
            check_numbers(node.name, node.number, len(node.keys))
            counted = Counter(key for use in node.keys for key in uses[use].keys)
            twice = next((key for key, times in counted.items() if times > 1), None)
            if twice is not None:
                raise DescriptorError(f"{labels[twice]} stands twice in one {node.name}", hint=_OWN_KEY)
        elif node.name == "older" and not node.number & SEQUENCE_MASK:
            raise DescriptorError(
                f"older({node.number}) is no lock: only its lowest 16 bits count, and they are zero (BIP68)"
            )


def check_numbers(kind: str, threshold: int, count: int) -> None:
    """Refuse thresholds and key counts that no script of this type can hold.

    Args:
        kind: The script type, or the fragment's name.
        threshold: Signatures needed.
        count: Keys.

    Raises:
        DescriptorError: Which number is wrong.
    """
    if count == 0:
        raise DescriptorError("the descriptor has no keys")
    if threshold == 0:
        raise DescriptorError("the threshold is 0: anybody could spend from this wallet")
    if threshold > count:
        raise DescriptorError(f"the threshold {threshold} is above the number of keys, {count}")
    limit, why = _LIMITS.get(kind, (MAX_KEYS_SEGWIT, "OP_CHECKMULTISIG takes no more"))
    if count > limit:
        raise DescriptorError(f"{count} keys are too many for {kind}: at most {limit}, {why}")


def _check_pair(who: str, first: WalletKey, second: WalletKey) -> None:
    if first.xpub.pubkey == second.xpub.pubkey:
        same_chain = first.xpub.chain_code == second.xpub.chain_code
        told = _difference(first, second)
        where = f" under {told}" if told else ""
        what = "the same key" if same_chain else "the same public key with two chain codes"
        raise DescriptorError(f"{who} are {what}{where}", hint=_OWN_KEY)
    if first.origin == second.origin:
        raise DescriptorError(
            f"{who} are different keys that claim the same origin {first.origin}",
            hint="ask both cosigners for their keys again",
        )
    if _is_child(first, second) or _is_child(second, first):
        raise DescriptorError(f"{who}: one is derived from the other", hint=_OWN_KEY)


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
