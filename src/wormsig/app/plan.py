"""From options to the plan of a ceremony: who is sent a code, and how many signatures are needed."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from wormsig.ceremony.messages import MAX_COSIGNERS
from wormsig.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet

_DURATION = re.compile(r"(?P<number>[0-9]{1,7})(?P<unit>[smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_NAME = 40

NEAR = 0.75
"""How alike two names are that may be meant for each other."""


def duration(text: str | None) -> float | None:
    """Read `--timeout`: `90`, `90s`, `10m`, `2h`, `3d`.

    Returns:
        Seconds; None for None.

    Raises:
        UsageError: Not a duration, or zero.
    """
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None or int(match["number"]) == 0:
        raise UsageError(f"{text!r} is not a duration", hint="for example 90s, 10m, 2h, 3d")
    return float(int(match["number"]) * _UNITS[match["unit"]])


def cosigner_names(
    wallet: Wallet | None, to: Sequence[str], count: int | None, own: frozenset[bytes] | None
) -> tuple[str, ...]:
    """Our names for those who are sent a code.

    Args:
        wallet: The agreed wallet.
        to: `--to`.
        count: `--cosigners`.
        own: Fingerprints of the keys that our own signer holds.

    Raises:
        UsageError: Both or neither were given where one is needed; a name twice, or nearly one of the wallet's; too
            many.
    """
    if to and count is not None:
        raise UsageError("--to and --cosigners exclude each other")
    if to:
        names = tuple(to)
        _check_known(names, wallet)
    elif count is not None:
        names = tuple(f"cosigner {number}" for number in range(1, count + 1))
    elif wallet is not None:
        others = [key for key in wallet.keys if own is None or key.fingerprint not in own]
        names = tuple(key.name or key.fingerprint.hex() for key in others)
    else:
        raise UsageError("nobody to send to", hint="use --to NAME for each cosigner, --cosigners N, or --wallet")
    if len(set(names)) != len(names):
        raise UsageError("a cosigner is named twice", hint="each --to needs a name of its own")
    if not 1 <= len(names) <= MAX_COSIGNERS:
        raise UsageError(f"{len(names)} cosigners; a ceremony has 1 to {MAX_COSIGNERS}")
    for name in names:
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise UsageError(f"{name!r} cannot be a cosigner's name", hint=f"1 to {MAX_NAME} printable characters")
    return names


def _check_known(names: Sequence[str], wallet: Wallet | None) -> None:
    """Refuse a name that is nearly one of the wallet's: it is a slip of the pen.

    Raises:
        UsageError: One of them.
    """
    known = [key.name for key in wallet.keys if key.name] if wallet is not None else []
    folded = {name.casefold(): name for name in known}
    for name in names:
        near = _near(name.casefold(), folded) if name not in known else []
        if near:
            raise UsageError(
                f"the wallet has nobody called {name!r}; did you mean {folded[near[0]]}?",
                hint=f"it has {', '.join(known)}",
            )


def _near(name: str, known: Iterable[str]) -> list[str]:
    """The one that may be meant: alike as a whole, or with two letters swapped, which in a short name is much of it."""
    known = tuple(known)
    swapped = {name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)}
    return [each for each in known if each in swapped][:1] or difflib.get_close_matches(name, known, n=1, cutoff=NEAR)


def threshold(wallet: Wallet | None, report: Report) -> int:
    """Signatures that every input needs: the wallet's, else what the inputs' own scripts say.

    Raises:
        UsageError: The inputs' scripts say nothing.
    """
    if wallet is not None:
        return wallet.threshold
    known = [view.threshold for view in report.inputs if view.threshold is not None]
    if not known:
        raise UsageError("how many signatures are needed cannot be seen", hint="use --wallet")
    return max(known)
