"""A whole ceremony on loopback: `wormsig send` and `receive`, against the same by hand with the stock tools.

    ceremony.py [--rounds 5] [--spend 2of3 --spend 3of5 --spend 15of15]

Both start with the same thing, a funded unsigned PSBT in a file at the coordinator, and the clock stops with the txid.
By hand means, for each cosigner, all in parallel: `wormhole send` and `wormhole receive`, walletprocesspsbt through
bitcoin-cli, `wormhole send` and `receive` back; then combinepsbt, finalizepsbt, testmempoolaccept and
sendrawtransaction through bitcoin-cli. Codes travel in no time: no human is in it. One mailbox server, one transit
relay and one regtest node serve both; a round runs each contender once. CPU is that of all processes to their end,
start-up included, and of servers and node.

The goal is half of the wall and half of the CPU time, and a third of both for fifteen. Ends with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness import BIN, Cost, Meter, Servers, compare, cpu_of, pipe, wormhole_servers
from wormsig.bitcoin.keys import ExtendedPrivateKey, parse_path
from wormsig.node.regtest import RegtestNode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

GOALS = {"2of3": 0.5, "3of5": 0.5, "15of15": 1 / 3}
MANY = 10  # cosigners from which on a few rounds are enough: one of them takes minutes
FEW_ROUNDS = 2
BY_HAND, OURS = "wormhole + bitcoin-cli, by hand", "wormsig send + receive"
PATH = "48h/1h/0h/2h"
COIN_SATS = 1_000_000
NAMES = [f"member{number:02}" for number in range(15)]
CODE = re.compile(r"\b\d+(?:-[a-z]+){2,}\b")


@dataclass(frozen=True)
class Cosigner:
    """One key of the wallet, and where each contender finds it.

    Attributes:
        name: As the wallet calls it.
        master: The key itself.
        home: Its WORMSIG_HOME, with the agreed wallet in the registry.
        key_file: Its plain key file.
        core_wallet: The node wallet that holds its private descriptor.
    """

    name: str
    master: ExtendedPrivateKey
    home: Path
    key_file: Path
    core_wallet: str


@dataclass(frozen=True)
class Stage:
    """Everything that stands ready before a clock starts."""

    node: RegtestNode
    servers: Servers
    node_pid: int
    cosigners: tuple[Cosigner, ...]
    coordinator_home: Path

    def environment(self, home: Path) -> dict[str, str]:
        """What a person's shell has set."""
        return {
            **os.environ,
            **self.node.environment(),
            "WORMSIG_HOME": str(home),
            "WORMSIG_WALLET": "bench",
            "WORMHOLE_RELAY_URL": self.servers.mailbox,
        }

    def cli(self, meter: Meter, *lines: str, wallet: str | None = None) -> str:
        """bitcoin-cli with a method and its arguments; they go through standard input, one a line."""
        argv = [self.node.binary.with_name("bitcoin-cli"), "-regtest", f"-datadir={self.node.datadir}"]
        argv += [f"-rpcport={self.node.port}", *([f"-rpcwallet={wallet}"] if wallet else []), "-stdin", lines[0]]
        return meter.run(argv, text="\n".join(lines[1:]) + "\n")


def descriptor(node: RegtestNode, masters: list[ExtendedPrivateKey], threshold: int, private: int | None) -> str:
    """The wallet's descriptor with checksum; key number `private` as a private one."""
    keys = []
    for number, master in enumerate(masters):
        account = master.derive(parse_path(PATH))
        text = account.text() if number == private else account.neuter().text()
        keys.append(f"[{master.fingerprint.hex()}/{PATH}]{text}/<0;1>/*")
    text = f"wsh(sortedmulti({threshold},{','.join(keys)}))"
    return f"{text}#{node.rpc.call('getdescriptorinfo', text)['checksum']}"


def node_wallet(node: RegtestNode, name: str, text: str, *, private: bool) -> None:
    """A wallet of the node with one active descriptor."""
    node.rpc.call("createwallet", wallet_name=name, blank=True, disable_private_keys=not private)
    item = {"desc": text, "active": True, "timestamp": "now", "range": [0, 999]}
    answer = node.wallet(name).call("importdescriptors", [item])
    if not answer[0]["success"]:
        raise SystemExit(f"importdescriptors: {answer}")


def prepare(node: RegtestNode, servers: Servers, folder: Path, threshold: int, count: int) -> Stage:
    """Keys, node wallets, key files and registries; `threshold` cosigners sign."""
    masters = [ExtendedPrivateKey.from_seed(hashlib.sha256(b"ceremony %d" % i).digest(), False) for i in range(count)]
    public = descriptor(node, masters, threshold, None)
    node_wallet(node, "coordinator", public, private=False)
    names = [f"--name={master.fingerprint.hex()}={name}" for master, name in zip(masters, NAMES, strict=False)]
    untimed = Meter()

    def register(home: Path) -> None:
        env = {**os.environ, "WORMSIG_HOME": str(home)}
        argv = [BIN / "wormsig", "wallet", "import", "bench", "-", "--network", "regtest", *names]
        untimed.run(argv, text=public, env=env)

    cosigners = []
    for number in range(1, threshold + 1):  # the coordinator's own key, number 0, stays out of it
        name, master = NAMES[number % count], masters[number % count]
        home, key_file = folder / name, folder / f"{name}.key"
        register(home)
        argv = [BIN / "wormsig", "key", "import", key_file, "--plain", "--network", "regtest"]
        untimed.run(argv, text=master.text(), env={**os.environ, "WORMSIG_HOME": str(home)})
        node_wallet(node, f"core-{name}", descriptor(node, masters, threshold, number % count), private=True)
        cosigners.append(Cosigner(name, master, home, key_file, f"core-{name}"))
    register(folder / "coordinator")
    pid = int((node.datadir / "regtest" / "bitcoind.pid").read_text())
    return Stage(node, servers, pid, tuple(cosigners), folder / "coordinator")


def unsigned_psbt(stage: Stage) -> str:
    """A fresh coin of the wallet, and an unsigned PSBT in base64 that spends it."""
    wallet = stage.node.wallet("coordinator")
    coin = stage.node.fund(wallet.call("getnewaddress"), COIN_SATS)
    target = stage.node.wallet().call("getnewaddress")
    inputs = [{"txid": coin.txid, "vout": coin.index}]
    options: dict[str, Any] = {"add_inputs": False, "fee_rate": 10}
    psbt: str = wallet.call("walletcreatefundedpsbt", inputs, [{target: Decimal("0.006")}], 0, options)["psbt"]
    return psbt


def first_match(lines: Iterator[str], pattern: re.Pattern[str]) -> str:
    """The first match in a stream of lines."""
    for line in lines:
        found = pattern.search(line)
        if found:
            return found[0]
    raise SystemExit(f"a process ended without showing {pattern.pattern}")


def drain(process: subprocess.Popen[str]) -> None:
    """Read standard error to its end, so that the process never waits for us."""
    threading.Thread(target=pipe(process.stderr).read, daemon=True).start()


def pass_file(stage: Stage, meter: Meter, source: Path, target: Path, later: list[Callable[[], object]]) -> None:
    """`wormhole send`, its code, `wormhole receive`; returns when the file is there."""
    base: list[object] = [BIN / "wormhole", "--relay-url", stage.servers.mailbox]
    base += ["--transit-helper", stage.servers.transit]
    sender = meter.start([*base, "send", "--hide-progress", "--no-listen", source])
    code = first_match(pipe(sender.stderr), CODE)
    drain(sender)
    meter.run([*base, "receive", "--hide-progress", "--no-listen", "--accept-file", "-o", target, code])
    later.append(lambda: meter.finish(sender))  # its exit is not waited for: the file has arrived


def by_hand(stage: Stage, meter: Meter, psbt: Path, later: list[Callable[[], object]]) -> str:
    """Today's way; the txid."""

    def cosign(cosigner: Cosigner) -> str:
        received, signed, returned = (psbt.with_suffix(f".{cosigner.name}.{step}") for step in ("in", "signed", "back"))
        pass_file(stage, meter, psbt, received, later)
        wallet = cosigner.core_wallet
        answer = stage.cli(
            meter, "walletprocesspsbt", received.read_text(), "true", "ALL", "true", "false", wallet=wallet
        )
        signed.write_text(json.loads(answer)["psbt"])
        pass_file(stage, meter, signed, returned, later)
        return returned.read_text()

    with ThreadPoolExecutor(len(stage.cosigners)) as pool:
        answers = list(pool.map(cosign, stage.cosigners))
    combined = stage.cli(meter, "combinepsbt", json.dumps(answers))
    final = json.loads(stage.cli(meter, "finalizepsbt", combined))["hex"]
    verdict = json.loads(stage.cli(meter, "testmempoolaccept", json.dumps([final])))[0]
    if not verdict["allowed"]:
        raise SystemExit(f"testmempoolaccept: {verdict}")
    return stage.cli(meter, "sendrawtransaction", final)


def with_wormsig(stage: Stage, meter: Meter, psbt: Path, later: list[Callable[[], object]]) -> str:
    """One `send`, and one `receive` for each code that it shows; the txid."""
    argv: list[object] = [BIN / "wormsig", "send", psbt, "-y"]
    for cosigner in stage.cosigners:
        argv += ["--to", cosigner.name]
    sender = meter.start(argv, env=stage.environment(stage.coordinator_home))
    waiting = {cosigner.name: cosigner for cosigner in stage.cosigners}
    heard: list[str] = []
    for line in pipe(sender.stderr):
        heard.append(line)
        code = CODE.search(line)
        name = next((name for name in waiting if re.search(rf"\b{name}\b", line)), None)
        if code is None or name is None:
            continue
        cosigner = waiting.pop(name)
        receive = [BIN / "wormsig", "receive", code[0], "-y", "--signer", f"key:{cosigner.key_file}"]
        receiver = meter.start(receive, env=stage.environment(cosigner.home))
        drain(receiver)
        later.append(lambda process=receiver: check(meter, process, "receive"))  # type: ignore[misc]  # the default binds
        if not waiting:
            break
    if waiting:
        raise SystemExit(f"send showed no code for {', '.join(waiting)}:\n{''.join(heard)}")
    drain(sender)
    txid = pipe(sender.stdout).readline().strip()
    later.append(lambda: check(meter, sender, "send"))
    return txid


def check(meter: Meter, process: subprocess.Popen[str], what: str) -> None:
    """Wait for one of our commands, which has to succeed."""
    code = meter.finish(process)
    if code:
        raise SystemExit(f"wormsig {what} ended with {code}")


def measure(stage: Stage, contender: Callable[..., str], psbt: Path) -> Cost:
    """Run one ceremony; its transaction has to be in the mempool afterwards."""
    meter, later = Meter(), list[Any]()
    before = cpu_of(stage.node_pid) + cpu_of(stage.servers.pid)
    began = time.perf_counter()
    txid = contender(stage, meter, psbt, later)
    wall = time.perf_counter() - began
    for finish in later:
        finish()
    cpu = meter.cpu + cpu_of(stage.node_pid) + cpu_of(stage.servers.pid) - before
    if txid not in stage.node.rpc.call("getrawmempool"):
        raise SystemExit(f"{contender.__name__}: {txid!r} is not in the mempool")
    stage.node.mine()
    return Cost(wall, cpu)


def rounds_of(spend: str, rounds: int, servers: Servers) -> bool:
    """All rounds of one spend; whether the goal was met."""
    threshold, count = map(int, spend.split("of"))
    rounds = min(rounds, FEW_ROUNDS) if threshold >= MANY else rounds
    costs: dict[str, list[Cost]] = {BY_HAND: [], OURS: []}
    with TemporaryDirectory(prefix="wormsig-bench-") as name, RegtestNode() as node:
        folder = Path(name)
        stage = prepare(node, servers, folder, threshold, count)
        for turn in range(rounds + 1):
            for number, (label, contender) in enumerate(((BY_HAND, by_hand), (OURS, with_wormsig))):
                psbt = folder / f"pay-{turn}-{number}.psbt"
                psbt.write_text(unsigned_psbt(stage))
                cost = measure(stage, contender, psbt)
                if turn:  # the first round warms caches
                    costs[label].append(cost)
    print(f"A {spend} ceremony on loopback, start to txid, median of {rounds} interleaved rounds\n")
    wall, cpu = compare(BY_HAND, costs)[OURS]
    goal = GOALS.get(spend, 0.5)
    print(f"\n{OURS}: {wall:.2f} of the wall and {cpu:.2f} of the CPU time by hand; the goal is at most {goal:.2f}.\n")
    return max(wall, cpu) <= goal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spend", action="append", help="MofN, at most 15; all three when left out")
    args = parser.parse_args()
    with wormhole_servers() as servers:
        met = [rounds_of(spend, args.rounds, servers) for spend in args.spend or GOALS]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
