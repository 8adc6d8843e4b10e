"""Combining: any order, any grouping, any repetition gives the same bytes; nothing but good signatures enters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.psbts import coins, key_at, spend
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, union
from wormsig.psbt.contribution import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.model import FINAL_SCRIPTWITNESS, WITNESS_UTXO, Psbt
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import check_signatures, verify

if TYPE_CHECKING:
    from wormsig.psbt.contribution import Contribution

COINS = coins("wsh", "sh-wsh", "sh", "wpkh")
MINE = spend(COINS)
SIGNERS = [(index, who) for index, each in enumerate(COINS) for who in range(len(each.keys))]
EVERY = {
    (index, who): sign_inputs(MINE, {index: COINS[index].secrets(who)}).inputs[index][
        b"\x02" + COINS[index].pubkeys[who]
    ]
    for index, who in SIGNERS
}
Signatures = set[tuple[int, int]]
some_signatures = st.sets(st.sampled_from(SIGNERS))
quick = settings(max_examples=examples(15), deadline=None)


def with_signatures(psbt: Psbt, chosen: Signatures) -> Psbt:
    for index, who in chosen:
        fields = {**psbt.inputs[index], b"\x02" + COINS[index].pubkeys[who]: EVERY[index, who]}
        psbt = psbt.with_input(index, fields)
    return psbt


def answer(chosen: Signatures) -> Contribution:
    return extract(MINE, with_signatures(MINE, chosen))


@given(st.lists(some_signatures, max_size=4), st.randoms())
@quick
def test_order_grouping_and_repetition_do_not_matter(sets: list[Signatures], random: object) -> None:
    answers = [answer(chosen) for chosen in sets]
    at_once = combine(verify(MINE), answers)
    shuffled = [*answers, *answers]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert serialize(combine(verify(MINE), shuffled).psbt) == serialize(at_once.psbt)
    one_by_one = verify(MINE)
    for each in reversed(answers):
        one_by_one = combine(one_by_one, [each])
    assert serialize(one_by_one.psbt) == serialize(at_once.psbt)
    assert one_by_one == at_once == verify(at_once.psbt)
    together: Signatures = set().union(*sets)
    assert at_once.psbt == with_signatures(MINE, together)


@given(some_signatures, some_signatures)
@quick
def test_a_contribution_applied_equals_the_signed_psbt(held: Signatures, new: Signatures) -> None:
    mine = with_signatures(MINE, held)
    contribution = extract(mine, parse(serialize(with_signatures(MINE, new))))
    assert len(contribution.signatures) == len(new - held)
    assert contribution.already_known == len(new & held)
    assert combine(verify(mine), [contribution]).psbt == with_signatures(MINE, held | new)


@given(some_signatures, some_signatures)
@quick
def test_union_agrees_on_signatures(left: Signatures, right: Signatures) -> None:
    both = union(with_signatures(MINE, left), [with_signatures(MINE, right)])
    assert both == with_signatures(MINE, left | right)


STRANGER = key_at("stranger", 0)
KEYS = st.sampled_from(
    [b"\xe0", b"\xfc\x01a\x00", WITNESS_UTXO, b"\x03", b"\x04", b"\x05", b"\x06" + STRANGER.pubkey, b"\x13", b"\x07"]
    + [FINAL_SCRIPTWITNESS, b"\x02" + STRANGER.pubkey]
    + [b"\x02" + pubkey for each in COINS for pubkey in each.pubkeys]
)
VALUES = st.sampled_from([*EVERY.values(), b"", b"\x00", b"\x01", bytes(64), b"\x51"]) | st.binary(max_size=80)
CHANGES = st.lists(st.tuples(st.integers(0, len(COINS) - 1), KEYS, VALUES | st.none()), max_size=8)


@given(CHANGES, some_signatures, some_signatures)
@settings(max_examples=examples(30), deadline=None)
def test_nothing_but_signatures_that_verify_enters(
    changes: list[tuple[int, bytes, bytes | None]], held: Signatures, signed: Signatures
) -> None:
    mine = with_signatures(MINE, held)
    returned = with_signatures(MINE, signed)
    for index, key, value in changes:
        fields = dict(returned.inputs[index])
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = value
        returned = returned.with_input(index, fields)
    combined = combine(verify(mine), [extract(mine, returned)])
    assert (combined.psbt.global_map, combined.psbt.outputs) == (mine.global_map, mine.outputs)
    for before, after in zip(mine.inputs, combined.psbt.inputs, strict=True):
        assert {key: value for key, value in after.items() if key[0] != 2} == {
            key: value for key, value in before.items() if key[0] != 2
        }
        assert before.items() <= after.items()
    fresh = parse(serialize(combined.psbt))
    assert all(check.valid for check in check_signatures(fresh))
    assert verify(fresh).signatures == combined.signatures


@given(st.sets(st.sampled_from([0, 1, 2]), min_size=2), st.sets(st.sampled_from([0, 1, 2]), min_size=2))
@quick
def test_finals_and_partial_signatures_bring_the_same(first: set[int], second: set[int]) -> None:
    chosen = {(index, who) for index in range(3) for who in (first if index % 2 else second)} | {(3, 0)}
    final = finalize(verify(with_signatures(MINE, chosen)))
    used = {(index, who) for index in range(3) for who in sorted(first if index % 2 else second)[:2]} | {(3, 0)}
    contribution = extract(MINE, parse(serialize(final)))
    assert combine(verify(MINE), [contribution]).psbt == with_signatures(MINE, used)
