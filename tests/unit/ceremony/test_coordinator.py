from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, get_args

import pytest

from support.ceremony import after, answered, in_touch, setting
from wormsig.bitcoin.tx import parse_transaction
from wormsig.ceremony import coordinator as c
from wormsig.ceremony.events import HeldSignature
from wormsig.errors import InputError, PeerError, PsbtError, StorageError, ThresholdError, UsageError, WormsigError
from wormsig.psbt import codec
from wormsig.psbt.model import PARTIAL_SIG, partial_sigs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wormsig.ceremony.events import Event

S = setting()
LOST = "the connection to the relay broke"


def sigs(state: c.CoordinatorState) -> int:
    return sum(len(partial_sigs(state.copy, index)) for index in range(len(state.copy.inputs)))


def finalized() -> c.CoordinatorState:
    state = answered(in_touch(S.begun(), "bob", "carol"), "bob", S.signed("bob"))
    state = answered(state, "carol", S.signed("carol"))
    return after(state, *c.decide(state, c.Finalize()))


# -- the first events --------------------------------------------------------------------------------------------------


def test_a_ceremony_begins_with_its_proposal() -> None:
    state = S.begun("bob", "carol")
    assert state.phase is c.Phase.COLLECTING
    assert (c.held(state), c.shortfall(state)) == (0, 2)
    assert c.pending(state) == (c.Converse("bob"), c.Converse("carol"))
    assert codec.serialize(state.copy) == S.raw


def test_our_own_share_is_counted_at_once() -> None:
    events = c.begin(S.proposed("bob"), S.signed("alice"))
    assert [type(event) for event in events] == [c.Proposed, c.Contributed]
    state = c.replay(events)
    assert (c.held(state), c.shortfall(state)) == (1, 1)


def test_two_shares_of_our_own_need_nobody() -> None:
    state = c.replay(c.begin(S.proposed("carol"), S.signed("alice", "bob")))
    assert c.pending(state) == (c.FinalizeTransaction(),)


def test_a_share_that_the_psbt_held_already_is_no_event() -> None:
    assert c.begin(S.proposed(psbt=S.signed("alice")), S.signed("alice")) == (S.proposed(psbt=S.signed("alice")),)


@pytest.mark.parametrize(
    ("signed", "error"),
    [
        (S.raw, PsbtError),
        (S.badly_signed("alice"), PsbtError),
        (S.elsewhere("alice"), PeerError),
        (b"nonsense", InputError),
    ],
    ids=["nothing signed", "bad signatures", "another transaction", "garbage"],
)
def test_our_own_signer_must_bring_something(signed: bytes, error: type[WormsigError]) -> None:
    with pytest.raises(error):
        c.begin(S.proposed("bob"), signed)


def test_a_proposal_with_a_bad_signature_does_not_begin() -> None:
    with pytest.raises(PsbtError, match="does not count"):
        c.begin(S.proposed(psbt=S.badly_signed("bob")))


def test_a_journal_with_a_bad_signature_in_its_proposal_counts_it_not() -> None:
    state = after(c.CoordinatorState(), S.proposed(psbt=S.badly_signed("bob")))
    assert (sigs(state), c.shortfall(state)) == (0, 2)
    assert c.shortfall(answered(in_touch(state, "bob"), "bob", S.signed("bob"))) == 1


def test_a_psbt_that_cannot_be_sent_does_not_begin() -> None:
    with pytest.raises(InputError, match="at most 8388608 can be sent"):
        c.begin(S.proposed(psbt=bytes((8 << 20) + 1)))


# -- answers -----------------------------------------------------------------------------------------------------------


def test_good_answers_lead_to_the_transaction() -> None:
    state = in_touch(S.begun(), "bob", "carol")
    state = answered(state, "bob", S.signed("bob"))
    assert c.pending(state) == (c.Converse("carol"),)
    state = answered(state, "carol", S.signed("carol"))
    assert c.pending(state) == (c.FinalizeTransaction(),)
    state = after(state, *c.decide(state, c.Finalize()))
    assert state.phase is c.Phase.FINALIZED
    assert state.transaction == parse_transaction(S.final("bob", "carol"))
    assert c.pending(state) == (c.DecideBroadcast(),)
    assert c.decide(state, c.Finalize()) == ()


def test_an_answer_says_what_was_taken() -> None:
    (event,) = c.decide(S.begun(), c.Answer("bob", S.signed("bob")))
    assert isinstance(event, c.Contributed)
    assert [one.input for one in event.signatures] == [0, 1]
    assert (event.rejected, event.problems, event.ignored) == (0, (), ())
    assert len(event.returned_sha256) == 64


def test_a_final_transaction_is_an_answer_too() -> None:
    state = in_touch(S.begun(), "bob")
    state = after(state, *c.decide(state, c.Answer("bob", S.final("bob", "carol"), "transaction")))
    assert c.shortfall(state) == 0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "PSBT"),
        (b"psbt\xff garbage", ""),
        (S.raw, "no signature of this wallet"),
        (S.elsewhere("bob"), "output 0 pays 29999999 sat, not 30000000"),
        (S.badly_signed("bob"), "it does not verify"),
    ],
    ids=["empty", "garbage", "nothing signed", "another transaction", "bad signatures"],
)
def test_an_answer_without_anything_good_is_misbehaviour(data: bytes, problem: str) -> None:
    state = in_touch(S.begun(), "bob")
    (event,) = c.decide(state, c.Answer("bob", data))
    assert isinstance(event, c.Misbehaved)
    assert problem in event.problem
    changed = after(state, event)
    assert changed.cosigners["bob"].stage is c.Stage.MISBEHAVED
    assert changed.psbt == state.psbt
    assert c.pending(changed) == (c.Converse("carol"),)


def test_garbage_as_a_final_transaction_is_misbehaviour() -> None:
    (event,) = c.decide(S.begun(), c.Answer("bob", S.signed("bob"), "transaction"))
    assert isinstance(event, c.Misbehaved)


def test_good_signatures_are_taken_out_of_a_partly_bad_answer() -> None:
    state = answered(in_touch(S.begun(), "bob"), "bob", S.half_signed("bob"))
    assert [len(partial_sigs(state.copy, index)) for index in (0, 1)] == [1, 0]
    assert state.cosigners["bob"].stage is c.Stage.SIGNED
    assert "does not verify" in state.cosigners["bob"].note


def test_somebody_elses_signatures_bring_nothing_new() -> None:
    state = answered(in_touch(S.begun(), "bob", "carol"), "bob", S.signed("bob"))
    (event,) = c.decide(state, c.Answer("carol", S.signed("bob")))
    assert isinstance(event, c.NothingNew)
    state = after(state, event)
    assert state.cosigners["carol"].stage is c.Stage.NOTHING_NEW
    assert (c.held(state), c.pending(state)) == (1, ())


def test_two_answers_with_the_same_signatures_count_once() -> None:
    state = in_touch(S.begun(), "bob", "carol")
    first, second = (c.decide(state, c.Answer(name, S.signed("bob"))) for name in ("bob", "carol"))
    state = after(state, *first, *second)  # both were judged before either was committed
    assert (c.held(state), sigs(state)) == (1, 2)


def test_a_file_with_something_bad_is_an_error_of_ours_not_an_event() -> None:
    for data in (S.raw, S.badly_signed("bob"), b"nonsense"):
        with pytest.raises(InputError):
            c.decide(S.begun(), c.Answer(None, data))
    with pytest.raises(PeerError):
        c.decide(S.begun(), c.Answer(None, S.elsewhere("bob")))


def test_a_file_with_nothing_new_is_no_event() -> None:
    state = answered(S.begun(), None, S.signed("bob"))
    assert c.decide(state, c.Answer(None, S.signed("bob"))) == ()
    assert c.held(state) == 1


def test_an_answer_of_nobody_we_know() -> None:
    with pytest.raises(UsageError, match="no cosigner called 'mallory'"):
        c.decide(S.begun(), c.Answer("mallory", S.signed("bob")))


def test_answers_without_end_are_a_fault() -> None:
    state = in_touch(S.begun(), "bob")
    for _ in range(c.MAX_ANSWERS // 2):
        state = answered(state, "bob", b"nonsense")
        state = after(state, *c.decide(state, c.Refusal("bob", "no")))
    for given in (c.Answer("bob", S.signed("bob")), c.Refusal("bob", "no")):
        with pytest.raises(PeerError, match="bob sent more than 32 answers"):
            c.decide(state, given)
    assert len(state.cosigners["bob"].faults) == 16


def test_finalizing_too_early_names_what_is_missing() -> None:
    with pytest.raises(ThresholdError, match="input 0 needs 2 more"):
        c.decide(S.begun(), c.Finalize())


def test_half_a_share_does_not_reach_the_threshold() -> None:
    state = answered(in_touch(S.begun(), "bob", "carol"), "bob", S.signed("bob"))
    state = answered(state, "carol", S.half_signed("carol", bad=False))
    assert (c.held(state), c.shortfall(state)) == (1, 1)
    with pytest.raises(ThresholdError, match="input 1 needs 1 more"):
        c.decide(state, c.Finalize())


# -- what a peer can do ------------------------------------------------------------------------------------------------

MOVES: dict[str, Callable[[c.CoordinatorState], c.CoordinatorState]] = {
    "signs": lambda state: answered(state, "bob", S.signed("bob")),
    "repeats": lambda state: answered(state, "bob", S.signed("carol")),
    "garbage": lambda state: answered(state, "bob", b"nonsense"),
    "declines": lambda state: after(state, *c.decide(state, c.Refusal("bob", "no"))),
    "leaves": lambda state: in_touch(after(state, c.Lost("bob", LOST)), "bob"),
    "wrong code": lambda state: in_touch(after(state, c.CodeBurned("bob", "guessed"), c.Lost("bob", LOST)), "bob"),
    "is told": lambda state: after(state, c.OutcomeTold("bob", "failed")),
}


@pytest.mark.parametrize("first", MOVES)
def test_no_order_of_a_peers_moves_is_impossible(first: str) -> None:
    start = in_touch(answered(S.begun(), None, S.signed("carol")), "bob")
    for moves in itertools.product([first], MOVES, MOVES):
        state = start
        for move in moves:
            before = state
            state = MOVES[move](state)
            assert sigs(state) >= sigs(before)
        assert ("signs" in moves) == (c.shortfall(state) == 0)
        assert (state.cosigners["bob"].stage is c.Stage.SIGNED) == ("signs" in moves)


def test_who_has_signed_stays_so() -> None:
    state = answered(in_touch(S.begun(), "bob"), "bob", S.signed("bob"))
    for event in (
        c.Misbehaved("bob", "garbage"),
        c.Declined("bob", "no"),
        c.Lost("bob", LOST),
        c.Connected("bob"),
        c.Offered("bob"),
        c.NothingNew("bob"),
        c.CodeBurned("bob", "guessed"),
    ):
        assert after(state, event).cosigners["bob"].stage is c.Stage.SIGNED


def test_what_was_wrong_is_not_overwritten_by_how_they_left() -> None:
    state = answered(in_touch(S.begun(), "bob", "carol"), "bob", S.elsewhere("bob"))
    state = after(state, c.Declined("carol", "wrong amount"), c.Lost("bob", LOST), c.Lost("carol", LOST))
    state = after(state, c.Misbehaved("carol", "garbage after all"))
    assert "another transaction" in state.cosigners["bob"].note
    assert state.cosigners["carol"].note == "wrong amount"
    assert state.cosigners["carol"].stage is c.Stage.DECLINED


@pytest.mark.parametrize(
    ("bob", "carol", "blamed"),
    [
        ("garbage", "declines", False),  # two are missing, and one of them said no
        ("garbage", "garbage", True),
        ("garbage", "never came", False),
        ("signs", "garbage", True),
        ("signs", "declines", False),
        ("signs half", "declines", False),
        ("signs", "signs half", True),
        ("declines", "declines", False),
    ],
)
def test_whose_fault_it_was(bob: str, carol: str, *, blamed: bool) -> None:
    state = in_touch(S.begun(), "bob", "carol")
    for name, what in (("bob", bob), ("carol", carol)):
        if what == "signs":
            state = answered(state, name, S.signed(name))
        elif what == "signs half":
            state = answered(state, name, S.half_signed(name))
        elif what == "garbage":
            state = answered(state, name, S.elsewhere(name))
        elif what == "declines":
            state = after(state, c.Declined(name, "no"))
    fault = c.peer_at_fault(state)
    assert (fault is not None) == blamed
    if fault is not None:
        assert ("bob:" in fault.message) == (bob in ("garbage", "signs half"))
        assert ("carol:" in fault.message) == (carol in ("garbage", "signs half"))


def test_one_fault_is_enough_where_one_signature_is_missing() -> None:
    state = in_touch(answered(S.begun(), None, S.signed("alice")), "bob", "carol")
    state = after(answered(state, "bob", S.half_signed("bob")), c.Declined("carol", "no"))
    fault = c.peer_at_fault(state)
    assert fault is not None
    assert fault.message.startswith("bob: input 1: signature under")


def test_a_fault_that_decided_nothing_is_nobodys() -> None:
    state = in_touch(answered(S.begun(), None, S.signed("alice")), "bob", "carol")
    state = answered(answered(state, "bob", b"nonsense"), "carol", S.signed("carol"))
    assert c.shortfall(state) == 0
    assert c.peer_at_fault(state) is None


# -- what is to be done ------------------------------------------------------------------------------------------------


def test_whoever_is_settled_is_left_alone_and_the_lost_are_called_again() -> None:
    state = in_touch(S.begun("bob", "carol", "dave", "erin"), "bob", "carol", "dave")
    state = after(state, c.Lost("bob", LOST), c.Declined("carol", "no"), c.CodeBurned("erin", "guessed"))
    assert c.pending(state) == (c.Converse("bob"), c.Converse("dave"), c.Converse("erin"))
    assert state.cosigners["erin"].burned == 1


def test_wait_all_waits_for_those_who_may_come_until_the_wait_ends() -> None:
    state = in_touch(c.replay(c.begin(S.proposed(wait_all=True), S.signed("alice"))), "bob", "carol")
    state = answered(state, "bob", S.signed("bob"))
    assert c.pending(state) == (c.Converse("carol"),)
    assert c.pending(after(state, c.WaitEnded("time is up"))) == (c.FinalizeTransaction(),)
    assert c.pending(after(state, c.Declined("carol", "no"))) == (c.FinalizeTransaction(),)


def test_the_node_is_asked_after_the_person() -> None:
    state = after(finalized(), c.BroadcastAgreed())
    assert state.transaction is not None
    assert c.pending(state) == (c.SubmitTransaction(state.transaction),)
    refused = after(state, c.NodeRefused("min relay fee not met"))
    assert (c.pending(refused), refused.result_note) == ((c.DecideBroadcast(),), "min relay fee not met")
    assert not c.is_over(refused)
    again = after(refused, c.NodeRefused("still not"), c.BroadcastAgreed(), c.BroadcastDone("ab" * 32))
    assert (again.phase, again.result_note) == (c.Phase.BROADCAST, "")


def test_everybody_who_was_there_is_told_and_nobody_twice() -> None:
    state = in_touch(S.begun("bob", "carol", "dave"), "bob", "carol")
    state = answered(answered(state, "bob", S.signed("bob")), None, S.signed("alice"))
    state = after(state, c.Lost("dave", LOST), *c.decide(state, c.Finalize()), c.BroadcastDeclined("later"))
    assert c.is_over(state)
    assert c.pending(state) == (c.TellOutcome("bob", "final"), c.TellOutcome("carol", "not-needed"))
    state = after(state, c.OutcomeTold("bob", "final"), c.OutcomeTold("carol", "not-needed"))
    assert c.pending(state) == ()
    state = after(state, c.BroadcastAgreed(), c.BroadcastDone("ab" * 32))
    assert c.pending(state) == ()  # bob has the transaction, and cannot be found any more


def test_who_was_told_of_a_failure_is_told_again_when_it_goes_on() -> None:
    state = in_touch(S.begun(), "bob", "carol")
    state = after(answered(state, "bob", S.signed("bob")), c.OutcomeTold("bob", "failed"))
    assert c.outcome(state, "bob") is None
    state = answered(state, "carol", S.signed("carol"))
    state = after(state, *c.decide(state, c.Finalize()), c.BroadcastAgreed(), c.BroadcastDone("ab" * 32))
    assert c.TellOutcome("bob", "broadcast") in c.pending(state)


def test_a_cancelled_ceremony_is_told_to_those_who_were_there() -> None:
    state = after(in_touch(S.begun(), "bob"), c.Cancelled("never mind"))
    assert (c.is_over(state), state.result_note) == (True, "never mind")
    assert c.pending(state) == (c.TellOutcome("bob", "cancelled"),)
    assert c.untold(state) == ("bob",)


def test_a_late_signature_is_taken_and_changes_nothing_else() -> None:
    state = after(finalized(), c.BroadcastAgreed(), c.BroadcastDone("ab" * 32))
    late = answered(state, None, S.signed("alice"))
    assert sigs(late) == sigs(state) + 2
    assert (late.phase, late.transaction) == (state.phase, state.transaction)


def test_nothing_is_pending_before_the_proposal() -> None:
    assert c.pending(c.CoordinatorState()) == ()


# -- journals that cannot be -------------------------------------------------------------------------------------------


def forged() -> c.Contributed:
    (event,) = c.decide(S.begun(), c.Answer("bob", S.signed("bob")))
    assert isinstance(event, c.Contributed)
    one, two = event.signatures
    return c.Contributed("bob", (HeldSignature(0, one.pubkey, two.signature),))


@pytest.mark.parametrize(
    "event",
    [
        forged(),
        c.Contributed("bob", (HeldSignature(7, b"\x02" * 33, b"\x30"),)),
        c.Contributed(None, (HeldSignature(-1, b"\x02" * 33, b"\x30"),)),
        c.Contributed("bob", (HeldSignature(0, b"", b""),)),
        c.Connected("mallory"),
        c.Offered("bob"),
        c.Declined("bob", "no"),
        c.BroadcastAgreed(),
        c.BroadcastDone("ab" * 32),
        c.Finalized(b"\x00", "ab" * 32),
        S.proposed(),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_that_cannot_be_is_a_damaged_journal(event: c.CoordinatorEvent) -> None:
    state = S.begun()
    with pytest.raises(StorageError, match="the journal has"):
        after(state, event)
    assert state == S.begun()


@pytest.mark.parametrize("event", [c.Connected("bob"), forged(), c.Contributed(None, ()), c.Cancelled("no")])
def test_nothing_comes_before_the_proposal(event: c.CoordinatorEvent) -> None:
    with pytest.raises(StorageError):
        c.replay([event])


def test_a_proposal_that_is_no_psbt_is_a_damaged_journal() -> None:
    with pytest.raises(StorageError, match="its content cannot be"):
        c.replay([S.proposed(psbt=b"psbt\xff")])


# -- the tables --------------------------------------------------------------------------------------------------------


def test_every_event_stands_in_the_table_that_it_belongs_to() -> None:
    def placed(table: Mapping[tuple[Any, type[Event]], Any]) -> set[type[Event]]:
        return {event for _, event in table}

    events = set(get_args(c.CoordinatorEvent))
    assert placed(c.PHASES) | placed(c.STAGES) == events
    assert placed(c.STAGES) == {event for event in events if "cosigner" in event.__struct_fields__}
    assert not placed(c.PHASES) & placed(c.STAGES)


def test_every_stage_and_phase_can_be_reached_and_all_but_the_last_left() -> None:
    assert {c.Stage.WAITING, *c.STAGES.values()} == set(c.Stage)
    assert {c.Phase.NEW, *c.PHASES.values()} == set(c.Phase)
    ends = set(c.Phase) - {before for before, _ in c.PHASES}
    assert ends == {c.Phase.BROADCAST, c.Phase.CANCELLED}


def test_signatures_of_legacy_and_nested_wallets_are_collected_as_well() -> None:
    for script_type in ("sh-wsh", "sh"):
        other = setting(script_type)
        state = in_touch(other.begun(), "bob", "carol")
        state = answered(answered(state, "bob", other.signed("bob")), "carol", other.signed("carol"))
        state = after(state, *c.decide(state, c.Finalize()))
        assert state.transaction == parse_transaction(other.final("bob", "carol"))


def test_a_signature_in_another_form_under_the_same_key_changes_nothing() -> None:
    state = answered(in_touch(S.begun(), "bob", "carol"), "bob", S.signed("bob"))
    returned = codec.parse(S.signed("bob"))
    high = {k: v[:-1] + b"\x02" if k[0] == PARTIAL_SIG else v for k, v in returned.inputs[0].items()}
    (event,) = c.decide(state, c.Answer("carol", codec.serialize(returned.with_input(0, high))))
    assert isinstance(event, c.NothingNew)
    assert event.rejected == 1
    assert after(state, event).psbt == state.psbt
