"""The weight that the final transaction will have, so that a fee rate can be shown before everybody has signed.

Signatures that are there count with their own length, missing ones with 71 bytes: what a signer that grinds for a low
R makes (Core, Ledger, wormsig). One that does not makes 72 half of the time, which is below one percent of any
multisig input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.tx import write_compact
from wormsig.errors import PsbtError
from wormsig.psbt.finals import SINGLE_KEY, FinalScripts, build, final_of
from wormsig.psbt.model import partial_sigs
from wormsig.psbt.scripts import InputScripts, input_scripts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.psbt.model import Psbt

SIGNATURE_SIZE: Final = 71
SCHNORR_SIZE: Final = 64
_TAP_LEAF_SCRIPT: Final = 0x15


def estimated_weight(psbt: Psbt, scripts: Mapping[int, InputScripts] | None = None) -> int | None:
    """Weight units (BIP141) of the final transaction.

    Args:
        psbt: The PSBT, signed as far as it is.
        scripts: Scripts of inputs that the caller knows better than the PSBT does (from a wallet).

    Returns:
        None when an input's final size cannot be told: its script is unknown or has no template.
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
    if scripts.script_type == "tr":
        leaves = any(key[0] == _TAP_LEAF_SCRIPT for key in psbt.inputs[index])
        return None if leaves else FinalScripts(b"", (bytes(SCHNORR_SIZE),))
    held = partial_sigs(psbt, index)
    if scripts.script_type in SINGLE_KEY:
        pubkey, signature = next(iter(held.items()), (bytes(33), bytes(SIGNATURE_SIZE)))
        return build(scripts, (signature,), (pubkey,))
    multisig = scripts.multisig
    if multisig is None:
        return None
    signatures = [held[pubkey] for pubkey in multisig.pubkeys if pubkey in held][: multisig.threshold]
    signatures += [bytes(SIGNATURE_SIZE)] * (multisig.threshold - len(signatures))
    return build(scripts, signatures, ())
