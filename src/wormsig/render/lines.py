"""A text as styled lines: the words first, colour only ever on top of them."""

from __future__ import annotations

import enum
import re
import textwrap
import unicodedata
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 80
_NARROW = 20
_WIDE = "\1"
"""Stands before a character of two columns while lines are broken; `sanitize` lets none through."""
_COMMAND = re.compile("`[^`]+`")


class Style(enum.Enum):
    """What a line is, for streams that can show it; the value is a rich style."""

    PLAIN = ""
    STRONG = "bold"
    DIM = "dim"
    ERROR = "bold red"
    WARNING = "yellow"
    NOTICE = "cyan"


class Line(msgspec.Struct, frozen=True):
    """One line of printable text.

    Args:
        text: Everything from outside in it has been through `sanitize`.
        style: Says nothing that the text does not say.
    """

    text: str
    style: Style = Style.PLAIN


def plain(lines: Iterable[Line]) -> str:
    """The text alone, without a final line break."""
    return "\n".join(line.text.rstrip() for line in lines)


def wrapped(text: str, *, first: str, rest: str | None = None, style: Style = Style.PLAIN) -> list[Line]:
    """A sentence broken at the width.

    Args:
        text: Sanitised.
        first: What stands before its first line.
        rest: Indent of further lines; as wide as `first` when left out.
        style: Of all lines.
    """
    indent = " " * len(first) if rest is None else rest
    broken = _broken(text, WIDTH, first, indent)
    return [Line(line, style) for line in broken or [first]]


def _broken(text: str, width: int, first: str, indent: str) -> list[str]:
    """Broken by columns, not by characters: a line that is too wide goes on at the terminal's edge, without indent.

    There a few wide characters in somebody's data would put the rest where only our own words stand (THREATS C17).
    """
    if text.isascii():
        return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    marked = "".join([_WIDE + char if unicodedata.east_asian_width(char) in "WF" else char for char in text])
    room = width if len(marked) == len(text) else width - 1  # a break may come between a mark and its character
    lines = textwrap.wrap(marked, room, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(_WIDE, "") for line in lines]


def folded(text: str, *, first: str, width: int) -> str:
    """A message broken at words for a terminal; a command in it, between backticks, stays in one piece if it can.

    Args:
        text: Sanitised.
        first: What stands before its first line; the others are indented as far.
        width: Columns of the terminal.
    """
    width = max(width, _NARROW)
    room = width - len(first)
    whole = _COMMAND.sub(lambda found: found[0].replace(" ", "\0") if len(found[0]) <= room else found[0], text)
    lines = _broken(whole, width, first, " " * len(first))
    return "\n".join(lines or [first]).replace("\0", " ")


def fitted(text: str, width: int | None) -> str:
    """Lines of which those that are too long are folded, two columns behind their indent (THREATS C17).

    Args:
        text: Sanitised but for the breaks between lines.
        width: Columns of the terminal; None when it is none, and nothing is folded.
    """
    if width is None:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.lstrip(" ")
        indent = " " * (len(line) - len(bare))
        broken = _broken(bare, max(width, _NARROW) - 1, indent, f"{indent}  ")
        lines += broken if len(broken) > 1 else [line]
    return "\n".join(lines)


def grouped(address: str) -> list[str]:
    """An address in groups of four, to be compared by eye."""
    return [address[start : start + 4] for start in range(0, len(address), 4)]


def address_lines(address: str, *, first: str) -> list[Line]:
    """A whole address in groups of four, as many groups to a line as fit."""
    per_line = (WIDTH - len(first) + 1) // 5
    groups = grouped(address)
    lines = [" ".join(groups[start : start + per_line]) for start in range(0, len(groups), per_line)]
    indent = " " * len(first)
    return [Line((indent if number else first) + text) for number, text in enumerate(lines)]


def hex_lines(label: str, digits: str, *, first: str) -> list[Line]:
    """A label and a hex string to its last digit, broken where the line ends."""
    per_line = WIDTH - len(first) - len(label) - 1
    parts = [digits[start : start + per_line] for start in range(0, len(digits), per_line)] or [""]
    indent = " " * (len(first) + len(label) + 1)
    return [Line((indent if number else f"{first}{label} ") + part) for number, part in enumerate(parts)]
