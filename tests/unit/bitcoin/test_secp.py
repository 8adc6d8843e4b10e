from __future__ import annotations

import hashlib
import threading

import pytest
from bitcointx.core.key import CKey, CPubKey

from wormsig.bitcoin import secp
from wormsig.bitcoin.der import HALF_ORDER, ORDER
from wormsig.errors import InputError

ONE = (1).to_bytes(32, "big")
G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
G_UNCOMPRESSED = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
OUT_OF_RANGE = [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, bytes(31), bytes(33), b""]


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def der(r: int, s: int) -> bytes:
    def integer(value: int) -> bytes:
        body = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes((len(body),)) + body

    body = integer(r) + integer(s)
    return b"\x30" + bytes((len(body),)) + body


def numbers(signature: bytes) -> tuple[int, int]:
    length = signature[3]
    return int.from_bytes(signature[4 : 4 + length], "big"), int.from_bytes(signature[6 + length :], "big")


def test_public_keys() -> None:
    assert secp.pubkey_of(ONE) == G
    assert secp.is_pubkey(G)
    assert secp.is_pubkey(G_UNCOMPRESSED)
    hybrid = b"\x06" + G_UNCOMPRESSED[1:]
    off_curve = b"\x02" + (5).to_bytes(32, "big")
    for wrong in (b"", G[:32], G + b"\x00", hybrid, off_curve, G_UNCOMPRESSED[:-1] + b"\x00", b"\x05" + G[1:]):
        assert not secp.is_pubkey(wrong)


@pytest.mark.parametrize("seckey", OUT_OF_RANGE)
def test_secret_keys_out_of_range(seckey: bytes) -> None:
    assert not secp.is_seckey(seckey)
    with pytest.raises(InputError) as caught:
        secp.pubkey_of(seckey)
    assert seckey.hex() == "" or seckey.hex() not in str(caught.value)
    with pytest.raises(InputError):
        secp.ecdsa_sign(seckey, digest(1))


def test_signatures_verify_and_have_a_low_r() -> None:
    for number in range(1, 60):
        seckey = digest(number + 1000)
        signature = secp.ecdsa_sign(seckey, digest(number))
        assert secp.ecdsa_form(signature) is None
        assert len(signature) <= 70
        assert numbers(signature)[0] < 1 << 255
        assert secp.ecdsa_verify(secp.pubkey_of(seckey), digest(number), signature)
        assert not secp.ecdsa_verify(secp.pubkey_of(seckey), digest(number + 1), signature)
        assert not secp.ecdsa_verify(G, digest(number), signature)


def test_signing_is_deterministic_and_wants_32_bytes() -> None:
    assert secp.ecdsa_sign(ONE, digest(1)) == secp.ecdsa_sign(ONE, digest(1))
    for wrong in (b"", digest(1)[:31], digest(1) + b"\x00"):
        with pytest.raises(InputError):
            secp.ecdsa_sign(ONE, wrong)
        assert not secp.ecdsa_verify(G, wrong, secp.ecdsa_sign(ONE, digest(1)))


def test_core_grinds_the_same_way() -> None:
    """bitcointx's own port of Core's loop, over the same library."""
    secp.equip_bitcointx()
    for number in range(20):
        assert CKey(ONE).sign(digest(number)) == secp.ecdsa_sign(ONE, digest(number))


def test_high_s_is_refused_though_the_curve_equation_holds() -> None:
    secp.equip_bitcointx()
    r, s = numbers(secp.ecdsa_sign(ONE, digest(1)))
    high = der(r, ORDER - s)
    assert CPubKey(G).verify(digest(1), high)
    assert not secp.ecdsa_verify(G, digest(1), high)
    assert secp.ecdsa_form(high) == "high S"


def test_form() -> None:
    good = secp.ecdsa_sign(ONE, digest(1))
    r, s = numbers(good)
    assert der(r, s) == good
    body = good[2:]
    padded = b"\x02" + bytes((good[3] + 1,)) + b"\x00" + good[4:]
    wrong = {
        b"": "not strict DER",
        good[:-1]: "not strict DER",
        good + b"\x01": "not strict DER",
        b"\x31" + good[1:]: "not strict DER",
        b"\x30\x81" + good[1:]: "not strict DER",
        b"\x30" + bytes((len(body) + 1,)) + body: "not strict DER",
        b"\x30" + bytes((len(padded),)) + padded: "not strict DER",
        bytes.fromhex("3006020100020101"): "out of range",
        bytes.fromhex("3006020181020101"): "not strict DER",  # negative
        bytes.fromhex("300602010102017f")[:-3] + b"\x02\x00\x7f": "not strict DER",
        der(ORDER, s): "out of range",
        der(r, ORDER): "out of range",
        der(r, HALF_ORDER + 1): "high S",
    }
    for signature, form in wrong.items():
        assert secp.ecdsa_form(signature) == form, signature.hex()
        assert not secp.ecdsa_verify(G, digest(1), signature)
    assert secp.ecdsa_form(der(r, HALF_ORDER)) is None


def test_uncompressed_keys_verify() -> None:
    assert secp.ecdsa_verify(G_UNCOMPRESSED, digest(1), secp.ecdsa_sign(ONE, digest(1)))


@pytest.mark.parametrize("count", [0, 1, 47, 48, 101])
def test_batches_answer_in_order(count: int) -> None:
    items = []
    for number in range(count):
        signature = secp.ecdsa_sign(ONE, digest(number))
        items.append((G, digest(number + (number % 7 == 3)), signature))
    assert secp.verify_batch(items) == [number % 7 != 3 for number in range(count)]


def test_batches_refuse_garbage_without_raising() -> None:
    items = [(b"", b"", b""), (G, digest(1), b"\xff" * 100), (bytes(33), digest(1), b"\x30")] * 20
    assert secp.verify_batch(items) == [False] * 60


def sign_batch(items: list[tuple[bytes, bytes, bytes]]) -> list[bytes | None]:
    return secp.sign_batch(len(items), lambda first, last: items[first:last])


@pytest.mark.parametrize("count", [0, 1, 9, 10, 101])
def test_many_signatures_are_those_made_one_by_one(count: int) -> None:
    items = [(digest(number), secp.pubkey_of(digest(number)), digest(number + 500)) for number in range(count)]
    assert sign_batch(items) == [secp.ecdsa_sign(seckey, message) for seckey, _, message in items]


def test_signatures_under_another_public_key_are_not_handed_out() -> None:
    good = (ONE, G, digest(1))
    uncompressed = (ONE, G_UNCOMPRESSED, digest(1))
    wrong = [
        (digest(7), G, digest(1)),
        (ONE, b"\x03" + G[1:], digest(1)),
        (ONE, b"", digest(1)),
        (ONE, b"\x02" * 33, ONE),
    ]
    signature = secp.ecdsa_sign(ONE, digest(1))
    assert sign_batch([good, *wrong, uncompressed] * 5) == [signature, None, None, None, None, signature] * 5


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("wrong", [(bytes(32), G, digest(1)), (ONE[:31], G, digest(1)), (ONE, G, b"")])
def test_many_signatures_refuse_what_one_refuses(count: int, wrong: tuple[bytes, bytes, bytes]) -> None:
    with pytest.raises(InputError) as caught:
        sign_batch([(ONE, G, digest(1))] * count + [wrong])
    assert ONE[:31].hex() not in str(caught.value)


def test_tweaks_agree_between_public_and_private() -> None:
    for number in range(1, 10):
        seckey, tweak = digest(number), digest(number + 100)
        child = secp.seckey_tweak_add(seckey, tweak)
        assert child is not None
        assert secp.pubkey_tweak_add(secp.pubkey_of(seckey), tweak) == secp.pubkey_of(child)


def test_tweaks_at_the_edges() -> None:
    minus_two = (ORDER - 2).to_bytes(32, "big")
    negative = b"\x03" + G[1:]
    assert secp.pubkey_tweak_add(G, bytes(32)) == G
    assert secp.seckey_tweak_add(ONE, bytes(32)) == ONE
    assert secp.pubkey_tweak_add(G, ONE) == secp.pubkey_of((2).to_bytes(32, "big"))  # the sum is a doubling
    assert secp.pubkey_tweak_add(G, minus_two) == negative
    assert secp.pubkey_tweak_add(negative, (2).to_bytes(32, "big")) == G
    assert secp.pubkey_tweak_add(negative, ONE) is None
    assert secp.pubkey_tweak_add(G, ORDER.to_bytes(32, "big")) is None


def test_impossible_tweaks() -> None:
    minus_one = (ORDER - 1).to_bytes(32, "big")
    assert secp.seckey_tweak_add(ONE, minus_one) is None
    assert secp.pubkey_tweak_add(G, minus_one) is None
    for tweak in (b"\xff" * 32, bytes(31), bytes(33)):
        assert secp.pubkey_tweak_add(G, tweak) is None
        assert secp.seckey_tweak_add(ONE, tweak) is None
    assert secp.pubkey_tweak_add(b"\x02" + (5).to_bytes(32, "big"), ONE) is None
    assert secp.pubkey_tweak_add(b"", ONE) is None
    assert secp.seckey_tweak_add(b"", ONE) is None


def test_many_threads_get_their_own_answers() -> None:
    expected = {number: secp.ecdsa_sign(ONE, digest(number)) for number in range(40)}
    failures: list[int] = []

    def work() -> None:
        for number, signature in expected.items():
            if secp.ecdsa_sign(ONE, digest(number)) != signature or not secp.ecdsa_verify(G, digest(number), signature):
                failures.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
