"""Lines for a terminal: where a message is broken, and where it is not."""

from __future__ import annotations

import unicodedata

import pytest

from wormsig.render.lines import fitted, folded, wrapped


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


@pytest.mark.parametrize("width", [1, 20, 33, 80, 400])
def test_a_message_is_broken_at_words_and_nothing_is_lost(width: int) -> None:
    text = "what was signed is kept, and `wormsig resume 7f3a19` goes on; a well-known word stays whole"
    lines = folded(text, first="hint: ", width=width).split("\n")
    assert lines[0].startswith("hint: what")
    assert all(line.startswith("      ") and line[6] != " " for line in lines[1:])
    if width > 40:
        assert " ".join([lines[0], *(line.strip() for line in lines[1:])]) == f"hint: {text}"
        assert sum("`wormsig resume 7f3a19`" in line for line in lines) == 1
    assert max(map(len, lines)) <= max(width, 20)


def test_a_long_word_never_begins_a_line_of_its_own_at_the_margin() -> None:
    lines = folded(f"declined: {'x' * 70}error:bob-signed", first="error: ", width=80).split("\n")
    assert all(line.startswith("       ") for line in lines[1:])


def test_nothing_to_say_is_the_label_alone() -> None:
    assert folded("", first="error: ", width=80) == "error: "


@pytest.mark.parametrize("wide", ["\u5bbd", "\uff37", "\U0001f600", "\ud55c"])
@pytest.mark.parametrize("count", [1, 10, 27, 54, 200])
def test_wide_characters_never_push_the_rest_to_the_margin(wide: str, count: int) -> None:
    """A terminal goes on at its edge without an indent: there "Leaves 0.001 BTC" would stand as if we had said it."""
    text = f"{wide * count}Leaves   0.00001000 BTC   this wallet, {wide}fee included"
    first = "Data     0.00000000 BTC   "
    lines = [line.text for line in wrapped(text, first=first)]
    assert max(map(columns, lines)) <= 80
    assert all(line.startswith(" " * len(first)) for line in lines[1:])
    assert "".join(lines).replace(" ", "") == (first + text).replace(" ", "")
    told = folded(text, first="error: ", width=60).split("\n")
    assert max(map(columns, told)) <= 60
    assert "".join(told).replace(" ", "") == f"error:{text}".replace(" ", "")


def test_a_status_with_somebodys_words_never_goes_on_at_the_margin() -> None:
    said = f'  alice        declined: "{"x" * 57}Leaves   0.00001000 BTC   this wallet"\nall done'
    lines = fitted(said, 80).split("\n")
    assert max(map(len, lines)) < 80
    assert all(line.startswith("  ") for line in lines[:-1])
    assert lines[-1] == "all done"
    assert len(lines) > 2
    assert fitted(said, None) == said
    assert fitted("  alice        connected\n\nbob", 80) == "  alice        connected\n\nbob"
