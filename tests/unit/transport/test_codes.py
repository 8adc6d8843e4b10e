from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wormsig.transport.codes import misspelt, normalise, verifier_words
from wormsig.transport.errors import BadCodeError


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("7-guitarist-revenge-orca", "7-guitarist-revenge-orca"),
        ("  7-guitarist-revenge-orca\n", "7-guitarist-revenge-orca"),
        ("7 Guitarist REVENGE orca", "7-guitarist-revenge-orca"),
        ("7\u2013guitarist\u2014revenge\u2010orca", "7-guitarist-revenge-orca"),
        ("7--guitarist- revenge_orca-", "7-guitarist-revenge-orca"),
        ("-007-guitarist", "7-guitarist"),
        ("0-guitarist", "0-guitarist"),
        ("12-word2", "12-word2"),
        ("9" * 40 + "-x", "9" * 40 + "-x"),
    ],
)
def test_a_code_is_read_as_people_type_it(typed: str, code: str) -> None:
    assert normalise(typed) == code
    assert normalise(code) == code


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "7",
        "7-",
        "guitarist-7",
        "seven-guitarist",
        "7.guitarist",
        "7-guitarist!",
        "7-gu\u0131tarist",
        "\u0667-guitarist",
        "\uff17-guitarist",
        "7-guitarist\x00",
        "7-\u202eorca",
        "9" * 41 + "-x",
        "7-" + "x" * 300,
        "cHNidP8BAH0CAAAAAQ==",
    ],
)
def test_anything_else_is_no_code(typed: str) -> None:
    with pytest.raises(BadCodeError) as caught:
        normalise(typed)
    assert caught.value.exit_code == 6
    assert "7-guitarist-revenge-orca" in (caught.value.hint or "")


@given(st.text(max_size=60))
def test_whatever_is_typed_is_a_code_or_refused(typed: str) -> None:
    try:
        code = normalise(typed)
    except BadCodeError:
        return
    assert code.isascii()
    assert " " not in code
    assert normalise(code) == code


def test_words_that_nobody_relays_are_pointed_out() -> None:
    assert misspelt("7-guitarist-revenge-orca") == []
    assert misspelt("7-guitarrist-revenge-orca") == [("guitarrist", "guitarist")]
    assert misspelt("7-zzzzzz") == [("zzzzzz", None)]


def test_verifier_words_are_the_pgp_word_list() -> None:
    # The example that the list was published with.
    fingerprint = bytes.fromhex("E58294F2E9A227486E8B061B31CC528FD7FA3F19")
    words = "topmost istanbul pluto vagabond treadmill pacific brackish dictator goldfish medusa"
    assert verifier_words(fingerprint) == tuple(words.split())


def test_verifier_words_show_eighty_bits() -> None:
    words = verifier_words(bytes(range(32)))
    for bit in range(80):
        flipped = bytearray(range(32))
        flipped[bit // 8] ^= 1 << bit % 8
        assert verifier_words(bytes(flipped)) != words
