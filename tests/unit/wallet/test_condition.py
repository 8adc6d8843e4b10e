from __future__ import annotations

import pytest

from wormsig.wallet.condition import (
    ALWAYS,
    NEVER,
    After,
    Condition,
    Older,
    Preimage,
    Signature,
    Threshold,
    Together,
    alternatives,
    can_spend,
    fewest_signatures,
    fewest_when_open,
    keys_of,
    lock_words,
    locks_of,
    summary,
    threshold,
)

A, B, C, D = (Signature(key) for key in range(4))
WAIT, SECRET = Older(144), Preimage("sha256", bytes(32))
TWO_OF_THREE = Threshold(2, (A, B, C))
RECOVERY = Threshold(1, (TWO_OF_THREE, Threshold(2, (D, WAIT))))


@pytest.mark.parametrize(
    ("count", "parts", "simplest"),
    [
        (2, [A, B, C], TWO_OF_THREE),
        (1, [A], A),
        (0, [A, B], ALWAYS),
        (2, [A, NEVER], NEVER),
        (2, [A, B, NEVER], Threshold(2, (A, B))),
        (2, [A, B, ALWAYS], Threshold(1, (A, B))),
        (2, [A, ALWAYS], A),
        (2, [Threshold(2, (A, B)), C], Threshold(3, (A, B, C))),
        (1, [Threshold(1, (A, B)), C], Threshold(1, (A, B, C))),
        (1, [Threshold(1, (A, B)), A], Threshold(1, (A, B))),
        (1, [A, A], A),
        (2, [TWO_OF_THREE, D], Threshold(2, (TWO_OF_THREE, D))),
        (2, [A, A, B], Threshold(2, (A, A, B))),
    ],
)
def test_the_simplest_form(count: int, parts: list[Condition], simplest: Condition) -> None:
    assert threshold(count, parts) == simplest


@pytest.mark.parametrize(
    ("condition", "at_once", "opened"),
    [
        (A, 1, 1),
        (Together((0, 1, 2)), 3, 3),
        (TWO_OF_THREE, 2, 2),
        (RECOVERY, 2, 1),
        (Threshold(2, (A, WAIT)), None, 1),
        (Threshold(3, (A, B, C, WAIT)), 3, 2),
        (Threshold(2, (A, B, SECRET)), 2, 1),
        (NEVER, None, 0),
        (ALWAYS, 0, 0),
    ],
)
def test_fewest_signatures(condition: Condition, at_once: int | None, opened: int) -> None:
    assert fewest_signatures(condition) == at_once
    assert fewest_when_open(condition) == opened


def test_who_can_spend() -> None:
    assert can_spend(RECOVERY, {0, 2}, opened=False)
    assert not can_spend(RECOVERY, {0}, opened=True)
    assert not can_spend(RECOVERY, {3}, opened=False)
    assert can_spend(RECOVERY, {3}, opened=True)
    assert not can_spend(Together((0, 1)), {0}, opened=True)
    assert keys_of(RECOVERY) == {0, 1, 2, 3}
    assert keys_of(Threshold(2, (Together((4, 5)), SECRET))) == {4, 5}
    assert list(locks_of(Threshold(2, (RECOVERY, SECRET)))) == [WAIT, SECRET]


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (Older(1), "after 1 block"),
        (Older(12), "after 12 blocks (about 2 hours)"),
        (Older(1000), "after 1000 blocks (about 7 days)"),
        (Older(1 << 22 | 1), "after 512 seconds"),
        (Older(1 << 22 | 0xFFFF), "after 33553920 seconds (about 388 days)"),
        (Older(1 << 16 | 5), "after 5 blocks"),
        (After(499_999_999), "from block 499999999 on"),
        (After(500_000_000), "from 1985-11-05 00:53 UTC on"),
        (After(2**31 - 1), "from 2038-01-19 03:14 UTC on"),
        (SECRET, f"with the preimage of sha256 {'00' * 32}"),
    ],
)
def test_locks_in_words(lock: After | Older | Preimage, words: str) -> None:
    assert lock_words(lock) == words


def name(key: int) -> str:
    return ("alice", "bob", "carol", "dave")[key]


@pytest.mark.parametrize(
    ("condition", "counted", "called"),
    [
        (A, "1 of 1", "alice"),
        (TWO_OF_THREE, "2 of 3", "2 of alice, bob, carol"),
        (Threshold(2, (A, B)), "2 of 2", "alice and bob"),
        (Threshold(1, (A, B)), "1 of 2", "1 of alice, bob"),
        (
            Threshold(1, (A, B, Threshold(2, (C, WAIT)))),
            "1 of 2, or 1 of 1 after 144 blocks (about 24 hours)",
            "1 of alice, bob, or carol after 144 blocks (about 24 hours)",
        ),
        (
            Threshold(2, (A, B, WAIT)),
            "2 of 2, or 1 of 2 after 144 blocks (about 24 hours)",
            "alice and bob, or (1 of alice, bob) after 144 blocks (about 24 hours)",
        ),
        (
            Threshold(2, (TWO_OF_THREE, D)),
            "1 of 1 and 2 of 3",
            "dave and (2 of alice, bob, carol)",
        ),
        (Together((0, 1)), "2 of 2 (MuSig2)", "alice and bob together (MuSig2)"),
        (Threshold(2, (Threshold(1, (A, WAIT)), B, C)), None, None),
    ],
)
def test_words(condition: Condition, counted: str | None, called: str | None) -> None:
    if counted is None:
        assert summary(condition)
        return
    assert (summary(condition), summary(condition, name)) == (counted, called)


def test_several_locks_decay_one_after_the_other() -> None:
    later = Older(288)
    ways = alternatives(Threshold(3, (A, B, C, WAIT, later)))
    assert ways == (
        Threshold(3, (A, B, C)),
        Threshold(2, (TWO_OF_THREE, WAIT)),
        Threshold(2, (TWO_OF_THREE, later)),
        Threshold(3, (Threshold(1, (A, B, C)), WAIT, later)),
    )
