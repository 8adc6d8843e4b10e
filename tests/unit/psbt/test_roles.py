"""Signer, Combiner, Finalizer, Extractor, Creator, Updater and the weight: what they make and what they refuse."""

from __future__ import annotations

import pytest

from support import taproot
from support.psbts import SATS, coin, coins, key_at, spend
from support.values import replace
from wormsig.bitcoin.script import hash160, multisig_script, p2wsh_script, push
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput, parse_transaction
from wormsig.errors import InputError, NotSupportedError, PsbtError, ThresholdError
from wormsig.psbt import updater
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, union
from wormsig.psbt.contribution import extract as contribution_of
from wormsig.psbt.creator import create
from wormsig.psbt.extractor import extract, final_txid
from wormsig.psbt.finalizer import IncompleteError, can_finalize, finalize, missing
from wormsig.psbt.finals import FinalState, check_finals, final_of
from wormsig.psbt.model import (
    FINAL_SCRIPTSIG,
    FINAL_SCRIPTWITNESS,
    NON_WITNESS_UTXO,
    WITNESS_SCRIPT,
    WITNESS_UTXO,
    Psbt,
    is_final,
    partial_sigs,
)
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_vsize, estimated_weight
from wormsig.psbt.verify import verify

TYPES = ("wsh", "sh-wsh", "sh", "bare", "wpkh", "sh-wpkh", "pkh")
COINS = coins(*TYPES)
PSBT = spend(COINS)
FUTURE = TxOutput(1, b"\x52\x20" + bytes(32))  # a witness version that means nothing yet


def signed(psbt: Psbt = PSBT, *who: int) -> Psbt:
    """Signed by some of the people, on every input that they can."""
    chosen = who or (0, 1)
    keys = {
        index: each.secrets(*[name for name in chosen if name < len(each.keys)]) for index, each in enumerate(COINS)
    }
    return sign_inputs(psbt, {index: pairs for index, pairs in keys.items() if pairs})


# Signer


def test_a_signer_adds_signatures_and_nothing_else() -> None:
    done = signed()
    for before, after in zip(PSBT.inputs, done.inputs, strict=True):
        added = {key: value for key, value in after.items() if key[0] == 2}
        assert {key: value for key, value in after.items() if key not in added} == before
        assert added
    assert (done.global_map, done.outputs) == (PSBT.global_map, PSBT.outputs)
    assert parse(serialize(done)) == done


def test_signatures_stand_where_bitcoin_core_writes_them() -> None:
    for fields in signed(PSBT, 2, 0, 1).inputs:
        types = [key[0] for key in fields]
        assert types == sorted(types)
        hashes = [hash160(key[1:]) for key in fields if key[0] == 2]
        assert hashes == sorted(hashes)


def test_signing_again_changes_nothing() -> None:
    assert serialize(signed(signed())) == serialize(signed())


@pytest.mark.parametrize(
    ("psbt", "keys", "words"),
    [
        (PSBT, {7: {}}, "not there"),
        (PSBT, {0: {key_at("stranger", 0).pubkey: bytes(31) + b"\x01"}}, "not in the input's script"),
        (PSBT.with_input(0, {**PSBT.inputs[0], FINAL_SCRIPTWITNESS: b"\x00"}), {0: {}}, "final already"),
        (updater.with_sighash_type(PSBT, 0, 2), {0: {}}, "asks for NONE, not ALL"),
        (
            PSBT.with_input(0, {WITNESS_UTXO: TxOutput(1, b"\x52\x20" + bytes(32)).serialize()}),
            {0: {}},
            "type is unknown",
        ),
    ],
)
def test_a_signer_refuses(psbt: Psbt, keys: dict[int, dict[bytes, bytes]], words: str) -> None:
    with pytest.raises(PsbtError, match=words):
        sign_inputs(psbt, keys)


def test_a_secret_key_of_another_public_key_is_refused_without_showing_it() -> None:
    wrong = COINS[0].keys[1].seckey
    with pytest.raises(InputError) as caught:
        sign_inputs(PSBT, {0: {COINS[0].pubkeys[0]: wrong}})
    assert COINS[0].pubkeys[0].hex() in str(caught.value)
    assert wrong.hex() not in repr(caught.value)


def test_c6_single_without_an_output_is_never_signed() -> None:
    with pytest.raises(PsbtError, match="no output at this index"):
        sign_inputs(PSBT, {2: COINS[2].secrets(0)}, sighash_type=3)
    assert sign_inputs(PSBT, {1: COINS[1].secrets(0)}, sighash_type=3) != PSBT


# Combiner


def test_the_first_valid_signature_stays() -> None:
    held = verify(signed(PSBT, 0))
    answer = contribution_of(held.psbt, signed(PSBT, 0, 1))
    combined = combine(held, [answer, answer])
    assert serialize(combined.psbt) == serialize(signed(PSBT, 0, 1))
    assert combined == verify(signed(PSBT, 0, 1))


def test_a_contribution_to_another_psbt_is_refused() -> None:
    other = spend(coins("wsh"))
    answer = contribution_of(other, sign_inputs(other, {0: COINS[0].secrets(0)}))
    assert len(answer.signatures) == 1
    with pytest.raises(PsbtError, match="another PSBT"):
        combine(verify(PSBT), [answer])


def test_a_contribution_verified_on_other_evidence_is_refused() -> None:
    alone = spend([COINS[0]], previous=False)
    lie = TxOutput(SATS * 2, COINS[0].output.script).serialize()
    lying = alone.with_input(0, {**alone.inputs[0], WITNESS_UTXO: lie})
    answer = contribution_of(lying, sign_inputs(lying, {0: COINS[0].secrets(0)}))
    assert len(answer.signatures) == 1
    with pytest.raises(PsbtError, match="another PSBT"):
        combine(verify(alone), [answer])
    same = contribution_of(parse(serialize(alone)), sign_inputs(alone, {0: COINS[0].secrets(0)}))
    assert len(combine(verify(alone), [same]).signatures[0]) == 1


def test_union_takes_every_field_and_keeps_the_first_ones() -> None:
    left = PSBT.with_input(0, {**PSBT.inputs[0], b"\xe0": b"left"}).with_output(0, {b"\xe0": b"o"})
    right = signed(PSBT.with_input(0, {**PSBT.inputs[0], b"\xe0": b"right", b"\xe1": b"more"}))
    both = union(left, [right, left])
    assert both.inputs[0] == {**right.inputs[0], b"\xe0": b"left"}
    assert both.inputs[1:] == right.inputs[1:]
    assert both.outputs[0] == {b"\xe0": b"o"}
    assert parse(serialize(both)) == both


# Finalizer and Extractor


def test_every_type_is_finalized_and_extracted() -> None:
    verified = verify(signed())
    assert can_finalize(verified)
    final = finalize(verified)
    assert all(is_final(final, index) for index in range(len(TYPES)))
    assert not any(partial_sigs(final, index) for index in range(len(TYPES)))
    assert [check.state for check in check_finals(final)] == [FinalState.VALID] * len(TYPES)
    tx = extract(final)
    assert parse_transaction(tx.serialize()) == tx == extract(parse(serialize(final)))
    assert [txin.outpoint for txin in tx.inputs] == [txin.outpoint for txin in PSBT.tx.inputs]
    for txin, stack, each in zip(tx.inputs, tx.witnesses, COINS, strict=True):
        assert bool(stack) == (each.script_type not in {"sh", "bare", "pkh"})
        assert bool(txin.script_sig) == (each.script_type not in {"wsh", "wpkh"})
        if each.script_type.startswith("sh-"):
            assert txin.script_sig == push(each.redeem or b"")


@pytest.mark.parametrize("kind", ["wsh", "sh-wsh", "wpkh", "sh-wpkh"])
def test_the_final_txid_of_segwit_inputs_is_known_before_anybody_signed(kind: str) -> None:
    several = coins(kind, "wsh", "wpkh")
    psbt = spend(several)
    done = sign_inputs(psbt, {index: each.secrets(*range(len(each.keys))) for index, each in enumerate(several)})
    final = finalize(verify(done))
    assert final_txid(psbt) == final_txid(done) == final_txid(final) == extract(final).txid
    assert (final_txid(psbt) == psbt.txid) == (not kind.startswith("sh-"))


def test_the_final_txid_of_taproot_inputs_is_that_of_the_psbt() -> None:
    psbt = taproot.spend([taproot.taproot_coin(0, "a")])
    assert final_txid(psbt) == psbt.txid


def test_the_final_txid_is_not_known_where_a_script_sig_or_a_script_is_not() -> None:
    assert final_txid(PSBT) is None  # of all types
    final = finalize(verify(signed()))
    assert final_txid(final) == extract(final).txid
    hidden = spend(coins("sh-wsh"))
    bare = {key: value for key, value in hidden.inputs[0].items() if key != WITNESS_SCRIPT}
    assert final_txid(hidden.with_input(0, bare)) is None


def test_a_transaction_without_witnesses_is_extracted_in_the_old_serialization() -> None:
    each = coin("sh", 0)
    done = sign_inputs(spend([each]), {0: each.secrets(0, 1)})
    assert extract(finalize(verify(done))).witnesses == ()


def test_with_signatures_to_spare_the_first_in_script_order_are_used() -> None:
    spare = finalize(verify(signed(PSBT, 0, 1, 2)))
    assert serialize(spare) == serialize(finalize(verify(signed(PSBT, 0, 1))))


def test_too_few_signatures_are_counted_input_by_input() -> None:
    verified = verify(signed(PSBT, 0))
    assert missing(verified) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert missing(verify(PSBT)) == {0: 2, 1: 2, 2: 2, 3: 2, 4: 1, 5: 1, 6: 1}
    assert not can_finalize(verified)
    with pytest.raises(IncompleteError, match="input 0 needs 1 more") as caught:
        finalize(verified)
    assert caught.value.missing == missing(verified)
    assert isinstance(caught.value, ThresholdError)
    assert caught.value.exit_code == 7
    with pytest.raises(IncompleteError):
        extract(verified.psbt)


def test_a_final_input_beside_ours_stays_as_it_is() -> None:
    final = finalize(verify(signed()))
    beside = signed().with_input(4, final.inputs[4])
    assert missing(verify(beside)) == {}
    assert serialize(finalize(verify(beside))) == serialize(final)


def test_unknown_and_proprietary_fields_survive_finalizing() -> None:
    extra = {b"\xe0k": b"unknown", b"\xfc\x01a\x00": b"owner", b"\x09": b"por"}
    psbt = signed()
    final = finalize(verify(psbt.with_input(0, {**psbt.inputs[0], **extra})))
    kept = {key: value for key, value in final.inputs[0].items() if key not in {b"\x00", b"\x01"}}
    assert kept == {FINAL_SCRIPTWITNESS: kept[FINAL_SCRIPTWITNESS], **extra}


def test_a_script_without_template_is_told_apart() -> None:
    script = b"\x21" + COINS[0].pubkeys[0] + b"\xac\x75\x51"
    psbt = spend(coins("wsh"), previous=False)
    fields = {WITNESS_UTXO: TxOutput(SATS, p2wsh_script(script)).serialize(), WITNESS_SCRIPT: script}
    psbt = sign_inputs(psbt.with_input(0, fields), {0: COINS[0].secrets(0)})
    verified = verify(psbt)
    assert len(verified.signatures[0]) == 1
    assert missing(verified) == {0: 1}
    assert estimated_weight(psbt) is None
    with pytest.raises(NotSupportedError, match="cannot be finalized here: its type is wsh"):
        finalize(verified)


@pytest.mark.parametrize("index", range(len(TYPES)))
def test_r7_wrong_finals_are_found(index: int) -> None:
    final = finalize(verify(signed()))
    key = FINAL_SCRIPTSIG if COINS[index].script_type in {"sh", "bare", "pkh"} else FINAL_SCRIPTWITNESS
    value = bytearray(final.inputs[index][key])
    value[20] ^= 1  # within the first signature
    wrong = final.with_input(index, {**final.inputs[index], key: bytes(value)})
    assert [check.input for check in check_finals(wrong) if check.state is FinalState.INVALID] == [index]
    with pytest.raises(PsbtError, match="do not satisfy") as caught:
        extract(wrong)
    assert caught.value.where == f"input {index}"
    with pytest.raises(PsbtError, match="do not satisfy"):
        finalize(verify(wrong))


@pytest.mark.parametrize("change", ["order", "twice", "extra", "dummy", "script", "script sig"])
def test_r7_finals_that_do_not_satisfy_the_template_are_found(change: str) -> None:
    final = finalize(verify(signed()))
    made = final_of(final, 0)
    assert made is not None
    dummy, first, second, script = made.stack
    stack = {
        "order": (dummy, second, first, script),
        "twice": (dummy, first, first, script),
        "extra": (dummy, dummy, first, second, script),
        "dummy": (b"\x01", first, second, script),
        "script": (dummy, first, second, multisig_script(1, COINS[0].pubkeys)),
        "script sig": made.stack,
    }[change]
    wrong = replace(made, stack=stack, script_sig=b"\x51" if change == "script sig" else b"")
    fields = {**final.inputs[0], FINAL_SCRIPTWITNESS: wrong.witness}
    if wrong.script_sig:
        fields[FINAL_SCRIPTSIG] = wrong.script_sig
    (check, *_) = check_finals(final.with_input(0, fields))
    assert check.state is FinalState.INVALID


def test_finals_of_an_unknown_output_are_not_called_valid() -> None:
    final = finalize(verify(signed()))
    blind = {key: value for key, value in final.inputs[0].items() if key not in {NON_WITNESS_UTXO, WITNESS_UTXO}}
    (check, *_) = check_finals(final.with_input(0, blind))
    assert check.state is FinalState.NOT_CHECKED


# Creator and Updater


def test_a_creator_makes_empty_maps() -> None:
    psbt = create([TxInput(OutPoint(bytes(32), 0))], [TxOutput(1, b"\x51")], version=1, locktime=5)
    assert (psbt.inputs, psbt.outputs, psbt.tx.version, psbt.tx.locktime) == (({},), ({},), 1, 5)
    assert parse(serialize(psbt)) == psbt


@pytest.mark.parametrize(
    ("inputs", "version", "words"),
    [
        ([TxInput(OutPoint(bytes(32), 0), b"\x51")], 2, "scriptSig"),
        ([], 1 << 32, "32 bits"),
        ([], -1, "32 bits"),
    ],
)
def test_a_creator_refuses(inputs: list[TxInput], version: int, words: str) -> None:
    with pytest.raises(PsbtError, match=words):
        create(inputs, [], version=version)


def test_an_updater_refuses_the_wrong_previous_transaction() -> None:
    with pytest.raises(PsbtError, match="is not the transaction") as caught:
        updater.with_previous_tx(PSBT, 0, COINS[1].previous.serialize())
    assert (caught.value.where, caught.value.field) == ("input 0", "PSBT_IN_NON_WITNESS_UTXO")
    with pytest.raises(PsbtError):
        updater.with_previous_tx(PSBT, 0, b"\x00")


def test_an_updater_refuses_what_is_no_public_key() -> None:
    with pytest.raises(PsbtError, match="not a public key"):
        updater.with_input_scripts(PSBT, 0, origins={b"\x02" + bytes(32): COINS[0].keys[0].origin})


def test_an_updater_writes_fields_in_bitcoin_cores_order() -> None:
    for fields in (*PSBT.inputs, *PSBT.outputs):
        assert list(fields) == sorted(fields)


# Weight


@pytest.mark.parametrize("kind", TYPES)
def test_the_weight_is_known_before_anybody_signs(kind: str) -> None:
    each = coin(kind, 3)
    psbt = spend([each])
    done = sign_inputs(psbt, {0: each.secrets(*range(min(2, len(each.keys))))})
    weight = extract(finalize(verify(done))).weight
    assert estimated_weight(done) == estimated_weight(finalize(verify(done))) == weight
    estimate = estimated_weight(psbt)
    assert estimate is not None
    assert abs(estimate - weight) * 100 <= weight
    assert estimated_vsize(done) == (weight + 3) // 4


def test_the_weight_of_what_is_unknown_is_unknown() -> None:
    assert estimated_weight(PSBT.with_input(0, {})) is None
    assert estimated_vsize(PSBT.with_input(0, {})) is None
