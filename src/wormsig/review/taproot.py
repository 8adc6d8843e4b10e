"""Taproot outputs as a PSBT shows them: what of internal key and script tree leads to the output key (rows C3, C7).

What a signature could satisfy in an input is proven by the psbt room; here it is put into words, and compared with what
the wallet itself derives.
"""

from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.compact import read_compact
from wormsig.bitcoin.script import walk
from wormsig.bitcoin.taproot import NUMS_KEY, TaprootOutput, TapTree, parse_multi_a
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.model import (
    OUT_TAP_INTERNAL_KEY,
    OUT_TAP_TREE,
    TAP_INTERNAL_KEY,
    TAP_LEAF_SCRIPT,
    TAP_MERKLE_ROOT,
    spent_output,
)
from wormsig.psbt.scripts import input_scripts
from wormsig.wallet.policy import TaprootPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wormsig.psbt.model import Fields, Psbt
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.scripts import Taproot

TAPROOT_FIELDS = "taproot fields"
"""How a finding calls internal key, merkle root and leaf scripts together."""

MAX_LEAVES = 50_000
"""Leaves of the outputs' taproot trees that are looked at, in one PSBT (row C16)."""
SMALLEST_LEAF = 3
"""Bytes in a PSBT_OUT_TAP_TREE: depth, leaf version, and the length of an empty script."""

_CHECKS = frozenset({0xAC, 0xAD, 0xBA})
"""OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_CHECKSIGADD: what stands before them is a key."""


class ShownTaproot(msgspec.Struct, frozen=True):
    """What a PSBT shows of a taproot output, proven by the output key.

    Args:
        internal_key: X-only; None when it is not shown, or proves nothing. BIP341's point H counts as a key of nobody.
        leaves: Scripts of the leaves that are shown.
        whole: Whether that is all there is: no part of the tree is hidden.
    """

    internal_key: bytes | None = None
    leaves: tuple[bytes, ...] = ()
    whole: bool = False

    @property
    def pubkeys(self) -> tuple[bytes, ...]:
        """The x-only keys that could sign, each once."""
        keys = dict.fromkeys(key for leaf in self.leaves for key in leaf_keys(leaf))
        if self.internal_key is not None and self.internal_key != NUMS_KEY:
            keys = {self.internal_key: None, **keys}
        return tuple(keys)

    @property
    def multisig(self) -> tuple[int, tuple[bytes, ...]] | None:
        """Threshold and keys, when there is one way to spend and it is a plain m-of-n."""
        if not self.whole or self.internal_key is None:
            return None
        if self.internal_key != NUMS_KEY:
            return None if self.leaves else (1, (self.internal_key,))
        multi = parse_multi_a(self.leaves[0]) if len(self.leaves) == 1 else None
        return None if multi is None else (multi.threshold, multi.keys)


HIDDEN = ShownTaproot()


def leaf_keys(script: bytes) -> tuple[bytes, ...]:
    """The x-only keys that a leaf checks signatures of."""
    multi = parse_multi_a(script)
    if multi is not None:
        return multi.keys
    try:
        return tuple(
            data
            for (_, data, _), (then, _, _) in pairwise(walk(script))
            if data is not None and len(data) == 32 and then in _CHECKS
        )
    except InputError:
        return ()


def input_taproot(psbt: Psbt, index: int) -> ShownTaproot | None:
    """What a taproot input shows; None when it contradicts the output that is spent, or itself."""
    if spent_output(psbt, index) is None:
        return HIDDEN  # only our node knows the coin, or the PSBT contradicts itself about it, which `coins` says
    try:
        proven = input_scripts(psbt, index).taproot
    except PsbtError:
        return None
    if proven is None:
        return HIDDEN
    leaves = tuple(leaf.script for leaf in proven.leaves.values())
    whole = proven.internal_key is not None and (
        proven.merkle_root is None or (len(leaves) == 1 and proven.merkle_root in proven.leaves)
    )
    return ShownTaproot(proven.internal_key, leaves, whole)


def output_taproot(script: bytes, fields: Fields, *, most: int = MAX_LEAVES) -> ShownTaproot | None:
    """What an output's map shows of a taproot script; None when internal key and tree do not give it.

    An internal key without a tree, of an output that has one, proves nothing and is no lie.

    Args:
        script: The scriptPubKey.
        fields: The output's map.
        most: A tree with more leaves is not looked at, as if it had been left away.
    """
    internal_key, tree = fields.get(OUT_TAP_INTERNAL_KEY), fields.get(OUT_TAP_TREE)
    if internal_key is None:
        return HIDDEN
    try:
        leaves = () if tree is None else tuple(islice(_leaves(tree), most + 1))
        if len(leaves) > most:
            return HIDDEN
        output = TaprootOutput(internal_key, TapTree.of(leaves) if leaves else None)
        matches = output.script == script
    except InputError:
        return None
    if not matches:
        return HIDDEN if tree is None else None
    return ShownTaproot(internal_key, tuple(leaf for _, _, leaf in leaves), whole=True)


def _leaves(value: bytes) -> Iterable[tuple[int, int, bytes]]:
    """Depth, leaf version and script of each leaf of a PSBT_OUT_TAP_TREE (BIP371)."""
    offset = 0
    while offset < len(value):
        size, start = read_compact(value, offset + 2)
        yield value[offset], value[offset + 1], value[start : start + size]
        offset = start + size


def pays_alone(script: bytes, xonly: bytes) -> bool:
    """Whether a taproot script pays one key and nothing else (BIP86)."""
    try:
        return TaprootOutput(xonly).script == script
    except InputError:
        return False


def has_key_path(wallet: Wallet) -> bool:
    """Whether a taproot wallet has an internal key that somebody holds."""
    return isinstance(wallet.policy, TaprootPolicy) and isinstance(wallet.policy.internal, int)


def own_taproot_problems(own: Taproot, fields: Fields, *, key_path: bool) -> tuple[list[str], list[str]]:
    """Compare an own input's taproot fields with what the wallet derives.

    Args:
        own: The wallet's.
        fields: The input's map.
        key_path: Whether somebody holds the internal key.

    Returns:
        What is wrong, and what is missing that some of the wallet's keys need to sign.
    """
    output = own.output
    tree = output.tree
    expected = {}
    if tree is not None:
        expected = {
            output.control_block(number): leaf.script + bytes((leaf.version,))
            for number, (_, leaf) in enumerate(tree.leaves)
        }
    given = {key[1:]: value for key, value in fields.items() if key[0] == TAP_LEAF_SCRIPT}
    internal_key = fields.get(TAP_INTERNAL_KEY)
    wrong = (
        (internal_key is not None and internal_key != output.internal_key)
        or fields.get(TAP_MERKLE_ROOT, output.merkle_root) != output.merkle_root
        or any(expected.get(control) != value for control, value in given.items())
    )
    lacking = []
    if internal_key is None and key_path:
        lacking.append("internal key")
    if expected and not given:
        lacking.append("leaf scripts")
    return [TAPROOT_FIELDS] if wrong else [], lacking
