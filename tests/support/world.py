"""Three people, one node, one relay: everything that a ceremony needs, made by the real commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from support import warm

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from wormsig.node.regtest import RegtestNode

PATIENCE = 60


class Process:
    """A running command whose two streams are collected line by line; `fresh` in an interpreter of its own."""

    def __init__(self, arguments: list[str], env: dict[str, str], *, cwd: Path, fresh: bool = False) -> None:
        self.process: Any
        if fresh or any(name in env for name in warm.NEEDS_A_FRESH_START):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wormsig", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                cwd=cwd,
                text=True,
            )
        else:
            self.process = warm.start(arguments, env, cwd)
        self.out: list[str] = []
        self.err: list[str] = []
        self._arrived = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self._arrived:
                lines.append(line.rstrip("\n"))
                self._arrived.notify_all()
        with self._arrived:
            self._arrived.notify_all()

    def events(self) -> list[dict[str, Any]]:
        """What --json printed so far."""
        return [json.loads(line) for line in list(self.out)]

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until --json printed an event with these fields."""

        def found() -> dict[str, Any] | None:
            for each in self.events():
                if each.get("event") == event and all(each.get(key) == value for key, value in fields.items()):
                    return each
            return None

        end = time.monotonic() + PATIENCE
        with self._arrived:
            while True:
                hit = found()
                if hit is not None:
                    return hit
                alive = any(reader.is_alive() for reader in self._readers)
                if not alive or time.monotonic() > end:
                    raise AssertionError(f"no event {event} {fields}: {self.out} {self.err}")
                self._arrived.wait(0.2)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(5)
        return code

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Person:
    """Somebody with a home, a plain regtest key, and a copy of the wallet."""

    name: str
    home: Path
    key: Path
    env: dict[str, str]
    world: World

    def run(self, *arguments: object, stdin: str = "", check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = warm.run([str(each) for each in arguments], self.env, self.home, stdin=stdin, timeout=PATIENCE)
        assert not check or done.returncode == 0, done.stderr
        return done

    def start(self, *arguments: object, env: dict[str, str] | None = None) -> Process:
        """Start a command; the world ends it when the test does."""
        process = Process([str(each) for each in arguments], {**self.env, **(env or {})}, cwd=self.home)
        self.world.processes.append(process)
        return process

    @property
    def signer(self) -> str:
        """The SPEC of the person's own key."""
        return f"key:{self.key}"


@dataclass
class World:
    """A node, a relay in a process of its own, and people who share a wallet called `family`."""

    node: RegtestNode
    folder: Path
    names: tuple[str, ...] = ("alice", "bob", "carol")
    threshold: int = 2
    policy: str = "wsh(sortedmulti({m},{keys}))"
    script_type: str = "wsh"
    people: dict[str, Person] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    relay_url: str = ""

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def _build(self) -> None:
        relay = Process(["relay", "--port", "0"], self._env(self.folder), cwd=self.folder)
        self.processes.append(relay)
        end = time.monotonic() + PATIENCE
        while not relay.out:
            assert relay.process.poll() is None, relay.err
            assert time.monotonic() < end, "the relay does not start"
            time.sleep(0.02)
        self.relay_url = relay.out[0]
        keys = []
        for name in self.names:
            home = self.folder / name
            home.mkdir()
            person = Person(name, home, home / f"{name}.key", self._env(home), self)
            person.run("key", "new", person.key, "--plain", check=True)
            keys.append(
                person.run("key", "show", person.key, "--script-type", self.script_type, check=True).stdout.strip()
            )
            self.people[name] = person
        descriptor = self.policy.format(m=self.threshold, keys=",".join(keys))
        marks = [key[1:9] for key in keys]
        for person in self.people.values():
            named = [
                part for mark, name in zip(marks, self.names, strict=True) for part in ("--name", f"{mark}={name}")
            ]
            person.run("wallet", "import", "family", "-", *named, stdin=descriptor, check=True)
        self.descriptor = descriptor

    def _env(self, home: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
        return {
            **kept,
            **self.node.environment(),
            "HOME": str(home),
            "WORMSIG_HOME": str(home / "wormsig"),
            "WORMSIG_NETWORK": "regtest",
            "WORMSIG_WALLET": "family",
            "WORMHOLE_RELAY_URL": self.relay_url,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def address(self) -> str:
        """A receive address of the wallet."""
        return self["alice"].run("wallet", "address", "family", check=True).stdout.split()[-1]

    def fund(self, sats: int = 100_000_000) -> None:
        """Give the wallet a confirmed coin."""
        self.node.fund(self.address(), sats)

    def somewhere(self) -> str:
        """An address that is not the wallet's."""
        return str(self.node.wallet().call("getnewaddress"))

    def psbt(self, *payments: str, fee_rate: str = "5", name: str = "pay.psbt") -> Path:
        """A PSBT that `wormsig create` made, in alice's home."""
        alice = self["alice"]
        path = alice.home / name
        payments = payments or (f"{self.somewhere()}:0.3",)
        to = [part for payment in payments for part in ("--to", payment)]
        alice.run("create", *to, "--fee-rate", fee_rate, "-o", path, "--force", check=True)
        return path

    def close(self) -> None:
        """End every process that this world started."""
        for process in self.processes:
            process.kill()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
