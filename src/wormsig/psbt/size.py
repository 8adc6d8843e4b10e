"""The weight that the final transaction will have, so that a fee rate can be shown before everybody has signed.

Signatures that are there count with their own length, missing ECDSA ones with 71 bytes: what a signer that grinds for a
low R makes (Core, Ledger, wormsig). One that does not makes 72 half of the time, which is below one percent of any
multisig input. BIP340's have 64, or 65 where the input asks for a sighash type. Which way an input will be spent is
for `solver`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import write_compact
from wormsig.errors import PsbtError
from wormsig.psbt.finals import final_of
from wormsig.psbt.scripts import InputScripts, input_scripts
from wormsig.psbt.solver import guess
from wormsig.psbt.verify import held_signatures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.psbt.model import Psbt
    from wormsig.psbt.templates import FinalScripts


def estimated_weight(psbt: Psbt, scripts: Mapping[int, InputScripts] | None = None) -> int | None:
    """Weight units (BIP141) of the final transaction.

    Args:
        psbt: The PSBT, signed as far as it is.
        scripts: Scripts of inputs that the caller knows better than the PSBT does (from a wallet). A taproot output
            without leaves in them is taken to be spent by key, one with leaves by the smallest that is open.

    Returns:
        None when an input's final size cannot be told: its script is unknown, of no known kind, or locked.
    """
    finals: list[FinalScripts] = []
    for index in range(len(psbt.inputs)):
        final = final_of(psbt, index) or _guess(psbt, index, (scripts or {}).get(index))
        if final is None:
            return None
        finals.append(final)
    weight = 4 * len(psbt.tx.serialize(witness=False))
    for final in finals:
        size = len(final.script_sig)
        weight += 4 * (size + len(write_compact(size)) - 1)
    if any(final.stack for final in finals):
        weight += 2 + sum(len(final.witness) for final in finals)
    return weight


def estimated_vsize(psbt: Psbt, scripts: Mapping[int, InputScripts] | None = None) -> int | None:
    """Virtual bytes of the final transaction: a quarter of the weight, rounded up; None as `estimated_weight`."""
    weight = estimated_weight(psbt, scripts)
    return None if weight is None else (weight + 3) // 4


def _guess(psbt: Psbt, index: int, scripts: InputScripts | None) -> FinalScripts | None:
    """Final scripts of the right size, with zeros where signatures are missing."""
    if scripts is None:
        try:
            scripts = input_scripts(psbt, index)
        except PsbtError:
            return None
    held = held_signatures(psbt, index)
    return guess(psbt, index, scripts, {key: value for key, value in held.items() if scripts.has_key(key)})
