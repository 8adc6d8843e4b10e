"""How long a person waits for nothing: `wormsig --version` against `wormhole --version`, interleaved.

    startup.py [--rounds 15]

The goal is a quarter of wormhole's time. Ends with 1 when it is missed.
"""

from __future__ import annotations

import argparse
import sys
import time

from harness import BIN, Cost, Meter, compare

GOAL = 0.25
PEER, OURS = "wormhole --version", "wormsig --version"
COMMANDS: dict[str, list[object]] = {
    PEER: [BIN / "wormhole", "--version"],
    OURS: [BIN / "wormsig", "--version"],
    "wormsig --help": [BIN / "wormsig", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    for turn in range(rounds + 1):
        for name, argv in COMMANDS.items():
            meter = Meter()
            began = time.perf_counter()
            meter.run(argv)
            if turn:  # the first round fills the page cache and the bytecode caches
                costs[name].append(Cost(time.perf_counter() - began, meter.cpu))
    print(f"Start-up, median of {rounds} interleaved rounds\n")
    wall, _ = compare(PEER, costs)[OURS]
    print(f"\n`{OURS}` takes {wall:.2f} of the time of `{PEER}`; the goal is at most {GOAL}.")
    return int(wall > GOAL)


if __name__ == "__main__":
    sys.exit(main())
