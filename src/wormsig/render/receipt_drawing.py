"""A transaction drawn: coins flow from the left into payments, change and fee on the right. Pure; SVG as text.

Two layouts of the same drawing: a wide one for screens and paper, a narrow one for telephones, where a scaled-down wide
one could not be read. Widths of texts are counted in characters of a monospaced font, so that nothing is clipped
whatever font there is. Every word from outside comes here escaped for a person and is escaped for XML here.
"""

from __future__ import annotations

import html
import unicodedata
from typing import TYPE_CHECKING

import msgspec

from wormsig.render.receipt_words import NAME, signers
from wormsig.render.sanitize import sanitize
from wormsig.review.words import btc, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.ceremony.receipt import OutputPart, Receipt

_SHOWN = 10
"""Inputs, and outputs, that are drawn one by one."""

_NAMED = 8
"""Signers of one input that are named."""

_ADVANCE = 0.61
"""Width of a character of the monospaced font, in parts of its size; a little more than in any common font."""


_AWAY = 10
"""Distance of the texts from what they belong to."""


class Layout(msgspec.Struct, frozen=True):
    """Where things are.

    Attributes:
        name: The drawing's CSS class.
        width: Of the drawing, in its own units.
        column: Width of the texts on either side.
        text: Size of the texts.
        flow: Height of what flows, where it is all together.
    """

    name: str
    width: int
    column: int
    text: int
    flow: int

    @property
    def characters(self) -> int:
        """Characters of a line in a column."""
        return int((self.column - _AWAY) / (self.text * _ADVANCE))

    @property
    def line(self) -> float:
        """Distance of two lines."""
        return self.text * 1.4


WIDE = Layout("wide", 960, 310, 13, 150)
NARROW = Layout("narrow", 320, 128, 10, 110)


class _Node(msgspec.Struct, frozen=True):
    """One end of the flow.

    Attributes:
        kind: Its CSS class.
        sats: Its amount; None when it is not known.
        lines: What stands beside it, the first in bold.
    """

    kind: str
    sats: int | None
    lines: tuple[str, ...]


def drawing(receipt: Receipt, layout: Layout) -> str:
    """Draw a receipt's transaction.

    Args:
        receipt: The receipt.
        layout: `WIDE` or `NARROW`.

    Returns:
        One `svg` element without any style of its own.
    """
    left, right = _coins(receipt, layout), _payments(receipt, layout)
    height = max(_height(left, layout), _height(right, layout), layout.flow + 2 * layout.line)
    gap = layout.width - 2 * layout.column
    trunk = (height - layout.flow) / 2
    parts = [
        *_side(left, layout, height, trunk, x=layout.column, to=layout.width / 2 - gap * 0.06, anchor="end"),
        *_side(right, layout, height, trunk, x=layout.width - layout.column, to=layout.width / 2 + gap * 0.06),
    ]
    middle = _rectangle("trunk", layout.width / 2 - gap * 0.06, trunk, gap * 0.12, layout.flow)
    title = f"{count(len(receipt.inputs), 'input')} on the left, {count(len(receipt.outputs), 'output')} on the right"
    return (
        f'<svg class="drawing {layout.name}" viewBox="0 0 {layout.width} {height:.1f}" role="img"'
        f' xmlns="http://www.w3.org/2000/svg" font-size="{layout.text}"><title>The transaction: {title}</title>'
        f"{middle}{''.join(parts)}</svg>"
    )


# -- what stands at the ends -------------------------------------------------------------------------------------------


def _coins(receipt: Receipt, layout: Layout) -> list[_Node]:
    named: dict[int, list[str]] = {}
    for each in signers(receipt):
        for index in each.inputs:
            named.setdefault(index, []).append(each.name or f"[{each.fingerprint}]")
    nodes = []
    for index, coin in enumerate(receipt.inputs[:_SHOWN]):
        whose = f"wallet {sanitize(coin.path, NAME)}" if coin.mine and coin.path else f"input {index}"
        who = list(dict.fromkeys(named.get(index, ())))
        more = f" and {len(who) - _NAMED} more" if len(who) > _NAMED else ""
        signed = f"signed by {', '.join(who[:_NAMED])}{more}" if who else "no signature"
        nodes.append(_Node("coin", coin.sats, (_amount(coin.sats), *_broken(whose, layout), *_broken(signed, layout))))
    rest = receipt.inputs[_SHOWN:]
    if rest:
        nodes.append(_Node("coin", *_together([coin.sats for coin in rest], "input")))
    return nodes


def _payments(receipt: Receipt, layout: Layout) -> list[_Node]:
    nodes = [_payment(index, output, layout) for index, output in enumerate(receipt.outputs[:_SHOWN])]
    rest = receipt.outputs[_SHOWN:]
    if rest:
        nodes.append(_Node("payment", *_together([output.sats for output in rest], "output")))
    nodes.append(_Node("fee", receipt.fee_sats, (_amount(receipt.fee_sats), "fee")))
    return nodes


def _payment(index: int, output: OutputPart, layout: Layout) -> _Node:
    what = {"payment": f"payment, output {index}", "change": "change", "data": "data"}[output.kind]
    if output.kind == "change" and output.path:
        what = f"change, wallet {sanitize(output.path, NAME)}"
    address = sanitize(output.address, 200) if output.address else ""
    return _Node(output.kind, output.sats, (_amount(output.sats), *_broken(what, layout), *_even(address, layout)))


def _together(amounts: Sequence[int | None], noun: str) -> tuple[int | None, tuple[str, ...]]:
    known = [sats for sats in amounts if sats is not None]
    total = sum(known) if len(known) == len(amounts) else None
    return total, (_amount(total), f"{len(amounts)} more {noun}s")


def _amount(sats: int | None) -> str:
    return "not known" if sats is None else btc(sats)


def _broken(text: str, layout: Layout) -> list[str]:
    """A text in lines that fit the column: at spaces where there are some, else anywhere."""
    lines: list[str] = []
    line, room = "", layout.characters
    for word in text.split(" "):
        if line and _columns(line) + 1 + _columns(word) <= room:
            line += f" {word}"
            continue
        lines += [line] if line else []
        line = ""
        for char in word:
            if _columns(line) + _columns(char) > room:
                lines.append(line)
                line = ""
            line += char
    return [*lines, line] if line else lines


def _even(address: str, layout: Layout) -> list[str]:
    """An address in lines of about one length."""
    room = max(1, -(-len(address) // max(1, -(-len(address) // layout.characters))))
    return [address[start : start + room] for start in range(0, len(address), room)]


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


# -- how it is drawn ---------------------------------------------------------------------------------------------------


def _height(nodes: Sequence[_Node], layout: Layout) -> float:
    return sum(_tall(node, layout) for node in nodes) + layout.line


def _tall(node: _Node, layout: Layout) -> float:
    return (len(node.lines) + 1.2) * layout.line


def _shares(nodes: Sequence[_Node], whole: float) -> list[float]:
    """How thick each flow is: by its amount, but never too thin to be seen; together the whole."""
    amounts = [max(node.sats or 0, 0) for node in nodes]
    total = sum(amounts) or 1
    least = min(2.0, whole / (2 * len(nodes)))
    thick = [max(least, whole * sats / total) for sats in amounts]
    excess = sum(thick) - whole
    spare = sum(each - least for each in thick) or 1
    return [each - excess * (each - least) / spare for each in thick]


def _side(
    nodes: Sequence[_Node], layout: Layout, height: float, trunk: float, *, x: float, to: float, anchor: str = "start"
) -> list[str]:
    """One side: flows, bars and texts, evenly from top to bottom."""
    parts = []
    spare = max(0.0, height - _height(nodes, layout)) / (len(nodes) + 1)
    y, inside = layout.line / 2 + spare, trunk
    away = -_AWAY if anchor == "end" else _AWAY
    for node, thick in zip(nodes, _shares(nodes, layout.flow), strict=True):
        tall = _tall(node, layout)
        middle = y + tall / 2
        top = middle - thick / 2
        parts.append(_flow(node.kind, (x, top), (to, inside), thick))
        parts.append(_rectangle(f"bar {node.kind}", x - (0 if anchor == "end" else 3), top, 3, thick))
        first = middle - (len(node.lines) - 1) * layout.line / 2 + layout.text * 0.35
        for number, line in enumerate(node.lines):
            kind = "amount" if number == 0 else "note"
            place = f'x="{x + away:.1f}" y="{first + number * layout.line:.1f}"'
            parts.append(f'<text class="{kind}" {place} text-anchor="{anchor}">{html.escape(line)}</text>')
        y += tall + spare
        inside += thick
    return parts


def _flow(kind: str, start: tuple[float, float], end: tuple[float, float], thick: float) -> str:
    (x, y), (to, at) = start, end
    bend = (x + to) / 2
    path = (
        f"M{x:.1f} {y:.1f}C{bend:.1f} {y:.1f} {bend:.1f} {at:.1f} {to:.1f} {at:.1f}V{at + thick:.1f}"
        f"C{bend:.1f} {at + thick:.1f} {bend:.1f} {y + thick:.1f} {x:.1f} {y + thick:.1f}Z"
    )
    return f'<path class="flow {kind}" d="{path}"/>'


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
