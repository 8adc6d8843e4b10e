"""Messages as bytes: canonical encoding, padding, digests, and objects in chunks. Pure; used by `transport`.

The canonical encoding is JSON in UTF-8 with sorted keys, no white space, every field present, `null` for nothing, and
only the escapes that JSON asks for. Only canonical bytes are accepted: a message is decoded, encoded again and
compared. That refuses what a JSON parser would let through (msgspec takes the last of duplicate keys), so that two
machines can never read different things out of one message, and that a digest names one message only.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from wormsig.ceremony.messages import CHUNK_BYTES, MAX_OBJECT, Chunk, Message, ObjectRef
from wormsig.errors import InputError, PeerError
from wormsig.psbt.limits import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.ceremony.messages import Letter

# Lengths that a message has on the wire: coarse where most PSBTs are, then four to the octave, so that padding costs a
# quarter at most. The last one holds a chunk of 256 KiB in base64 (349,528) with its frame.
BUCKETS = (
    512, 2048, 8192, 16384, 24576, 32768,
    40960, 49152, 57344, 65536, 81920, 98304, 114688, 131072, 163840, 196608, 229376, 262144, 311296, 360448,
)  # fmt: skip
MAX_PADDED = BUCKETS[-1]

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def canonical(message: Message) -> bytes:
    """A message's one encoding, without padding."""
    return _ENCODER.encode(message)


def encode(message: Message) -> bytes:
    """A message as it goes into the encrypted mailbox: canonical JSON, padded with spaces to a bucket.

    Raises:
        InputError: The message does not pass its own type's checks, or is longer than a peer would accept.
    """
    try:
        plain = canonical(message)
        _DECODER.decode(plain)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise InputError(f"a {_name(message)} message cannot be sent: {error}") from error
    if len(plain) > MAX_MESSAGE and not isinstance(message, Chunk):
        raise InputError(f"a {_name(message)} message of {len(plain)} bytes cannot be sent")
    return pad(plain)


def decode(data: bytes) -> Message:
    """Read a message that a peer sent.

    Args:
        data: Canonical JSON and any number of spaces after it.

    Raises:
        PeerError: Too long, not of protocol 1, or not canonical. Nothing else is ever raised.
    """
    if len(data) > MAX_PADDED:
        raise PeerError(f"the other side sent a message of {len(data)} bytes, the limit is {MAX_PADDED}")
    plain = data.rstrip(b" ")
    try:
        message = _DECODER.decode(plain)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # The parser's words name fields of ours and places, never the peer's values.
        raise PeerError(f"the other side sent a malformed message: {error}") from None
    if canonical(message) != plain:
        raise PeerError(f"the other side sent a {_name(message)} message that is not in canonical form")
    if len(plain) > MAX_MESSAGE and not isinstance(message, Chunk):
        raise PeerError(f"the other side sent a {_name(message)} message of {len(plain)} bytes")
    return message


def digest(letter: Letter) -> str:
    """SHA-256 of a letter's canonical encoding, lower-case hex: what `Ack.of` names."""
    return hashlib.sha256(canonical(letter)).hexdigest()


def pad(plain: bytes) -> bytes:
    """Fill up with spaces to the next bucket, so that the relay learns a size class and no size."""
    bucket = next((size for size in BUCKETS if size >= len(plain)), len(plain))
    return plain.ljust(bucket)


def reference(data: bytes) -> ObjectRef:
    """What a letter says about the object that follows it.

    Args:
        data: The object, 1 byte to 8 MiB.

    Raises:
        InputError: Empty or too big for a peer.
    """
    if not 1 <= len(data) <= MAX_OBJECT:
        raise InputError(
            f"{len(data)} bytes cannot be sent, the limit is {MAX_OBJECT}",
            hint="hand it over as a file: `wormsig sign` and `wormsig combine` take bigger ones",
        )
    return ObjectRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def chunks(data: bytes) -> Iterator[Chunk]:
    """Cut an object into the messages that carry it, in order."""
    sha256 = hashlib.sha256(data).hexdigest()
    for seq, start in enumerate(range(0, len(data), CHUNK_BYTES)):
        yield Chunk(sha256=sha256, seq=seq, data=data[start : start + CHUNK_BYTES])


class Reassembler:
    """One object on its way in, from chunks in any order; repeated chunks do no harm.

    Memory is bounded by the announced size, which the letter's type bounds by 8 MiB.

    Args:
        ref: What the letter announced.
    """

    __slots__ = ("_count", "_parts", "ref")

    def __init__(self, ref: ObjectRef) -> None:
        self.ref = ref
        self._count = -(-ref.size // CHUNK_BYTES)
        self._parts: dict[int, bytes] = {}

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return sum(map(len, self._parts.values()))

    def feed(self, chunk: Chunk) -> bytes | None:
        """Take a chunk.

        Returns:
            The object when it is complete and its hash is right, else None.

        Raises:
            PeerError: Of another object, out of range, of a wrong length, different from what came before, or
                the whole has another hash than announced.
        """
        if chunk.sha256 != self.ref.sha256:
            raise PeerError("the other side sent a piece of an object that it did not announce")
        if chunk.seq >= self._count:
            raise PeerError(f"the other side sent piece {chunk.seq} of an object of {self._count} pieces")
        expected = min(CHUNK_BYTES, self.ref.size - chunk.seq * CHUNK_BYTES)
        if len(chunk.data) != expected:
            raise PeerError(f"the other side sent a piece of {len(chunk.data)} bytes instead of {expected}")
        if self._parts.setdefault(chunk.seq, chunk.data) != chunk.data:
            raise PeerError("the other side sent one piece twice with different content")
        if len(self._parts) < self._count:
            return None
        whole = b"".join(self._parts[seq] for seq in range(self._count))
        if hashlib.sha256(whole).hexdigest() != self.ref.sha256:
            raise PeerError("the other side sent an object with another hash than announced")
        return whole


def _name(message: Message) -> str:
    return str(type(message).__struct_config__.tag)
