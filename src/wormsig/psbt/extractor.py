"""Transaction Extractor: the network transaction of a PSBT whose inputs are all final (BIP174)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from wormsig.bitcoin.script import push
from wormsig.bitcoin.tx import Transaction
from wormsig.errors import PsbtError
from wormsig.psbt.finalizer import IncompleteError
from wormsig.psbt.finals import final_of, match, refuse_invalid
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.verify import ALL_ONLY

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.templates import FinalScripts


def extract(psbt: Psbt, *, allowed: frozenset[int] = ALL_ONLY) -> Transaction:
    """Put the final scripts into the transaction.

    Finals that `finalizer.finalize` made from verified signatures are taken as they are; all others are checked.
    Those that nobody here can check (`FinalState.NOT_CHECKED`) pass: the node judges them.

    Args:
        psbt: A PSBT whose inputs are all final.
        allowed: The sighash types that are accepted.

    Raises:
        IncompleteError: An input is not final.
        PsbtError: An input's final scripts do not satisfy its output.
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    finals: list[FinalScripts] = []
    unproven: dict[int, FinalScripts] = {}
    lacking: dict[int, int] = {}
    for index, fields in enumerate(psbt.inputs):
        final = final_of(psbt, index)
        if final is None:
            lacking[index] = 1
            continue
        finals.append(final)
        made = psbt.memo.finals.get(index)
        if made is None or made[0] is not fields:
            unproven[index] = final
    if lacking:
        raise IncompleteError(lacking)
    refuse_invalid(match(psbt, unproven, allowed))
    inputs = tuple(
        [
            structs.replace(txin, script_sig=final.script_sig) if final.script_sig else txin
            for txin, final in zip(psbt.tx.inputs, finals, strict=True)
        ]
    )
    stacks = tuple([final.stack for final in finals])
    tx = psbt.tx
    return Transaction(tx.version, inputs, tx.outputs, tx.locktime, stacks if any(stacks) else ())


def final_txid(psbt: Psbt) -> str | None:
    """The id that the final transaction will have, display hex, as far as that can be told before it is.

    A segwit input has no scriptSig, a nested one nothing but its redeemScript in it (BIP141).

    Returns:
        None when an input's scriptSig is not known yet, or its scripts are not proven.
    """
    inputs = []
    for index, txin in enumerate(psbt.tx.inputs):
        script_sig = _script_sig(psbt, index)
        if script_sig is None:
            return None
        inputs.append(structs.replace(txin, script_sig=script_sig))
    return Transaction(psbt.tx.version, tuple(inputs), psbt.tx.outputs, psbt.tx.locktime).txid


def _script_sig(psbt: Psbt, index: int) -> bytes | None:
    final = final_of(psbt, index)
    if final is not None:
        return final.script_sig
    try:
        scripts = input_scripts(psbt, index)
    except PsbtError:
        return None
    if not (scripts.segwit or scripts.taproot is not None):
        return None
    return b"" if scripts.redeem is None else push(scripts.redeem)
