from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from support.agefile import age_encrypt
from support.cosigners import people
from wormsig.bitcoin.network import Network
from wormsig.errors import KeyFileError, UsageError
from wormsig.signers import age
from wormsig.signers.keyfile import decode_key, encode_key, open_key, read_key_file, seal
from wormsig.signers.secret import from_words, read_secret

if TYPE_CHECKING:
    from pathlib import Path

ALICE = people(1, "keyfile")[0]
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
SECRETS = [
    from_words(WORDS, Network.SIGNET),
    read_secret(ALICE.master.text(), Network.REGTEST),
    read_secret(ALICE.private_expression(), Network.TESTNET4),
]


def never() -> str:
    raise AssertionError("no passphrase is needed here")


@pytest.mark.parametrize("secret", SECRETS)
def test_text_of_a_key(secret) -> None:
    data = encode_key(secret)
    assert decode_key(data) == secret
    value = json.loads(data)
    assert value["wormsig"] == "key"
    assert value["network"] == secret.network.value
    assert value["origin"] == str(secret.origin)
    assert ("words" in value) == (secret.words is not None)


@pytest.mark.parametrize("secret", SECRETS)
def test_encrypted_files_open_with_their_passphrase(secret) -> None:
    data = age_encrypt(encode_key(secret), "pass phrase")
    assert open_key(data, lambda: "pass phrase") == secret
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        open_key(data, lambda: "pass phrase ")


def test_armored_files() -> None:
    body = base64.encodebytes(age_encrypt(encode_key(SECRETS[0]), "pw"))
    armored = b"-----BEGIN AGE ENCRYPTED FILE-----\n" + body + b"-----END AGE ENCRYPTED FILE-----\n"
    assert open_key(armored, lambda: "pw") == SECRETS[0]
    for broken in (armored[:-40], armored.replace(b"\n", b"\n!", 1)):
        with pytest.raises(KeyFileError, match="armored"):
            open_key(broken, never)


@pytest.mark.parametrize("factor", [21, 22, 30, 64, 9999])
def test_a_work_factor_above_20_is_refused_before_a_passphrase_is_asked_for(factor: int) -> None:
    with pytest.raises(KeyFileError, match=f"work factor is {factor}"):
        open_key(age_encrypt(b"x", "pw", said=factor), never)


@pytest.mark.parametrize(
    "header",
    [
        b"-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n",
        b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 010\n",
        b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 0\n",
        b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA -1\n",
        b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10 10\n",
        b"-> scrypt 10\n",
        b"-> grease scrypt\n",
        b"",
    ],
)
def test_other_age_files_are_refused_before_a_passphrase_is_asked_for(header: bytes) -> None:
    with pytest.raises(KeyFileError, match="not encrypted with a passphrase"):
        open_key(b"age-encryption.org/v1\n" + header + b"AAAA\n--- AAAA\n", never)


def test_two_stanzas_do_not_hide_a_work_factor() -> None:
    good = age_encrypt(encode_key(SECRETS[0]), "pw")
    first, rest = good[:22], good[22:]
    stanza = rest[: rest.index(b"---")]
    with pytest.raises(KeyFileError):
        open_key(first + stanza + stanza.replace(b" 10\n", b" 30\n") + rest[len(stanza) :], lambda: "pw")


@pytest.mark.parametrize("cut", [23, 60, 100, 200, -1])
def test_damaged_encrypted_files(cut: int) -> None:
    with pytest.raises(KeyFileError):
        open_key(age_encrypt(encode_key(SECRETS[0]), "pw")[:cut], lambda: "pw")


def test_plain_files_are_for_regtest_only() -> None:
    assert open_key(seal(SECRETS[1], None), never) == SECRETS[1]
    for secret in (SECRETS[0], SECRETS[2]):
        with pytest.raises(UsageError, match="regtest only"):
            seal(secret, None)
        with pytest.raises(KeyFileError, match="not encrypted"):
            open_key(encode_key(secret), never)


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        seal(SECRETS[0], "")


@pytest.mark.parametrize(
    "change",
    [
        {"wormsig": "wallet"},
        {"wormsig": None},
        {"format": 2},
        {"network": "bitcoin"},
        {"network": 5},
        {"network": "mainnet"},
        {"origin": "d34db33f"},
        {"origin": "nonsense"},
        {"origin": None},
        {"more": 1},
        {"xprv": 5},
        {"xprv": ""},
        {"xprv": "tprvnonsense"},
        {"words": WORDS},
    ],
)
def test_changed_texts_are_refused_without_showing_the_key(change: dict[str, object]) -> None:
    value = json.loads(encode_key(SECRETS[1])) | change
    with pytest.raises(KeyFileError) as caught:
        decode_key(json.dumps(value).encode())
    shown = f"{caught.value!r} {caught.value.hint}"
    assert ALICE.master.text()[10:40] not in shown
    assert "sausage" not in shown


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b"hello", b"[" * 60_000, b'{"wormsig":"key","wormsig":"key"}']
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(KeyFileError, match="not a wormsig key file"):
        open_key(data, never)


def test_files_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "alice.key"
    with pytest.raises(KeyFileError, match="there is no key file"):
        read_key_file(path, never)
    path.write_bytes(seal(SECRETS[1], None))
    assert read_key_file(path, never) == SECRETS[1]
    path.write_bytes(b"hello")
    with pytest.raises(KeyFileError, match=r"alice\.key: not a wormsig key file"):
        read_key_file(path, never)
    path.write_bytes(bytes(70_000))
    with pytest.raises(KeyFileError, match="too large"):
        read_key_file(path, never)
    with pytest.raises(KeyFileError, match="cannot read"):
        read_key_file(tmp_path, never)


def test_m1_a_wrong_passphrase_is_not_shown() -> None:
    with pytest.raises(KeyFileError) as caught:
        age.decrypt(age_encrypt(b"x", "right one"), "wrong one")
    assert "wrong one" not in repr(caught.value)
    assert caught.value.__suppress_context__
