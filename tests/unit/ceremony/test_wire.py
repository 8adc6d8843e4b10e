from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.ceremony import messages as m
from wormsig.ceremony import wire
from wormsig.errors import InputError, PeerError

CEREMONY = "00" * 16
MIB = 1024 * 1024

texts = st.text(max_size=40) | st.just("\u2028\x7f\x80\U0010ffff" * 100)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
letters: st.SearchStrategy[Any] = st.one_of(
    st.builds(m.Decline, ceremony=st.just(CEREMONY), reason=texts),
    st.builds(
        m.Proposal,
        ceremony=st.just(CEREMONY),
        network=st.sampled_from(["mainnet", "regtest"]),
        wallet=st.none() | hashes,
        threshold=st.integers(1, 7),
        total=st.integers(7, 20),
        psbt=st.builds(m.ObjectRef, sha256=hashes, size=st.integers(1, 8 * MIB)),
        unsigned_txid=hashes,
        sent_at=st.none() | st.integers(0, 2**53 - 1),
        note=texts,
    ),
    st.builds(m.Chunk, sha256=hashes, seq=st.integers(0, 31), data=st.binary(min_size=1, max_size=300)),
)


def second_implementation(message: Any) -> bytes:
    """What docs/wire-format.md says, with nothing but the standard library."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if hasattr(value, "__struct_fields__"):
            tag = value.__struct_config__.tag
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__} | (
                {"type": tag} if tag else {}
            )
        return value

    return json.dumps(plain(message), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@settings(max_examples=examples(25))
@given(letters)
def test_encoding_is_what_the_document_says(message: Any) -> None:
    assert wire.canonical(message) == second_implementation(message)
    assert wire.decode(wire.encode(message)) == message


@settings(max_examples=examples(25))
@given(letters)
def test_digest_is_the_hash_of_the_unpadded_encoding(letter: Any) -> None:
    assert wire.digest(letter) == hashlib.sha256(wire.encode(letter).rstrip(b" ")).hexdigest()


def test_bytes_of_a_letter_are_pinned() -> None:
    # A second implementation relies on these very bytes; a change here is a new protocol number.
    letter = m.Decline(ceremony="7f3a19" + "0" * 26, reason='no "thanks"\n— é')
    assert wire.canonical(letter) == (
        b'{"ceremony":"7f3a1900000000000000000000000000",'
        b'"reason":"no \\"thanks\\"\\n\xe2\x80\x94 \xc3\xa9","type":"decline"}'
    )
    assert wire.digest(letter) == "9d2c9b7b51e552180333bb11089084e3f5810daec666540f86b0c79ee24640f5"


@settings(max_examples=examples(40))
@given(st.binary(max_size=200) | texts.map(str.encode))
def test_garbage_is_a_peers_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(PeerError):
        wire.decode(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(40))
@given(letters, st.data())
def test_damaged_messages_are_a_peers_error_or_another_valid_message(message: Any, data: st.DataObject) -> None:
    fields = json.loads(wire.canonical(message))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(json_values)
    damaged = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    try:
        decoded = wire.decode(damaged)
    except PeerError:
        return
    assert wire.canonical(decoded) == damaged


@settings(max_examples=examples(40))
@given(letters, st.data())
def test_a_flipped_byte_never_escapes(message: Any, data: st.DataObject) -> None:
    raw = bytearray(wire.encode(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        wire.decode(bytes(raw))


@pytest.mark.parametrize(
    "data",
    [
        b'{"of":"' + b"11" * 32 + b'","of":"' + b"22" * 32 + b'","type":"ack"}',  # msgspec takes the last
        b'{"type":"ping", "type":"ping"}',
        b'{"type":"bye","reason":""}',  # unsorted
        b'{"reason": "","type":"bye"}',  # white space
        b'{"reason":"\\u0041","type":"bye"}',  # an escape nobody needs
        b' {"type":"ping"}',
        b'{"type":"ping"}\n',
        b'{"type":"ping"} x',
        b'{"type":"ping"}{"type":"ping"}',
        b'{"data":"QQ=","seq":0,"sha256":"' + b"11" * 32 + b'","type":"chunk"}',
        b'{"data":"QR==","seq":0,"sha256":"' + b"11" * 32 + b'","type":"chunk"}',  # bits that nobody reads
        b'\xef\xbb\xbf{"type":"ping"}',
        b'{"reason":"\\ud800","type":"bye"}',
        b'{"reason":"\xed\xa0\x80","type":"bye"}',
        b"[" * 100_000,
        b"",
        b"   ",
        b"null",
    ],
)
def test_only_the_canonical_form_is_read(data: bytes) -> None:
    with pytest.raises(PeerError):
        wire.decode(data)


def test_messages_have_a_size_limit_before_they_are_parsed() -> None:
    assert wire.decode(b'{"type":"ping"}' + b" " * (wire.MAX_PADDED - 15)) == m.Ping()
    with pytest.raises(PeerError, match="the limit is"):
        wire.decode(b'{"type":"ping"}' + b" " * (wire.MAX_PADDED - 14))


def test_only_the_size_class_shows() -> None:
    lengths = {len(wire.encode(m.Decline(ceremony=CEREMONY, reason="x" * n))) for n in range(0, 400, 7)}
    assert lengths == {512}
    assert len(wire.encode(m.Ping())) == len(wire.encode(m.Ack(of="0" * 64))) == 512
    biggest = max(len(wire.encode(chunk)) for chunk in wire.chunks(bytes(2 * m.CHUNK_BYTES)))
    assert biggest == wire.MAX_PADDED


@pytest.mark.parametrize("size", [1, 5, m.CHUNK_BYTES, m.CHUNK_BYTES + 1, 3 * m.CHUNK_BYTES, 8 * MIB])
def test_objects_go_through_in_any_order(size: int) -> None:
    seeded = random.Random(size)  # noqa: S311  test data that is the same every time
    data = seeded.randbytes(size)
    pieces = list(wire.chunks(data))
    seeded.shuffle(pieces)
    reassembler = wire.Reassembler(wire.reference(data))
    for piece in pieces[:-1]:
        assert reassembler.feed(piece) is None
        assert reassembler.feed(piece) is None
    assert reassembler.feed(pieces[-1]) == data
    assert reassembler.received == size


def test_wrong_pieces_are_refused() -> None:
    data = bytes(range(256)) * 1500  # 384,000 bytes, two pieces
    first, second = wire.chunks(data)
    other = next(wire.chunks(b"other"))

    def refused(*pieces: m.Chunk) -> str:
        reassembler = wire.Reassembler(wire.reference(data))
        for piece in pieces[:-1]:
            assert reassembler.feed(piece) is None
        with pytest.raises(PeerError) as caught:
            reassembler.feed(pieces[-1])
        assert reassembler.received <= len(data)
        return caught.value.message

    sha256 = first.sha256
    assert "did not announce" in refused(other)
    assert "piece 2 of an object of 2" in refused(m.Chunk(sha256=sha256, seq=2, data=b"x"))
    assert "instead of" in refused(m.Chunk(sha256=sha256, seq=0, data=first.data[:-1]))
    assert "instead of" in refused(first, m.Chunk(sha256=sha256, seq=1, data=first.data))
    assert "twice" in refused(first, m.Chunk(sha256=sha256, seq=0, data=first.data[::-1]))
    assert "another hash" in refused(first, m.Chunk(sha256=sha256, seq=1, data=second.data[::-1]))


@pytest.mark.parametrize("size", [0, 8 * MIB + 1])
def test_objects_that_no_peer_accepts_are_not_announced(size: int) -> None:
    with pytest.raises(InputError):
        wire.reference(bytes(size))
