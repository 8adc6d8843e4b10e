"""One output of a previous transaction, and its txid: a walk over the bytes, because a PSBT has one for each input.

It is as strict as `tx.parse_transaction`, and makes no objects of the rest.
"""

from __future__ import annotations

import struct
from hashlib import sha256

from wormsig.bitcoin.compact import read_compact
from wormsig.bitcoin.tx import MAX_TRANSACTION, MIN_INPUT, MIN_OUTPUT, TxOutput, has_marker
from wormsig.errors import InputError

_I64 = struct.Struct("<q")


def _skip_witness(raw: bytes, begin: int, inputs: int) -> int:
    offset, end = begin, len(raw)
    for _ in range(inputs):
        items, offset = read_compact(raw, offset)
        if items > end - offset:
            raise InputError("claims more witness items than its bytes can hold")
        for _ in range(items):
            size = raw[offset]
            offset += 1
            if size >= 0xFD:
                size, offset = read_compact(raw, offset - 1)
            offset += size
    if offset - begin == inputs:
        raise InputError("says that it has a witness and has none")
    return offset


def _skip_inputs(raw: bytes, offset: int, inputs: int) -> int:
    for _ in range(inputs):
        size = raw[offset + 36]
        if size >= 0xFD:
            size, offset = read_compact(raw, offset + 36)
            offset -= 37
        offset += 41 + size
    return offset


def _skip_outputs(raw: bytes, offset: int, outputs: int, index: int) -> tuple[int, TxOutput]:
    found = -1
    for number in range(outputs):
        if number == index:
            found = offset
        size = raw[offset + 8]
        if size >= 0xFD:
            size, offset = read_compact(raw, offset + 8)
            offset -= 9
        offset += 9 + size
    if found < 0:
        raise InputError(f"has no output {index}")
    size, begin = raw[found + 8], found + 9
    if size >= 0xFD:
        size, begin = read_compact(raw, found + 8)
    return offset, TxOutput(_I64.unpack_from(raw, found)[0], raw[begin : begin + size])


def _walk(raw: bytes, index: int) -> tuple[bytes, TxOutput]:
    # Lengths of one byte are read in place: this runs once an input. Running past the end raises IndexError, or is
    # found out by the last comparison.
    witness = raw[4] == 0 and has_marker(raw)
    begin = 6 if witness else 4
    end = len(raw)
    inputs, offset = raw[begin], begin + 1
    if inputs >= 0xFD:
        inputs, offset = read_compact(raw, begin)
    if inputs * MIN_INPUT > end - offset:
        raise InputError("claims more inputs than its bytes can hold")
    offset = _skip_inputs(raw, offset, inputs)
    outputs = raw[offset]
    offset += 1
    if outputs >= 0xFD:
        outputs, offset = read_compact(raw, offset - 1)
    if outputs * MIN_OUTPUT > end - offset:
        raise InputError("claims more outputs than its bytes can hold")
    body, found = _skip_outputs(raw, offset, outputs, index)
    offset = _skip_witness(raw, body, inputs) if witness else body
    if offset + 4 != end:
        raise InputError("ends too early or has bytes too many at its end")
    stripped = raw[:4] + raw[begin:body] + raw[offset:] if witness else raw
    return sha256(sha256(stripped).digest()).digest(), found


def previous_output(raw: bytes, index: int) -> tuple[bytes, TxOutput]:
    """The id of a serialized transaction and one of its outputs, without parsing the rest into objects.

    Args:
        raw: A whole transaction, with or without witness.
        index: The output wanted.

    Returns:
        The txid in internal order, and the output.

    Raises:
        InputError: Not a whole transaction, or there is no such output.
    """
    if len(raw) > MAX_TRANSACTION:
        raise InputError("previous transaction is too large")
    try:
        return _walk(raw, index)
    except InputError as error:
        raise InputError(f"previous transaction {error.message}") from None
    except (IndexError, struct.error):
        raise InputError("previous transaction ends too early") from None
