"""A small Tor for tests: a SOCKS5 port that really forwards, a control port that txtorcon can talk to, no network.

Names are "resolved" from a table, so that whoever can reach them must have come through here. Runs in threads of the
test, or as a process of its own in the place of `tor` (`as_executable`). Python's standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import select
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

VERSION = "0.4.8.10"
REFUSED = 5  # SOCKS5's "connection refused"


@dataclass
class Asked:
    """One connection that somebody asked for: the name, and the bytes that went through."""

    host: str
    port: int
    by_name: bool
    sent: int = 0
    heard: int = 0


@dataclass
class FakeTor:
    """A context manager; everything it has seen stands in its attributes.

    Attributes:
        names: (host, port) as asked for -> (address, port) on this machine.
        refuse: The SOCKS reply to every request; 0: do what is asked.
        cookie: What the control port's cookie file holds.
        deny: The control port refuses whoever authenticates.
        mute: The control port never answers.
    """

    names: dict[tuple[str, int], tuple[str, int]]
    folder: Path
    refuse: int = 0
    deny: bool = False
    mute: bool = False
    socks_port: int = 0
    control_at: str = ""
    cookie: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    asked: list[Asked] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    owned: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._open: list[socket.socket] = []
        self.cookie_file = self.folder / "control_auth_cookie"
        self.cookie_file.write_bytes(self.cookie)
        self.socks_port = self._serve(("127.0.0.1", self.socks_port), self._socks)
        self.control_port = self._serve(self.control_at or ("127.0.0.1", 0), self._control)
        self.endpoint = f"tcp:127.0.0.1:{self.control_port}"
        return self

    def __exit__(self, *failure: object) -> None:
        self.die()

    def die(self) -> None:
        """Every connection breaks, and nobody answers any more."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, address: Any, serve: Any) -> int:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(50)
        self._open.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                self._open.append(connection)
                threading.Thread(target=self._guarded, args=(serve, connection), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return 0 if isinstance(address, str) else int(listener.getsockname()[1])

    @staticmethod
    def _guarded(serve: Any, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError), connection:
            serve(connection)

    # -- SOCKS5 (RFC 1928) -----------------------------------------------------------------------------------------

    def _socks(self, connection: socket.socket) -> None:
        version, methods = _exactly(connection, 2)
        _exactly(connection, methods)
        connection.sendall(b"\x05\x00")
        version, command, _, kind = _exactly(connection, 4)
        by_name = kind == 3
        if by_name:
            host = _exactly(connection, _exactly(connection, 1)[0]).decode()
        else:
            host = socket.inet_ntop(*{1: (socket.AF_INET, _exactly(connection, 4))}[kind])
        port = int.from_bytes(_exactly(connection, 2))
        asked = Asked(host, port, by_name)
        self.asked.append(asked)
        target = self.names.get((host, port))
        reply = self.refuse or (4 if target is None else 0)
        if (version, command) != (5, 1):
            reply = 7
        if reply or target is None:
            connection.sendall(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
            return
        try:
            other = socket.create_connection(target, 5)
        except OSError:
            connection.sendall(bytes([5, REFUSED, 0, 1, 0, 0, 0, 0, 0, 0]))
            return
        self._open.append(other)
        connection.sendall(bytes([5, 0, 0, 1, 127, 0, 0, 1, 0, 80]))
        with other:
            while True:
                ready, _, _ = select.select([connection, other], [], [])
                for each in ready:
                    data = each.recv(65_536)
                    if not data:
                        return
                    if each is connection:
                        asked.sent += len(data)
                        other.sendall(data)
                    else:
                        asked.heard += len(data)
                        connection.sendall(data)

    # -- the control port (control-spec) ---------------------------------------------------------------------------

    def _control(self, connection: socket.socket) -> None:
        challenge = b""
        for raw in connection.makefile("rb"):
            line = raw.decode().strip()
            self.commands.append(line.split(" ")[0] if line.startswith("AUTH") else line)
            if self.mute:
                continue
            name, _, rest = line.partition(" ")
            if name == "AUTHCHALLENGE":
                client = bytes.fromhex(rest.split()[1])
                server = secrets.token_bytes(32)
                challenge = client + server
                shown = self._hash(b"Tor safe cookie authentication server-to-controller hash", challenge)
                answer = f"250 AUTHCHALLENGE SERVERHASH={shown} SERVERNONCE={server.hex().upper()}"
            elif name == "AUTHENTICATE":
                wanted = self._hash(b"Tor safe cookie authentication controller-to-server hash", challenge)
                fits = rest.upper() == wanted and not self.deny
                answer = "250 OK" if fits else "515 Authentication failed: Safe cookie response did not match"
            else:
                answer = self._answer(name, rest)
            connection.sendall(answer.encode() + b"\r\n")
            if name == "TAKEOWNERSHIP":
                self.owned.set()
            if name == "SETEVENTS" and "STATUS_CLIENT" in rest:
                done = '650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"\r\n'
                connection.sendall(done.encode())
        self.abandoned.set()

    def _hash(self, purpose: bytes, challenge: bytes) -> str:
        return hmac.digest(purpose, self.cookie + challenge, hashlib.sha256).hex().upper()

    def _answer(self, name: str, rest: str) -> str:
        if name == "PROTOCOLINFO":
            return (
                "250-PROTOCOLINFO 1\r\n"
                f'250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="{self.cookie_file}"\r\n'
                f'250-VERSION Tor="{VERSION}"\r\n250 OK'
            )
        if name == "GETCONF":
            return f"250 SocksPort={self.socks_port}"
        if name != "GETINFO":
            return "250 OK"
        known = {
            "version": VERSION,
            "signal/names": "RELOAD DUMP",
            "events/names": "CIRC STREAM CONF_CHANGED STATUS_CLIENT",
        }
        if rest == "config/names":
            return "250+config/names=\r\nControlPort Dependent\r\n.\r\n250 OK"
        if rest in known:
            return f"250-{rest}={known[rest]}\r\n250 OK"
        return f'552 Unrecognized key "{rest}"'


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def as_executable(path: Path, names: dict[tuple[str, int], tuple[str, int]]) -> None:
    """Write a `tor` that can be launched. It tells its process id, and what it was asked, in files beside it."""
    table = json.dumps([[*key, *value] for key, value in names.items()])
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import tor\ntor.main(sys.argv[1:], {table!r}, {str(path)!r})\n"
    )
    path.chmod(0o755)


def main(arguments: list[str], table: str, beside: str) -> None:
    """What a launched `tor` does: listen where it is told, say so, and end with the one who owns it."""
    Path(f"{beside}.pid").write_text(str(os.getpid()))
    options = {}
    rest = [each for each in arguments if not each.startswith("--")]
    for name, value in zip(rest[::2], rest[1::2], strict=False):
        options[name.lower()] = value
    names = {(host, port): (address, number) for host, port, address, number in json.loads(table)}
    control = options["controlport"].removeprefix("unix:")
    tor = FakeTor(names, Path(options["datadirectory"]), socks_port=int(options["socksport"]), control_at=control)
    with tor:
        sys.stdout.write(f"[notice] Opening Control listener on {control}\n")
        sys.stdout.flush()
        tor.owned.wait(60)
        tor.abandoned.wait()
    Path(f"{beside}.asked").write_text(json.dumps([[each.host, each.port, each.by_name] for each in tor.asked]))
