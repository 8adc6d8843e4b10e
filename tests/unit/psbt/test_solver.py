"""Which way an input is spent, what it lacks, how large it will be; final scripts that a script interpreter accepts."""

from __future__ import annotations

from itertools import combinations

import pytest

from support.engine import check_scripts
from support.psbts import coins as ecdsa_coins
from support.psbts import spend as spend_ecdsa
from support.taproot import FINAL, SECRET, SHA256, Coin, miniscript_coin, people, script_of, spend, taproot_coin
from wormsig.bitcoin.script import operations
from wormsig.bitcoin.taproot import NUMS_KEY, TapLeaf, multi_a_script
from wormsig.errors import NotSupportedError, ThresholdError
from wormsig.psbt import solver
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import with_preimages
from wormsig.psbt.contribution import extract as contribution_of
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import IncompleteError, can_finalize, finalize, missing
from wormsig.psbt.finals import FinalState, check_finals, final_of, match
from wormsig.psbt.model import BIP32_DERIVATION, TAP_BIP32_DERIVATION, TAP_LEAF_SCRIPT, Psbt
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.sigkeys import pubkey_of
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_vsize, estimated_weight
from wormsig.psbt.taproot import TaprootScripts
from wormsig.psbt.templates import FinalScripts
from wormsig.psbt.updater import with_sighash_type, with_witness_utxo
from wormsig.psbt.verify import verify

KEYS = people(0)
PREIMAGE = (0, b"\x0b" + SHA256, SECRET)
DECAYING = "or_d(multi(2,@a,@b,@c),and_v(v:pkh(@d),older(144)))"
DECAYING_LEAF = "or_d(multi_a(2,@a,@b,@c),and_v(v:pkh(@d),older(144)))"
HASHED = "and_v(v:pk(@a),sha256(H))"


def signed(psbt: Psbt, coin: Coin, names: str, *, preimage: bool = False) -> Psbt:
    """A one-input PSBT, signed by some people, as it comes over the wire."""
    psbt = sign_inputs(psbt, {0: coin.secrets(*names)})
    return parse(serialize(with_preimages(psbt, [PREIMAGE]) if preimage else psbt))


def stack_of(psbt: Psbt) -> tuple[bytes, ...]:
    """The final witness of a PSBT that can be finalized, once an interpreter and our own checks accepted it."""
    final = finalize(verify(psbt))
    check_scripts(final)
    scripts = {index: made for index in range(len(psbt.inputs)) if (made := final_of(final, index)) is not None}
    assert [check.state for check in match(psbt, scripts)] == [FinalState.VALID] * len(psbt.inputs)
    return extract(final).witnesses[0]


# Taproot: by key, by the smallest leaf


MULTI = taproot_coin(0, None, [(2, "abc")])


@pytest.mark.parametrize("names", ["ab", "ac", "bc", "abc"])
def test_a_multi_a_gets_its_signatures_in_reverse_and_nothing_elsewhere(names: str) -> None:
    psbt = signed(spend([MULTI]), MULTI, names)
    held = verify(psbt).signatures[0]
    multi_a = TaprootScripts.of(MULTI.taproot).leaves[MULTI.leaf().hash].multi_a  # type: ignore[arg-type]
    assert multi_a is not None
    *items, script, control = stack_of(psbt)
    assert (script, control) == (MULTI.leaf().script, MULTI.taproot.control_block(0))  # type: ignore[union-attr]
    by_key = dict(zip(multi_a.keys, reversed(items), strict=True))
    used = [key for key, item in by_key.items() if item]
    assert all(by_key[key] == held[key + MULTI.leaf().hash] for key in used)
    assert used == [key for key in multi_a.keys if key + MULTI.leaf().hash in held][-2:]  # the last ones, as bitcoind


def test_of_signatures_of_two_sizes_the_shorter_ones_are_used() -> None:
    psbt = sign_inputs(spend([MULTI]), {0: MULTI.secrets("a", "b", "c")})
    verified = verify(psbt)
    first, second, third = sorted(MULTI.xonly(name) for name in "abc")
    leaf = MULTI.leaf().hash
    held = {key + leaf: bytes(64) for key in (first, second)} | {third + leaf: bytes(65)}
    scripts = input_scripts(psbt, 0)
    final = solver.solve(psbt, 0, scripts, held)
    assert final is not None
    assert [len(item) for item in final.stack[:3]] == [0, 64, 64]
    again = solver.solve(psbt, 0, scripts, {**held, first + leaf: bytes(65)})
    assert again is not None
    assert [len(item) for item in again.stack[:3]] == [65, 64, 0]
    assert len(verified.signatures[0]) == 3


def test_the_key_path_goes_before_every_leaf() -> None:
    coin = taproot_coin(0, "e", [(1, "ab")])
    psbt = spend([coin])
    assert missing(verify(psbt)) == {0: 1}
    (signature,) = stack_of(signed(psbt, coin, "ae"))
    assert len(signature) == 64
    assert len(stack_of(signed(psbt, coin, "a"))) == 4


TREE = taproot_coin(0, "e", [((3, "abcd"), ((2, "abc"), ("pk(@d)", DECAYING_LEAF)))])


@pytest.mark.parametrize(
    ("names", "leaf"),
    [("ab", 1), ("abc", 1), ("abcd", 2), ("d", 2), ("e", None), ("abcde", None), ("bc", 1)],
)
def test_the_leaf_with_the_smallest_witness_is_taken(names: str, leaf: int | None) -> None:
    psbt = signed(spend([TREE], sequence=144), TREE, names)
    stack = stack_of(psbt)
    if leaf is None:
        assert len(stack) == 1
    else:
        assert stack[-2] == TREE.leaf(leaf).script


def test_of_equal_leaves_the_first_in_bitcoinds_order_is_taken() -> None:
    coin = taproot_coin(0, None, [("pk(@a)", "pk(@b)")])
    smaller = min(coin.leaf(0).script, coin.leaf(1).script)
    assert stack_of(signed(spend([coin]), coin, "ab"))[-2] == smaller


def test_a_leaf_of_a_version_without_meaning_is_no_way_to_spend() -> None:
    coin = taproot_coin(0, None, [(TapLeaf(script_of("pk(@a)", KEYS, tapscript=True), 0xC2), "pk(@b)")])
    psbt = spend([coin])
    assert missing(verify(psbt)) == {0: 1}
    assert stack_of(signed(psbt, coin, "b"))[-2] == coin.leaf(1).script
    only = taproot_coin(0, None, [TapLeaf(script_of("pk(@a)", KEYS, tapscript=True), 0xC2)])
    assert estimated_weight(spend([only])) is None


def test_a_leaf_that_is_no_miniscript_is_left_alone() -> None:
    strange = b"\x20" + KEYS["a"].pubkey[1:] + b"\xac\x69\x51\x51\x87"
    coin = taproot_coin(0, None, [(strange, "pk(@b)")])
    psbt = signed(spend([coin]), coin, "ab")
    assert len(verify(psbt).signatures[0]) == 2
    assert stack_of(psbt)[-2] == coin.leaf(1).script
    alone = taproot_coin(0, None, [strange])
    with pytest.raises(IncompleteError, match="needs a preimage, or a locktime or sequence"):
        finalize(verify(signed(spend([alone]), alone, "a")))


def test_a_key_alone_with_a_threshold_above_sixteen() -> None:
    keys = {f"k{number}": each for number, each in enumerate(people(0, "abcdefghijklmnopqrst").values())}
    script = multi_a_script(17, sorted(key.pubkey[1:] for key in keys.values()))
    coin = taproot_coin(0, None, [script])
    psbt = spend([coin])
    names = [key.pubkey[1:] for key in keys.values()][:17]
    secrets = {key.pubkey[1:]: key.seckey for key in keys.values()}
    done = sign_inputs(psbt, {0: {name: secrets[name] for name in names}})
    assert missing(verify(psbt)) == {0: 17}
    assert len(stack_of(done)) == 22


# Miniscript


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("text", "names", "sequence", "locktime", "items"),
    [
        (DECAYING, "ab", FINAL, 0, 3),
        (DECAYING, "d", 144, 0, 5),
        (DECAYING, "abcd", 144, 0, 5),  # one signature, a key and empty items are smaller than two signatures
        (HASHED, "a", FINAL, 0, 2),
        ("and_v(v:pk(@a),after(1000))", "a", 0, 1000, 1),
        ("thresh(2,pk(@a),s:pk(@b),s:pk(@c),sln:older(10))", "b", 10, 0, 4),
        ("andor(multi(1,@a,@b),older(20),pk(@c))", "c", FINAL, 0, 3),
        ("or_i(and_v(v:pkh(@a),sha256(H)),pk(@b))", "b", FINAL, 0, 2),
    ],
)
def test_miniscript_in_wsh(  # noqa: PLR0917  one column each
    text: str, names: str, sequence: int, locktime: int, items: int, nested: bool
) -> None:
    coin = miniscript_coin(0, text, nested=nested)
    psbt = signed(
        spend([coin], sequence=sequence, locktime=locktime), coin, names, preimage="H" in text and "a" in names
    )
    stack = stack_of(psbt)
    assert (len(stack), stack[-1]) == (items + 1, coin.witness)


@pytest.mark.parametrize(
    ("text", "names", "sequence", "locktime"),
    [
        (DECAYING_LEAF, "bc", FINAL, 0),
        (DECAYING_LEAF, "d", 144, 0),
        (HASHED, "a", FINAL, 0),
        ("and_v(v:pk(@a),after(500000001))", "a", 0, 500_000_001),
        ("thresh(2,pk(@a),s:pk(@b),s:pk(@c),sln:older(10))", "c", 10, 0),
    ],
)
def test_miniscript_in_a_leaf(text: str, names: str, sequence: int, locktime: int) -> None:
    coin = taproot_coin(0, None, [(text, "pk(@e)")])
    psbt = signed(spend([coin], sequence=sequence, locktime=locktime), coin, names, preimage="H" in text)
    assert stack_of(psbt)[-2] == coin.leaf().script


LOCKS = [
    ("older(10)", 10, 0, 2, True),
    ("older(10)", 9, 0, 2, False),
    ("older(10)", 11, 0, 2, True),
    ("older(10)", 10 | 1 << 31, 0, 2, False),
    ("older(10)", 10 | 1 << 22, 0, 2, False),
    ("older(10)", 10, 0, 1, False),
    ("older(10)", 10 | 0x10000, 0, 2, True),  # bits that BIP68 gives no meaning
    ("older(4194314)", 10 | 1 << 22, 0, 2, True),
    ("older(4194314)", 10, 0, 2, False),
    ("after(100)", 0, 100, 2, True),
    ("after(100)", 0, 99, 2, False),
    ("after(100)", FINAL, 100, 2, False),
    ("after(100)", 0, 500_000_000, 2, False),
    ("after(500000000)", 0, 500_000_000, 1, True),
    ("after(500000000)", 0, 499_999_999, 1, False),
]


@pytest.mark.parametrize("tapscript", [False, True])
@pytest.mark.parametrize(("lock", "sequence", "locktime", "version", "is_open"), LOCKS)
def test_locks_are_those_of_the_transaction(  # noqa: PLR0917  one column each
    lock: str, sequence: int, locktime: int, version: int, is_open: bool, tapscript: bool
) -> None:
    text = f"and_v(v:pk(@a),{lock})"
    coin = taproot_coin(0, None, [text]) if tapscript else miniscript_coin(0, text)
    psbt = spend([coin], sequence=sequence, locktime=locktime, version=version)
    done = signed(psbt, coin, "a")
    assert can_finalize(verify(done)) is is_open
    assert (estimated_weight(psbt) is not None) is is_open
    if is_open:
        stack_of(done)
        return
    assert missing(verify(psbt)) == {0: 1}
    with pytest.raises(IncompleteError, match="input 0 needs a preimage, or a locktime or sequence that opens it") as e:
        finalize(verify(done))
    assert (e.value.missing, e.value.locked, e.value.exit_code) == ({0: 1}, {0}, 7)
    assert isinstance(e.value, ThresholdError)


def test_a_missing_preimage_is_named_with_what_else_is_missing() -> None:
    hashed, other = miniscript_coin(0, HASHED), miniscript_coin(1, "multi(2,@a,@b)")
    psbt = sign_inputs(spend([hashed, other]), {0: hashed.secrets("a"), 1: other.secrets("a")})
    with pytest.raises(IncompleteError) as caught:
        finalize(verify(psbt))
    assert (caught.value.missing, caught.value.locked) == ({0: 1, 1: 1}, {0})
    assert "input 0 needs a preimage" in caught.value.message
    assert "input 1 needs 1 more" in caught.value.message
    assert missing(verify(with_preimages(psbt, [PREIMAGE]))) == {1: 1}


def test_a_key_whose_hash_alone_is_in_the_script_is_found_in_the_fields_or_the_signature() -> None:
    for coin, kind in (
        (miniscript_coin(0, "pkh(@a)"), BIP32_DERIVATION),
        (taproot_coin(0, None, ["pkh(@a)"]), TAP_BIP32_DERIVATION),
    ):
        psbt = spend([coin])
        bare = psbt.with_input(0, {key: value for key, value in psbt.inputs[0].items() if key[0] != kind})
        assert missing(verify(psbt)) == missing(verify(bare)) == {0: 1}
        assert estimated_weight(psbt) is not None
        assert estimated_weight(bare) is None
        stack_of(signed(bare, coin, "a"))


@pytest.mark.parametrize("tapscript", [False, True])
def test_a_final_whose_script_hides_keys_is_checked_although_nothing_names_them(tapscript: bool) -> None:
    text = "andor(pkh(@a),pk(@b),and_v(v:pkh(@c),pkh(@d)))"
    coin = taproot_coin(0, None, [text]) if tapscript else miniscript_coin(0, text)
    psbt = signed(spend([coin]), coin, "ab")
    final = parse(serialize(finalize(verify(psbt))))
    assert not {key[0] for key in final.inputs[0]} & {BIP32_DERIVATION, TAP_BIP32_DERIVATION}
    (check,) = check_finals(final)
    assert check.state is FinalState.VALID
    assert {each.pubkey for each in check.signatures} == set(coin.secrets("a", "b"))
    answer = contribution_of(psbt, final)
    assert (answer.already_known, answer.unchecked_finals) == (2, ())


@pytest.mark.parametrize("tapscript", [False, True])
def test_c22_a_final_that_shows_another_key_in_a_hidden_ones_place_is_not_valid(tapscript: bool) -> None:
    text = "thresh(1,pkh(@a),s:pk(@b))"
    coin = taproot_coin(0, None, [text]) if tapscript else miniscript_coin(0, text)
    final = finalize(verify(signed(spend([coin]), coin, "b")))
    made = final_of(final, 0)
    assert made is not None
    shown = next(iter(coin.secrets("a")))
    bare = final.with_input(0, {})
    bare = with_witness_utxo(bare, 0, coin.output)
    assert [check.state for check in match(bare, {0: made})] == [FinalState.VALID]
    for other in (next(iter(coin.secrets("c"))), NUMS_KEY if tapscript else b"\x02" + NUMS_KEY):
        stack = tuple([other if item == shown else item for item in made.stack])
        assert stack != made.stack
        assert [check.state for check in match(bare, {0: FinalScripts(b"", stack)})] == [FinalState.NOT_CHECKED]


def test_a_script_that_is_no_miniscript_is_told_apart() -> None:
    (plain,) = ecdsa_coins("wsh")
    psbt = spend_ecdsa([plain])
    assert solver.is_known(psbt, 0, input_scripts(psbt, 0))
    for text in ("pk(@a)", "pkh(@a)"):
        coin = miniscript_coin(0, text)
        each = spend([coin])
        assert solver.is_known(each, 0, input_scripts(each, 0))
    malleable = miniscript_coin(0, "or_d(pk(@a),sha256(H))")  # anybody can take the other way
    with pytest.raises(IncompleteError):
        finalize(verify(spend([malleable])))
    assert finalize(verify(signed(spend([malleable]), malleable, "a")))


def test_c16_reading_scripts_back_is_bounded_over_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    coins = [miniscript_coin(index, DECAYING) for index in range(8)]
    psbt = spend(coins)
    count = len(operations(coins[0].witness or b"") or ())
    each = count + count**2 // solver._PER_PAIR + solver._PER_SCRIPT
    monkeypatch.setattr(solver, "MAX_OPERATIONS", 5 * each)
    known = [solver.is_known(psbt, index, input_scripts(psbt, index)) for index in range(8)]
    assert known == [True] * 5 + [False] * 3
    assert known == [solver.is_known(psbt, index, input_scripts(psbt, index)) for index in range(8)]
    with pytest.raises(NotSupportedError):
        finalize(verify(sign_inputs(psbt, {index: coin.secrets("a", "b") for index, coin in enumerate(coins)})))


# What is lacking


EXPRESSIONS = [
    DECAYING,
    HASHED,
    "thresh(2,pk(@a),s:pk(@b),sln:older(10))",
    "andor(pk(@a),or_i(and_v(v:pkh(@b),sha256(H)),pkh(@c)),pk(@d))",
    "or_i(and_v(v:multi(2,@a,@b,@c),after(1000)),and_v(v:pk(@d),pk(@e)))",
    "or_b(pk(@a),s:pk(@b))",
    "and_b(pk(@a),s:pk(@b))",
    "and_v(or_c(pk(@a),v:older(10)),pk(@b))",
    "thresh(2,multi(1,@a,@b),a:multi(2,@c,@d,@e),sln:after(1000))",
    "and_v(v:thresh(3,pkh(@a),a:pkh(@b),a:pkh(@c),a:pkh(@d)),pk(@e))",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("tapscript", [False, True])
def test_what_is_lacking_is_what_trying_everybody_finds(text: str, tapscript: bool) -> None:
    names = [name for name in "abcde" if f"@{name}" in text]
    text = text.replace("multi(", "multi_a(") if tapscript else text
    coin = taproot_coin(0, None, [text]) if tapscript else miniscript_coin(0, text)
    whose = {coin.keys[name].pubkey[-32:]: name for name in names}
    groups = [frozenset(some) for count in range(len(names) + 1) for some in combinations(names, count)]
    for sequence, locktime, preimage in ((FINAL, 0, False), (10, 1000, "H" in text)):
        psbt = signed(spend([coin], sequence=sequence, locktime=locktime), coin, "".join(names), preimage=preimage)
        scripts, every = input_scripts(psbt, 0), verify(psbt).signatures[0]
        held = {
            group: {key: value for key, value in every.items() if whose[pubkey_of(key)[-32:]] in group}
            for group in groups
        }
        enough = [group for group in groups if solver.solve(psbt, 0, scripts, held[group]) is not None]
        for group in groups:
            wanted = min((len(each - group) for each in enough), default=None)
            assert solver.lacking(psbt, 0, scripts, held[group]) == wanted, (group, sequence)


def test_what_taproot_lacks_is_the_least_of_its_leaves() -> None:
    coin = taproot_coin(0, None, [((3, "abc"), "and_v(v:pk(@d),pk(@e))")])
    psbt = spend([coin])
    assert missing(verify(psbt)) == {0: 2}
    assert missing(verify(signed(psbt, coin, "ab"))) == {0: 1}
    assert missing(verify(signed(psbt, coin, "ad"))) == {0: 1}
    assert missing(verify(signed(psbt, coin, "de"))) == {}
    hidden = psbt.with_input(0, {key: value for key, value in psbt.inputs[0].items() if key[0] != TAP_LEAF_SCRIPT})
    assert missing(verify(hidden)) == {0: 1}  # the key path is all that is known


# Sizes


SIZES = [
    ("tr key", taproot_coin(0, "a"), "a"),
    ("tr multi_a", MULTI, "ab"),
    ("tr key and leaf", taproot_coin(0, "e", [(2, "abc")]), "bc"),
    ("tr tree", taproot_coin(0, None, [((2, "abc"), (DECAYING_LEAF, (3, "abcde")))]), "ab"),
    ("tr miniscript", taproot_coin(0, None, [HASHED]), "a"),
    ("wsh decaying", miniscript_coin(0, DECAYING), "ab"),
    ("sh-wsh decaying", miniscript_coin(0, DECAYING, nested=True), "bc"),
    ("wsh hash", miniscript_coin(0, HASHED), "a"),
    ("wsh thresh", miniscript_coin(0, "thresh(3,pk(@a),s:pk(@b),s:pk(@c),s:pk(@d))"), "abc"),
]


@pytest.mark.parametrize(("what", "coin", "names"), SIZES)
@pytest.mark.parametrize("count", [1, 5])
def test_the_weight_is_known_before_anybody_signs(what: str, coin: Coin, names: str, count: int) -> None:
    psbt = spend([coin] * count)
    keys = coin.secrets(*names)
    done = sign_inputs(psbt, dict.fromkeys(range(count), keys))
    if "hash" in what or "miniscript" in what:
        done = with_preimages(done, [(index, *PREIMAGE[1:]) for index in range(count)])
    weight = extract(finalize(verify(done))).weight
    assert estimated_weight(done) == weight
    estimate = estimated_weight(psbt)
    assert estimate is not None
    assert abs(estimate - weight) * 100 <= weight
    assert estimated_vsize(done) == (weight + 3) // 4


@pytest.mark.parametrize(
    ("coin", "only"),
    [
        (miniscript_coin(0, "andor(pk(@a),pk(@b),and_v(v:sha256(H),pk(@c)))"), miniscript_coin(0, HASHED)),
        (
            taproot_coin(0, None, [("and_v(v:pk(@a),pk(@b))", "and_v(v:pk(@c),sha256(H))")]),
            taproot_coin(0, None, [HASHED]),
        ),
    ],
    ids=["wsh", "tr"],
)
def test_a_preimage_is_counted_on_only_where_nothing_else_is_open(coin: Coin, only: Coin) -> None:
    def final_size(each: Coin, names: str, *, preimage: bool) -> int:
        return extract(finalize(verify(signed(spend([each]), each, names, preimage=preimage)))).vsize

    by_signatures, by_preimage = final_size(coin, "ab", preimage=False), final_size(coin, "c", preimage=True)
    assert by_signatures > by_preimage
    assert estimated_vsize(spend([coin])) == by_signatures
    assert estimated_vsize(with_preimages(spend([coin]), [PREIMAGE])) == by_preimage
    assert estimated_vsize(spend([only])) == final_size(only, "a", preimage=True)


def test_the_weight_follows_who_has_signed_and_what_the_input_asks_for() -> None:
    coin = taproot_coin(0, "e", [((2, "abc"), (3, "abcd"))])
    psbt = spend([coin])
    big = coin.leaf(1).hash
    one = sign_inputs(psbt, {0: coin.secrets("d")})
    assert {key[32:] for key in verify(one).signatures[0]} == {big}
    by_two, by_three, by_key = (
        estimated_weight(psbt),
        estimated_weight(one),
        estimated_weight(sign_inputs(psbt, {0: coin.secrets("e")})),
    )
    assert by_two is not None
    assert by_three is not None
    assert by_key is not None
    assert by_key < by_two < by_three
    assert estimated_weight(with_sighash_type(psbt, 0, 1)) == by_two + 2


def test_a_caller_who_knows_the_wallet_knows_the_weight_of_hidden_leaves() -> None:
    psbt = spend([MULTI])
    hidden = psbt.with_input(0, {key: value for key, value in psbt.inputs[0].items() if key[0] != TAP_LEAF_SCRIPT})
    assert estimated_weight(hidden) != estimated_weight(psbt)
    assert estimated_weight(hidden, {0: input_scripts(psbt, 0)}) == estimated_weight(psbt)
