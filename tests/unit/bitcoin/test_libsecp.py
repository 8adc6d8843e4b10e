from __future__ import annotations

import _ctypes
import hashlib
from typing import Any

import pytest
from bitcointx.core.key import CKey

from wormsig.bitcoin import libsecp, secp
from wormsig.errors import UsageError

ONE = (1).to_bytes(32, "big")
G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
DIGEST = hashlib.sha256(b"digest").digest()


def test_misuse_returns_instead_of_aborting_the_process() -> None:
    lib = libsecp.library()
    blank = bytes(64)
    assert lib.ecdsa_verify(lib.context, blank, DIGEST, blank) == 0
    assert lib.schnorr_verify(lib.context, blank, DIGEST, 32, blank) == 0


def test_missing_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsecp, "EXTENSION", "_no_such_extension")
    with pytest.raises(UsageError, match="btclib-secp256k1 is not installed") as caught:
        secp.library_path()
    assert "pip install" in (caught.value.hint or "")


def test_a_file_that_is_no_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsecp, "_loaded", None)
    monkeypatch.setattr(libsecp, "library_path", lambda: __file__)
    with pytest.raises(UsageError, match="cannot be loaded") as caught:
        secp.pubkey_of(ONE)
    assert "pip install" in (caught.value.hint or "")
    assert libsecp._loaded is None


def test_library_without_the_symbols_is_refused() -> None:
    with pytest.raises(UsageError, match="lacks secp256k1_"):
        libsecp.Library(_ctypes.__file__)  # a shared library of something else


@pytest.mark.parametrize(
    "function",
    [
        "pubkey_create",
        "pubkey_combine",
        "pubkey_tweak_add",
        "pubkey_parse",
        "ecdsa_sign",
        "ecdsa_verify",
        "parse_der",
        "keypair_create",
        "xonly_parse",
        "schnorr_sign",
        "schnorr_verify",
    ],
)
@pytest.mark.parametrize("answer", [0, 1])
def test_functions_that_do_nothing_but_answer_are_found_out(
    monkeypatch: pytest.MonkeyPatch, function: str, answer: int
) -> None:
    lib = libsecp.library()
    monkeypatch.setattr(lib, function, lambda *_: answer)
    with pytest.raises(UsageError, match="wrong answers"):
        libsecp._check_known_answers(lib)


def test_a_library_that_takes_a_high_s_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsecp, "_HIGH_SIGNATURE", libsecp._SIGNATURE)  # one that it does take
    with pytest.raises(UsageError, match="wrong answers"):
        libsecp._check_known_answers(libsecp.library())


@pytest.mark.parametrize("name", ["_GENERATOR", "_DOUBLED", "_TRIPLED", "_SIGNATURE", "_SCHNORR_SIGNATURE"])
def test_wrong_answers_are_found_out(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    known: Any = getattr(libsecp, name)
    monkeypatch.setattr(libsecp, name, known[:-1] + bytes((known[-1] ^ 1,)))
    with pytest.raises(UsageError, match="wrong answers"):
        libsecp._check_known_answers(libsecp.library())


def test_bitcointx_uses_the_same_library() -> None:
    secp.equip_bitcointx()
    secp.equip_bitcointx()
    key = CKey(ONE)
    assert bytes(key.pub) == G
    assert key.pub.verify(DIGEST, key.sign(DIGEST))
    assert key.xonly_pub.verify_schnorr(DIGEST, key.sign_schnorr_no_tweak(DIGEST))
