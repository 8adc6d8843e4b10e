"""A whole 2-of-3 ceremony on this machine: real mailbox server, real bitcoind, three people as three processes.

It does what the tutorial tells people to type, with the very commands: what is seen here is what they will see.
Everything lives in one folder; processes are ended by whoever runs this, also on Ctrl-C.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import msgspec

from wormsig.errors import NodeError, TransportError, WormsigError
from wormsig.node.regtest import RegtestNode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

PEOPLE = ("alice", "bob", "carol")
COSIGNERS = PEOPLE[1:]
FUNDS_SATS = 150_000_000
STEP_LIMIT = 120.0
CEREMONY_LIMIT = 180.0
_ENDING_LIMIT = 10.0
_CODE = re.compile(r"^\s+(?P<who>\w+)\s+(?:new code: )?(?P<code>[0-9]+-[a-z]+(?:-[a-z]+)+)$")


class DemoError(WormsigError):
    """A step of the demo failed; what the command said was shown before."""


class Outcome(msgspec.Struct, frozen=True):
    """How the demo ended.

    Attributes:
        txid: The transaction, display hex.
        block: The hash of the block that it is in.
        confirmations: At least 1.
    """

    txid: str
    block: str
    confirmations: int


@dataclass
class Demo:
    """The demo's stage; a context manager that ends every process it started.

    Args:
        folder: Where everything is kept; exists and is empty.
        show: Gets each line for the person who watches: who says it (empty for the narrator), and the line.
    """

    folder: Path
    show: Callable[[str, str], None]
    _running: list[subprocess.Popen[str]] = field(default_factory=list)
    _node: RegtestNode | None = None
    _relay_url: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(_ENDING_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._node is not None:
            self._node.stop()

    @property
    def _chain(self) -> RegtestNode:
        assert self._node is not None  # noqa: S101  the first step starts it
        return self._node

    def run(self) -> Outcome:
        """Play the whole ceremony.

        Raises:
            UsageError: There is no bitcoind.
            WormsigError: A step failed.
        """
        self._start_servers()
        self._agree_on_wallet()
        self._fund()
        psbt = self._create()
        txid = self._ceremony(psbt)
        (block,) = self._chain.mine(1)
        depth = int(self._chain.wallet().call("gettxout", txid, 0)["confirmations"])
        if depth < 1:
            raise NodeError(f"transaction {txid} was broadcast, but no block has it")
        return Outcome(txid, block, depth)

    # -- the steps -------------------------------------------------------------------------------------------------

    def _start_servers(self) -> None:
        self.show("", "1. A mailbox server and a bitcoind on regtest, on loopback")
        relay = self._spawn("relay", ["relay", "--port", "0"])
        self._relay_url = _first_line(relay)
        self._node = RegtestNode()
        self.show("", f"   mailbox {self._relay_url}   node {self._node.url}")

    def _agree_on_wallet(self) -> None:
        self.show("", "2. Three keys, one 2-of-3 wallet, and a copy of it for everybody")
        keys = []
        for name in PEOPLE:
            self._home(name).mkdir()
            self._command(name, "key", "new", f"{name}.key", "--plain")
            keys.append(self._command(name, "key", "show", f"{name}.key"))
        descriptor = f"wsh(sortedmulti(2,{','.join(keys)}))"
        names = [part for key, name in zip(keys, PEOPLE, strict=True) for part in ("--name", f"{key[1:9]}={name}")]
        for name in PEOPLE:
            self._command(name, "wallet", "import", "family", descriptor, *names)

    def _fund(self) -> None:
        self.show("", "3. A coin for the wallet, in a block")
        address = self._command("alice", "wallet", "address", "family").split()[-1]
        self._chain.fund(address, FUNDS_SATS)
        self.show("", f"   1.50000000 BTC to {address}")

    def _create(self) -> Path:
        self.show("", "4. Alice makes a PSBT that pays two people")
        miner = self._chain.wallet()
        to = [f"{miner.call('getnewaddress')}:0.3", f"{miner.call('getnewaddress')}:50000 sat"]
        psbt = self._home("alice") / "pay.psbt"
        self._command("alice", "create", "--to", to[0], "--to", to[1], "--fee-rate", "4", "-o", str(psbt), "-q")
        return psbt

    def _ceremony(self, psbt: Path) -> str:
        self.show("", "5. Alice sends it; Bob and Carol receive, review, sign, and see what becomes of it")
        send = self._spawn("alice", ["send", str(psbt), "--to", "bob", "--to", "carol", "-y"])
        codes: dict[str, str] = {}
        everybody = threading.Event()

        def listen(line: str) -> None:
            self.show("alice", line)
            match = _CODE.match(line)
            if match and match["who"] in COSIGNERS:
                codes[match["who"]] = match["code"]
                if len(codes) == len(COSIGNERS):
                    everybody.set()

        listener = self._follow(send, listen)
        if not everybody.wait(STEP_LIMIT) or send.poll() is not None:
            raise TransportError("no codes came")
        receivers = {
            name: self._spawn(name, ["receive", codes[name], "--signer", f"key:{name}.key", "-y"]) for name in COSIGNERS
        }
        followers = [
            self._follow(process, lambda line, name=name: self.show(name, line))  # type: ignore[misc]
            for name, process in receivers.items()
        ]
        txid = _result(send, "wormsig send")
        for name, process in receivers.items():
            _result(process, f"wormsig receive ({name})")
        for thread in (listener, *followers):
            thread.join(_ENDING_LIMIT)
        return txid

    # -- processes ---------------------------------------------------------------------------------------------------

    def _home(self, name: str) -> Path:
        return self.folder / name

    def _environment(self, name: str) -> dict[str, str]:
        node = self._node.environment() if self._node is not None else {}
        env = {key: value for key, value in os.environ.items() if not key.startswith(("WORMSIG_", "WORMHOLE_"))}
        return {
            **env,
            **node,
            "WORMSIG_HOME": str(self._home(name) / "wormsig"),
            "WORMSIG_NETWORK": "regtest",
            "WORMSIG_WALLET": "family" if (self._home(name) / "wormsig" / "wallets").is_dir() else "",
            "WORMHOLE_RELAY_URL": self._relay_url,
            "PYTHONUNBUFFERED": "1",
        }

    def _spawn(self, name: str, arguments: list[str]) -> subprocess.Popen[str]:
        home = self._home(name)
        process = subprocess.Popen(
            [sys.executable, "-m", "wormsig", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(name),
            cwd=home if home.is_dir() else self.folder,
            start_new_session=True,  # Ctrl-C reaches us, and we end it
        )
        self._running.append(process)
        return process

    def _command(self, name: str, *arguments: str) -> str:
        """Run a command to its end; what it printed on standard output."""
        self.show(name, f"$ wormsig {' '.join(_short(each) for each in arguments)}")
        process = self._spawn(name, list(arguments))
        try:
            out, err = process.communicate(timeout=STEP_LIMIT)
        except subprocess.TimeoutExpired:
            raise DemoError(f"wormsig {arguments[0]} did not end within {STEP_LIMIT:.0f} s") from None
        if process.returncode:
            for line in err.splitlines():
                self.show(name, line)
            raise DemoError(f"wormsig {arguments[0]} failed with exit code {process.returncode}")
        return out.strip()

    @staticmethod
    def _follow(process: subprocess.Popen[str], listen: Callable[[str], None]) -> threading.Thread:
        def read() -> None:
            assert process.stderr is not None  # noqa: S101  it was opened as a pipe
            for line in process.stderr:
                listen(line.rstrip("\n"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread


def _short(argument: str) -> str:
    quoted = f"'{argument}'" if " " in argument or "(" in argument else argument
    return quoted if len(quoted) <= 70 else f"{quoted[:60]}…{quoted[-6:]}"


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101  it was opened as a pipe
    line = process.stdout.readline().strip()
    if not line:
        raise TransportError("the mailbox server did not start")
    return line


def _result(process: subprocess.Popen[str], what: str) -> str:
    assert process.stdout is not None  # noqa: S101  it was opened as a pipe
    try:
        code = process.wait(CEREMONY_LIMIT)
    except subprocess.TimeoutExpired:
        raise DemoError(f"{what} did not end within {CEREMONY_LIMIT:.0f} s") from None
    if code:
        raise DemoError(f"{what} failed with exit code {code}")
    return process.stdout.read().strip()
