"""Both roles' drivers without clocks, sockets or disks, for whole ceremonies in milliseconds.

What is decided is decided by the real machines, what is said are the real letters, and everything happens in the order
in which `app` does it: decide, commit, act. A `Fuse` ends a side right before or right after any commit and any
message; what it had not committed is gone. A `Wire` is one connection: in order, until it is cut, and a cut loses
whatever was still under way, acknowledgements first of all.
"""

from __future__ import annotations

import hashlib
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from support.ceremony import CEREMONY
from wormsig.ceremony import coordinator, cosigner, messages, wire
from wormsig.ceremony.cosigner_state import Phase as Seat
from wormsig.ceremony.events import encode_event
from wormsig.psbt import codec
from wormsig.psbt.model import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.ceremony import Setting
    from wormsig.ceremony.messages import Letter, Result

Sent = tuple[Any, bytes | None]
"""A letter and its object, or the digest of an acknowledged one."""


class Crash(Exception):  # noqa: N818  it is no error
    """The process is gone."""


class Fuse:
    """Ends a side at a chosen moment: right before or right after one of its commits or messages."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            self.left = None
            raise Crash
        self.left -= 1


class Wire:
    """One connection, with what is under way in it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.down: deque[Sent] = deque()
        self.up: deque[Sent] = deque()
        self.cut = False
        self.secret = hashlib.sha256(b"%d" % number).hexdigest()


class Secrets:
    """`journal.secrets` in memory: outlives a crash, and gives only what the journal knows."""

    def __init__(self) -> None:
        self.kept: tuple[str, ...] = ()
        self.trusted: frozenset[str] = frozenset()

    def known(self) -> tuple[str, ...]:
        return tuple(one for one in self.kept if one in self.trusted)

    def keep(self, secret: str) -> None:
        before = self.known()
        self.trusted |= {secret}
        self.kept = (secret, *(one for one in before if one != secret))[:4]

    def shared(self, secret: str) -> None:
        self.kept = tuple(one for one in self.known() if one == secret)

    def settle(self) -> None:
        self.kept = self.known()[:1]


class Side:
    """What both roles have in common: a journal, a state that is rebuilt from it, and letters that go out in order."""

    def __init__(self, machine: Any, new: Any) -> None:
        self.machine = machine
        self.journal: list[bytes] = []
        self.state: Any = new
        self.new = new
        self.fuse = Fuse()
        self.running = True

    def record(self, *events: Any) -> None:
        """Committed together; only then does the state move."""
        after = self.state
        for event in events:
            after = self.machine.evolve(after, event)
        self.fuse.burn()
        self.journal += [encode_event(event)[1] for event in events]
        self.state = after
        self.fuse.burn()

    def replayed(self) -> Any:
        return self.machine.replay(_decoded(self.machine, body) for body in self.journal)


@lru_cache(1_000)
def _decoded(machine: Any, body: bytes) -> Any:
    """An event of a journal, which is read again after every step."""
    return machine.decode(body)


class Talk:
    """One side's end of a connection: who waits for which acknowledgement."""

    def __init__(self, wire_: Wire) -> None:
        self.wire = wire_
        self.waiting: dict[str, Any] = {}
        self.sent: set[str] = set()
        self.opened = False


class Alice(Side):
    """The coordinator: `send`, `conversation`, `reach`, `table`.

    Args:
        setting: The wallet and its PSBT.
        names: The cosigners.
        own: She signs first.
        options: Of the proposal.
    """

    def __init__(self, setting: Setting, names: tuple[str, ...], *, own: bool, **options: Any) -> None:
        super().__init__(coordinator, coordinator.CoordinatorState())
        self.setting = setting
        self.node: list[str] = []
        self.links = {name: Secrets() for name in names}
        self.talks: dict[str, Talk] = {}
        self.ending: Result | None = None
        self.lost: set[str] = set()
        proposed = setting.proposed(*names, **options)
        self.record(*coordinator.begin(proposed, setting.signed("alice") if own else None))

    def resume(self) -> None:
        self.state, self.running = self.replayed(), True
        self.talks, self.lost, self.ending = {}, set(), None
        for name, links in self.links.items():
            links.trusted = frozenset(self.state.cosigners[name].links)

    def send(self, talk: Talk, letter: Letter, obj: bytes | None, then: Any) -> None:
        self.fuse.burn()
        if not talk.wire.cut:
            talk.wire.down.append((letter, obj))
        talk.waiting[wire.digest(letter)] = then
        self.fuse.burn()

    def ack(self, talk: Talk, digest: str) -> None:
        self.fuse.burn()
        if not talk.wire.cut:
            talk.wire.down.append((digest, None))
        self.fuse.burn()

    # -- whom she waits for ----------------------------------------------------------------------------------------

    def turns(self) -> bool:
        """In a chain: who is next; whether that was new."""
        if self.state.start.chain and self.ending is None:
            for effect in coordinator.pending(self.state):
                if isinstance(effect, coordinator.Converse) and self.state.cosigners[effect.cosigner].offer is None:
                    self.record(coordinator.TurnCame(effect.cosigner))
                    return True
        return False

    def listens(self, name: str) -> bool:
        if not self.running or name in self.talks:
            return False
        who = self.state.cosigners[name]
        if self.ending is None and not coordinator.is_over(self.state):
            return who.settled or not self.state.start.chain or who.offer is not None
        return who.told != (coordinator.outcome(self.state, name) or self.ending)

    def shows_code(self, name: str, *, asked: bool = False) -> bool:
        who = self.state.cosigners[name]
        if self.ending is not None or coordinator.is_over(self.state) or who.settled or not self.listens(name):
            return False
        return not who.transcript.letters or not self.links[name].known() or name in self.lost or asked

    # -- a conversation --------------------------------------------------------------------------------------------

    def connected(self, name: str, wire_: Wire) -> None:
        self.talks[name] = talk = Talk(wire_)
        who = self.state.cosigners[name]
        self.links[name].keep(wire_.secret)
        self.fuse.burn()
        self.record(coordinator.Connected(name, "", wire_.secret))
        if self._ended() is None or not who.transcript.letters:
            data = self.state.offer_to(name)
            letter = self._proposal(data)
            self.send(talk, letter, data, lambda: self._offered(name, wire.digest(letter)))
        else:
            self._opened(name)

    def _offered(self, name: str, digest: str) -> None:
        self.record(coordinator.Offered(name, digest))
        self.links[name].settle()
        self._opened(name)

    def _opened(self, name: str) -> None:
        self.talks[name].opened = True
        self.tell_verdict(name)

    def _proposal(self, data: bytes) -> messages.Proposal:
        start = self.state.start
        return messages.Proposal(
            ceremony=start.ceremony,
            network="regtest",
            wallet=start.wallet,
            threshold=start.threshold,
            total=max(start.total, start.threshold),
            psbt=wire.reference(data),
            unsigned_txid=self.state.copy.txid,
            sent_at=start.at,
        )

    def take(self, name: str) -> None:
        talk = self.talks[name]
        letter, obj = talk.wire.up.popleft()
        if isinstance(letter, str):
            then = talk.waiting.pop(letter, None)
            if then is not None:
                then()
            return
        digest = wire.digest(letter)
        if isinstance(letter, messages.Contribution):
            answer = coordinator.Answer(name, obj or b"", letter.form, digest)
            self.record(*coordinator.decide(self.state, answer))
            self.ack(talk, digest)
            self.tell_verdict(name)
        elif isinstance(letter, messages.Decline):
            self.record(*coordinator.decide(self.state, coordinator.Refusal(name, letter.reason, digest)))
            self.ack(talk, digest)
        else:
            assert isinstance(letter, messages.Farewell)
            self.record(coordinator.FarewellReceived(name, letter.seen, letter.head, digest))
            self.ack(talk, digest)

    def tell_verdict(self, name: str) -> None:
        owed = self.state.cosigners[name].owed
        if owed is None:
            return
        letter = messages.Judged(CEREMONY, owed.accepted, owed.rejected, owed.problems)
        digest = wire.digest(letter)
        self.send(self.talks[name], letter, None, lambda: self.record(coordinator.JudgedTold(name, digest)))

    def _ended(self) -> Result | None:
        if coordinator.is_over(self.state):
            return "broadcast"
        return self.ending

    def tell_outcome(self, name: str) -> bool:
        """Tell it, after whatever was to be told before; whether there was anything to do."""
        talk, result = self.talks[name], self._ended()
        if result is None or "outcome" in talk.sent or (talk.waiting and not talk.opened) or self._judging(talk):
            return False
        told = coordinator.outcome(self.state, name) or result
        final = self.state.transaction if told != "failed" else None
        raw = final.serialize() if final else None
        head = self.state.cosigners[name].transcript.head(CEREMONY)
        letter = messages.Outcome(
            CEREMONY, told, final.txid if final else None, wire.reference(raw) if raw else None, "", head
        )
        talk.sent.add("outcome")
        digest = wire.digest(letter)
        self.send(talk, letter, raw, lambda: self.record(coordinator.OutcomeTold(name, told, digest)))
        return True

    @staticmethod
    def _judging(talk: Talk) -> bool:
        return bool(talk.waiting)

    def gone(self, name: str) -> None:
        """She notices that a connection has ended."""
        del self.talks[name]
        self.lost.add(name)
        self.record(coordinator.Lost(name, "gone"))

    # -- the ceremony ----------------------------------------------------------------------------------------------

    def go_on(self) -> bool:
        """One effect of those that are pending; whether there was any."""
        if self.turns():
            return True
        for name in list(self.talks):
            if self.talks[name].wire.up:
                self.take(name)
                return True
        for effect in coordinator.pending(self.state):
            match effect:
                case coordinator.FinalizeTransaction() if self.ending is None:
                    self.record(*coordinator.decide(self.state, coordinator.Finalize()))
                    return True
                case coordinator.DecideBroadcast() if self.ending is None:
                    self.record(coordinator.BroadcastAgreed())
                    return True
                case coordinator.SubmitTransaction(transaction=transaction) if self.ending is None:
                    self.fuse.burn()
                    self.node.append(transaction.txid)
                    self.fuse.burn()
                    self.record(coordinator.BroadcastDone(transaction.txid))
                    return True
        return any(self.tell_outcome(name) for name in list(self.talks))


class Bob(Side):
    """A cosigner: `cosigning`, `deciding`, `linking`.

    Args:
        name: Whose keys.
        setting: The wallet.
    """

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__(cosigner, cosigner.CosignerState())
        self.name, self.setting = name, setting
        self.links = Secrets()
        self.talk: Talk | None = None
        self.signatures = 0
        self.windows = 0
        self.mind = True
        self.asked = True
        self.idle = False
        self.told_of_window = 0

    @property
    def knows(self) -> bool:
        return self.state.received is not None

    def resume(self, *, code: bool = False) -> None:
        """Another process: with a code, or from the journal."""
        self.state, self.running, self.talk = self.replayed(), True, None
        self.links.trusted = frozenset([self.state.link] if self.state.link else [])
        self.idle = False
        if self.knows:
            self._begin(code=code)

    def _begin(self, *, code: bool) -> None:
        pending = cosigner.pending(self.state)
        self.asked = code or pending != cosigner.SendDecline(self.state.reason)
        if self.asked and self.state.signed is None and self.state.phase is Seat.APPROVED:
            self.told_of_window += 1
        self.idle = cosigner.is_complete(self.state)

    def send(self, letter: Letter, obj: bytes | None, then: Any) -> None:
        assert self.talk is not None
        self.fuse.burn()
        if not self.talk.wire.cut:
            self.talk.wire.up.append((letter, obj))
        self.talk.waiting[wire.digest(letter)] = then
        self.fuse.burn()

    def ack(self, digest: str) -> None:
        assert self.talk is not None
        self.fuse.burn()
        if not self.talk.wire.cut:
            self.talk.wire.up.append((digest, None))
        self.fuse.burn()

    # -- the talk --------------------------------------------------------------------------------------------------

    def connected(self, wire_: Wire) -> None:
        self.talk = Talk(wire_)

    def gone(self) -> None:
        self.talk = None

    def _linked(self) -> None:
        assert self.talk is not None
        secret = self.talk.wire.secret
        self.links.keep(secret)
        self.fuse.burn()
        self.record(cosigner.Linked("", secret))
        self.links.settle()
        self.talk.opened = True

    def take(self) -> None:
        assert self.talk is not None
        letter, obj = self.talk.wire.down.popleft()
        if isinstance(letter, str):
            then = self.talk.waiting.pop(letter, None)
            if then is not None:
                then()
            return
        digest = wire.digest(letter)
        if isinstance(letter, messages.Proposal):
            self._proposal(letter, obj or b"", digest)
        else:
            if not self.talk.opened:
                self._linked()
            if isinstance(letter, messages.Judged):
                self._judged(letter, digest)
            else:
                self._outcome(letter, obj, digest)

    def _proposal(self, letter: messages.Proposal, raw: bytes, digest: str) -> None:
        if not self.knows:
            first = cosigner.Received(
                ceremony=letter.ceremony,
                network=letter.network,
                wallet=letter.wallet,
                wallet_name=None,
                psbt=raw,
                psbt_sha256=sha256(codec.parse(raw)),
                threshold=letter.threshold,
                letter=digest,
            )
            self.record(first)
            self._begin(code=True)
        assert self.state.start.psbt == raw, "the same ceremony came back with another PSBT"
        self._linked()
        self.ack(digest)

    def _judged(self, letter: messages.Judged, digest: str) -> None:
        if digest not in self.state.transcript.sent_by("coordinator"):
            if self.state.phase is not Seat.ANSWERED:
                assert self.state.signed is not None
                assert not cosigner.is_complete(self.state)
                self.record(cosigner.Answered(wire.digest(self._contribution())))
            self.record(cosigner.judged(self.state, letter.accepted, letter.rejected, letter.problems, letter=digest))
        self.ack(digest)

    def _outcome(self, letter: messages.Outcome, raw: bytes | None, digest: str) -> None:
        if digest not in self.state.transcript.sent_by("coordinator"):
            self.record(
                cosigner.outcome(
                    self.state, letter.result, letter.txid, raw, letter.reason, head=letter.head, letter=digest
                )
            )
        self.ack(digest)
        self.idle = True
        farewell = messages.Farewell(CEREMONY, "mempool", self.state.transcript.head(CEREMONY))
        said = wire.digest(farewell)
        self.send(farewell, None, lambda: self.record(cosigner.FarewellTold("mempool", said)))

    def _contribution(self) -> messages.Contribution:
        signed = self.state.signed or b""
        return messages.Contribution(CEREMONY, wire.reference(signed), "psbt")

    def due(self) -> bool:
        """Begin to send what alice does not know; whether there was anything."""
        talk, state = self.talk, self.state
        if talk is None or not talk.opened or self.idle or talk.waiting:
            return False
        if state.signed is not None:
            letter = self._contribution()
            digest = wire.digest(letter)
            if digest in talk.sent:
                return False
            talk.sent.add(digest)
            self.send(letter, state.signed, lambda: self._answered(digest))
            return True
        if state.phase is Seat.DECLINED:
            no = messages.Decline(CEREMONY, state.reason)
            self.send(no, None, lambda: self._declined(wire.digest(no)))
            return True
        return False

    def _answered(self, digest: str) -> None:
        if self.state.phase is not Seat.ANSWERED:
            self.record(cosigner.Answered(digest))

    def _declined(self, digest: str) -> None:
        if self.state.phase is Seat.DECLINED:
            self.record(cosigner.DeclineTold(digest))
        self.running, self.talk = False, None

    # -- the work --------------------------------------------------------------------------------------------------

    def work(self) -> bool:
        """The next step of the decision; whether there was any."""
        state = self.state
        if not self.knows or self.idle or not self.asked or state.signed is not None:
            return False
        if state.phase is Seat.DECLINED and state.reason == "not today" and not self.mind:
            return False
        self.record(cosigner.Reviewed(state.start.psbt_sha256, (), ()))
        if not self.mind:
            self.record(cosigner.Declined("not today", "person"))
            self.asked = False
            return True
        self.record(cosigner.approve(self.state, state.start.psbt_sha256, "person"))
        given = codec.parse(state.start.psbt)
        self.fuse.burn()
        self.signatures += 1
        result = codec.parse(codec.serialize(self.setting.scene.sign(given, self.name)))
        try:
            self.record(cosigner.signed(self.state, given, result))
        except Crash:
            self.windows += self.replayed().signed is None
            raise
        return True

    def go_on(self) -> bool:
        """One thing that is to be done; whether there was any."""
        if self.talk is not None and self.talk.wire.down:
            self.take()
            return True
        return self.work() or self.due()


def met(alice: Alice, bob: Bob) -> str | None:
    """The secret by which both can find each other without a code."""
    ours = alice.links[bob.name].known()
    return next((secret for secret in ours if secret in bob.links.known()), None)


def sent_and_heard(sender: Iterable[str], receiver: Iterable[str]) -> bool:
    """Whether everything that the sender knows to have arrived did so, in its order."""
    rest = iter(receiver)
    return all(digest in rest for digest in sender)
