"""What `wormsig --version` and `--help` load: a person who asks for help does not wait for Twisted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from wormsig.cli.main import COMMANDS

HEAVY = {"twisted", "bitcointx", "rich", "wormhole", "wormhole_mailbox_server", "btclib_wallet", "msgspec", "sqlite3"}

# Runs the command as the entry point does, and says on its way out which packages were loaded.
PROBE = """
import atexit, json, sys
def tell():
    sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
atexit.register(tell)
from wormsig.cli.main import main
main(sys.argv[1:])
"""


def run(*args):
    done = subprocess.run([sys.executable, "-c", PROBE, *args], capture_output=True, text=True, check=False)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    return done, loaded


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["-h"], []], ids=["version", "help", "h", "nothing"])
def test_help_and_version_load_nothing_heavy(args):
    done, loaded = run(*args)
    assert "wormsig" in done.stdout + done.stderr
    assert "click" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("command", ["send", "receive"])
def test_a_commands_help_does_not_load_the_reactor(command):
    done, loaded = run(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: wormsig {command}")
    assert loaded & {"twisted", "wormhole", "rich"} == set()


def test_the_table_of_commands_and_the_modules_agree():
    folder = Path(sys.modules["wormsig.cli.main"].__file__).parent / "commands"
    assert {path.stem for path in folder.glob("*.py") if path.stem[0] != "_"} == set(COMMANDS)


def test_an_unknown_command_is_wrong_usage():
    done, _ = run("sned")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
