"""Whatever is changed in a receipt shows when it is compared with the other side's."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.receipts import Play, played
from wormsig.ceremony.comparison import compare
from wormsig.ceremony.receipt import MAX_RECEIPT, Receipt, read, write
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = {
    "wormsig", "made_at", "began_at", "ended_at", "phase", "review", "approval", "decline", "history", "at", "name",
    "policy", "known",
}  # fmt: skip
"""What only one side can say: the names of fields, wherever they stand."""


@functools.cache
def play() -> Play:
    return played(declines="not this month")


@functools.cache
def sides(name: str) -> tuple[Receipt, Receipt]:
    return play().ours(), play().theirs(name)


@functools.cache
def texts(name: str) -> tuple[str, str]:
    """Both sides as files: an edit starts from one that is read anew."""
    ours, theirs = sides(name)
    return write(ours).decode(), write(theirs).decode()


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every statement of a receipt, as the path that leads to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in PRIVATE:
                yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))
    elif value is not None:
        yield path


def shared(plain: dict[str, Any], pair: int) -> list[tuple[str | int, ...]]:
    """The places that are about both sides: in a coordinator's receipt also signatures and pairs of others are left."""
    found = []
    for path in places(plain):
        if path[0] == "pairs" and path[1] != pair:
            continue
        if path[0] == "signatures" and plain["signatures"][path[1]].get("via") not in (
            None,
            plain["pairs"][pair]["name"],
        ):
            continue
        found.append(path)
    return found


def changed(plain: dict[str, Any], path: tuple[str | int, ...], data: st.DataObject) -> dict[str, Any]:
    """The receipt, with another value at one place, of the same type."""
    spot: Any = plain
    for step in path[:-1]:
        spot = spot[step]
    old = spot[path[-1]]
    spot[path[-1]] = other_value(old, data)
    return plain


def other_value(old: Any, data: st.DataObject) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return data.draw(st.integers(0, 1 << 40).filter(lambda new: new != old))
    assert isinstance(old, str)
    if old and all(char in "0123456789abcdef" for char in old):
        index = data.draw(st.integers(0, len(old) - 1))
        digit = data.draw(st.sampled_from("0123456789abcdef").filter(lambda new: new != old[index]))
        return old[:index] + digit + old[index + 1 :]
    return data.draw((st.sampled_from(WORDS) | st.text(max_size=20)).filter(lambda new: new != old))


WORDS = (
    "coordinator", "cosigner", "payment", "change", "data", "broadcast", "final", "cancelled", "mempool", "block",
    "0/1", "agree", "differ", "none", "earlier", "here", "proposal", "contribution", "signet", "bob", "carol",
)  # fmt: skip


def shows(ours: Receipt, edited: dict[str, Any], *, swap: bool) -> bool:
    """Whether an edit is noticed: as no receipt at all, or as a difference."""
    try:
        theirs = read(json.dumps(edited).encode())
    except InputError:
        return True
    return bool((compare(theirs, ours) if swap else compare(ours, theirs)).differing)


@given(data=st.data(), name=st.sampled_from(("bob", "carol", "alice")), swap=st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_every_change_of_the_cosigners_receipt_shows(data: st.DataObject, name: str, swap: bool) -> None:
    ours, _ = sides(name)
    plain = json.loads(texts(name)[1])
    path = data.draw(st.sampled_from(shared(plain, 0)))
    assert shows(ours, changed(plain, path, data), swap=swap), path


@given(data=st.data(), name=st.sampled_from(("bob", "carol", "alice")), swap=st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_every_change_of_the_coordinators_receipt_shows(data: st.DataObject, name: str, swap: bool) -> None:
    _, theirs = sides(name)
    plain = json.loads(texts(name)[0])
    pair = [each["name"] for each in plain["pairs"]].index(name)
    path = data.draw(st.sampled_from(shared(plain, pair)))
    assert shows(theirs, changed(plain, path, data), swap=swap), path


@pytest.mark.parametrize("name", ["bob", "carol", "alice"])
def test_every_single_statement_is_compared(name: str) -> None:
    """Not a sample: each place once, with a value that is surely another."""
    ours, theirs = sides(name)
    for mine, other, text in ((ours, theirs, texts(name)[1]), (theirs, ours, texts(name)[0])):
        plain = json.loads(text)
        pair = [each["name"] for each in plain["pairs"]].index(name) if other.role == "coordinator" else 0
        for path in shared(plain, pair):
            edited = json.loads(text)
            spot: Any = edited
            for step in path[:-1]:
                spot = spot[step]
            spot[path[-1]] = _other(spot[path[-1]])
            assert shows(mine, edited, swap=False), path


def _other(old: Any) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return old + 1
    swapped = {"coordinator": "cosigner", "cosigner": "coordinator", "payment": "change", "change": "payment",
               "here": "proposal", "cosigner's": "here", "broadcast": "final", "not-needed": "cancelled",
               "mempool": "block", "agree": "earlier", "proposal": "judged", "regtest": "signet"}  # fmt: skip
    if old in swapped:
        return swapped[old]
    return ("0" if old[:1] != "0" else "1") + old[1:]


@given(data=st.data(), name=st.sampled_from(("bob", "carol", "alice")))
@settings(max_examples=examples(20), deadline=None)
def test_what_is_taken_out_or_put_in_twice_shows(data: st.DataObject, name: str) -> None:
    ours, theirs = sides(name)
    for mine, other, text in ((ours, theirs, texts(name)[1]), (theirs, ours, texts(name)[0])):
        plain = json.loads(text)
        pair = [each["name"] for each in plain["pairs"]].index(name) if other.role == "coordinator" else 0
        lists = [
            plain["inputs"],
            plain["outputs"],
            plain["pairs"][pair]["letters"],
            [each for each in plain["signatures"] if each["via"] in (None, name)],
        ]
        whole = data.draw(st.sampled_from([each for each in lists if each]))
        item = data.draw(st.sampled_from(whole))
        target = plain["signatures"] if item in plain["signatures"] else whole
        place = target.index(item)
        if data.draw(st.booleans()):
            del target[place]
        else:
            target.insert(data.draw(st.integers(0, len(target))), item)
        assert shows(mine, plain, swap=False), item


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@settings(max_examples=examples(40), deadline=None)
def test_what_is_no_receipt_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(InputError, match="not a receipt"):
        read(data)


def test_a_receipt_is_bounded() -> None:
    with pytest.raises(InputError, match="more than"):
        read(b" " * (MAX_RECEIPT + 1))


@pytest.mark.parametrize("name", ["bob", "carol", "alice"])
def test_honest_receipts_agree_and_survive_the_file(name: str) -> None:
    ours, theirs = sides(name)
    assert read(write(ours)) == ours
    assert read(write(theirs)) == theirs
    for one, two in ((ours, theirs), (theirs, ours), (ours, ours), (theirs, theirs)):
        comparison = compare(one, two)
        assert comparison.differing == ()
        assert len(comparison.statements) > 25
    assert compare(ours, theirs).pair == name
