"""Runs the tests of the pure layers: `make test-pure`. Nothing in them needs a network, a node or a process of its own.

One pytest for each core, with files of its own from the start: reporting thousands of tests of a millisecond to one
process, and finding all of them in every process, takes pytest-xdist longer than the tests themselves.

python scripts/test_pure.py [pytest's options]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
PLACES = (
    *(f"tests/unit/{layer}" for layer in ("bitcoin", "psbt", "wallet", "review", "ceremony", "render")),
    "tests/unit/test_errors.py",
    "tests/property",
    "tests/vectors/test_psbt_v0.py",
    "tests/vectors/test_psbt_v2.py",
)
"""Everything from `ceremony` down, and what is shown of it."""

_OVERHEAD = 3_000
"""Bytes that a file counts for more than it has: importing it takes time, however small it is."""
_NOTHING_TO_RUN = 5


def files() -> list[Path]:
    """The files with pure tests."""
    places = [ROOT / place for place in PLACES]
    return sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("test_*.py")))


def shares(count: int) -> list[list[Path]]:
    """The files in parts that take about as long as each other, by their sizes.

    Args:
        count: How many parts.
    """
    parts: list[list[Path]] = [[] for _ in range(count)]
    weights = [0] * count
    for file in sorted(files(), key=lambda file: file.stat().st_size, reverse=True):
        least = weights.index(min(weights))
        parts[least].append(file)
        weights[least] += file.stat().st_size + _OVERHEAD
    return [sorted(part) for part in parts if part]


def started(part: list[Path], options: list[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    """A pytest over some files, without the plugins that these tests do not need."""
    without = [option for name in ("twisted", "xdist", "logging") for option in ("-p", f"no:{name}")]
    # Folders, and what is left out of them: what is named one by one is run without asking the folder's conftest.py.
    named = [place for place in PLACES if (ROOT / place).is_dir() or ROOT / place in part]
    others = [f"--ignore={file}" for file in files() if file not in part]
    command = [sys.executable, "-m", "pytest", "-m", "not long", *without, *others, *options, *named]
    return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def main() -> int:
    """Run all of them, and show what each process said.

    Returns:
        0 when all passed, else the first process's exit code that says otherwise.
    """
    parts = shares(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ExitStack() as stack:
        outs = [stack.enter_context(tempfile.TemporaryFile()) for _ in parts]
        running = [started(part, sys.argv[1:], out) for part, out in zip(parts, outs, strict=True)]
        try:
            codes = [process.wait() for process in running]
        finally:
            for process in running:
                process.terminate()
        for out in outs:
            out.seek(0)
            sys.stdout.buffer.write(out.read())
        sys.stdout.flush()
    if all(code == _NOTHING_TO_RUN for code in codes):
        return _NOTHING_TO_RUN
    return next((code for code in codes if code not in {0, _NOTHING_TO_RUN}), 0)


if __name__ == "__main__":
    sys.exit(main())
