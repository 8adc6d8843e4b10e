"""Lines for a terminal: where a message is broken, and where it is not."""

from __future__ import annotations

import pytest

from wormsig.render.lines import folded


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
