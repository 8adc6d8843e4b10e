"""What the two machines' events share: how they are kept, and how an impossible one is refused.

What an event means stands in the machines' own files; where events are kept, in `journal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DAMAGED = "it is damaged, or was written by a newer version; wallets, keys and PSBT files are untouched"
"""Hint for a journal that cannot be replayed."""


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Something that happened, in the past tense. Kept for ever; a field may be added with a default, never renamed.

    Texts are made encodable at once: a lone surrogate (from a node's JSON, or typed on a terminal) becomes `?`, so
    that the state before the journal is the state after it.
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str):
                clean: object = _encodable(value)
            elif isinstance(value, tuple) and value and isinstance(value[0], str):
                clean = tuple(_encodable(text) for text in value)
            else:
                continue
            if clean != value:
                msgspec.structs.force_setattr(self, name, clean)


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class HeldSignature(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A partial signature that verified on our own copy.

    Attributes:
        input: The input's index.
        pubkey: What it stands under (`psbt.sigkeys`): a public key of 33 or 65 bytes, or for taproot the output key, or
            an x-only key and the hash of a leaf.
        signature: As its field has it: strict DER and the sighash type's byte, or for taproot 64 or 65 bytes.
    """

    input: int
    pubkey: bytes
    signature: bytes


class HeldPreimage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A hash preimage that the proven script of an input asks for. Signing reveals it; it is no secret of ours.

    Attributes:
        input: The input's index.
        key: The whole key of its PSBT field.
        preimage: What hashes to the digest in the key.
    """

    input: int
    key: bytes
    preimage: bytes


S = TypeVar("S")


def step(table: Mapping[tuple[S, type[Event]], S], state: S, event: Event, what: str) -> S:
    """The state after an event, from a machine's table.

    Args:
        table: (state, event type) -> state.
        state: The state before.
        event: What happened.
        what: The machine's name, for the message.

    Returns:
        The state after it.

    Raises:
        StorageError: The table has no such step: the journal is damaged, or from a newer version.
    """
    try:
        return table[state, type(event)]
    except KeyError:
        raise impossible(event, f"the {what} was {state}") from None


def impossible(event: Event, why: str) -> StorageError:
    """The error of an event that cannot have happened.

    Args:
        event: The event.
        why: What stands against it.

    Returns:
        The error, to be raised.
    """
    return StorageError(f"the journal has {type(event).__name__}, but {why}", hint=DAMAGED)


def encode_event(event: Event) -> tuple[str, bytes]:
    """Write an event as the journal keeps it.

    Args:
        event: An event of either machine.

    Returns:
        Its type, and its JSON body (which repeats the type).
    """
    return str(type(event).__struct_config__.tag), msgspec.json.encode(event)


def decode_event(body: bytes, union: Any) -> Any:  # noqa: ANN401  the machine's own union goes in and comes out
    """Read an event back.

    Args:
        body: What `encode_event` gave.
        union: The machine's union of event types.

    Returns:
        The event, of one of the union's types.

    Raises:
        StorageError: Not an event of this machine.
    """
    try:
        return msgspec.json.decode(body, type=union)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StorageError("the journal holds an event that this version cannot read", hint=DAMAGED) from error
