"""Whole ceremonies in which anybody may die at any moment, and any line be cut: the same transaction, signed once.

The machines and the letters are the real ones; the drivers are a model without clocks (`support.drivers_model`), which
does everything in the order in which `app` does it. The same with real processes is `tests/e2e/test_kill_matrix.py`.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.ceremony import CEREMONY, setting
from support.drivers_model import Alice, Bob, Crash, Wire, met, sent_and_heard
from support.examples import examples
from wormsig.bitcoin.tx import parse_transaction
from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.coordinator import Phase
from wormsig.psbt import codec, verify

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = [("wsh", 2, 3), ("sh", 1, 2), ("sh-wsh", 3, 4)]
MOVES = (*["act"] * 7, *["meet"] * 5, *["die"] * 2, "cut", "file", "mind")
"""What happens, by how often it does."""

STEPS = list(product(range(4), MOVES, range(10)))
"""Who, what, and how it goes: chosen in one piece, since every choice of its own costs as much as the step."""

PLANS = st.lists(st.sampled_from(STEPS), min_size=12, max_size=40)


class Ceremony(RuleBasedStateMachine):
    """One ceremony of several people in an unkind world, which in the end becomes kind."""

    @initialize(
        which=st.sampled_from(SETTINGS),
        own=st.booleans(),
        chain=st.booleans(),
        wait_all=st.booleans(),
        steady=st.booleans(),
    )
    def begins(self, which: tuple[str, int, int], own: bool, chain: bool, wait_all: bool, steady: bool) -> None:
        self.steady = steady
        self.setting = setting(*which)
        names = self.setting.names[1:]
        self.need = self.setting.scene.threshold
        own = own or len(names) < self.need
        self.alice = Alice(self.setting, names, own=own, chain=chain, wait_all=wait_all)
        self.bobs = {name: Bob(name, self.setting) for name in names}
        self.connections = 0

    # -- what happens ----------------------------------------------------------------------------------------------

    def alive(self, side: Alice | Bob, act: Callable[[], object]) -> object:
        """Do something as somebody, who may die of it."""
        try:
            return act() if side.running else None
        except Crash:
            self.dies(side)
            return None

    def dies(self, side: Alice | Bob) -> None:
        """SIGKILL: what is under way still arrives, and nobody is told."""
        side.running = False
        side.state = side.replayed()
        if isinstance(side, Alice):
            side.talks, side.ending = {}, None
        else:
            side.talk = None

    def side(self, name: str) -> Alice | Bob | None:
        return self.alice if name == "alice" else self.bobs.get(name)

    def connect(self, bob: Bob, *, with_code: bool, asked: bool = False) -> bool:
        """Both meet, if both look for each other in the same way."""
        alice, name = self.alice, bob.name
        if not (alice.running and bob.running) or not alice.listens(name) or bob.talk is not None:
            return False
        if with_code:
            if not alice.shows_code(name, asked=asked):
                return False
            bob.resume(code=True)
        else:
            secret = met(alice, bob)
            if not bob.knows or bob.idle or secret is None:
                return False
            alice.links[name].shared(secret)
        self.connections += 1
        line = Wire(self.connections)
        bob.connected(line)
        self.alive(alice, lambda: alice.connected(name, line))
        return True

    def notice(self, bob: Bob) -> None:
        """Whoever is left alone on a line finds out."""
        alice, name = self.alice, bob.name
        talk = alice.talks.get(name)
        if talk is not None and not talk.wire.up and (bob.talk is None or bob.talk.wire is not talk.wire):
            self.alive(alice, lambda: alice.gone(name))
        if bob.talk is not None and not bob.talk.wire.down:
            line = bob.talk.wire
            if line.cut or name not in alice.talks or alice.talks[name].wire is not line:
                bob.gone()

    @rule(moves=PLANS)
    def time_passes(self, moves: list[tuple[int, str, int]]) -> None:
        """Everybody does one thing after the other, in any order, and now and then something goes wrong."""
        everybody = [self.alice, *self.bobs.values()]
        for number, what, chance in moves:
            side = everybody[number % len(everybody)]
            if what == "act":
                for _ in range(1 + chance % 4):
                    self.alive(side, side.go_on)
            elif what == "meet":
                self.comes_back(self.alice, with_code=False)
                self.comes_back(side, with_code=chance < 3)
            elif what == "die":
                side.fuse.left = chance
            elif what == "cut":
                self.is_cut(side, chance)
            elif what == "file":
                self.comes_as_a_file(side)
            elif self.steady:  # then every letter that was said is said again, until it is acknowledged
                continue
            elif isinstance(side, Bob):
                side.mind = chance > 5
            else:
                self.time_is_up()

    def comes_back(self, side: Alice | Bob, *, with_code: bool) -> None:
        """Who died starts again; who is alone notices; who looks for the other side finds it."""
        if not side.running:
            side.running = True
            self.alive(side, side.resume)
        elif isinstance(side, Bob):
            self.notice(side)
            self.connect(side, with_code=with_code)

    def is_cut(self, side: Alice | Bob, kept: int) -> None:
        """A line is cut, and what was under way is lost, but for the first messages."""
        name = side.name if isinstance(side, Bob) else next(iter(self.alice.talks), "")
        talk = self.alice.talks.get(name)
        if talk is not None:
            talk.wire.cut = True
            for queue, rest in ((talk.wire.up, kept % 3), (talk.wire.down, kept // 3)):
                while len(queue) > rest:
                    queue.pop()

    def comes_as_a_file(self, side: Alice | Bob) -> None:
        """Alice imports what somebody signed elsewhere."""
        alice = self.alice
        if isinstance(side, Bob):
            answer = coordinator.Answer(None, self.setting.signed(side.name))
            self.alive(alice, lambda: alice.record(*coordinator.decide(alice.state, answer)))

    def time_is_up(self) -> None:
        """Who is connected is told that it failed; alice may resume."""
        if self.alice.running and self.alice.state.phase is Phase.COLLECTING:
            self.alice.ending = "failed"

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def the_journals_are_all_that_is_known(self) -> None:
        for side in (self.alice, *self.bobs.values()):
            assert side.replayed() == side.state

    @invariant()
    def only_good_signatures_are_held(self) -> None:
        checks = verify.check_signatures(codec.parse(codec.serialize(self.alice.state.copy)))
        assert all(check.valid for check in checks)

    @invariant()
    def nobody_signs_twice_but_in_the_window_and_then_they_are_told(self) -> None:
        for bob in self.bobs.values():
            assert bob.signatures <= 1 + bob.windows
            assert sum(b'"type":"signed"' in body for body in bob.journal) <= 1
            assert bob.told_of_window >= bob.signatures - 1

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        for name, bob in self.bobs.items():
            ours, theirs = self.alice.state.cosigners[name].transcript, bob.state.transcript
            assert sent_and_heard(ours.sent_by("coordinator"), theirs.sent_by("coordinator"))
            assert sent_and_heard(theirs.sent_by("cosigner"), ours.sent_by("cosigner"))

    @invariant()
    def who_acknowledged_can_be_found_again(self) -> None:
        for name, bob in self.bobs.items():
            if self.alice.state.cosigners[name].transcript.letters and not cosigner.is_complete(bob.state):
                self.alice.links[name].trusted = frozenset(self.alice.state.cosigners[name].links)
                bob.links.trusted = frozenset([bob.state.link])
                assert met(self.alice, bob)

    # -- in the end ------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Nobody dies any more, everybody comes back, and everybody says yes."""
        if not hasattr(self, "alice"):
            return
        for side in (self.alice, *self.bobs.values()):
            side.fuse.left = None
        self.alice.resume()
        for bob in self.bobs.values():
            bob.mind = True
            bob.resume()
        for _ in range(60):
            moved = self.everybody_goes_on()
            if not moved:
                break
        else:
            raise AssertionError("it never comes to rest")
        self.it_ended_well()

    def everybody_goes_on(self) -> bool:
        moved = False
        for bob in self.bobs.values():
            if not bob.running:
                bob.resume()
                moved = True
            self.notice(bob)
            moved |= self.connect(bob, with_code=False) or self.connect(bob, with_code=True, asked=True)
        for side in (self.alice, *self.bobs.values()):
            while side.running and side.go_on():
                moved = True
        return moved

    def it_ended_well(self) -> None:
        alice = self.alice
        assert alice.state.phase is Phase.BROADCAST
        assert set(alice.node) == {self.setting.psbt.txid} or len(set(alice.node)) == 1
        final = alice.state.transaction
        assert final is not None
        assert cosigner.same_payment(final, self.setting.psbt.tx)
        assert parse_transaction(final.serialize()).txid == alice.node[0]
        for name, bob in self.bobs.items():
            who = alice.state.cosigners[name]
            if not bob.knows or (who.told is None and bob.state.outcome is None):
                continue  # the threshold was reached without them, and they never came
            assert bob.state.outcome is not None
            assert not bob.state.outcome.lie
            assert bob.state.outcome.txid == final.txid
            if self.steady:
                self.transcripts_agree(name)

    def transcripts_agree(self, name: str) -> None:
        """Each side can make out what the other one's head stands for."""
        ours, theirs = self.alice.state.cosigners[name].transcript, self.bobs[name].state.transcript
        assert self.bobs[name].state.outcome is not None
        assert theirs.covered_by(CEREMONY, self.bobs[name].state.outcome.head) is not None
        if self.alice.state.cosigners[name].farewell:  # bob need not know that it arrived
            assert ours.covered_by(CEREMONY, theirs.head(CEREMONY)) is not None
            if self.bobs[name].state.farewell:
                assert ours.head(CEREMONY) == theirs.head(CEREMONY)


TestCeremony = Ceremony.TestCase
TestCeremony.settings = settings(
    max_examples=examples(20), stateful_step_count=6, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
