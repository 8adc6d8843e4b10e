from __future__ import annotations

import hashlib

import pytest

from wormsig.bitcoin import points, secp

G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
G_UNCOMPRESSED = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
NO_KEYS = [b"", G[:32], G + b"\x00", b"\x06" + G_UNCOMPRESSED[1:], b"\x02" + (5).to_bytes(32, "big"), b"\x05" + G[1:]]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "_remembered", {})


def keys(count: int) -> list[bytes]:
    return [secp.pubkey_of(hashlib.sha256(number.to_bytes(4, "big")).digest()) for number in range(count)]


@pytest.mark.parametrize("learned", [False, True])
def test_keys_are_told_from_what_is_none(learned: bool) -> None:
    if learned:
        points.learn([G, G_UNCOMPRESSED, *NO_KEYS])
    for _ in range(2):
        assert points.is_known_pubkey(G)
        assert points.is_known_pubkey(G_UNCOMPRESSED)
        assert len(points.point_of(G)) == 64
        assert points.point_of(G) == points.point_of(G_UNCOMPRESSED)
        for wrong in NO_KEYS:
            assert not points.is_known_pubkey(wrong)
            assert points.point_of(wrong) == b""


def test_learned_keys_are_those_read_one_by_one() -> None:
    many = keys(400)  # enough for several threads
    off_curve = [bytes((2,)) + (5).to_bytes(32, "big")] * 3
    points.learn([*many, *off_curve, *many])
    learned = dict(points._remembered)
    points._remembered.clear()
    assert learned == {key: points.point_of(key) for key in [*many, off_curve[0]]}


def test_no_more_is_remembered_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "MOST_REMEMBERED", 20)
    many = keys(60)
    points.learn(many)
    assert len(points._remembered) == 10
    for key in many:
        assert points.is_known_pubkey(key)
        assert len(points._remembered) <= 20
    points.learn(many)
    assert len(points._remembered) <= 20
    assert all(map(points.is_known_pubkey, many))
