"""How large the final script of one of a wallet's inputs is, before anybody has signed: for fees and for the review.

Signatures count as in `psbt.size`: 71 bytes with their sighash type where a signer grinds for a low R, 64 in taproot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from wormsig.bitcoin.compact import write_compact
from wormsig.bitcoin.script import push
from wormsig.wallet.condition import SEQUENCE_MASK, SEQUENCE_SECONDS, TIME_LOCKTIME
from wormsig.wallet.policy import MultisigPolicy, TaprootPolicy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from wormsig.wallet.model import Wallet
    from wormsig.wallet.policy import KeyUse, MiniscriptPolicy, Node
    from wormsig.wallet.scripts import WalletScript

ECDSA_SIZE: Final = 71
SCHNORR_SIZE: Final = 64
PREIMAGE_SIZE: Final = 32
_SEQUENCE_DISABLED: Final = 1 << 31
_FINAL_SEQUENCE: Final = 0xFFFF_FFFF


class Spend(msgspec.Struct, frozen=True):
    """What is known of the transaction that spends.

    Attributes:
        version: Its version; relative locks open from 2 on.
        locktime: Its locktime.
        sequence: The input's.
        preimages: Digests whose preimages are known.
        keys: Whose signatures can be had, by position in the wallet's keys; None for everybody's.
    """

    version: int = 2
    locktime: int = 0
    sequence: int = 0xFFFF_FFFD
    preimages: frozenset[bytes] = frozenset()
    keys: frozenset[int] | None = None


class FinalSize(msgspec.Struct, frozen=True):
    """The final scripts of an input.

    Attributes:
        script_sig: Bytes of the scriptSig.
        items: Bytes of each item of the witness, bottom first, without their length prefixes.
    """

    script_sig: int
    items: tuple[int, ...]

    @property
    def witness(self) -> int:
        """Bytes of the serialized witness, its count included; 0 without one."""
        return _cost(self.items) + len(write_compact(len(self.items))) if self.items else 0

    @property
    def input_weight(self) -> int:
        """Weight units of the whole input, outpoint and sequence included (BIP141)."""
        return 4 * (36 + len(write_compact(self.script_sig)) + self.script_sig + 4) + self.witness


Items: TypeAlias = "tuple[int, ...] | None"
"""Sizes of stack items, bottom first; None when it cannot be done."""


def final_size(wallet: Wallet, script: WalletScript, spend: Spend | None = None) -> FinalSize | None:
    """The smallest final scripts with which an input of a wallet can be spent.

    Args:
        wallet: The wallet.
        script: Any of its scripts: they all have the same size.
        spend: What is known of the transaction; by default one without locks, signed by whoever is needed.

    Returns:
        None when no way to spend is open.
    """
    policy, spend = wallet.policy, spend or Spend()
    if isinstance(policy, TaprootPolicy):
        items = _taproot(policy, script, spend)
    elif isinstance(policy, MultisigPolicy):
        enough = spend.keys is None or len(spend.keys) >= policy.threshold
        items = (0,) + (ECDSA_SIZE,) * policy.threshold if enough else None
    else:
        items = _Sizer(policy, spend, ECDSA_SIZE, 33).satisfied(policy.script)[0]
    if items is None:
        return None
    redeem = 0 if script.redeem is None else len(push(script.redeem))
    if script.witness is not None:
        return FinalSize(redeem, (*items, len(script.witness)))
    if script.redeem is not None:
        return FinalSize(sum(1 + size for size in items) + redeem, ())
    return FinalSize(0, items)


def _taproot(policy: TaprootPolicy, script: WalletScript, spend: Spend) -> Items:
    """The key path when it is there, else the smallest leaf with its script and control block."""
    assert script.taproot is not None  # noqa: S101  the wallet's own script
    sizer = _Sizer(policy, spend, SCHNORR_SIZE, 32)
    output = script.taproot.output
    found: list[Items] = (
        [(SCHNORR_SIZE,)] if isinstance(policy.internal, int) and sizer.can_sign(policy.internal) else []
    )
    for number, leaf in enumerate(policy.leaves):
        items = sizer.satisfied(leaf)[0]
        if items is not None and output.tree is not None:
            found.append((*items, len(output.tree.leaves[number][1].script), len(output.control_block(number))))
    return _smallest(found)


class _Sizer:
    """Walks an expression: the smallest items that satisfy it, and the smallest that do not (BIP379, satisfaction)."""

    def __init__(self, policy: MiniscriptPolicy | TaprootPolicy, spend: Spend, signature: int, pubkey: int) -> None:
        self._uses: tuple[KeyUse, ...] = policy.uses
        self._spend = spend
        self._signature = signature
        self._pubkey = pubkey

    def can_sign(self, use: int) -> bool:
        """Whether the signature of a use can be had."""
        keys = self._spend.keys
        return keys is None or keys.issuperset(self._uses[use].keys)

    def satisfied(self, node: Node) -> tuple[Items, Items]:
        """To satisfy, and to dissatisfy."""
        if node.keys:
            return self._keys(node)
        if not node.subs:
            return self._locks(node)
        subs = [self.satisfied(sub) for sub in node.subs]
        if node.name == "thresh":
            return _threshold(subs, node.number)
        if len(subs) == 1:
            return _wrapped(node.name, *subs[0])
        if node.name == "andor":
            (x, not_x), (y, _), (z, not_z) = subs
            return _smallest(((_all(y, x)), _all(z, not_x))), _all(not_z, not_x)
        return _pair(node.name, *subs)

    def _keys(self, node: Node) -> tuple[Items, Items]:
        signing = sum(1 for use in node.keys if self.can_sign(use))
        if node.name in {"pk_k", "pk_h"}:
            pubkey = (self._pubkey,) if node.name == "pk_h" else ()
            return ((self._signature, *pubkey) if signing else None), (0, *pubkey)
        signatures = (self._signature,) * node.number
        if node.name == "multi":
            satisfied, not_satisfied = (0, *signatures), (0,) * (node.number + 1)
        else:
            satisfied, not_satisfied = signatures + (0,) * (len(node.keys) - node.number), (0,) * len(node.keys)
        return (satisfied if signing >= node.number else None), not_satisfied

    def _locks(self, node: Node) -> tuple[Items, Items]:
        if node.digest:
            return ((PREIMAGE_SIZE,) if node.digest in self._spend.preimages else None), (PREIMAGE_SIZE,)
        if node.name == "0":
            return None, ()
        is_open = node.name == "1" or (self._after(node.number) if node.name == "after" else self._older(node.number))
        return (() if is_open else None), None

    def _after(self, value: int) -> bool:
        locktime = self._spend.locktime
        same_kind = (value < TIME_LOCKTIME) == (locktime < TIME_LOCKTIME)
        return same_kind and locktime >= value and self._spend.sequence != _FINAL_SEQUENCE

    def _older(self, value: int) -> bool:
        sequence = self._spend.sequence
        if self._spend.version < 2 or sequence & _SEQUENCE_DISABLED or (value ^ sequence) & SEQUENCE_SECONDS:
            return False
        return sequence & SEQUENCE_MASK >= value & SEQUENCE_MASK


def _wrapped(name: str, x: Items, not_x: Items) -> tuple[Items, Items]:
    if name == "d":
        return _all(x, (1,)), (0,)
    if name == "j":
        return x, (0,)
    return x, None if name == "v" else not_x


def _pair(name: str, left: tuple[Items, Items], right: tuple[Items, Items]) -> tuple[Items, Items]:
    (x, not_x), (y, not_y) = left, right
    neither = _all(not_y, not_x)
    if name in {"and_v", "and_b"}:
        return _all(y, x), neither if name == "and_b" else None
    if name == "or_i":
        return _smallest((_all(x, (1,)), _all(y, (0,)))), _smallest((_all(not_x, (1,)), _all(not_y, (0,))))
    if name == "or_b":
        return _smallest((_all(not_y, x), _all(y, not_x))), neither
    return _smallest((x, _all(y, not_x))), neither if name == "or_d" else None


def _threshold(subs: list[tuple[Items, Items]], count: int) -> tuple[Items, Items]:
    """By how many are satisfied so far, the smallest items."""
    best: list[Items] = [()]
    for satisfied, not_satisfied in subs:
        none_more = [_all(not_satisfied, items) for items in best] + [None]
        one_more = [None] + [_all(satisfied, items) for items in best]
        best = [_smallest(pair) for pair in zip(none_more, one_more, strict=True)]
    return best[count], best[0]


def _all(*parts: Items) -> Items:
    found: tuple[int, ...] = ()
    for part in parts:
        if part is None:
            return None
        found += part
    return found


def _smallest(choices: Iterable[Items]) -> Items:
    return min((items for items in choices if items is not None), key=_cost, default=None)


def _cost(items: Collection[int]) -> int:
    """Bytes in a witness."""
    return sum(size + len(write_compact(size)) for size in items)
