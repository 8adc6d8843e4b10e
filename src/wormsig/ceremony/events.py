"""What the two machines' events share: how they are kept, and how an impossible one is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Something that happened, in the past tense. Kept for ever; a field may be added with a default, never renamed."""


class HeldSignature(msgspec.Struct, frozen=True, array_like=True):
    """A partial signature that verified on our own copy.

    Attributes:
        input: The input's index.
        pubkey: 33 or 65 bytes.
        signature: Strict DER and the sighash type's byte.
    """

    input: int
    pubkey: bytes
    signature: bytes


S = TypeVar("S")


def step(table: Mapping[tuple[S, type[Event]], S], state: S, event: Event, what: str) -> S:
    """The state after an event, from a machine's table.

    Args:
        table: (state, event type) -> state.
        state: The state before.
        event: What happened.
        what: The machine's name, for the message.

    Raises:
        StorageError: The table has no such step: the journal is damaged, or from a newer version.
    """
    try:
        return table[state, type(event)]
    except KeyError:
        raise StorageError(
            f"the journal has {type(event).__name__} where the {what} was {state}",
            hint="the journal is damaged or was written by a newer version; the PSBT files are untouched",
        ) from None


def encode_event(event: Event) -> tuple[str, bytes]:
    """An event's type and its JSON body, as the journal keeps it."""
    return str(type(event).__struct_config__.tag), msgspec.json.encode(event)


def decode_event(body: bytes, union: Any) -> Any:  # noqa: ANN401  the machine's own union goes in and comes out
    """Read an event back.

    Args:
        body: What `encode_event` gave.
        union: The machine's union of event types.

    Raises:
        StorageError: Not an event of this machine.
    """
    try:
        return msgspec.json.decode(body, type=union)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StorageError(
            "the journal holds an event that this version cannot read",
            hint="it is damaged or was written by a newer version",
        ) from error
