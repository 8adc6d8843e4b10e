"""Creator: a PSBT of an unsigned transaction, with nothing else in its maps (BIP174, BIP370)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import Transaction
from wormsig.errors import PsbtError, UsageError
from wormsig.psbt.fields import VERSIONS
from wormsig.psbt.maps import put
from wormsig.psbt.model import Psbt
from wormsig.psbt.modifiable import NOTHING, TX_MODIFIABLE, Modifiable
from wormsig.psbt.unsigned import (
    UNSIGNED_TX,
    global_fields,
    input_fields,
    output_fields,
    unsigned_transaction,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.bitcoin.tx import TxInput, TxOutput


def create(
    inputs: Sequence[TxInput],
    outputs: Sequence[TxOutput],
    *,
    version: int = 2,
    locktime: int = 0,
    psbt_version: int = 0,
    modifiable: Modifiable = NOTHING,
) -> Psbt:
    """Build a PSBT.

    Args:
        inputs: What is spent, without scriptSigs.
        outputs: Amounts and scripts, in order.
        version: The transaction's version.
        locktime: The transaction's locktime; in a version 2 PSBT the one that holds while no input requires another.
        psbt_version: 0 or 2.
        modifiable: What may be added later (`constructor`), in version 2.

    Raises:
        PsbtError: An input has a scriptSig, there are more inputs or outputs than a block holds, or a number does not
            fit.
        UsageError: An unknown PSBT version, or flags that it does not have.
    """
    if psbt_version not in VERSIONS or (modifiable and not psbt_version):
        raise UsageError(
            f"a version {psbt_version} PSBT with these flags cannot be made", hint="0 or 2; flags only in 2"
        )
    for name, number in (("version", version), ("locktime", locktime)):
        if not 0 <= number <= 0xFFFF_FFFF:
            raise PsbtError(f"{name} does not fit in 32 bits", where="global map")
    if modifiable and version < 2:
        raise PsbtError(
            "is below 2, and others may add to the PSBT (BIP370)", where="global map", field="PSBT_GLOBAL_TX_VERSION"
        )
    raw = Transaction(version, tuple(inputs), tuple(outputs), locktime).serialize(witness=False)
    tx = unsigned_transaction(raw)
    if psbt_version:
        return _spread(tx, modifiable)
    maps: tuple[dict[bytes, bytes], ...] = tuple({} for _ in tx.inputs)
    return Psbt(0, {UNSIGNED_TX: raw}, maps, tuple({} for _ in tx.outputs), tx)


def _spread(tx: Transaction, modifiable: Modifiable) -> Psbt:
    fields = global_fields(tx)
    if modifiable:
        fields = put(fields, TX_MODIFIABLE, bytes((modifiable,)))
    return Psbt(2, fields, tuple(map(input_fields, tx.inputs)), tuple(map(output_fields, tx.outputs)), tx)
