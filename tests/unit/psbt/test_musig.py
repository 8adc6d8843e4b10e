"""MuSig2 fields of an input, read into rounds: who takes part, who has given what (BIP373). Nothing of it counts."""

from __future__ import annotations

from support.psbts import key_at
from support.taproot import spend, taproot_coin
from wormsig.psbt import musig
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.finalizer import missing
from wormsig.psbt.model import OUT_MUSIG2_PARTICIPANT_PUBKEYS, Psbt
from wormsig.psbt.musig import MusigRound, participants, rounds
from wormsig.psbt.verify import verify

PSBT = spend([taproot_coin(0, None)])
ALICE, BOB, CAROL, TWEAKED, TOGETHER, OTHERS = (
    key_at(name, 0).pubkey for name in ("alice", "bob", "carol", "tweaked", "together", "others")
)
NONCE = ALICE + BOB
LEAF = b"\x07" * 32


def with_fields(*fields: tuple[int, bytes, bytes]) -> Psbt:
    added = {bytes([kind]) + key: value for kind, key, value in fields}
    return parse(serialize(PSBT.with_input(0, {**PSBT.inputs[0], **added})))


THREE = (0x1A, TOGETHER, ALICE + BOB + CAROL)
TWO = (0x1A, OTHERS, ALICE + BOB)


def test_an_aggregate_without_nonces_waits_for_everybody() -> None:
    (only,) = rounds(with_fields(THREE), 0)
    assert only == MusigRound(TOGETHER, None, None, (ALICE, BOB, CAROL), frozenset(), frozenset())
    assert only.without_nonce == only.without_signature == (ALICE, BOB, CAROL)
    assert rounds(PSBT, 0) == ()


def test_nonces_and_partial_signatures_are_counted_by_participant() -> None:
    spot = TWEAKED + LEAF
    psbt = with_fields(THREE, (0x1B, ALICE + spot, NONCE), (0x1B, CAROL + spot, NONCE), (0x1C, CAROL + spot, LEAF))
    (only,) = rounds(psbt, 0)
    assert (only.aggregate, only.key, only.leaf) == (TOGETHER, TWEAKED, LEAF)
    assert (only.nonces, only.signatures) == ({ALICE, CAROL}, {CAROL})
    assert (only.without_nonce, only.without_signature, only.strangers) == ((BOB,), (ALICE, BOB), frozenset())
    assert verify(psbt).signatures == {}
    assert missing(verify(psbt)) == {0: 1}


def test_a_round_belongs_to_the_aggregate_that_its_signers_take_part_in() -> None:
    for fields in ((TWO, THREE), (THREE, TWO)):
        psbt = with_fields(*fields, (0x1B, ALICE + TWEAKED, NONCE), (0x1B, BOB + TWEAKED, NONCE))
        begun, waiting = rounds(psbt, 0)
        assert (begun.aggregate, begun.key, waiting.aggregate, waiting.key) == (OTHERS, TWEAKED, TOGETHER, None)
        psbt = with_fields(*fields, (0x1B, BOB + TWEAKED, NONCE), (0x1B, CAROL + TWEAKED, NONCE))
        assert rounds(psbt, 0)[0].aggregate == TOGETHER


def test_the_same_participants_sign_for_two_leaves() -> None:
    psbt = with_fields(TWO, (0x1B, ALICE + TWEAKED, NONCE), (0x1B, ALICE + TWEAKED + LEAF, NONCE))
    assert [(each.leaf, each.participants) for each in rounds(psbt, 0)] == [(None, (ALICE, BOB)), (LEAF, (ALICE, BOB))]


def test_strangers_are_told_apart() -> None:
    (only,) = rounds(with_fields(TWO, (0x1B, ALICE + TWEAKED, NONCE), (0x1C, CAROL + TWEAKED, LEAF)), 0)
    assert (only.aggregate, only.strangers) == (OTHERS, {CAROL})
    waiting, stray = rounds(with_fields(TWO, (0x1B, CAROL + TWEAKED, NONCE)), 0)
    assert waiting.without_nonce == (ALICE, BOB)
    assert (stray.aggregate, stray.participants, stray.strangers) == (TWEAKED, (), {CAROL})


def test_c16_so_many_aggregates_are_looked_at_and_no_more() -> None:
    many = [(0x1A, key_at("x", number).pubkey, ALICE + BOB) for number in range(5)]
    psbt = with_fields(*many, (0x1B, ALICE + TWEAKED, NONCE))
    assert len(rounds(psbt, 0)) == 5
    assert musig.MAX_AGGREGATES == 256


def test_participants_of_an_output_are_read_too() -> None:
    fields = {bytes([OUT_MUSIG2_PARTICIPANT_PUBKEYS]) + TOGETHER: ALICE + CAROL, b"\x05": bytes(32)}
    assert participants(fields, OUT_MUSIG2_PARTICIPANT_PUBKEYS) == {TOGETHER: (ALICE, CAROL)}
