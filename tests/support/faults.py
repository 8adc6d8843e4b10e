"""Ceremonies while something breaks: the relay, the line of one side, the clock, the disk.

A `Relay` is `wormsig relay` in a process of its own that can be killed and comes back at the same port. A `Play` is one
ceremony of two commands, each behind a bad line of its own, with patient people: a cosigner whose command ended uses
the next code that the coordinator shows. What must hold whatever broke stands in `Play.ends_well`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from support.proxy import Proxy
from support.stage import Sending, cosigner_events, error_line
from support.world import Process
from wormsig.ceremony import cosigner
from wormsig.errors import ExitCode
from wormsig.psbt import codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from support.stage import Stage
    from wormsig.psbt.model import Psbt

BRISK = (
    "connect=15,entry=20,handshake=8,replay=3,heartbeat=1,quiet=4,silence=10,acknowledge=6,farewell=5,close=2"
    ",meeting=6,stagger=1,takeover=2,comeback=12"
)
"""Limits for lines that break: on a busy machine still long enough for the living."""

ENOUGH = 75.0
"""Seconds in which whatever happens under BRISK has to be over."""


class Relay:
    """`wormsig relay` in a process of its own. A context manager.

    Args:
        folder: Its home.
        db: Keep its mailboxes in a file; else they die with it.
    """

    def __init__(self, folder: Path, *, db: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.db = folder / "relay.sqlite" if db else None
        self._process: Process | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, or start it again where it was."""
        where = [] if self.db is None else ["--db", str(self.db)]
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "WORMSIG_HOME": str(self._folder / "home")}
        self._process = Process(["relay", "--port", str(self.port), *where], env, cwd=self._folder)
        end = time.monotonic() + 30
        while not self._process.out:
            assert self._process.process.poll() is None, self._process.err
            assert time.monotonic() < end, "the relay does not start"
            time.sleep(0.02)
        self.port = int(self._process.out[0].rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing is tidied."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Killed, and back after a moment."""
        self.kill()
        time.sleep(0.2)
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.process.pid

    def kept(self) -> dict[str, int]:
        """How many rows of each kind the database holds."""
        assert self.db is not None
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
            return {
                table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  names of our own
                for table in ("nameplates", "mailboxes", "messages")
            }


@dataclass
class Play:
    """One ceremony of alice, who signs first, and bob, who completes it; both behind bad lines. A context manager.

    Attributes:
        stage: Homes, keys, node. Its own relay is not used.
        relay: The relay.
        psbt: What is signed.
        limits: Both sides' WORMSIG_LIMITS.
        tries: How often bob runs `receive`.
        machines: What else stands in somebody's environment, by name; bob's only counts the first time.
    """

    stage: Stage
    relay: Relay
    psbt: Psbt
    limits: str = BRISK
    tries: int = 4
    machines: dict[str, dict[str, str]] = field(default_factory=dict)
    receives: list[Process] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self.alice = self._stack.enter_context(Proxy(self.relay.port))
        self.bob = self._stack.enter_context(Proxy(self.relay.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self.send.process, *self.receives) if hasattr(self, "send") else ():
            process.kill()
        self._stack.close()

    def begin(self, *options: object) -> None:
        """`wormsig send`, alice's signature first."""
        env = self.environment("alice")
        path = self.stage.folder / f"play-{self.psbt.txid[:12]}.psbt"
        path.write_bytes(codec.serialize(self.psbt))
        command = ["send", path, "--json", "-y", "--to", "bob", "--signer", self.stage["alice"].signer, *options]
        self.send = Sending(self.stage, self.psbt, path, self.stage.start("alice", *command, env=env))

    def receive(self, code: str) -> Process:
        """`wormsig receive` as bob."""
        self.used.add(code)
        self.receives.append(self.stage.receive("bob", code, env=self.environment("bob")))
        self.machines.pop("bob", None)
        return self.receives[-1]

    def environment(self, who: str) -> dict[str, str]:
        """What is special in somebody's environment."""
        line = self.alice if who == "alice" else self.bob
        return {"WORMHOLE_RELAY_URL": line.url, "WORMSIG_LIMITS": self.limits, **self.machines.get(who, {})}

    def next_code(self) -> str:
        """Alice's next code that nobody has used."""
        end = time.monotonic() + ENOUGH
        while not (fresh := [code for code in self.codes() if code not in self.used]):
            assert self.send.process.process.poll() is None, self.told()
            assert time.monotonic() < end, self.told()
            time.sleep(0.03)
        return fresh[-1]

    def codes(self) -> list[str]:
        """Every code that alice has shown so far."""
        return [event["code"] for event in self.send.process.events() if event["event"] == "code-ready"]

    def play(self) -> None:
        """Be patient people until alice's command has ended and bob's, too."""
        end = time.monotonic() + ENOUGH
        sender = self.send.process.process
        while sender.poll() is None or (self.receives and self.receives[-1].process.poll() is None):
            assert time.monotonic() < end, self.told()
            codes = self.codes()
            # Whose command ended well has heard the outcome, and does not come again while alice is still ending hers.
            idle = not self.receives or self.receives[-1].process.poll() not in (None, ExitCode.DONE)
            if idle and codes and codes[-1] not in self.used and len(self.receives) < self.tries:
                self.receive(codes[-1])
            time.sleep(0.03)
        for process in (self.send.process, *self.receives):
            process.wait()

    def told(self) -> str:
        """What everybody printed, for a failing test."""
        lines = [f"alice {self.send.process.process.poll()}", *self.send.process.out[1:], *self.send.process.err]
        for process in self.receives:
            lines += [f"bob {process.process.poll()}", *process.out, *process.err]
        return "\n".join(line[:300] for line in lines)

    def ends_well(self, *, asked: int = 1, full_disk: bool = False) -> None:
        """The transaction is in the mempool, bob was asked once and signed once, and whoever failed said why.

        Args:
            asked: How often at most: a process that ends between an approval and its signature costs one more.
            full_disk: Bob's journal may have been full after his answer had gone out.
        """
        told = self.told()
        assert self.send.process.process.returncode == ExitCode.DONE, told
        assert self.send.process.events()[-1]["txid"] == self.psbt.txid
        assert self.stage.in_mempool(self.psbt.txid), told
        self.signed_once(asked)
        for process in (self.send.process, *self.receives):
            spoken(process)
        last = self.receives[-1].process.returncode
        assert last in (ExitCode.DONE, ExitCode.TRANSPORT, *([ExitCode.STORAGE] if full_disk else [])), told
        if last == ExitCode.DONE:
            assert self.receives[-1].events()[-1]["txid"] == self.psbt.txid

    def signed_once(self, asked: int = 1) -> None:
        """Bob's journal is whole, and in it one approval (or as many as there may be) and one signature."""
        events = self.bobs_events()
        assert 1 <= len([e for e in events if isinstance(e, cosigner.Approved)]) <= asked, events
        assert len([e for e in events if isinstance(e, cosigner.Signed)]) == 1, events

    @property
    def ceremony(self) -> str:
        """Its id."""
        return str(self.send.process.wait_for("started")["ceremony"])

    def bobs_events(self) -> list[Any]:
        """What bob's journal holds of this ceremony."""
        return cosigner_events(self.stage["bob"], self.ceremony)


FAILURES = {ExitCode.REFUSED, ExitCode.PEER, ExitCode.TRANSPORT, ExitCode.THRESHOLD, ExitCode.STORAGE}


def spoken(process: Process) -> None:
    """It ended as documented: no traceback, and one line that says why when it failed."""
    code = process.process.returncode
    assert not any("Traceback" in line for line in process.err), process.err
    if code == ExitCode.DONE:
        assert not any(line.startswith("error:") for line in process.err), process.err
        return
    assert code in FAILURES, (code, process.err)
    assert len(error_line(process)) > len("error: ")
    assert len([line for line in process.err if line.startswith("hint:")]) <= 1


def at_once(jobs: list[Callable[[], object]], width: int = 6) -> None:
    """Run jobs, so many at a time: most of a ceremony with faults is waiting. The first failure is the test's."""
    waiting, failures, lock = list(jobs), list[BaseException](), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting or failures:
                    return
                job = waiting.pop(0)
            try:
                job()
            except BaseException as error:  # noqa: BLE001  raised again by the test's own thread
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(width)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# Commands on a machine where something is wrong. Nothing of it is in src/: the hooks live in a sitecustomize of the
# test's own, which Python imports before anything else.

HOOKS = """
import os, sqlite3, time

shift = os.environ.get("TEST_CLOCK")  # a file with the seconds by which the wall clock is wrong at the moment
if shift:
    true_time = time.time
    def wrong_time():
        try:
            with open(shift) as f:
                return true_time() + float(f.read() or 0)
        except OSError:
            return true_time()
    time.time = wrong_time

pages = os.environ.get("TEST_JOURNAL_PAGES")  # how many pages any SQLite database may get
if pages:
    true_connect = sqlite3.connect
    def small(*args, **options):
        db = true_connect(*args, **options)
        db.execute(f"PRAGMA max_page_count = {int(pages)}")
        return db
    sqlite3.connect = small
"""


def hooks(folder: Path) -> str:
    """A folder for PYTHONPATH that makes a child's clock and disk worse, as its environment asks."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOKS)
    return str(folder)


LIMITED = (
    "import ctypes, os, resource, sys\n"
    "size, writable = int(sys.argv[1]), sys.argv[2] == 'writable'\n"
    "if size:\n"
    "    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
    "if not writable and os.geteuid() == 0:\n"
    # Root writes wherever it likes, but for this: without these three rights its folders' modes count again.
    "    libc = ctypes.CDLL(None, use_errno=True)\n"
    "    for right in (1, 2, 3):\n"
    "        if libc.prctl(24, right, 0, 0, 0):\n"
    "            raise OSError(ctypes.get_errno(), 'prctl')\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'wormsig', *sys.argv[3:]])\n"
)


def limited(
    stage: Stage, who: str, *arguments: object, file_size: int = 0, writable: bool = True, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """A command that may write files of so many bytes only, or that is bound by its folders' modes, even as root."""
    person = stage[who]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(file_size), "writable" if writable else "bound", *map(str, arguments)],
        env={**person.env, **env},
        cwd=person.folder,
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        check=False,
    )
