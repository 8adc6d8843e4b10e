"""The coverage-guided fuzzer, which `make fuzz` runs.

    python fuzz/fuzz_psbt.py [FOLDER] [-runs=N] [-max_total_time=SECONDS] [-seed=N]

Arguments are libFuzzer's. FOLDER keeps what it finds worth keeping from one run to the next; the committed corpus is
always read as well. A crash leaves the PSBT in `crash-…` in the current folder; give that file as the only argument to
see it again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wormsig.psbt", "wormsig.bitcoin"]):
    import target

BY_FIELD = 4
"""Of five mutations, how many are made field by field; the others are libFuzzer's own, in bytes."""

_KNOWN = target.seeds()


def mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a PSBT: mostly in fields, so that the parser lets it through."""
    if seed % 5 < BY_FIELD:
        return target.mutated(data, seed, _KNOWN)[:max_size]
    return atheris.Mutate(data, max_size)


def main() -> None:
    """Run libFuzzer with limits that make a hang or a leak a finding."""
    given = sys.argv[1:]
    if not any(Path(each).is_file() for each in given):
        given += [str(target.CORPUS)]
    limits = [f"-max_len={target.LIMIT}", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *limits, *given], target.one_input, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
