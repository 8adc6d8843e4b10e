"""`wormsig demo`, the first thing that anybody sees."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120


def demo_env(clean_env: dict[str, str]) -> dict[str, str]:
    """The environment of a fresh user who has a bitcoind."""
    from support.bitcoind import find_bitcoind  # noqa: PLC0415  fails with a hint when there is none

    return {**clean_env, "BITCOIND": str(find_bitcoind())}


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder, bitcoind's temporary one left aside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in os.fsdecode((process / "environ").read_bytes()):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_demo_ends_with_a_transaction_in_a_block(clean_env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    done = subprocess.run(
        [sys.executable, "-m", "wormsig", "demo", "--folder", str(folder)],
        capture_output=True,
        text=True,
        env=demo_env(clean_env),
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
    assert re.search(r"^Confirmed in block [0-9a-f]{64}\.$", done.stderr, re.MULTILINE)
    for name in ("alice", "bob", "carol"):
        # Everybody saw the review, with both recipients and the proven change.
        seen = [line for line in done.stderr.splitlines() if line.startswith(name)]
        assert sum("Pays" in line for line in seen) == 2, (name, seen)
        assert sum("Change" in line and "back to this wallet" in line for line in seen) == 1
    for kept in ("alice/pay.psbt", "bob/bob.key", "carol/wormsig/journal/ceremonies.sqlite3"):
        assert (folder / kept).is_file(), kept
    assert str(folder) in done.stderr
    assert processes_of(folder) == []


def test_demo_is_clean_on_ctrl_c(clean_env: dict[str, str], tmp_path: Path) -> None:
    env = {**demo_env(clean_env), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "wormsig", "demo"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("5."):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130, (seen, rest)
    assert rest.rstrip().endswith("error: interrupted")
    assert "Traceback" not in rest
    assert processes_of(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("wormsig-")] == []


def test_demo_refuses_a_folder_that_is_there(clean_env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wormsig", "demo", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        env=clean_env,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} exists\n")


def test_demo_without_bitcoind_says_what_to_do(clean_env: dict[str, str], tmp_path: Path) -> None:
    env = {**clean_env, "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "empty"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "wormsig", "demo"],
        capture_output=True,
        text=True,
        env=env,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "error: no bitcoind found" in done.stderr
    assert "hint: run scripts/get-bitcoind.sh" in done.stderr
