"""Both machines in every order of events: what is in the journal is what is known, and nothing unverified comes in."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.ceremony import setting
from support.examples import examples
from wormsig.bitcoin.tx import parse_transaction
from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.coordinator import Phase, Stage
from wormsig.ceremony.events import encode_event
from wormsig.errors import PeerError, WormsigError
from wormsig.psbt import codec, verify
from wormsig.psbt.model import partial_sigs

if TYPE_CHECKING:
    from support.ceremony import Setting
    from wormsig.ceremony.coordinator import CoordinatorEvent
    from wormsig.ceremony.cosigner import CosignerEvent

SETTINGS = [("wsh", 2, 3), ("sh", 1, 2), ("sh-wsh", 3, 4)]
NAMES = ("alice", "bob", "carol", "cosigner4")
GOOD = ("signed", "half", "half missing", "final")
KINDS = (*GOOD, "nothing", "bad", "elsewhere", "garbage")
WHO = st.sampled_from(NAMES)
Signed = set[tuple[int, bytes]]


def answer(setting: Setting, kind: str, signer: str) -> tuple[bytes, str]:
    """What a cosigner sends, and in which form."""
    made = {
        "signed": lambda: setting.signed(signer),
        "half": lambda: setting.half_signed(signer),
        "half missing": lambda: setting.half_signed(signer, bad=False),
        "final": lambda: setting.final(*setting.names[: setting.scene.threshold]),
        "nothing": lambda: setting.raw,
        "bad": lambda: setting.badly_signed(signer),
        "elsewhere": lambda: setting.elsewhere(signer),
        "garbage": lambda: setting.signed(signer)[:-7],
    }[kind]()
    return made, "transaction" if kind == "final" else "psbt"


@lru_cache(1_000)
def decoded(body: bytes) -> CoordinatorEvent:
    """An event of the journal, which is read again after every step."""
    return coordinator.decode(body)


def good_part(setting: Setting, kind: str, signer: str) -> Signed:
    """Input and key of what is good in it: worked out by hand, not by the code that is tested."""
    signers = setting.names[: setting.scene.threshold] if kind == "final" else (signer,)
    whole = {
        (index, pubkey)
        for name in signers
        for index in (0, 1)
        for pubkey in partial_sigs(codec.parse(setting.signed(name)), index)
    }
    return {one for one in whole if not kind.startswith("half") or one[0] == 0} if kind in GOOD else set()


class Collecting(RuleBasedStateMachine):
    """A coordinator's ceremony, driven as `app` drives it, with hostile, lost and late cosigners."""

    @initialize(which=st.sampled_from(SETTINGS), wait_all=st.booleans(), own=st.booleans())
    def begins(self, which: tuple[str, int, int], wait_all: bool, own: bool) -> None:
        self.setting = setting(*which)
        self.names = self.setting.names
        self.journal: list[bytes] = []
        self.state = coordinator.CoordinatorState()
        self.good: Signed = good_part(self.setting, "signed", "alice") if own else set()
        self.here: set[str] = set()
        self.transaction = None
        proposed = self.setting.proposed(*self.names, wait_all=wait_all)
        self.record(*coordinator.begin(proposed, self.setting.signed("alice") if own else None))

    def record(self, *events: CoordinatorEvent) -> None:
        for event in events:
            self.journal.append(encode_event(event)[1])
            self.state = coordinator.evolve(self.state, event)

    def decided(self, given: coordinator.Answer | coordinator.Refusal | coordinator.Finalize) -> None:
        self.record(*coordinator.decide(self.state, given))

    @rule(who=WHO)
    def connects(self, who: str) -> None:
        if who in self.names:
            self.here.add(who)
            self.record(coordinator.Connected(who))

    @rule(who=WHO)
    def takes_the_psbt(self, who: str) -> None:
        if who in self.here:
            self.record(coordinator.Offered(who))

    @rule(who=WHO)
    def burns_a_code(self, who: str) -> None:
        if who in self.names and who not in self.here:
            self.record(coordinator.CodeBurned(who, "guessed"))

    @rule(who=WHO)
    def is_lost(self, who: str) -> None:
        if who in self.names:
            self.here.discard(who)
            self.record(coordinator.Lost(who, "gone"))

    @rule(who=WHO, kind=st.sampled_from(KINDS), signer=WHO)
    def answers(self, who: str, kind: str, signer: str) -> None:
        if who not in self.here or signer not in self.names:
            return
        data, form = answer(self.setting, kind, signer)
        try:
            self.decided(coordinator.Answer(who, data, form))  # type: ignore[arg-type]
        except PeerError:
            assert self.state.cosigners[who].answers == coordinator.MAX_ANSWERS
        else:
            self.good |= good_part(self.setting, kind, signer)

    @rule(kind=st.sampled_from(KINDS), signer=WHO)
    def comes_as_a_file(self, kind: str, signer: str) -> None:
        if signer not in self.names:
            return
        data, form = answer(self.setting, kind, signer)
        try:
            self.decided(coordinator.Answer(None, data, form))  # type: ignore[arg-type]
        except WormsigError:
            assert not good_part(self.setting, kind, signer)
        else:
            self.good |= good_part(self.setting, kind, signer)

    @rule(who=WHO)
    def declines(self, who: str) -> None:
        if who in self.here:
            self.decided(coordinator.Refusal(who, "no"))

    @rule(who=WHO)
    def is_told(self, who: str) -> None:
        if who in self.here:
            self.record(coordinator.OutcomeTold(who, coordinator.outcome(self.state, who) or "failed"))

    @precondition(lambda self: self.state.phase is Phase.COLLECTING and self.state.wait_all)
    @rule()
    def waits_no_longer(self) -> None:
        self.record(coordinator.WaitEnded("time is up"))

    @rule()
    def finalizes(self) -> None:
        if coordinator.pending(self.state) == (coordinator.FinalizeTransaction(),):
            self.decided(coordinator.Finalize())
            self.transaction = self.state.transaction
            assert self.transaction is not None

    @rule(
        event=st.sampled_from(
            [coordinator.BroadcastAgreed(), coordinator.BroadcastDeclined(), coordinator.NodeRefused("fee")]
        )
    )
    def is_asked_for(self, event: CoordinatorEvent) -> None:
        if (self.state.phase, type(event)) in coordinator.PHASES:
            self.record(event)

    @precondition(lambda self: self.state.phase is Phase.AGREED)
    @rule()
    def is_broadcast(self) -> None:
        assert self.state.transaction is not None
        self.record(coordinator.BroadcastDone(self.state.transaction.txid))

    @invariant()
    def the_journal_is_all_that_is_known(self) -> None:
        assert coordinator.replay(map(decoded, self.journal)) == self.state

    @invariant()
    def exactly_the_good_signatures_are_held(self) -> None:
        fresh = codec.parse(codec.serialize(self.state.copy))
        checks = verify.check_signatures(fresh)
        assert all(check.valid for check in checks)
        assert {(check.input, check.pubkey) for check in checks} == self.good

    @invariant()
    def the_threshold_is_reached_when_m_keys_signed_every_input(self) -> None:
        per_input = [len({key for index, key in self.good if index == number}) for number in (0, 1)]
        need = self.setting.scene.threshold
        assert coordinator.shortfall(self.state) == max(0, need - min(per_input))
        assert coordinator.held(self.state) == min(need, *per_input)
        effects = coordinator.pending(self.state)
        if self.state.phase is Phase.COLLECTING:
            patient = self.state.wait_all and any(not each.settled for each in self.state.cosigners.values())
            assert (coordinator.FinalizeTransaction() in effects) == (min(per_input) >= need and not patient)
        assert self.state.transaction == self.transaction

    @invariant()
    def nobody_is_told_twice_nor_without_having_been_there(self) -> None:
        for effect in coordinator.pending(self.state):
            if isinstance(effect, coordinator.TellOutcome):
                cosigner = self.state.cosigners[effect.cosigner]
                assert cosigner.met
                assert cosigner.told != effect.result


TestCollecting = Collecting.TestCase
TestCollecting.settings = settings(
    max_examples=examples(15), stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


# -- both roles, with a crash after any step ---------------------------------------------------------------------------


class Link:
    """The letters on their way between the coordinator and one cosigner; a crash of either side loses them."""

    def __init__(self) -> None:
        self.open = False
        self.to_cosigner: deque[str] = deque()
        self.to_coordinator: deque[str | bytes] = deque()

    def cut(self) -> None:
        self.__init__()  # type: ignore[misc]


class Bob:
    """A cosigner's side: does what is pending, one step at a time, and remembers nothing but its journal."""

    def __init__(self, name: str, whole: Setting, link: Link) -> None:
        self.name, self.setting, self.link = name, whole, link
        self.journal: list[bytes] = []
        self.state = cosigner.CosignerState()
        self.signatures = 0

    def record(self, *events: CosignerEvent) -> None:
        for event in events:
            self.journal.append(encode_event(event)[1])
            self.state = cosigner.evolve(self.state, event)

    def crash(self) -> None:
        self.link.cut()
        self.state = cosigner.replay(map(cosigner.decode, self.journal))

    def step(self) -> None:
        if self.link.to_cosigner:
            self.take(self.link.to_cosigner.popleft())
        elif self.link.open:
            self.work()

    def take(self, letter: str) -> None:
        if letter == "proposal":
            if self.state.received is None:
                self.record(self.setting.received())
            self.link.to_coordinator.append("proposal taken")
            if self.state.signed is not None:
                self.link.to_coordinator.append(self.state.signed)
        elif letter == "answer taken":
            self.record(cosigner.Answered())
        else:
            final = self.setting.final("alice", "bob")
            self.record(cosigner.outcome(self.state, "broadcast", None, final, ""))
            self.link.to_coordinator.append("outcome taken")

    def work(self) -> None:
        match cosigner.pending(self.state):
            case cosigner.Review():
                digest = self.state.start.psbt_sha256
                self.record(cosigner.Reviewed(digest, (), ()))
                self.record(cosigner.approve(self.state, digest, "person"))
            case cosigner.Sign():
                self.signatures += 1
                signed = codec.parse(self.setting.signed(self.name))
                self.record(cosigner.signed(self.state, codec.parse(self.state.start.psbt), signed))
                self.link.to_coordinator.append(self.setting.signed(self.name))


class Alice:
    """The coordinator's side, likewise."""

    def __init__(self, whole: Setting, links: dict[str, Link]) -> None:
        self.setting, self.links = whole, links
        self.journal: list[bytes] = []
        self.state = coordinator.CoordinatorState()
        self.node: set[str] = set()
        self.record(*coordinator.begin(whole.proposed(*links), whole.signed("alice")))

    def record(self, *events: CoordinatorEvent) -> None:
        for event in events:
            self.journal.append(encode_event(event)[1])
            self.state = coordinator.evolve(self.state, event)

    def crash(self) -> None:
        for link in self.links.values():
            link.cut()
        self.state = coordinator.replay(map(coordinator.decode, self.journal))

    def step(self) -> None:
        for name, link in self.links.items():
            if link.to_coordinator:
                self.take(name, link.to_coordinator.popleft())
                return
        for effect in coordinator.pending(self.state):
            self.work(effect)

    def take(self, name: str, letter: str | bytes) -> None:
        if isinstance(letter, bytes):
            self.record(*coordinator.decide(self.state, coordinator.Answer(name, letter)))
            self.links[name].to_cosigner.append("answer taken")
        elif letter == "proposal taken":
            self.record(coordinator.Offered(name))
        else:
            self.record(coordinator.OutcomeTold(name, coordinator.outcome(self.state, name)))

    def connected(self, name: str) -> Link:
        link = self.links[name]
        if not link.open:
            link.open = True
            self.record(coordinator.Connected(name))
            if not coordinator.is_over(self.state):
                link.to_cosigner.append("proposal")
        return link

    def work(self, effect: coordinator.Effect) -> None:
        match effect:
            case coordinator.Converse(cosigner=name):
                self.connected(name)
            case coordinator.FinalizeTransaction():
                self.record(*coordinator.decide(self.state, coordinator.Finalize()))
            case coordinator.DecideBroadcast():
                self.record(coordinator.BroadcastAgreed())
            case coordinator.SubmitTransaction(transaction=transaction):
                self.node.add(transaction.txid)
                self.record(coordinator.BroadcastDone(transaction.txid))
            case coordinator.TellOutcome(cosigner=name):
                link = self.connected(name)
                if "outcome" not in link.to_cosigner and "outcome taken" not in link.to_coordinator:
                    link.to_cosigner.append("outcome")


@given(
    st.lists(
        st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from(["step", "step", "step", "crash"])), max_size=40
    )
)
@settings(max_examples=examples(20), deadline=None)
def test_a_crash_after_any_step_leads_to_the_same_transaction_and_no_second_signature(
    plan: list[tuple[str, str]],
) -> None:
    whole = setting()
    link = Link()
    bob, alice = Bob("bob", whole, link), Alice(whole, {"bob": link})
    people: dict[str, Alice | Bob] = {"alice": alice, "bob": bob}
    for who, what in plan:
        before = people[who].state
        getattr(people[who], what)()
        if what == "crash":
            assert people[who].state == before
    for _ in range(20):
        alice.step()
        bob.step()
    assert coordinator.pending(alice.state) == ()
    assert (alice.state.phase, alice.state.cosigners["bob"].stage) == (Phase.BROADCAST, Stage.SIGNED)
    assert alice.node == {parse_transaction(whole.final("alice", "bob")).txid}
    assert bob.signatures == 1
    assert bob.state.outcome is not None
    assert bob.state.outcome.txid in alice.node
    assert not bob.state.outcome.lie
