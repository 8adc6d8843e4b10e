"""Whole ceremonies, as processes, through Tor, through a relay with a certificate, and with a relay to fall back to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from support.certificates import Authority
from support.stage import Stage, act, error_line, events_named, finished
from support.tor import FakeTor, as_executable
from wormsig.errors import ExitCode
from wormsig.transport.relay import start_relay
from wormsig.transport.relay_server import Visitor
from wormsig.transport.relay_tls import RelayCertificate

if TYPE_CHECKING:
    import pytest


NAME = ("relay.invalid", 4000)  # no resolver knows it, now or ever (RFC 2606)
URL = "ws://relay.invalid:4000/v1"
DEAD = "ws://127.0.0.1:9/v1"


async def ceremony(stage: Stage, *options: str, url: str) -> Any:
    """Two cosigners sign; everybody with the same options. The coordinator's process."""
    env = {"WORMHOLE_RELAY_URL": url}
    send = stage.send(stage.psbt(), "--to", "bob", "--to", "carol", *options, env=env)
    receiving = [stage.receive(name, await send.code(name), *options, env=env) for name in ("bob", "carol")]
    done = await send.ends(ExitCode.DONE)
    for process in receiving:
        await finished(process, ExitCode.DONE)
    assert stage.in_mempool(done["txid"])
    return send.process


@act
async def test_a_whole_ceremony_through_tor(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitors: list[object] = []
    welcome = Visitor.onOpen
    monkeypatch.setattr(Visitor, "onOpen", lambda visitor: (visitors.append(visitor), welcome(visitor)))
    with FakeTor({NAME: ("127.0.0.1", stage.relay.port)}, tmp_path) as tor:
        await ceremony(stage, "--tor-control-port", tor.endpoint, url=URL)
        assert len(tor.asked) >= 4
        assert {(one.host, one.port, one.by_name) for one in tor.asked} == {(*NAME, True)}
        assert len(visitors) == len(tor.asked)  # nobody went around it


@act
async def test_where_tor_is_not_nothing_goes_out(stage: Stage, tmp_path: Path) -> None:
    before = len(stage.relay.ledger.visitors)
    none = stage.receive(
        "bob", "7-some-words", "--tor-control-port", "tcp:127.0.0.1:9", env={"WORMHOLE_RELAY_URL": URL}
    )
    await finished(none, ExitCode.TRANSPORT)
    assert error_line(none).startswith("error: Tor cannot be reached: ")
    with FakeTor({}, tmp_path, deny=True) as tor:
        refused = stage.receive(
            "bob", "7-some-words", "--tor-control-port", tor.endpoint, env={"WORMHOLE_RELAY_URL": URL}
        )
        await finished(refused, ExitCode.TRANSPORT)
        assert "515 Authentication failed" in error_line(refused)
    with FakeTor({}, tmp_path, refuse=2) as tor:
        env = {"WORMHOLE_RELAY_URL": URL, "WORMSIG_LIMITS": "connect=1,close=1"}
        shut = stage.receive("bob", "7-some-words", "--tor-control-port", tor.endpoint, env=env)
        await finished(shut, ExitCode.TRANSPORT)
        assert error_line(shut).endswith("connection not allowed by ruleset (through Tor)")
    inside = stage.receive("bob", "7-some-words", "--tor")
    await finished(inside, ExitCode.USAGE)
    assert "where Tor does not lead" in error_line(inside)
    assert len(stage.relay.ledger.visitors) == before


@act
async def test_a_launched_tor_ends_with_the_command(stage: Stage, tmp_path: Path) -> None:
    as_executable(tmp_path / "tor", {NAME: ("127.0.0.1", stage.relay.port)})
    (tmp_path / "tmp").mkdir()
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp"), "WORMHOLE_RELAY_URL": URL}
    for number, end in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
        send = stage.send(stage.psbt(), "--to", "bob", "--to", "carol", "--launch-tor", env=env)
        await send.code("bob")
        pid = int((tmp_path / "tor.pid").read_text())
        os.kill(pid, 0)  # it is there
        send.process.process.send_signal(end)
        await deferToThread(send.process.wait)
        await deferToThread(gone, pid)
        if end == signal.SIGTERM:
            assert send.process.process.returncode == ExitCode.TERMINATED
            assert list((tmp_path / "tmp").glob("tortmp*")) == [], number


def gone(pid: int) -> None:
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@act
async def test_a_relay_with_a_certificate_of_ones_own(stage: Stage, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    relay = await start_relay(reactor, certificate=RelayCertificate(*authority.issue("localhost")))
    try:
        await ceremony(stage, "--relay-ca", str(authority.file), url=relay.url)
        other = Authority(tmp_path / "..")
        refused = stage.receive(
            "bob", "7-some-words", "--relay-ca", str(other.file), env={"WORMHOLE_RELAY_URL": relay.url}
        )
        await finished(refused, ExitCode.TRANSPORT)
        assert error_line(refused).startswith("error: the certificate of the relay localhost is refused: ")
        missing = stage.receive("bob", "7-some-words", "--relay-ca", "missing.pem")
        await finished(missing, ExitCode.INPUT)
    finally:
        await relay.stop()


@act
async def test_with_a_dead_first_relay_everybody_meets_at_the_second(stage: Stage) -> None:
    process = await ceremony(stage, url=f"{DEAD} {stage.relay.url}")
    assert [event["relay"] for event in events_named(process, "relay-chosen")] == [stage.relay.url]
