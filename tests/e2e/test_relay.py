"""`wormsig relay` as a process of its own: its URL on standard output, its end, its database."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start(clean_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "wormsig", "relay", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_env,
            cwd=tmp_path,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def port_of(url: str) -> int:
    match = re.fullmatch(r"ws://127\.0\.0\.1:(\d+)/v1", url)
    assert match, url
    return int(match[1])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_told(start, signum: int) -> None:
    process = start("--port", 0)
    port = port_of(url_of(process))
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"Wormhole Relay" in connection.recv(4096)
    with socket.create_connection(("127.0.0.1", port), 5):  # somebody is connected when it ends
        process.send_signal(signum)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out == ""  # the URL was all
    assert "Traceback" not in err


def test_a_port_in_use_is_exit_6(start) -> None:
    port = port_of(url_of(start("--port", 0)))
    second = start("--port", port)
    out, err = second.communicate(timeout=20)
    assert (second.returncode, out) == (6, "")
    assert err.startswith(f"error: cannot listen on 127.0.0.1 port {port}")


def test_a_database_that_is_none_is_exit_9(start, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database\n" * 100)
    process = start("--port", 0, "--db", tmp_path / "notes.txt")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (9, "")
    assert "error: the relay's database" in err
    assert (tmp_path / "notes.txt").read_text() == "not a database\n" * 100


def test_its_database_outlives_it(start, tmp_path: Path) -> None:
    db = tmp_path / "relay.sqlite"
    for _ in range(2):
        process = start("--port", 0, "--db", db)
        assert url_of(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        end = time.monotonic() + 5
        while not db.exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert db.stat().st_size > 0
        assert db.stat().st_mode & 0o077 == 0  # who used which nameplate is nobody else's business
