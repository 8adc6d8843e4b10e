from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.cosigners import make_wallet, people
from support.spending import approved, spend
from wormsig.errors import InputError, NodeError, RefusedError
from wormsig.psbt import codec
from wormsig.psbt.convert import to_version_2
from wormsig.psbt.model import Psbt, partial_sigs
from wormsig.psbt.modifiable import TX_MODIFIABLE
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import check_signatures
from wormsig.review import approve as gate
from wormsig.signers.core import CoreWalletSigner

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE, BOB, CAROL = PEOPLE = people(3, "core")
WALLET = make_wallet(PEOPLE)
SAVINGS = people(1, "savings")[0]
PRIVATE = make_wallet([SAVINGS], 1, name="private")  # another key in the same Core wallet


def pairs(person, place: tuple[int, int]) -> dict[bytes, bytes]:
    key = person.master.derive((*person.key().origin.path, *place))
    return {key.pubkey: key.seckey}


def core(change: Callable[[Psbt], Psbt]) -> CoreWalletSigner:
    """A node's answer, made from what it was given."""
    return CoreWalletSigner("alice", lambda raw: codec.serialize(change(codec.parse(raw))))


def test_what_the_node_signed_comes_back() -> None:
    psbt = spend(WALLET, [(0, 0), (1, 2)])
    signer = core(lambda given: sign_inputs(given, {0: pairs(ALICE, (0, 0)), 1: pairs(ALICE, (1, 2))}))
    signed = signer.sign(approved(psbt, WALLET))
    assert [check.valid for check in check_signatures(signed)] == [True, True]
    assert signer.label == "core:alice"
    assert signer.fingerprints is None


def test_c23_signatures_on_inputs_that_were_not_approved_are_dropped() -> None:
    psbt = spend(WALLET, [(0, 0)], others=[(PRIVATE, (0, 4))])
    signer = core(lambda given: sign_inputs(given, {0: pairs(ALICE, (0, 0)), 1: pairs(SAVINGS, (0, 4))}))
    signed = signer.sign(approved(psbt, WALLET))
    assert len(partial_sigs(signed, 0)) == 1
    assert signed.inputs[1] == psbt.inputs[1]
    only_foreign = core(lambda given: sign_inputs(given, {1: pairs(SAVINGS, (0, 4))}))
    with pytest.raises(InputError, match="added no signature"):
        only_foreign.sign(approved(psbt, WALLET))


def test_a_node_that_signs_nothing() -> None:
    with pytest.raises(InputError, match="core:alice added no signature"):
        core(lambda given: given).sign(approved(spend(WALLET), WALLET))


def test_a_signature_that_does_not_count() -> None:
    def single(given: Psbt) -> Psbt:
        return sign_inputs(given, {0: pairs(ALICE, (0, 0))}, sighash_type=0x83)

    with pytest.raises(InputError, match="sighash type is not allowed"):
        core(single).sign(approved(spend(WALLET), WALLET))


def test_another_transaction_or_garbage() -> None:
    with pytest.raises(NodeError, match="returned another PSBT"):
        core(lambda _: spend(WALLET, [(0, 9)])).sign(approved(spend(WALLET), WALLET))
    with pytest.raises(NodeError, match="returned another PSBT"):
        CoreWalletSigner("alice", lambda _: b"psbt").sign(approved(spend(WALLET), WALLET))


def test_c20_the_node_is_not_asked_about_another_psbt_than_approved() -> None:
    yes = approved(spend(WALLET), WALLET)
    other = gate.Approved(spend(WALLET, [(0, 1)]), yes.report, WALLET, yes.psbt_sha256, yes.inputs, yes.by, gate._SEAL)

    def never(_: bytes) -> bytes:
        raise AssertionError("the node was asked")

    with pytest.raises(RefusedError):
        CoreWalletSigner("alice", never).sign(other)


def test_of_version_2_the_node_gets_version_0_and_its_answer_comes_back_in_version_2() -> None:
    old = spend(WALLET, [(0, 0)], others=[(PRIVATE, (0, 4))])
    closed = to_version_2(old)
    psbt = closed.with_global({**closed.global_map, TX_MODIFIABLE: b"\x03"})
    given = []

    def sign(asked: Psbt) -> Psbt:
        given.append(asked)
        return sign_inputs(asked, {0: pairs(ALICE, (0, 0)), 1: pairs(SAVINGS, (0, 4))})

    signed = core(sign).sign(approved(psbt, WALLET))
    assert given == [old]
    assert codec.parse(codec.serialize(signed)) == signed
    assert signed.global_map == {**psbt.global_map, TX_MODIFIABLE: b"\x00"}
    assert signed.inputs[0].items() - psbt.inputs[0].items() == sign(old).inputs[0].items() - old.inputs[0].items()
    assert signed.inputs[1] == psbt.inputs[1]
