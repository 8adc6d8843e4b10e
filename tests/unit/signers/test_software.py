from __future__ import annotations

import pytest

from support.cosigners import make_wallet, people
from support.spending import approved, spend
from support.values import replace
from wormsig.bitcoin.keys import KeyOrigin, parse_path
from wormsig.bitcoin.network import Network
from wormsig.errors import InputError, KeyFileError, RefusedError
from wormsig.psbt import updater
from wormsig.psbt.combiner import with_signatures
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.model import partial_sigs
from wormsig.psbt.verify import check_signatures, verify
from wormsig.review import approve as gate
from wormsig.review.context import ReviewContext
from wormsig.signers.secret import from_words, read_secret
from wormsig.signers.software import SoftwareKey
from wormsig.wallet.model import Wallet, WalletKey

PEOPLE = people(3, "software")
ALICE, BOB, CAROL = PEOPLE


def signer(person, wallet: Wallet, *, master: bool = True, script_type: str = "wsh") -> SoftwareKey:
    text = person.master.text() if master else person.private_expression(script_type)
    return SoftwareKey(read_secret(text, Network.REGTEST), wallet, label=f"key:{person.name}.key")


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("master", [True, False])
def test_signs_every_input_of_the_wallet(script_type: str, is_sorted: bool, master: bool) -> None:
    wallet = make_wallet(PEOPLE, script_type=script_type, is_sorted=is_sorted)
    psbt = spend(wallet, [(0, 0), (1, 7), (0, 19)])
    key = signer(BOB, wallet, master=master, script_type=script_type)
    signed = key.sign(approved(psbt, wallet))
    checks = check_signatures(signed)
    assert [check.input for check in checks] == [0, 1, 2]
    assert all(check.valid for check in checks)
    for check, place in zip(checks, [(0, 0), (1, 7), (0, 19)], strict=True):
        assert check.pubkey == BOB.key(script_type).xpub.derive(place).pubkey
    assert key.fingerprints == {BOB.master.fingerprint}
    assert not check_signatures(psbt)


def test_two_cosigners_complete_it() -> None:
    wallet = make_wallet(PEOPLE)
    psbt = spend(wallet, [(0, 0), (1, 3)])
    for person in (ALICE, CAROL):
        psbt = signer(person, wallet).sign(approved(psbt, wallet))
    assert finalize(verify(psbt)).tx == psbt.tx


def test_c21_places_come_from_the_wallet_not_from_the_psbt() -> None:
    wallet = make_wallet(PEOPLE)
    bare = spend(wallet, [(0, 5)], origins=False)
    signed = signer(ALICE, wallet).sign(approved(bare, wallet))
    assert [check.valid for check in check_signatures(signed)] == [True]


def altered(yes: gate.Approved, path: str | None, *, mine: bool = True) -> gate.Approved:
    """An approval whose report says something else about input 0: no review makes one."""
    view = replace(yes.report.inputs[0], path=path, mine=mine)
    report = replace(yes.report, inputs=(view, *yes.report.inputs[1:]))
    return gate.Approved(yes.psbt, report, yes.wallet, yes.psbt_sha256, yes.inputs, yes.by, gate._SEAL)


@pytest.mark.parametrize("path", ["0/6", "1/5", "2/5", "0/2147483648", None])
def test_c21_a_place_that_does_not_have_our_key_is_refused(path: str | None) -> None:
    wallet = make_wallet(PEOPLE)
    yes = approved(spend(wallet, [(0, 5)]), wallet)
    with pytest.raises(RefusedError):
        signer(ALICE, wallet).sign(altered(yes, path))
    with pytest.raises(RefusedError):
        signer(ALICE, wallet).sign(altered(yes, "0/5", mine=False))


def test_c23_inputs_that_are_not_the_wallets_are_not_signed() -> None:
    wallet = make_wallet(PEOPLE)
    private = make_wallet(people(1, "somebody else"), 1, name="private")
    psbt = spend(wallet, [(0, 0)], others=[(private, (0, 0))])
    yes = approved(psbt, wallet)
    assert yes.inputs == {0}
    signed = signer(ALICE, wallet).sign(yes)
    assert [check.input for check in check_signatures(signed)] == [0]
    assert signed.inputs[1] == psbt.inputs[1]


def test_c20_another_psbt_than_approved_is_refused() -> None:
    wallet = make_wallet(PEOPLE)
    yes = approved(spend(wallet), wallet)
    other = spend(wallet, [(0, 1)])
    swapped = gate.Approved(other, yes.report, yes.wallet, yes.psbt_sha256, yes.inputs, yes.by, gate._SEAL)
    with pytest.raises(RefusedError, match="changed between review and signing"):
        signer(ALICE, wallet).sign(swapped)


def test_another_wallets_approval_is_refused() -> None:
    wallet, other = make_wallet(PEOPLE), make_wallet(PEOPLE, 3, name="other")
    with pytest.raises(RefusedError, match="not for other"):
        signer(ALICE, wallet).sign(approved(spend(other), other))


def test_keys_that_are_none_of_the_wallets() -> None:
    wallet = make_wallet([BOB, CAROL])
    with pytest.raises(KeyFileError, match="is not one of the keys of wallet family") as caught:
        signer(ALICE, wallet)
    assert BOB.master.fingerprint.hex() in str(caught.value.hint)


def test_a_key_of_another_network() -> None:
    secret = from_words("abandon " * 11 + "about", Network.SIGNET)
    with pytest.raises(KeyFileError, match="is for signet, wallet family for regtest"):
        SoftwareKey(secret, make_wallet(PEOPLE), label="key:x")


def test_a_key_with_the_fingerprint_and_another_account() -> None:
    path = parse_path("48h/1h/9h/2h")
    other = read_secret(
        f"[{ALICE.master.fingerprint.hex()}/48h/1h/9h/2h]{ALICE.master.derive(path).text()}", Network.REGTEST
    )
    with pytest.raises(KeyFileError, match="gives another key"):
        SoftwareKey(other, make_wallet(PEOPLE), label="key:x")


def test_one_master_key_signs_for_both_of_its_accounts() -> None:
    path = parse_path("48h/1h/9h/2h")
    second = WalletKey(KeyOrigin(ALICE.master.fingerprint, path), ALICE.master.derive(path).neuter())
    base = make_wallet([ALICE, BOB])
    wallet = replace(base, keys=(*base.keys, second))
    signed = signer(ALICE, wallet).sign(approved(spend(wallet), wallet))
    assert len(partial_sigs(signed, 0)) == 2
    assert all(check.valid for check in check_signatures(signed))


def test_signing_again_changes_nothing() -> None:
    wallet = make_wallet(PEOPLE)
    key = signer(ALICE, wallet)
    once = key.sign(approved(spend(wallet), wallet))
    assert key.sign(approved(once, wallet)).inputs == once.inputs


def test_the_sighash_type_that_the_review_allowed_is_used() -> None:
    wallet = make_wallet(PEOPLE)
    psbt = updater.with_sighash_type(spend(wallet, [(0, 0), (0, 1)]), 1, 0x81)
    with pytest.raises(RefusedError, match="C5"):
        approved(psbt, wallet)
    allowed = frozenset({0x01, 0x81})
    signed = signer(ALICE, wallet).sign(approved(psbt, wallet, ReviewContext(allowed_sighash=allowed)))
    assert [check.valid for check in check_signatures(signed, allowed=allowed)] == [True, True]
    assert [sig[-1] for index in (0, 1) for sig in partial_sigs(signed, index).values()] == [0x01, 0x81]


def test_final_inputs_are_left_alone() -> None:
    wallet = make_wallet(PEOPLE, 1)
    psbt = spend(wallet, [(0, 0), (0, 1)])
    by_bob = signer(BOB, wallet).sign(approved(psbt, wallet))
    final = finalize(verify(by_bob))
    half = psbt.with_input(0, dict(final.inputs[0]))
    signed = signer(ALICE, wallet).sign(approved(half, wallet))
    assert signed.inputs[0] == final.inputs[0]
    assert len(partial_sigs(signed, 1)) == 1
    with pytest.raises(InputError, match="final already"):
        signer(ALICE, wallet).sign(approved(final, wallet))


def test_m1_no_secret_in_repr() -> None:
    wallet = make_wallet(PEOPLE)
    key = signer(ALICE, wallet)
    key.sign(approved(spend(wallet), wallet))
    account = ALICE.master.derive(parse_path("48h/1h/0h/2h"))
    shown = f"{key!r} {key} {key._branches!r} {key._accounts!r}"
    for secret in (ALICE.master, account, account.child(0)):
        assert secret.seckey.hex() not in shown
        assert repr(secret.seckey) not in shown
        assert repr(secret.chain_code) not in repr(key._branches)
        assert secret.text() not in shown


def test_with_signatures_of_others_kept() -> None:
    wallet = make_wallet(PEOPLE)
    psbt = signer(BOB, wallet).sign(approved(spend(wallet), wallet))
    ((pubkey, signature),) = partial_sigs(psbt, 0).items()
    signed = signer(ALICE, wallet).sign(approved(psbt, wallet))
    assert partial_sigs(signed, 0)[pubkey] == signature
    assert with_signatures(psbt, []) == psbt
    assert len(partial_sigs(signed, 0)) == 2
