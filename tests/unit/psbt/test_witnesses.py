"""Final witnesses of taproot and miniscript, and every way in which they can be wrong (THREATS C22, R7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.taproot import FINAL, SECRET, SHA256, Coin, miniscript_coin, people, script_of, spend, taproot_coin
from support.values import replace
from wormsig.bitcoin import schnorr, secp
from wormsig.bitcoin.taproot import TapLeaf
from wormsig.errors import PsbtError
from wormsig.psbt import apart
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, with_preimages
from wormsig.psbt.contribution import FieldDifference, extract
from wormsig.psbt.extractor import extract as transaction_of
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.finals import FinalState, final_of, match
from wormsig.psbt.model import FINAL_SCRIPTSIG, WITNESS_UTXO, Psbt
from wormsig.psbt.preimages import HASHES, is_preimage, preimages_in, wanted_in
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.templates import FinalScripts
from wormsig.psbt.verify import SignatureProblem, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.psbt.finals import FinalCheck

KEYS = people(0)
PREIMAGE = (b"\x0b" + SHA256, SECRET)
BY_KEY = taproot_coin(0, "a")
MULTI = taproot_coin(1, None, [((2, "abc"), "pk(@e)")])
LEAF = taproot_coin(2, None, ["and_v(v:multi_a(2,@a,@b,@c),sha256(H))"])
WSH = miniscript_coin(3, "andor(multi(2,@a,@b,@c),sha256(H),pkh(@d))")
COINS = [BY_KEY, MULTI, LEAF, WSH]
PSBT = spend(COINS)


def _final() -> Psbt:
    names = {0: "a", 1: "ab", 2: "bc", 3: "ac"}
    psbt = sign_inputs(PSBT, {index: COINS[index].secrets(*each) for index, each in names.items()})
    return finalize(verify(with_preimages(psbt, [(2, *PREIMAGE), (3, *PREIMAGE)])))


DONE = _final()


def final(index: int) -> FinalScripts:
    made = final_of(DONE, index)
    assert made is not None
    return made


def judged(index: int, made: FinalScripts, psbt: Psbt = PSBT) -> FinalCheck:
    (check,) = match(psbt, {index: made})
    return check


def test_good_ones_are_valid_and_say_whose_signatures_and_which_preimages_they_hold() -> None:
    checks = match(PSBT, {index: final(index) for index in range(4)})
    assert [check.state for check in checks] == [FinalState.VALID] * 4
    assert [len(check.signatures) for check in checks] == [1, 2, 2, 2]
    assert {check.pubkey for check in checks[0].signatures} == {BY_KEY.output.script[2:]}
    assert {check.pubkey for check in checks[2].signatures} == {LEAF.xonly("b"), LEAF.xonly("c")}
    assert {check.pubkey for check in checks[3].signatures} == {WSH.keys[name].pubkey for name in "ac"}
    assert [check.preimages for check in checks] == [(), (), (PREIMAGE,), (PREIMAGE,)]


def items(change: Callable[[list[bytes]], list[bytes]], index: int) -> FinalScripts:
    made = final(index)
    return replace(made, stack=tuple(change(list(made.stack))))


def flipped(item: bytes) -> bytes:
    return item[:40] + bytes([item[40] ^ 1]) + item[41:]


def broken(index: int) -> FinalScripts:
    """With every signature in it changed."""
    return items(
        lambda stack: [flipped(item) if len(item) == 64 or item[:1] == b"\x30" else item for item in stack], index
    )


def with_more(stack: list[bytes]) -> list[bytes]:
    """A third signature where two are asked for."""
    return [stack[0] or stack[1], stack[1] or stack[2], stack[2] or stack[0], *stack[3:]]


INVALID: list[tuple[str, FinalScripts, int]] = [
    ("a signature over something else", items(lambda stack: [flipped(stack[0])], 0), 0),
    ("a signature of another length", items(lambda stack: [stack[0][:63]], 0), 0),
    ("DEFAULT written out", items(lambda stack: [stack[0] + b"\x00"], 0), 0),
    ("nothing at all", FinalScripts(b"", ()), 0),
    ("a scriptSig beside it", replace(final(0), script_sig=b"\x51"), 0),
    ("a script where there is none", FinalScripts(b"", (final(0).stack[0], b"\x51", b"\xc0" + bytes(32))), 0),
    (
        "a bad signature in a leaf",
        items(lambda stack: [flipped(item) if len(item) == 64 else item for item in stack], 1),
        1,
    ),
    ("another order", items(lambda stack: [stack[1], stack[0], *stack[2:]], 1), 1),
    ("one item too few", items(lambda stack: stack[1:], 1), 1),
    ("one item too many", items(lambda stack: [b"", *stack], 1), 1),
    ("too few signatures", items(lambda stack: [b"" if len(item) == 64 else item for item in stack], 1), 1),
    (
        "a threshold that is met by more",
        items(lambda stack: [stack[0], stack[0], *stack[2:]] if stack[1] == b"" else [stack[1], *stack[1:]], 1),
        1,
    ),
    ("a control block of another leaf", items(lambda stack: [*stack[:-1], MULTI.taproot.control_block(1)], 1), 1),  # type: ignore[union-attr]
    ("a control block cut short", items(lambda stack: [*stack[:-1], stack[-1][:-1]], 1), 1),
    ("another script", items(lambda stack: [*stack[:-2], stack[-2] + b"\x61", stack[-1]], 1), 1),
    (
        "a bad signature in a miniscript leaf",
        items(lambda stack: [flipped(item) if len(item) == 64 else item for item in stack], 2),
        2,
    ),
    (
        "a bad signature in a miniscript",
        items(lambda stack: [flipped(item) if item[:1] == b"\x30" else item for item in stack], 3),
        3,
    ),
    ("another witnessScript", items(lambda stack: [*stack[:-1], stack[-1] + b"\x61"], 3), 3),
]


@pytest.mark.parametrize(("what", "made", "index"), INVALID)
def test_r7_wrong_finals_are_found(what: str, made: FinalScripts, index: int) -> None:
    check = judged(index, made)
    assert check.state is FinalState.INVALID, what
    fields = dict(DONE.inputs[index])
    fields[b"\x08"] = made.witness
    if made.script_sig:
        fields[FINAL_SCRIPTSIG] = made.script_sig
    answer = extract(PSBT, DONE.with_input(index, fields))
    assert index not in {place for place, _, _ in answer.signatures}
    assert {each.input for each in answer.rejected} == {index}
    if index not in {2, 3}:  # finalizing cleared what names the keys of the others
        with pytest.raises(PsbtError, match="do not satisfy"):
            transaction_of(parse(serialize(DONE.with_input(index, fields))))


UNCHECKED: list[tuple[str, FinalScripts, int]] = [
    ("an annex", FinalScripts(b"", (*final(1).stack, b"\x50annex")), 1),
    ("another preimage", items(lambda stack: [bytes(32) if item == SECRET else item for item in stack], 2), 2),
    ("no preimage", items(lambda stack: [b"" if item == SECRET else item for item in stack], 3), 3),
    ("an item too many", items(lambda stack: [b"", *stack], 3), 3),
]


@pytest.mark.parametrize(("what", "made", "index"), UNCHECKED)
def test_c22_what_cannot_be_told_is_not_checked_and_never_valid(what: str, made: FinalScripts, index: int) -> None:
    assert judged(index, made).state is FinalState.NOT_CHECKED, what


def test_a_leaf_of_a_version_without_meaning_is_not_checked() -> None:
    script = script_of("pk(@a)", KEYS, tapscript=True)
    coin = taproot_coin(0, None, [TapLeaf(script, 0xC2)])
    assert coin.taproot is not None
    made = FinalScripts(b"", (bytes(64), script, coin.taproot.control_block(0)))
    assert judged(0, made, spend([coin])).state is FinalState.NOT_CHECKED


def test_c1_a_taproot_final_is_not_checked_while_another_amount_is_unknown() -> None:
    blind = PSBT.with_input(3, {})
    for index in (0, 1, 2):
        assert judged(index, final(index), blind).state is FinalState.NOT_CHECKED
    lie = {WITNESS_UTXO: replace(WSH.output, sats=5).serialize()}
    for index in (0, 1, 2):
        assert judged(index, final(index), PSBT.with_input(3, lie)).state is FinalState.INVALID


def test_a_witness_that_is_as_good_as_ours_gives_its_signatures_up_and_is_not_checked() -> None:
    coin = miniscript_coin(0, "or_b(pk(@a),s:pk(@b))")  # both signatures satisfy it, one is enough
    psbt = spend([coin])
    signed = sign_inputs(psbt, {0: coin.secrets("a", "b")})
    held = verify(signed).signatures[0]
    both = FinalScripts(b"", (held[coin.keys["b"].pubkey], held[coin.keys["a"].pubkey], coin.witness or b""))
    check = judged(0, both, psbt)
    assert (check.state, len(check.signatures)) == (FinalState.NOT_CHECKED, 2)
    answer = extract(psbt, psbt.with_input(0, {**psbt.inputs[0], b"\x08": both.witness}))
    assert (len(answer.signatures), answer.unchecked_finals, answer.rejected) == (2, (0,), ())
    assert combine(verify(psbt), [answer]).psbt == signed


def test_c5_a_sighash_type_within_a_miniscript_final_is_judged() -> None:
    coin = miniscript_coin(0, "and_v(v:pk(@a),pk(@b))")
    psbt = spend([coin])
    loose = sign_inputs(psbt, {0: coin.secrets("a", "b")}, sighash_type=2)
    made = final_of(finalize(verify(loose, allowed=frozenset({2}))), 0)
    assert made is not None
    check = judged(0, made, psbt)
    assert (check.state, check.signatures[0].problem) == (FinalState.INVALID, SignatureProblem.SIGHASH_TYPE)
    (check,) = match(psbt, {0: made}, frozenset({2}))
    assert check.state is FinalState.VALID


def test_c16_what_was_read_to_finalize_is_not_read_again_to_check() -> None:
    psbt = spend([WSH])
    signed = verify(sign_inputs(psbt, {0: WSH.secrets("d")}))
    made = final_of(finalize(signed), 0)
    assert made is not None
    before = signed.psbt.memo.read
    assert before
    assert judged(0, made, signed.psbt).state is FinalState.VALID
    assert signed.psbt.memo.read == before


def test_c16_trying_keys_is_bounded_over_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    coins = [miniscript_coin(index, "and_v(v:pk(@a),and_v(v:pk(@b),pk(@c)))") for index in range(6)]
    psbt = spend(coins)
    signed = sign_inputs(psbt, {index: each.secrets("a", "b", "c") for index, each in enumerate(coins)})
    done = finalize(verify(signed))
    finals = {index: made for index in range(6) if (made := final_of(done, index)) is not None}
    assert {check.state for check in match(psbt, finals)} == {FinalState.VALID}
    monkeypatch.setattr(apart, "MAX_TRIES", 9)
    states = [check.state for check in match(psbt, finals)]
    assert states == [FinalState.VALID] * 3 + [FinalState.NOT_CHECKED] * 3


def test_a_miniscript_final_costs_one_verification_a_signature_when_it_is_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coin = taproot_coin(0, None, ["and_v(v:pk(@a),and_v(v:pk(@b),and_v(v:pk(@c),pk(@d))))"])
    psbt = spend([coin])
    made = final_of(finalize(verify(sign_inputs(psbt, {0: coin.secrets(*"abcd")}))), 0)
    assert made is not None
    seen: list[bytes] = []
    check = schnorr.verify_mixed
    monkeypatch.setattr(schnorr, "verify_mixed", lambda ecdsa, bip340: seen.extend(bip340) or check(ecdsa, bip340))
    fresh = parse(serialize(psbt))
    assert judged(0, made, fresh).state is FinalState.VALID
    assert len(seen) == 4
    assert not hasattr(secp, "schnorr_verify")


# Preimages


HASHED = miniscript_coin(0, "thresh(2,pk(@a),a:sha256(H),sln:older(10))")


def test_preimages_are_taken_from_answers_when_they_are_true_and_asked_for() -> None:
    psbt = spend([HASHED], sequence=10)
    returned = sign_inputs(psbt, {0: HASHED.secrets("a")})
    wrong = {b"\x0b" + bytes(32): SECRET, b"\x0a" + bytes(20): bytes(32), b"\x0c" + bytes(20): b"short"}
    fields = {**returned.inputs[0], PREIMAGE[0]: SECRET, **wrong}
    answer = extract(psbt, returned.with_input(0, fields))
    assert answer.preimages == ((0, *PREIMAGE),)
    assert set(answer.differences) == {
        FieldDifference("input 0", name, "added") for name in ("PSBT_IN_SHA256", "PSBT_IN_RIPEMD160", "PSBT_IN_HASH160")
    }
    combined = combine(verify(psbt), [answer, answer])
    assert combined.psbt.inputs[0][PREIMAGE[0]] == SECRET
    assert list(combined.psbt.inputs[0]) == sorted(combined.psbt.inputs[0])
    assert combined == verify(parse(serialize(combined.psbt)))
    again = extract(combined.psbt, returned)
    assert (again.preimages, again.differences, again.already_known) == ((), (), 1)


def test_a_preimage_alone_is_a_contribution() -> None:
    psbt = spend([HASHED], sequence=10)
    answer = extract(psbt, psbt.with_input(0, {**psbt.inputs[0], PREIMAGE[0]: SECRET}))
    assert (answer.signatures, answer.preimages) == ((), ((0, *PREIMAGE),))
    other = spend([WSH])
    with pytest.raises(PsbtError, match="another PSBT"):
        combine(verify(other), [answer])


def test_a_preimage_that_the_script_does_not_ask_for_is_refused() -> None:
    psbt = spend([HASHED, BY_KEY])
    for index, key, value in (
        (1, *PREIMAGE),
        (0, b"\x0b" + bytes(32), SECRET),
        (0, PREIMAGE[0], bytes(32)),
        (0, b"\x0d" + SHA256, SECRET),
    ):
        with pytest.raises(PsbtError, match="no preimage that the input's script asks for") as caught:
            with_preimages(psbt, [(index, key, value)])
        assert caught.value.where == f"input {index}"
    with pytest.raises(PsbtError, match="no such input"):
        with_preimages(psbt, [(2, *PREIMAGE)])
    once = with_preimages(psbt, [(0, *PREIMAGE), (0, *PREIMAGE)])
    assert with_preimages(once, [(0, *PREIMAGE)]) == once


@pytest.mark.parametrize(
    ("kind", "name"), [(0x0A, "ripemd160"), (0x0B, "sha256"), (0x0C, "hash160"), (0x0D, "hash256")]
)
@pytest.mark.parametrize("tapscript", [False, True])
def test_every_hash_that_miniscript_knows(kind: int, name: str, tapscript: bool) -> None:
    digest = HASHES[kind][1](SECRET)
    field = bytes([kind]) + digest
    text = f"and_v(v:pk(@a),{name}({digest.hex()}))"
    coin = taproot_coin(0, None, [text]) if tapscript else miniscript_coin(0, text)
    psbt = with_preimages(sign_inputs(spend([coin]), {0: coin.secrets("a")}), [(0, field, SECRET)])
    assert wanted_in(input_scripts(psbt, 0)) == {field}
    assert list(preimages_in(psbt.inputs[0])) == [(name, digest, SECRET)]
    done = finalize(verify(parse(serialize(psbt))))
    check = judged(0, final_of(done, 0) or FinalScripts(b"", ()), psbt)
    assert (check.state, check.preimages) == (FinalState.VALID, ((field, SECRET),))


def test_only_what_miniscript_asks_for_is_wanted() -> None:
    keyed: list[Coin] = [miniscript_coin(0, "pkh(@a)"), taproot_coin(0, None, ["pkh(@a)"]), MULTI, BY_KEY]
    for coin in keyed:
        psbt = spend([coin])
        assert wanted_in(input_scripts(psbt, 0)) == set()
    assert not is_preimage(b"\x0b" + SHA256, SECRET[:-1])
    assert not is_preimage(b"\xe0" + SHA256, SECRET)
    assert FINAL == 0xFFFFFFFF
