from __future__ import annotations

from typing import Any

import pytest

from support.psbts import coin, key_at, spend
from support.values import replace
from wormsig.bitcoin import secp, sighash
from wormsig.bitcoin.script import p2wsh_script, push
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput
from wormsig.errors import InputError, PsbtError
from wormsig.psbt import creator
from wormsig.psbt.contribution import Contribution
from wormsig.psbt.model import WITNESS_SCRIPT, WITNESS_UTXO, Psbt, partial_sigs
from wormsig.psbt.pushes import pushed
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.updater import with_input_scripts, with_previous_tx, with_sighash_type
from wormsig.psbt.verify import SignatureProblem, Verified, check_signatures, digest, verify

ALL, NONE, SINGLE, ANYONECANPAY = 1, 2, 3, 0x80
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
COIN = coin("wsh", 0)
PSBT = spend([COIN])


def with_signature(psbt: Psbt, pubkey: bytes, signature: bytes, index: int = 0) -> Psbt:
    return psbt.with_input(index, {**psbt.inputs[index], b"\x02" + pubkey: signature})


def signed_as(kind: int, psbt: Psbt = PSBT, who: int = 0) -> bytes:
    key = COIN.keys[who]
    return secp.ecdsa_sign(key.seckey, digest(psbt, 0, input_scripts(psbt, 0), kind)) + bytes([kind])


def problem(psbt: Psbt, **options: Any) -> SignatureProblem | None:
    (check,) = check_signatures(psbt, **options)
    return check.problem


@pytest.mark.parametrize("kind", ["wsh", "sh-wsh", "sh", "bare", "wpkh", "sh-wpkh", "pkh"])
def test_good_signatures_count_for_every_type(kind: str) -> None:
    each = coin(kind, 0)
    names = range(len(each.keys))
    signed = sign_inputs(spend([each]), {0: each.secrets(*names)})
    checks = check_signatures(signed)
    assert {check.pubkey for check in checks if check.valid} == set(each.pubkeys)
    assert verify(signed).signatures == {0: partial_sigs(signed, 0)}


def test_c22_a_signature_over_another_message_does_not_count() -> None:
    other = secp.ecdsa_sign(COIN.keys[0].seckey, bytes(32)) + b"\x01"
    bad = with_signature(PSBT, COIN.pubkeys[0], other)
    assert problem(bad) is SignatureProblem.INVALID
    with pytest.raises(PsbtError, match="does not verify") as caught:
        verify(bad)
    assert (caught.value.where, caught.value.field) == ("input 0", "PSBT_IN_PARTIAL_SIG")


def test_dropping_keeps_the_good_ones() -> None:
    good = with_signature(PSBT, COIN.pubkeys[0], signed_as(ALL))
    both = with_signature(good, COIN.pubkeys[1], signed_as(ALL))
    verified = verify(both, drop=True)
    assert verified.psbt == good
    assert verified.signatures == {0: {COIN.pubkeys[0]: signed_as(ALL)}}


def test_another_amount_makes_it_invalid() -> None:
    signed = with_signature(spend([COIN], previous=False), COIN.pubkeys[0], signed_as(ALL))
    assert problem(signed) is None
    lie = TxOutput(COIN.output.sats + 1, COIN.output.script).serialize()
    assert problem(signed.with_input(0, {**signed.inputs[0], WITNESS_UTXO: lie})) is SignatureProblem.INVALID


def high_s(signature: bytes) -> bytes:
    r_size = signature[3]
    s = ORDER - int.from_bytes(signature[6 + r_size : -1], "big")
    body = signature[2 : 4 + r_size] + b"\x02\x21" + s.to_bytes(33, "big")
    return b"\x30" + bytes([len(body)]) + body + signature[-1:]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (high_s, SignatureProblem.HIGH_S),
        (lambda good: good[:-1] + b"\x00\x01", SignatureProblem.NOT_STRICT_DER),
        (lambda good: b"\x31" + good[1:], SignatureProblem.NOT_STRICT_DER),
        (lambda _good: b"", SignatureProblem.NOT_STRICT_DER),
        (lambda _good: b"\x01", SignatureProblem.NOT_STRICT_DER),
        (lambda good: good[:-1] + b"\x00", SignatureProblem.SIGHASH_TYPE),
        (lambda good: good[:-1] + b"\x41", SignatureProblem.SIGHASH_TYPE),
    ],
)
def test_r2_form_is_judged(change: Any, expected: SignatureProblem) -> None:
    assert problem(with_signature(PSBT, COIN.pubkeys[0], change(signed_as(ALL)))) is expected


@pytest.mark.parametrize("kind", [NONE, SINGLE, ALL | ANYONECANPAY, NONE | ANYONECANPAY, SINGLE | ANYONECANPAY])
def test_c5_other_sighash_types_count_only_when_allowed(kind: int) -> None:
    signed = with_signature(PSBT, COIN.pubkeys[0], signed_as(kind))
    assert problem(signed) is SignatureProblem.SIGHASH_TYPE
    assert problem(signed, allowed=frozenset({ALL, kind})) is None


def test_c5_a_signature_must_have_the_type_that_the_field_asks_for() -> None:
    signed = with_signature(with_sighash_type(PSBT, 0, NONE), COIN.pubkeys[0], signed_as(ALL))
    assert problem(signed, allowed=frozenset({ALL, NONE})) is SignatureProblem.SIGHASH_TYPE


@pytest.mark.parametrize("kind", ["wsh", "sh"])
def test_c6_single_without_an_output_is_refused_always(kind: str) -> None:
    each = coin(kind, 1)
    psbt = spend([COIN, each], outputs=1)
    message = digest(psbt, 1, input_scripts(psbt, 1), SINGLE)
    if kind == "sh":
        assert message == b"\x01" + bytes(31)  # what consensus signs
    signature = secp.ecdsa_sign(each.keys[0].seckey, message) + bytes([SINGLE])
    signed = with_signature(psbt, each.pubkeys[0], signature, 1)
    assert problem(signed, allowed=frozenset({ALL, SINGLE})) is SignatureProblem.SIGHASH_TYPE


def test_a_stranger_key_does_not_count() -> None:
    stranger = key_at("stranger", 0)
    message = digest(PSBT, 0, input_scripts(PSBT, 0), ALL)
    signature = secp.ecdsa_sign(stranger.seckey, message) + b"\x01"
    assert problem(with_signature(PSBT, stranger.pubkey, signature)) is SignatureProblem.FOREIGN_KEY


def test_c7_nothing_counts_without_proven_scripts() -> None:
    signed = with_signature(PSBT, COIN.pubkeys[0], signed_as(ALL))
    fields = {key: value for key, value in signed.inputs[0].items() if key != WITNESS_SCRIPT}
    assert problem(signed.with_input(0, fields)) is SignatureProblem.BAD_SCRIPT
    nothing = {key: value for key, value in signed.inputs[0].items() if key[0] > 1}
    assert problem(signed.with_input(0, nothing)) is SignatureProblem.UNKNOWN_AMOUNT
    taproot = {**nothing, WITNESS_UTXO: TxOutput(1, b"\x51\x20" + bytes(32)).serialize()}
    del taproot[WITNESS_SCRIPT]
    assert problem(signed.with_input(0, taproot)) is SignatureProblem.FOREIGN_KEY
    future = {**taproot, WITNESS_UTXO: TxOutput(1, b"\x52\x20" + bytes(32)).serialize()}
    assert problem(signed.with_input(0, future)) is SignatureProblem.BAD_SCRIPT


def test_c16_legacy_hashing_is_capped_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sighash.LEGACY_PREIMAGE_CAP == 200_000_000
    monkeypatch.setattr(sighash, "LEGACY_PREIMAGE_CAP", 100_000)  # 40 inputs hash 41 bytes of each: 80 kB; 60: 150 kB
    assert len(check_signatures(many_legacy_inputs(40))) == 40
    with pytest.raises(InputError, match="legacy inputs"):
        check_signatures(many_legacy_inputs(60))


def many_legacy_inputs(count: int) -> Psbt:
    each = coin("sh", 0)
    previous = replace(each.previous, outputs=(each.output,) * count)
    inputs = [TxInput(OutPoint(previous.txid_bytes, number)) for number in range(count)]
    psbt = with_previous_tx(creator.create(inputs, [TxOutput(1, b"")]), 0, previous.serialize())
    psbt = with_input_scripts(psbt, 0, redeem_script=each.redeem, origins={})
    signature = b"\x02" + each.pubkeys[0]
    return psbt.with_inputs({key: {**psbt.inputs[0], signature: b"\x01" * 71} for key in range(count)})


def test_c16_a_script_is_taken_apart_once_for_all_its_signatures() -> None:
    script = push(COIN.pubkeys[0]) + b"\xac" + b"\x61" * 5_000
    fields = {WITNESS_UTXO: TxOutput(1, p2wsh_script(script)).serialize(), WITNESS_SCRIPT: script}
    strangers = {b"\x02" + number.to_bytes(33, "big"): b"\x01" for number in range(2_000)}
    psbt = spend([COIN], previous=False).with_input(0, {**fields, **strangers})
    before = pushed.cache_info().misses
    assert {check.problem for check in check_signatures(psbt)} == {SignatureProblem.FOREIGN_KEY}
    assert pushed.cache_info().misses == before + 1


def test_nobody_else_makes_verified_values() -> None:
    for forge in (
        lambda: Verified(PSBT, {}),  # type: ignore[call-arg]
        lambda: Verified(PSBT, {}, seal=object()),  # type: ignore[arg-type]
        lambda: Contribution((), (), (), 0, (), (), PSBT),  # type: ignore[call-arg]
        lambda: Contribution((), (), (), 0, (), (), PSBT, seal=None),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            forge()
    with pytest.raises((TypeError, ValueError)):
        replace(verify(PSBT), signatures={0: {}})
