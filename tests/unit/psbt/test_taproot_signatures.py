"""Taproot signatures: made, judged, attributed, taken from answers (THREATS C5, C6, C22, C23, R2 to R7)."""

from __future__ import annotations

from typing import Any

import pytest

from support.psbts import coin as ecdsa_coin
from support.psbts import key_at
from support.psbts import spend as spend_ecdsa
from support.taproot import Coin, miniscript_coin, spend, taproot_coin, without_leaves
from wormsig.bitcoin import schnorr, secp
from wormsig.bitcoin.tx import TxOutput
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, with_signatures
from wormsig.psbt.contribution import FieldDifference, extract, extract_transaction, strip_signatures
from wormsig.psbt.digests import digest
from wormsig.psbt.extractor import extract as transaction_of
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.maps import put_signatures
from wormsig.psbt.model import TAP_KEY_SIG, WITNESS_UTXO, Psbt
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.sigkeys import UNKNOWN_OUTPUT, field_key, is_schnorr, leaf_of, pubkey_of, sighash_of
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.updater import with_sighash_type
from wormsig.psbt.verify import SignatureCheck, SignatureProblem, check_signatures, held_signatures, judge, verify

DEFAULT, ALL, NONE, SINGLE, ANYONECANPAY = 0, 1, 2, 3, 0x80
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
COIN = taproot_coin(0, None, [(2, "abc")])
OWN = taproot_coin(1, "a", [((2, "bcd"), "pk(@e)")])
PSBT = spend([COIN, OWN])
LEAF = COIN.leaf().hash
A = COIN.xonly("a") + LEAF
OUTPUT = OWN.output.script[2:]


def with_sig(psbt: Psbt, index: int, key: bytes, signature: bytes) -> Psbt:
    return psbt.with_input(index, {**psbt.inputs[index], field_key(key): signature})


def made(kind: int = DEFAULT, who: str = "a", psbt: Psbt = PSBT, message: bytes | None = None) -> bytes:
    """A signature for the leaf of the first coin, written out."""
    digested = message or digest(psbt, 0, input_scripts(psbt, 0), kind, LEAF)
    signature = schnorr.schnorr_sign(COIN.keys[who].seckey, digested, schnorr.NO_AUX)
    return signature + bytes([kind]) if kind else signature


def problem(psbt: Psbt, **options: Any) -> SignatureProblem | None:
    (check,) = check_signatures(psbt, **options)
    return check.problem


# What a signature stands under


def test_the_length_of_a_key_tells_the_kind_of_its_signature() -> None:
    pubkey = COIN.keys["a"].pubkey
    for key, kind, schnorr_kind, who, leaf in (
        (pubkey, 0x02, False, pubkey, None),
        (b"\x04" + bytes(64), 0x02, False, b"\x04" + bytes(64), None),
        (OUTPUT, 0x13, True, OUTPUT, None),
        (A, 0x14, True, A[:32], LEAF),
        (UNKNOWN_OUTPUT, 0x13, True, b"", None),
    ):
        field = field_key(key)
        assert (field[0], is_schnorr(key), pubkey_of(key), leaf_of(key)) == (kind, schnorr_kind, who, leaf)
        assert field[1:] == (b"" if kind == 0x13 else key)
    assert [sighash_of(A, bytes(size)) for size in (0, 63, 64, 65)] == [None, None, DEFAULT, 0]
    assert (sighash_of(A, bytes(64) + b"\x83"), sighash_of(pubkey, b"\x30\x02"), sighash_of(pubkey, b"")) == (
        0x83,
        2,
        None,
    )


# The Signer


def test_every_key_signs_wherever_it_stands() -> None:
    tree = taproot_coin(4, None, [((2, "abc"), ("and_v(v:pkh(@a),older(10))", "pk(@b)"))])
    psbt = spend([tree, OWN])
    signed = sign_inputs(psbt, {0: tree.secrets("a", "b"), 1: OWN.secrets("a")})
    leaves = [tree.leaf(number).hash for number in range(3)]
    assert set(held_signatures(signed, 0)) == {
        tree.xonly("a") + leaves[0],
        tree.xonly("a") + leaves[1],
        tree.xonly("b") + leaves[0],
        tree.xonly("b") + leaves[2],
    }
    assert set(held_signatures(signed, 1)) == {OUTPUT}
    assert all(check.valid for check in check_signatures(signed))
    for before, after in zip(psbt.inputs, signed.inputs, strict=True):
        assert {key: value for key, value in after.items() if key[0] not in {0x13, 0x14}} == before
        assert [key[0] for key in after] == sorted(key[0] for key in after)
    assert parse(serialize(signed)) == signed
    assert serialize(sign_inputs(signed, {0: tree.secrets("b")})) == serialize(signed)  # the same bytes again


def test_who_holds_the_internal_key_signs_with_no_other() -> None:
    coin = taproot_coin(4, "a", [((1, "bc"), "pk(@a)")])
    psbt = spend([coin])
    assert coin.taproot is not None
    assert set(held_signatures(sign_inputs(psbt, {0: coin.secrets("b", "a")}), 0)) == {coin.taproot.output_key}
    assert set(held_signatures(sign_inputs(psbt, {0: coin.secrets("b")}), 0)) == {coin.xonly("b") + coin.leaf(0).hash}


def test_the_same_bytes_each_time_unless_auxiliary_bytes_are_given() -> None:
    one = sign_inputs(PSBT, {0: COIN.secrets("a")})
    other = sign_inputs(PSBT, {0: COIN.secrets("a")}, aux=b"\x07" * 32)
    assert one == sign_inputs(PSBT, {0: COIN.secrets("a")})
    assert one != other
    assert verify(other).signatures[0].keys() == verify(one).signatures[0].keys()


@pytest.mark.parametrize(
    ("asked", "wanted", "size", "kind"),
    [(None, ALL, 64, DEFAULT), (DEFAULT, ALL, 64, DEFAULT), (ALL, ALL, 65, ALL), (None, DEFAULT, 64, DEFAULT)]
    + [(kind, kind, 65, kind) for kind in (NONE, SINGLE, ALL | ANYONECANPAY)],
)
def test_all_is_default_in_taproot_unless_the_input_asks_for_all(
    asked: int | None, wanted: int, size: int, kind: int
) -> None:
    psbt = PSBT if asked is None else with_sighash_type(PSBT, 0, asked)
    signed = sign_inputs(psbt, {0: COIN.secrets("a")}, sighash_type=wanted)
    (signature,) = held_signatures(signed, 0).values()
    assert (len(signature), sighash_of(A, signature)) == (size, kind)
    assert problem(signed, allowed=frozenset({ALL, kind})) is None


MIXED = [taproot_coin(0, "a"), miniscript_coin(1, "pk(@a)")]


@pytest.mark.parametrize(
    ("psbt", "keys", "kind", "words"),
    [
        (PSBT, {0: {key_at("stranger", 0).pubkey[1:]: bytes(31) + b"\x01"}}, ALL, "nor in a leaf"),
        (PSBT, {0: {COIN.keys["a"].pubkey: COIN.keys["a"].seckey}}, ALL, "nor in a leaf"),
        (without_leaves(PSBT), {0: COIN.secrets("a")}, ALL, "nor in a leaf"),
        (PSBT, {0: COIN.secrets("a")}, 0x41, "has no sighash type 0x41"),
        (spend(MIXED), {1: MIXED[1].secrets("a")}, DEFAULT, "a wsh input has no sighash type DEFAULT"),
        (with_sighash_type(PSBT, 0, ALL), {0: COIN.secrets("a")}, DEFAULT, "asks for ALL, not DEFAULT"),
        (spend([COIN, OWN], outputs=1), {1: OWN.secrets("a")}, SINGLE, "no output at this index"),
        (PSBT.with_input(1, {}), {0: COIN.secrets("a")}, ALL, "input 0: the output that input 1 spends is not known"),
    ],
)
def test_a_signer_refuses(psbt: Psbt, keys: dict[int, dict[bytes, bytes]], kind: int, words: str) -> None:
    with pytest.raises(PsbtError, match=words):
        sign_inputs(psbt, keys, sighash_type=kind)


def test_a_secret_key_of_another_public_key_is_refused_without_showing_it() -> None:
    wrong = COIN.keys["b"].seckey
    for index, xonly in ((0, COIN.xonly("a")), (1, OWN.xonly("a"))):
        with pytest.raises(InputError, match="does not belong to public key") as caught:
            sign_inputs(PSBT, {index: {xonly: wrong}})
        assert wrong.hex() not in repr(caught.value)


# What counts


def test_good_signatures_count_for_both_paths_beside_ecdsa_ones() -> None:
    coins: list[Coin] = [COIN, OWN, miniscript_coin(2, "multi(2,@a,@b,@c)")]
    psbt = spend(coins)
    signed = sign_inputs(psbt, {0: COIN.secrets("b", "c"), 1: OWN.secrets("a"), 2: coins[2].secrets("c", "a")})
    checks = check_signatures(signed)
    assert all(check.valid for check in checks)
    assert {(check.input, check.pubkey) for check in checks} == {
        (0, COIN.xonly("b")),
        (0, COIN.xonly("c")),
        (1, OUTPUT),
        (2, coins[2].keys["a"].pubkey),
        (2, coins[2].keys["c"].pubkey),
    }
    assert verify(signed).signatures == {index: held_signatures(signed, index) for index in range(3)}
    assert [check.sighash for check in checks] == [DEFAULT, DEFAULT, DEFAULT, ALL, ALL]


def test_c22_a_signature_over_another_message_does_not_count() -> None:
    bad = with_sig(PSBT, 0, A, made(message=bytes(32)))
    assert problem(bad) is SignatureProblem.INVALID
    with pytest.raises(PsbtError, match=f"under {A[:32].hex()} does not count: it does not verify") as caught:
        verify(bad)
    assert (caught.value.where, caught.value.field) == ("input 0", "PSBT_IN_TAP_SCRIPT_SIG")
    both = with_sig(bad, 1, OUTPUT, bytes(64))
    assert verify(both, drop=True).psbt == PSBT
    with pytest.raises(PsbtError, match="does not count") as caught:
        verify(with_sig(PSBT, 1, OUTPUT, bytes(64)))
    assert caught.value.field == "PSBT_IN_TAP_KEY_SIG"


def test_the_untweaked_key_does_not_sign_the_key_path() -> None:
    message = digest(PSBT, 1, input_scripts(PSBT, 1), DEFAULT)
    signature = schnorr.schnorr_sign(OWN.keys["a"].seckey, message, schnorr.NO_AUX)
    assert problem(with_sig(PSBT, 1, OUTPUT, signature)) is SignatureProblem.INVALID


def mirrored(signature: bytes) -> bytes:
    """With the other s, which ECDSA would take."""
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda good: good + b"\x00", SignatureProblem.MALFORMED),
        (lambda good: good[:63], SignatureProblem.MALFORMED),
        (lambda good: good + b"\x01\x01", SignatureProblem.MALFORMED),
        (lambda _good: b"", SignatureProblem.MALFORMED),
        (lambda good: good + b"\x01", SignatureProblem.INVALID),  # another type is another message
        (lambda good: good + b"\x04", SignatureProblem.SIGHASH_TYPE),
        (
            lambda good: good[:32] + (ORDER - int.from_bytes(good[32:], "big")).to_bytes(32, "big"),
            SignatureProblem.INVALID,
        ),
    ],
)
def test_r2_form_is_judged(change: Any, expected: SignatureProblem) -> None:
    assert problem(with_sig(PSBT, 0, A, change(made()))) is expected


@pytest.mark.parametrize("kind", [NONE, SINGLE, ALL | ANYONECANPAY, NONE | ANYONECANPAY, SINGLE | ANYONECANPAY])
def test_c5_other_sighash_types_count_only_when_allowed(kind: int) -> None:
    signed = with_sig(PSBT, 0, A, made(kind))
    assert problem(signed) is SignatureProblem.SIGHASH_TYPE
    assert problem(signed, allowed=frozenset({ALL, kind})) is None


def test_c5_default_and_all_are_allowed_together_and_the_field_decides_between_them() -> None:
    default, explicit = with_sig(PSBT, 0, A, made(DEFAULT)), with_sig(PSBT, 0, A, made(ALL))
    assert problem(default) is problem(explicit) is None
    assert problem(default, allowed=frozenset({DEFAULT})) is None
    assert problem(explicit, allowed=frozenset({DEFAULT})) is SignatureProblem.SIGHASH_TYPE
    assert problem(default, allowed=frozenset({NONE})) is SignatureProblem.SIGHASH_TYPE
    for asked, good, bad in ((ALL, explicit, default), (DEFAULT, default, explicit)):
        assert problem(with_sighash_type(good, 0, asked)) is None
        assert problem(with_sighash_type(bad, 0, asked)) is SignatureProblem.SIGHASH_TYPE


def test_c6_single_without_an_output_is_refused_always() -> None:
    signed = with_sig(spend([COIN, OWN], outputs=1), 1, OUTPUT, bytes(64) + bytes([SINGLE]))
    assert problem(signed, allowed=frozenset({ALL, SINGLE})) is SignatureProblem.SIGHASH_TYPE


def test_keys_of_other_places_do_not_count() -> None:
    signature = made()
    other_leaf = COIN.xonly("a") + OWN.leaf().hash
    for key in (key_at("stranger", 0).pubkey[1:] + LEAF, COIN.xonly("a") + bytes(32), other_leaf):
        assert problem(with_sig(PSBT, 0, key, signature)) is SignatureProblem.FOREIGN_KEY
    ecdsa = secp.ecdsa_sign(COIN.keys["a"].seckey, bytes(32)) + b"\x01"
    assert problem(with_sig(PSBT, 0, COIN.keys["a"].pubkey, ecdsa)) is SignatureProblem.FOREIGN_KEY
    each = ecdsa_coin("wsh", 0)
    for key in (A, OUTPUT):
        found = problem(with_sig(spend_ecdsa([each]), 0, key, signature))
        assert found is SignatureProblem.FOREIGN_KEY


def test_c7_nothing_counts_without_a_proven_leaf() -> None:
    signed = with_sig(PSBT, 0, A, made())
    assert problem(without_leaves(signed)) is SignatureProblem.FOREIGN_KEY
    lie = {**signed.inputs[0], b"\x17": COIN.xonly("a")}
    assert problem(signed.with_input(0, lie)) is SignatureProblem.BAD_SCRIPT
    blind = {key: value for key, value in signed.inputs[0].items() if key != WITNESS_UTXO}
    assert problem(signed.with_input(0, blind)) is SignatureProblem.UNKNOWN_AMOUNT


def test_a_key_path_signature_of_an_unknown_output_is_of_nobody() -> None:
    blind = with_sig(PSBT.with_input(1, {}), 1, OUTPUT, bytes(64))
    (check,) = check_signatures(blind)
    assert (check.pubkey, check.problem) == (b"", SignatureProblem.UNKNOWN_AMOUNT)
    with pytest.raises(PsbtError, match="under an unknown key"):
        verify(blind)
    assert verify(blind, drop=True).psbt == PSBT.with_input(1, {})


def test_c1_what_any_input_spends_is_covered() -> None:
    signed = with_sig(PSBT, 0, A, made())
    unknown = signed.with_input(1, {})
    assert problem(unknown) is SignatureProblem.UNKNOWN_OTHER
    kind = ALL | ANYONECANPAY
    alone = with_sig(PSBT, 0, A, made(kind)).with_input(1, {})
    assert problem(alone, allowed=frozenset({kind})) is None
    for lie in (TxOutput(OWN.output.sats + 1, OWN.output.script), TxOutput(OWN.output.sats, COIN.output.script)):
        lying = signed.with_input(1, {WITNESS_UTXO: lie.serialize()})
        assert problem(lying) is SignatureProblem.INVALID


def test_a_judgement_is_remembered_only_where_the_evidence_is_the_same() -> None:
    signed = with_sig(PSBT, 0, A, made())
    item = (0, A, made())
    assert judge(signed, [item, item]) == (SignatureCheck(*item, None),) * 2
    lying = signed.with_input(1, {WITNESS_UTXO: TxOutput(5, b"\x51").serialize()})
    assert judge(lying, [item])[0].problem is SignatureProblem.INVALID


def test_many_signatures_of_both_kinds_are_judged_in_their_order() -> None:
    coins = [
        taproot_coin(0, None, [(2, "abc")]) if index % 2 else miniscript_coin(index, "pk(@a)") for index in range(60)
    ]
    psbt = spend(coins)
    names = {index: each.secrets(*("ab" if each.taproot else "a")) for index, each in enumerate(coins)}
    signed = parse(serialize(sign_inputs(psbt, names)))
    broken = {}
    for index in (3, 4, 59):
        key = next(key for key in signed.inputs[index] if key[0] in {0x02, 0x14})
        broken[index] = key[1:]
        other = index - 2
        swapped = next(value for key, value in signed.inputs[other].items() if key[0] in {0x02, 0x14})
        signed = signed.with_input(index, {**signed.inputs[index], key: swapped})
    bad = {check.input: check.key for check in check_signatures(signed) if not check.valid}
    assert bad == broken
    assert len(check_signatures(signed)) == 90


# Answers


def test_new_signatures_are_taken_and_nothing_else_differs() -> None:
    signed = sign_inputs(PSBT, {0: COIN.secrets("b"), 1: OWN.secrets("a")})
    answer = extract(PSBT, parse(serialize(signed)))
    assert {(index, key) for index, key, _ in answer.signatures} == {(0, COIN.xonly("b") + LEAF), (1, OUTPUT)}
    assert (answer.rejected, answer.differences, answer.already_known) == ((), (), 0)
    assert answer.pubkeys == {COIN.xonly("b"), OWN.xonly("a")}  # the key path is the internal key's
    bare = without_leaves(PSBT, 1)
    hidden = bare.with_input(1, {key: value for key, value in bare.inputs[1].items() if key[0] != 0x18})
    assert extract(hidden, signed).pubkeys == {COIN.xonly("b"), OUTPUT}  # nothing proves whose it is
    assert serialize(combine(verify(PSBT), [answer]).psbt) == serialize(signed)
    assert with_signatures(PSBT, answer.signatures) == signed
    assert extract(signed, signed).already_known == 2
    nothing = combine(verify(signed), [extract(signed, signed)])
    assert nothing.psbt == signed


@pytest.mark.parametrize(
    ("key", "signature", "expected"),
    [
        (A, made(message=b"\x11" * 32), SignatureProblem.INVALID),
        (A, made(who="b"), SignatureProblem.INVALID),
        (A, made(NONE), SignatureProblem.SIGHASH_TYPE),
        (A, made() + b"\x00", SignatureProblem.MALFORMED),
        (key_at("stranger", 0).pubkey[1:] + LEAF, made(), SignatureProblem.FOREIGN_KEY),
    ],
)
def test_r2_r4_bad_signatures_are_named_and_not_taken(key: bytes, signature: bytes, expected: SignatureProblem) -> None:
    answer = extract(PSBT, parse(serialize(with_sig(PSBT, 0, key, signature))))
    (check,) = answer.rejected
    assert (check.input, check.key, check.problem) == (0, key, expected)
    assert serialize(combine(verify(PSBT), [answer]).psbt) == serialize(PSBT)


def test_r3_the_one_that_verifies_stays_in_either_order() -> None:
    good, other = (
        made(),
        schnorr.schnorr_sign(COIN.keys["a"].seckey, digest(PSBT, 0, input_scripts(PSBT, 0), 0, LEAF), b"\x01" * 32),
    )
    bad = made(message=b"\x22" * 32)
    holds_good, holds_bad = with_sig(PSBT, 0, A, good), with_sig(PSBT, 0, A, bad)
    assert extract(holds_good, holds_bad).signatures == ()
    assert extract(holds_bad, holds_good).signatures == ((0, A, good),)
    assert extract(holds_good, with_sig(PSBT, 0, A, other)).already_known == 1
    both = [extract(PSBT, with_sig(PSBT, 0, A, value)) for value in (good, other)]
    assert combine(verify(PSBT), both).signatures == {0: {A: good}}
    assert combine(verify(PSBT), both[::-1]).signatures == {0: {A: other}}


def test_r5_other_taproot_fields_are_listed_and_never_merged() -> None:
    dropped = next(key for key in PSBT.inputs[0] if key[0] == 0x16)
    leaf = next(key for key in PSBT.inputs[0] if key[0] == 0x15)
    fields = {key: value for key, value in PSBT.inputs[0].items() if key != dropped}
    fields |= {b"\x17": COIN.xonly("a"), leaf: b"\x51\xc0", b"\x1a" + COIN.keys["a"].pubkey: COIN.keys["b"].pubkey}
    returned = with_sig(PSBT.with_input(0, fields), 0, A, made())
    answer = extract(PSBT, parse(serialize(returned)))
    assert set(answer.differences) == {
        FieldDifference("input 0", "PSBT_IN_TAP_INTERNAL_KEY", "changed"),
        FieldDifference("input 0", "PSBT_IN_TAP_LEAF_SCRIPT", "changed"),
        FieldDifference("input 0", "PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS", "added"),
        FieldDifference("input 0", "PSBT_IN_TAP_BIP32_DERIVATION", "dropped"),
    }
    assert serialize(combine(verify(PSBT), [answer]).psbt) == serialize(sign_inputs(PSBT, {0: COIN.secrets("a")}))


def test_r5_a_signature_over_a_lie_about_another_input_is_not_taken() -> None:
    lie = TxOutput(OWN.output.sats * 2, OWN.output.script).serialize()
    lying = PSBT.with_input(1, {**PSBT.inputs[1], WITNESS_UTXO: lie})
    answer = extract(PSBT, sign_inputs(lying, {0: COIN.secrets("a")}))
    assert [check.problem for check in answer.rejected] == [SignatureProblem.INVALID]


def test_a_contribution_verified_on_other_amounts_of_other_inputs_is_refused() -> None:
    lie = TxOutput(OWN.output.sats * 2, OWN.output.script).serialize()
    lying = PSBT.with_input(1, {**PSBT.inputs[1], WITNESS_UTXO: lie})
    answer = extract(lying, sign_inputs(lying, {0: COIN.secrets("a")}))
    assert len(answer.signatures) == 1
    with pytest.raises(PsbtError, match="another PSBT"):
        combine(verify(PSBT), [answer])
    same = extract(parse(serialize(PSBT)), sign_inputs(PSBT, {0: COIN.secrets("a")}))
    assert len(combine(verify(PSBT), [same]).signatures[0]) == 1


def test_finals_give_their_signatures_up_again() -> None:
    signed = sign_inputs(PSBT, {0: COIN.secrets("a", "c"), 1: OWN.secrets("a")})
    final = finalize(verify(signed))
    for answer in (extract(PSBT, parse(serialize(final))), extract_transaction(PSBT, transaction_of(final))):
        assert (answer.rejected, answer.differences, answer.unchecked_finals) == ((), (), ())
        assert serialize(combine(verify(PSBT), [answer]).psbt) == serialize(signed)


def test_c23_what_was_signed_on_other_inputs_is_dropped() -> None:
    greedy = sign_inputs(PSBT, {0: COIN.secrets("a"), 1: OWN.secrets("a")})
    kept = strip_signatures(greedy, {0}, PSBT)
    assert kept.inputs == (greedy.inputs[0], PSBT.inputs[1])


def test_signatures_of_both_kinds_stand_where_bitcoin_core_writes_them() -> None:
    pubkeys = [COIN.keys[name].pubkey for name in "ab"]
    given = {A: b"t", pubkeys[0]: b"1", OUTPUT: b"k", pubkeys[1]: b"2"}
    fields = put_signatures({b"\x00": b"", b"\x03": b"", b"\x15" + A: b"", b"\xe0": b""}, given)
    assert [key[0] for key in fields] == [0x00, 0x02, 0x02, 0x03, 0x13, 0x14, 0x15, 0xE0]
    assert (fields[TAP_KEY_SIG], fields[field_key(A)]) == (b"k", b"t")
    assert put_signatures(fields, {A: b"new"}) == {**fields, field_key(A): b"new"}
