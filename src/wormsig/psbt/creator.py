"""Creator: a PSBT of an unsigned transaction, with empty maps (BIP174)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import Transaction
from wormsig.errors import PsbtError
from wormsig.psbt.codec import unsigned_transaction
from wormsig.psbt.model import UNSIGNED_TX, Psbt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.bitcoin.tx import TxInput, TxOutput


def create(inputs: Sequence[TxInput], outputs: Sequence[TxOutput], *, version: int = 2, locktime: int = 0) -> Psbt:
    """Build a version 0 PSBT.

    Args:
        inputs: What is spent, without scriptSigs.
        outputs: Amounts and scripts, in order.
        version: The transaction's version.
        locktime: The transaction's locktime.

    Raises:
        PsbtError: An input has a scriptSig, or there are more inputs or outputs than a block holds.
    """
    for name, number in (("version", version), ("locktime", locktime)):
        if not 0 <= number <= 0xFFFF_FFFF:
            raise PsbtError(f"{name} does not fit in 32 bits", where="global map", field="PSBT_GLOBAL_UNSIGNED_TX")
    raw = Transaction(version, tuple(inputs), tuple(outputs), locktime).serialize(witness=False)
    tx = unsigned_transaction(raw)
    maps: tuple[dict[bytes, bytes], ...] = tuple({} for _ in tx.inputs)
    return Psbt(0, {UNSIGNED_TX: raw}, maps, tuple({} for _ in tx.outputs), tx)
