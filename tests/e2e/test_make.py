"""`make` in a clean clone, also on a machine that lacks something: the message says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ["sh", "make", "dirname", "cat", "rm", "touch", "sed", "awk", "tail", "env"]
DEAD_PROXY = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture
def clone(tmp_path):
    """The files that git has, or would have with the next commit; nothing that was built."""
    target = tmp_path / "a clone"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, there = ROOT / name, target / name
        if source.is_file():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, there)
    return target


@pytest.fixture
def bare(tmp_path):
    """A folder for PATH with the tools that every system has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def make(clone, *args, env=None, path=None):
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VIRTUAL_ENV", "MAKE", "MFLAGS", "ARGS")) and name != "PYTHON"
    }
    environment = inherited | (env or {}) | ({"PATH": str(path)} if path else {})
    return subprocess.run(
        [shutil.which("make"), *args],
        cwd=clone, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def python_stub(folder, name, *, version, has_venv):
    """An interpreter that answers what scripts/setup.sh asks."""
    stub = folder / name
    stub.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *ensurepip*) exit {0 if has_venv else 1} ;;'
        f" *'< (3, 11)'*) exit {0 if version >= (3, 11) else 1} ;;"
        f" *print*) echo {version[0]}.{version[1]} ;; esac\n"
    )
    stub.chmod(0o755)


def test_help_lists_what_there_is(clone):
    done = make(clone)
    assert done.returncode == 0
    for target in ("demo", "test", "test-long", "test-browser", "check", "bench", "fuzz", "clean", "help"):
        assert f"make {target} " in done.stdout
    assert not (clone / ".venv").exists()


def test_without_python_it_says_what_to_install(clone, bare):
    done = make(clone, "demo", path=bare)
    assert done.returncode != 0
    assert "error: no Python 3.11 or newer found" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_an_old_python_is_passed_over(clone, bare):
    python_stub(bare, "python3", version=(3, 9), has_venv=True)
    done = make(clone, "demo", path=bare)
    assert "error: no Python 3.11 or newer found" in done.stderr


def test_without_venv_it_says_which_package_is_missing(clone, bare):
    python_stub(bare, "python3", version=(3, 12), has_venv=False)
    done = make(clone, "test", path=bare)
    assert done.returncode != 0
    assert "error: python3 has no venv" in done.stderr
    assert "python3.12-venv" in done.stderr


def test_a_python_that_was_asked_for_and_is_too_old_is_named(clone, bare):
    python_stub(bare, "python3.9", version=(3, 9), has_venv=True)
    done = make(clone, "PYTHON=python3.9", "install", path=bare)
    assert "error: PYTHON=python3.9 is not a Python 3.11 or newer" in done.stderr


def test_without_a_network_it_says_so_and_can_be_run_again(clone):
    nowhere = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{DEAD_PROXY}/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
        "PYTHON": sys.executable,
    }
    done = make(clone, "install", env=nowhere)
    assert done.returncode != 0
    assert "error: pip could not install wormsig" in done.stderr
    assert "hint: is the network there?" in done.stderr
    assert not (clone / ".venv/.stamp-runtime").exists()


def test_a_bitcoind_that_is_none_is_named(clone):
    done = subprocess.run(
        ["sh", "scripts/find-bitcoind.sh"],
        cwd=clone, env={**os.environ, "BITCOIND": "/nowhere/bitcoind"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: BITCOIND=/nowhere/bitcoind is not a program\nhint: ")


def test_make_demo_in_a_clean_clone(clone):
    from wormsig.node.regtest import find_bitcoind  # noqa: PLC0415  the others need no node

    env = {"PYTHON": sys.executable, "BITCOIND": str(find_bitcoind())}
    first = make(clone, "demo", env=env)
    assert first.returncode == 0, first.stderr
    second = make(clone, "install", env=env)
    assert second.returncode == 0
    assert "installing" not in second.stdout + second.stderr
