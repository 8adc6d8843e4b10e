from __future__ import annotations

import pytest

from support.cosigners import make_wallet, people
from wormsig.bitcoin.keys import ExtendedPrivateKey, KeyOrigin, format_path, parse_path
from wormsig.bitcoin.network import Network
from wormsig.errors import KeyFileError, UsageError, WormsigError
from wormsig.signers.secret import from_words, new_secret, read_secret, standard_path
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.descriptor import parse_descriptor

ALICE, BOB = people(2, "secret")
MASTER = ALICE.master.text()
ACCOUNT = ALICE.private_expression()
ABANDON = "abandon " * 11 + "about"
# BIP39's and BIP32's published results for these words with an empty passphrase.
ABANDON_XPRV = (
    "xprv9s21ZrQH143K3GJpoapnV8SFfukcVBSfeCficPSGfubmSFDxo1kuHnLisriDvSnRRuL2Qrg5ggqHKNVpxR86QEC8w35uxmGoggxtQTPvfUu"
)

ZPRV = (  # SLIP-132's own
    "zprvAdG4iTXWBoARxkkzNpNh8r6Qag3irQB8PzEMkAFeTRXxHpbF9z4QgEvBRmfvqWvGp42t42nvgGpNgYSJA9iefm1yYNZKEm7z6qUWCroSQnE"
)


def test_new_keys_are_24_words_and_differ() -> None:
    first, second = new_secret(Network.SIGNET), new_secret(Network.SIGNET)
    assert first.words is not None
    assert len(first.words.split()) == 24
    assert first.words != second.words
    assert first.is_master
    assert first.network is Network.SIGNET
    assert read_secret(first.words, Network.SIGNET) == first


def test_words_give_the_published_key() -> None:
    secret = from_words(ABANDON, Network.MAINNET)
    assert secret.key.text() == ABANDON_XPRV
    assert secret.origin == KeyOrigin(bytes.fromhex("73c5da0a"), ())
    for written in (f"  {ABANDON.upper()}\n", ABANDON.replace(" ", "\n"), ABANDON.replace(" ", "   ")):
        assert read_secret(written, None) == secret
    assert read_secret(ABANDON, Network.REGTEST).key.text().startswith("tprv")


def test_words_of_other_lengths_and_languages() -> None:
    for words in ("zoo " * 23 + "vote", "ábaco " * 11 + "abierto"):
        assert read_secret(words, None).words is not None


@pytest.mark.parametrize("words", ["abandon " * 12, "abandon " * 11 + "secretword", "abandon about", "zoo " * 24])
def test_wrong_words_are_refused_without_showing_one(words: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        read_secret(words, None)
    shown = f"{caught.value!r}{caught.value.hint}{caught.value.__cause__!r}"
    assert not {"abandon", "secretword", "zoo"} & set(shown.replace("'", " ").split())
    assert caught.value.__suppress_context__


def test_master_keys() -> None:
    secret = read_secret(MASTER, Network.REGTEST)
    assert secret.key == ALICE.master
    assert secret.origin == KeyOrigin(ALICE.master.fingerprint, ())
    assert secret.words is None
    assert read_secret(f"[{ALICE.master.fingerprint.hex()}]{MASTER}\n", Network.REGTEST) == secret


@pytest.mark.parametrize("steps", ["", "/<0;1>/*", "/0/*"])
def test_account_keys(steps: str) -> None:
    secret = read_secret(ACCOUNT + steps, Network.REGTEST)
    assert secret.key == ALICE.master.derive(parse_path("48h/1h/0h/2h"))
    assert str(secret.origin) == f"{ALICE.master.fingerprint.hex()}/48h/1h/0h/2h"
    assert not secret.is_master


def test_an_account_key_without_origin_is_its_own_root() -> None:
    secret = read_secret(ACCOUNT.split("]")[1], Network.REGTEST)
    assert secret.origin == KeyOrigin(secret.key.fingerprint, ())
    assert secret.expression("wsh").startswith(f"[{secret.key.fingerprint.hex()}]tpub")


@pytest.mark.parametrize("around", ["wsh(sortedmulti(1,%s,%s))", "sh(wsh(multi(2,%s,%s)))", "sh(sortedmulti(2,%s,%s))"])
def test_private_descriptors(around: str) -> None:
    body = around % (ACCOUNT + "/<0;1>/*", BOB.key().expression())
    expected = read_secret(ACCOUNT, Network.REGTEST)
    assert read_secret(body, Network.REGTEST) == expected
    assert read_secret(with_checksum(body), Network.REGTEST) == expected
    assert read_secret(with_checksum(f"wpkh({ACCOUNT}/0/*)"), Network.REGTEST) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no key"),
        ("x" * 30_000, "too long"),
        ("hello", "not a private key"),
        (BOB.key().expression(), "not a private key"),
        (f"wsh(sortedmulti(2,{BOB.key().expression()}))", "holds no private"),
        (f"wsh(sortedmulti(2,{ACCOUNT}/0/*,{BOB.private_expression()}/0/*))", "holds 2 private"),
        (f"wpkh({ACCOUNT}/0/*)#qqqqqqqq", "checksum is wrong"),
        (ACCOUNT[:-1] + ("x" if ACCOUNT[-1] != "x" else "y"), "checksum"),
        (ACCOUNT.replace("/2h]", "]"), "3 steps, the key says depth 4"),
        (f"[d34db33f]{MASTER}", "not that of this key"),
        (f"[d34db33f]{ACCOUNT.split(']')[1]}", "not that of this key"),
        (f"[d34db33f/48h]{MASTER}", "not that of this key"),
        (ACCOUNT.replace("48h", "4294967295h"), "origin"),
        ("L4rK1yDtCWekvXuE6oXD9jCYfFNV2cWRpVuPLBcCU2z8TrisoyY1", "not a private key"),
        (
            "zprvAdG4iTXWBoARxkkzNpNh8r6Qag3irQB8PzEMkAFeTRXxHpbF9z4QgEvBRmfvqWvGp42t42nvgGpNgYSJA9iefm1yYNZKEm7z6qUWCroSQnE",
            "SLIP-132",
        ),
    ],
)
def test_what_cannot_be_imported_is_refused_and_not_shown(text: str, words: str) -> None:
    with pytest.raises(KeyFileError, match=words) as caught:
        read_secret(text, Network.REGTEST)
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"
    secret = text.rsplit("]", maxsplit=1)[-1].split("/", maxsplit=1)[0]
    assert len(secret) < 20 or secret[5:25] not in shown


def test_networks() -> None:
    assert read_secret(ABANDON_XPRV, None).network is Network.MAINNET
    with pytest.raises(UsageError, match="any of the test networks"):
        read_secret(MASTER, None)
    for text, network in ((ABANDON_XPRV, Network.REGTEST), (MASTER, Network.MAINNET)):
        with pytest.raises(KeyFileError, match="and the network is"):
            read_secret(text, network)


def test_standard_paths() -> None:
    assert format_path(standard_path("wsh", Network.MAINNET)) == "48h/0h/0h/2h"
    assert format_path(standard_path("sh-wsh", Network.SIGNET, 3)) == "48h/1h/3h/1h"
    assert format_path(standard_path("sh", Network.REGTEST, 3)) == "45h"


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
def test_what_show_prints_makes_a_wallet(script_type) -> None:
    secrets = [read_secret(person.master.text(), Network.REGTEST) for person in (ALICE, BOB)]
    around = {"wsh": "wsh(%s)", "sh-wsh": "sh(wsh(%s))", "sh": "sh(%s)"}[script_type]
    keys = ",".join(secret.expression(script_type) for secret in secrets)
    wallet = parse_descriptor(around % f"sortedmulti(2,{keys})", Network.REGTEST)
    for key, secret in zip(wallet.keys, secrets, strict=True):
        assert key.origin.path == standard_path(script_type, Network.REGTEST)
        private = secret.find(key, script_type)
        assert private is not None
        assert private.neuter() == key.xpub


def test_an_intermediate_key_is_derived_the_rest_of_the_way() -> None:
    halfway = ALICE.master.derive(parse_path("48h/1h"))
    secret = read_secret(f"[{ALICE.master.fingerprint.hex()}/48h/1h]{halfway.text()}", Network.REGTEST)
    assert secret.expression("wsh") == ALICE.key().expression()


def test_find_goes_by_keys_not_by_claims() -> None:
    wallet = make_wallet([ALICE, BOB], 2)
    mine, theirs = wallet.keys
    for text in (MASTER, ACCOUNT, ACCOUNT.split("]")[1]):
        secret = read_secret(text, Network.REGTEST)
        assert secret.find(mine, "wsh") is not None
        assert secret.find(theirs, "wsh") is None
    liar = type(mine)(mine.origin, theirs.xpub)
    assert read_secret(MASTER, Network.REGTEST).find(liar, "wsh") is None
    nameless = type(mine)(KeyOrigin(mine.xpub.fingerprint, ()), mine.xpub)
    assert read_secret(MASTER, Network.REGTEST).find(nameless, "wsh") is not None


def test_m1_no_secret_in_repr() -> None:
    for text in (ABANDON_XPRV, ABANDON):
        secret = read_secret(text, None)
        shown = f"{secret} {secret!r} {secret.key} {secret.key!r} {[secret]} {vars(type(secret)).keys()}"
        assert "abandon" not in shown
        assert secret.key.seckey.hex() not in shown
        assert repr(secret.key.seckey) not in shown
        assert secret.key.text()[10:40] not in shown
        assert repr(secret.key.chain_code) not in shown


def test_m1_no_secret_in_any_failure() -> None:
    planted = ExtendedPrivateKey.from_seed(b"planted secret of a test", mainnet=True).text()
    broken = ("%sx", "[00000000/1/2/3]%s", "wsh(%s", "[zz]%s", "%s-")
    for text in (planted[:-1], f"{planted} {planted}", *(form.replace("%s", planted) for form in broken)):
        with pytest.raises(WormsigError) as caught:
            read_secret(text, Network.MAINNET)
        link: BaseException | None = caught.value
        while link is not None:
            assert planted[10:40] not in f"{link!r} {getattr(link, 'hint', '')}"
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
