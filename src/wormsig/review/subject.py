"""What the checks of a review look at: the PSBT, the wallet as far as there is one, and what is proven so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.errors import PsbtError
from wormsig.psbt.model import (
    OUT_REDEEM_SCRIPT,
    OUT_TAP_TREE,
    OUT_WITNESS_SCRIPT,
    REDEEM_SCRIPT,
    WITNESS_SCRIPT,
    is_final,
)
from wormsig.psbt.scripts import input_scripts
from wormsig.review.scripts import Shown, shown
from wormsig.review.taproot import MAX_LEAVES, SMALLEST_LEAF, input_taproot, output_taproot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.bitcoin.network import Network
    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.scripts import InputScripts
    from wormsig.review.claims import KeyIndex
    from wormsig.review.context import ReviewContext
    from wormsig.review.ownership import Ownership


class Subject(msgspec.Struct, frozen=True):
    """Everything that one review is about.

    Args:
        psbt: The PSBT.
        coins: What each input spends; None where nothing is known.
        keys: The wallet's keys; None without a wallet.
        owned: What is proven to be the wallet's.
        shown: Scripts behind the inputs (`input`, index) and outputs that are not the wallet's.
        network: To write addresses for; None when nobody said.
        context: What else is known.
    """

    psbt: Psbt
    coins: Sequence[TxOutput | None]
    keys: KeyIndex | None
    owned: Ownership
    shown: ShownScripts
    network: Network | None
    context: ReviewContext

    @property
    def has_wallet(self) -> bool:
        """Whether there is a wallet to compare with."""
        return self.keys is not None


class ShownScripts:
    """The scripts behind inputs and outputs as the PSBT shows them, opened when asked for and kept."""

    __slots__ = ("_coins", "_inputs", "_leaves", "_outputs", "_psbt")

    def __init__(self, psbt: Psbt, coins: Sequence[TxOutput | None]) -> None:
        self._psbt = psbt
        self._coins = coins
        self._inputs: dict[int, Shown] = {}
        self._outputs: dict[int, Shown] = {}
        self._leaves = MAX_LEAVES

    def input(self, index: int) -> Shown:
        """The script behind the coin that an input spends."""
        if index not in self._inputs:
            self._inputs[index] = self._open_input(index)
        return self._inputs[index]

    def _open_input(self, index: int) -> Shown:
        coin, fields = self._coins[index], self._psbt.inputs[index]
        if coin is None:
            return Shown("unknown")
        proven = self._proven(index, coin)
        if proven is not None and proven.multisig is not None:  # already hashed and read, with the signatures
            multisig = proven.multisig.threshold, proven.multisig.pubkeys
            return Shown(proven.script_type, proven.script_code, multisig=multisig)
        plain = shown(coin.script, fields.get(REDEEM_SCRIPT), fields.get(WITNESS_SCRIPT))
        return Shown.tree(input_taproot(self._psbt, index)) if plain.kind == "tr" and not plain.mismatch else plain

    def _proven(self, index: int, coin: TxOutput) -> InputScripts | None:
        if is_final(self._psbt, index):
            return None
        try:
            proven = input_scripts(self._psbt, index)
        except PsbtError:
            return None
        return proven if proven.spent.script == coin.script else None

    def output(self, index: int) -> Shown:
        """The script behind an output."""
        if index not in self._outputs:
            self._outputs[index] = self._open_output(index)
        return self._outputs[index]

    def _open_output(self, index: int) -> Shown:
        script, fields = self._psbt.tx.outputs[index].script, self._psbt.outputs[index]
        plain = shown(script, fields.get(OUT_REDEEM_SCRIPT), fields.get(OUT_WITNESS_SCRIPT))
        if plain.kind != "tr" or plain.mismatch:
            return plain
        found = output_taproot(script, fields, most=self._leaves)
        # A tree that does not belong there was hashed as well: it counts for as many leaves as it has room for.
        used = len(found.leaves) if found is not None else len(fields.get(OUT_TAP_TREE, b"")) // SMALLEST_LEAF
        self._leaves = max(0, self._leaves - used)
        return Shown.tree(found)

    def pubkeys(self, item: tuple[str, int]) -> tuple[bytes, ...]:
        """The public keys in the script behind an item: `input` or `output`, and the index."""
        kind, index = item
        return (self.input(index) if kind == "input" else self.output(index)).pubkeys
