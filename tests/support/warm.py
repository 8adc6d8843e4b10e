"""Commands in processes of their own that need not import anything: a child of a process that has imported it all.

A ceremony takes half a second of a processor to run and as long to import what it runs. So one process per test run
imports wormsig, stays without threads and without a reactor, and forks for every command: what is started has its own
pid, environment, folder, standard streams and end, as if `python -m wormsig` had been started. Whatever is about
starting itself (tests/e2e/test_startup.py, the commands of the `wormsig` fixture, what a sitecustomize patches) starts
a fresh interpreter.

This file is also the program of that process: it is run with the number of its control socket.
"""

from __future__ import annotations

import array
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TextIO

_REQUEST = 1 << 17
_WITH_A_REACTOR = {"wormsig.__main__", "wormsig.transport.relay", "wormsig.transport.relay_server"}
"""Not imported ahead: the reactor's files must not be shared by several processes, and nothing may run yet."""

NEEDS_A_FRESH_START = ("PYTHONPATH", "COVERAGE_PROCESS_START")
"""What an interpreter looks at when it starts."""


# -- the process that imports and forks --------------------------------------------------------------------------------


def _import_everything() -> None:
    import wormsig  # noqa: PLC0415  not in the tests' own process

    for module in pkgutil.walk_packages(wormsig.__path__, "wormsig."):
        if module.name not in _WITH_A_REACTOR:
            importlib.import_module(module.name)
    assert "twisted.internet.reactor" not in sys.modules
    gc.freeze()  # what is there stays: the children need not look at it, nor have pages of their own for it


class _Server:
    """Forks for every request, and tells how each child ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> list[str]:
        """Until the tests end; returns in each child, with its arguments."""
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._ended(key.fd, *key.data)
                    continue
                message, fds, _, _ = socket.recv_fds(self._control, _REQUEST, 4)
                if not message:
                    self._give_up()
                pid = os.fork()
                if pid == 0:
                    return _become(json.loads(message), fds)
                teller = socket.socket(fileno=fds.pop())
                for fd in fds:
                    os.close(fd)
                teller.sendall(array.array("q", [pid]).tobytes())
                self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, teller))

    def _ended(self, pidfd: int, pid: int, teller: socket.socket) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._selector.unregister(pidfd)
        os.close(pidfd)
        with contextlib.suppress(OSError):  # nobody may want to know any more
            teller.sendall(array.array("q", [code]).tobytes())
        teller.close()

    def _give_up(self) -> None:
        for key in self._selector.get_map().values():
            if key.data is not None:
                os.kill(key.data[0], signal.SIGKILL)
        os._exit(0)


def _become(request: dict[str, object], fds: list[int]) -> list[str]:
    """The environment, folder and streams of a command."""
    for number in range(3):
        os.dup2(fds[number], number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    time.tzset()
    os.chdir(str(request["cwd"]))
    return list(request["arguments"])  # type: ignore[call-overload]


# -- in the tests ------------------------------------------------------------------------------------------------------


_one = threading.Lock()


def _control() -> socket.socket:
    """The way to the process that forks; made once, whichever thread comes first."""
    with _one:
        return _started()


@functools.cache
def _started() -> socket.socket:
    """Start that process; it ends when this end is closed, which is when the tests are over."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            pass_fds=[its.fileno()],
            start_new_session=True,
        )
    return ours


class Forked:
    """A command that was started; what the tests use of `subprocess.Popen`.

    Args:
        arguments: Of `wormsig`.
        env: All of its environment.
        cwd: Its folder.
        streams: Its standard input, output and error: open files.
        stdout: What is read of it here, if it writes to a pipe.
        stderr: Same.
    """

    def __init__(
        self,
        arguments: list[str],
        env: dict[str, str],
        cwd: object,
        streams: tuple[int, int, int],
        *,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.args = [sys.executable, "-m", "wormsig", *arguments]
        self.returncode: int | None = None
        self._ear, teller = socket.socketpair()
        request = json.dumps({"arguments": arguments, "env": env, "cwd": str(cwd)})
        with teller:
            socket.send_fds(_control(), [request.encode()], [*streams, teller.fileno()])
        self.pid = self._number(60)

    def _number(self, timeout: float | None) -> int:
        self._ear.settimeout(timeout)
        said = self._ear.recv(8)
        assert len(said) == 8, "the process that starts commands has ended"
        return array.array("q", said)[0]

    def poll(self) -> int | None:
        """The exit code, or None as long as it runs."""
        with contextlib.suppress(BlockingIOError):
            self._hear(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit code."""
        try:
            self._hear(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        assert self.returncode is not None
        return self.returncode

    def _hear(self, timeout: float | None) -> None:
        if self.returncode is None:
            self.returncode = self._number(timeout)
            self._ear.close()

    def send_signal(self, number: int) -> None:
        """Signal it, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(arguments: list[str], env: dict[str, str], cwd: object) -> Forked:
    """A command without input, whose streams are read while it runs."""
    with Path(os.devnull).open("rb") as nothing:
        ours, its = zip(os.pipe(), os.pipe(), strict=True)
        try:
            out, err = (os.fdopen(fd, encoding="utf-8") for fd in ours)
            return Forked(arguments, env, cwd, (nothing.fileno(), *its), stdout=out, stderr=err)
        finally:
            for fd in its:
                os.close(fd)


def run(
    arguments: list[str], env: dict[str, str], cwd: object, *, stdin: str = "", timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode())
        files[0].seek(0)
        process = Forked(arguments, env, cwd, (files[0].fileno(), files[1].fileno(), files[2].fileno()))
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for file in files:
            file.seek(0)
        out, err = (file.read().decode() for file in files[1:])
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


if __name__ == "__main__":
    _import_everything()
    sys.argv = ["wormsig", *_Server(socket.socket(fileno=int(sys.argv[1]))).serve()]
    from wormsig.cli.main import main

    main()
