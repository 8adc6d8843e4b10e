"""Finals of miniscript taken apart: which witness items are signatures, by which keys, and which are preimages.

A final is valid when its script is miniscript, every signature in it verifies, and the very same witness is what those
signatures, preimages and locks give here. Another witness may be as good: it is "not checked", and the signatures in it
are good by themselves. Nothing is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.taproot import NUMS_KEY
from wormsig.psbt import miniscript
from wormsig.psbt.preimages import HASHES, PREIMAGE_SIZE
from wormsig.psbt.solver import expression, means_of, satisfy
from wormsig.psbt.verify import SignatureCheck, SignatureProblem, judge
from wormsig.psbt.witnesses import FinalCheck, FinalState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.psbt.model import Psbt
    from wormsig.psbt.witnesses import Unknown

MAX_TRIES: Final = 20_000
"""Verifications in one call: a signature is tried with every key until one fits (THREATS C16). About a second."""

_UNPROVEN: Final = frozenset({SignatureProblem.UNKNOWN_OTHER, SignatureProblem.UNKNOWN_AMOUNT})


def take_apart(psbt: Psbt, finals: Mapping[int, Unknown], allowed: frozenset[int]) -> dict[int, FinalCheck]:
    """Take apart finals of scripts that may be miniscript.

    Args:
        psbt: The PSBT that counts.
        finals: Input -> what its script gets.
        allowed: The sighash types that are accepted.

    Returns:
        Input -> what was found.
    """
    tries = 0
    checks: dict[int, FinalCheck] = {}
    for index, final in finals.items():
        each = _Apart(psbt, index, final)
        if each.is_miniscript and each.find_keys(allowed, MAX_TRIES - tries):
            checks[index] = each.verdict()
        else:
            checks[index] = FinalCheck(index, FinalState.NOT_CHECKED)
        tries += each.tries
    return checks


class _Apart:
    """One final."""

    def __init__(self, psbt: Psbt, index: int, final: Unknown) -> None:
        self._psbt, self._index, self._final = psbt, index, final
        leaf = final.leaf
        self._tapscript = leaf is not None
        self._leaf_hash = leaf.hash if leaf is not None else b""
        script = leaf.script if leaf is not None else final.scripts.witness or b""
        shown = [item for item in final.items if len(item) == (32 if self._tapscript else 33)]
        # Finalizing clears the key origins, so that nobody names the keys of ways that were not taken: where a script
        # has only their hashes, one key that nobody holds stands in for them all, unless the witness shows that key.
        self._stand_in = NUMS_KEY if self._tapscript else b"\x02" + NUMS_KEY
        stand_in = b"" if self._stand_in in shown else self._stand_in
        self._node = expression(psbt, index, script, tapscript=self._tapscript, keys=shown, stand_in=stand_in)
        self._checks: list[SignatureCheck] = []
        self._signatures: dict[bytes, bytes] = {}
        self.tries = 0

    @property
    def is_miniscript(self) -> bool:
        """Whether the script was read back."""
        return self._node is not None

    def _like_a_signature(self, item: bytes) -> bool:
        if self._tapscript:
            return len(item) in {64, 65}
        return 9 <= len(item) <= 73 and item[0] == 0x30

    def find_keys(self, allowed: frozenset[int], most: int) -> bool:
        """Try each signature with the keys that have none yet, in script order from the top of the stack down.

        Returns:
            False when more than so many verifications would be needed.
        """
        keys = [key for key in dict.fromkeys(miniscript.keys_of(self._node)) if key != self._stand_in]
        for item in reversed(self._final.items):
            if not self._like_a_signature(item):
                continue
            check = SignatureCheck(self._index, b"", item, SignatureProblem.INVALID)
            for key in keys:
                if self.tries >= most:
                    return False
                self.tries += 1
                tried = (self._index, key + self._leaf_hash, item)
                (check,) = judge(self._psbt, [tried], allowed, {self._index: self._final.scripts})
                if check.problem is not SignatureProblem.INVALID:
                    break
            if check.valid:
                keys.remove(check.pubkey)
                self._signatures[check.pubkey] = item
            elif check.problem is SignatureProblem.INVALID:
                check = SignatureCheck(self._index, b"", item, SignatureProblem.INVALID)
            self._checks.append(check)
            if not check.valid:
                break
        return True

    def _preimages(self) -> list[tuple[int, bytes, bytes]]:
        """Key type, digest and preimage, of items that hash to something the script asks for."""
        wanted = frozenset(miniscript.digests_of(self._node))
        return [
            (kind, digest, item)
            for item in self._final.items
            if len(item) == PREIMAGE_SIZE
            for kind, (name, hashed) in HASHES.items()
            if (name, digest := hashed(item)) in wanted
        ]

    def verdict(self) -> FinalCheck:
        """What is known of the final, once the keys were looked for."""
        checks = tuple(self._checks)
        if any(check.problem in _UNPROVEN for check in checks):
            return FinalCheck(self._index, FinalState.NOT_CHECKED, checks)
        if not all(check.valid for check in checks):
            return FinalCheck(self._index, FinalState.INVALID, checks)
        preimages = self._preimages()
        given: dict[str, dict[bytes, bytes]] = {}
        for kind, digest, preimage in preimages:
            given.setdefault(HASHES[kind][0], {})[digest] = preimage
        means = means_of(self._psbt, self._index, self._signatures)
        shown = miniscript.Means(means.locktime, means.sequence, means.version, given, self._signatures)
        stack = satisfy(self._psbt, self._index, self._node, shown)
        state = FinalState.VALID if stack == self._final.items else FinalState.NOT_CHECKED
        fields = tuple([(bytes((kind,)) + digest, preimage) for kind, digest, preimage in preimages])
        return FinalCheck(self._index, state, checks, fields)
