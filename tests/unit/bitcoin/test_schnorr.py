from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from bitcointx import ChainParams
from bitcointx.core.key import XOnlyPubKey, tap_tweak_pubkey
from bitcointx.wallet import CCoinKey

from wormsig.bitcoin import secp
from wormsig.bitcoin.der import ORDER
from wormsig.bitcoin.schnorr import (
    NO_AUX,
    is_xonly,
    schnorr_sign,
    schnorr_verify,
    split_signature,
    taproot_tweak,
    taproot_tweak_pubkey,
    taproot_tweak_seckey,
    verify_mixed,
    xonly_of,
)
from wormsig.errors import InputError

DATA = Path(__file__).parent / "data"
BIP340: list[dict[str, Any]] = json.loads((DATA / "bip340.json").read_text())["cases"]
BIP341: dict[str, Any] = json.loads((DATA / "bip341.json").read_text())
ONE = (1).to_bytes(32, "big")
OFF_CURVE = (5).to_bytes(32, "big")
OUT_OF_RANGE = [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32]


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def raw(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


@pytest.mark.parametrize("case", BIP340, ids=range(len(BIP340)))
def test_bip340(case: dict[str, Any]) -> None:
    pubkey, message, signature = raw(case, "pubkey", "digest", "signature")
    assert schnorr_verify(pubkey, message, signature) is case["valid"]
    if "seckey" in case:
        seckey, aux = raw(case, "seckey", "aux")
        assert schnorr_sign(seckey, message, aux) == signature
        assert xonly_of(secp.pubkey_of(seckey))[0] == pubkey
    if "not on the curve" in case["what"] or "exceeds the field" in case["what"]:
        assert not is_xonly(pubkey)
    else:
        assert is_xonly(pubkey)


@pytest.mark.parametrize("case", BIP341["scriptPubKey"])
def test_bip341_output_keys(case: dict[str, Any]) -> None:
    (internal,) = raw(case["given"], "internalPubkey")
    tweak, output = raw(case["intermediary"], "tweak", "tweakedPubkey")
    root = raw(case["intermediary"], "merkleRoot")[0] if "merkleRoot" in case["intermediary"] else None
    assert taproot_tweak(internal, root) == tweak
    assert taproot_tweak_pubkey(internal, root)[0] == output


@pytest.mark.parametrize("case", BIP341["keyPathSpending"]["inputSpending"])
def test_bip341_tweaked_keys_and_signatures(case: dict[str, Any]) -> None:
    given, middle = case["given"], case["intermediary"]
    root = None if given["merkleRoot"] is None else bytes.fromhex(given["merkleRoot"])
    (seckey,) = raw(given, "internalPrivkey")
    internal, expected, message = raw(middle, "internalPubkey", "tweakedPrivkey", "sigHash")
    tweaked = taproot_tweak_seckey(seckey, root)
    assert tweaked == expected
    assert xonly_of(secp.pubkey_of(seckey))[0] == internal
    output_key, parity = taproot_tweak_pubkey(internal, root)
    assert secp.pubkey_of(tweaked) == bytes((2 + parity,)) + output_key
    split = split_signature(bytes.fromhex(case["expected"]["witness"][0]))
    assert split == (schnorr_sign(tweaked, message, NO_AUX), given["hashType"])


def test_second_opinion_on_signatures_and_tweaks() -> None:
    secp.equip_bitcointx()
    parities = set()
    for number in range(1, 25):
        seckey, root = digest(number), digest(number + 1000) if number % 3 else None
        internal, _ = xonly_of(secp.pubkey_of(seckey))
        with ChainParams("bitcoin"):  # a context variable, which pytest's own contexts do not inherit
            other = tap_tweak_pubkey(XOnlyPubKey(internal), merkle_root=root or b"")
            signature = CCoinKey.from_secret_bytes(seckey).sign_schnorr_tweaked(
                digest(number), merkle_root=root or b"", aux=digest(7)
            )
        assert other is not None
        key, parity = taproot_tweak_pubkey(internal, root)
        assert (key, parity) == (bytes(other[0]), int(other[1]))
        parities.add(parity)
        assert schnorr_sign(taproot_tweak_seckey(seckey, root), digest(number), digest(7)) == signature
        assert schnorr_verify(key, digest(number), signature)
    assert parities == {0, 1}


def test_auxiliary_bytes_change_the_signature_and_not_its_validity() -> None:
    pubkey, _ = xonly_of(secp.pubkey_of(ONE))
    made = {schnorr_sign(ONE, digest(1), aux) for aux in (NO_AUX, digest(2), digest(2), digest(3))}
    assert len(made) == 3
    assert all(schnorr_verify(pubkey, digest(1), signature) for signature in made)


def test_what_a_signature_is_bound_to() -> None:
    pubkey, _ = xonly_of(secp.pubkey_of(ONE))
    signature = schnorr_sign(ONE, digest(1), NO_AUX)
    assert not schnorr_verify(pubkey, digest(2), signature)
    assert not schnorr_verify(xonly_of(secp.pubkey_of(digest(4)))[0], digest(1), signature)
    for place in range(64):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert not schnorr_verify(pubkey, digest(1), bytes(changed))


def test_wrong_lengths_do_not_verify() -> None:
    pubkey, _ = xonly_of(secp.pubkey_of(ONE))
    signature = schnorr_sign(ONE, digest(1), NO_AUX)
    for wrong in (b"", pubkey[:31], b"\x02" + pubkey):
        assert not schnorr_verify(wrong, digest(1), signature)
        assert not is_xonly(wrong)
    for wrong in (b"", digest(1)[:31], digest(1) + b"\x00"):
        assert not schnorr_verify(pubkey, wrong, signature)
    for wrong in (b"", signature[:63], signature + b"\x00", signature + b"\x01"):
        assert not schnorr_verify(pubkey, digest(1), wrong)


@pytest.mark.parametrize("seckey", [*OUT_OF_RANGE, bytes(31), b"", bytes(33)])
def test_secret_keys_out_of_range(seckey: bytes) -> None:
    for attempt in (
        lambda: schnorr_sign(seckey, digest(1), NO_AUX),
        lambda: taproot_tweak_seckey(seckey, None),
    ):
        with pytest.raises(InputError) as caught:
            attempt()
        assert not seckey or seckey.hex() not in str(caught.value)
    assert secp.seckey_negate(seckey) is None


def test_signing_wants_32_bytes_of_everything() -> None:
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(InputError, match="32 bytes"):
            schnorr_sign(ONE, wrong, NO_AUX)
        with pytest.raises(InputError, match="32 bytes"):
            schnorr_sign(ONE, digest(1), wrong)


def test_negated_keys_have_the_other_parity() -> None:
    for number in range(1, 9):
        seckey = digest(number)
        mirrored = secp.seckey_negate(seckey)
        assert mirrored is not None
        assert int.from_bytes(seckey, "big") + int.from_bytes(mirrored, "big") == ORDER
        (x, parity), (other_x, other_parity) = (xonly_of(secp.pubkey_of(key)) for key in (seckey, mirrored))
        assert x == other_x
        assert parity != other_parity
        assert taproot_tweak_seckey(seckey, None) == taproot_tweak_seckey(mirrored, None)


def test_x_of_public_keys() -> None:
    for number in range(1, 9):
        pubkey = secp.pubkey_of(digest(number))
        x, parity = xonly_of(pubkey)
        assert bytes((2 + parity,)) + x == pubkey
        assert is_xonly(x)
    assert not is_xonly(OFF_CURVE)
    for wrong in (b"", bytes(32), b"\x04" + bytes(32), b"\x00" + bytes(32), b"\x02" + bytes(33), b"\x04" + bytes(64)):
        with pytest.raises(InputError, match="not a compressed public key"):
            xonly_of(wrong)


def test_internal_keys_that_are_none() -> None:
    for wrong in (OFF_CURVE, b"\xff" * 32, b"", bytes(31), secp.pubkey_of(ONE)):
        with pytest.raises(InputError, match="internal key"):
            taproot_tweak_pubkey(wrong, None)
    x, _ = xonly_of(secp.pubkey_of(ONE))
    for root in (b"", bytes(31), bytes(33)):
        with pytest.raises(InputError, match="root has 32 bytes"):
            taproot_tweak_pubkey(x, root)
        with pytest.raises(InputError, match="root has 32 bytes"):
            taproot_tweak_seckey(ONE, root)


def test_signatures_as_witnesses_have_them() -> None:
    signature = bytes(range(64))
    assert split_signature(signature) == (signature, 0)
    for sighash_type in (1, 2, 3, 0x81, 0xFF):
        assert split_signature(signature + bytes((sighash_type,))) == (signature, sighash_type)
    for wrong in (b"", signature[:63], signature + b"\x00", signature + b"\x01\x01"):
        assert split_signature(wrong) is None


@pytest.mark.parametrize(("ecdsa", "schnorr"), [(0, 0), (3, 0), (0, 3), (20, 27), (20, 28), (51, 0), (0, 51), (90, 1)])
def test_mixed_batches_answer_in_order(ecdsa: int, schnorr: int) -> None:
    pubkey = secp.pubkey_of(ONE)

    def message(number: int) -> bytes:
        return digest(number + (number % 5 == 3))

    first = [(pubkey, message(number), secp.ecdsa_sign(ONE, digest(number))) for number in range(ecdsa)]
    second = [(pubkey[1:], message(number), schnorr_sign(ONE, digest(number), NO_AUX)) for number in range(schnorr)]
    expected = ([number % 5 != 3 for number in range(ecdsa)], [number % 5 != 3 for number in range(schnorr)])
    assert verify_mixed(first, second) == expected


def test_one_kind_is_never_taken_for_the_other() -> None:
    pubkey = secp.pubkey_of(ONE)
    ecdsa = (pubkey, digest(1), secp.ecdsa_sign(ONE, digest(1)))
    schnorr = (pubkey[1:], digest(1), schnorr_sign(ONE, digest(1), NO_AUX))
    assert verify_mixed([ecdsa], [schnorr]) == ([True], [True])
    assert verify_mixed([schnorr] * 60, [ecdsa] * 60) == ([False] * 60, [False] * 60)
    assert verify_mixed([(b"", b"", b"")] * 30, [(b"", b"", b"")] * 30) == ([False] * 30, [False] * 30)
