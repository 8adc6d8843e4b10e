from __future__ import annotations

import re

import pytest

from support.cosigners import make_wallet, people
from wormsig.bitcoin.keys import ExtendedPublicKey, KeyOrigin, parse_path
from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, NotSupportedError, UsageError
from wormsig.wallet.checksum import descriptor_checksum, with_checksum
from wormsig.wallet.derive import Deriver
from wormsig.wallet.descriptor import parse_descriptor
from wormsig.wallet.model import WalletKey
from wormsig.wallet.remarks import remarks

ALICE, BOB, CAROL = people(3, "descriptor")
KEYS = [person.key().expression() for person in (ALICE, BOB, CAROL)]
MAIN_1 = (
    "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL"
)
MAIN_2 = (
    "xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPxSb7gwQN3ih19Zm4Y"
)
FIXED = "03a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"
UNCOMPRESSED = (
    "04a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd5b8dec5235a0fa8722476c77"
    "09c02559e3aa73aa03918ba2d492eea75abea235"
)


def judge(text: str, network: Network | None = Network.REGTEST, **names: str):
    return parse_descriptor(text, network, names={bytes.fromhex(key[1:]): name for key, name in names.items()})


def multi(*keys: str, m: int | str = 2, function: str = "sortedmulti", around: str = "wsh(%s)") -> str:
    return around % f"{function}({m},{','.join(keys)})"


def refusal(text: str, kind: type[Exception] = DescriptorError, network: Network | None = Network.REGTEST) -> str:
    with pytest.raises(kind) as caught:
        judge(text, network)
    return str(caught.value)


@pytest.mark.parametrize("function", ["sortedmulti", "multi"])
@pytest.mark.parametrize(("script_type", "around"), [("wsh", "wsh(%s)"), ("sh-wsh", "sh(wsh(%s))"), ("sh", "sh(%s)")])
def test_every_supported_shape_becomes_its_canonical_descriptor(function: str, script_type: str, around: str) -> None:
    text = multi(*KEYS, function=function, around=around)
    wallet = judge(text)
    assert wallet.script_type == script_type
    assert wallet.sorted is (function == "sortedmulti")
    assert wallet.threshold == 2
    assert [key.fingerprint for key in wallet.keys] == [p.master.fingerprint for p in (ALICE, BOB, CAROL)]
    assert wallet.descriptor == with_checksum(text)
    assert judge(wallet.descriptor).id == wallet.id


@pytest.mark.parametrize("network", [network for network in Network if not network.is_mainnet])
def test_every_test_network(network: Network) -> None:
    assert judge(multi(*KEYS), network).network is network


def test_mainnet_keys_need_no_network() -> None:
    wallet = judge(multi(f"{MAIN_1}/<0;1>/*", f"{MAIN_2}/<0;1>/*"), None)
    assert wallet.network is Network.MAINNET
    assert Deriver(wallet).address(0, 0).startswith("bc1q")


def test_test_network_keys_need_a_network() -> None:
    assert "does not say which" in refusal(multi(*KEYS), UsageError, None)


def test_keys_of_another_network_are_refused() -> None:
    assert "mainnet (xpub), and the network is regtest" in refusal(multi(f"{MAIN_1}/<0;1>/*", f"{MAIN_2}/<0;1>/*"))
    assert "a test network (tpub), and the network is mainnet" in refusal(multi(*KEYS), network=Network.MAINNET)
    assert "do not mix" in refusal(multi(KEYS[0], f"{MAIN_2}/<0;1>/*"))


def test_writing_differs_and_the_wallet_is_the_same() -> None:
    plain = judge(multi(*KEYS))
    quoted = multi(*KEYS).replace("h/", "'/").replace("h]", "']")
    assert judge(with_checksum(quoted)).id == plain.id
    assert judge("\n  " + multi(*KEYS) + "\n").id == plain.id
    upper = re.sub(r"\[([0-9a-f]{8})", lambda found: "[" + found[1].upper(), multi(*KEYS))
    assert judge(upper).id == plain.id


def test_key_order_is_part_of_the_agreement() -> None:
    turned = judge(multi(*reversed(KEYS)))
    straight = judge(multi(*KEYS))
    assert turned.id != straight.id
    assert Deriver(turned).script(0, 3).script_pubkey == Deriver(straight).script(0, 3).script_pubkey


def test_a_key_without_origin_is_its_own_root() -> None:
    bare = f"{MAIN_1}/<0;1>/*"
    own = ExtendedPublicKey.from_text(MAIN_1).fingerprint
    wallet = judge(multi(bare, f"{MAIN_2}/<0;1>/*"), None)
    assert wallet.keys[0].origin == KeyOrigin(own, ())
    said = judge(multi(f"[{own.hex()}]{bare}", f"{MAIN_2}/<0;1>/*"), None)
    unsaid = judge(multi(bare, f"{MAIN_2}/<0;1>/*"), None)
    assert said.id == unsaid.id
    assert any("no key origin" in remark for remark in remarks(unsaid))


@pytest.mark.parametrize("count", [1, 15, 16, 20])
def test_up_to_twenty_keys_in_segwit(count: int) -> None:
    wallet = judge(multi(*[p.key().expression() for p in people(count, "many")], m=count))
    assert len(wallet.keys) == wallet.threshold == count


def test_limits_of_the_number_of_keys() -> None:
    many = [p.key().expression() for p in people(21, "many")]
    judge(multi(*many[:15], around="sh(%s)"))
    assert "at most 15" in refusal(multi(*many[:16], around="sh(%s)"))
    assert "at most 20" in refusal(multi(*many))
    assert "at most 20" in refusal(multi(*many, around="sh(wsh(%s))"))


# --- S2: the same key twice ---------------------------------------------------------------------------------------


def test_duplicate_key_is_refused() -> None:
    assert "are the same key" in refusal(multi(KEYS[0], KEYS[1], KEYS[0]))


def test_same_key_under_two_fingerprints_is_refused() -> None:
    copy = KEYS[0].replace(ALICE.master.fingerprint.hex(), "d34db33f")
    message = refusal(multi(KEYS[0], KEYS[1], copy))
    assert "key 1" in message
    assert "key 3 [d34db33f]" in message
    assert "two fingerprints" in message


def test_same_key_under_two_paths_is_refused() -> None:
    message = refusal(multi(KEYS[0], KEYS[0].replace("48h/1h/0h/2h", "48h/1h/1h/2h")))
    assert "two paths, 48h/1h/0h/2h and 48h/1h/1h/2h" in message


def test_same_key_under_two_depths_is_refused() -> None:
    key = ALICE.key()
    x = key.xpub
    twin = WalletKey(key.origin, ExtendedPublicKey(7, x.parent_fingerprint, 3, x.chain_code, x.pubkey, x.mainnet))
    assert "two depths, 4 and 7" in refusal(multi(key.expression(), twin.expression()))


def test_same_public_key_with_two_chain_codes_is_refused() -> None:
    x = ALICE.key().xpub
    twin = ExtendedPublicKey(x.depth, x.parent_fingerprint, x.child_number, bytes(32), x.pubkey, x.mainnet)
    other = WalletKey(KeyOrigin(b"\xd3\x4d\xb3\x3f", ALICE.key().origin.path), twin)
    assert "two chain codes" in refusal(multi(KEYS[0], other.expression()))


def test_two_keys_with_one_origin_are_refused() -> None:
    liar = WalletKey(ALICE.key().origin, BOB.key().xpub)
    assert "claim the same origin" in refusal(multi(KEYS[0], liar.expression()))


def test_a_key_derived_from_another_is_refused() -> None:
    key = ALICE.key()
    for steps in ((5,), (5, 6)):
        child = WalletKey(key.origin.extend(steps), key.xpub.derive(steps))
        assert "one is derived from the other" in refusal(multi(KEYS[0], child.expression()))
    nameless = WalletKey(KeyOrigin(key.xpub.child(5).fingerprint, ()), key.xpub.child(5))
    assert "one is derived from the other" in refusal(multi(nameless.expression(), KEYS[0]))


def test_two_accounts_of_one_master_are_remarked() -> None:
    path = parse_path("48h/1h/1h/2h")
    second = WalletKey(KeyOrigin(ALICE.master.fingerprint, path), ALICE.master.derive(path).neuter())
    wallet = judge(multi(KEYS[0], second.expression(), KEYS[1]))
    assert any("keys 1 and 2 come from one master key" in remark for remark in remarks(wallet))


# --- S3: private keys ---------------------------------------------------------------------------------------------

WIFS = ["L4rK1yDtCWekvXuE6oXD9jCYfFNV2cWRpVuPLBcCU2z8TrisoyY1", "5KYZdUEo39z3FPrtuX2QbbwGnNP5zTd7yyr2SC1j299sBCnWjss"]
XPRV = "xprvA1RpRA33e1JQ7ifknakTFpgNXPmW2YvmhqLQYMmrj4xJXXWYpDPS3xz7iAxn8L39njGVyuoseXzU6rcxFLJ8HFsTjSyQbLYnMpCqE2VbFWc"


@pytest.mark.parametrize(
    "private",
    [
        ALICE.private_expression() + "/<0;1>/*",
        ALICE.private_expression()[:-3] + "/<0;1>/*",  # mistyped, still secret
        XPRV,
        "z" + XPRV[1:] + "/<0;1>/*",
        *WIFS,
    ],
)
def test_private_keys_are_refused_and_never_shown(private: str) -> None:
    secret = re.sub(r"^\[.*\]", "", private).split("/")[0]
    for text in (multi(private, KEYS[1]), private, f"wpkh({private})", with_checksum(multi(private, KEYS[1]))):
        with pytest.raises(DescriptorError) as caught:
            judge(text)
        shown = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert "private key" in str(caught.value)
        assert secret not in shown
        assert secret[8:30] not in shown


# --- S5: numbers, checksums, key forms ----------------------------------------------------------------------------


def test_thresholds() -> None:
    assert "threshold is 0" in refusal(multi(*KEYS, m=0))
    assert "threshold 4 is above the number of keys, 3" in refusal(multi(*KEYS, m=4))
    for odd in ("a", "", "02", "+2", "-1", "2.0", "99999"):
        assert "not a number" in refusal(multi(*KEYS, m=odd))
    assert "no keys" in refusal("wsh(sortedmulti(1))")


def test_a_wrong_checksum_names_both() -> None:
    body = multi(*KEYS)
    right = descriptor_checksum(body)
    wrong = ("q" if right[0] != "q" else "p") + right[1:]
    message = refusal(f"{body}#{wrong}")
    assert f"#{wrong}" in message
    assert f"#{right}" in message
    assert "has 7 characters, not 8" in refusal(f"{body}#{right[:-1]}")
    assert "has 0 characters, not 8" in refusal(f"{body}#")


@pytest.mark.parametrize(
    ("written", "meant", "words"),
    [
        (multi(*KEYS, function="multi"), multi(*KEYS), "with sortedmulti instead of multi"),
        (multi(*KEYS), multi(*KEYS, function="multi"), "with multi instead of sortedmulti"),
        (multi(*KEYS), multi(*KEYS).replace("h/", "'/").replace("h]", "']"), "with ' for hardened steps"),
        (multi(*KEYS), multi(*KEYS).replace("<0;1>", "0"), "with /0/* instead of /<0;1>/*"),
    ],
)
def test_a_checksum_of_a_near_miss_says_which(written: str, meant: str, words: str) -> None:
    assert words in refusal(f"{written}#{descriptor_checksum(meant)}")


def test_keys_that_are_no_extended_public_keys() -> None:
    assert "uncompressed" in refusal(multi(UNCOMPRESSED, KEYS[0]))
    assert "single public key" in refusal(multi(FIXED, KEYS[0]))
    assert "key 2" in refusal(multi(KEYS[0], "nonsense/<0;1>/*"))
    assert "checksum is wrong" in refusal(
        multi(KEYS[0], KEYS[1].replace("/<0;1>", "q/<0;1>").replace("qq", "q")[:-1] + "*")
    )
    slip132 = (
        "Zpub6ySJ3sYzFVSSaDvZkLdB4MgVVeyrxQNNX8qwqYvkGmFgh7c3Y4Jd7JbYKUz1DJ1eAB6zNqrcJq5YUvTYZMyeAU"
        "JbMZnVxMsFUqxaCsWPG3i"
    )
    assert "key 1" in refusal(multi(f"{slip132}/<0;1>/*", KEYS[0]))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("/0/*", "receive branch alone"),
        ("/1/*", "change branch alone"),
        ("", "does not end in"),
        ("/*", "only /<0;1>/* is supported"),
        ("/7/<0;1>/*", "only /<0;1>/* is supported"),
        ("/<0;1>/5/*", "only /<0;1>/* is supported"),
        ("/<1;0>/*", "exchanged"),
        ("/<0;1;2>/*", "not exactly <0;1>"),
        ("/<0;2>/*", "not exactly <0;1>"),
        ("/<2;3>/*", "not exactly <0;1>"),
        ("/<0;1>/*h", "hardened"),
        ("/<0h;1h>/*", "hardened"),
        ("/0'/*", "hardened"),
        ("/<0;1>/", "does not end in"),
        ("/<0;1>/**", "does not end in"),
        ("/**", "does not end in"),
    ],
)
def test_exactly_two_branches_after_every_key(steps: str, words: str) -> None:
    with pytest.raises((DescriptorError, NotSupportedError)) as caught:
        judge(multi(KEYS[0], KEYS[1].replace("/<0;1>/*", steps)))
    message = str(caught.value)
    assert message.startswith("key 2")
    assert words in message


@pytest.mark.parametrize(
    "origin", ["[d34db33f/48H/1h]", "[d34db33/48h]", "[d34db33f/]", "[d34db33f/*]", "[d34db33f/4294967296]"]
)
def test_malformed_origins(origin: str) -> None:
    key = KEYS[1].split("]")[1]
    assert "key 2" in refusal(multi(KEYS[0], origin + key))


@pytest.mark.parametrize(
    "text", ["", " ", "#", "wsh", "wsh()", "wsh(sortedmulti", "hello", "wsh(sortedmulti(2,a,b)))", "x" * 30_000]
)
def test_garbage(text: str) -> None:
    refusal(text)


def test_characters_that_do_not_belong() -> None:
    assert "U+00DC" in refusal("raw(Ü)#00000000")
    assert "is a space" in refusal(multi(*KEYS).replace(",", ", ", 1))
    assert "U+000A" in refusal(multi(*KEYS).replace(",", ",\n", 1))


# --- valid, and of a kind that is not handled ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"tr({KEYS[0]})", "single-key wallet (tr)"),
        (f"wsh(pk({KEYS[0]}))", "single-key wallet (wsh)"),
        (f"sh(wsh(pkh({KEYS[0]})))", "single-key wallet (sh-wsh)"),
        (f"wpkh({KEYS[0]})", "single-key"),
        (f"sh(wpkh({KEYS[0]}))", "single-key"),
        (f"pkh({KEYS[0]})", "single-key"),
        (f"rawtr({KEYS[0]})", "rawtr"),
        (f"sortedmulti(2,{KEYS[0]},{KEYS[1]})", "bare multisig"),
        ("raw(deadbeef)#89f8spxm", "single script"),
    ],
)
def test_valid_kinds_that_are_not_handled_yet(text: str, words: str) -> None:
    message = refusal(text, NotSupportedError)
    assert words in message
    assert "not supported yet" in message


def test_an_invalid_descriptor_of_such_a_kind_is_just_invalid() -> None:
    for text in (f"tr({KEYS[0]},nonsense(1))", "wpkh(abc)", f"wsh(wsh({multi(*KEYS)}))", f"sh(sh({multi(*KEYS)}))"):
        with pytest.raises(DescriptorError):
            judge(text)


# --- miniscript and taproot: what is refused ----------------------------------------------------------------------

NUMS = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"
BARE = [key.removesuffix("/<0;1>/*") for key in KEYS]
A, B, C = KEYS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"wsh(and_v(v:multi(0,{A},{B}),older(5)))", "the threshold is 0"),
        (f"wsh(and_v(v:multi(3,{A},{B}),older(5)))", "above the number of keys"),
        (f"tr({NUMS},multi_a(0,{A},{B}))", "the threshold is 0"),
        (f"tr({NUMS},sortedmulti_a(3,{A},{B}))", "above the number of keys"),
        (f"tr({NUMS},multi_a(1))", "no keys"),
        (f"tr({NUMS},multi_a(2,{A},{B},{BARE[0]}/<2;3>/*))", "stands twice in one multi_a"),
        (f"wsh(and_v(v:multi(2,{A},{BARE[0]}/<2;3>/*),older(5)))", "stands twice in one multi"),
        (f"wsh(or_d(multi(2,{A},{B}),and_v(v:pkh({BARE[0]}/<1;2>/*),older(9))))", "overlap: <0;1> and <1;2>"),
        (f"wsh(and_v(v:multi(2,{A},{B}),older(65536)))", "older(65536) is no lock"),
        (f"wsh(and_v(v:multi(2,{A},{B}),older(4194304)))", "older(4194304) is no lock"),
        (f"tr(musig({BARE[0]},{BARE[0]})/<0;1>/*)", "twice in one musig"),
        (f"wsh(or_d(pk({A}),and_v(v:pkh({A}),older(5))))", "repeats a public key"),
        (f"wsh(or_d(pk({A}),older(5)))", "without signature"),
        (f"wsh(or_b(pk({A}),pk({B})))", "or_b"),
        (f"wsh(and_v(pk({A}),pk({B})))", "and_v"),
        (f"wsh(and_v(and_v(v:pk({A}),v:after(5)),after(1900000000)))", "mixes timelocks"),
        (f"wsh(and_v(v:pk({A}),multi_a(1,{B},{C})))", "not a valid descriptor"),
        (f"tr({NUMS},multi(2,{A},{B}))", "multi"),
        (f"tr({NUMS},{{multi_a(2,{A},{B})}})", "valid descriptor"),
        (f"tr({NUMS},{{multi_a(2,{A},{B}),multi_a(1,{B},{C})}}", "valid descriptor"),
        (f"tr({NUMS},sortedmulti_a(2,{A},{B}),x)", "valid descriptor"),
        (f"tr({NUMS},and_v(v:pk({A}),sortedmulti_a(1,{B},{C})))", "valid descriptor"),
        (f"tr({NUMS},musig({BARE[0]},{BARE[1]})/<0;1>/*)", "valid descriptor"),
        (f"wsh(and_v(v:pk({A}),sha256(00)))", "valid descriptor"),
        (f"wsh(thresh(0,pk({A}),s:pk({B})))", "valid descriptor"),
        (f"wsh(and_v(v:pk({A}),older(0)))", "valid descriptor"),
        (f"wsh(and_v(v:pk({A}),older(2147483649)))", "valid descriptor"),
        (f"wsh({'v:' * 5000}pk({A}))", "characters"),
        (f"wsh(and_v(v{'n' * 200}:pk({A}),pk({B})))", "not a valid descriptor"),
        (f"sh(or_d(pk({A}),and_v(v:pkh({B}),older(5))))", "descriptor"),
        (f"wsh(musig({BARE[0]},{BARE[1]})/<0;1>/*)", "musig"),
        (f"tr({MAIN_1}/<0;1>/*,multi_a(2,{A},{B}))", "do not mix"),
        (f"tr({NUMS},multi_a(2,{A},{UNCOMPRESSED}))", "uncompressed"),
        (f"tr({NUMS},multi_a(2,{A},{FIXED}))", "single public key"),
        (f"tr({NUMS},multi_a(2,{A},{FIXED[2:]}))", "single public key"),
        (f"tr({NUMS},multi_a(2,{A},{BARE[1]}/<3;2>/*))", "exchanged: <3;2>"),
        (f"tr({NUMS},multi_a(2,{A},{BARE[1]}/<2;2>/*))", "not a pair of branches"),
        (f"tr({NUMS},multi_a(2,{A},{BARE[1]}/<0;1;2>/*))", "not a pair of branches"),
        (f"tr({NUMS},multi_a(2,{A},{BARE[1]}/<0;1>/*h))", "hardened"),
        (f"tr({NUMS},multi_a(2,{A},{BARE[1]}/<0;2147483648>/*))", "not a pair of branches"),
        ("wsh(or_i(older(5),after(5)))", "no keys"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"tr(musig({A},{B}))", "derived before it is aggregated"),
        (f"tr(musig({BARE[0]})/<0;1>/*,pk({B}))", "musig() of a single key"),
        (f"tr({NUMS},multi_a(2,{A},{BARE[1]}/7/<0;1>/*))", "only /<0;1>/* is supported"),
        (f"wsh(and_v(v:pk({A}),older(01)))", "this form of descriptor"),
    ],
)
def test_what_is_not_supported(text: str, words: str) -> None:
    assert words in refusal(text, NotSupportedError)


def test_s2_one_key_under_two_origins_is_refused_in_every_kind() -> None:
    copy = A.replace(ALICE.master.fingerprint.hex(), "d34db33f")
    for text in (
        f"tr({NUMS},multi_a(2,{A},{B},{copy}))",
        f"tr({copy},multi_a(2,{A},{B}))",
        f"wsh(or_d(multi(2,{A},{B}),and_v(v:pkh({copy}),older(5))))",
        f"tr(musig({BARE[0]},{copy.removesuffix('/<0;1>/*')})/<0;1>/*)",
    ):
        assert "the same key under two fingerprints" in refusal(text)


def test_s3_private_keys_in_every_kind() -> None:
    secret = ALICE.private_expression().split("]")[1]
    for text in (f"tr({secret}/<0;1>/*,multi_a(2,{A},{B}))", f"wsh(or_d(pk({secret}/<0;1>/*),pk({B})))"):
        message = refusal(text)
        assert "private key" in message
        assert secret[10:40] not in message


def test_s5_a_wrong_checksum_of_taproot_says_what_it_belongs_to() -> None:
    sorted_ones, written = (f"tr({NUMS},{name}(2,{A},{B}))" for name in ("sortedmulti_a", "multi_a"))
    assert "with multi instead of sortedmulti" in refusal(f"{sorted_ones}#{descriptor_checksum(written)}")


# --- names and remarks --------------------------------------------------------------------------------------------


def test_names() -> None:
    alice, bob = ALICE.master.fingerprint, BOB.master.fingerprint
    wallet = parse_descriptor(multi(*KEYS), Network.REGTEST, names={alice: "alice", bob: "Bob B."[:-1]})
    assert wallet.label(alice) == "alice"
    assert wallet.label(CAROL.master.fingerprint) == CAROL.master.fingerprint.hex()
    assert wallet.key_named("ALICE") is wallet.keys[0]
    assert wallet.key_named("dave") is None
    nameless = parse_descriptor(multi(*KEYS), Network.REGTEST)
    assert nameless.id == wallet.id
    for names in (
        {b"\0\0\0\0": "dave"},
        {alice: "x", bob: "X"},
        {alice: "a\x1b[31m"},
        {alice: ""},
        {alice: "a" * 41},
        {alice: " a"},
        {alice: "a\u202eb"},
    ):
        with pytest.raises(UsageError):
            parse_descriptor(multi(*KEYS), Network.REGTEST, names=names)


def test_remarks() -> None:
    assert remarks(make_wallet(people(3, "r"))) == ()
    unsorted = make_wallet(people(3, "r"), is_sorted=False)
    assert any("written order" in remark for remark in remarks(unsorted))
    assert any("one signature is enough" in r for r in remarks(make_wallet(people(3, "r"), 1)))
    assert any("every key is needed" in r for r in remarks(make_wallet(people(3, "r"), 3)))
    wrong_place = parse_descriptor(multi(*KEYS, around="sh(wsh(%s))"), Network.REGTEST)
    assert sum("has a path for wsh (BIP48)" in remark for remark in remarks(wrong_place)) == 3
    coin = parse_descriptor(multi(*KEYS).replace("48h/1h", "48h/0h"), Network.REGTEST)
    assert sum("coin type 0" in remark for remark in remarks(coin)) == 3
    shallow = parse_descriptor(multi(*KEYS).replace("/2h]", "]", 1), Network.REGTEST)
    assert any("says depth 4, its origin has 3 steps" in remark for remark in remarks(shallow))
