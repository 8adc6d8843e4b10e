"""What closes the constructors of `Verified` and `Contribution`.

Only `verify`, `contribution` and `combiner` import this (a test holds it): a value of those types cannot come from
anywhere but a check.
"""

from __future__ import annotations

from typing import Final, final


@final
class Seal:
    """One instance, below."""

    __slots__ = ()


SEAL: Final = Seal()


def demand(seal: Seal, what: str) -> None:
    """Refuse a constructor call without the seal.

    Raises:
        TypeError: It is not the seal; a bug of the caller, never of its input.
    """
    if seal is not SEAL:
        raise TypeError(f"only checking makes a {what}")
