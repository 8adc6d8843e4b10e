"""What a cosigner gives back, and every way in which it can be wrong (THREATS R1 to R7, R11, C23)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.psbts import coin, coins, key_at, spend
from support.values import replace
from wormsig.bitcoin import secp
from wormsig.bitcoin.script import p2wsh_script, parse_pushes, push
from wormsig.bitcoin.tx import OutPoint, TxOutput
from wormsig.errors import PeerError, PsbtError
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, with_preimages, with_signatures
from wormsig.psbt.contribution import (
    FieldDifference,
    TransactionChangedError,
    extract,
    extract_transaction,
    strip_signatures,
)
from wormsig.psbt.extractor import extract as transaction_of
from wormsig.psbt.fields import FIELDS, Role
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.finals import FinalState, final_of, match
from wormsig.psbt.model import (
    FINAL_SCRIPTSIG,
    FINAL_SCRIPTWITNESS,
    REDEEM_SCRIPT,
    SIGHASH_TYPE,
    WITNESS_SCRIPT,
    WITNESS_UTXO,
    Psbt,
)
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.templates import FinalScripts
from wormsig.psbt.unsigned import UNSIGNED_TX
from wormsig.psbt.verify import SignatureProblem, digest, verify

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import Transaction
    from wormsig.psbt.contribution import Contribution

TYPES = ("wsh", "sh-wsh", "sh", "wpkh", "sh-wpkh", "pkh")
COINS = coins(*TYPES)
MINE = spend(COINS)
MULTISIG = (0, 1, 2)
SINGLE = (3, 4, 5)


def signed_by(*who: int, psbt: Psbt = MINE) -> Psbt:
    """By some of the people on the multisig inputs, and by their owner on the others."""
    keys = {index: COINS[index].secrets(*who) for index in MULTISIG}
    return sign_inputs(psbt, keys | {index: COINS[index].secrets(0) for index in SINGLE if 0 in who})


def sent(psbt: Psbt) -> Psbt:
    """As it comes over the wire."""
    return parse(serialize(psbt))


def signature(index: int, who: int, message: bytes | None = None, sighash: int = 1) -> bytes:
    digested = message or digest(MINE, index, input_scripts(MINE, index), sighash)
    return secp.ecdsa_sign(COINS[index].keys[who].seckey, digested) + bytes([sighash])


def with_sig(psbt: Psbt, index: int, pubkey: bytes, value: bytes) -> Psbt:
    return psbt.with_input(index, {**psbt.inputs[index], b"\x02" + pubkey: value})


def nothing_entered(answer: Contribution) -> bool:
    return serialize(combine(verify(MINE), [answer]).psbt) == serialize(MINE)


def test_new_signatures_are_taken_and_nothing_else_differs() -> None:
    answer = extract(MINE, sent(signed_by(0)))
    assert {(index, pubkey) for index, pubkey, _ in answer.signatures} == {
        (index, COINS[index].pubkeys[0]) for index in range(len(TYPES))
    }
    assert (answer.rejected, answer.differences, answer.already_known, answer.unchecked_finals) == ((), (), 0, ())
    assert answer.pubkeys == {each.pubkeys[0] for each in COINS}
    assert serialize(combine(verify(MINE), [answer]).psbt) == serialize(signed_by(0))


# R1


def other_transactions() -> list[tuple[str, Transaction]]:
    tx = MINE.tx
    first = tx.inputs[0]
    return [
        ("output 0 pays", replace(tx, outputs=(TxOutput(1, tx.outputs[0].script), *tx.outputs[1:]))),
        ("another script", replace(tx, outputs=(TxOutput(tx.outputs[0].sats, b"\x51"), *tx.outputs[1:]))),
        ("number of outputs 2 became 1", replace(tx, outputs=tx.outputs[:1])),
        ("number of inputs 6 became 5", replace(tx, inputs=tx.inputs[:-1])),
        ("sequence 0", replace(tx, inputs=(replace(first, sequence=0), *tx.inputs[1:]))),
        ("input 0 spends", replace(tx, inputs=(replace(first, outpoint=OutPoint(bytes(32), 0)), *tx.inputs[1:]))),
        ("version 2 became 1", replace(tx, version=1)),
        ("locktime 0 became 500", replace(tx, locktime=500)),
        ("output 0 pays", replace(tx, outputs=tx.outputs[::-1])),
    ]


@pytest.mark.parametrize(("words", "tx"), other_transactions())
def test_r1_another_transaction_is_refused_by_name(words: str, tx: Transaction) -> None:
    inputs, outputs = MINE.inputs[: len(tx.inputs)], MINE.outputs[: len(tx.outputs)]
    other = Psbt(0, {UNSIGNED_TX: tx.serialize()}, inputs, outputs, tx)
    for attempt in (lambda: extract(MINE, sent(other)), lambda: extract_transaction(MINE, tx)):
        with pytest.raises(TransactionChangedError, match=words) as caught:
            attempt()
        assert isinstance(caught.value, PeerError)
        assert caught.value.exit_code == 5


# R2, R3, R4


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (signature(0, 0, b"\x11" * 32), SignatureProblem.INVALID),
        (signature(0, 1), SignatureProblem.INVALID),
        (signature(0, 0)[:-1] + b"\x00\x01", SignatureProblem.NOT_STRICT_DER),
        (b"", SignatureProblem.NOT_STRICT_DER),
        (signature(0, 0, sighash=2), SignatureProblem.SIGHASH_TYPE),
        (signature(0, 0, sighash=0x81), SignatureProblem.SIGHASH_TYPE),
    ],
)
def test_r2_r4_bad_signatures_are_named_and_not_taken(value: bytes, problem: SignatureProblem) -> None:
    answer = extract(MINE, sent(with_sig(MINE, 0, COINS[0].pubkeys[0], value)))
    (check,) = answer.rejected
    assert (check.input, check.pubkey, check.signature, check.problem) == (0, COINS[0].pubkeys[0], value, problem)
    assert answer.signatures == ()
    assert nothing_entered(answer)


def test_a_bad_signature_does_not_spoil_the_good_ones_beside_it() -> None:
    spoiled = with_sig(signed_by(0), 1, COINS[1].pubkeys[1], b"\x30\x00\x01")
    answer = extract(MINE, sent(spoiled))
    assert len(answer.signatures) == len(TYPES)
    assert [check.pubkey for check in answer.rejected] == [COINS[1].pubkeys[1]]


def test_a_foreign_key_is_not_taken() -> None:
    stranger = key_at("stranger", 0)
    message = digest(MINE, 0, input_scripts(MINE, 0), 1)
    answer = extract(MINE, with_sig(MINE, 0, stranger.pubkey, secp.ecdsa_sign(stranger.seckey, message) + b"\x01"))
    assert [check.problem for check in answer.rejected] == [SignatureProblem.FOREIGN_KEY]
    assert nothing_entered(answer)


def other_signature(index: int, who: int) -> bytes:
    """Another valid signature by the same key over the same message, made with a nonce that is not RFC6979's."""
    order = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
    digested = digest(MINE, index, input_scripts(MINE, index), 1)
    nonce = 0x1234567
    r = int.from_bytes(secp.pubkey_of(nonce.to_bytes(32, "big"))[1:], "big") % order
    secret = int.from_bytes(COINS[index].keys[who].seckey, "big")
    s = pow(nonce, -1, order) * (int.from_bytes(digested, "big") + r * secret) % order
    s = min(s, order - s)
    parts = b""
    for number in (r, s):
        raw = number.to_bytes(33, "big").lstrip(b"\x00")
        raw = b"\x00" + raw if raw[0] & 0x80 else raw
        parts += b"\x02" + bytes([len(raw)]) + raw
    return b"\x30" + bytes([len(parts)]) + parts + b"\x01"


def test_r3_the_one_that_verifies_stays_in_either_order() -> None:
    pubkey = COINS[0].pubkeys[0]
    good, other, bad = signature(0, 0), other_signature(0, 0), signature(0, 0, b"\x22" * 32)
    assert good != other
    holds_good, holds_bad = with_sig(MINE, 0, pubkey, good), with_sig(MINE, 0, pubkey, bad)
    # A bad one comes in under a good one; a good one comes in under a bad one; another good one comes in.
    first = extract(holds_good, holds_bad)
    assert (first.signatures, len(first.rejected), first.already_known) == ((), 1, 0)
    second = extract(holds_bad, holds_good)
    assert (second.signatures, second.rejected, second.already_known) == (((0, pubkey, good),), (), 0)
    assert combine(verify(holds_bad, drop=True), [second]).signatures == {0: {pubkey: good}}
    third = extract(holds_good, with_sig(MINE, 0, pubkey, other))
    assert (third.signatures, third.rejected, third.already_known) == ((), (), 1)
    both = [extract(MINE, with_sig(MINE, 0, pubkey, value)) for value in (good, other)]
    assert combine(verify(MINE), both).signatures == {0: {pubkey: good}}
    assert combine(verify(MINE), both[::-1]).signatures == {0: {pubkey: other}}


def test_r3_what_is_put_back_from_a_journal_replaces_nothing_and_has_its_input() -> None:
    pubkey = COINS[0].pubkeys[0]
    held, other = with_sig(MINE, 0, pubkey, signature(0, 0)), other_signature(0, 0)
    assert with_signatures(held, [(0, pubkey, other)]) == held
    assert with_signatures(MINE, [(0, pubkey, other)]) == with_sig(MINE, 0, pubkey, other)
    for index in (-1, len(MINE.inputs)):
        with pytest.raises(PsbtError, match="no such input") as caught:
            with_signatures(MINE, [(index, pubkey, other)])
        assert caught.value.where == f"input {index}"
        with pytest.raises(PsbtError, match="no such input"):
            with_preimages(MINE, [(index, b"\x0b" + bytes(32), b"")])


def test_r4_a_type_that_was_allowed_is_taken() -> None:
    returned = with_sig(MINE, 0, COINS[0].pubkeys[0], signature(0, 0, sighash=3))
    assert extract(MINE, returned).signatures == ()
    assert len(extract(MINE, returned, allowed=frozenset({1, 3})).signatures) == 1


# R5


def test_r5_other_fields_are_listed_and_never_merged() -> None:
    fields = dict(MINE.inputs[0])
    dropped = next(key for key in fields if key[0] == 6)
    del fields[dropped]
    returned = signed_by(0).with_input(
        0,
        {
            **fields,
            WITNESS_UTXO: TxOutput(1, COINS[0].output.script).serialize(),
            WITNESS_SCRIPT: b"\x51",
            REDEEM_SCRIPT: b"\x52",
            SIGHASH_TYPE: b"\x02\x00\x00\x00",
            b"\xe0": b"unknown",
            b"\xfc\x01a\x00": b"owner",
            b"\x13": bytes(64),
            b"\x02" + COINS[0].pubkeys[0]: signature(0, 0),
        },
    )
    returned = returned.with_global({**returned.global_map, b"\xe1": b"g"}).with_output(1, {b"\xe2": b"o"})
    answer = extract(MINE, sent(returned))
    assert set(answer.differences) == {
        FieldDifference("global map", "unknown type 0xe1", "added"),
        FieldDifference("input 0", "PSBT_IN_WITNESS_UTXO", "changed"),
        FieldDifference("input 0", "PSBT_IN_WITNESS_SCRIPT", "changed"),
        FieldDifference("input 0", "PSBT_IN_REDEEM_SCRIPT", "added"),
        FieldDifference("input 0", "PSBT_IN_SIGHASH_TYPE", "added"),
        FieldDifference("input 0", "PSBT_IN_PROPRIETARY", "added"),
        FieldDifference("input 0", "unknown type 0xe0", "added"),
        FieldDifference("input 0", "PSBT_IN_BIP32_DERIVATION", "dropped"),
        FieldDifference("output 1", "unknown type 0xe2", "added"),
        FieldDifference("output 1", "PSBT_OUT_WITNESS_SCRIPT", "dropped"),
        FieldDifference("output 1", "PSBT_OUT_BIP32_DERIVATION", "dropped"),
    }
    assert [(check.input, check.problem) for check in answer.rejected] == [(0, SignatureProblem.FOREIGN_KEY)]
    # Signed over the true amount and script: the lies around it change nothing.
    assert len(answer.signatures) == len(TYPES)
    assert serialize(combine(verify(MINE), [answer]).psbt) == serialize(signed_by(0))


def test_r5_a_signature_over_the_lie_is_not_taken() -> None:
    lying = spend([COINS[0]], previous=False)
    honest = spend([COINS[0]], previous=False)
    fields = {**lying.inputs[0], WITNESS_UTXO: TxOutput(1, COINS[0].output.script).serialize()}
    answer = extract(honest, sign_inputs(lying.with_input(0, fields), {0: COINS[0].secrets(0)}))
    assert [check.problem for check in answer.rejected] == [SignatureProblem.INVALID]
    assert answer.differences == (FieldDifference("input 0", "PSBT_IN_WITNESS_UTXO", "changed"),)


# R6


def test_r6_what_was_known_already_is_counted_and_not_new() -> None:
    mine = signed_by(0)
    answer = extract(mine, sent(mine))
    assert (answer.signatures, answer.rejected, answer.differences) == ((), (), ())
    assert answer.already_known == len(TYPES)
    more = extract(mine, sent(signed_by(1, psbt=mine)))
    assert (len(more.signatures), more.already_known) == (len(MULTISIG), len(TYPES))
    assert more.pubkeys == {COINS[index].pubkeys[1] for index in MULTISIG}


def test_a_returned_psbt_without_what_others_signed_meanwhile_is_no_difference() -> None:
    answer = extract(signed_by(0), sent(signed_by(1)))
    assert (len(answer.signatures), answer.differences, answer.already_known) == (len(MULTISIG), (), 0)


# R7


FINAL = finalize(verify(signed_by(0, 1)))


def test_finals_give_their_signatures_up_again() -> None:
    answer = extract(MINE, sent(FINAL))
    assert (answer.rejected, answer.differences, answer.unchecked_finals) == ((), (), ())
    assert serialize(combine(verify(MINE), [answer]).psbt) == serialize(signed_by(0, 1))
    raw = extract_transaction(MINE, transaction_of(FINAL))
    assert set(raw.signatures) == set(answer.signatures)
    mine = signed_by(0)
    assert extract(mine, FINAL).already_known == len(TYPES)
    assert len(extract(mine, FINAL).signatures) == len(MULTISIG)


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("index", MULTISIG)
def test_finals_of_any_pair_find_their_keys(index: int, pair: tuple[int, int]) -> None:
    each = COINS[index]
    alone = spend([each])
    final = finalize(verify(sign_inputs(alone, {0: each.secrets(*pair)})))
    assert extract(alone, final).pubkeys == {each.pubkeys[who] for who in pair}


def test_final_m_of_n_of_many_find_their_keys() -> None:
    each = coin("wsh", 0, tuple(f"k{number}" for number in range(15)), threshold=8)
    alone = spend([each])
    who = (0, 2, 3, 6, 9, 11, 13, 14)
    final = finalize(verify(sign_inputs(alone, {0: each.secrets(*who)})))
    assert extract(alone, final).pubkeys == {each.pubkeys[place] for place in who}


@pytest.mark.parametrize("index", range(len(TYPES)))
def test_r7_nothing_is_taken_from_a_final_with_a_bad_signature(index: int) -> None:
    final = final_of(FINAL, index)
    assert final is not None
    stack, script_sig = final.stack, final.script_sig
    swapped = signature(index, 0, b"\x33" * 32)
    good = signature(index, 0)
    if stack:
        stack = tuple(swapped if item == good else item for item in stack)
    else:
        script_sig = script_sig.replace(good, swapped) if len(good) == len(swapped) else b"\x00" + script_sig
    tx = transaction_of(FINAL)
    stacks = tuple(stack if place == index else held for place, held in enumerate(tx.witnesses))
    inputs = tuple(
        replace(txin, script_sig=script_sig) if place == index else txin for place, txin in enumerate(tx.inputs)
    )
    answer = extract_transaction(MINE, replace(tx, inputs=inputs, witnesses=stacks))
    assert index not in {place for place, _, _ in answer.signatures}
    assert {check.input for check in answer.rejected} == {index}
    assert {place for place, _, _ in answer.signatures} == set(range(len(TYPES))) - {index}


@pytest.mark.parametrize("index", range(len(TYPES)))
def test_r7_a_final_that_is_cut_short_or_holds_more_is_wrong_and_brings_nothing(index: int) -> None:
    """Anybody may send any number of items, or none: each is an answer, and never an exception."""
    whole = final_of(FINAL, index)
    assert whole is not None
    items = parse_pushes(whole.script_sig) if not whole.stack else whole.stack
    assert items is not None
    shapes = [items[:count] for count in range(len(items))] + [(*items, b"\x01"), (b"\x01", *items), items * 2]
    for shape in shapes:
        made = FinalScripts(b"".join(map(push, shape)), ()) if not whole.stack else replace(whole, stack=tuple(shape))
        (check,) = match(MINE, {index: made})
        assert check.state is FinalState.INVALID, shape
        fields = {**FINAL.inputs[index], FINAL_SCRIPTSIG: made.script_sig}
        if whole.stack:
            fields[FINAL_SCRIPTWITNESS] = made.witness
        answer = extract(MINE, FINAL.with_input(index, fields))
        assert index not in {place for place, _, _ in answer.signatures}, shape


def test_r7_an_early_final_brings_nothing() -> None:
    final = final_of(FINAL, 0)
    assert final is not None
    early = replace(final, stack=(b"", final.stack[1], COINS[0].witness or b""))
    fields = {**FINAL.inputs[0], FINAL_SCRIPTWITNESS: early.witness}
    answer = extract(MINE, sent(FINAL.with_input(0, fields)))
    assert 0 not in {index for index, _, _ in answer.signatures}
    assert [(check.input, check.problem) for check in answer.rejected] == [(0, SignatureProblem.BAD_SCRIPT)]


def test_c16_a_final_costs_at_most_one_verification_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    each = coin("wsh", 0, tuple(f"k{number}" for number in range(20)), threshold=10)
    alone = spend([each])
    final = final_of(finalize(verify(sign_inputs(alone, {0: each.secrets(*range(10))}))), 0)
    assert final is not None
    verified = []
    batch = secp.verify_batch

    def counted(items: list[tuple[bytes, bytes, bytes]]) -> list[bool]:
        verified.extend(items)
        return batch(items)

    monkeypatch.setattr(secp, "verify_batch", counted)
    stack = (final.stack[0], *final.stack[10:0:-1], final.stack[11])  # in the wrong order
    fields = {**alone.inputs[0], FINAL_SCRIPTWITNESS: replace(final, stack=stack).witness}
    answer = extract(alone, alone.with_input(0, fields))
    assert answer.signatures == ()
    assert [check.problem for check in answer.rejected] == [SignatureProblem.INVALID]
    assert len(verified) <= 20


def test_r7_a_final_that_nobody_here_can_check_is_reported_and_left() -> None:
    script = b"\x51\x75\x51"  # no template, no miniscript
    strange = MINE.with_input(0, {WITNESS_UTXO: TxOutput(5, p2wsh_script(script)).serialize()})
    returned = strange.with_input(0, {**strange.inputs[0], FINAL_SCRIPTWITNESS: b"\x01\x03" + script})
    answer = extract(strange, sent(returned))
    assert (answer.signatures, answer.rejected, answer.unchecked_finals) == ((), (), (0,))
    assert serialize(combine(verify(strange), [answer]).psbt) == serialize(strange)


def test_what_is_final_in_mine_is_settled() -> None:
    answer = extract(FINAL, sent(FINAL))
    assert (answer.signatures, answer.rejected, answer.differences) == ((), (), ())
    assert extract(FINAL, sent(signed_by(0))).rejected == ()


# R11


def test_r11_a_signature_that_verifies_is_welcome_from_anywhere() -> None:
    elsewhere = spend(COINS).with_global({**MINE.global_map, b"\xe0": b"another ceremony"})
    answer = extract(MINE, sent(signed_by(0, psbt=elsewhere)))
    assert len(answer.signatures) == len(TYPES)
    assert answer.differences == (FieldDifference("global map", "unknown type 0xe0", "added"),)


# C23


def test_c23_what_was_signed_on_other_inputs_is_dropped() -> None:
    greedy = signed_by(0)
    kept = strip_signatures(greedy, {0, 1}, MINE)
    assert kept.inputs[:2] == greedy.inputs[:2]
    assert kept.inputs[2:] == MINE.inputs[2:]


def test_c23_finals_on_other_inputs_are_dropped_and_what_others_signed_is_kept() -> None:
    given = signed_by(1)
    greedy = finalize(verify(signed_by(0, psbt=given)))
    kept = strip_signatures(greedy, {0}, given)
    assert kept.inputs[0] == greedy.inputs[0]
    assert kept.inputs[1:] == given.inputs[1:]


def test_c23_fields_that_are_no_signatures_stay_to_be_seen() -> None:
    for key in (b"\xe0", WITNESS_UTXO, SIGHASH_TYPE):
        noted = MINE.with_input(3, {**MINE.inputs[3], key: b"note"})
        assert strip_signatures(noted, {0}, MINE) is noted


def test_c23_every_field_that_a_signer_may_add_is_dropped() -> None:
    carried = [field for field in FIELDS if field.contribution or field.added_by is Role.FINALIZER]
    assert len(carried) == 11
    for field in carried:
        greedy = MINE.with_input(3, {**MINE.inputs[3], bytes((field.type,)): b"value"})
        assert strip_signatures(greedy, {0, 1, 2}, MINE) == MINE, field.name
        assert strip_signatures(greedy, {3}, MINE) == greedy


def test_c23_taproot_signatures_and_preimages_are_dropped_too() -> None:
    for key, value in ((b"\x13", bytes(64)), (b"\x14" + bytes(64), bytes(64)), (b"\x0b" + bytes(32), b"")):
        greedy = MINE.with_input(1, {**MINE.inputs[1], key: value})
        assert strip_signatures(greedy, {0}, MINE) == MINE


def test_c23_a_signer_that_gives_back_another_transaction_is_refused() -> None:
    with pytest.raises(PsbtError, match="another transaction"):
        strip_signatures(spend(COINS[:2]), {0}, MINE)
