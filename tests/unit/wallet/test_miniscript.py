"""Miniscript as text and as script: against btclib-wallet on expressions grown at random, and by hand."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest

from support.kinds import PEOPLE
from wormsig.wallet.assemble import Gap, assemble, filled, script_number
from wormsig.wallet.miniscript import MAX_NESTING, ONE, ZERO, ShapeError, read_node, write_node
from wormsig.wallet.policy import Node

KEYS = [person.key().xpub.pubkey for person in PEOPLE]
COMBINATORS = ["andor", "and_v", "and_b", "or_b", "or_c", "or_d", "or_i", "thresh"]
ARITY = {"andor": 3}


def use(text: str) -> int:
    return [key.hex() for key in KEYS].index(text)


def text(position: int) -> str:
    return KEYS[position].hex()


def leaves(multi: str) -> list[Node]:
    keyed = [Node(name, keys=(key,)) for name in ("pk_k", "pk_h") for key in range(5)]
    locks = [Node(name, number=number) for name in ("older", "after") for number in (1, 16, 17, 127, 128, 65535, 70000)]
    hashes = [Node(name, digest=bytes(range(size))) for name, size in DIGESTS.items()]
    some = [Node(multi, keys=tuple(range(count)), number=number) for number, count in ((1, 1), (2, 3), (5, 5))]
    return [ZERO, ONE, *keyed, *locks, *hashes, *some]


DIGESTS = {"sha256": 32, "hash256": 32, "ripemd160": 20, "hash160": 20}


@cache
def miniscript() -> Any:
    from btclib_wallet.descriptors import miniscript as module  # noqa: PLC0415  slow to import

    return module


@cache
def key_of_btclib(position: int, context: str) -> Any:
    key = text(position)[2:] if context == "tapscript" else text(position)
    return miniscript().parse(f"pk({key})", context=context).key_expressions[0]


def of_btclib(node: Node, context: str, done: dict[Node, Any]) -> Any:
    """The same expression in btclib; ill-typed ones can be made too."""
    if node not in done:
        wrapper = len(node.name) == 1 and node.name.isalpha()
        done[node] = miniscript().Miniscript(
            node.name + (":" if wrapper else ""),
            context,
            subs=tuple(of_btclib(sub, context, done) for sub in node.subs),
            keys=tuple(key_of_btclib(position, context) for position in node.keys),
            threshold=node.number,
            data=node.digest,
        )
    return done[node]


def grown(context: str, count: int) -> dict[Node, Any]:
    """Well-typed expressions, each made of earlier ones, and what btclib makes of them."""
    rng = random.Random(379)  # noqa: S311  to grow the same ones each time
    done: dict[Node, Any] = {}
    pool = leaves("multi_a" if context == "tapscript" else "multi")
    known = {node: of_btclib(node, context, done) for node in pool}
    while len(pool) < count:
        name = rng.choice([*COMBINATORS, *"ascdvjn"])
        size = 1 if len(name) == 1 else rng.randint(1, 4) if name == "thresh" else ARITY.get(name, 2)
        subs = tuple(rng.choice(pool) for _ in range(size))
        node = Node(name, subs, number=rng.randint(1, size) if name == "thresh" else 0)
        if node not in known and (theirs := of_btclib(node, context, done)).is_valid:
            pool.append(node)
            known[node] = theirs
    return known


@pytest.mark.parametrize("context", ["P2WSH", "tapscript"])
def test_scripts_and_texts_are_those_of_btclib(context: str) -> None:
    tapscript = context == "tapscript"
    keys = [key[1:] for key in KEYS] if tapscript else KEYS
    positions = {key.hex(): position for position, key in enumerate(keys)}
    for node, theirs in grown(context, 600).items():
        assert filled(assemble(node, tapscript=tapscript), keys) == theirs.script()
        written = write_node(node, lambda position: keys[position].hex())
        assert written == str(theirs)
        assert read_node(written, positions.__getitem__, tapscript=tapscript) == node


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("c:pk_k({})", "pk({})"),
        ("c:pk_h({})", "pkh({})"),
        ("vc:pk_k({})", "v:pk({})"),
        ("and_v(v:pk({}),1)", "tv:pk({})"),
        ("or_i(0,pk({}))", "l:pk({})"),
        ("or_i(pk({}),0)", "u:pk({})"),
        ("andor(pk({}),1,0)", "and_n(pk({}),1)"),
        ("s:c:pk_k({})", "s:pk({})"),
    ],
)
def test_one_spelling(given: str, written: str) -> None:
    key = text(0)
    assert write_node(read_node(given.format(key).replace("s:c:", "sc:"), use, tapscript=False), text) == (
        written.format(key)
    )


@pytest.mark.parametrize(
    "given",
    [
        "",
        "2",
        "pk",
        "pk()x",
        "pk({0},{0})",
        "x:pk({0})",
        ":pk({0})",
        "v:",
        "older(-1)",
        "older(0)",
        "older(01)",
        "older(1,2)",
        "older(12345678901)",
        "sha256(00)",
        "ripemd160(" + "g" * 40 + ")",
        "and_v({0})",
        "thresh(pk({0}))",
        "thresh(0,pk({0}))",
        "multi(x,{0})",
        "multi_a(1,{0})",
        "sortedmulti(1,{0})",
        "pk({0}",
        "and_v(v:pk({0})),pk({0})",
        "unknown(pk({0}))",
    ],
)
def test_what_is_no_expression(given: str) -> None:
    with pytest.raises(ShapeError):
        read_node(given.format(text(0)), use, tapscript=False)


def test_nesting_is_bounded() -> None:
    inner = f"pk({text(0)})"
    assert read_node(f"{'n' * MAX_NESTING}:{inner}", use, tapscript=False).name == "n"
    deep = inner
    for _ in range(MAX_NESTING + 1):
        deep = f"and_b({deep},0)"
    for given in (f"{'n' * (MAX_NESTING + 1)}:{inner}", deep):
        with pytest.raises(ShapeError, match="nested"):
            read_node(given, use, tapscript=False)


def test_gaps_and_numbers() -> None:
    pieces = assemble(read_node(f"and_v(v:pkh({text(1)}),pk({text(0)}))", use, tapscript=False), tapscript=False)
    assert pieces == (b"\x76\xa9\x14", Gap(1, hashed=True), b"\x88\xad\x21", Gap(0), b"\xac")
    numbers = {0: "00", 1: "51", 16: "60", 17: "0111", 127: "017f", 128: "028000", 32768: "03008000"}
    assert {number: script_number(number).hex() for number in numbers} == numbers
    ill_typed = Node("v", (Node("pk_k", keys=(0,)),))
    assert filled(assemble(ill_typed, tapscript=False), KEYS)[-1:] == b"\x69"
