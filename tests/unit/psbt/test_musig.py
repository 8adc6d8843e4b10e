"""MuSig2 fields of an input, read into rounds: who takes part, who has given what (BIP373). Nothing of it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.psbts import key_at
from support.taproot import spend, taproot_coin
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.finalizer import missing
from wormsig.psbt.musig import MAX_AGGREGATES, Aggregate, MusigRound, Spot, rounds
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.psbt.model import Psbt

PSBT = spend([taproot_coin(0, None)])
ALICE, BOB, CAROL, TWEAKED, TOGETHER, OTHERS = (
    key_at(name, 0).pubkey for name in ("alice", "bob", "carol", "tweaked", "together", "others")
)
NONCE = ALICE + BOB
LEAF = b"\x07" * 32
BY_KEY, BY_LEAF = Spot(TWEAKED[1:], b""), Spot(TWEAKED[1:], LEAF)


def with_fields(*fields: tuple[int, bytes, bytes]) -> Psbt:
    added = {bytes([kind]) + key: value for kind, key, value in fields}
    return parse(serialize(PSBT.with_input(0, {**PSBT.inputs[0], **added})))


def read(psbt: Psbt, known: Sequence[Aggregate] | None = None) -> list[MusigRound]:
    return list(rounds(psbt.inputs[0], known))


THREE = (0x1A, TOGETHER, ALICE + BOB + CAROL)
TWO = (0x1A, OTHERS, ALICE + BOB)


def test_an_aggregate_without_nonces_waits_for_everybody() -> None:
    (only,) = read(with_fields(THREE))
    assert only == MusigRound(TOGETHER, None, (ALICE, BOB, CAROL))
    assert read(PSBT) == []


def test_nonces_and_partial_signatures_are_counted_by_participant() -> None:
    spot = TWEAKED + LEAF
    psbt = with_fields(THREE, (0x1B, ALICE + spot, NONCE), (0x1B, CAROL + spot, NONCE), (0x1C, CAROL + spot, LEAF))
    (only,) = read(psbt)
    assert (only.aggregate, only.spot) == (TOGETHER, BY_LEAF)
    assert (only.nonces, only.signatures) == ({ALICE, CAROL}, {CAROL})
    assert verify(psbt).signatures == {}
    assert missing(verify(psbt)) == {0: 1}


def test_a_round_belongs_to_the_aggregate_that_its_signers_take_part_in() -> None:
    for fields in ((TWO, THREE), (THREE, TWO)):
        psbt = with_fields(*fields, (0x1B, ALICE + TWEAKED, NONCE), (0x1B, BOB + TWEAKED, NONCE))
        begun, waiting = read(psbt)
        assert (begun.aggregate, begun.spot, waiting.aggregate, waiting.spot) == (OTHERS, BY_KEY, TOGETHER, None)
        psbt = with_fields(*fields, (0x1B, BOB + TWEAKED, NONCE), (0x1B, CAROL + TWEAKED, NONCE))
        assert read(psbt)[0].aggregate == TOGETHER


def test_a_round_for_an_aggregate_that_is_not_tweaked_is_its_own() -> None:
    psbt = with_fields(TWO, THREE, (0x1B, ALICE + TOGETHER + LEAF, NONCE))
    assert [(each.aggregate, each.spot) for each in read(psbt)] == [
        (TOGETHER, Spot(TOGETHER[1:], LEAF)),
        (OTHERS, None),
    ]


def test_the_same_participants_sign_for_two_leaves() -> None:
    psbt = with_fields(TWO, (0x1B, ALICE + TWEAKED, NONCE), (0x1B, ALICE + TWEAKED + LEAF, NONCE))
    assert [(each.spot, each.participants) for each in read(psbt)] == [(BY_KEY, (ALICE, BOB)), (BY_LEAF, (ALICE, BOB))]


def test_what_strangers_give_makes_no_round() -> None:
    (only,) = read(with_fields(TWO, (0x1B, ALICE + TWEAKED, NONCE), (0x1C, CAROL + TWEAKED, LEAF)))
    assert (only.aggregate, only.participants, only.nonces) == (OTHERS, (ALICE, BOB), {ALICE})
    (waiting,) = read(with_fields(TWO, (0x1B, CAROL + TWEAKED, NONCE)))
    assert waiting == MusigRound(OTHERS, None, (ALICE, BOB))


def test_whoever_knows_the_aggregates_is_believed_and_not_the_map() -> None:
    psbt = with_fields(THREE, (0x1B, ALICE + TWEAKED, NONCE), (0x1B, ALICE + OTHERS + LEAF, NONCE))
    by_key = Aggregate(TOGETHER, (ALICE, BOB), (BY_KEY, BY_LEAF))
    by_leaf = Aggregate(OTHERS, (BOB, CAROL), (Spot(OTHERS[1:], b"\x08" * 32), Spot(OTHERS[1:], LEAF)))
    assert read(psbt, (by_key, by_leaf)) == [
        MusigRound(TOGETHER, BY_KEY, (ALICE, BOB), frozenset({ALICE})),
        MusigRound(OTHERS, Spot(OTHERS[1:], LEAF), (BOB, CAROL), frozenset({ALICE})),
    ]
    assert read(PSBT, (by_key,)) == [MusigRound(TOGETHER, BY_KEY, (ALICE, BOB))]
    assert read(psbt, ()) == []


def test_c16_so_many_aggregates_are_looked_at_and_no_more() -> None:
    keys = [key_at("x", number).pubkey for number in range(MAX_AGGREGATES + 1)]
    psbt = with_fields(*[(0x1A, key, ALICE + BOB) for key in keys], (0x1B, ALICE + TWEAKED, NONCE))
    assert len(read(psbt)) == MAX_AGGREGATES
