"""Every kind of wallet: canonical text, records, scripts and key origins as btclib-wallet has them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from support.kinds import PEOPLE, descriptors, nums_xpub
from support.kinds import kind as wallet
from wormsig.bitcoin.keys import KeyOrigin
from wormsig.bitcoin.network import Network
from wormsig.bitcoin.taproot import NUMS_KEY, verify_control_block
from wormsig.errors import DescriptorError
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.derive import Deriver, locate
from wormsig.wallet.describe import unspendable_key, ways_to_spend
from wormsig.wallet.descriptor import parse_descriptor
from wormsig.wallet.policy import KeyUse, MiniscriptPolicy, MultisigPolicy, TaprootPolicy, Unspendable
from wormsig.wallet.record import read_record, write_record
from wormsig.wallet.remarks import remarks
from wormsig.wallet.sources import join_branches

if TYPE_CHECKING:
    from wormsig.wallet.model import Wallet

NAMES = list(descriptors())
TAPROOT = [name for name in NAMES if name.startswith("tr")]
PRINTS = [person.master.fingerprint.hex() for person in PEOPLE]


@cache
def theirs(name: str, branch: int) -> Any:
    from btclib_wallet.descriptors import multipath_descriptors, parse  # noqa: PLC0415  slow to import

    return parse(multipath_descriptors(wallet(name).descriptor, "regtest")[branch], "regtest")


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_canonical(name: str) -> None:
    ours = wallet(name)
    assert ours.descriptor == with_checksum(descriptors()[name])
    again = parse_descriptor(ours.descriptor.replace("h/", "'/").replace("h]", "']")[:-9], Network.REGTEST)
    assert again.id == ours.id
    assert join_branches(ours.branch_descriptor(1), ours.branch_descriptor(0)) == ours.descriptor


@pytest.mark.parametrize("name", NAMES)
def test_records_bring_the_same_wallet(name: str) -> None:
    ours = wallet(name)
    read = read_record(write_record(ours), "the wallet")
    assert read == ours
    assert (read.id, read.condition, read.threshold) == (ours.id, ours.condition, ours.threshold)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("branch", "index"), [(0, 3), (1, 2**31 - 1)])
def test_btclib_derives_the_same(name: str, branch: int, index: int) -> None:
    ours = Deriver(wallet(name)).script(branch, index)
    (spk,), provider = theirs(name, branch).expand(index)
    assert spk.script == ours.script_pubkey
    assert spk.address == Deriver(wallet(name)).address(branch, index)
    assert ours.witness is None or ours.witness in provider.scripts
    assert ours.redeem is None or ours.redeem in provider.scripts
    assert list(ours.origins) == list(ours.pubkeys)
    assert [origin.fingerprint for origin in ours.origins.values()] == [key.fingerprint for key in ours.holders]
    expected = {key[-len(ours.pubkeys[0]) :]: origin for key, origin in provider.keys.items()}
    for pubkey, origin in ours.origins.items():
        assert (origin.fingerprint, origin.path) == (
            expected[pubkey].master_fingerprint,
            tuple(expected[pubkey].der_path),
        )


@pytest.mark.parametrize("name", TAPROOT)
def test_taproot_is_taken_apart_as_btclib_does(name: str) -> None:
    made = Deriver(wallet(name)).script(1, 9)
    btclib = theirs(name, 1)
    assert made.taproot is not None
    output = made.taproot.output
    assert (output.merkle_root or b"") == btclib.taproot_merkle_root(9)
    tree = output.tree
    leaves = [] if tree is None else tree.leaves
    assert [(depth, leaf.version, leaf.script) for depth, leaf in leaves] == btclib.taproot_tree(9)
    blocks = [output.control_block(number) for number in range(len(leaves))]
    assert {block: (leaf.script, leaf.version) for block, (_, leaf) in zip(blocks, leaves, strict=True)} == (
        btclib.taproot_leaf_scripts(9)
    )
    for block, (_, leaf) in zip(blocks, leaves, strict=True):
        assert verify_control_block(block, leaf.script, output.output_key)
    hers = btclib._taproot_hd_key_paths(9, None)
    assert set(hers) <= set(made.taproot.derivations)
    for key, (hashes, origin) in hers.items():
        derivation = made.taproot.derivations[key]
        assert derivation.leaf_hashes == tuple(sorted(hashes))
        assert derivation.origin == KeyOrigin(origin.master_fingerprint, tuple(origin.der_path))


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_found_again(name: str) -> None:
    target = Deriver(wallet(name)).script(1, 7)
    assert locate(Deriver(wallet(name)), target.script_pubkey, [(1, 7)]) == target
    assert locate(Deriver(wallet(name)), target.script_pubkey, limit=8) == target
    assert locate(Deriver(wallet(name)), target.script_pubkey, limit=7) is None


@pytest.mark.parametrize("name", NAMES)
def test_key_origins_lead_to_the_branch(name: str) -> None:
    ours = wallet(name)
    places = ours.origin_branches
    for branch in (0, 1):
        made = Deriver(ours).script(branch, 5)
        for origin, derived in zip(made.origins.values(), made.signers.derived, strict=True):
            assert places.get(origin.encode()[:-4]) == (branch if derived else None)


@pytest.mark.parametrize(
    ("name", "threshold", "summary"),
    [
        ("wsh", 2, "2 of 3"),
        ("wsh-recovery", 2, "2 of 3, or 1 of 1 after 1000 blocks (about 7 days)"),
        ("wsh-decaying", 3, "3 of 3, or 2 of 3 after 12960 blocks (about 90 days)"),
        ("wsh-same-keys-later", 2, "2 of 2, or 1 of 2 after 65535 blocks (about 455 days)"),
        ("wsh-or-i", 2, "2 of 2, or 1 of 1 from 2030-03-17 17:46 UTC on"),
        ("wsh-or-b", 2, "1 of 1 and 1 of 2"),
        ("wsh-and-n", 3, "3 of 3"),
        ("tr-sortedmulti-a", 2, "2 of 3"),
        ("tr-internal-member", 1, "1 of 1, or 2 of 3"),
        ("tr-pairs", 2, "2 of 2 (3 ways)"),
        ("tr-same-keys-later", 1, "1 of 4"),
        ("tr-musig", 3, "3 of 3 (MuSig2)"),
        ("tr-musig-leaf", 3, "3 of 3 (MuSig2), or 2 of 2 (MuSig2) after 12960 blocks (about 90 days)"),
    ],
)
def test_what_it_takes_to_spend(name: str, threshold: int, summary: str) -> None:
    assert (wallet(name).threshold, wallet(name).summary) == (threshold, summary)


def test_no_more_signers_are_needed_than_there_are_keys() -> None:
    """Any two of three pairs: four signatures, by three people."""
    a, b, c = (person.key().text() for person in PEOPLE[:3])
    pairs = f"multi(2,{a}/<0;1>/*,{b}/<0;1>/*),a:multi(2,{a}/<2;3>/*,{c}/<0;1>/*),a:multi(2,{b}/<2;3>/*,{c}/<2;3>/*)"
    assert parse_descriptor(f"wsh(thresh(2,{pairs}))", Network.REGTEST).threshold == 3


def test_policies_are_typed() -> None:
    assert wallet("sh").policy == MultisigPolicy(2, sorted=True)
    assert (wallet("sh").kind, wallet("sh-wsh-recovery").kind, wallet("tr-tree").kind) == (
        "multisig",
        "miniscript",
        "taproot",
    )
    later = wallet("wsh-same-keys-later").policy
    assert isinstance(later, MiniscriptPolicy)
    assert later.uses == (KeyUse((0,)), KeyUse((1,)), KeyUse((0,), (2, 3)), KeyUse((1,), (2, 3)))
    other = wallet("tr-internal-other").policy
    assert isinstance(other, TaprootPolicy)
    assert other.internal == 0
    assert len(other.leaves) == 2
    assert [key.fingerprint.hex() for key in wallet("tr-internal-other").keys] == [PRINTS[4], *PRINTS[:4]]
    assert [wallet(name).sorted for name in ("wsh", "wsh-multi", "tr-sortedmulti-a", "tr-multi-a", "tr-tree")] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_ways_are_named() -> None:
    tree = ways_to_spend(wallet("tr-tree"))
    assert [(way.where, way.words) for way in tree] == [
        ("leaf 1", "2 of alice, bob, carol"),
        ("leaf 2", "cosigner4 and cosigner5 after 52560 blocks (about 365 days)"),
        ("leaf 3", "alice from block 900000 on"),
    ]
    assert [way.where for way in ways_to_spend(wallet("tr-internal-other"))] == ["key path", "leaf 1", "leaf 2"]
    assert ways_to_spend(wallet("tr-musig"))[0].words == "alice and bob and carol together (MuSig2)"
    recovery = ways_to_spend(wallet("wsh-recovery"))
    assert [(way.where, way.words) for way in recovery] == [
        ("way 1", "2 of alice, bob, carol"),
        ("way 2", "cosigner4 after 1000 blocks (about 7 days)"),
    ]
    assert wallet("wsh-recovery").template == ("wsh(or_d(multi(2,@0/**,@1/**,@2/**),and_v(v:pkh(@3/**),older(1000))))")
    assert wallet("tr-same-keys-later").template.startswith("tr(@0/**,{sortedmulti_a(1,@0/<2;3>/*,@1/**),")
    assert wallet("tr-nums-xpub").template == "tr(H,multi_a(2,@0/**,@1/**,@2/**))"


# --- BIP341's point H ---------------------------------------------------------------------------------------------


def taproot_under(internal: str) -> Wallet:
    text = descriptors()["tr-multi-a"].replace(NUMS_KEY.hex(), internal)
    return parse_descriptor(text, Network.REGTEST)


def test_h_is_recognised_in_every_form() -> None:
    plain = wallet("tr-multi-a")
    assert taproot_under("02" + NUMS_KEY.hex().upper()).id == plain.id
    assert unspendable_key(plain) == "BIP341's point H: nobody can sign with it"
    keys = [person.key().xpub.pubkey for person in PEOPLE[:3]]
    made = "its chain code made of the wallet's keys"
    for chain in (keys, sorted(keys)):
        assert made in (unspendable_key(taproot_under(f"{nums_xpub(chain)}/<0;1>/*")) or "")
    odd = taproot_under(f"{nums_xpub([], chain_code=bytes(32))}/<7;9>/*")
    assert "of unknown making" in (unspendable_key(odd) or "")
    policy = odd.policy
    assert isinstance(policy, TaprootPolicy)
    assert isinstance(policy.internal, Unspendable)
    assert policy.internal.branches == (7, 9)
    for each in (plain, odd):
        assert each.threshold == 2
        assert len(each.keys) == 3
        assert not any("internal key" in remark for remark in remarks(each))
    assert unspendable_key(wallet("tr-musig")) is None
    assert unspendable_key(wallet("wsh")) is None


def test_nobody_can_sign_with_h_elsewhere() -> None:
    key = f"{nums_xpub([])}/<0;1>/*"
    for text in (
        descriptors()["wsh"].replace("))", f",{key}))"),
        descriptors()["tr-multi-a"].replace("))", f",{key}))"),
        descriptors()["tr-musig"].replace("musig(", f"musig({nums_xpub([])},"),
    ):
        with pytest.raises(DescriptorError, match="point H: nobody can sign"):
            parse_descriptor(text, Network.REGTEST)


@pytest.mark.parametrize("internal", ["a" * 64, "02" + "a" * 64, "[d34db33f/1]" + NUMS_KEY.hex()])
def test_a_single_key_is_no_internal_key(internal: str) -> None:
    with pytest.raises(DescriptorError, match="single public key") as caught:
        taproot_under(internal)
    assert NUMS_KEY.hex() in (caught.value.hint or "")


def test_the_network_of_an_unspendable_key_counts_too() -> None:
    from wormsig.bitcoin.keys import ExtendedPublicKey  # noqa: PLC0415  for this test alone

    text = ExtendedPublicKey(0, bytes(4), 0, bytes(32), b"\x02" + NUMS_KEY, mainnet=True).text()
    with pytest.raises(DescriptorError, match="do not mix"):
        taproot_under(f"{text}/<0;1>/*")


# --- remarks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tr-internal-member", f"key 1 [{PRINTS[0]}] can spend everything alone, at once"),
        ("tr-internal-other", f"key 1 [{PRINTS[4]}] is the taproot internal key and stands in none of the scripts"),
        ("tr-same-keys-later", "every single cosigner can spend everything"),
        ("tr-multi-a", "written order (multi_a)"),
        ("tr-hash", "needs the preimage of sha256"),
        ("wsh-hash160", "needs the preimage of hash160"),
        ("wsh-hash160", "every key is needed"),
        ("wsh-or-b", f"no way to spend goes without key 3 [{PRINTS[2]}]: losing it"),
        ("wsh-wrappers", f"key 1 [{PRINTS[0]}] and key 2 [{PRINTS[1]}]: losing one of them"),
        ("tr-musig", "wormsig cannot sign for them yet"),
        ("tr-musig", "has a path for wsh (BIP48), the wallet is tr"),
    ],
)
def test_remarks(name: str, words: str) -> None:
    assert any(words in remark for remark in remarks(wallet(name)))


@pytest.mark.parametrize("name", ["wsh", "wsh-recovery", "wsh-decaying"])
def test_nothing_to_remark(name: str) -> None:
    assert remarks(wallet(name)) == ()


def test_bits_of_a_lock_that_do_not_count_are_remarked() -> None:
    text = descriptors()["wsh-recovery"].replace("older(1000)", "older(66536)")
    found = parse_descriptor(text, Network.REGTEST)
    assert "after 1000 blocks" in found.summary
    assert any("older(66536) counts as older(1000)" in remark for remark in remarks(found))
