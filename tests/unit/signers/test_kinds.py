"""Software keys sign for every kind of wallet, and what they sign becomes final."""

from __future__ import annotations

import pytest

from support.kinds import PEOPLE, kind
from support.spending import approved, spend
from wormsig.bitcoin.network import Network
from wormsig.errors import NotSupportedError, RefusedError
from wormsig.psbt.finalizer import can_finalize, finalize
from wormsig.psbt.model import TAP_BIP32_DERIVATION, TAP_LEAF_SCRIPT
from wormsig.psbt.updater import with_sighash_type
from wormsig.psbt.verify import verify
from wormsig.signers.secret import read_secret
from wormsig.signers.software import SoftwareKey

ALICE, BOB, CAROL, DAVE, ERIN = PEOPLE


def sign(psbt, wallet, *people):
    for person in people:
        key = SoftwareKey(read_secret(person.master.text(), Network.REGTEST), wallet, label=person.name)
        psbt = key.sign(approved(psbt, wallet))
    return psbt


@pytest.mark.parametrize(
    ("name", "signing"),
    [
        ("wsh", (ALICE, CAROL)),
        ("sh", (BOB, CAROL)),
        ("wsh-recovery", (BOB, CAROL)),
        ("wsh-decaying", (ALICE, BOB, CAROL)),
        ("wsh-same-keys-later", (ALICE, BOB)),
        ("wsh-or-b", (CAROL, ALICE)),
        ("sh-wsh-recovery", (ALICE, BOB)),
        ("tr-sortedmulti-a", (CAROL, ALICE)),
        ("tr-multi-a", (BOB, CAROL)),
        ("tr-nums-xpub", (ALICE, BOB)),
        ("tr-internal-member", (ALICE,)),
        ("tr-internal-member", (BOB, CAROL)),
        ("tr-internal-other", (ERIN,)),
        ("tr-internal-other", (ALICE, CAROL)),
        ("tr-tree", (BOB, CAROL)),
        ("tr-pairs", (ALICE, CAROL)),
        ("tr-same-keys-later", (BOB,)),
        ("tr-same-keys-later", (DAVE,)),
    ],
)
def test_enough_signatures_make_it_final(name, signing):
    wallet = kind(name)
    psbt = spend(wallet, [(0, 0), (1, 3)])
    for count, person in enumerate(signing):
        assert not can_finalize(verify(psbt)), count
        psbt = sign(psbt, wallet, person)
    assert finalize(verify(psbt)).tx == psbt.tx


def test_musig_is_not_signed_for_yet():
    wallet = kind("tr-musig")
    psbt = spend(wallet)
    with pytest.raises(NotSupportedError, match="MuSig2"):
        sign(psbt, wallet, ALICE)


def test_a_key_that_takes_part_with_musig_alone_is_refused_before_anything_is_asked():
    with pytest.raises(NotSupportedError, match="alice takes part in wallet tr-musig with MuSig2 only"):
        SoftwareKey(read_secret(ALICE.master.text(), Network.REGTEST), kind("tr-musig"), label="alice")


def without(psbt, *types):
    fields = {key: value for key, value in psbt.inputs[0].items() if key[0] not in types}
    return psbt.with_input(0, fields)


def test_c21_a_taproot_psbt_that_does_not_show_where_our_key_stands_is_refused():
    wallet = kind("tr-multi-a")
    bare = without(spend(wallet), TAP_LEAF_SCRIPT)
    with pytest.raises(RefusedError, match=r"our key at 0/0 is in nothing that the PSBT shows .*C21") as caught:
        sign(bare, wallet, ALICE)
    assert caught.value.hint is not None


def test_who_holds_the_internal_key_signs_by_it_alone_and_misses_no_leaf():
    wallet = kind("tr-same-keys-later")  # alice: the internal key; another key of hers, and bob's, in a leaf
    psbt = spend(wallet)
    for shown in (psbt, without(psbt, TAP_LEAF_SCRIPT)):
        assert {len(key) for key in verify(sign(shown, wallet, ALICE)).signatures[0]} == {32}


def test_the_sighash_type_that_an_input_asks_for_is_used():
    wallet = kind("tr-multi-a")
    for asked, size in ((0, 64), (1, 65)):
        psbt = with_sighash_type(spend(wallet), 0, asked)
        (signature,) = verify(sign(psbt, wallet, BOB)).signatures[0].values()
        assert len(signature) == size


def test_keys_sign_what_their_place_says_whatever_the_derivations_claim():
    wallet = kind("tr-tree")
    psbt = spend(wallet, [(1, 7)])
    assert without(sign(psbt, wallet, ALICE), TAP_BIP32_DERIVATION) == sign(
        without(psbt, TAP_BIP32_DERIVATION), wallet, ALICE
    )
