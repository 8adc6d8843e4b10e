"""What is the wallet's: inputs and outputs whose script the wallet's own descriptor derives, byte for byte.

Key origins in the PSBT choose where to look first, nothing more (row C2). What no hint leads to is searched for in
the wallet's own branches up to the limit of row C4, once for all scripts together. On the way the keys of scripts
that only resemble the wallet's are recognised (row C3). Places are derived many at a time: that is most of a review.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.keys import HARDENED
from wormsig.review.claims import INPUT, OUTPUT, xonly
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.model import Psbt
    from wormsig.review.claims import KeyIndex, Place
    from wormsig.review.context import ReviewContext
    from wormsig.wallet.derive import Deriver, WalletScript
    from wormsig.wallet.model import WalletKey

MAX_WRONG_HINTS = 2000
"""Hints that lead nowhere, over the whole PSBT, before the rest is ignored: each costs a BIP32 step per key."""

SEARCH_WINDOW = 5_000
"""Indices per branch that a search goes through at most, however far what it finds moves its limit (row C16)."""

_BATCH = 1_000
"""Hinted places derived together."""

_STRIDE = 50
"""Indices of a search derived together: it may end at the first."""


class OurKey(msgspec.Struct, frozen=True):
    """A public key that one of the wallet's keys derives.

    Args:
        key: The wallet's key.
        script: The wallet's script at that place.
    """

    key: WalletKey
    script: WalletScript


class Ownership(msgspec.Struct, frozen=True):
    """What is proven to be the wallet's.

    Args:
        inputs: Index -> the wallet's script.
        outputs: Index -> the wallet's script.
        our_keys: X-only public keys of others' scripts that the wallet derives somewhere.
        highest: Highest index per branch that is known to be in use, this PSBT's inputs included.
        reached: The same without inputs that stand alone far beyond all else (`reached`).
    """

    inputs: Mapping[int, WalletScript]
    outputs: Mapping[int, WalletScript]
    our_keys: Mapping[bytes, OurKey]
    highest: Mapping[int, int]
    reached: Mapping[int, int]

    def ours(self, pubkey: bytes) -> OurKey | None:
        """Whose of the wallet's keys a public key is, in whatever form it stands in a script."""
        return self.our_keys.get(xonly(pubkey)) if self.our_keys else None

    def reference(self, branch: int) -> int:
        """The index from which a gap on a branch is counted; -1 when nothing is known."""
        return _of_branch(self.highest, branch)

    def near(self, branch: int) -> int:
        """The same by what is not far from all else alone; never above `reference`."""
        return _of_branch(self.reached, branch)


def _of_branch(highest: Mapping[int, int], branch: int) -> int:
    known = highest.get(branch)
    return max(highest.values(), default=-1) if known is None else known


def reached(known: Mapping[int, int], spent: Mapping[int, Collection[int]], step: int) -> dict[int, int]:
    """How far the branches are in use, by steps that a wallet takes (row C4).

    Whoever knows the wallet can pay a few satoshis to an address two billion places away and have them spent along:
    that proves a script of the wallet, and not that anybody would look for change beside it.

    Args:
        known: Highest index per branch that node and journal know.
        spent: Indices per branch that inputs spend from; where nothing else is known, the lowest of all is the first.
        step: Highest distance from one to the next.
    """
    first = max(known.values(), default=-1)
    if not known:
        first = min((min(indices) for indices in spent.values()), default=-1)
    found = dict(known)
    for branch, indices in spent.items():
        top = known.get(branch, first)
        for index in sorted(indices):
            if index > top + step:
                break
            top = max(top, index)
        found[branch] = top
    return found


NOTHING = Ownership({}, {}, {}, {}, {})
"""Without a wallet nothing is anybody's."""


Item = tuple[str, int]
"""`input` or `output`, and the index."""


def prove(
    psbt: Psbt,
    coins: Sequence[TxOutput | None],
    *,
    deriver: Deriver,
    keys: KeyIndex,
    visible: Callable[[Item], Iterable[bytes]],
    context: ReviewContext,
    settled: Container[Item] = (),
) -> Ownership:
    """Find the wallet's inputs and outputs.

    Args:
        psbt: The PSBT.
        coins: What each input spends.
        deriver: The wallet's.
        keys: The wallet's.
        visible: The public keys that the PSBT shows of an item's script; asked only where the wallet's is another.
        context: What is known of the indices in use, and the gap limits.
        settled: Items that need not be looked at.
    """
    search = _Search(deriver, context)
    hinted = _Hinted(keys, deriver, search)
    for index, coin in enumerate(coins):
        if coin is not None and ("input", index) not in settled:
            hinted.add(("input", index), coin.script, keys.places(psbt.inputs[index], INPUT))
    for index, output in enumerate(psbt.tx.outputs):
        if ("output", index) not in settled:
            hinted.add(("output", index), output.script, keys.places(psbt.outputs[index], OUTPUT))
    hinted.flush()
    search.finish(visible)
    inputs = {index: script for (kind, index), script in search.proven.items() if kind == "input"}
    outputs = {index: script for (kind, index), script in search.proven.items() if kind == "output"}
    return Ownership(inputs, outputs, search.our_keys, search.highest, search.reached())


class _Hinted:
    """The first pass: items with the places that their maps name, derived in batches."""

    def __init__(self, keys: KeyIndex, deriver: Deriver, search: _Search) -> None:
        self._keys = keys
        self._deriver = deriver
        self._search = search
        self._waiting: list[tuple[Item, bytes, list[Place]]] = []
        self._named: dict[int, set[int]] = {branch: set() for branch in BRANCHES}

    def add(self, item: Item, script: bytes, places: list[Place]) -> None:
        """Note an item; it is looked at with the next batch, in its order."""
        self._waiting.append((item, script, places))
        for branch, index in places:
            self._named[branch].add(index)
        if sum(map(len, self._named.values())) >= min(_BATCH, self._search.patience):
            self.flush()

    def flush(self) -> None:
        """Derive what is named so far, and compare."""
        if self._search.patience > 0:
            for branch, indices in self._named.items():
                self._deriver.scripts(branch, sorted(indices))
        for item, script, places in self._waiting:
            self._search.look(item, script, places)
        self._waiting.clear()
        for indices in self._named.values():
            indices.clear()


class _Search:
    """What is found where a PSBT hints, and then at the wallet's own places for whatever is left."""

    def __init__(self, deriver: Deriver, context: ReviewContext) -> None:
        self.deriver = deriver
        self.proven: dict[Item, WalletScript] = {}
        self.our_keys: dict[bytes, OurKey] = {}
        self.highest: dict[int, int] = dict(context.highest_seen)
        self.patience = MAX_WRONG_HINTS
        self._known = context.highest_seen
        self._spent: dict[int, set[int]] = {}
        self._gap = context.gap.error
        self._others: list[tuple[Item, bytes]] = []
        self._wanted: dict[bytes, list[Item]] = {}
        self._left: set[bytes] = set()
        self._tried: list[WalletScript] = []

    def look(self, item: Item, script: bytes, places: list[Place]) -> None:
        """Try the places that a map hints at; keep the script for the search when none of them has it."""
        for place in places:
            if self.patience <= 0:
                break
            candidate = self.deriver.script(*place)
            if candidate.script_pubkey == script:
                self._prove(item, candidate)
                return
            self._tried.append(candidate)
            self.patience -= 1
        self._others.append((item, script))

    def _prove(self, item: Item, script: WalletScript) -> None:
        self.proven[item] = script
        if item[0] == "input":
            self._spent.setdefault(script.branch, set()).add(script.index)
            self.highest[script.branch] = max(script.index, self.highest.get(script.branch, -1))

    def reached(self) -> dict[int, int]:
        """The highest index of each branch without inputs that stand alone far beyond all else."""
        return reached(self._known, self._spent, self._gap)

    def finish(self, visible: Callable[[Item], Iterable[bytes]]) -> None:
        """Search the wallet's branches for what no hint led to.

        Args:
            visible: The public keys that the PSBT shows of an item's script.
        """
        shown = {item: keys for item, _ in self._others if (keys := frozenset(map(xonly, visible(item))))}
        self._left = set().union(*shown.values())
        for candidate in self._tried:
            self._recognise(candidate)
        self._left.clear()
        tried = {candidate.script_pubkey: candidate for candidate in self._tried}
        for item, script in self._others:
            if script in tried:
                self._prove(item, tried[script])
                continue
            if item in shown:
                if shown[item] & self.our_keys.keys():
                    continue  # a key of ours from a place where the wallet has another script: it is not the wallet's
                self._left |= shown[item]
            if self.deriver.may_own(script):
                self._wanted.setdefault(script, []).append(item)
        self._go_through()

    def _go_through(self) -> None:
        """Up to where the wallet is in use, then up to an input that stands far beyond: it hides nothing before it."""
        first = max(0, self._limit(self.reached()) - SEARCH_WINDOW)
        index = self._go_on(first, SEARCH_WINDOW, self.reached)
        room = SEARCH_WINDOW - (index - first)
        self._go_on(max(index, self._limit(self.highest) - room), room, lambda: self.highest)

    def _go_on(self, index: int, room: int, highest: Callable[[], Mapping[int, int]]) -> int:
        """Both branches, nearest index first, until all is found or the limit is reached; it may grow, the room not."""
        end = index + room
        while index < (limit := min(end, self._limit(highest()))) and (self._wanted or self._left):
            following = min(limit, index + _STRIDE)
            for candidate in self._derived(range(index, following)):
                found = self._wanted.pop(candidate.script_pubkey, ())
                for item in found:
                    self._prove(item, candidate)
                self._recognise(candidate)
            index = following
        return index

    def _derived(self, indices: Collection[int]) -> list[WalletScript]:
        both = [self.deriver.scripts(branch, indices) for branch in BRANCHES]
        return [script for pair in zip(*both, strict=True) for script in pair]

    def _limit(self, highest: Mapping[int, int]) -> int:
        return min(HARDENED, max(highest.values(), default=-1) + self._gap + 1)

    def _recognise(self, script: WalletScript) -> None:
        """Note which keys of other scripts are the wallet's at this place."""
        if not self._left:
            return
        for pubkey, key in zip(script.pubkeys, script.holders, strict=True):
            x = xonly(pubkey)
            if x in self._left:
                self.our_keys[x] = OurKey(key, script)
                self._left.discard(x)
