"""What a PSBT says about a taproot input, proven by the output that is spent (BIP341, BIP371).

An internal key, a merkle root and a leaf count only when together they give the output key: leaves through their
control blocks. What contradicts the output, or another field, is refused (THREATS C7). Whose keys they are does not
belong here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin.compact import read_compact
from wormsig.bitcoin.keys import KeyOrigin
from wormsig.bitcoin.schnorr import taproot_tweak_pubkey
from wormsig.bitcoin.script import hash160
from wormsig.bitcoin.taproot import TAPSCRIPT, MultiA, parse_control_block, parse_multi_a, tapleaf_hash
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.model import TAP_BIP32_DERIVATION, TAP_INTERNAL_KEY, TAP_LEAF_SCRIPT, TAP_MERKLE_ROOT
from wormsig.psbt.pushes import pushed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.bitcoin.taproot import TaprootOutput
    from wormsig.psbt.model import Fields
    from wormsig.psbt.sigkeys import SignatureKey

_LEAF_FIELD: Final = "PSBT_IN_TAP_LEAF_SCRIPT"


class Leaf(msgspec.Struct, frozen=True):
    """A script that the output commits to.

    Args:
        script: Its bytes.
        version: The leaf version; only 0xc0 has a meaning (BIP342).
        control: The shortest control block that proves it.
        hash: The leaf's hash.
        multi_a: The m-of-n, when the script is exactly that template.
        pushes: What it pushes; of `multi_a` the keys alone. Kept, because every signature asks (THREATS C16).
    """

    script: bytes
    version: int
    control: bytes
    hash: bytes
    multi_a: MultiA | None
    pushes: frozenset[bytes]

    @classmethod
    def of(cls, script: bytes, version: int, control: bytes) -> Leaf:
        """A leaf whose control block was verified."""
        multi_a = parse_multi_a(script) if version == TAPSCRIPT else None
        pushes = pushed(script) if multi_a is None else frozenset(multi_a.keys)
        return cls(script, version, control, tapleaf_hash(script, version), multi_a, pushes)

    def has_key(self, xonly: bytes) -> bool:
        """Whether a signature by this key can count for this script."""
        if xonly in self.pushes:
            return self.version == TAPSCRIPT and len(xonly) == 32
        return self.version == TAPSCRIPT and self.multi_a is None and hash160(xonly) in self.pushes


@dataclass(frozen=True, slots=True)
class TaprootScripts:
    """How a taproot output can be spent, as far as it is known and proven.

    Args:
        output_key: X-only, from the scriptPubKey.
        internal_key: X-only; None when it is not known, or not proven.
        merkle_root: None when it is not known, or the output has no scripts.
        leaves: Leaf hash -> leaf.
    """

    output_key: bytes
    internal_key: bytes | None = None
    merkle_root: bytes | None = None
    leaves: Mapping[bytes, Leaf] = field(default_factory=dict)

    @classmethod
    def of(cls, output: TaprootOutput) -> TaprootScripts:
        """Everything about an output whose internal key and tree are known (a wallet's)."""
        leaves: dict[bytes, Leaf] = {}
        tree = output.tree
        for number, (_, content) in enumerate(tree.leaves if tree is not None else ()):
            _keep_shorter(leaves, Leaf.of(content.script, content.version, output.control_block(number)))
        return cls(output.output_key, output.internal_key, output.merkle_root, leaves)

    def has_key(self, key: SignatureKey) -> bool:
        """Whether a signature under this key can count."""
        if len(key) == 32:
            return key == self.output_key
        leaf = self.leaves.get(key[32:])
        return leaf is not None and leaf.has_key(key[:32])

    def signable(self, xonly: bytes) -> tuple[SignatureKey, ...]:
        """What a key holder can sign for: the key path alone when it is the internal key, else every leaf with the key.

        As Bitcoin Core does: whoever has the key path needs no script.
        """
        if xonly == self.internal_key:
            return (self.output_key,)
        return tuple([xonly + leaf.hash for leaf in self.leaves.values() if leaf.has_key(xonly)])


def _keep_shorter(leaves: dict[bytes, Leaf], leaf: Leaf) -> None:
    """Of one script at several places of the tree, the place that is cheapest to spend by."""
    known = leaves.get(leaf.hash)
    if known is None or (len(leaf.control), leaf.control) < (len(known.control), known.control):
        leaves[leaf.hash] = leaf


def prove_taproot(index: int, output_key: bytes, fields: Fields) -> TaprootScripts:
    """The proven taproot fields of an input. One tweak of a key proves them all, however many leaves there are.

    Args:
        index: The input, for messages.
        output_key: X-only, from the scriptPubKey that is spent.
        fields: The input's map.

    Raises:
        PsbtError: A control block does not commit to the output; or the internal key and the merkle root do not give
            it, or contradict a control block.
    """
    internal_key, merkle_root = fields.get(TAP_INTERNAL_KEY), fields.get(TAP_MERKLE_ROOT)
    leaf_fields = [(key[1:], value) for key, value in fields.items() if key[0] == TAP_LEAF_SCRIPT]
    if leaf_fields:
        return _with_leaves(index, output_key, (internal_key, merkle_root), leaf_fields)
    if internal_key is None:
        return TaprootScripts(output_key)
    if _gives(internal_key, merkle_root, output_key):
        return TaprootScripts(output_key, internal_key, merkle_root)
    if merkle_root is not None:
        problem = "and PSBT_IN_TAP_MERKLE_ROOT do not give the output that is spent"
        raise _refusal(index, "PSBT_IN_TAP_INTERNAL_KEY", problem)
    return TaprootScripts(output_key)  # without its merkle root an internal key proves nothing, and is no lie


def _with_leaves(
    index: int, output_key: bytes, said: tuple[bytes | None, bytes | None], leaf_fields: list[tuple[bytes, bytes]]
) -> TaprootScripts:
    """All control blocks have to agree with the fields and each other: then the output key proves the one answer."""
    internal_key, merkle_root = said
    parity: int | None = None
    leaves: dict[bytes, Leaf] = {}
    for control, value in leaf_fields:
        script, version = value[:-1], value[-1]
        try:
            block = parse_control_block(control)
            root = block.merkle_root(script)
        except InputError as error:
            raise _refusal(index, _LEAF_FIELD, error.message) from None
        if block.leaf_version != version:
            raise _refusal(index, _LEAF_FIELD, "has another leaf version than its control block")
        if internal_key is None:
            internal_key = block.internal_key
        if merkle_root is None:
            merkle_root = root
        if parity is None:
            parity = block.parity
        if (block.internal_key, root, block.parity) != (internal_key, merkle_root, parity):
            raise _refusal(index, _LEAF_FIELD, "has a control block that contradicts the input's other taproot fields")
        _keep_shorter(leaves, Leaf.of(script, version, control))
    if internal_key is None or not _gives(internal_key, merkle_root, output_key, parity):
        raise _refusal(index, _LEAF_FIELD, "has a control block that does not commit to the output that is spent")
    return TaprootScripts(output_key, internal_key, merkle_root, leaves)


def proven_leaf(output_key: bytes, script: bytes, control: bytes) -> TaprootScripts | None:
    """What the end of a final witness proves by itself: one leaf; None when the output does not commit to it."""
    try:
        block = parse_control_block(control)
        root = block.merkle_root(script)
    except InputError:
        return None
    if not _gives(block.internal_key, root, output_key, block.parity):
        return None
    leaf = Leaf.of(script, block.leaf_version, control)
    return TaprootScripts(output_key, block.internal_key, root, {leaf.hash: leaf})


def _gives(internal_key: bytes, merkle_root: bytes | None, output_key: bytes, parity: int | None = None) -> bool:
    try:
        tweaked, odd = taproot_tweak_pubkey(internal_key, merkle_root)
    except InputError:
        return False
    return tweaked == output_key and parity in {None, odd}


def _refusal(index: int, field: str, message: str) -> PsbtError:
    return PsbtError(message, where=f"input {index}", field=field)


def tap_derivations(
    fields: Fields, key_type: int = TAP_BIP32_DERIVATION
) -> dict[bytes, tuple[tuple[bytes, ...], KeyOrigin]]:
    """X-only key -> leaf hashes and key origin, as a map claims them (PSBT_IN_TAP_BIP32_DERIVATION); nothing is proven.

    Args:
        fields: The map of an input, or of an output with its key type.
        key_type: `model.TAP_BIP32_DERIVATION` or `model.OUT_TAP_BIP32_DERIVATION`.
    """
    found: dict[bytes, tuple[tuple[bytes, ...], KeyOrigin]] = {}
    for key, value in fields.items():
        if key[0] != key_type:
            continue
        count, start = read_compact(value, 0)
        end = start + 32 * count
        found[key[1:]] = (tuple([value[at : at + 32] for at in range(start, end, 32)]), KeyOrigin.decode(value[end:]))
    return found
