"""`wormsig relay` as a process of its own: its URL on standard output, its end, its database."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.certificates import Authority

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


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_says_where_it_listens_and_ends_when_told(start, signum: int, code: int) -> None:
    process = start("--port", 0)
    port = port_of(url_of(process))
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"Wormhole Relay" in connection.recv(4096)
    with socket.create_connection(("127.0.0.1", port), 5):  # somebody is connected when it ends
        process.send_signal(signum)
        out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == ""  # the URL was all
    assert "Traceback" not in err
    assert "127.0.0.1" not in err  # nor who was there
    assert "warning" not in err


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


# -- beyond this machine -----------------------------------------------------------------------------------------------


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.parametrize("interface", ["0.0.0.0", "::"])  # noqa: S104  that is what is warned about
def test_listening_for_everybody_without_tls_is_warned_about(start, interface: str) -> None:
    process = start("--port", 0, "--interface", interface, "--quiet")
    assert url_of(process).startswith(f"ws://{socket.gethostname()}:")
    assert line_of(process).startswith(f"warning: listening on {interface} without TLS")


def test_with_a_certificate_it_encrypts_and_takes_no_one_for_another(start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost", "127.0.0.1")
    process = start("--port", 0, "--interface", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key)  # noqa: S104
    url = url_of(process)
    match = re.fullmatch(r"wss://localhost:(\d+)/v1", url)
    assert match, url
    trusting = ssl.create_default_context(cafile=str(authority.file))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    with (
        socket.create_connection(("127.0.0.1", int(match[1])), 5) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.version() in ("TLSv1.2", "TLSv1.3")
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"Wormhole Relay" in connection.recv(4096)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "warning" not in err


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        (("missing.pem", "relay.key"), 3, "the certificate missing.pem cannot be read: No such file or directory"),
        (("relay.pem", "expired.key"), 3, "the key expired.key does not belong to the certificate relay.pem"),
        (("expired.pem", "expired.key"), 3, "the certificate expired.pem expired on 20"),
        (("relay.pem",), 2, "--tls-cert and --tls-key go together"),
    ],
)
def test_certificates_that_cannot_be_used(start, tmp_path, files: tuple[str, ...], code: int, words: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("localhost")
    authority.issue("localhost", begins=-20, ends=-10, file="expired")
    options = zip(("--tls-cert", "--tls-key"), files, strict=False)
    process = start("--port", 0, *(each for option in options for each in option))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert err.startswith(f"error: {words}")


def test_nonsense_from_visitors_fills_no_log(start, home: Path) -> None:
    port = port_of(url_of(start("--port", 0)))
    for noise in (
        b"\x16\x03\x01nonsense",
        b"GET /v1 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n",
        UPGRADE,
    ):
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(0.5)
            request, _, message = noise.partition(b"\x81")
            connection.sendall(request)
            if message:  # what comes before the answer is not read as a message
                assert b" 101 " in connection.recv(4096)
                connection.sendall(b"\x81" + message)
            with contextlib.suppress(TimeoutError, ConnectionError):
                while connection.recv(4096):
                    pass
    assert not list(home.rglob("*.log"))


UPGRADE = (
    b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    b"\x81\x88\x00\x00\x00\x00not json"
)


def test_a_code_of_before_it_was_killed_still_pairs(start, tmp_path: Path) -> None:
    """Two plain wormholes of the library, each talking to another life of the relay."""
    db = tmp_path / "relay.sqlite"
    process = start("--port", 0, "--db", db)
    port = port_of(url_of(process))
    script = tmp_path / "side.py"
    script.write_text(SIDE)
    environment = {**os.environ, "URL": f"ws://127.0.0.1:{port}/v1"}
    first = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert first.stdout is not None
        code = first.stdout.readline().strip()
        process.kill()
        process.wait()
        assert url_of(start("--port", port, "--db", db)).endswith(f":{port}/v1")
        second = subprocess.run(
            [sys.executable, script, code], capture_output=True, text=True, env=environment, timeout=60, check=True
        )
        out, _ = first.communicate(timeout=60)
        assert out.strip()
        assert second.stdout.split()[-1] == out.split()[-1]  # the same verifier
    finally:
        first.kill()


SIDE = """
import os, sys
from twisted.internet import defer, task
import wormhole

async def main(reactor):
    w = wormhole.create("wormsig/1", os.environ["URL"], reactor)
    w.set_code(sys.argv[1]) if sys.argv[1:] else w.allocate_code(2)
    print(await w.get_code(), flush=True)
    await w.get_versions()
    print((await w.get_verifier()).hex(), flush=True)
    await w.close()

task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""
