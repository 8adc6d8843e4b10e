"""Styled lines onto a stream: colour where it can be seen, the same words everywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

from wormsig.render.lines import Style, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.render.lines import Line


def wants_color(stream: TextIO, *, no_color: bool = False) -> bool:
    """Whether to colour: a terminal, and nobody said no (NO_COLOR, `--no-color`, TERM=dumb)."""
    return not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def show(lines: Sequence[Line], stream: TextIO, *, color: bool = False) -> None:
    """Write lines to a stream.

    Args:
        lines: What to write.
        stream: Where to.
        color: Use colour; the caller decided that the stream can show it.
    """
    if not color:
        stream.write(plain(lines) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415  importing rich takes longer than printing without it
    from rich.text import Text  # noqa: PLC0415  same

    console = Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in lines:
        console.print(Text(line.text.rstrip(), style="" if line.style is Style.PLAIN else line.style.value))
