"""Software keys sign for every kind of wallet, and what they sign becomes final."""

from __future__ import annotations

import pytest

from support.kinds import PEOPLE, kind
from support.spending import approved, spend
from wormsig.bitcoin.network import Network
from wormsig.errors import NotSupportedError
from wormsig.psbt.finalizer import can_finalize, finalize
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
