"""Bytes to maps and back: lossless, strict, bounded, in time linear in the bytes.

`serialize(parse(b)) == b` for every PSBT that parses. Whatever is not exactly as BIP174 (and 370, 371, 373) writes it
is refused with the map, the key type's name and the reason. What the fields mean does not belong here.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.tx import parse_transaction, previous_output, read_compact
from wormsig.errors import InputError, NotSupportedError, PsbtError
from wormsig.psbt.fields import Map, checks, field_name
from wormsig.psbt.limits import MAX_FIELDS, MAX_FILE_PSBT, MAX_INPUTS, MAX_MAP_FIELDS, MAX_OUTPUTS
from wormsig.psbt.model import NON_WITNESS_UTXO, UNSIGNED_TX, VERSION, Psbt
from wormsig.psbt.writer import MAGIC, write_maps

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import Transaction, TxOutput
    from wormsig.psbt.forms import Form

_V0: Final = {kind: checks(kind, 0) for kind in Map}
_BASE64_START: Final = b"cHNidP"
_REMEMBERED: Final = 1_000
"""Bytes of the largest previous transaction that is remembered; thousands of them then take a few megabytes."""


def where(kind: Map, index: int) -> str:
    """The place as errors name it: `global map`, `input 3`, `output 0`."""
    return kind.value if kind is Map.GLOBAL else f"{kind.value} {index}"


def _size(data: bytes, pos: int, kind: Map, index: int) -> tuple[int, int]:
    """A length that takes more than one byte."""
    try:
        return read_compact(data, pos)
    except InputError as error:
        raise PsbtError(error.message, where=where(kind, index)) from None


def _read_map(data: bytes, pos: int, kind: Map, index: int) -> tuple[dict[bytes, bytes], int]:
    """One map from `pos` to its separator, and the offset behind it."""
    fields: dict[bytes, bytes] = {}
    try:
        while True:
            size = data[pos]
            if not size:
                return fields, pos + 1
            pos += 1
            if size >= 0xFD:
                size, pos = _size(data, pos - 1, kind, index)
            end = pos + size
            key = data[pos:end]
            size = data[end]  # also refuses a key that runs over the end
            pos = end + 1
            if size >= 0xFD:
                size, pos = _size(data, end, kind, index)
            end = pos + size
            value = data[pos:end]
            if len(value) != size:
                raise _refusal(f"value has {len(value)} bytes, not the {size} it says", kind, index, key)
            if key in fields:
                raise _refusal("is there twice", kind, index, key)
            fields[key] = value
            if len(fields) > MAX_MAP_FIELDS:
                raise PsbtError(f"has more than {MAX_MAP_FIELDS} fields", where=where(kind, index))
            pos = end
    except IndexError:
        raise PsbtError("ends within a map", where=where(kind, index)) from None


def _refusal(problem: str, kind: Map, index: int, key: bytes) -> PsbtError:
    return PsbtError(problem, where=where(kind, index), field=field_name(kind, key))


def _check_map(fields: dict[bytes, bytes], table: tuple[Form | None, ...], kind: Map, index: int) -> None:
    """Refuse fields whose key or value does not have its type's form."""
    for key, value in fields.items():
        check = table[key[0]]
        if check is None:
            continue
        problem = check(key, value)
        if problem is not None:
            raise _refusal(problem, kind, index, key)


def _version(fields: dict[bytes, bytes]) -> int:
    """The PSBT's version; anything but 0 is refused."""
    for key, value in fields.items():
        if key[0] == VERSION[0] and (len(key) != 1 or len(value) != 4):
            raise PsbtError("is not a number of four bytes", where="global map", field="PSBT_GLOBAL_VERSION")
    version = int.from_bytes(fields.get(VERSION, b""), "little")
    if version == 2 and UNSIGNED_TX not in fields:
        raise NotSupportedError(
            "this is a version 2 PSBT (BIP370), which is not supported yet",
            hint="ask for it in version 0, which all signers read",
        )
    if version == 2:
        raise PsbtError(
            "does not belong in a version 2 PSBT (BIP370)", where="global map", field="PSBT_GLOBAL_UNSIGNED_TX"
        )
    if version:
        raise PsbtError(f"unknown version {version}", where="global map", field="PSBT_GLOBAL_VERSION")
    return version


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
        raise PsbtError(error.message, where="global map", field="PSBT_GLOBAL_UNSIGNED_TX") from None
    problem = None
    if any(txin.script_sig for txin in tx.inputs):
        problem = "has a scriptSig, which an unsigned transaction does not"
    elif len(tx.inputs) > MAX_INPUTS or len(tx.outputs) > MAX_OUTPUTS:
        problem = "has more inputs or outputs than a block can hold"
    if problem:
        raise PsbtError(problem, where="global map", field="PSBT_GLOBAL_UNSIGNED_TX")
    return tx


def parse(data: bytes, *, limit: int = MAX_FILE_PSBT) -> Psbt:
    """Parse a PSBT.

    Args:
        data: The raw bytes (`from_any` reads base64 too).
        limit: Most bytes that are looked at; `MAX_PEER_PSBT` for what a peer sent.

    Returns:
        The PSBT, of version 0.

    Raises:
        PsbtError: Not exactly a PSBT; says where and which field.
        NotSupportedError: A version 2 PSBT.
    """
    if len(data) > limit:
        raise PsbtError(f"has {len(data)} bytes, more than the {limit} allowed")
    if data[:5] != MAGIC:
        raise PsbtError("does not begin as a PSBT does", hint="a PSBT begins with `psbt`, in base64 with `cHNidP`")
    data = bytes(data)
    global_map, pos = _read_map(data, 5, Map.GLOBAL, 0)
    version = _version(global_map)
    _check_map(global_map, _V0[Map.GLOBAL], Map.GLOBAL, 0)
    if UNSIGNED_TX not in global_map:
        raise PsbtError("is missing", where="global map", field="PSBT_GLOBAL_UNSIGNED_TX")
    tx = unsigned_transaction(global_map[UNSIGNED_TX])
    inputs, pos = _read_maps(data, pos, Map.INPUT, len(tx.inputs))
    outputs, pos = _read_maps(data, pos, Map.OUTPUT, len(tx.outputs))
    if pos != len(data):
        raise PsbtError(f"has {len(data) - pos} bytes after its last map")
    if len(global_map) + sum(map(len, inputs)) + sum(map(len, outputs)) > MAX_FIELDS:
        raise PsbtError(f"has more than {MAX_FIELDS} fields")
    psbt = Psbt(version, global_map, tuple(inputs), tuple(outputs), tx)
    _check_previous_transactions(psbt)
    return psbt


def _read_maps(data: bytes, pos: int, kind: Map, count: int) -> tuple[list[dict[bytes, bytes]], int]:
    table = _V0[kind]
    maps = []
    end = len(data)
    for index in range(count):
        if pos == end:
            raise PsbtError("is missing", where=where(kind, index))
        fields, pos = _read_map(data, pos, kind, index)
        _check_map(fields, table, kind, index)
        maps.append(fields)
    return maps, pos


@lru_cache(maxsize=1 << 13)
def _remembered_output(raw: bytes, wanted: int) -> tuple[bytes, TxOutput]:
    """The same previous transactions come back in every copy of a PSBT: small ones are walked once."""
    return previous_output(raw, wanted)


def _check_previous_transactions(psbt: Psbt) -> None:
    memo = psbt.memo.previous
    for index, (fields, txin) in enumerate(zip(psbt.inputs, psbt.tx.inputs, strict=True)):
        raw = fields.get(NON_WITNESS_UTXO)
        if raw is None:
            continue
        wanted = txin.outpoint.index
        try:
            walk = _remembered_output if len(raw) <= _REMEMBERED else previous_output
            memo[index] = walk(raw, wanted)
        except InputError as error:
            memo[index] = None
            _refuse_unless_transaction(raw, index, error)


def _refuse_unless_transaction(raw: bytes, index: int, error: InputError) -> None:
    """A previous transaction without the output that is spent is for the review to refuse; one that is none, here."""
    try:
        previous_output(raw, 0)
    except InputError:
        raise PsbtError(error.message, where=where(Map.INPUT, index), field="PSBT_IN_NON_WITNESS_UTXO") from None


def serialize(psbt: Psbt) -> bytes:
    """The bytes of a PSBT; exactly those that were parsed when nothing was changed."""
    return write_maps((psbt.global_map, *psbt.inputs, *psbt.outputs))


def from_any(data: bytes | str, *, limit: int = MAX_FILE_PSBT) -> bytes:
    """The raw bytes of a PSBT that is given raw or as base64 (line breaks and spaces around it are fine).

    Args:
        data: What was read.
        limit: Most raw bytes that are looked at.

    Raises:
        InputError: Too large, or neither.
    """
    if isinstance(data, bytes) and data.startswith(MAGIC):
        if len(data) > limit:
            raise PsbtError(f"has {len(data)} bytes, more than the {limit} allowed")
        return data
    if len(data) > limit + limit // 2:  # base64 takes four thirds, line breaks a little more
        raise PsbtError(f"has more than the {limit} bytes allowed")
    try:
        text = data.encode("ascii") if isinstance(data, str) else data
        text = b"".join(text.split())
        raw = base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InputError("is neither a PSBT nor base64 of one") from None
    if not raw.startswith(MAGIC):
        raise InputError("is not a PSBT", hint=f"base64 of a PSBT begins with {_BASE64_START.decode()}")
    return raw
