"""Which ceremony of this machine's journal a person means. What is then done with it stands in the use cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import UsageError
from wormsig.journal.store import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.app.home import Home
    from wormsig.journal.store import CeremonyRow

MIN_PREFIX = 4
"""Digits of an id that a person has to type."""

_COSIGNER = "-c"
"""The end of a cosigner's id: coordinator and cosigner of one ceremony may share a journal."""

_SHOWN = 12
"""Ceremonies that an ambiguous id may mean, and that are named."""


def cosigner_id(ceremony: str) -> str:
    """The id in the journal of a ceremony's side as cosigner."""
    return ceremony + _COSIGNER


def open_journal(home: Home) -> Journal:
    """The journal of this machine, for those who need a ceremony in it; none is made.

    Args:
        home: Where it is.

    Raises:
        UsageError: There is none.
        StorageError: It cannot be opened.
    """
    path = home.journal()
    if not path.exists():
        raise UsageError("there is no ceremony on this machine")
    return Journal(path)


def pick(rows: Sequence[CeremonyRow], ident: str | None) -> CeremonyRow:
    """The ceremony that a person means.

    Args:
        rows: All, newest first.
        ident: The beginning of its id, at least four digits, dashes left out; None for the latest. Where both roles run
            on one machine, a cosigner's id ends with `-c`.

    Returns:
        Its row.

    Raises:
        UsageError: None, or several; the message names them.
    """
    if ident is None:
        if not rows:
            raise UsageError("there is no ceremony on this machine")
        return rows[0]
    wanted = ident.strip().lower()
    exact = [row for row in rows if row.id == wanted]
    as_cosigner = wanted.endswith(_COSIGNER)
    digits = wanted.removesuffix(_COSIGNER).replace("-", "")
    if len(digits) < MIN_PREFIX:
        raise UsageError(f"{ident!r} is too short", hint=f"use at least {MIN_PREFIX} digits of the ceremony's id")
    found = exact or [row for row in rows if row.id.startswith(digits) and (not as_cosigner or row.role == "cosigner")]
    if not found:
        raise UsageError(f"there is no ceremony {ident!r} on this machine", hint="`wormsig status --all` lists them")
    if len(found) > 1:
        named = ", ".join(f"{row.id} ({row.role})" for row in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(f"{ident!r} may be any of {named}{more}", hint="use more digits, or the whole id")
    return found[0]


def choose(rows: Sequence[CeremonyRow], ident: str | None) -> CeremonyRow:
    """The ceremony that a person means to go on with, or to give up.

    Args:
        rows: All, newest first.
        ident: The beginning of its id; None for the only one that has something left to do.

    Raises:
        UsageError: None, or several.
    """
    if ident is not None:
        return pick(rows, ident)
    left = [row for row in rows if row.ended is None]
    if len(left) == 1:
        return left[0]
    if not left:
        raise UsageError(
            "no ceremony has anything left to do",
            hint="`wormsig status --all` lists those that are over; name one to tell whoever does not know",
        )
    named = ", ".join(row.id[:6] for row in left[:12])
    raise UsageError(
        f"{len(left)} ceremonies have something left to do: {named}", hint="say which: write its id behind the command"
    )
