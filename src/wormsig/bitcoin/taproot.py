"""Taproot over bytes (BIP341): output scripts, script trees, control blocks and witnesses.

Signature hashes stand in `sighash`, keys and signatures in `schnorr`, the scripts of leaves in `tapscript`. Running
scripts does not belong here, nor does anything that needs to know whose key or script it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from wormsig.bitcoin.compact import write_compact
from wormsig.bitcoin.schnorr import taproot_tweak_pubkey
from wormsig.bitcoin.script import tag_prefix, tagged_hash
from wormsig.bitcoin.tapscript import MAX_MULTI_A_KEYS, MultiA, multi_a_script, parse_multi_a
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "ANNEX_TAG",
    "MAX_DEPTH",
    "MAX_MULTI_A_KEYS",
    "NUMS_KEY",
    "TAPSCRIPT",
    "ControlBlock",
    "MultiA",
    "TapLeaf",
    "TapTree",
    "TaprootOutput",
    "TaprootWitness",
    "multi_a_script",
    "p2tr_script",
    "parse_control_block",
    "parse_multi_a",
    "split_witness",
    "tagged_hash",
    "tapbranch_hash",
    "tapleaf_hash",
    "verify_control_block",
]

TAPSCRIPT: Final = 0xC0
"""The leaf version of BIP342; others are not defined yet."""
MAX_DEPTH: Final = 128
ANNEX_TAG: Final = 0x50
NUMS_KEY: Final = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""BIP341's H: the x of a point whose secret key nobody can know, for outputs without a key path."""

_LEAF: Final = tag_prefix("TapLeaf")
_BRANCH: Final = tag_prefix("TapBranch")


def p2tr_script(output_key: bytes) -> bytes:
    """The scriptPubKey that pays an output key (BIP341): x-only, 32 bytes, already tweaked."""
    return b"\x51\x20" + output_key


def tapleaf_hash(script: bytes, leaf_version: int = TAPSCRIPT) -> bytes:
    """The hash of a leaf, 32 bytes (BIP341)."""
    return hashlib.sha256(_LEAF + bytes((leaf_version,)) + write_compact(len(script)) + script).digest()


def tapbranch_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two nodes of 32 bytes each, whichever of them comes first (BIP341)."""
    return hashlib.sha256(_BRANCH + (left + right if left < right else right + left)).digest()


@dataclass(frozen=True, slots=True)
class TapLeaf:
    """A script in a tree.

    Args:
        script: Its bytes.
        version: The leaf version, even.

    Raises:
        InputError: The version is odd or no byte.
    """

    script: bytes
    version: int = TAPSCRIPT

    def __post_init__(self) -> None:
        if self.version & 1 or not 0 <= self.version <= 0xFF:
            raise InputError(f"taproot leaf version {self.version} is not an even byte")

    @property
    def hash(self) -> bytes:
        """The leaf's hash, 32 bytes."""
        return tapleaf_hash(self.script, self.version)


Nested: TypeAlias = "TapLeaf | bytes | Sequence[Nested]"
"""A tree as `tr()` writes it: a leaf, a script of leaf version 0xc0, or a pair of trees."""


def _flattened(node: Nested, depth: int) -> Iterator[tuple[int, TapLeaf]]:
    if isinstance(node, TapLeaf | bytes):
        yield depth, node if isinstance(node, TapLeaf) else TapLeaf(node)
        return
    if len(node) != 2:
        raise InputError(f"a branch of a taproot tree has two sides, not {len(node)}")
    if depth == MAX_DEPTH:
        raise InputError(f"taproot tree is deeper than {MAX_DEPTH}")
    for side in node:
        yield from _flattened(side, depth + 1)


def _joined(leaves: Sequence[tuple[int, TapLeaf]]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Join neighbours of the same depth until one node is left.

    Returns:
        The root's hash; and of every other node, leaves first, the node it was joined into and the hash beside it.
    """
    parents: list[tuple[int, bytes]] = [(0, b"")] * max(0, 2 * len(leaves) - 2)
    pending: list[tuple[int, int, bytes]] = []  # depth, number and hash of nodes that wait for their right side
    number = len(leaves)
    for leaf, (leaf_depth, content) in enumerate(leaves):
        depth, node, digest = leaf_depth, leaf, content.hash
        if not 0 <= depth <= MAX_DEPTH:
            raise InputError(f"taproot leaf {leaf} has depth {depth}, not 0 to {MAX_DEPTH}")
        while pending and pending[-1][0] == depth:
            _, left, other = pending.pop()
            if depth == 0:
                raise InputError("taproot leaves make more than one tree")
            parents[left], parents[node] = (number, digest), (number, other)
            depth, node, digest = depth - 1, number, tapbranch_hash(other, digest)
            number += 1
        if pending and pending[-1][0] > depth:
            raise InputError("taproot leaves do not make one tree")
        pending.append((depth, node, digest))
    if len(pending) != 1 or pending[0][0] != 0:
        raise InputError("taproot leaves do not make one tree")
    return pending[0][2], parents


@dataclass(frozen=True)
class TapTree:
    """A script tree; not slotted because its root is computed once and kept. Memory and time are linear in the leaves.

    Args:
        leaves: Depth and leaf, depth first, as PSBT_OUT_TAP_TREE has them (BIP371).

    Raises:
        InputError: The depths do not make one tree, or one of them passes 128.
    """

    leaves: tuple[tuple[int, TapLeaf], ...]
    merkle_root: bytes = field(init=False, repr=False, compare=False)
    _parents: list[tuple[int, bytes]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        root, parents = _joined(self.leaves)
        object.__setattr__(self, "merkle_root", root)
        object.__setattr__(self, "_parents", parents)

    @classmethod
    def of(cls, leaves: Iterable[tuple[int, int, bytes]]) -> TapTree:
        """From depth, leaf version and script of each leaf, as PSBT_OUT_TAP_TREE has them.

        Raises:
            InputError: They do not make one tree, or a leaf version is odd.
        """
        return cls(tuple([(depth, TapLeaf(script, version)) for depth, version, script in leaves]))

    @classmethod
    def nested(cls, tree: Nested) -> TapTree:
        """From leaves and pairs, as `tr()` writes them: `a`, `(a, b)`, `(a, (b, c))`.

        Raises:
            InputError: A branch is not a pair, or the tree is too deep.
        """
        return cls(tuple(_flattened(tree, 0)))

    def path(self, leaf: int) -> tuple[bytes, ...]:
        """The hashes beside the way from a leaf up to the root, the leaf's neighbour first.

        Raises:
            InputError: There is no such leaf.
        """
        if not 0 <= leaf < len(self.leaves):
            raise InputError(f"the taproot tree has no leaf {leaf}")
        found: list[bytes] = []
        node, root = leaf, len(self._parents)
        while node != root:
            node, beside = self._parents[node]
            found.append(beside)
        return tuple(found)


@dataclass(frozen=True)
class TaprootOutput:
    """An internal key with its script tree, and what follows from them; not slotted because it is computed once.

    Args:
        internal_key: X-only, 32 bytes; `NUMS_KEY` for none.
        tree: None for an output without scripts.
    """

    internal_key: bytes
    tree: TapTree | None = None

    @property
    def merkle_root(self) -> bytes | None:
        """The tree's root, None without scripts."""
        return None if self.tree is None else self.tree.merkle_root

    @cached_property
    def _tweaked(self) -> tuple[bytes, int]:
        return taproot_tweak_pubkey(self.internal_key, self.merkle_root)

    @property
    def output_key(self) -> bytes:
        """The key in the scriptPubKey, x-only.

        Raises:
            InputError: The internal key is not on the curve.
        """
        return self._tweaked[0]

    @property
    def script(self) -> bytes:
        """The scriptPubKey."""
        return p2tr_script(self.output_key)

    def control_block(self, leaf: int) -> bytes:
        """What the witness shows to spend by a leaf of the tree.

        Raises:
            InputError: There is no such leaf.
        """
        if self.tree is None:
            raise InputError("a taproot output without scripts has no leaf")
        path, (_, content) = self.tree.path(leaf), self.tree.leaves[leaf]
        return ControlBlock(content.version, self._tweaked[1], self.internal_key, path).encode()


class ControlBlock(msgspec.Struct, frozen=True):
    """What a witness shows beside a script (BIP341).

    Args:
        leaf_version: Even.
        parity: Of the output key's y.
        internal_key: X-only, 32 bytes.
        path: The hashes beside the way from the leaf to the root, 32 bytes each.
    """

    leaf_version: int
    parity: int
    internal_key: bytes
    path: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The bytes of the witness, and of PSBT_IN_TAP_LEAF_SCRIPT's key data."""
        return b"".join((bytes((self.leaf_version | self.parity,)), self.internal_key, *self.path))

    def merkle_root(self, script: bytes) -> bytes:
        """The root of the tree in which a script stands at this place, 32 bytes."""
        digest = tapleaf_hash(script, self.leaf_version)
        for other in self.path:
            digest = tapbranch_hash(digest, other)
        return digest


def parse_control_block(control: bytes) -> ControlBlock:
    """Take a control block apart (BIP341). Whether the internal key is on the curve is not looked at.

    Raises:
        InputError: It does not have 33 bytes and 32 more for each of at most 128 steps.
    """
    steps, odd = divmod(len(control) - 33, 32)
    if odd or not 0 <= steps <= MAX_DEPTH:
        raise InputError(f"control block has {len(control)} bytes")
    path = tuple([control[at : at + 32] for at in range(33, len(control), 32)])
    return ControlBlock(control[0] & 0xFE, control[0] & 1, control[1:33], path)


def verify_control_block(control: bytes, script: bytes, output_key: bytes) -> bool:
    """Whether an output may be spent by a script, as far as the tree goes (BIP341, script validation rules).

    The script itself is not run, and a leaf version that nobody knows is not refused.

    Args:
        control: The control block's bytes, of any length.
        script: The leaf's script.
        output_key: X-only, 32 bytes of the scriptPubKey.
    """
    try:
        parsed = parse_control_block(control)
        return taproot_tweak_pubkey(parsed.internal_key, parsed.merkle_root(script)) == (output_key, parsed.parity)
    except InputError:
        return False


class TaprootWitness(msgspec.Struct, frozen=True):
    """A taproot witness, by what its parts are for.

    Args:
        arguments: The signature alone for the key path; else what the script gets, bottom first.
        script: None for the key path.
        control: Its control block, None for the key path.
    """

    arguments: tuple[bytes, ...]
    script: bytes | None = None
    control: bytes | None = None


def split_witness(stack: Sequence[bytes]) -> TaprootWitness:
    """Tell key path from script path (BIP341, script validation rules). Nothing is verified.

    Args:
        stack: The witness of an input that spends a taproot output.

    Raises:
        InputError: It is empty, or has an annex: what one means is not defined, so none is signed or checked here.
    """
    if not stack:
        raise InputError("taproot witness is empty")
    if len(stack) == 1:
        return TaprootWitness((stack[0],))
    if stack[-1][:1] == bytes((ANNEX_TAG,)):
        raise InputError("taproot witness has an annex, whose meaning is not defined")
    return TaprootWitness(tuple(stack[:-2]), stack[-2], stack[-1])
