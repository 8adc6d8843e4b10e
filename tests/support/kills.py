"""SIGKILL at one exact point of a ceremony: around a commit, a message, a secret's write, a signature, a broadcast.

Nothing of it is in src/: the point is set by a sitecustomize of the test's own, which Python imports before anything
else, and which kills its process at the n-th call. Patient people start again whatever died, with nothing but what
they have: a code that is shown to them, or the ceremony's id. What must hold afterwards stands in `Killed.ends_well`.
"""

from __future__ import annotations

import hashlib
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wormsig.ceremony import coordinator, cosigner
from wormsig.errors import ExitCode
from wormsig.journal.store import Journal
from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path

    from support.faults import Relay
    from support.stage import Stage
    from support.world import Process
    from wormsig.psbt.model import Psbt

LIMITS = (
    "connect=15,entry=30,handshake=10,meeting=5,takeover=0.5,stagger=0.5,heartbeat=1,quiet=4,silence=8,"
    "acknowledge=8,farewell=4,close=2,comeback=40"
)
"""Short enough that the living notice the dead in seconds, long enough for two busy processors."""

ENOUGH = 100.0
"""Seconds for a ceremony in which somebody died, on a busy machine."""

KINDS = ("commit", "send", "hear", "secret", "sign", "broadcast")

HOOKS = """
import importlib.abc, importlib.machinery, os, re, signal, sys

KIND, WHEN, NUMBER = os.environ.get("TEST_KILL", "none before 0").split()
LOG = os.environ.get("TEST_CALLS")
counts = {}

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def note(kind, what, mark):
    if LOG:
        log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(log, f"{kind} {counts[kind]} {what} {mark}\\n".encode())
        os.close(log)

def later():
    from twisted.internet import reactor
    reactor.callLater(0.05, die)  # what was handed over has left this machine

def counted(kind, name, function, soon=die):
    def call(*args, **kwargs):
        what = name(*args)
        if what is None:
            return function(*args, **kwargs)
        counts[kind] = counts.get(kind, 0) + 1
        doomed = KIND == kind and counts[kind] == int(NUMBER)
        note(kind, what, "dies-" + WHEN if doomed else "lives")
        if doomed and WHEN == "before":
            die()
        result = function(*args, **kwargs)
        if doomed:
            soon()
        return result
    return call

def message(data):
    found = re.search(rb'"type":"([a-z]+)"', data)
    kind = found.group(1).decode() if found else "?"
    return None if kind in ("ping", "progress") else kind

def records(journal, *args):
    return "+".join(record.type for record in (args[1] if len(args) == 2 else args[3]))

def patch_store(module):
    cls = module.Journal
    cls.begin = counted("commit", records, cls.begin)
    cls.append = counted("commit", records, cls.append)

def patch_library(module):
    cls = module.Link
    cls.send = counted("send", lambda self, data: message(data), cls.send, later)

def patch_channel(module):
    cls = module.Channel
    cls._heard = counted("hear", lambda self, data: message(data), cls._heard)

def patch_secrets(module):
    cls = module.ResumeSecrets
    for name in ("keep", "settle", "remove", "mark", "unmark"):
        setattr(cls, name, counted("secret", lambda *args, name=name: name, getattr(cls, name)))

def patch_software(module):
    cls = module.SoftwareKey
    cls.sign = counted("sign", lambda *args: "sign", cls.sign)

def patch_client(module):
    cls = module.Node
    cls.send = counted("broadcast", lambda *args: "broadcast", cls.send)

PATCHES = {
    "wormsig.journal.store": patch_store,
    "wormsig.transport.library": patch_library,
    "wormsig.transport.channel": patch_channel,
    "wormsig.journal.secrets": patch_secrets,
    "wormsig.signers.software": patch_software,
    "wormsig.node.client": patch_client,
}

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module
        def patched(module):
            execute(module)
            PATCHES[name](module)
        spec.loader.exec_module = patched
        return spec

sys.meta_path.insert(0, Finder())
"""


def hooks(folder: Path) -> str:
    """A folder for PYTHONPATH with which a child dies as `TEST_KILL` says."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOKS)
    return str(folder)


@dataclass(frozen=True)
class Point:
    """Where somebody dies: `commit after 3` is right after the third commit of that process."""

    who: str
    kind: str
    when: str
    number: int

    def __str__(self) -> str:
        return f"{self.who} {self.kind} {self.when} {self.number}"


@dataclass
class Killed:
    """One ceremony of alice, who signs first, and others, some of whom die on the way.

    Attributes:
        stage: Homes, keys, node. Its own relay is not used.
        relay: The relay.
        psbt: What is signed.
        points: Where somebody dies; the first one of a name is met by their first process, the next by the next.
        names: The cosigners.
        options: Of `wormsig send`.
    """

    stage: Stage
    relay: Relay
    psbt: Psbt
    points: tuple[Point, ...] = ()
    names: tuple[str, ...] = ("bob",)
    options: tuple[str, ...] = ()
    runs: dict[str, list[Process]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    tellings: int = 0

    def __post_init__(self) -> None:
        self._hooks = hooks(self.stage.folder / "hooks")
        self._ahead = {name: [p for p in self.points if p.who == name] for name in ("alice", *self.names)}
        self.runs = {name: [] for name in self._ahead}
        self._path = self.stage.folder / f"killed-{self.psbt.txid[:16]}.psbt"
        self._path.write_bytes(codec.serialize(self.psbt))

    # -- what people do --------------------------------------------------------------------------------------------

    def _start(self, who: str, *arguments: object) -> Process:
        point = self._ahead[who].pop(0) if self._ahead[who] else None
        env = {
            "PYTHONPATH": self._hooks,
            "WORMHOLE_RELAY_URL": f"ws://127.0.0.1:{self.relay.port}/v1",
            "WORMSIG_LIMITS": LIMITS,
            "TEST_CALLS": str(self.calls_of(who)),
        }
        if point is not None:
            env["TEST_KILL"] = f"{point.kind} {point.when} {point.number}"
        process = self.stage.start(who, *arguments, "--json", "-y", env=env)
        self.runs[who].append(process)
        return process

    def calls_of(self, who: str) -> Path:
        """Where somebody's calls are counted."""
        return self.stage.folder / f"calls-{self.psbt.txid[:16]}-{who}"

    def calls(self, who: str, kind: str) -> list[str]:
        """What somebody did of one kind."""
        path = self.calls_of(who)
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(f"{kind} ")]

    def _send(self) -> None:
        to = [part for name in self.names for part in ("--to", name)]
        self._start("alice", "send", self._path, *to, "--signer", self.stage["alice"].signer, *self.options)

    def ceremony(self) -> str | None:
        """Its id, as alice's journal has it; None as long as nothing was kept."""
        with Journal(self.stage["alice"].journal) as journal:
            for row in journal.ceremonies():
                if row.role == "coordinator":
                    first = coordinator.decode(journal.events(row.id)[0].body)
                    if isinstance(first, coordinator.Proposed) and codec.parse(first.psbt).txid == self.psbt.txid:
                        return row.id
        return None

    def _knows(self, name: str) -> bool:
        return bool(self.cosigner_events(name))

    def _code(self, name: str) -> str | None:
        """The newest code for somebody that was not used yet."""
        if not self.runs["alice"]:
            return None
        shown = [
            event["code"]
            for event in self.runs["alice"][-1].events()
            if event["event"] == "code-ready" and event["cosigner"] == name
        ]
        return shown[-1] if shown and shown[-1] not in self.used else None

    def _alice_goes_on(self) -> bool:
        """Whether alice has nothing left to do; else she does it."""
        if not self.runs["alice"]:
            self._send()
            return False
        code = self.runs["alice"][-1].process.poll()
        if code is None:
            return False
        if code == -signal.SIGKILL:
            ceremony = self.ceremony()
            if ceremony is None:
                self._send()
            else:
                self._start("alice", "resume", ceremony[:8])
            return False
        assert code == ExitCode.DONE, self.told()
        return True

    def _cosigner_goes_on(self, name: str) -> bool:
        """The same, for a cosigner."""
        last = self.runs[name][-1] if self.runs[name] else None
        code = last.process.poll() if last is not None else None
        if last is not None and code is None:
            return False
        if code == ExitCode.DONE:
            return True
        assert code in (None, -signal.SIGKILL, ExitCode.TRANSPORT), self.told()
        new_code = self._code(name)
        if new_code is not None:
            self.used.add(new_code)
            self._start(name, "receive", new_code, "--signer", self.stage[name].signer)
        elif code is not None and self._knows(name) and not self._needs_code(last):
            signer = [] if self._signed(name) else ["--signer", self.stage[name].signer]
            self._start(name, "resume", str(self.ceremony())[:8], *signer)
        return False

    @staticmethod
    def _needs_code(last: Process | None) -> bool:
        return last is not None and any("without a code" in line for line in last.err)

    def play(self) -> float:
        """Be patient people until everybody's last command has ended well; how long it took."""
        begun = time.monotonic()
        told_again = 0.0
        while True:
            assert time.monotonic() - begun < ENOUGH, f"somebody hangs\n{self.told()}"
            # Who waits for an alice who believes that she is done says so, and she runs `resume` once more.
            alice = self._alice_goes_on()
            rest = [self._cosigner_goes_on(name) for name in self.names]
            if alice and all(rest):
                break
            if alice and not told_again:
                told_again = time.monotonic() + 3
            if alice and time.monotonic() > told_again:
                ceremony = self.ceremony()
                self.tellings += 1
                assert self.tellings < 4, f"nobody tells them\n{self.told()}"
                self._start("alice", "resume", str(ceremony)[:8])
                told_again = 0.0
            time.sleep(0.03)
        for processes in self.runs.values():
            for process in processes:
                process.wait()
        return time.monotonic() - begun

    # -- what must hold --------------------------------------------------------------------------------------------

    def coordinator_events(self) -> list[Any]:
        """Alice's journal."""
        with Journal(self.stage["alice"].journal) as journal:
            return [coordinator.decode(record.body) for record in journal.events(str(self.ceremony()))]

    def cosigner_events(self, name: str) -> list[Any]:
        """A cosigner's journal."""
        ceremony = self.ceremony()
        path = self.stage[name].journal
        if ceremony is None or not path.exists():
            return []
        with Journal(path) as journal:
            return [cosigner.decode(record.body) for record in journal.events(f"{ceremony}-c")]

    def _signed(self, name: str) -> bool:
        return any(isinstance(event, cosigner.Signed) for event in self.cosigner_events(name))

    def died(self) -> list[str]:
        """What everybody was doing when they died."""
        lines = [
            (name, line)
            for name in self.runs
            for line in (self.calls_of(name).read_text().splitlines() if self.calls_of(name).exists() else [])
        ]
        return [f"{name}: {line}" for name, line in lines if "dies" in line]

    def ends_well(self) -> None:
        """One transaction, the node has it, and nobody signed twice but in the one window, where they were told."""
        told = self.told()
        done = self.runs["alice"][-1].events()[-1]
        assert (done["event"], done["broadcast"], done["txid"]) == ("done", True, self.psbt.txid), told
        assert self.stage.in_mempool(self.psbt.txid), told
        state = coordinator.replay(self.coordinator_events())
        assert state.phase is coordinator.Phase.BROADCAST
        for name in self.names:
            self._cosigner_ended_well(name, told)
        for name in self.runs:
            assert len(self.calls(name, "sign")) <= 1 + len(self._windows(name)), told
        for processes in self.runs.values():
            for process in processes:
                assert not any("Traceback" in line for line in process.err), told

    def _cosigner_ended_well(self, name: str, told: str) -> None:
        events = self.cosigner_events(name)
        state = cosigner.replay(events)
        assert len([event for event in events if isinstance(event, cosigner.Signed)]) == 1, told
        assert cosigner.is_complete(state), told
        assert state.outcome is not None, told
        assert not state.outcome.lie
        # One who knew the outcome already when alice was killed has no reason to speak with her again.
        assert state.outcome.txid == self.psbt.txid, told
        assert self.runs[name][-1].process.returncode == ExitCode.DONE, told
        ident = f"{self.ceremony()}-c\nto the coordinator"
        secret = self.stage[name].folder / "home" / "journal" / "links" / hashlib.sha256(ident.encode()).hexdigest()
        assert not secret.exists(), told
        before = [event for run in self.runs[name] for event in run.events() if event["event"] == "approved-before"]
        assert bool(before) == bool(self._windows(name)), told

    def _windows(self, name: str) -> list[str]:
        """Somebody's deaths after they approved and before the signature was kept, whatever they were doing then."""
        path = self.calls_of(name)
        found: list[str] = []
        approved = False
        for line in path.read_text().splitlines() if path.exists() else []:
            kind, _, what, mark = line.split()
            if kind == "commit" and mark != "dies-before":
                approved = what == "approved" or (approved and what not in {"signed", "reviewed"})
            if "dies" in mark and (approved or in_window(line)):
                found.append(line)
        return found

    def told(self) -> str:
        """What everybody printed, for a failing test."""
        lines = [*map(str, self.points), *self.died()]
        for name, processes in self.runs.items():
            for process in processes:
                lines += [f"--- {name} {process.process.args[3:6]} {process.process.poll()}"]  # type: ignore[index]
                lines += [line[:240] for line in (*process.out, *process.err)]
        return "\n".join(lines)

    def close(self) -> None:
        """End what still runs, after a failure."""
        for processes in self.runs.values():
            for process in processes:
                process.kill()


def in_window(line: str) -> bool:
    """Whether somebody who died there had approved, and had no signature in the journal yet."""
    kind, _, what, mark = line.split()
    if kind == "sign":
        return True
    window = {("approved", "dies-after"), ("signed", "dies-before"), ("proposed+contributed", "dies-before")}
    return kind == "commit" and (what, mark) in window
