from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from support.ceremony import setting
from wormsig.bitcoin.tx import parse_transaction
from wormsig.ceremony import cosigner as c
from wormsig.errors import PeerError, RefusedError, StorageError
from wormsig.psbt import codec
from wormsig.psbt.model import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

S = setting()
HASH = sha256(S.psbt)
REVIEWED = c.Reviewed(HASH, (), ("C12-fee-above-5-percent",))
FINAL = S.final("bob", "carol")
TXID = parse_transaction(FINAL).txid
OTHER_TXID = "ab" * 32


def after(*events: c.CosignerEvent, state: c.CosignerState | None = None) -> c.CosignerState:
    state = c.evolve(c.CosignerState(), S.received()) if state is None else state
    for event in events:
        state = c.evolve(state, event)
    return state


APPROVED = (REVIEWED, c.Approved(HASH, "person"))
SIGNED = (*APPROVED, c.Signed(S.signed("bob")))
ANSWERED = (*SIGNED, c.Answered())


def test_from_a_psbt_to_the_outcome() -> None:
    assert c.pending(c.CosignerState()) is None
    state = after()
    assert c.pending(state) == c.Review()
    state = after(REVIEWED, state=state)
    assert c.pending(state) == c.Review()
    state = after(c.approve(state, HASH, "person"), state=state)
    assert c.pending(state) == c.Sign()
    state = after(c.signed(state, S.psbt, codec.parse(S.signed("bob"))), state=state)
    assert c.pending(state) == c.SendAnswer(S.signed("bob"))
    state = after(c.Answered(), state=state)
    assert c.pending(state) == c.AwaitOutcome()
    state = after(c.judged(state, 2, 0, ()), state=state)
    assert c.pending(state) == c.AwaitOutcome()
    assert not c.is_over(state)
    state = after(c.outcome(state, "broadcast", TXID, FINAL, ""), state=state)
    assert (c.pending(state), c.is_over(state), c.is_complete(state)) == (None, True, True)
    assert state.outcome is not None
    assert (state.outcome.txid, state.outcome.lie) == (TXID, False)


@pytest.mark.parametrize(
    "before", [(), (REVIEWED,), APPROVED, SIGNED], ids=["received", "reviewed", "approved", "signed"]
)
def test_a_no_can_come_at_any_time_before_the_answer(before: tuple[c.CosignerEvent, ...]) -> None:
    state = after(*before, c.Declined("wrong network", "review"))
    assert c.pending(state) == c.SendDecline("wrong network")
    state = after(c.DeclineTold(), state=state)
    assert (c.pending(state), c.is_over(state)) == (None, True)


def test_a_no_after_the_answer_takes_nothing_back() -> None:
    state = after(*ANSWERED, c.Declined("thought again", "person"), c.DeclineTold())
    assert (state.phase, state.signed) == (c.Phase.ANSWERED, S.signed("bob"))


@pytest.mark.parametrize(
    ("before", "possible", "left"),
    [
        ((), True, None),
        (SIGNED, True, "your signature has left this machine"),
        ((*SIGNED, c.Declined("", "person")), True, "your signature has left this machine"),
        (ANSWERED, False, "your signature has left this machine"),
        ((c.OutcomeReceived("cancelled", None, None, ""),), True, None),
        ((*ANSWERED, c.OutcomeReceived("failed", None, None, "")), True, "your signature has left this machine"),
        ((*ANSWERED, c.OutcomeReceived("broadcast", TXID, FINAL, "")), False, "the transaction is complete"),
        ((c.OutcomeReceived("not-needed", None, None, ""),), False, None),
    ],
    ids=["received", "signed", "declined", "answered", "cancelled", "failed", "broadcast", "not-needed"],
)
def test_what_can_be_cancelled_and_what_stays(
    before: tuple[c.CosignerEvent, ...], possible: bool, left: str | None
) -> None:
    state = after(*before)
    assert c.can_cancel(state) is possible
    said = c.left_behind(state)
    assert said is None if left is None else said is not None and said.startswith(left)


# -- the very bytes that were reviewed (C20) ---------------------------------------------------------------------------


def test_only_what_was_reviewed_can_be_approved() -> None:
    with pytest.raises(RefusedError, match="changed between review and approval"):
        c.approve(after(REVIEWED), "00" * 32, "person")


def test_only_what_was_approved_can_be_signed() -> None:
    other = codec.parse(S.signed("carol"))
    with pytest.raises(RefusedError, match="changed between approval and signing"):
        c.signed(after(*APPROVED), other, other)


@pytest.mark.parametrize("swap", ["given", "result"])
def test_another_transaction_than_the_one_that_arrived_is_not_signed(swap: str) -> None:
    other = codec.parse(S.elsewhere("bob"))
    state = after(c.Reviewed(sha256(other), (), ()), c.Approved(sha256(other), "person"))
    with pytest.raises(RefusedError, match="not the transaction that arrived"):
        c.signed(state, other, other)
    state = after(*APPROVED)
    with pytest.raises(RefusedError):
        c.signed(state, S.psbt, other) if swap == "result" else c.signed(state, other, S.psbt)


def test_a_later_review_takes_the_approval_back() -> None:
    state = after(*APPROVED, REVIEWED)
    assert (state.phase, state.approved_sha256) == (c.Phase.REVIEWED, "")


# -- the outcome (R12) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "txid", "transaction", "lie"),
    [
        ("broadcast", TXID, FINAL, False),
        ("final", TXID, FINAL, False),
        ("not-needed", TXID, FINAL, False),
        ("not-needed", None, FINAL, False),
        ("cancelled", None, None, False),
        ("failed", None, None, False),
        ("not-needed", None, None, False),
        ("not-needed", OTHER_TXID, None, True),
        ("cancelled", OTHER_TXID, None, True),
        ("broadcast", TXID, None, True),
        ("final", None, None, True),
        ("broadcast", OTHER_TXID, FINAL, True),
        ("broadcast", TXID, b"\x00", True),
        ("broadcast", TXID, codec.parse(S.elsewhere("bob")).tx.serialize(), True),
        ("broadcast", TXID, S.psbt.tx.serialize(), True),
    ],
)
def test_an_outcome_is_compared_with_what_was_approved(
    result: c.Result, txid: str | None, transaction: bytes | None, *, lie: bool
) -> None:
    for before in ((), SIGNED, ANSWERED):
        event = c.outcome(after(*before), result, txid, transaction, "says alice")
        assert event.lie == lie
        assert event.txid == (TXID if transaction is not None and not lie else None)
        assert event.claimed_txid == txid
        assert c.pending(after(*before, event)) is None


def test_a_transaction_with_foreign_signatures_is_a_lie() -> None:
    elsewhere = codec.parse(S.elsewhere("bob"))
    assert c.same_payment(parse_transaction(FINAL), S.psbt.tx)
    assert not c.same_payment(parse_transaction(FINAL), elsewhere.tx)
    forged = parse_transaction(FINAL)
    one, two = forged.witnesses
    swapped = type(forged)(forged.version, forged.inputs, forged.outputs, forged.locktime, (two, one))
    assert c.outcome(after(*ANSWERED), "broadcast", None, swapped.serialize(), "").lie


def test_a_lie_is_kept_as_evidence_without_its_txid() -> None:
    state = after(*ANSWERED, c.outcome(after(*ANSWERED), "broadcast", OTHER_TXID, S.psbt.tx.serialize(), "done"))
    assert state.outcome is not None
    assert (state.outcome.txid, state.outcome.claimed_txid) == (None, OTHER_TXID)
    assert state.outcome.transaction == S.psbt.tx.serialize()


def test_a_legacy_transaction_has_another_id_than_its_unsigned_self() -> None:
    legacy = setting("sh")
    final = legacy.final("bob", "carol")
    state = c.evolve(c.CosignerState(), legacy.received())
    event = c.outcome(state, "final", None, final, "")
    assert (event.lie, event.txid) == (False, parse_transaction(final).txid)
    assert event.txid != legacy.psbt.txid


# -- again, over a new code --------------------------------------------------------------------------------------------

OVER = c.OutcomeReceived("failed", None, None, "time is up")


@pytest.mark.parametrize(
    "before",
    [(), (REVIEWED,), APPROVED, (c.Declined("no", "person"),), (c.Declined("no", "person"), c.DeclineTold()), (OVER,)],
)
def test_who_has_not_signed_can_think_again(before: tuple[c.CosignerEvent, ...]) -> None:
    state = after(*before)
    assert not c.is_complete(state)
    state = after(*SIGNED, state=state)
    assert (c.pending(state), state.outcome) == (c.SendAnswer(S.signed("bob")), None)


@pytest.mark.parametrize(
    "before",
    [SIGNED, ANSWERED, (*SIGNED, OVER), (*ANSWERED, OVER), (*SIGNED, c.Declined("no", "person"), c.DeclineTold())],
)
def test_who_has_signed_sends_the_same_again(before: tuple[c.CosignerEvent, ...]) -> None:
    state = after(*before)
    assert state.signed == S.signed("bob")
    state = after(c.Answered(), state=state)
    assert (c.pending(state), state.outcome) == (c.AwaitOutcome(), None)


def test_judgements_without_end_are_a_fault() -> None:
    state = after(*ANSWERED)
    for _ in range(c.MAX_JUDGEMENTS):
        state = after(c.judged(state, 0, 1, ("no",)), state=state)
    with pytest.raises(PeerError, match="more than 32 times"):
        c.judged(state, 0, 1, ("no",))


def test_a_judgement_is_cut_to_length() -> None:
    event = c.judged(after(*ANSWERED), 0, 100, ("x" * 10_000,) * 100)
    assert (len(event.problems), len(event.problems[0])) == (64, 500)


# -- journals that cannot be, and the table ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ((), c.Approved(HASH, "person")),
        ((), c.Signed(S.signed("bob"))),
        ((), c.Answered()),
        ((), S.received()),
        ((REVIEWED,), c.Approved("00" * 32, "person")),
        (APPROVED, c.Signed(b"psbt\xff")),
        ((c.Declined("no", "person"),), c.Answered()),
        ((OVER,), c.Answered()),
        ((*SIGNED, OVER), REVIEWED),
        (SIGNED, c.Judged(1, 0)),
        (ANSWERED, c.Signed(S.signed("carol"))),
    ],
)
def test_an_event_that_cannot_be_is_a_damaged_journal(
    before: tuple[c.CosignerEvent, ...], event: c.CosignerEvent
) -> None:
    with pytest.raises(StorageError, match="the journal has"):
        after(*before, event)


@pytest.mark.parametrize(
    "received",
    [
        c.Received("ab", "regtest", None, None, S.raw, "00" * 32, 2),
        c.Received("ab", "regtest", None, None, b"", sha256(S.psbt), 2),
        c.Received(
            "ab", "regtest", None, None, b"x", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", 2
        ),
    ],
    ids=["another hash", "nothing", "garbage"],
)
def test_a_psbt_that_is_not_what_arrived_is_a_damaged_journal(received: c.Received) -> None:
    with pytest.raises(StorageError):
        c.replay([received])


def test_nothing_comes_before_the_psbt() -> None:
    for event in (REVIEWED, OVER, c.Declined("no", "person")):
        with pytest.raises(StorageError):
            c.replay([event])


CHOICES = (*SIGNED, c.Answered(), c.Declined("no", "person"), c.DeclineTold(), OVER)


def walk(state: c.CosignerState, events: tuple[c.CosignerEvent, ...], depth: int) -> Iterator[c.CosignerState]:
    """Every state that further events can lead to; on the way, that a signature is never lost nor asked for again."""
    assert (state.signed is not None) == (SIGNED[-1] in events)
    assert not (state.signed is not None and isinstance(c.pending(state), c.Review | c.Sign))
    yield state
    for event in CHOICES if depth else ():
        try:
            further = c.evolve(state, event)
        except StorageError:
            continue
        yield from walk(further, (*events, event), depth - 1)


def test_a_signature_is_never_lost_nor_asked_for_twice() -> None:
    assert {state.phase for state in walk(after(), (), 6)} == set(c.Phase) - {c.Phase.NEW}


def test_every_event_stands_in_the_table() -> None:
    assert {event for _, event in c.PHASES} == set(get_args(c.CosignerEvent))
    assert {c.Phase.NEW, *c.PHASES.values()} == set(c.Phase) == {before for before, _ in c.PHASES}
