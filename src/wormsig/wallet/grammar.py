"""The shape of a descriptor, read without any library: functions and arguments, key expressions, multisig as a whole.

Text in, text out: nothing here decodes a key, so that the canonical form in the registry can be read at every
start. What the pieces mean, and whether they may stand there, is decided in `descriptor` and `reading`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from wormsig.wallet.model import ScriptKind

_SHAPE = re.compile(r"(sh\(wsh|wsh|sh)\((sortedmulti|multi)\(([^()]*)\)(\)\)?)", re.ASCII)
_KEY = re.compile(r"(?:\[([0-9a-fA-F]{8})((?:/[0-9]{1,10}[h']?)*)\])?([0-9A-Za-z]+)((?:/.*)?)", re.ASCII)
_CALL = re.compile(r"([a-z_0-9]+)\((.*)\)", re.ASCII)
_MUSIG = re.compile(r"musig\(([^()]*)\)((?:/.*)?)", re.ASCII)
_NESTING: Final = {"(": 1, "{": 1, "[": 1, "<": 1, ")": -1, "}": -1, "]": -1, ">": -1}
_HARDENED_MARK = re.compile(r"(?<=[0-9])[h'](?=[/\]])", re.ASCII)
_WRAPPERS: Final[dict[str, tuple[ScriptKind, str]]] = {
    "wsh": ("wsh", ")"),
    "sh": ("sh", ")"),
    "sh(wsh": ("sh-wsh", "))"),
}


class KeyText(msgspec.Struct, frozen=True):
    """One key expression, still text.

    Attributes:
        fingerprint: Eight hex digits, or None when there is no key origin.
        path: The origin's steps without the leading slash, e.g. `48h/0h/0h/2h`.
        key: The extended key, or whatever stands in its place.
        steps: What follows the key, with its leading slash.
    """

    fingerprint: str | None
    path: str
    key: str
    steps: str


class MultisigText(msgspec.Struct, frozen=True):
    """A multisig descriptor in pieces, still text; `keys` are the comma-separated expressions."""

    script_type: ScriptKind
    sorted: bool
    threshold: str
    keys: tuple[str, ...]


def split_checksum(text: str) -> tuple[str, str | None]:
    """A descriptor's body and what follows its `#`, or None without one."""
    body, mark, checksum = text.partition("#")
    return body, checksum if mark else None


def split_multisig(body: str) -> MultisigText | None:
    """Take a descriptor without checksum apart; None when it is not one of the three multisig shapes."""
    match = _SHAPE.fullmatch(body)
    if match is None:
        return None
    wrapper, function, arguments, closing = match.groups()
    script_type, wanted = _WRAPPERS[wrapper]
    if closing != wanted:
        return None
    threshold, *keys = arguments.split(",")
    return MultisigText(script_type, function == "sortedmulti", threshold, tuple(keys))


def split_key(expression: str) -> KeyText | None:
    """Take one key expression apart; None when it has no such shape."""
    match = _KEY.fullmatch(expression)
    if match is None:
        return None
    fingerprint, path, key, steps = match.groups()
    return KeyText(fingerprint, (path or "").removeprefix("/"), key, steps)


def split_musig(expression: str) -> tuple[tuple[str, ...], str] | None:
    """Participants and the steps behind them of `musig(KEY,KEY)/<0;1>/*` (BIP390); None when it has no such shape."""
    match = _MUSIG.fullmatch(expression)
    return None if match is None else (tuple(match[1].split(",")), match[2])


def split_call(expression: str) -> tuple[str, list[str]] | None:
    """A function's name and its arguments, split at the commas that stand outside all brackets.

    Returns:
        None when it is no `name(...)` with brackets that match.
    """
    match = _CALL.fullmatch(expression)
    arguments = None if match is None else split_arguments(match[2])
    return None if match is None or arguments is None else (match[1], arguments)


def split_arguments(text: str) -> list[str] | None:
    """What stands between the commas outside all brackets; None when a bracket has no partner."""
    found = []
    depth = start = 0
    for at, character in enumerate(text):
        depth += _NESTING.get(character, 0)
        if depth < 0:
            return None
        if character == "," and depth == 0:
            found.append(text[start:at])
            start = at + 1
    found.append(text[start:])
    return found if depth == 0 else None


def plain_markers(body: str) -> str:
    """A descriptor's body with `h` for every hardened step of its key origins."""
    return _HARDENED_MARK.sub("h", body)


def quoted_markers(body: str) -> str:
    """A descriptor's body with `'` for every hardened step of its key origins."""
    return _HARDENED_MARK.sub("'", body)
