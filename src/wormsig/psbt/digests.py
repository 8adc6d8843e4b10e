"""What a signature of an input signs, by its proven scripts: legacy, BIP143, BIP341 or BIP342.

Midstates are shared over the transaction's inputs and answers are remembered with the evidence. Which sighash types are
acceptable is decided by whoever asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.sighash import SIGHASH_SINGLE, Sighasher
from wormsig.psbt.model import spent_outputs

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.scripts import InputScripts


def digest(psbt: Psbt, index: int, scripts: InputScripts, sighash: int, leaf: bytes = b"") -> bytes:
    """The hash that a signature of an input signs.

    Args:
        psbt: The PSBT.
        index: The input.
        scripts: Its proven scripts.
        sighash: The sighash type; for taproot one of BIP341's.
        leaf: The hash of the leaf that a tapscript signature is for; empty for every other kind.

    Returns:
        32 bytes.

    Raises:
        InputError: Legacy hashing passes its cap (THREATS C16); for taproot, what an input spends is not known.
    """
    memo = psbt.memo.digests.get((sighash, leaf))
    if memo is None:
        memo = psbt.memo.digests[sighash, leaf] = {}
    known = memo.get(index)
    if known is None:
        known = memo[index] = _digest(psbt, index, scripts, sighash, leaf)
    return known


def _digest(psbt: Psbt, index: int, scripts: InputScripts, sighash: int, leaf: bytes) -> bytes:
    hasher = psbt.memo.sighasher
    if scripts.taproot is not None:
        if hasher is None or not hasher.spent:
            hasher = psbt.memo.sighasher = Sighasher(psbt.tx, spent_outputs(psbt))
        return hasher.tapscript(index, leaf, sighash) if leaf else hasher.taproot(index, sighash)
    if hasher is None:
        hasher = psbt.memo.sighasher = Sighasher(psbt.tx)
    if scripts.segwit:
        return hasher.segwit_v0(index, scripts.script_code, scripts.spent.sats, sighash)
    return hasher.legacy(index, scripts.script_code, sighash)


def signs_nothing(psbt: Psbt, index: int, sighash: int) -> bool:
    """Whether a type is SINGLE without an output at the input's index (THREATS C6): always refused."""
    return sighash & 0x1F == SIGHASH_SINGLE and index >= len(psbt.tx.outputs)
