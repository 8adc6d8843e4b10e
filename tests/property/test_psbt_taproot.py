"""Taproot and miniscript: order and grouping do not matter, only good signatures enter, what is made is accepted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from support.engine import check_scripts
from support.examples import examples
from support.taproot import SECRET, SHA256, miniscript_coin, spend, taproot_coin
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, with_preimages
from wormsig.psbt.contribution import Contribution, extract
from wormsig.psbt.extractor import extract as transaction_of
from wormsig.psbt.finalizer import finalize, missing
from wormsig.psbt.model import FINAL_SCRIPTWITNESS, WITNESS_UTXO, Psbt
from wormsig.psbt.sigkeys import field_key
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_weight
from wormsig.psbt.verify import check_signatures, verify

COINS = [
    taproot_coin(0, "e", [((2, "abc"), "and_v(v:pkh(@d),older(10))")]),
    taproot_coin(1, None, [((2, "abcd"), ("and_v(v:multi_a(2,@a,@e),sha256(H))", (1, "de")))]),
    miniscript_coin(2, "or_d(multi(2,@a,@b,@c),and_v(v:pkh(@d),older(10)))"),
    miniscript_coin(3, "andor(multi(2,@a,@b),sha256(H),and_v(v:pk(@c),pk(@d)))", nested=True),
    taproot_coin(4, "c"),
]
MINE = spend(COINS, sequence=10)
PREIMAGES = [(1, b"\x0b" + SHA256, SECRET), (3, b"\x0b" + SHA256, SECRET)]


def _every() -> dict[tuple[int, bytes], bytes]:
    names = {0: "abcde", 1: "abcde", 2: "abcd", 3: "abcd", 4: "c"}
    signed = sign_inputs(MINE, {index: COINS[index].secrets(*each) for index, each in names.items()})
    held = verify(signed).signatures
    # Whoever has the key path signs no leaf: the leaves' signatures of the first coin come beside it.
    return {(index, key): value for index, each in held.items() for key, value in each.items()}


EVERY = _every()
SPOTS = sorted(EVERY)
Spots = set[tuple[int, bytes]]
some = st.sets(st.sampled_from(SPOTS))
quick = settings(max_examples=examples(15), deadline=None)


def signed(chosen: Spots, preimages: bool = False) -> Psbt:
    psbt = MINE
    for index, key in sorted(chosen):
        psbt = psbt.with_input(index, {**psbt.inputs[index], field_key(key): EVERY[index, key]})
    return with_preimages(psbt, PREIMAGES) if preimages else psbt


def answer(chosen: Spots, preimages: bool) -> Contribution:
    data = serialize(signed(chosen, preimages))
    returned = parse(data, like=MINE)
    assert returned == parse(data)
    return extract(MINE, returned)


@given(st.lists(st.tuples(some, st.booleans()), max_size=4), st.randoms())
@quick
def test_order_grouping_and_repetition_do_not_matter(sets: list[tuple[Spots, bool]], random: object) -> None:
    answers = [answer(*each) for each in sets]
    at_once = combine(verify(MINE), answers)
    shuffled = [*answers, *answers]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert serialize(combine(verify(MINE), shuffled).psbt) == serialize(at_once.psbt)
    one_by_one = verify(MINE)
    for each in reversed(answers):
        one_by_one = combine(one_by_one, [each])
    assert serialize(one_by_one.psbt) == serialize(at_once.psbt)
    assert one_by_one == at_once == verify(at_once.psbt)
    together: Spots = set().union(*[chosen for chosen, _ in sets])
    assert at_once.psbt == signed(together, any(given for _, given in sets))


KEYS = st.sampled_from(
    [b"\xe0", WITNESS_UTXO, b"\x03", b"\x04", b"\x05", b"\x17", b"\x18", b"\x13", FINAL_SCRIPTWITNESS, b"\x0b" + SHA256]
    + [field_key(key) for _, key in SPOTS]
    + [key for fields in MINE.inputs for key in fields if key[0] in {0x15, 0x16}]
)
VALUES = st.sampled_from([*EVERY.values(), b"", bytes(64), bytes(65), SECRET, b"\x01\x40" + bytes(64)]) | st.binary(
    max_size=70
)
CHANGES = st.lists(st.tuples(st.integers(0, len(COINS) - 1), KEYS, VALUES | st.none()), max_size=8)


@given(CHANGES, some, some)
@settings(max_examples=examples(24), deadline=None)
def test_nothing_but_signatures_and_preimages_that_verify_enters(
    changes: list[tuple[int, bytes, bytes | None]], held: Spots, given_back: Spots
) -> None:
    mine, returned = signed(held), signed(given_back)
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
        assert before.items() <= after.items()
        added = {key: after[key] for key in after.keys() - before.keys()}
        assert {key[0] for key in added} <= {0x02, 0x0B, 0x13, 0x14}
        assert added.get(b"\x0b" + SHA256, SECRET) == SECRET
    fresh = parse(serialize(combined.psbt))
    assert all(check.valid for check in check_signatures(fresh))
    assert verify(fresh).signatures == combined.signatures


ALONE = [spend([coin], sequence=10) for coin in COINS]
NAMES = ["abcde", "abcde", "abcd", "abcd", "c"]


@given(st.integers(0, len(COINS) - 1), st.sets(st.sampled_from("abcde")), st.booleans())
@settings(max_examples=examples(30), deadline=None)
def test_what_can_be_finalized_is_accepted_and_of_the_weight_foreseen(
    number: int, names: set[str], preimages: bool
) -> None:
    unsigned = ALONE[number]
    psbt = sign_inputs(unsigned, {0: COINS[number].secrets(*sorted(names & set(NAMES[number])))})
    if preimages and number in {1, 3}:
        psbt = with_preimages(psbt, [(0, *PREIMAGES[0][1:])])
    verified = verify(psbt)
    if missing(verified):
        return
    final = finalize(verified)
    check_scripts(final)
    assert estimated_weight(psbt) == transaction_of(final).weight
    brought = extract(unsigned, parse(serialize(final)))
    assert (brought.rejected, brought.unchecked_finals) == ((), ())
    assert serialize(finalize(combine(verify(unsigned), [brought]))) == serialize(final)


@given(st.lists(st.sampled_from([spot for spot in SPOTS if spot[0] != 4]), unique=True))
@quick
def test_a_further_signature_never_makes_more_lack(spots: list[tuple[int, bytes]]) -> None:
    before = missing(verify(MINE))
    for count in range(1, len(spots) + 1):
        after = missing(verify(signed(set(spots[:count]))))
        assert all(after.get(index, 0) <= before[index] for index in before)
        before = {index: after.get(index, 0) for index in before}
