"""Transactions over bytes: a strict bounded parser, the serializer, ids and weight.

`previous` walks the bytes without making objects, where thousands come. What a transaction means, and whether it should
be signed, does not belong here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import msgspec

from wormsig.bitcoin.compact import read_compact, write_compact
from wormsig.errors import InputError

__all__ = [
    "MAX_MONEY",
    "MAX_TRANSACTION",
    "OutPoint",
    "Transaction",
    "TxInput",
    "TxOutput",
    "parse_transaction",
    "read_compact",
    "write_compact",
]

MAX_MONEY: Final = 21_000_000 * 100_000_000
MAX_TRANSACTION: Final = 32 << 20
"""No transaction beyond this is looked at; a block holds 4 MB."""

_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_PLAIN_INPUT = struct.Struct("<32sIxI")

MIN_INPUT: Final = 41  # outpoint 36, empty script 1, sequence 4
MIN_OUTPUT: Final = 9  # amount 8, empty script 1


class OutPoint(msgspec.Struct, frozen=True):
    """Which output is spent.

    Args:
        txid: 32 bytes in internal order (reversed from what people see).
        index: The output's index.
    """

    txid: bytes
    index: int

    def __str__(self) -> str:
        return f"{self.txid[::-1].hex()}:{self.index}"

    @classmethod
    def from_text(cls, text: str) -> OutPoint:
        """Read `txid:vout` as people write it.

        Raises:
            InputError: It is not 64 hex digits, a colon and a number.
        """
        txid, _, index = text.partition(":")
        try:
            raw = bytes.fromhex(txid)
        except ValueError:
            raw = b""
        if len(txid) != 64 or len(raw) != 32 or not (index.isascii() and index.isdigit()):
            raise InputError("not an outpoint", hint="write it as TXID:INDEX")
        if len(index) > 10 or int(index) > 0xFFFF_FFFF:
            raise InputError("not an outpoint: its index does not fit in 32 bits")
        return cls(raw[::-1], int(index))

    def serialize(self) -> bytes:
        """The 36 bytes of the wire."""
        return self.txid + _U32.pack(self.index)


class TxOutput(msgspec.Struct, frozen=True):
    """An amount and the script that may spend it; `sats` is signed, as on the wire."""

    sats: int
    script: bytes

    def serialize(self) -> bytes:
        """Eight bytes of amount, then the script with its length."""
        return _I64.pack(self.sats) + write_compact(len(self.script)) + self.script

    @classmethod
    def parse(cls, data: bytes) -> TxOutput:
        """The inverse of `serialize`, for exactly these bytes.

        Raises:
            InputError: Too short, too long, or a length that is not in its shortest form.
        """
        if len(data) < MIN_OUTPUT:
            raise InputError("output is too short")
        length, start = read_compact(data, 8)
        if start + length != len(data):
            raise InputError("output's script has another length than it says")
        return cls(_I64.unpack_from(data, 0)[0], data[start:])


class TxInput(msgspec.Struct, frozen=True):
    """What is spent, the legacy unlocking script, and the sequence number."""

    outpoint: OutPoint
    script_sig: bytes = b""
    sequence: int = 0xFFFF_FFFF


@dataclass(frozen=True)
class Transaction:
    """A transaction; not slotted because its bytes and ids are computed once and kept.

    Args:
        version: Unsigned 32 bit.
        inputs: In order.
        outputs: In order.
        locktime: Unsigned 32 bit.
        witnesses: One stack an input, or empty when there is no witness at all.
    """

    version: int
    inputs: tuple[TxInput, ...]
    outputs: tuple[TxOutput, ...]
    locktime: int
    witnesses: tuple[tuple[bytes, ...], ...] = ()

    @cached_property
    def _stripped(self) -> bytes:
        parts = [_U32.pack(self.version), self._body, _U32.pack(self.locktime)]
        return b"".join(parts)

    @cached_property
    def _body(self) -> bytes:
        pack = _U32.pack
        parts = [write_compact(len(self.inputs))]
        for txin in self.inputs:
            point, script = txin.outpoint, txin.script_sig
            parts += (point.txid, pack(point.index), write_compact(len(script)), script, pack(txin.sequence))
        parts.append(write_compact(len(self.outputs)))
        parts += [output.serialize() for output in self.outputs]
        return b"".join(parts)

    @cached_property
    def _witness_bytes(self) -> bytes:
        parts: list[bytes] = []
        for stack in self.witnesses:
            parts.append(write_compact(len(stack)))
            for item in stack:
                parts += (write_compact(len(item)), item)
        return b"".join(parts)

    @property
    def has_witness(self) -> bool:
        """Whether any input has a non-empty witness stack."""
        return any(self.witnesses)

    def serialize(self, *, witness: bool = True) -> bytes:
        """The bytes of the wire (BIP144 when there is a witness).

        Args:
            witness: False leaves the witness away, as for the txid.

        Raises:
            InputError: The number of witness stacks is not the number of inputs.
        """
        if not (witness and self.has_witness):
            return self._stripped
        if len(self.witnesses) != len(self.inputs):
            raise InputError("the transaction does not have one witness stack an input")
        start, end = _U32.pack(self.version), _U32.pack(self.locktime)
        return b"".join((start, b"\x00\x01", self._body, self._witness_bytes, end))

    @cached_property
    def txid_bytes(self) -> bytes:
        """The id in internal order, as outpoints hold it."""
        return sha256(sha256(self._stripped).digest()).digest()

    @property
    def txid(self) -> str:
        """The id as people see it."""
        return self.txid_bytes[::-1].hex()

    @property
    def wtxid(self) -> str:
        """The id that covers the witness (BIP141), as people see it."""
        return sha256(sha256(self.serialize()).digest()).digest()[::-1].hex()

    @property
    def weight(self) -> int:
        """BIP141 weight units."""
        base = len(self._stripped)
        return 4 * base + (2 + len(self._witness_bytes) if self.has_witness else 0)

    @property
    def vsize(self) -> int:
        """Virtual bytes: a quarter of the weight, rounded up."""
        return (self.weight + 3) // 4


class _Cursor:
    """A position in bytes; every length is checked against what is left before anything is made."""

    __slots__ = ("data", "end", "offset")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.end = len(data)

    def count(self, least: int, what: str) -> int:
        """How many entries follow; each of them takes at least `least` bytes."""
        number, self.offset = read_compact(self.data, self.offset)
        if number * least > self.end - self.offset:
            raise InputError(f"claims more {what} than its bytes can hold")
        return number

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        begin = self.offset
        self.offset = begin + size
        if self.offset > self.end:
            raise InputError("ends too early")
        return self.data[begin : self.offset]

    def take_sized(self) -> bytes:
        """A length and as many bytes."""
        length, self.offset = read_compact(self.data, self.offset)
        return self.take(length)

    def u32(self) -> int:
        """Four bytes, little-endian."""
        return int.from_bytes(self.take(4), "little")


def _read_witness(cursor: _Cursor, inputs: int) -> tuple[tuple[bytes, ...], ...]:
    stacks: list[tuple[bytes, ...]] = []
    for _ in range(inputs):
        items = cursor.count(1, "witness items")
        stacks.append(tuple([cursor.take_sized() for _ in range(items)]))
    if not any(stacks):
        raise InputError("says that it has a witness and has none")
    return tuple(stacks)


def has_marker(data: bytes) -> bool:
    """Whether BIP144's marker stands behind the version; a flag that nobody knows is refused."""
    if len(data) < 6 or data[4] != 0:
        return False
    if data[5] == 1:
        return True
    if data[5] == 0:
        return False
    raise InputError("has an unknown flag where the witness would be announced")


def _read_inputs(cursor: _Cursor, count: int) -> list[TxInput]:
    inputs: list[TxInput] = []
    plain, data, last = _PLAIN_INPUT.unpack_from, cursor.data, cursor.end - MIN_INPUT
    for _ in range(count):
        offset = cursor.offset
        if offset <= last and not data[offset + 36]:  # no scriptSig, as in every unsigned transaction: read at once
            txid, index, sequence = plain(data, offset)
            inputs.append(TxInput(OutPoint(txid, index), b"", sequence))
            cursor.offset += MIN_INPUT
        else:
            inputs.append(TxInput(OutPoint(cursor.take(32), cursor.u32()), cursor.take_sized(), cursor.u32()))
    return inputs


def _parse(data: bytes, *, allow_witness: bool) -> Transaction:
    cursor = _Cursor(data)
    version = cursor.u32()
    witness = allow_witness and has_marker(data)
    if witness:
        cursor.offset = 6
    inputs = _read_inputs(cursor, cursor.count(MIN_INPUT, "inputs"))
    outputs = []
    for _ in range(cursor.count(MIN_OUTPUT, "outputs")):
        (sats,) = _I64.unpack(cursor.take(8))
        outputs.append(TxOutput(sats, cursor.take_sized()))
    witnesses = _read_witness(cursor, len(inputs)) if witness else ()
    locktime = cursor.u32()
    if cursor.offset != cursor.end:
        raise InputError(f"has {cursor.end - cursor.offset} bytes too many at its end")
    return Transaction(version, tuple(inputs), tuple(outputs), locktime, witnesses)


def parse_transaction(data: bytes, *, allow_witness: bool = True) -> Transaction:
    """Parse a whole transaction (BIP144), strictly.

    Amounts are not judged: a negative one is for the review to refuse.

    Args:
        data: Exactly the transaction's bytes.
        allow_witness: False reads the old serialization only, as BIP174 asks of an unsigned transaction; then a
            transaction without inputs can be read too.

    Raises:
        InputError: Truncated, trailing bytes, counts beyond the bytes there are, or a length that is not in its
            shortest form.
    """
    if len(data) > MAX_TRANSACTION:
        raise InputError("transaction is too large")
    try:
        return _parse(bytes(data), allow_witness=allow_witness)
    except InputError as error:
        raise InputError(f"transaction {error.message}") from None
