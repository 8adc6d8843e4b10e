"""What is the wallet's: inputs and outputs whose script the wallet's own descriptor derives, byte for byte.

Key origins in the PSBT choose where to look first, nothing more (row C2). What no hint leads to is searched for in
the wallet's own branches up to the limit of row C4, once for all scripts together. On the way the keys of scripts
that only resemble the wallet's are recognised (row C3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED
from wormsig.review.claims import IN_DERIVATION, OUT_DERIVATION
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.model import Psbt
    from wormsig.review.claims import KeyIndex
    from wormsig.review.context import ReviewContext
    from wormsig.wallet.derive import Deriver, WalletScript
    from wormsig.wallet.model import WalletKey

MAX_WRONG_HINTS = 2000
"""Hints that lead nowhere, over the whole PSBT, before the rest is ignored: each costs a BIP32 step per key."""

SEARCH_WINDOW = 5_000
"""Indices per branch that a search goes through at most; those nearest to its limit."""


@dataclass(frozen=True, slots=True)
class OurKey:
    """A public key that one of the wallet's keys derives.

    Args:
        key: The wallet's key.
        script: The wallet's script at that place.
    """

    key: WalletKey
    script: WalletScript


@dataclass(frozen=True, slots=True)
class Ownership:
    """What is proven to be the wallet's.

    Args:
        inputs: Index -> the wallet's script.
        outputs: Index -> the wallet's script.
        our_keys: Public keys of other scripts' that the wallet derives somewhere.
        highest: Highest index per branch that is known to be in use, this PSBT's inputs included.
    """

    inputs: Mapping[int, WalletScript]
    outputs: Mapping[int, WalletScript]
    our_keys: Mapping[bytes, OurKey]
    highest: Mapping[int, int]

    def reference(self, branch: int) -> int:
        """The index from which a gap on a branch is counted; -1 when nothing is known."""
        known = self.highest.get(branch)
        return max(self.highest.values(), default=-1) if known is None else known


NOTHING = Ownership({}, {}, {}, {})
"""Without a wallet nothing is anybody's."""


Item = tuple[str, int]
"""`input` or `output`, and the index."""


def prove(
    psbt: Psbt,
    coins: Sequence[TxOutput | None],
    *,
    deriver: Deriver,
    keys: KeyIndex,
    visible: Callable[[Item], Collection[bytes]],
    context: ReviewContext,
) -> Ownership:
    """Find the wallet's inputs and outputs.

    Args:
        psbt: The PSBT.
        coins: What each input spends.
        deriver: The wallet's.
        keys: The wallet's.
        visible: The public keys that the PSBT shows of an item's script; asked only where the wallet's is another.
        context: What is known of the indices in use, and the gap limits.
    """
    search = _Search(deriver, keys, context)
    for index, coin in enumerate(coins):
        if coin is not None:
            search.look(("input", index), coin.script, psbt.inputs[index], IN_DERIVATION)
    for index, output in enumerate(psbt.tx.outputs):
        search.look(("output", index), output.script, psbt.outputs[index], OUT_DERIVATION)
    search.finish(visible)
    inputs = {index: script for (kind, index), script in search.proven.items() if kind == "input"}
    outputs = {index: script for (kind, index), script in search.proven.items() if kind == "output"}
    return Ownership(inputs, outputs, search.our_keys, search.highest())


class _Search:
    """One pass over the PSBT's hints, then one over the wallet's own places for whatever is left."""

    def __init__(self, deriver: Deriver, keys: KeyIndex, context: ReviewContext) -> None:
        self.deriver = deriver
        self.keys = keys
        self.context = context
        self.proven: dict[Item, WalletScript] = {}
        self.our_keys: dict[bytes, OurKey] = {}
        self._others: list[tuple[Item, bytes]] = []
        self._wanted: dict[bytes, list[Item]] = {}
        self._left: set[bytes] = set()
        self._tried: list[WalletScript] = []

    def look(self, item: Item, script: bytes, fields: Mapping[bytes, bytes], derivation: int) -> None:
        """Try the places that a map hints at; keep the script for the search when none of them has it."""
        hints = self.keys.places(fields, derivation) if len(self._tried) < MAX_WRONG_HINTS else ()
        for place in hints:
            if place[0] not in BRANCHES:
                continue
            candidate = self.deriver.script(*place)
            if candidate.script_pubkey == script:
                self.proven[item] = candidate
                return
            self._tried.append(candidate)
            if len(self._tried) >= MAX_WRONG_HINTS:
                break
        self._others.append((item, script))

    def finish(self, visible: Callable[[Item], Collection[bytes]]) -> None:
        """Search the wallet's branches for what no hint led to.

        Args:
            visible: The public keys that the PSBT shows of an item's script.
        """
        shown = {item: frozenset(visible(item)) for item, _ in self._others}
        self._left = set().union(*shown.values())
        for candidate in self._tried:
            self._recognise(candidate)
        self._left.clear()
        tried = {candidate.script_pubkey: candidate for candidate in self._tried}
        for item, script in self._others:
            if script in tried:
                self.proven[item] = tried[script]
                continue
            if shown[item] & self.our_keys.keys():
                continue  # a key of ours from a place where the wallet has another script: it is not the wallet's
            self._left |= shown[item]
            if _same_form(script, self.deriver.wallet.script_type):
                self._wanted.setdefault(script, []).append(item)
        limit = self._limit()
        index = max(0, limit - SEARCH_WINDOW)
        while index < limit and (self._wanted or self._left):
            for branch in BRANCHES:
                candidate = self.deriver.script(branch, index)
                found = self._wanted.pop(candidate.script_pubkey, None)
                if found:
                    self.proven |= dict.fromkeys(found, candidate)
                    limit = self._limit()
                self._recognise(candidate)
            index += 1

    def highest(self) -> dict[int, int]:
        """The context's highest indices, raised by this PSBT's proven inputs."""
        highest = dict(self.context.highest_seen)
        for (kind, _), script in self.proven.items():
            if kind == "input":
                highest[script.branch] = max(script.index, highest.get(script.branch, -1))
        return highest

    def _limit(self) -> int:
        return min(HARDENED, max(self.highest().values(), default=-1) + self.context.gap.error + 1)

    def _recognise(self, script: WalletScript) -> None:
        """Note which keys of other scripts are the wallet's at this place."""
        if not self._left:
            return
        for pubkey in self._left & script.origins.keys():
            key = self.keys.key_of(script.origins[pubkey].encode())
            assert key is not None  # noqa: S101  the deriver made the origin from a key of the wallet
            self.our_keys[pubkey] = OurKey(key, script)
            self._left.discard(pubkey)


def _same_form(script: bytes, script_type: str) -> bool:
    """Whether a script can be the wallet's at all, judged by its form."""
    if script_type == "wsh":
        return len(script) == 34 and script[:2] == b"\x00\x20"
    return len(script) == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87
