"""Bytes to maps and back: lossless, strict, bounded, in time linear in the bytes.

`serialize(parse(b)) == b` for every PSBT that parses. Whatever is not exactly as BIP174 (and 370, 371, 373) writes it
is refused with the map, the key type's name and the reason. What the fields mean does not belong here; the transaction
that they describe is put together in `unsigned`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.points import learn
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.tx import read_compact
from wormsig.errors import InputError, NotSupportedError, PsbtError
from wormsig.psbt.alike import Patterns, patterns, read_alike
from wormsig.psbt.fields import VERSIONS, Map, checks, field_name, required
from wormsig.psbt.limits import MAX_FIELDS, MAX_FILE_PSBT, MAX_MAP_FIELDS
from wormsig.psbt.model import (
    BIP32_DERIVATION,
    NON_WITNESS_UTXO,
    OUT_BIP32_DERIVATION,
    PARTIAL_SIG,
    PreviousOutput,
    Psbt,
    as_parsed,
    read_previous,
)
from wormsig.psbt.unsigned import (
    INPUT_COUNT,
    OUT_SCRIPT,
    OUTPUT_COUNT,
    UNSIGNED_TX,
    VERSION,
    assembled,
    check_counts,
    unsigned_transaction,
)
from wormsig.psbt.writer import MAGIC, write_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.bitcoin.tx import OutPoint, Transaction
    from wormsig.psbt.alike import Pattern
    from wormsig.psbt.forms import Form
    from wormsig.psbt.model import Fields

_CHECKS: Final = {(kind, version): checks(kind, version) for kind in Map for version in VERSIONS}
_REQUIRED: Final = {(kind, version): required(kind, version) for kind in Map for version in VERSIONS}
_KEYED: Final = {Map.INPUT: frozenset({PARTIAL_SIG, BIP32_DERIVATION}), Map.OUTPUT: frozenset({OUT_BIP32_DERIVATION})}
"""Key types whose key is a public key, as there are three and more in every map."""
_TOGETHER: Final = 4096
"""Maps whose public keys are checked together."""
_SILENT_PAYMENT: Final = b"\x09"
_BASE64_START: Final = b"cHNidP"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NO_PATTERNS: Final = Patterns(None, (), ())
_MAX_REMEMBERED: Final = 1_000
"""Bytes of the largest previous transaction that is remembered; thousands of them then take a few megabytes."""
_MOST_REMEMBERED: Final = 1 << 13

_CUT: Final = "the PSBT ends in the middle: is it complete? Copy or export it again"


def where(kind: Map, index: int) -> str:
    """The place as errors name it: `global map`, `input 3`, `output 0`."""
    return kind.value if kind is Map.GLOBAL else f"{kind.value} {index}"


def _size(data: bytes, pos: int, kind: Map, index: int) -> tuple[int, int]:
    """A length that takes more than one byte."""
    try:
        return read_compact(data, pos)
    except InputError as error:
        hint = _CUT if pos + 1 + (1 << data[pos] - 0xFC) > len(data) else None  # else it is written too long
        raise PsbtError(error.message, where=where(kind, index), hint=hint) from None


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
                raise _refusal(f"value ends after {len(value)} of {size} bytes", kind, index, key, hint=_CUT)
            if key in fields:
                raise _refusal("is there twice", kind, index, key)
            fields[key] = value
            if len(fields) > MAX_MAP_FIELDS:
                raise PsbtError(f"has more than {MAX_MAP_FIELDS} fields", where=where(kind, index))
            pos = end
    except IndexError:
        raise PsbtError("ends within a map", where=where(kind, index), hint=_CUT) from None


def _refusal(problem: str, kind: Map, index: int, key: bytes, *, hint: str | None = None) -> PsbtError:
    return PsbtError(problem, where=where(kind, index), field=field_name(kind, key), hint=hint)


def _check_map(fields: dict[bytes, bytes], version: int, kind: Map, index: int) -> None:
    """Refuse fields whose key or value does not have its type's form, and a map without what its version asks for."""
    _check_fields(fields, version, kind, index)
    for key in _REQUIRED[kind, version]:
        if key not in fields:
            raise _missing(fields, kind, index, key)


def _check_fields(fields: dict[bytes, bytes], version: int, kind: Map, index: int) -> None:
    """Refuse fields whose key or value does not have its type's form."""
    table: tuple[Form | None, ...] = _CHECKS[kind, version]
    for key, value in fields.items():
        check = table[key[0]]
        if check is None:
            continue
        problem = check(key, value)
        if problem is not None:
            raise _refusal(problem, kind, index, key)


def _missing(fields: dict[bytes, bytes], kind: Map, index: int, key: bytes) -> InputError:
    if kind is Map.OUTPUT and key == OUT_SCRIPT and _SILENT_PAYMENT in fields:
        return NotSupportedError(
            f"{where(kind, index)} is a silent payment without its script (BIP375), which is not supported yet",
            hint="ask for the PSBT with the output's script filled in",
        )
    return _refusal("is missing", kind, index, key)


def _version(fields: dict[bytes, bytes]) -> int:
    """The PSBT's version; anything but 0 and 2 is refused."""
    for key, value in fields.items():
        if key[0] == VERSION[0] and (len(key) != 1 or len(value) != 4):
            raise PsbtError("is not a number of four bytes", where="global map", field="PSBT_GLOBAL_VERSION")
    version = int.from_bytes(fields.get(VERSION, b""), "little")
    if version not in VERSIONS:
        raise PsbtError(f"unknown version {version}", where="global map", field="PSBT_GLOBAL_VERSION")
    return version


def parse(data: bytes, *, limit: int = MAX_FILE_PSBT, like: Psbt | None = None) -> Psbt:
    """Parse a PSBT.

    Args:
        data: The raw bytes (`from_any` reads base64 too).
        limit: Most bytes that are looked at; `MAX_PEER_PSBT` for what a peer sent.
        like: A parsed PSBT that this one may be the same as but for signatures, such as the one that a cosigner was
            sent. It makes parsing faster and changes nothing else (`alike`).

    Returns:
        The PSBT, of version 0 or 2. A version 2 PSBT whose inputs require locktimes that exclude each other is well
        formed and can be written back; its `tx` raises.

    Raises:
        PsbtError: Not exactly a PSBT; says where and which field.
        NotSupportedError: A silent payment whose script is not known yet (BIP375).
    """
    if len(data) > limit:
        raise PsbtError(f"has {len(data)} bytes, more than the {limit} allowed")
    if data[:5] != MAGIC:
        raise PsbtError("does not begin as a PSBT does", hint="a PSBT begins with `psbt`, in base64 with `cHNidP`")
    data = bytes(data)
    global_map, pos = _read_map(data, 5, Map.GLOBAL, 0)
    version = _version(global_map)
    _check_map(global_map, version, Map.GLOBAL, 0)
    if like is not None and like.version != version:
        like = None
    tx = None if version else _unsigned(global_map[UNSIGNED_TX], like)
    input_count, output_count = _counts(global_map) if tx is None else (len(tx.inputs), len(tx.outputs))
    known = _NO_PATTERNS if like is None else patterns(like)
    inputs, new, pos = _read_maps(data, pos, (version, Map.INPUT), input_count, known.inputs)
    outputs, _, pos = _read_maps(data, pos, (version, Map.OUTPUT), output_count, known.outputs)
    if pos != len(data):
        more = len(data) - pos
        raise PsbtError(
            f"has {more} byte{'' if more == 1 else 's'} after its last map",
            hint="something stands behind the PSBT, such as a line break: copy or export it again",
        )
    if len(global_map) + sum(map(len, inputs)) + sum(map(len, outputs)) > MAX_FIELDS:
        raise PsbtError(f"has more than {MAX_FIELDS} fields")
    if tx is None:
        tx = _assembled(global_map, inputs, outputs)
    psbt = Psbt(version, global_map, tuple(inputs), tuple(outputs), tx)
    _check_previous_transactions(psbt, like, new)
    return as_parsed(psbt, data, None if like is None else (known.kin, new))


def _unsigned(raw: bytes, like: Psbt | None) -> Transaction:
    """The transaction of a version 0 PSBT."""
    if like is not None and like.transaction is not None and like.global_map.get(UNSIGNED_TX) == raw:
        return like.transaction
    return unsigned_transaction(raw)


def _counts(global_map: dict[bytes, bytes]) -> tuple[int, int]:
    """How many input and output maps a version 2 PSBT says that it has."""
    inputs, _ = read_compact(global_map[INPUT_COUNT], 0)
    outputs, _ = read_compact(global_map[OUTPUT_COUNT], 0)
    check_counts(inputs, outputs)
    return inputs, outputs


def _assembled(
    global_map: dict[bytes, bytes], inputs: Sequence[dict[bytes, bytes]], outputs: Sequence[dict[bytes, bytes]]
) -> Transaction | None:
    """The transaction that the maps describe; None when no locktime satisfies every input, for `Psbt.tx` to tell."""
    try:
        return assembled(global_map, inputs, outputs)
    except PsbtError:
        return None


def _read_maps(
    data: bytes, pos: int, of: tuple[int, Map], count: int, known: Sequence[Pattern | None]
) -> tuple[list[dict[bytes, bytes]], list[dict[bytes, bytes] | None], int]:
    """Maps, what each has beyond its pattern (None: it is not like it), and the offset behind them."""
    version, kind = of
    maps: list[dict[bytes, bytes]] = []
    beyond: list[dict[bytes, bytes] | None] = []
    keyed = _KEYED[kind]
    for first in range(0, count, _TOGETHER):
        more = _Split()
        pos = more.read(data, pos, kind, range(first, min(first + _TOGETHER, count)), known)
        # Most of what parsing costs is whether public keys are points: of many maps they are read on every core.
        learn([key[1:] for fields in more.new for key in fields if key[0] in keyed])
        for index, (fields, new) in enumerate(zip(more.maps, more.new, strict=True), first):
            if new is fields:
                _check_map(fields, version, kind, index)
            elif new:
                _check_fields(new, version, kind, index)
        if more.error is not None:
            raise more.error  # what comes first in the file is named first
        maps += more.maps
        if known:
            beyond += [None if new is fields else new for fields, new in zip(more.maps, more.new, strict=True)]
    return maps, beyond, pos


class _Split:
    """Maps as far as they can be split, unchecked.

    Attributes:
        maps: The maps.
        new: Of each the fields that are to be checked: the map itself, or what it has beyond a pattern.
        error: What is wrong with the next.
    """

    __slots__ = ("error", "maps", "new")

    def __init__(self) -> None:
        self.maps: list[dict[bytes, bytes]] = []
        self.new: list[dict[bytes, bytes]] = []
        self.error: PsbtError | None = None

    def read(self, data: bytes, pos: int, kind: Map, indices: range, known: Sequence[Pattern | None]) -> int:
        """Read from an offset on, and return the one behind the last map."""
        maps, new = self.maps, self.new
        patterned = len(known)
        try:
            for index in indices:
                if pos == len(data):
                    self.error = PsbtError("is missing", where=where(kind, index), hint=_CUT)
                    return pos
                pattern = known[index] if index < patterned else None
                alike = None if pattern is None else read_alike(data, pos, pattern)
                if alike is None:
                    fields, pos = _read_map(data, pos, kind, index)
                    new.append(fields)
                else:
                    fields, added, pos = alike
                    new.append(added)
                maps.append(fields)
        except PsbtError as error:
            self.error = error
        return pos


_previous: dict[bytes, PreviousOutput] = {}
# The same previous transactions come back in every copy of a PSBT: small ones are walked once. Threads share it.


def _remembered_output(raw: bytes, outpoint: OutPoint) -> PreviousOutput:
    known = _previous.get(raw)
    if known is not None and known[2] == outpoint.index:
        return known
    found = read_previous(raw, outpoint)
    if len(raw) <= _MAX_REMEMBERED:
        if len(_previous) >= _MOST_REMEMBERED:
            _previous.clear()
        _previous[raw] = found
    return found


def _check_previous_transactions(psbt: Psbt, like: Psbt | None, beyond: Sequence[Fields | None]) -> None:
    memo = psbt.memo.previous
    if like is not None and (psbt.transaction is None or like.transaction is not psbt.transaction):
        like = None  # without a transaction nothing says that inputs are as many, or spend the same
    if like is not None and None not in beyond:
        known = like.memo.previous
        if len(known) == len(psbt.inputs) and None not in known.values():
            memo.update(known)
            return
    for index, fields in enumerate(psbt.inputs):
        raw = fields.get(NON_WITNESS_UTXO)
        if raw is None:
            continue
        if like is not None and like.inputs[index].get(NON_WITNESS_UTXO) is raw:
            output = like.memo.previous.get(index)
            if output is not None:
                memo[index] = output
                continue
        try:
            memo[index] = _remembered_output(raw, psbt.outpoint(index))
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
    """The raw bytes of a PSBT that is given raw or as base64 (line breaks, spaces and a byte order mark are fine).

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
    text = b"".join((data.encode("utf-8", "replace") if isinstance(data, str) else data).split())
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if not text:
        raise InputError("is empty")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InputError("is neither a PSBT nor base64 of one", hint=_what_it_may_be(text)) from None
    if not raw.startswith(MAGIC):
        hint = _what_it_may_be(text) or f"base64 of a PSBT begins with {_BASE64_START.decode()}"
        raise InputError("is not a PSBT", hint=hint)
    return raw


def _what_it_may_be(text: bytes) -> str | None:
    """What to do about something that is nearly a PSBT, as mail, chats and editors make them."""
    if text.startswith(_BASE64_START):
        return "it begins as base64 of a PSBT does: is it complete? Copy or export it again"
    if text[: 2 * len(MAGIC)].lower() == MAGIC.hex().encode():
        return "it is a PSBT in hex: `xxd -r -p` makes the PSBT of it"
    if b"\0" in text and _BASE64_START in text.replace(b"\0", b""):
        return "it is text in UTF-16, as some programs write it: save it as UTF-8"
    if _BASE64_START in text:
        return f"base64 of a PSBT, which begins with {_BASE64_START.decode()}, stands further on: give that part alone"
    if MAGIC in text:
        return "a PSBT begins further on in it: something was put before it on its way"
    return None
