"""A wallet's scripts at a branch and index, and finding a script among them: the hot path of every review.

A script costs one BIP32 step per key (CKDpub, BIP32) and a few hashes; the branches' own keys are derived once.
Whether an output is change, and up to which index anybody scans, is decided in `review`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin import ckd, musig
from wormsig.bitcoin.batch import share_out
from wormsig.bitcoin.keys import HARDENED, ExtendedPublicKey, KeyOrigin
from wormsig.bitcoin.network import address_of
from wormsig.errors import InputError
from wormsig.wallet.model import BRANCHES, CHANGE, RECEIVE
from wormsig.wallet.policy import TaprootPolicy, Unspendable
from wormsig.wallet.scripts import Signers, WalletScript, maker_for, signers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wormsig.wallet.model import Wallet

__all__ = ["Deriver", "WalletScript", "locate"]

_SEARCH_STEP = 20
"""Indices of each branch that a search derives at once."""

_STEP_COST = 0.75
"""Of one BIP32 step, as `share_out` counts."""

MAX_HINTS = 8
"""Places a PSBT may name for one script before they are ignored: a true one names one."""


class _Branch(msgspec.Struct, frozen=True):
    """One branch: parents of its keys, in the order of `Maker.make`'s children, and whose they are."""

    parents: tuple[ckd.Parent, ...]
    signers: Signers


class Deriver:
    """Derives one wallet's scripts and remembers them.

    Threads may share one: every entry is written once, with the same value whoever is first.
    """

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self._branches: dict[int, _Branch] = {}
        self._scripts: dict[tuple[int, int], WalletScript] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        aggregates = {
            position: _aggregate(wallet, use.keys) for position, use in enumerate(wallet.uses) if use.is_aggregate
        }
        self._aggregates = {position: pubkey for position, (pubkey, _) in aggregates.items()}
        self._make = maker_for(wallet, aggregates).make
        self._searched = 0  # every index below it has been derived on both branches

    def script(self, branch: int, index: int) -> WalletScript:
        """The wallet's script at a place.

        Args:
            branch: 0 receive, 1 change.
            index: Below 2**31.

        Raises:
            InputError: No such place.
        """
        known = self._scripts.get((branch, index))
        if known is None:
            self._derive(branch, (index,))
            known = self._scripts[branch, index]
        return known

    def scripts(self, branch: int, indices: Iterable[int]) -> list[WalletScript]:
        """The scripts at many indices of a branch, in their order; from some dozens on every core takes part.

        Raises:
            InputError: No such place.
        """
        wanted = list(indices)
        known = self._scripts
        missing = [index for index in dict.fromkeys(wanted) if (branch, index) not in known]
        if missing:
            self._derive(branch, missing)
        return [known[branch, index] for index in wanted]

    def signers(self, branch: int) -> Signers:
        """Whose keys stand in the scripts of a branch; derives none of them.

        Raises:
            InputError: No such branch.
        """
        return self._branch(branch).signers

    def address(self, branch: int, index: int) -> str:
        """The address at a place.

        Raises:
            InputError: No such place.
        """
        address = address_of(self.script(branch, index).script_pubkey, self.wallet.network)
        assert address is not None  # noqa: S101  p2wsh and p2sh always have one
        return address

    def place_of(self, script_pubkey: bytes) -> tuple[int, int] | None:
        """Where a script stands, if it was derived already; derives nothing."""
        return self._places.get(script_pubkey)

    def search(self, script_pubkey: bytes, limit: int) -> WalletScript | None:
        """Look for a script at every index below `limit`, both branches, nearest first.

        What was derived for one script is not derived again for the next.
        """
        place = self._places.get(script_pubkey)
        if place is not None:
            return self._scripts[place]
        if not self.may_own(script_pubkey):
            return None
        end = min(limit, HARDENED)
        while self._searched < end:
            ahead = range(self._searched, min(end, self._searched + _SEARCH_STEP))
            for pair in zip(self.scripts(RECEIVE, ahead), self.scripts(CHANGE, ahead), strict=True):
                for found in pair:
                    if found.script_pubkey == script_pubkey:
                        return found
            self._searched = ahead.stop
        return None

    def may_own(self, script_pubkey: bytes) -> bool:
        """Whether the script is of the wallet's output type: anything else need not be searched for."""
        if self.wallet.script_type == "wsh":
            return len(script_pubkey) == 34 and script_pubkey[:2] == b"\x00\x20"
        if self.wallet.script_type == "tr":
            return len(script_pubkey) == 34 and script_pubkey[:2] == b"\x51\x20"
        return len(script_pubkey) == 23 and script_pubkey[:2] == b"\xa9\x14" and script_pubkey[-1] == 0x87

    def _branch(self, branch: int) -> _Branch:
        known = self._branches.get(branch)
        if known is None:
            if branch not in BRANCHES:
                raise InputError(f"the wallet has no branch {branch}: 0 is receive, 1 is change")
            bases = [(xpub.child(step), origin.extend((step,))) for xpub, origin, step in self._bases(branch)]
            parents = tuple(ckd.Parent(key.pubkey, key.chain_code) for key, _ in bases)
            signers = Signers(*signers_of(self.wallet, branch), tuple(origin for _, origin in bases))
            known = self._branches[branch] = _Branch(parents, signers)
        return known

    def _bases(self, branch: int) -> Iterable[tuple[ExtendedPublicKey, KeyOrigin, int]]:
        """What is derived: extended key, its origin, the branch's step; the uses, then an unspendable internal key."""
        wallet = self.wallet
        for position, use in enumerate(wallet.uses):
            if use.is_aggregate:
                xpub = musig.synthetic_xpub(self._aggregates[position], mainnet=wallet.network.is_mainnet)
                yield xpub, KeyOrigin(xpub.fingerprint, ()), use.branches[branch]
            else:
                key = wallet.keys[use.keys[0]]
                yield key.xpub, key.origin, use.branches[branch]
        internal = wallet.policy.internal if isinstance(wallet.policy, TaprootPolicy) else None
        if isinstance(internal, Unspendable) and internal.key is not None:
            yield internal.key.xpub, internal.key.origin, internal.branches[branch]

    def _derive(self, branch: int, indices: Sequence[int]) -> None:
        keys = self._branch(branch)
        wrong = next((index for index in (min(indices), max(indices)) if not 0 <= index < HARDENED), None)
        if wrong is not None:
            raise InputError(f"{wrong} is not an index of a wallet: 0 to {HARDENED - 1}")
        make, parents, signers = self._make, keys.parents, keys.signers
        scripts, places = self._scripts, self._places

        def work(first: int, last: int) -> None:
            part = indices[first:last]
            for index, pubkeys in zip(part, ckd.children(parents, part), strict=True):
                made = make(branch, index, pubkeys, signers)
                places[made.script_pubkey] = (branch, index)
                scripts[branch, index] = made

        share_out(len(indices), _STEP_COST * len(parents), work)


def _aggregate(wallet: Wallet, positions: Sequence[int]) -> tuple[bytes, tuple[bytes, ...]]:
    """A MuSig2 aggregate, and its participants in the order of aggregation: sorted (BIP390)."""
    participants = sorted(wallet.keys[position].xpub.pubkey for position in positions)
    return musig.aggregate(participants), tuple(participants)


def locate(
    deriver: Deriver, script_pubkey: bytes, hints: Iterable[tuple[int, int]] = (), limit: int = 0
) -> WalletScript | None:
    """Find a script in the wallet, byte for byte (THREATS C2).

    Args:
        deriver: The wallet's.
        script_pubkey: The script looked for.
        hints: Places that somebody claims; tried first, up to `MAX_HINTS` different ones, never believed.
        limit: Then every index below this is searched on both branches.

    Returns:
        The wallet's own script, or None when it is not there.
    """
    place = deriver.place_of(script_pubkey)
    if place is not None:
        return deriver.script(*place)
    for branch, index in tuple(dict.fromkeys(hints))[:MAX_HINTS]:
        if branch in BRANCHES and 0 <= index < HARDENED:
            candidate = deriver.script(branch, index)
            if candidate.script_pubkey == script_pubkey:
                return candidate
    return deriver.search(script_pubkey, limit)
