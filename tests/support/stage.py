"""Whole commands against hostile peers: real `wormsig send` and `wormsig receive` processes, a real mailbox server and
a real node, and in this process somebody at the other end who can say anything.

Wallets, keys and coins are made in this process, which is quick. The relay runs on pytest's reactor, so tests are
coroutines: they wait for processes in threads (`finished`, `event`), never by blocking.
"""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.threads import deferToThread

from support.hostile import Out, Scene, key_file, scripts_of
from support.world import Process
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput, parse_transaction
from wormsig.ceremony import coordinator, cosigner, messages, wire
from wormsig.errors import ExitCode, WormsigError
from wormsig.journal.store import Journal
from wormsig.psbt import codec, creator, updater
from wormsig.psbt.model import partial_sigs
from wormsig.transport.connector import Connector
from wormsig.transport.limits import Limits
from wormsig.transport.relay import start_relay
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt
    from wormsig.transport.channel import Channel, Received

SATS = 10_000_000
QUICK = Limits(connect=15, pairing=60, entry=60, handshake=10, heartbeat=1, close=2, farewell=10, acknowledge=30)
HURRY = "connect=15,handshake=10,heartbeat=1,quiet=10,silence=30,acknowledge=30,farewell=5,close=5,comeback=4"
ALERT = f"{HURRY},quiet=2,silence=4"
"""For those who are to notice soon that somebody fell silent; on a busy machine also the living may."""

PATIENCE = 120
NODE_NAMES = ("WORMSIG_RPC_URL", "WORMSIG_RPC_COOKIE")


def act(test: Any) -> Any:
    """A test that is a coroutine and fails, rather than hangs, when somebody in it waits for ever."""

    @functools.wraps(test)
    async def limited(*args: Any, **fixtures: Any) -> None:
        await ensureDeferred(test(*args, **fixtures)).addTimeout(PATIENCE, reactor)

    return pytest_twisted.ensureDeferred(limited)


@dataclass
class Person:
    """Somebody's machine: a home with the wallet, a key file, and the environment of their commands."""

    name: str
    folder: Path
    env: dict[str, str]

    @property
    def signer(self) -> str:
        return f"key:{self.folder / 'person.key'}"

    @property
    def journal(self) -> Path:
        return self.folder / "home" / "journal" / "ceremonies.sqlite3"


@dataclass
class Stage:
    """A relay, a node, three people of a 2-of-3 wallet, and everything that they run. A context manager."""

    node: RegtestNode
    folder: Path
    scene: Scene = field(default_factory=Scene)
    processes: list[Process] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    coins: int = 0

    def __enter__(self) -> Self:
        self.relay = pytest_twisted.blockon(ensureDeferred(start_relay(reactor)))
        self.people = {person.name: self._person(person) for person in self.scene.people}
        self.psbt()  # the first coins take seconds, during which nobody here would answer
        return self

    def __exit__(self, *failure: object) -> None:
        for process in self.processes:
            process.kill()
        for channel in self.channels:
            pytest_twisted.blockon(ensureDeferred(channel.close()))
        pytest_twisted.blockon(ensureDeferred(self.relay.stop()))

    def _person(self, who: Any) -> Person:
        folder = self.folder / who.name
        folder.mkdir()
        (folder / "person.key").write_bytes(key_file(who))
        Registry(folder / "home" / "wallets").save(self.scene.wallet)
        return Person(who.name, folder, self.environment(folder))

    def environment(self, folder: Path, relay_url: str | None = None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
        return {
            **kept,
            **self.node.environment(),
            "HOME": str(folder),
            "WORMSIG_HOME": str(folder / "home"),
            "WORMSIG_WALLET": self.scene.wallet.name,
            "WORMSIG_LIMITS": HURRY,
            "WORMHOLE_RELAY_URL": relay_url or self.relay.url,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    # -- PSBTs -----------------------------------------------------------------------------------------------------

    def psbt(self, coins: int = 1, outputs: Sequence[Out] | None = None, *, fee: int = 2_000) -> Psbt:
        """A PSBT over fresh confirmed coins of the wallet, reviewed without a finding."""
        deriver = self.scene.deriver
        spent = []
        for _ in range(coins):
            script = deriver.script(0, self.coins)
            funding = self.node.fund(deriver.address(0, self.coins), SATS)
            raw = bytes.fromhex(self.node.wallet().call("gettransaction", funding.txid)["hex"])
            spent.append((script, parse_transaction(raw), raw, funding.index))
            self.coins += 1
        paid = 3_000_000 + self.coins  # the same amount to the same recipient would be a finding (C24)
        outputs = outputs or (Out(paid), Out(coins * SATS - paid - fee, place=(1, self.coins)))
        psbt = creator.create(
            [TxInput(OutPoint(tx.txid_bytes, index), b"", 0xFFFFFFFD) for _, tx, _, index in spent],
            [TxOutput(out.sats, self.scene.script_of(out)) for out in outputs],
        )
        for number, (script, tx, raw, index) in enumerate(spent):
            psbt = updater.with_previous_tx(psbt, number, raw)
            psbt = updater.with_witness_utxo(psbt, number, tx.outputs[index])
            psbt = updater.with_input_scripts(psbt, number, **scripts_of(script))
        for number, out in enumerate(outputs):
            if out.place is not None:
                psbt = updater.with_output_scripts(psbt, number, **scripts_of(deriver.script(*out.place)))
        return psbt

    def sign(self, psbt: Psbt, *names: str, **how: Any) -> Psbt:
        """With these people's signatures, no questions asked."""
        return self.scene.sign(psbt, *names, **how)

    def signature(self, psbt: Psbt, name: str, index: int = 0, **how: Any) -> tuple[bytes, bytes]:
        """Somebody's public key and signature on one input."""
        ((pubkey, signature),) = partial_sigs(self.sign(psbt, name, **how), index).items()
        return pubkey, signature

    # -- commands --------------------------------------------------------------------------------------------------

    def start(self, who: str, *arguments: object, env: Any = None, node: bool = True, fresh: bool = False) -> Process:
        """Start a command as somebody; `fresh` in an interpreter of its own."""
        person = self[who]
        full = {**person.env, **(env or {})}
        if not node:
            full = {name: value for name, value in full.items() if name not in NODE_NAMES}
        process = Process([str(each) for each in arguments], full, cwd=person.folder, fresh=fresh)
        self.processes.append(process)
        return process

    def send(self, psbt: Psbt, *arguments: object, **how: Any) -> Sending:
        """`wormsig send` as alice, with `--json -y` and the codes going to bob and carol unless said otherwise."""
        path = self.folder / f"pay-{len(self.processes)}.psbt"
        path.write_bytes(codec.serialize(psbt))
        return Sending(self, psbt, path, self.start("alice", "send", path, "--json", "-y", *arguments, **how))

    def receive(self, who: str, code: str, *arguments: object, **how: Any) -> Process:
        """`wormsig receive` as somebody who signs, with `--json -y`."""
        return self.start(who, "receive", code, "--json", "-y", "--signer", self[who].signer, *arguments, **how)

    # -- hostile peers ---------------------------------------------------------------------------------------------

    def connector(self, role: Any, **options: Any) -> Connector:
        return Connector(reactor, self.relay.url, role=role, **{"limits": QUICK, **options})

    async def join(self, code: str, **options: Any) -> Mallory:
        """Somebody in a cosigner's place."""
        channel = await (await self.connector("cosigner", **options).use_code(code)).paired()
        self.channels.append(channel)
        return Mallory(channel)

    async def offer(self, who: str, *arguments: object, **how: Any) -> tuple[Mallory, Process]:
        """Somebody in the coordinator's place, and the genuine `wormsig receive` at the other end."""
        pending = await self.connector("coordinator").allocate()
        process = self.receive(who, pending.code, *arguments, **how)
        channel = await pending.paired()
        self.channels.append(channel)
        return Mallory(channel), process

    def in_mempool(self, txid: str) -> bool:
        return txid in self.node.rpc.call("getrawmempool")


@dataclass
class Sending:
    """A `wormsig send` that runs."""

    stage: Stage
    psbt: Psbt
    path: Path
    process: Process

    async def event(self, name: str, **fields: object) -> dict[str, Any]:
        found: dict[str, Any] = await deferToThread(self.process.wait_for, name, **fields)
        return found

    async def code(self, who: str, *, replaces: bool = False) -> str:
        found = await self.event("code-ready", cosigner=who, replaces=replaces)
        return str(found["code"])

    async def join(self, who: str, **options: Any) -> Mallory:
        """Take a cosigner's code and place."""
        return await self.stage.join(await self.code(who), **options)

    async def ends(self, code: ExitCode) -> dict[str, Any]:
        """Wait for the end; the last object."""
        await finished(self.process, code)
        return self.process.events()[-1]

    async def refused(self, code: ExitCode, *words: str) -> None:
        """It failed, said why in one line, and nothing was taken, written, or sent to the node."""
        last = await self.ends(code)
        assert last["event"] == "failed"
        assert last["transaction"] is None
        assert not last["broadcast"]
        error = error_line(self.process)
        for word in words:
            assert word in error, self.process.err
        self.untouched()

    def untouched(self) -> None:
        """No signature but those that were there before: not in the file, the output, the journal, the mempool."""
        raw = codec.serialize(self.psbt)
        assert self.path.read_bytes() == raw
        last = self.process.events()[-1]
        if "psbt" in last:
            assert codec.parse(codec.from_any(last["psbt"])) == self.psbt
        taken = [event for event in self.events() if isinstance(event, coordinator.Contributed)]
        assert not taken
        assert not self.stage.in_mempool(self.psbt.txid)

    def events(self) -> list[Any]:
        """The journal's events of this ceremony."""
        started = next(event for event in self.process.events() if event["event"] == "started")
        with Journal(self.stage["alice"].journal) as journal:
            return [coordinator.decode(record.body) for record in journal.events(started["ceremony"])]


@dataclass
class Mallory:
    """Whoever sits at the other end of a genuine command's channel."""

    channel: Channel
    ceremony: str = ""

    # as a cosigner

    async def proposal(self) -> Psbt:
        """What the coordinator proposes."""
        received = await self.receive(messages.Proposal)
        self.ceremony = received.letter.ceremony
        assert received.obj is not None
        return codec.parse(received.obj)

    async def answer(self, data: Psbt | bytes, form: Any = "psbt") -> messages.Judged:
        """Answer, and what the coordinator says of it."""
        raw = data if isinstance(data, bytes) else codec.serialize(data)
        await self.channel.deliver(messages.Contribution(self.ceremony, wire.reference(raw), form), raw)
        judged = (await self.receive(messages.Judged)).letter
        assert isinstance(judged, messages.Judged)
        return judged

    def listen(self) -> None:
        """From now on acknowledge whatever comes, as an honest peer does."""

        async def listening() -> None:
            with contextlib.suppress(WormsigError):
                while True:
                    self.channel.acknowledge(await self.channel.receive())

        ensureDeferred(listening())

    async def outcome(self) -> messages.Outcome:
        """How the coordinator says it ended."""
        letter = (await self.receive(messages.Outcome)).letter
        assert isinstance(letter, messages.Outcome)
        return letter

    async def receive(self, kind: Any) -> Received:
        """The next letter, which has to be of this kind, acknowledged."""
        received = await self.channel.receive()
        assert isinstance(received.letter, kind), received.letter
        self.channel.acknowledge(received)
        return received

    # as a coordinator

    async def propose(self, psbt: Psbt | bytes, **changes: Any) -> None:
        """Propose what one likes, with whatever one likes said about it."""
        raw = psbt if isinstance(psbt, bytes) else codec.serialize(psbt)
        values: dict[str, Any] = {
            "ceremony": "5e" * 16,
            "network": "regtest",
            "wallet": None,
            "threshold": 2,
            "total": 3,
            "psbt": wire.reference(raw),
            "unsigned_txid": "ab" * 32 if isinstance(psbt, bytes) else psbt.txid,
            "sent_at": None,
        }
        letter = messages.Proposal(**{**values, **changes})
        self.ceremony = letter.ceremony
        await self.channel.deliver(letter, raw)

    async def contribution(self) -> Psbt:
        """What the cosigner answers; what it says of its progress is passed over."""
        while True:
            received = await self.channel.receive()
            if not isinstance(received.letter, messages.Progress):
                break
        assert isinstance(received.letter, messages.Contribution), received.letter
        assert received.obj is not None
        self.channel.acknowledge(received)
        return codec.parse(received.obj)

    async def decline(self) -> str:
        """Why the cosigner declines."""
        while True:
            received = await self.channel.receive()
            if not isinstance(received.letter, messages.Progress):
                break
        assert isinstance(received.letter, messages.Decline), received.letter
        self.channel.acknowledge(received)
        return received.letter.reason

    async def tell(self, result: Any, transaction: bytes | None, txid: str | None, **changes: Any) -> None:
        """An outcome."""
        letter = messages.Outcome(
            ceremony=changes.get("ceremony", self.ceremony),
            result=result,
            txid=txid,
            transaction=wire.reference(transaction) if transaction else None,
            reason=changes.get("reason", ""),
            head=changes.get("head", "00" * 32),
        )
        await self.channel.deliver(letter, transaction)


async def together(*scenes: Coroutine[Any, Any, Any]) -> None:
    """Play several scenes at once: their commands start on every core. The first failure is the test's."""
    results = await DeferredList([ensureDeferred(scene) for scene in scenes], consumeErrors=True)
    for worked, result in results:
        if not worked:
            result.raiseException()


async def finished(process: Process, code: ExitCode) -> None:
    """Wait for a command's end, which has to be this one, told in one line at most."""
    ended = await deferToThread(process.wait)
    assert ended == code, (ended, [line[:300] for line in process.out], process.err)
    assert not any("Traceback" in line for line in process.err), process.err
    errors = [line for line in process.err if line.startswith("error:")]
    hints = [line for line in process.err if line.startswith("hint:")]
    assert len(errors) == (code != ExitCode.DONE), process.err
    assert len(hints) <= 1


def error_line(process: Process) -> str:
    (line,) = [line for line in process.err if line.startswith("error:")]
    return line


def cosigner_events(person: Person, ceremony: str = "") -> list[Any]:
    """What a cosigner's journal holds, of one ceremony or of all."""
    with Journal(person.journal) as journal:
        rows = [row for row in journal.ceremonies() if row.role == "cosigner" and row.id.startswith(ceremony)]
        return [cosigner.decode(record.body) for row in rows for record in journal.events(row.id)]


def events_named(process: Process, name: str) -> list[dict[str, Any]]:
    return [event for event in process.events() if event["event"] == name]


def nothing_signed(person: Person) -> None:
    """No signature of this person, in any ceremony of theirs."""
    assert not any(isinstance(event, cosigner.Signed) for event in cosigner_events(person))
