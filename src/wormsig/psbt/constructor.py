"""Constructor: inputs and outputs of a version 2 PSBT come and go, as far as flags and signatures let them (BIP370).

Every change is checked whole: what the flags allow, what the signatures that are there commit to (whatever the flags
say), that an input signed with SINGLE keeps its output at its index, and that one locktime satisfies every input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import write_compact
from wormsig.errors import PsbtError
from wormsig.psbt.forms import required_height as height_form
from wormsig.psbt.forms import required_time as time_form
from wormsig.psbt.modifiable import (
    TX_MODIFIABLE,
    Modifiable,
    commits_to_inputs,
    commits_to_outputs,
    is_single,
    modifiable,
    signature_types,
    with_modifiable,
)
from wormsig.psbt.unsigned import (
    INPUT_COUNT,
    OUTPUT_COUNT,
    REQUIRED_HEIGHT,
    REQUIRED_TIME,
    input_fields,
    output_fields,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from wormsig.bitcoin.tx import TxInput, TxOutput
    from wormsig.psbt.model import Fields, Psbt

    Places: TypeAlias = Sequence[tuple[int | None, Fields]]
    """Maps in their new order, each with the index that it had; None for a new one."""


def add_input(
    psbt: Psbt,
    txin: TxInput,
    *,
    at: int | None = None,
    required_time: int | None = None,
    required_height: int | None = None,
) -> Psbt:
    """Add an input.

    Args:
        psbt: A version 2 PSBT.
        txin: What is spent, without a scriptSig.
        at: Its index; after the last one when left out.
        required_time: The earliest Unix time that it needs as locktime.
        required_height: The lowest height that it needs as locktime; both when either will do.

    Raises:
        PsbtError: The flags or a signature rule it out, the coin is there already, or the locktimes exclude each other.
    """
    inputs, outputs = _held(psbt)
    _insert(inputs, at, _new_input(psbt, txin, required_time, required_height), "input")
    return _rebuilt(psbt, inputs, outputs)


def add_output(psbt: Psbt, output: TxOutput, *, at: int | None = None) -> Psbt:
    """Add an output.

    Args:
        psbt: A version 2 PSBT.
        output: What is paid.
        at: Its index; after the last one when left out.

    Raises:
        PsbtError: The flags or a signature rule it out.
    """
    inputs, outputs = _held(psbt)
    _insert(outputs, at, output_fields(output), "output")
    return _rebuilt(psbt, inputs, outputs)


def add_pair(
    psbt: Psbt,
    txin: TxInput,
    output: TxOutput,
    *,
    at: int,
    required_time: int | None = None,
    required_height: int | None = None,
) -> Psbt:
    """Add an input and an output at the same index, which leaves the pairs behind it together (SIGHASH_SINGLE).

    Arguments and errors are those of `add_input` and `add_output`.
    """
    inputs, outputs = _held(psbt)
    _insert(inputs, at, _new_input(psbt, txin, required_time, required_height), "input")
    _insert(outputs, at, output_fields(output), "output")
    return _rebuilt(psbt, inputs, outputs)


def remove_input(psbt: Psbt, index: int) -> Psbt:
    """Take an input away, with all that its map holds.

    Raises:
        PsbtError: The flags or a signature rule it out, or there is none.
    """
    inputs, outputs = _held(psbt)
    _take(inputs, index, "input")
    return _rebuilt(psbt, inputs, outputs)


def remove_output(psbt: Psbt, index: int) -> Psbt:
    """Take an output away, with all that its map holds.

    Raises:
        PsbtError: The flags or a signature rule it out, or there is none.
    """
    inputs, outputs = _held(psbt)
    _take(outputs, index, "output")
    return _rebuilt(psbt, inputs, outputs)


def remove_pair(psbt: Psbt, index: int) -> Psbt:
    """Take the input and the output at an index away; errors as for each of them."""
    inputs, outputs = _held(psbt)
    _take(inputs, index, "input")
    _take(outputs, index, "output")
    return _rebuilt(psbt, inputs, outputs)


def close(psbt: Psbt, *, inputs: bool = True, outputs: bool = True) -> Psbt:
    """Declare that no more inputs, or outputs, come or go."""
    bits = int(modifiable(psbt))
    closed = int(Modifiable.INPUTS) * inputs | int(Modifiable.OUTPUTS) * outputs
    return with_modifiable(psbt, Modifiable(bits & ~closed))


def _held(psbt: Psbt) -> tuple[list[tuple[int | None, Fields]], list[tuple[int | None, Fields]]]:
    if not psbt.version:
        raise PsbtError("carries the whole transaction, to which version 0 adds nothing", where="global map")
    return list(enumerate(psbt.inputs)), list(enumerate(psbt.outputs))


def _new_input(psbt: Psbt, txin: TxInput, time: int | None, height: int | None) -> Fields:
    where = f"input {len(psbt.inputs)}"
    if txin.script_sig:
        raise PsbtError("has a scriptSig, which an unsigned input does not", where=where)
    if any(held.outpoint == txin.outpoint for held in psbt.tx.inputs):
        raise PsbtError(f"spends {txin.outpoint}, which another input spends already", where=where)
    fields = input_fields(txin)
    for key, form, value in ((REQUIRED_TIME, time_form, time), (REQUIRED_HEIGHT, height_form, height)):
        if value is None:
            continue
        encoded = value.to_bytes(4, "little") if 0 <= value <= 0xFFFF_FFFF else b""
        problem = form(key, encoded)
        if problem is not None:
            raise PsbtError(f"required locktime {value}: {problem}", where=where)
        fields[key] = encoded
    return fields


def _insert(places: list[tuple[int | None, Fields]], at: int | None, fields: Fields, kind: str) -> None:
    index = len(places) if at is None else at
    if not 0 <= index <= len(places):
        raise PsbtError(f"cannot stand there: there are {len(places)}", where=f"{kind} {index}")
    places.insert(index, (None, fields))


def _take(places: list[tuple[int | None, Fields]], index: int, kind: str) -> None:
    if not 0 <= index < len(places):
        raise PsbtError("is not there", where=f"{kind} {index}")
    del places[index]


def _rebuilt(psbt: Psbt, inputs: Places, outputs: Places) -> Psbt:
    """The PSBT with these maps, once flags, signatures and locktime allow it."""
    _check_flags(psbt, inputs=len(inputs) != len(psbt.inputs), outputs=len(outputs) != len(psbt.outputs))
    signed = _check_signatures(psbt, inputs, outputs)
    counts = {INPUT_COUNT: write_compact(len(inputs)), OUTPUT_COUNT: write_compact(len(outputs))}
    made = psbt.with_maps(
        {**psbt.global_map, **counts}, tuple([fields for _, fields in inputs]), tuple([fields for _, fields in outputs])
    )
    if signed and made.tx.locktime != psbt.tx.locktime:
        raise PsbtError(
            f"would change the locktime from {psbt.tx.locktime} to {made.tx.locktime}, and there are signatures",
            where="global map",
        )
    return made


def _check_flags(psbt: Psbt, *, inputs: bool, outputs: bool) -> None:
    flags = modifiable(psbt)
    for name, changes, flag in (("input", inputs, Modifiable.INPUTS), ("output", outputs, Modifiable.OUTPUTS)):
        if changes and not flags & flag:
            missing = TX_MODIFIABLE not in psbt.global_map
            raise PsbtError(
                "is missing: nothing can be added or removed" if missing else f"lets no {name} be added or removed",
                where="global map",
                field="PSBT_GLOBAL_TX_MODIFIABLE",
            )


def _check_signatures(psbt: Psbt, inputs: Places, outputs: Places) -> bool:
    """Refuse what would break a signature that stays; tells whether there is any."""
    inputs_change = len(inputs) != len(psbt.inputs)
    outputs_change = len(outputs) != len(psbt.outputs)
    signed = False
    for index, (old, fields) in enumerate(inputs):
        types = signature_types(fields)
        signed = signed or bool(types)
        for sighash in types:
            single = is_single(sighash)
            broken = (inputs_change and commits_to_inputs(sighash)) or (
                outputs_change and commits_to_outputs(sighash) and not single
            )
            if broken:
                raise PsbtError("has a signature that this change would break", where=f"input {old}")
            paired = outputs[index][0] if index < len(outputs) else None
            if single and (paired != old or paired is None):
                raise PsbtError(
                    f"was signed with SINGLE together with output {old}, which has to keep its place beside it",
                    where=f"input {old}",
                    hint="add or remove an input and an output together, before both",
                )
    return signed
