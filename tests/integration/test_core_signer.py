"""A real bitcoind as one of the signers: its wallet holds one cosigner's key and knows nothing of the multisig."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.cosigners import make_wallet, people
from support.spending import approved, spend
from wormsig.bitcoin.network import Network
from wormsig.errors import InputError
from wormsig.node.client import Node
from wormsig.psbt import codec
from wormsig.psbt.convert import to_version_0, to_version_2
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.verify import check_signatures, verify
from wormsig.signers.core import CoreWalletSigner
from wormsig.signers.secret import read_secret
from wormsig.signers.software import SoftwareKey
from wormsig.wallet.checksum import with_checksum

if TYPE_CHECKING:
    from wormsig.node.regtest import RegtestNode

ALICE, BOB, CAROL = PEOPLE = people(3, "core signer")
SAVINGS = people(1, "core signer's own")[0]


def core_wallet(node: RegtestNode, name: str, script_type: str) -> CoreWalletSigner:
    """A Core wallet with Alice's account key and a private one."""
    node.rpc.call("createwallet", wallet_name=name, blank=True)
    keys = (ALICE.private_expression(script_type), SAVINGS.private_expression())
    wanted = [
        {"desc": with_checksum(f"wpkh({key}/{branch}/*)"), "timestamp": "now", "range": [0, 30]}
        for key in keys
        for branch in (0, 1)
    ]
    assert all(done["success"] for done in node.rpc.for_wallet(name).call("importdescriptors", wanted))
    client = Node(node.settings)
    return CoreWalletSigner(name, lambda psbt: client.process_psbt(name, psbt))


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
def test_core_and_a_software_key_complete_a_transaction(node: RegtestNode, script_type: str) -> None:
    wallet = make_wallet(PEOPLE, script_type=script_type)
    places = [(0, 0), (1, 7), (0, 21)]
    psbt = spend(wallet, places)
    signer = core_wallet(node, f"core-{script_type}", script_type)
    by_core = signer.sign(approved(psbt, wallet))
    assert [(check.input, check.valid) for check in check_signatures(by_core)] == [(0, True), (1, True), (2, True)]
    alice = SoftwareKey(read_secret(ALICE.master.text(), Network.REGTEST), wallet, label="key:alice")
    assert [(c.pubkey, c.signature) for c in check_signatures(alice.sign(approved(psbt, wallet)))] == [
        (c.pubkey, c.signature) for c in check_signatures(by_core)
    ]
    bob = SoftwareKey(read_secret(BOB.private_expression(script_type), Network.REGTEST), wallet, label="key:bob")
    assert finalize(verify(bob.sign(approved(by_core, wallet)))).tx == psbt.tx


def test_core_signs_version_2_through_a_version_0_copy(node: RegtestNode) -> None:
    wallet = make_wallet(PEOPLE)
    old = spend(wallet, [(0, 0), (1, 7)])
    signer = core_wallet(node, "core-v2", "wsh")
    signed = signer.sign(approved(to_version_2(old), wallet))
    assert signed.version == 2
    assert codec.serialize(signed) == codec.serialize(to_version_2(signer.sign(approved(old, wallet))))
    bob = SoftwareKey(read_secret(BOB.private_expression("wsh"), Network.REGTEST), wallet, label="key:bob")
    final = finalize(verify(bob.sign(approved(signed, wallet))))
    assert extract(final) == extract(finalize(verify(to_version_0(bob.sign(approved(signed, wallet))))))


def test_c23_what_core_signs_beside_the_approved_inputs_is_dropped(node: RegtestNode) -> None:
    wallet = make_wallet(PEOPLE)
    savings = make_wallet([SAVINGS], 1, name="savings")
    psbt = spend(wallet, [(0, 0)], others=[(savings, (0, 3))])
    signer = core_wallet(node, "core-c23", "wsh")
    all_it_signs = codec.parse(Node(node.settings).process_psbt("core-c23", codec.serialize(psbt)))
    assert [check.input for check in check_signatures(all_it_signs)] == [0, 1]
    signed = signer.sign(approved(psbt, wallet))
    assert [check.input for check in check_signatures(signed)] == [0]
    assert signed.inputs[1] == psbt.inputs[1]


def test_a_core_wallet_without_the_key(node: RegtestNode) -> None:
    wallet = make_wallet([BOB, CAROL])
    with pytest.raises(InputError, match="core:core-none added no signature"):
        core_wallet(node, "core-none", "wsh").sign(approved(spend(wallet), wallet))
