from __future__ import annotations

import pytest

from wormsig.ceremony import wire
from wormsig.ceremony.messages import Ack, Chunk, Contribution, Decline, Judged, Progress
from wormsig.errors import PeerError
from wormsig.transport import intake
from wormsig.transport.intake import Intake

CEREMONY = "ab" * 16


def contribution(obj: bytes) -> Contribution:
    return Contribution(ceremony=CEREMONY, psbt=wire.reference(obj), form="psbt")


def decline(reason: str) -> Decline:
    return Decline(ceremony=CEREMONY, reason=reason)


def send(taking: Intake, letter: Contribution, obj: bytes) -> list[Ack | None]:
    return [taking.take(letter), *(taking.take(piece) for piece in wire.chunks(obj))]


def test_a_letter_comes_out_with_its_object() -> None:
    taking, obj = Intake("cosigner"), bytes(300_000)
    assert send(taking, contribution(obj), obj) == [None, None, None]
    received = taking.waiting.popleft()
    assert (received.letter, received.obj, received.digest) == (
        contribution(obj),
        obj,
        wire.digest(contribution(obj)),
    )


def test_a_letter_that_comes_again_waits_for_the_acknowledgement_and_then_gets_it_again() -> None:
    taking, letter = Intake("cosigner"), contribution(b"psbt")
    send(taking, letter, b"psbt")
    assert send(taking, letter, b"psbt") == [None, None]
    assert len(taking.waiting) == 1
    ack = taking.acknowledge(taking.waiting.popleft().digest)
    assert ack == Ack(of=wire.digest(letter))
    assert send(taking, letter, b"psbt") == [None, ack]
    assert not taking.waiting


def test_progress_passes_between_letter_and_pieces_and_only_the_latest_stays() -> None:
    taking = Intake("cosigner")
    taking.take(contribution(b"psbt"))
    for state in ("reviewing", "signing"):
        taking.take(Progress(ceremony=CEREMONY, state=state))
    taking.take(next(wire.chunks(b"psbt")))
    assert [type(received.letter) for received in taking.waiting] == [Progress, Contribution]
    assert taking.waiting[0].letter == Progress(ceremony=CEREMONY, state="signing")


def test_out_of_order_is_refused() -> None:
    piece = next(wire.chunks(b"psbt"))
    for sequence in (
        [piece],
        [contribution(b"psbt"), decline("no")],
        [contribution(b"psbt"), contribution(b"other")],
        [contribution(b"psbt"), piece, piece],
        [contribution(b"psbt"), Chunk(sha256="00" * 32, seq=0, data=b"psbt")],
        [Judged(ceremony=CEREMONY, accepted=1, rejected=0, problems=())],  # a coordinator's letter
    ):
        taking = Intake("cosigner")
        for message in sequence[:-1]:
            taking.take(message)
        with pytest.raises(PeerError):
            taking.take(sequence[-1])


def test_letters_that_nobody_takes_are_bounded_by_number() -> None:
    taking = Intake("cosigner")
    for i in range(intake.MAX_WAITING):
        taking.take(decline(str(i)))
    with pytest.raises(PeerError, match="more than it may"):
        taking.take(decline("one more"))


def test_and_by_size() -> None:
    taking, held = Intake("cosigner"), 0
    with pytest.raises(PeerError, match="more than it may"):  # noqa: PT012  the one that breaks is not known
        for i in range(intake.MAX_WAITING):
            obj = i.to_bytes(4) * (1 << 20)
            send(taking, contribution(obj), obj)
            held += len(obj)
    assert held <= intake.MAX_WAITING_BYTES + (4 << 20)


def test_and_over_a_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_LETTERS", 5)
    taking = Intake("cosigner")
    for i in range(5):
        taking.take(decline(str(i)))
        taking.acknowledge(taking.waiting.popleft().digest)
    with pytest.raises(PeerError):
        taking.take(decline("one more"))
