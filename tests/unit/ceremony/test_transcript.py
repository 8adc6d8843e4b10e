"""What a pair's transcript is made of: digests in two chains, the same on both sides."""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.ceremony import coordinator_events as there
from wormsig.ceremony import cosigner_events as here
from wormsig.ceremony.transcript import Sender, Transcript, coordinator_letter, cosigner_letter

CEREMONY = "7f3a19" + 26 * "0"
A, B, C, D, E = (hashlib.sha256(name.encode()).hexdigest() for name in "abcde")
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


def transcript(*letters: tuple[Sender, str]) -> Transcript:
    made = Transcript()
    for letter in letters:
        made = made.with_letter(*letter)
    return made


def of_coordinator(events: list[there.CoordinatorEvent], name: str) -> Transcript:
    letters = [letter for event in events if (letter := coordinator_letter(event)) and letter[0] == name]
    return transcript(*(letter[1:] for letter in letters))


def of_cosigner(events: list[here.CosignerEvent]) -> Transcript:
    return transcript(*(letter for event in events if (letter := cosigner_letter(event))))


def test_the_head_is_what_the_document_says():
    made = transcript(("coordinator", A), ("cosigner", B), ("coordinator", C))
    step = hashlib.sha256(bytes(32) + bytes.fromhex(A)).digest()
    down = hashlib.sha256(step + bytes.fromhex(C)).digest()
    up = hashlib.sha256(bytes(32) + bytes.fromhex(B)).digest()
    expected = hashlib.sha256(b"wormsig transcript 1" + CEREMONY.encode() + down + up).hexdigest()
    assert made.head(CEREMONY) == expected
    # Pinned: a receipt that was printed years ago has to be checkable.
    assert expected == "44ffc58c5eebe2eab257bfdd239ca5e2aa9f24ec21fe2fcd66fb301b4ed79e5b"


def test_a_letter_that_is_sent_again_counts_once():
    once = transcript(("coordinator", A), ("cosigner", B))
    assert transcript(("coordinator", A), ("cosigner", B), ("coordinator", A), ("cosigner", B)) == once
    assert once.with_letter("cosigner", "") == once


def test_letters_that_cross_leave_both_sides_with_one_head():
    ours = transcript(("coordinator", A), ("coordinator", C), ("cosigner", B))
    theirs = transcript(("coordinator", A), ("cosigner", B), ("coordinator", C))
    assert ours.head(CEREMONY) == theirs.head(CEREMONY)


def test_the_direction_of_a_letter_counts():
    assert transcript(("coordinator", A)).head(CEREMONY) != transcript(("cosigner", A)).head(CEREMONY)
    both = transcript(("coordinator", A), ("cosigner", A))
    assert both.sent_by("coordinator") == both.sent_by("cosigner") == (A,)


@settings(max_examples=examples(40))
@given(st.lists(DIGESTS, min_size=1, max_size=6, unique=True), st.data())
def test_any_change_changes_the_head(digests: list[str], data: st.DataObject):
    senders: list[Sender] = [data.draw(st.sampled_from(("coordinator", "cosigner"))) for _ in digests]
    letters = list(zip(senders, digests, strict=True))
    head = transcript(*letters).head(CEREMONY)
    place = data.draw(st.integers(0, len(letters) - 1))
    cut = letters[:place] + letters[place + 1 :]
    changed = [*letters[:place], (letters[place][0], data.draw(DIGESTS.filter(lambda each: each not in digests)))]
    assert transcript(*cut).head(CEREMONY) != head
    assert transcript(*changed, *letters[place + 1 :]).head(CEREMONY) != head
    assert transcript(*letters).head(CEREMONY[:-1] + "1") != head


def test_an_earlier_head_is_recognized_with_what_it_stands_for():
    whole = transcript(("coordinator", A), ("cosigner", B), ("coordinator", C), ("cosigner", D))
    assert whole.covered_by(CEREMONY, whole.head(CEREMONY)) == (2, 2)
    before = transcript(("coordinator", A), ("cosigner", B), ("coordinator", C))
    assert whole.covered_by(CEREMONY, before.head(CEREMONY)) == (2, 1)
    assert whole.covered_by(CEREMONY, Transcript().head(CEREMONY)) == (0, 0)
    other = transcript(("coordinator", A), ("cosigner", E), ("coordinator", C))
    assert whole.covered_by(CEREMONY, other.head(CEREMONY)) is None
    assert before.covered_by(CEREMONY, whole.head(CEREMONY)) is None


def test_both_journals_give_one_transcript():
    at_the_coordinator = [
        there.Connected("bob"),
        there.Offered("bob", A),
        there.Offered("carol", E),
        there.Lost("bob", "gone"),
        there.Offered("bob", A),
        there.Contributed("bob", (), letter=B),
        there.JudgedTold("bob", C),
        there.Contributed(None, ()),
        there.OutcomeTold("bob", "broadcast", D),
        there.FarewellReceived("bob", "mempool", "0" * 64, E),
    ]
    at_the_cosigner = [
        here.Received(CEREMONY, "regtest", None, None, b"", "", 2, letter=A),
        here.Linked("ten words"),
        here.Answered(B),
        here.Judged(1, 0, letter=C),
        here.OutcomeReceived("broadcast", None, None, "", letter=D),
        here.FarewellTold("mempool", E),
    ]
    ours, theirs = of_coordinator(at_the_coordinator, "bob"), of_cosigner(at_the_cosigner)
    assert ours.sent_by("coordinator") == theirs.sent_by("coordinator") == (A, C, D)
    assert ours.sent_by("cosigner") == theirs.sent_by("cosigner") == (B, E)
    assert ours.head(CEREMONY) == theirs.head(CEREMONY)
    assert of_coordinator(at_the_coordinator, "carol").letters == (("coordinator", E),)


def test_every_answer_stands_for_a_letter():
    answers = [
        there.NothingNew("bob", letter=A),
        there.Misbehaved("bob", "bad", B),
        there.Declined("bob", "no", C),
        there.Misbehaved("bob", "no letter was readable"),
    ]
    assert of_coordinator(answers, "bob").sent_by("cosigner") == (A, B, C)
    assert of_cosigner([here.DeclineTold(A)]).sent_by("cosigner") == (A,)
