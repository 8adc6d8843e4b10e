"""Reading a PSBT that is another one but for signatures: what comes back from a cosigner is our own copy, signed.

A map whose bytes are those of the map that we have is not read again, field by field, but taken from it. That changes
how long reading takes and never what is read: whatever is not the same goes the long way (`codec`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wormsig.psbt.limits import MAX_MAP_FIELDS
from wormsig.psbt.model import PARTIAL_SIG, TAP_KEY_SIG, TAP_MERKLE_ROOT, TAP_SCRIPT_SIG
from wormsig.psbt.writer import written_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.psbt.model import Fields, Psbt

_NONE: Final = (0x100, -1)  # an output has no signatures: no key type is between these
_ECDSA: Final = (PARTIAL_SIG, PARTIAL_SIG)
_TAPROOT: Final = (TAP_KEY_SIG[0], TAP_SCRIPT_SIG)
_TAPROOT_FIELDS: Final = frozenset(range(TAP_KEY_SIG[0], TAP_MERKLE_ROOT[0] + 1))


class Pattern(NamedTuple):
    """A map without its signatures.

    Attributes:
        head: The bytes of the fields before the signatures.
        before: Those fields.
        tail: The bytes of the fields behind them, with the separator.
        after: Those fields.
        first: The first key type of a signature.
        last: The last.
    """

    head: bytes
    before: Fields
    tail: bytes
    after: Fields
    first: int
    last: int


class Patterns(NamedTuple):
    """What the maps of a PSBT look like without signatures.

    Attributes:
        kin: Of the PSBT that they were made of (`Psbt.kin`).
        inputs: One an input; None for one with signatures of both kinds.
        outputs: One an output.
    """

    kin: object
    inputs: Sequence[Pattern | None]
    outputs: Sequence[Pattern | None]


def _pattern(fields: Fields, first: int, last: int) -> Pattern:
    before: dict[bytes, bytes] = {}
    after: dict[bytes, bytes] = {}
    here = before
    for key, value in fields.items():
        if first <= key[0] <= last:
            continue
        if key[0] > last:
            here = after
        here[key] = value
    return Pattern(written_map(before)[:-1], before, written_map(after), after, first, last)


def _input_pattern(fields: Fields) -> Pattern | None:
    """An input's. A signature of the other kind would be taken for a field like any other, so then there is none."""
    kinds = {key[0] for key in fields}
    if kinds.isdisjoint(_TAPROOT_FIELDS):
        return _pattern(fields, *_ECDSA)
    return None if PARTIAL_SIG in kinds else _pattern(fields, *_TAPROOT)


def patterns(psbt: Psbt) -> Patterns:
    """The patterns of a PSBT's inputs and outputs; made once for all its copies of one version.

    Args:
        psbt: A PSBT that could be written and parsed again.
    """
    memo = psbt.memo.patterns
    known = memo.get(psbt.version)
    if known is None:
        inputs = tuple([_input_pattern(fields) for fields in psbt.inputs])
        outputs = tuple([_pattern(fields, *_NONE) for fields in psbt.outputs])
        known = memo[psbt.version] = Patterns(psbt.kin, inputs, outputs)
    return known


def signatures_beyond(mine: Psbt, returned: Psbt) -> Sequence[Fields | None]:
    """The signatures that each input of a returned PSBT holds, where everything else of it is as mine has it.

    Args:
        mine: What was sent.
        returned: What came back, with as many inputs.

    Returns:
        For each input its signatures, those that mine has too among them; None where anything else may differ.
    """
    beyond = returned.beyond
    if beyond is None or beyond[0] is not mine.kin:
        return (None,) * len(mine.inputs)
    return beyond[1]


def read_alike(data: bytes, pos: int, pattern: Pattern) -> tuple[dict[bytes, bytes], dict[bytes, bytes], int] | None:
    """One map from `pos`, if it is like a pattern, with signatures between head and tail.

    Returns:
        All its fields, those of them that are not in the pattern and have to be checked, and the offset behind its
        separator; None when it is not like the pattern, or anything about it is wrong.
    """
    head, before, tail, after, first, last = pattern
    if not data.startswith(head, pos):
        return None
    pos += len(head)
    new: dict[bytes, bytes] = {}
    while not data.startswith(tail, pos):
        try:
            size = data[pos]
            begin = pos + 1 + size
            length = data[begin]
        except IndexError:
            return None
        key, value = data[pos + 1 : begin], data[begin + 1 : begin + 1 + length]
        if not size or size >= 0xFD or length >= 0xFD:
            return None
        if key in new or not first <= key[0] <= last or len(new) == MAX_MAP_FIELDS:
            return None
        new[key] = value
        pos = begin + 1 + length
    fields = {**before, **new, **after}
    return None if len(fields) > MAX_MAP_FIELDS else (fields, new, pos + len(tail))
