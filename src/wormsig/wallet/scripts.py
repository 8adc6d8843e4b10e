"""The scripts of one place in a wallet, made out of that place's keys; how the keys are derived is `derive`'s concern.

A maker is prepared once for a wallet: what is the same at every index (opcodes, the shape of the tree, who holds which
key) is not made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from wormsig.bitcoin.keys import KeyOrigin
from wormsig.bitcoin.script import hash160, multisig_script, p2sh_script, p2wsh_script
from wormsig.bitcoin.taproot import NUMS_KEY, TapLeaf, TaprootOutput, TapTree, multi_a_script
from wormsig.psbt.musig import Aggregate, Spot
from wormsig.wallet.assemble import Pieces, assemble, filled
from wormsig.wallet.policy import MiniscriptPolicy, MultisigPolicy, Node, TaprootPolicy, Unspendable, depths, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wormsig.wallet.model import ScriptKind, Wallet, WalletKey


class Signers(msgspec.Struct, frozen=True):
    """Whose the public keys of a branch's scripts are; one value for all its indexes.

    Attributes:
        holders: The wallet's key behind each, in the order of `WalletScript.pubkeys`.
        origins: Its origin, without the index where one is still to come.
        derived: Whether the index is still to come; not for a participant of a MuSig2 aggregate.
        children: The origin, without index, of each key that is derived: the uses, then an unspendable internal key.
    """

    holders: tuple[WalletKey, ...]
    origins: tuple[KeyOrigin, ...]
    derived: tuple[bool, ...]
    children: tuple[KeyOrigin, ...]


class Derivation(NamedTuple):
    """A key of a taproot output as PSBT_IN_TAP_BIP32_DERIVATION says it (BIP371).

    Attributes:
        leaf_hashes: Of the leaves that it stands in, sorted; none for a key that is only the internal one.
        origin: Master fingerprint and full path.
    """

    leaf_hashes: tuple[bytes, ...]
    origin: KeyOrigin


class Layout(msgspec.Struct, frozen=True):
    """What is the same in every script of a taproot wallet.

    Attributes:
        depths: Of each leaf, depth first.
        leaves_of: For each derived key the numbers of the leaves that it stands in.
        fixed: Keys that are not derived, x-only, with leaves and origin: participants of aggregates, H itself.
        aggregates: Number of a derived key -> the MuSig2 aggregate that it descends from (33 bytes), and its
            participants in order.
    """

    depths: tuple[int, ...]
    leaves_of: tuple[tuple[int, ...], ...]
    fixed: tuple[tuple[bytes, tuple[int, ...], KeyOrigin], ...]
    aggregates: Mapping[int, tuple[bytes, tuple[bytes, ...]]]


@dataclass(frozen=True, slots=True)
class Taproot:
    """What a taproot script is made of.

    Attributes:
        output: Internal key, tree, output key, control blocks.
        keys: The derived keys, x-only: one for each of the policy's uses, then an unspendable internal key.
        index: Their index.
        signers: Their origins.
        layout: Where they stand.
    """

    output: TaprootOutput
    keys: tuple[bytes, ...]
    index: int
    signers: Signers = field(repr=False, compare=False)
    layout: Layout = field(repr=False, compare=False)

    @property
    def participants(self) -> Mapping[bytes, tuple[bytes, ...]]:
        """MuSig2 aggregate (33 bytes, not derived) -> its participants in the order of aggregation (BIP373)."""
        return dict(self.layout.aggregates.values())

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The same with what each signs for; one that is derived in several ways is there once for each."""
        output, leaves_of = self.output, self.layout.leaves_of
        leaves = () if output.tree is None else output.tree.leaves
        found: list[Aggregate] = []
        for number, (pubkey, participants) in self.layout.aggregates.items():
            key = self.keys[number]
            by_key = (Spot(output.output_key, b""),) if key == output.internal_key else ()
            by_leaf = dict.fromkeys(Spot(key, leaves[place][1].hash) for place in leaves_of[number])
            found.append(Aggregate(pubkey, participants, (*by_key, *by_leaf)))
        return tuple(found)

    @property
    def derivations(self) -> dict[bytes, Derivation]:
        """X-only key -> leaves and origin, for every key, an unspendable one included: as bitcoind fills them in."""
        tree = self.output.tree
        hashes = [] if tree is None else [leaf.hash for _, leaf in tree.leaves]
        last = (self.index,)
        found = {
            key: Derivation(_picked(hashes, leaves), origin.extend(last))
            for key, leaves, origin in zip(self.keys, self.layout.leaves_of, self.signers.children, strict=True)
        }
        for key, leaves, origin in self.layout.fixed:
            found[key] = Derivation(_picked(hashes, leaves), origin)
        return found


def _picked(hashes: Sequence[bytes], leaves: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(sorted({hashes[leaf] for leaf in leaves}))


@dataclass(frozen=True, slots=True)
class WalletScript:
    """One of the wallet's scripts.

    Attributes:
        branch: 0 receive, 1 change.
        index: Below 2**31.
        script_pubkey: What an output holds.
        redeem: The redeemScript (`sh`, `sh-wsh`).
        witness: The witnessScript (`wsh`, `sh-wsh`).
        pubkeys: Keys that sign, in the order of the descriptor: 33 bytes each, x-only (32) in taproot. A wallet's key
            that is used twice has two; of a MuSig2 aggregate the participants are here.
        signers: Whose they are.
        taproot: Internal key, tree and key origins (`tr`).
    """

    branch: int
    index: int
    script_pubkey: bytes
    redeem: bytes | None
    witness: bytes | None
    pubkeys: tuple[bytes, ...]
    signers: Signers = field(repr=False)
    taproot: Taproot | None = None
    _origins: dict[bytes, KeyOrigin] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def path(self) -> str:
        """`0/14`."""
        return f"{self.branch}/{self.index}"

    @property
    def holders(self) -> tuple[WalletKey, ...]:
        """The wallet's key behind each of `pubkeys`."""
        return self.signers.holders

    @property
    def origins(self) -> Mapping[bytes, KeyOrigin]:
        """Each of `pubkeys` -> master fingerprint and full path; made when first asked for."""
        if not self._origins:
            last = (self.index,)
            signers = self.signers
            self._origins.update(
                (pubkey, origin.extend(last) if derived else origin)
                for pubkey, origin, derived in zip(self.pubkeys, signers.origins, signers.derived, strict=True)
            )
        return self._origins


class Maker(Protocol):
    """Makes a wallet's scripts at a place."""

    def make(self, branch: int, index: int, children: tuple[bytes, ...], signers: Signers) -> WalletScript:
        """The script at a place.

        Args:
            branch: 0 or 1.
            index: Below 2**31.
            children: The public keys there, 33 bytes each: one for each of the wallet's uses, then an unspendable
                internal key that is derived.
            signers: Whose they are.
        """


def maker_for(wallet: Wallet, aggregates: Mapping[int, tuple[bytes, tuple[bytes, ...]]]) -> Maker:
    """The maker of a wallet's scripts.

    Args:
        wallet: The wallet.
        aggregates: Position of a use -> its MuSig2 aggregate, and the participants in the order of aggregation.
    """
    policy = wallet.policy
    if isinstance(policy, TaprootPolicy):
        return _TaprootMaker(wallet, policy, aggregates)
    wrap = _WRAPPERS[wallet.script_type]
    if isinstance(policy, MultisigPolicy):
        return _MultisigMaker(policy, len(wallet.keys), wrap)
    return _MiniscriptMaker(policy, wrap)


Wrapped = tuple["bytes | None", "bytes | None", bytes]
"""redeemScript, witnessScript and scriptPubKey."""


def _wsh(script: bytes) -> Wrapped:
    return None, script, b"\x00\x20" + sha256(script).digest()


def _sh_wsh(script: bytes) -> Wrapped:
    redeem = p2wsh_script(script)
    return redeem, script, p2sh_script(redeem)


def _sh(script: bytes) -> Wrapped:
    return script, None, p2sh_script(script)


_WRAPPERS: Final[dict[ScriptKind, Callable[[bytes], Wrapped]]] = {"wsh": _wsh, "sh-wsh": _sh_wsh, "sh": _sh}


class _MultisigMaker:
    """`multi` and `sortedmulti`: the hot path of every review, so the script is put together from three constants."""

    def __init__(self, policy: MultisigPolicy, count: int, wrap: Callable[[bytes], Wrapped]) -> None:
        gap = bytes(33)
        first, *_, last = multisig_script(policy.threshold, [gap] * count).split(gap)
        self._first, self._last = first, last
        self._sorted = policy.sorted
        self._wrap = wrap

    def make(self, branch: int, index: int, children: tuple[bytes, ...], signers: Signers) -> WalletScript:
        """See `Maker`."""
        script = self._first + b"\x21".join(sorted(children) if self._sorted else children) + self._last
        redeem, witness, script_pubkey = self._wrap(script)
        return WalletScript(branch, index, script_pubkey, redeem, witness, children, signers)


class _MiniscriptMaker:
    """Miniscript as witnessScript."""

    def __init__(self, policy: MiniscriptPolicy, wrap: Callable[[bytes], Wrapped]) -> None:
        self._pieces = assemble(policy.script, tapscript=False)
        self._wrap = wrap

    def make(self, branch: int, index: int, children: tuple[bytes, ...], signers: Signers) -> WalletScript:
        """See `Maker`."""
        redeem, witness, script_pubkey = self._wrap(filled(self._pieces, children))
        return WalletScript(branch, index, script_pubkey, redeem, witness, children, signers)


class _Leaf:
    """One leaf, ready to be filled with keys."""

    def __init__(self, node: Node) -> None:
        self.uses = frozenset(use for part in walk(node) for use in part.keys)
        self._node = node
        self._pieces: Pieces | None = None if node.name == "sortedmulti_a" else assemble(node, tapscript=True)

    def script(self, keys: Sequence[bytes]) -> bytes:
        """The leaf's script; `keys` are x-only, by position among the uses."""
        if self._pieces is not None:
            return filled(self._pieces, keys)
        return multi_a_script(self._node.number, sorted(keys[use] for use in self._node.keys))


class _TaprootMaker:
    """An internal key and a tree."""

    def __init__(
        self, wallet: Wallet, policy: TaprootPolicy, aggregates: Mapping[int, tuple[bytes, tuple[bytes, ...]]]
    ) -> None:
        self._internal = policy.internal
        self._leaves = tuple(_Leaf(node) for node in policy.leaves)
        self._single = tuple(number for number in range(len(policy.uses)) if number not in aggregates)
        leaves_of = tuple(
            tuple(number for number, leaf in enumerate(self._leaves) if use in leaf.uses)
            for use in range(len(policy.uses))
        )
        fixed = _participant_entries(wallet, policy, leaves_of)
        self._participants = tuple(key for key, _, _ in fixed)
        if isinstance(policy.internal, Unspendable):
            if policy.internal.key is None:
                fixed = (*fixed, (NUMS_KEY, (), KeyOrigin(hash160(b"\x02" + NUMS_KEY)[:4], ())))
            else:
                leaves_of = (*leaves_of, ())
        self._layout = Layout(tuple(depths(policy.tree)), leaves_of, fixed, aggregates)

    def make(self, branch: int, index: int, children: tuple[bytes, ...], signers: Signers) -> WalletScript:
        """See `Maker`."""
        keys = tuple([child[1:] for child in children])
        internal = self._internal
        if isinstance(internal, Unspendable):
            internal_key = NUMS_KEY if internal.key is None else keys[-1]
        else:
            internal_key = keys[internal]
        tree = None
        if self._leaves:
            leaves = [TapLeaf(leaf.script(keys)) for leaf in self._leaves]
            tree = TapTree(tuple(zip(self._layout.depths, leaves, strict=True)))
        output = TaprootOutput(internal_key, tree)
        pubkeys = (*(keys[use] for use in self._single), *self._participants)
        taproot = Taproot(output, keys, index, signers, self._layout)
        return WalletScript(branch, index, output.script, None, None, pubkeys, signers, taproot)


def _participant_entries(
    wallet: Wallet, policy: TaprootPolicy, leaves_of: Sequence[tuple[int, ...]]
) -> tuple[tuple[bytes, tuple[int, ...], KeyOrigin], ...]:
    """The keys that are aggregated, which are not derived themselves: x-only, with their leaves and origins."""
    found: dict[int, set[int]] = {}
    for use, leaves in zip(policy.uses, leaves_of, strict=True):
        for key in use.keys if use.is_aggregate else ():
            found.setdefault(key, set()).update(leaves)
    return tuple(
        (wallet.keys[key].xpub.pubkey[1:], tuple(sorted(leaves)), wallet.keys[key].origin)
        for key, leaves in found.items()
    )


def signers_of(wallet: Wallet, branch: int) -> tuple[tuple[WalletKey, ...], tuple[KeyOrigin, ...], tuple[bool, ...]]:
    """Holders, origins and whether they are derived, in the order of `WalletScript.pubkeys`; see `Signers`."""
    uses = wallet.uses
    single = [use for use in uses if not use.is_aggregate]
    together = dict.fromkeys(key for use in uses if use.is_aggregate for key in use.keys)
    holders = [wallet.keys[use.keys[0]] for use in single]
    origins = [key.origin.extend((use.branches[branch],)) for key, use in zip(holders, single, strict=True)]
    participants = [wallet.keys[key] for key in together]
    return (
        (*holders, *participants),
        (*origins, *(key.origin for key in participants)),
        (True,) * len(holders) + (False,) * len(participants),
    )
