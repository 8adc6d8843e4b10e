"""Words from outside, made harmless where they are printed (row C17).

Labels, names, reasons and error texts of a peer or a node, and data in scripts, may hold terminal escapes, bidi
controls, zero-width characters or line breaks. Here they become visible escapes, and are cut to length. Nothing is
judged and nothing printed here.
"""

from __future__ import annotations

import json
import shlex
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_LIMIT = 200
ELLIPSIS = "…"

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format characters (bidi, zero-width, tags), surrogates, private use, unassigned, separators."""

_INVISIBLE = frozenset((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))).union(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
)
"""What Unicode counts as letters, marks or symbols and shows as nothing: joiners, fillers, selectors, blanks."""

_MAX_MARKS = 3
"""Combining marks in a row that a written language needs; more of them paint over the neighbouring lines."""


def _is_plain(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Zs":
        return char == " "
    return category not in _ESCAPED_CATEGORIES and ord(char) not in _INVISIBLE


def _escape(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def sanitize(text: str, limit: int = DEFAULT_LIMIT) -> str:
    r"""Escape what must not reach a terminal, and cut to length.

    Controls (line breaks too), bidi and zero-width characters, odd spaces, lone surrogates, private and unassigned
    characters become `\xNN`, `\uNNNN` or `\UNNNNNNNN`. Doing it twice changes nothing more.

    Args:
        text: Anything.
        limit: Characters of the result; a longer one ends with an ellipsis, never within an escape.

    Returns:
        One line of printable text of at most `limit` characters.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    parts: list[str] = []
    room = limit
    marks = 0
    for char in text[: limit + 1]:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        piece = char if _is_plain(char) and marks <= _MAX_MARKS else _escape(char)
        parts.append(piece)
        room -= len(piece)
        if room < 0:
            return _cut(parts, limit)
    return "".join(parts)


def _cut(parts: list[str], limit: int) -> str:
    """Drop pieces from the end until the ellipsis fits."""
    length = sum(map(len, parts))
    while parts and length > limit - len(ELLIPSIS):
        length -= len(parts.pop())
    return "".join(parts) + ELLIPSIS[:limit]


def quote(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """The same within double quotes, for words of others in a sentence of ours."""
    return '"' + sanitize(text, limit).replace('"', "'") + '"'


def as_argument(path: Path) -> str:
    """A path in a command that is shown to be typed: quoted for a shell where it has to be."""
    return shlex.quote(sanitize(str(path)))


def to_json(value: Any) -> str:  # noqa: ANN401  whatever JSON can hold
    """One line of JSON in printable ASCII: everything else is escaped, DEL included."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")).replace("\x7f", "\\u007f")
