from __future__ import annotations

import subprocess
import sys
import time

import pytest
from twisted.internet.selectreactor import SelectReactor

from wormsig.transport.process import steady_clock


@pytest.mark.parametrize("jump", [-86_400, 86_400], ids=["back", "forth"])
def test_timers_do_not_follow_the_wall_clock(jump: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = SelectReactor()
    steady_clock(reactor)
    fired: list[str] = []
    reactor.callLater(0.02, fired.append, "soon")
    reactor.callLater(3600, fired.append, "late")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    deadline = time.monotonic() + 2
    while not fired and time.monotonic() < deadline:
        reactor.runUntilCurrent()
        reactor.doIteration(0.01)
    assert fired == ["soon"]


SCRIPT = """
from twisted.logger import Logger
from twisted.python import log
from wormsig.transport.process import quiet_logs
seen = []
quiet_logs(seen.append)
log.msg("hello")
try:
    raise ValueError("nobody caught me")
except ValueError:
    log.err()
Logger().error("an error")
assert [str(error) for error in seen] == ["nobody caught me"], seen
"""


def test_nothing_of_the_libraries_logs_reaches_the_streams() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
