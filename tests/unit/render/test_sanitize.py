from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.render.sanitize import ELLIPSIS, quote, sanitize, to_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 100 % [bold]", "plain words, 100 % [bold]"),
        ("Zoë, 日本語, ñandú", "Zoë, 日本語, ñandú"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J", "\\x9b2J"),
        ("\x7f\x00", "\\x7f\\x00"),
        ("\u202eevil\u2069", "\\u202eevil\\u2069"),
        ("zero\u200bwidth\ufeff\u00ad", "zero\\u200bwidth\\ufeff\\xad"),
        ("line\u2028sep\u2029", "line\\u2028sep\\u2029"),
        ("lone\ud800", "lone\\ud800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("blank\u3164\u2800\u115f", "blank\\u3164\\u2800\\u115f"),
        ("no\u00a0break", "no\\xa0break"),
        ("selector\ufe0f", "selector\\ufe0f"),
        ("private\ue000", "private\\ue000"),
        ("C:\\path", "C:\\path"),
    ],
)
def test_what_does_not_show_is_escaped(text: str, shown: str):
    assert sanitize(text) == shown


def test_marks_cannot_pile_up_over_other_lines():
    assert sanitize("e\u0301") == "e\u0301"
    piled = sanitize("e" + "\u0301" * 10)
    assert piled.count("\u0301") == 3
    assert piled.count("\\u0301") == 7


def test_it_is_cut_to_length():
    assert sanitize("x" * 200) == "x" * 200
    assert sanitize("x" * 201) == "x" * 199 + ELLIPSIS
    assert sanitize("abc\x1b", 6) == "abc" + ELLIPSIS  # never within an escape
    assert sanitize("abc\x1b", 7) == "abc\\x1b"
    assert sanitize("xy", 1) == ELLIPSIS
    assert sanitize("xy", 0) == ""


@settings(max_examples=examples(50))
@given(st.text(st.characters(codec=None, categories=None), max_size=60), st.integers(0, 40))
def test_the_result_is_one_printable_line_within_the_limit(text: str, limit: int):
    shown = sanitize(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert sanitize(shown, limit) == shown
    shown.encode("utf-8")


def test_quotes_cannot_be_closed_from_within():
    assert quote('he said "yes"\n') == "\"he said 'yes'\\x0a\""


@settings(max_examples=examples(30))
@given(st.text(max_size=40))
def test_json_is_printable_ascii_and_says_the_same(text: str):
    line = to_json({"text": text})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"text": text}


def test_json_escapes_del():
    assert to_json("\x7f\x1b\u202e") == '"\\u007f\\u001b\\u202e"'
