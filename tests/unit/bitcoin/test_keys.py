from __future__ import annotations

import pickle

import pytest
from bitcointx import ChainParams
from bitcointx.wallet import CCoinExtKey
from hypothesis import given, settings
from hypothesis import strategies as st

from wormsig.bitcoin import base58, secp
from wormsig.bitcoin.der import ORDER
from wormsig.bitcoin.keys import (
    HARDENED,
    ExtendedPrivateKey,
    ExtendedPublicKey,
    KeyOrigin,
    derive_public,
    format_path,
    parse_path,
)
from wormsig.errors import DescriptorError, InputError

# BIP32's first two test vectors: seed, then path, public and private text of each key.
VECTOR_1 = (
    "000102030405060708090a0b0c0d0e0f",
    [
        (
            "",
            "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8",
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
        ),
        (
            "0h/1/2h/2/1000000000",
            "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
            "xprvA41z7zogVVwxVSgdKUHDy1SKmdb533PjDz7J6N6mV6uS3ze1ai8FHa8kmHScGpWmj4WggLyQjgPie1rFSruoUihUZREPSL39UNdE3BBDu76",
        ),
    ],
)
VECTOR_2 = (
    bytes(range(0xFF, 0x3F, -3)).hex(),
    [
        (
            "0/2147483647h",
            "xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
            "xprv9wSp6B7kry3Vj9m1zSnLvN3xH8RdsPP1Mh7fAaR7aRLcQMKTR2vidYEeEg2mUCTAwCd6vnxVrcjfy2kRgVsFawNzmjuHc2YmYRmagcEPdU9",
        ),
        (
            "0/2147483647h/1/2147483646h/2",
            "xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
            "xprvA2nrNbFZABcdryreWet9Ea4LvTJcGsqrMzxHx98MMrotbir7yrKCEXw7nadnHM8Dq38EGfSh6dqA9QWTyefMLEcBYJUuekgW4BYPJcr9E7j",
        ),
    ],
)
SEED = bytes.fromhex(VECTOR_1[0])
MASTER = ExtendedPrivateKey.from_seed(SEED, mainnet=False)


@pytest.mark.parametrize(("seed", "chain"), [VECTOR_1, VECTOR_2])
def test_bip32_vectors(seed: str, chain: list[tuple[str, str, str]]) -> None:
    master = ExtendedPrivateKey.from_seed(bytes.fromhex(seed), mainnet=True)
    for path, public, private in chain:
        key = master.derive(parse_path(path))
        assert key.text() == private
        assert key.neuter().text() == public
        assert ExtendedPrivateKey.from_text(private) == key
        assert ExtendedPublicKey.from_text(public) == key.neuter()


def test_leading_zeros_are_kept() -> None:
    """BIP32's third vector: a private key that begins with zeros."""
    seed = bytes.fromhex(
        "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e"
        "5a3c51c73235be"
    )
    key = ExtendedPrivateKey.from_seed(seed, mainnet=True).child(HARDENED)
    assert key.text() == (
        "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L"
    )


seeds = st.sampled_from([16, 32, 64]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@settings(max_examples=10, deadline=None)
@given(seeds, st.lists(st.integers(0, 2**32 - 1), max_size=3), st.booleans())
def test_second_opinion(seed: bytes, path: list[int], mainnet: bool) -> None:
    secp.equip_bitcointx()
    key = ExtendedPrivateKey.from_seed(seed, mainnet=mainnet).derive(tuple(path))
    with ChainParams("bitcoin" if mainnet else "bitcoin/testnet"):
        other = CCoinExtKey.from_seed(seed)
        for index in path:
            other = other.derive(index)
        assert str(other) == key.text()
        assert str(other.neuter()) == key.neuter().text()
    assert ExtendedPrivateKey.from_text(key.text()) == key


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, HARDENED - 1), max_size=4))
def test_public_and_private_derivation_meet(path: list[int]) -> None:
    steps = tuple(path)
    assert MASTER.derive(steps).neuter() == MASTER.neuter().derive(steps)


def test_public_derivation_over_bytes() -> None:
    parent = MASTER.neuter()
    child = parent.child(7)
    assert derive_public(parent.pubkey, parent.chain_code, 7) == (child.pubkey, child.chain_code)
    assert child.parent_fingerprint == parent.fingerprint
    assert (child.depth, child.child_number) == (1, 7)
    for index in (HARDENED, -1, 2**32):
        with pytest.raises(DescriptorError):
            derive_public(parent.pubkey, parent.chain_code, index)


def test_depth_ends_at_255() -> None:
    deep = ExtendedPrivateKey(255, b"abcd", 0, MASTER.chain_code, MASTER.seckey, mainnet=False)
    for key in (deep, deep.neuter()):
        with pytest.raises(DescriptorError, match="cannot be derived"):
            key.child(0)
    with pytest.raises(DescriptorError):
        MASTER.child(2**32)


def test_nothing_shows_a_secret() -> None:
    key = MASTER.derive((HARDENED | 48, 1))
    secrets = [key.seckey.hex(), repr(key.seckey), str(int.from_bytes(key.seckey, "big")), key.text()]
    secrets += [key.chain_code.hex(), repr(key.chain_code)]
    for shown in (repr(key), str(key), f"{key}", f"{key!r}", repr([key]), repr({"key": key})):
        assert not [secret for secret in secrets if secret in shown]
        assert "depth=2" in shown
    assert pickle.loads(pickle.dumps(key)) == key  # noqa: S301  # our own bytes


def test_a_public_key_shows_itself() -> None:
    assert repr(MASTER.neuter()) == f"ExtendedPublicKey({MASTER.neuter().text()})"


def public_payload(**changes: bytes) -> bytes:
    data = bytearray(MASTER.neuter().to_bytes())
    places = {"version": 0, "depth": 4, "parent": 5, "number": 9, "chain": 13, "key": 45}
    for name, value in changes.items():
        data[places[name] : places[name] + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (public_payload(version=bytes(4)), "unknown kind"),
        (public_payload(parent=b"\x00\x00\x00\x01"), "cannot have a parent"),
        (public_payload(number=b"\x00\x00\x00\x01"), "cannot have a parent"),
        (public_payload(key=b"\x04"), "not on the curve"),
        (public_payload(key=b"\x00"), "not on the curve"),
        (public_payload(key=b"\x02" + (5).to_bytes(32, "big")), "not on the curve"),
        (public_payload()[:-1], "wrong length"),
        (public_payload() + b"\x00", "wrong length"),
    ],
)
def test_malformed_public_keys(payload: bytes, message: str) -> None:
    with pytest.raises(DescriptorError, match=message):
        ExtendedPublicKey.from_text(base58.encode_check(payload))


def test_public_keys_as_bytes() -> None:
    key = MASTER.neuter()
    assert ExtendedPublicKey.from_bytes(key.to_bytes()) == key
    for wrong in (b"", key.to_bytes()[:-1], key.to_bytes() + b"\x00", public_payload(version=bytes(4))):
        with pytest.raises(DescriptorError):
            ExtendedPublicKey.from_bytes(wrong)


def private_text(seckey: bytes, *, prefix: bytes = b"\x00") -> str:
    payload = base58.decode_check(MASTER.text())
    return base58.encode_check(payload[:45] + prefix + seckey)


@pytest.mark.parametrize(
    "text",
    [
        MASTER.text()[:-1],
        MASTER.text() + "1",
        MASTER.text()[:40] + "0" + MASTER.text()[41:],
        MASTER.text()[:40] + ("2" if MASTER.text()[40] != "2" else "3") + MASTER.text()[41:],
        private_text(bytes(32)),
        private_text(ORDER.to_bytes(32, "big")),
        private_text(MASTER.seckey, prefix=b"\x01"),
        base58.encode_check(base58.decode_check(MASTER.text())[:-1]),
        "",
        "x" * 5000,
    ],
)
def test_malformed_private_keys_are_never_repeated(text: str) -> None:
    for kind in (ExtendedPrivateKey, ExtendedPublicKey):
        with pytest.raises(DescriptorError) as caught:
            kind.from_text(text)
        chain: BaseException | None = caught.value
        while chain is not None:
            assert MASTER.text()[10:30] not in repr(chain)
            assert MASTER.seckey.hex() not in repr(chain)
            chain = None if chain.__suppress_context__ else chain.__context__


def test_private_where_public_belongs() -> None:
    with pytest.raises(DescriptorError, match="private key stands where a public one belongs") as caught:
        ExtendedPublicKey.from_text(MASTER.text())
    assert MASTER.text()[4:20] not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(DescriptorError, match="this is a public key"):
        ExtendedPrivateKey.from_text(MASTER.neuter().text())


def test_private_keys_of_an_unknown_kind() -> None:
    payload = bytes(4) + base58.decode_check(MASTER.text())[4:]
    with pytest.raises(DescriptorError, match="unknown kind"):
        ExtendedPrivateKey.from_text(base58.encode_check(payload))


def test_seeds_have_16_to_64_bytes() -> None:
    for size in (0, 15, 65):
        with pytest.raises(DescriptorError, match="16 to 64"):
            ExtendedPrivateKey.from_seed(bytes(size), mainnet=True)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("m", ()),
        ("m/0", (0,)),
        ("48h/1'/0H/2h", (HARDENED | 48, HARDENED | 1, HARDENED, HARDENED | 2)),
        ("2147483647h/2147483647", (2**32 - 1, HARDENED - 1)),
        (" 1/5 ", (1, 5)),
    ],
)
def test_paths(text: str, path: tuple[int, ...]) -> None:
    assert parse_path(text) == path
    assert parse_path(format_path(path)) == path


def test_paths_are_written_with_h() -> None:
    assert format_path(parse_path("m/48'/1'/0'/2'")) == "48h/1h/0h/2h"
    assert format_path(()) == ""


@pytest.mark.parametrize(
    "text",
    ["/", "0/", "/0", "0//1", "h", "-1", "+1", "0x1", "1 /2", "2147483648", "99999999999", "1hh", "m/m", "²", "1/*"],
)
def test_wrong_paths(text: str) -> None:
    with pytest.raises(DescriptorError, match="derivation path"):
        parse_path(text)


def test_endless_paths() -> None:
    assert len(parse_path("/".join(["0"] * 255))) == 255
    with pytest.raises(DescriptorError, match="too many steps"):
        parse_path("/".join(["0"] * 256))


def test_key_origins() -> None:
    origin = KeyOrigin(bytes.fromhex("d34db33f"), parse_path("48h/1h/0h/2h"))
    assert str(origin) == "d34db33f/48h/1h/0h/2h"
    assert KeyOrigin.from_text(str(origin)) == origin
    assert origin.encode().hex() == "d34db33f30000080010000800000008002000080"
    assert KeyOrigin.decode(origin.encode()) == origin
    assert origin.extend((0, 5)).path == (*origin.path, 0, 5)
    bare = KeyOrigin(b"abcd", ())
    assert str(bare) == "61626364"
    assert KeyOrigin.decode(b"abcd") == bare == KeyOrigin.from_text("61626364")


@pytest.mark.parametrize("value", [b"", b"abc", b"abcde", bytes(4 * 257)])
def test_wrong_key_origins(value: bytes) -> None:
    with pytest.raises(InputError):
        KeyOrigin.decode(value)


@pytest.mark.parametrize(
    "text", ["", "d34db33", "d34db33f/", "d34db33f/m/0", "zzzzzzzz/0", "d34db33f0/1", "d34d b33f/1"]
)
def test_wrong_key_origins_as_text(text: str) -> None:
    with pytest.raises(DescriptorError):
        KeyOrigin.from_text(text)
