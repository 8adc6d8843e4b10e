"""PSBT work of one cosigner and one coordinator: wormsig, its peers, and the bare cost of libsecp256k1, in one run.

    psbt.py [--inputs 1,10,100,1000] [--rounds 5] [--peers NAME,...] [--slow SECONDS]

2-of-3 P2WSH with previous transactions, key origins and one change output (psbt_data.py). Each peer lives in its own
process, and only one works at a time; a round visits every peer once, so that a busy machine slows all of them alike.
Every run is a fork of a process that has its imports, keys and wallets ready: nothing is warm from the run before, no
parsed key, no verified signature; but the coordinator has parsed its own copy of the PSBT, which is without signatures.
A fork first does the job on a PSBT of a quarter more inputs (64 at least) with other keys and coins, so that the clock
does not count how the system copies memory pages that the two processes share, or finds new ones, nor how an
interpreter gets used to the code: once on as many cores as the peer takes, and again on the one core on which the clock
is started, where wormsig takes no other thread. Memory is measured in runs of their own, which did only a small PSBT
before.
Figures are medians over rounds. The cores of a shared machine are not equally fast at one moment: every job begins on
each core in turn, every bare call is done on each in turn, and what counts is the mean over the cores. The bare cost is
measured right before and right after each of wormsig's own turns, and what wormsig took is divided by the mean of the
two: a shared machine may be twice as slow a second later, and then both are. The goals against the bare cost are
medians of these ratios. How much faster two threads of the bare calls are than one at that moment is said too: two
cores may be the halves of one. Every result is checked outside the clock: the
cosigner's signatures against the sighashes of an independent generator, the coordinator's transaction byte for byte. A
peer that takes more than --slow seconds at one size is not asked for a larger one.

The goals (docs/performance.md) at 100 and 1000 inputs: ahead of every peer in both jobs; each cosigner's job within 1.6
times and the coordinator's within 1.2 times the bare cost of the calls that cannot be avoided, in one thread; growth
from 100 to 1000 inputs at most 11 times; peak memory at most ten times the PSBT and a fixed part, which is one arena of
Python's allocator. Ends with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import pipe, print_table
from psbt_data import make
from psbt_peers import PEERS, Limit, Peer
from wormsig.bitcoin.secp import ecdsa_verify
from wormsig.psbt import codec, model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS = ("wormsig", "wormsig+wallet")
JOBS = ("cosigner", "coordinator")
STAGES = ("unsigned", "signed-a", "signed-b")
ARENA = 1 << 20
"""Bytes that Python's allocator takes at a time."""
REPEATS = {1: 7, 10: 3, 100: 2}
SMALL = 64
"""Inputs of the PSBT that is done first where memory is measured, and the fewest where time is."""


# -- one peer in one process, JSON lines on standard input and output --------------------------------------------------


def high_water(*, forget: bool = False) -> int:
    """Peak memory of this process so far, bytes; `forget` starts again from what is in use now.

    Without the pages of programs and libraries: a fork has to map them again as it comes to them.
    """
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {line.split()[0]: int(line.split()[1]) for line in lines if line.startswith(("VmHWM:", "RssFile:"))}
    return (kilobytes["VmHWM:"] - kilobytes["RssFile:"]) * 1024


@contextmanager
def kept_on(core: int) -> Iterator[None]:
    """Keep this thread on one core; it may leave afterwards, and whatever threads it starts then go where they like."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def over_cores(found: dict[int, dict[str, float]]) -> dict[str, float]:
    """The mean of what was measured on each core."""
    return {kind: statistics.mean(here[kind] for here in found.values()) for kind in next(iter(found.values()))}


def timed(peer: Peer, job: Callable[..., bytes], *data: bytes) -> tuple[float, float, bytes]:
    """Wall seconds, CPU seconds and the result of one job."""
    gc.collect()
    outside, cpu, began = peer.cpu(), time.process_time(), time.perf_counter()
    result = job(*data)
    wall = time.perf_counter() - began
    return wall, time.process_time() - cpu + peer.cpu() - outside, result


def in_a_fork(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run something in a copy of this process, so that it leaves nothing warm behind for the next run."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe_end:
                json.dump(work(), pipe_end)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe_end:
        text = pipe_end.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("a run failed")
    found: dict[str, Any] = json.loads(text)
    return found


Files = dict[str, bytes]


def cosigner_run(peer: Peer, first: Files, files: Files, core: int) -> dict[str, Any]:
    """One run after another one, and its figures."""
    peer.cosign(first["unsigned"])  # on every core that it takes
    with kept_on(core):
        peer.cosign(first["unsigned"])
    before = high_water(forget=True)
    wall, cpu, signed = timed(peer, peer.cosign, files["unsigned"])
    peak = high_water() - before  # before anything is made of the result
    return {"wall": wall, "cpu": cpu, "memory": peak, "signed": base64.b64encode(signed).decode()}


def coordinator_run(peer: Peer, first: Files, files: Files, core: int) -> dict[str, Any]:
    """One run after another one, and its figures."""
    peer.own_copy(first["unsigned"])
    peer.coordinate(first["signed-a"], first["signed-b"])
    with kept_on(core):
        peer.own_copy(first["unsigned"])
        peer.coordinate(first["signed-a"], first["signed-b"])
        peer.own_copy(files["unsigned"])
    before = high_water(forget=True)
    wall, cpu, transaction = timed(peer, peer.coordinate, files["signed-a"], files["signed-b"])
    peak = high_water() - before
    if transaction != files["final"]:
        raise SystemExit("the extracted transaction differs")
    return {"wall": wall, "cpu": cpu, "memory": peak}


RUNS = {"cosigner": cosigner_run, "coordinator": coordinator_run}


def files_in(folder: Path) -> Files:
    found = {name: (folder / f"{name}.psbt").read_bytes() for name in STAGES}
    return found | {"final": bytes.fromhex((folder / "final.hex").read_text())}


def visit(peer: Peer, folder: Path, repeats: int) -> dict[str, Any]:
    files, first, small = files_in(folder), files_in(folder / "first"), files_in(folder.parent / "small")
    found: dict[str, Any] = {}
    for job, run in RUNS.items():
        runs = {core: [in_a_fork(partial(run, peer, first, files, core)) for _ in range(repeats)] for core in cores()}
        medians = {
            core: {part: statistics.median(each[part] for each in here) for part in ("wall", "cpu")}
            for core, here in runs.items()
        }
        found[job] = list(over_cores(medians).values())
        if "signed" in runs[cores()[0]][0]:
            found["signed"] = runs[cores()[0]][0]["signed"]
        if peer.package == "wormsig":
            found[f"{job} memory"] = in_a_fork(partial(run, peer, small, files, cores()[0]))["memory"]
    return found


def prepare(peer: Peer, folder: Path) -> None:
    peer.setup(json.loads((folder / "keys.json").read_text()))


def worker(name: str, data: Path, bitcoind: str) -> None:
    peer = PEERS[name]()
    peer.start(bitcoind)
    print(json.dumps({"version": peer.version(), "note": peer.note}), flush=True)
    prepare(peer, data / "small")
    small = files_in(data / "small")
    peer.cosign(small["unsigned"])  # imports what it imports late
    peer.own_copy(small["unsigned"])
    peer.coordinate(small["signed-a"], small["signed-b"])
    ready = 0
    for line in sys.stdin:
        inputs = int(line)
        folder = data / str(inputs)
        if ready != inputs:
            prepare(peer, folder)
            ready = inputs
        print(json.dumps(visit(peer, folder, REPEATS.get(inputs, 1))), flush=True)
    peer.stop()


# -- the driver --------------------------------------------------------------------------------------------------------


class Worker:
    def __init__(self, name: str, data: Path, bitcoind: str) -> None:
        argv = [sys.executable, __file__, "--worker", name, "--data", str(data), "--bitcoind", bitcoind]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = name
        self.hello = json.loads(pipe(self.process.stdout).readline())
        self.visits: dict[int, list[dict[str, Any]]] = {}
        self.ratios: dict[tuple[int, str], list[float]] = {}
        """Inputs and job -> wall time against the bare cost of the same moment, one a visit."""
        self.low_r: dict[tuple[int, str], list[float]] = {}
        """The same against the bare cost of signatures with a low R."""
        self.slow = False

    def ask(self, inputs: int) -> None:
        pipe(self.process.stdin).write(f"{inputs}\n")
        pipe(self.process.stdin).flush()
        line = pipe(self.process.stdout).readline()
        if not line:
            raise SystemExit(f"{self.name} died")
        self.visits.setdefault(inputs, []).append(json.loads(line))

    def compare(self, inputs: int, before: dict[str, float], after: dict[str, float]) -> None:
        """Note how the last visit did against the bare cost around it."""
        for job in JOBS:
            wall = self.visits[inputs][-1][job][0]
            for ratios, sign in ((self.ratios, "sign"), (self.low_r, "sign low R")):
                around = (bare(before, self.name, job, sign) + bare(after, self.name, job, sign)) / 2
                ratios.setdefault((inputs, job), []).append(wall / around)

    def median(self, inputs: int, job: str, part: int) -> float | None:
        visits = self.visits.get(inputs)
        return statistics.median(each[job][part] for each in visits) if visits else None

    def close(self) -> None:
        pipe(self.process.stdin).close()
        self.process.wait(60)


def check_signed(worker: Worker, data: Path, inputs: int) -> None:
    """Raise unless the PSBT that a peer signed holds one good signature of cosigner a on every input."""
    folder = data / str(inputs)
    digests = [bytes.fromhex(text) for text in json.loads((folder / "keys.json").read_text())["sighashes"]]
    wanted = codec.parse((folder / "signed-a.psbt").read_bytes())
    given = codec.parse(base64.b64decode(worker.visits[inputs][0]["signed"]))
    for index, digest in enumerate(digests):
        expected, found = model.partial_sigs(wanted, index), model.partial_sigs(given, index)
        if set(found) != set(expected):
            raise SystemExit(f"{worker.name}: input {index} is not signed by cosigner a alone")
        for pubkey, signature in found.items():
            if not ecdsa_verify(pubkey, digest, signature[:-1]):
                raise SystemExit(f"{worker.name}: bad signature on input {index}")


def limit_now(limit: Limit, inputs: int) -> dict[str, float]:
    """The bare cost now: medians of as many runs as a visit has, and how many times as fast two threads are as one."""
    repeats = REPEATS.get(inputs, 1)
    found = {}
    for core in cores():
        with kept_on(core):
            runs = [limit.run() for _ in range(repeats)]
        found[core] = {kind: statistics.median(run[kind] for run in runs) for kind in runs[0]}
    mean = over_cores(found)
    together = statistics.median(limit.in_two_threads() for _ in range(repeats))
    return mean | {"gain": 2 * mean["verify"] / together}


def measure(
    workers: list[Worker], sizes: list[int], rounds: int, slow: float, data: Path
) -> dict[int, dict[str, float]]:
    limits: dict[int, dict[str, float]] = {}
    for inputs in sizes:
        limit = Limit(inputs)
        runs: list[dict[str, float]] = []
        for number in range(rounds):
            for each in workers:
                if each.slow:
                    continue
                if each.name not in OURS:
                    each.ask(inputs)
                else:
                    before = limit_now(limit, inputs)
                    each.ask(inputs)
                    after = limit_now(limit, inputs)
                    each.compare(inputs, before, after)
                    runs += (before, after)
                if number == 0:
                    check_signed(each, data, inputs)
            print(f"  {inputs} inputs, round {number + 1} of {rounds}", file=sys.stderr)
        runs = runs or [limit_now(limit, inputs)]
        limits[inputs] = {kind: statistics.median(run[kind] for run in runs) for kind in runs[0]}
        for each in workers:
            times = [each.median(inputs, job, 0) or 0.0 for job in JOBS]
            each.slow = each.slow or (each.name not in OURS and max(times) > slow)
    return limits


def bare(limit: dict[str, float], name: str, job: str, sign: str = "sign") -> float:
    """The unavoidable cost of a job, seconds in one thread."""
    if job == "coordinator":
        return limit["verify"] + limit["hash"]
    return limit[sign] + limit["hash"] + limit["derive 3" if name == OURS[1] else "derive"]


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f}" if seconds < 0.01 else f"{seconds * 1000:.0f}"


def report(workers: list[Worker], sizes: list[int], limits: dict[int, dict[str, float]]) -> None:
    for job in JOBS:
        print(f"\n{job}, ms wall (ms CPU)\n")
        rows = []
        names = OURS if job == "cosigner" else OURS[:1]
        for name in names:
            cells = [milliseconds(bare(limits[inputs], name, job)) for inputs in sizes]
            rows.append([f"bare libsecp256k1, one thread{', with the wallet' if name == OURS[1] else ''}", *cells])
        for each in workers:
            if each.name == OURS[1] and job == "coordinator":
                continue
            cells = [
                f"{milliseconds(each.median(inputs, job, 0))} ({milliseconds(each.median(inputs, job, 1))})"
                for inputs in sizes
            ]
            rows.append([f"{each.name} {each.hello['version'] if each.name not in OURS else ''}".strip(), *cells])
        print_table(["", *(f"n={inputs}" for inputs in sizes)], rows)
    for each in workers:
        if each.name in OURS:
            found = ", ".join(f"{statistics.median(each.low_r[inputs, 'cosigner']):.2f}" for inputs in sizes)
            print(f"\n{each.name}: cosigner against the bare cost with a low R, as it signs: {found}")
    gains = ", ".join(f"{limits[inputs]['gain']:.2f}" for inputs in sizes)
    print(f"\ntwo threads of bare libsecp256k1, times as fast as one, right beside wormsig's turns: {gains}")


def judge(workers: list[Worker], sizes: list[int], data: Path) -> bool:  # noqa: C901  one row per goal
    """Print how the goals stand; whether all of them are met."""
    print("\ngoals\n")
    by_name = {each.name: each for each in workers}
    rows: list[list[str]] = []
    met = True

    def row(what: str, value: float, goal: float) -> None:
        nonlocal met
        met = met and value <= goal
        rows.append([what, f"{value:.2f}", f"<= {goal:g}", "yes" if value <= goal else "NO"])

    for name in OURS:
        ours = by_name.get(name)
        if ours is None:
            continue
        for job, goal in zip(JOBS, (1.6, 1.2), strict=True):
            if name == OURS[1] and job == "coordinator":
                continue
            for inputs in [size for size in sizes if size >= 100]:
                wall = ours.median(inputs, job, 0) or 0.0
                ratio = statistics.median(ours.ratios[inputs, job])
                row(f"{name}: {job}, n={inputs}, wall against the bare cost", ratio, goal)
                others = [each.median(inputs, job, 0) for each in workers if each.name not in OURS]
                best = min((other for other in others if other is not None), default=None)
                if best is not None and name == OURS[0]:
                    row(f"{name}: {job}, n={inputs}, wall against the best peer", wall / best, 1.0)
            hundred, thousand = ours.median(100, job, 0), ours.median(1000, job, 0)
            if hundred and thousand:
                row(f"{name}: {job}, growth from 100 to 1000 inputs", thousand / hundred, 11)
        size = (data / str(sizes[-1]) / "unsigned.psbt").stat().st_size
        for job in JOBS:
            if name == OURS[0] or job == "cosigner":
                peak = max(each[f"{job} memory"] for each in ours.visits[sizes[-1]])
                row(f"{name}: {job}, n={sizes[-1]}, peak memory in PSBTs", max(0, peak - ARENA) / size, 10)
    print_table(["", "found", "goal", "met"], rows)
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", default="1,10,100,1000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--slow", type=float, default=0.6)
    parser.add_argument("--bitcoind", default=os.environ.get("BITCOIND", "bitcoind"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        worker(asked.worker, Path(asked.data), asked.bitcoind)
        return
    sizes = [int(text) for text in asked.inputs.split(",")]
    names = asked.peers.split(",")
    chosen = [name for name in PEERS if name in names]
    with tempfile.TemporaryDirectory(prefix="wormsig-bench-") as folder:
        data = Path(folder)
        make(data / "small", SMALL, first=100_000)  # nothing of it comes again
        for inputs in sizes:
            make(data / str(inputs), inputs)
            make(data / str(inputs) / "first", max(inputs + inputs // 4, SMALL), first=100_000)
        workers = [Worker(name, data, asked.bitcoind) for name in chosen]
        try:
            limits = measure(workers, sizes, asked.rounds, asked.slow, data)
        finally:
            for each in workers:
                each.close()
        report(workers, sizes, limits)
        met = judge(workers, sizes, data)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
