"""What a wallet's scripts ask for, as frozen values: keys by position, scripts as trees. Nothing is derived here.

A policy and the wallet's keys together are the descriptor (BIP388 calls the one template, the other key information).
`reading` makes policies from text and `writing` turns them back; `condition` says what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.wallet.model import WalletKey

MAIN_BRANCHES: Final = (0, 1)


class KeyUse(msgspec.Struct, frozen=True):
    """A key where it stands in a descriptor: `xpub/<0;1>/*`, or `musig(xpub,xpub)/<0;1>/*` (BIP390).

    Attributes:
        keys: Positions in the wallet's keys; more than one are a MuSig2 aggregate, in the order written.
        branches: The step for receiving and the one for change (BIP389). A key that stands in a script twice has
            another pair at its second place, such as (2, 3).
    """

    keys: tuple[int, ...]
    branches: tuple[int, int] = MAIN_BRANCHES

    @property
    def is_aggregate(self) -> bool:
        """Whether it takes all of several keys to sign."""
        return len(self.keys) > 1


class Unspendable(msgspec.Struct, frozen=True):
    """A taproot internal key that nobody can sign with: BIP341's point H, or a child of an xpub over it.

    Attributes:
        key: The extended key over H; None for H itself.
        branches: As in `KeyUse`; of no meaning for H itself.
    """

    key: WalletKey | None = None
    branches: tuple[int, int] = MAIN_BRANCHES


class Node(msgspec.Struct, frozen=True):
    """A fragment of miniscript (BIP379) without sugar: `pk(K)` is `c` around `pk_k`, wrappers are nodes of one letter.

    `sortedmulti_a` (BIP387) is no miniscript but stands where a leaf does, so it is one here.

    Attributes:
        name: The fragment's name.
        subs: The expressions in it.
        keys: Positions in the policy's `uses`.
        number: Threshold, number of blocks, time, or 0.
        digest: What a hash lock's preimage hashes to.
    """

    name: str
    subs: tuple[Node, ...] = ()
    keys: tuple[int, ...] = ()
    number: int = 0
    digest: bytes = b""


Tree: TypeAlias = "Node | tuple[Tree, Tree]"
"""A script tree as `tr()` writes it (BIP386): a leaf's script, or two trees."""


def leaves(tree: Tree | None) -> Iterator[Node]:
    """The leaves of a tree, depth first."""
    if isinstance(tree, Node):
        yield tree
    elif tree is not None:
        for side in tree:
            yield from leaves(side)


def depths(tree: Tree | None, depth: int = 0) -> Iterator[int]:
    """The depth of each leaf, depth first."""
    if isinstance(tree, Node):
        yield depth
    elif tree is not None:
        for side in tree:
            yield from depths(side, depth + 1)


class MultisigPolicy(msgspec.Struct, frozen=True):
    """So many of all the wallet's keys, with OP_CHECKMULTISIG (BIP383): `wsh`, `sh(wsh)`, `sh`.

    Attributes:
        threshold: Signatures needed.
        sorted: Keys are sorted in each script (`sortedmulti`, BIP67), else they stand in the order agreed on.
    """

    threshold: int
    sorted: bool


class MiniscriptPolicy(msgspec.Struct, frozen=True):
    """Miniscript (BIP379) as witnessScript: `wsh`, `sh(wsh)`.

    Attributes:
        uses: Every key expression, once, in the order of its first appearance.
        script: The expression.
    """

    uses: tuple[KeyUse, ...]
    script: Node


class TaprootPolicy(msgspec.Struct, frozen=True):
    """An internal key and a tree of scripts (BIP386).

    Attributes:
        uses: Every key expression that can sign, once, in the order of its first appearance.
        internal: Position in `uses`, or an unspendable key.
        tree: The scripts; None for a key path alone.
    """

    uses: tuple[KeyUse, ...]
    internal: int | Unspendable
    tree: Tree | None

    @property
    def leaves(self) -> tuple[Node, ...]:
        """The scripts, depth first."""
        return tuple(leaves(self.tree))


Policy: TypeAlias = MultisigPolicy | MiniscriptPolicy | TaprootPolicy


def scripts(policy: MiniscriptPolicy | TaprootPolicy) -> tuple[Node, ...]:
    """Every script of a policy: the one witnessScript, or the leaves."""
    return policy.leaves if isinstance(policy, TaprootPolicy) else (policy.script,)


def walk(node: Node) -> Iterator[Node]:
    """An expression and everything in it, from the outside in."""
    yield node
    for sub in node.subs:
        yield from walk(sub)
