"""`replace` for frozen values of either kind."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec

Value = TypeVar("Value")


def replace(value: Value, **changes: Any) -> Value:
    """A copy with some fields changed, of a dataclass or a msgspec struct."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    copy: Value = dataclasses.replace(value, **changes)  # type: ignore[type-var]  # noqa: TID251  either kind is taken
    return copy
