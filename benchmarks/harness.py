"""What the benchmarks share: processes whose CPU is counted, the wormhole servers, tables."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent  # where wormsig and the stock wormhole are installed


def pipe(stream: IO[str] | None) -> IO[str]:
    """A process's stream that was asked for as a pipe, as its type does not say."""
    if stream is None:
        raise TypeError("the process was started without this pipe")
    return stream


@dataclass(frozen=True)
class Cost:
    """What one run took, in seconds."""

    wall: float
    cpu: float


class Meter:
    """CPU seconds of every process started through it, from exec to exit; safe from several threads."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self.processes = 0
        self._lock = threading.Lock()

    @staticmethod
    def start(
        argv: Sequence[object],
        *,
        env: dict[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Start a process with captured output; `finish` has to be called for it."""
        return subprocess.Popen(
            [str(word) for word in argv],
            env=env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> int:
        """Wait for the process, add its CPU time (its own children's included), return its exit code."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        with self._lock:
            self.cpu += usage.ru_utime + usage.ru_stime
            self.processes += 1
        return process.returncode

    def run(self, argv: Sequence[object], *, text: str = "", env: dict[str, str] | None = None) -> str:
        """Run to the end and return standard output; a failure ends the benchmark with the program's own words.

        Args:
            argv: The program and its arguments; paths and numbers become text.
            text: What it reads from standard input; small enough for a pipe's buffer.
            env: Its environment; ours when left out.
        """
        process = self.start(argv, env=env, stdin=subprocess.PIPE)
        pipe(process.stdin).write(text)
        pipe(process.stdin).close()
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(pipe(process.stderr).read()))
        reader.start()
        output = pipe(process.stdout).read()
        reader.join()
        if self.finish(process):
            raise SystemExit(f"{argv[0]} failed:\n{output}{errors[0]}")
        return output.strip()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process that goes on running."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Servers:
    """The running wormhole servers."""

    pid: int
    mailbox: str
    transit: str


@contextmanager
def wormhole_servers() -> Iterator[Servers]:
    """Mailbox server and transit relay on free loopback ports."""
    process = subprocess.Popen(
        [sys.executable, HERE / "servers.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        mailbox, transit = pipe(process.stdout).readline().split()
        yield Servers(process.pid, mailbox, transit)
    finally:
        pipe(process.stdin).close()
        process.wait(30)


def median(costs: Sequence[Cost]) -> Cost:
    """Median wall and median CPU."""
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """An aligned table; the first column to the left, numbers to the right."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    for line in [head, ["-" * width for width in widths], *rows]:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells))


def compare(baseline: str, costs: dict[str, list[Cost]]) -> dict[str, tuple[float, float]]:
    """Print medians and ratios to the baseline; return (wall, CPU) ratios by contender."""
    base = median(costs[baseline])
    rows, ratios = [], {}
    for name, samples in costs.items():
        cost = median(samples)
        ratios[name] = (cost.wall / base.wall, cost.cpu / base.cpu)
        walls = [sample.wall for sample in samples]
        rows.append([name, f"{cost.wall:.3f}", f"{min(walls):.3f}-{max(walls):.3f}", f"{cost.cpu:.3f}",
                     f"{ratios[name][0]:.2f}", f"{ratios[name][1]:.2f}"])  # fmt: skip
    print_table(["", "wall s", "min-max", "CPU s", "wall ratio", "CPU ratio"], rows)
    return ratios
