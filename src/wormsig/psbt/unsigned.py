"""The unsigned transaction of a PSBT: what version 0 carries whole, and version 2 spreads over its maps (BIP370).

Fields come in with their form checked (`codec`) or made here (`creator`, `constructor`); what they mean together, the
locktime above all, is decided in this one place.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from wormsig.bitcoin.tx import parse_transaction, write_compact
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.limits import MAX_INPUTS, MAX_OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wormsig.bitcoin.tx import Transaction, TxInput, TxOutput
    from wormsig.psbt.model import Fields

    Maps: TypeAlias = Sequence[Fields]

UNSIGNED_TX: Final = b"\x00"
TX_VERSION: Final = b"\x02"
FALLBACK_LOCKTIME: Final = b"\x03"
INPUT_COUNT: Final = b"\x04"
OUTPUT_COUNT: Final = b"\x05"
VERSION: Final = b"\xfb"

PREVIOUS_TXID: Final = b"\x0e"
OUTPUT_INDEX: Final = b"\x0f"
SEQUENCE: Final = b"\x10"
REQUIRED_TIME: Final = b"\x11"
REQUIRED_HEIGHT: Final = b"\x12"

OUT_AMOUNT: Final = b"\x03"
OUT_SCRIPT: Final = b"\x04"

GLOBAL_FIELDS: Final = (TX_VERSION, FALLBACK_LOCKTIME)
INPUT_FIELDS: Final = (PREVIOUS_TXID, OUTPUT_INDEX, SEQUENCE, REQUIRED_TIME, REQUIRED_HEIGHT)
OUTPUT_FIELDS: Final = (OUT_AMOUNT, OUT_SCRIPT)
"""The fields that make a version 2 PSBT's transaction, by map (BIP370)."""

FINAL_SEQUENCE: Final = b"\xff\xff\xff\xff"
"""What a missing PSBT_IN_SEQUENCE means."""

_TX: Final = {"where": "global map", "field": "PSBT_GLOBAL_UNSIGNED_TX"}


@lru_cache(maxsize=4)
def _parsed(raw: bytes) -> Transaction:
    """Answers carry the very same unsigned transaction: it is parsed once."""
    return parse_transaction(raw, allow_witness=False)


def unsigned_transaction(raw: bytes) -> Transaction:
    """Parse PSBT_GLOBAL_UNSIGNED_TX: stripped serialization, no scriptSigs.

    Raises:
        PsbtError: Not a transaction, or one with scriptSigs, or with more inputs or outputs than a block holds.
    """
    try:
        tx = _parsed(raw)
    except InputError as error:
        raise PsbtError(error.message, **_TX) from None
    problem = None
    if any(txin.script_sig for txin in tx.inputs):
        problem = "has a scriptSig, which an unsigned transaction does not"
    elif len(tx.inputs) > MAX_INPUTS or len(tx.outputs) > MAX_OUTPUTS:
        problem = "has more inputs or outputs than a block can hold"
    if problem:
        raise PsbtError(problem, **_TX)
    return tx


def assembled(global_map: Fields, inputs: Maps, outputs: Maps) -> Transaction:
    """The transaction that the maps of a version 2 PSBT describe.

    A missing sequence is the final one, a missing fallback locktime is 0 (BIP370).

    Raises:
        PsbtError: No locktime satisfies every input, there are more inputs or outputs than a block holds, or a map
            lacks what every input or output has.
    """
    check_counts(len(inputs), len(outputs))
    parts = [_field(global_map, TX_VERSION, "global map", "PSBT_GLOBAL_TX_VERSION"), write_compact(len(inputs))]
    for index, fields in enumerate(inputs):
        where = f"input {index}"
        parts += (
            _field(fields, PREVIOUS_TXID, where, "PSBT_IN_PREVIOUS_TXID"),
            _field(fields, OUTPUT_INDEX, where, "PSBT_IN_OUTPUT_INDEX"),
            b"\x00",
            fields.get(SEQUENCE, FINAL_SEQUENCE),
        )
    parts.append(write_compact(len(outputs)))
    for index, fields in enumerate(outputs):
        where = f"output {index}"
        script = _field(fields, OUT_SCRIPT, where, "PSBT_OUT_SCRIPT")
        parts += (_field(fields, OUT_AMOUNT, where, "PSBT_OUT_AMOUNT"), write_compact(len(script)), script)
    parts.append(locktime(global_map, inputs).to_bytes(4, "little"))
    return _parsed(b"".join(parts))


def check_counts(inputs: int, outputs: int) -> None:
    """Refuse more inputs or outputs than a block holds, before any map of a version 2 PSBT is read.

    Raises:
        PsbtError: Too many.
    """
    for name, count, most in (("INPUT", inputs, MAX_INPUTS), ("OUTPUT", outputs, MAX_OUTPUTS)):
        if count > most:
            raise PsbtError(
                f"says {count}, more than a block can hold", where="global map", field=f"PSBT_GLOBAL_{name}_COUNT"
            )


def _field(fields: Fields, key: bytes, where: str, name: str) -> bytes:
    value = fields.get(key)
    if value is None:
        raise PsbtError("is missing", where=where, field=name)
    return value


def locktime(global_map: Fields, inputs: Iterable[Fields]) -> int:
    """The locktime of a version 2 PSBT's transaction (BIP370, Determining Lock Time).

    The kind that every input with a required locktime supports, height before time, and of that kind the highest;
    the fallback when no input requires any.

    Raises:
        PsbtError: One input can only have a height and another only a time.
    """
    heights: list[int] = []
    times: list[int] = []
    only_height = only_time = -1
    for index, fields in enumerate(inputs):
        height, time = fields.get(REQUIRED_HEIGHT), fields.get(REQUIRED_TIME)
        if height is not None:
            heights.append(int.from_bytes(height, "little"))
            if time is None:
                only_height = index
        if time is not None:
            times.append(int.from_bytes(time, "little"))
            if height is None:
                only_time = index
    if only_height >= 0 and only_time >= 0:
        raise _conflict(only_height, only_time)
    if heights and only_time < 0:
        return max(heights)
    if times:
        return max(times)
    return int.from_bytes(global_map.get(FALLBACK_LOCKTIME, b""), "little")


def _conflict(only_height: int, only_time: int) -> PsbtError:
    first, other = sorted((only_height, only_time))
    height_is_later = other == only_height
    kind, opposite = ("height", "time") if height_is_later else ("time", "height")
    return PsbtError(
        f"requires a {kind} where input {first} requires a {opposite}: no locktime satisfies both",
        where=f"input {other}",
        field=f"PSBT_IN_REQUIRED_{kind.upper()}_LOCKTIME",
    )


def global_fields(tx: Transaction) -> dict[bytes, bytes]:
    """The global fields of a version 2 PSBT that describe a transaction, and the version field itself."""
    return {
        TX_VERSION: tx.version.to_bytes(4, "little"),
        FALLBACK_LOCKTIME: tx.locktime.to_bytes(4, "little"),
        INPUT_COUNT: write_compact(len(tx.inputs)),
        OUTPUT_COUNT: write_compact(len(tx.outputs)),
        VERSION: b"\x02\x00\x00\x00",
    }


def input_fields(txin: TxInput) -> dict[bytes, bytes]:
    """The fields that say what an input of a version 2 PSBT spends; a final sequence is left away."""
    fields = {PREVIOUS_TXID: txin.outpoint.txid, OUTPUT_INDEX: txin.outpoint.index.to_bytes(4, "little")}
    sequence = txin.sequence.to_bytes(4, "little")
    if sequence != FINAL_SEQUENCE:
        fields[SEQUENCE] = sequence
    return fields


def output_fields(output: TxOutput) -> dict[bytes, bytes]:
    """The fields that say what an output of a version 2 PSBT pays."""
    return {OUT_AMOUNT: output.sats.to_bytes(8, "little", signed=True), OUT_SCRIPT: output.script}
