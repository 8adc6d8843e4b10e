"""What every test may use: a real node, a home of its own, and the command line as a subprocess.

`support` (tests/support) can be imported from every test.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
# Whatever PYTHONDONTWRITEBYTECODE says: pytest rewrites every assertion, and what it does not keep is done anew every
# time by each of the processes that run side by side, which is a third of the quick tests' time.
sys.dont_write_bytecode = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wormsig.node.regtest import RegtestNode

COMMAND_TIMEOUT = 120

# No test is about how long an example takes: a machine that others use too stops for longer than Hypothesis allows.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
_KEPT = ("PATH", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START", "TMPDIR")


class RunWormsig(Protocol):
    """`wormsig("inspect", path, stdin=b"…")`; the finished process, its streams as text."""

    def __call__(
        self, *arguments: object, stdin: bytes = b"", env: Mapping[str, str] | None = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]: ...


def _terminated(_signum: int, _frame: object) -> None:
    pytest.exit("terminated", returncode=143)


def pytest_runtest_setup() -> None:
    """Let Ctrl-C and SIGTERM end the run.

    pytest-twisted's reactor takes both for itself when the first test starts it: it would stop, and every later test
    would fail with "twisted reactor has stopped".
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)


def pytest_collection_finish() -> None:
    """Leave what is there now, which stays to the end, out of every garbage collection: it is most of all there is."""
    gc.freeze()


@pytest.fixture(scope="session")
def node() -> Iterator[RegtestNode]:
    """One regtest node for the whole run. Tests share its chain: use wallets and addresses of your own."""
    from support.bitcoind import RegtestNode  # noqa: PLC0415  only tests that need a node pay for it

    with RegtestNode() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A WORMSIG_HOME that nobody else uses; not made yet."""
    return tmp_path / "home"


@pytest.fixture
def clean_env(tmp_path: Path, home: Path) -> dict[str, str]:
    """The environment of a fresh user: nothing of this machine's but PATH."""
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        **env,
        "HOME": str(tmp_path),
        "WORMSIG_HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
        "TERM": "dumb",
    }


@pytest.fixture
def wormsig(clean_env: dict[str, str], tmp_path: Path) -> RunWormsig:
    """Run the command as a process, without a terminal: arguments become strings, `check` wants exit 0."""

    def run(
        *arguments: object, stdin: bytes = b"", env: Mapping[str, str] | None = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "wormsig", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env={**clean_env, **(env or {})},
            cwd=tmp_path,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        )
        assert not check or result.returncode == 0, result.stderr
        return result

    return run
