"""Codes as people type them, and verifiers as people read them. Decides nothing about who is at the other end."""

from __future__ import annotations

import difflib
import re
import unicodedata

from wormhole._wordlist import byte_to_even_word, byte_to_odd_word

from wormsig.transport.errors import BadCodeError

VERIFIER_WORDS = 10
MAX_CODE = 200
_CODE = re.compile(r"(?P<nameplate>[0-9]{1,40})(?P<words>(?:-[a-z0-9]+)+)", re.ASCII)
_SEPARATORS = re.compile("[\\s_\\-\u2010-\u2015]+")  # and the dashes that word processors make
_WORDS = frozenset(word.lower() for table in (byte_to_even_word, byte_to_odd_word) for word in table.values())
_HINT = "a code looks like 7-guitarist-revenge-orca: a number and words, joined by hyphens"


def normalise(text: str) -> str:
    """A code as both sides have to write it, from what a person typed.

    Case does not matter, spaces and other dashes become hyphens, leading zeros of the number go.

    Args:
        text: What was typed or pasted.

    Raises:
        BadCodeError: Not a code. Nothing has been sent.
    """
    if len(text) > MAX_CODE:
        raise BadCodeError(f"a code has at most {MAX_CODE} characters", hint=_HINT)
    code = _SEPARATORS.sub("-", unicodedata.normalize("NFC", text).strip().lower()).strip("-")
    match = _CODE.fullmatch(code)
    if match is None:
        raise BadCodeError("this is not a wormsig code", hint=_HINT)
    return f"{match['nameplate'].lstrip('0') or '0'}{match['words']}"


def misspelt(code: str) -> list[tuple[str, str | None]]:
    """Words of a normalised code that no relayed code contains, each with the most similar word.

    A wrong word burns the code, so a prompt can ask before it is sent. Codes that somebody made up contain other
    words and are valid all the same.
    """
    return [
        (word, next(iter(difflib.get_close_matches(word, _WORDS, n=1)), None))
        for word in code.split("-")[1:]
        if word not in _WORDS
    ]


def verifier_words(verifier: bytes) -> tuple[str, ...]:
    """The first 80 bits of a verifier in the PGP word list: even bytes two syllables, odd bytes three.

    Fewer bits could be ground by somebody in the middle who tries keys until the words agree.
    """
    tables = (byte_to_even_word, byte_to_odd_word)
    return tuple(tables[i % 2][verifier[i : i + 1]].lower() for i in range(VERIFIER_WORDS))
