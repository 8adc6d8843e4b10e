"""The real mailbox server in this process, for tests, the demo and `wormsig relay`. Not the client's side of anything.

It does not list nameplates (THREATS T8), keeps no log of who connected, and forgets mailboxes that nobody used for
eleven minutes, as the public one does. What keeps it from growing stands in `relay_server`, its certificate in
`relay_tls`.
"""

from __future__ import annotations

import socket
import sqlite3
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from wormhole_mailbox_server.database import DBError, create_channel_db, create_or_upgrade_channel_db
from wormhole_mailbox_server.increase_rlimits import increase_rlimits
from wormhole_mailbox_server.server import make_server

from wormsig.errors import StorageError
from wormsig.transport.errors import ListenError
from wormsig.transport.relay_server import Doors, Ledger, RelayLimits, make_site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wormsig.transport.relay_tls import RelayCertificate

IN_MEMORY = ":memory:"
PRUNE_EVERY = 300.0
FORGET_AFTER = 660.0

log = Logger()


@dataclass(slots=True)
class RunningRelay:
    """A mailbox server that listens.

    Attributes:
        url: What `--relay-url` takes.
        port: The TCP port.
        server: The library's server, for its counters.
        ledger: What is in use.
    """

    url: str
    port: int
    server: Any = field(repr=False)
    ledger: Ledger = field(repr=False)
    _listening: Any = field(repr=False)
    _connections: Doors = field(repr=False)
    _pruning: LoopingCall = field(repr=False)
    _database: Any = field(repr=False)

    async def stop(self) -> None:
        """Stop listening, drop every connection, close the database."""
        await self._listening.stopListening()
        for connection in list(self._connections.protocols):
            connection.transport.abortConnection()
        if self._pruning.running:
            self._pruning.stop()
        self._database.close()


async def start_relay(
    reactor: Any,  # noqa: ANN401  the reactor has many interfaces and no one type
    port: int = 0,
    interface: str = "127.0.0.1",
    db: str | Path = IN_MEMORY,
    *,
    certificate: RelayCertificate | None = None,
    limits: RelayLimits | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> RunningRelay:
    """Start a mailbox server in this process.

    Args:
        reactor: The reactor.
        port: TCP port, 0 for a free one.
        interface: Address to listen on, IPv4 or IPv6.
        db: SQLite file that outlives a restart, or `:memory:`.
        certificate: Its certificate; without one it does not encrypt (what wormholes send is encrypted all the same).
        limits: What it carries at most.
        tell: Gets a line for the operator, when there is something to tell.

    Raises:
        ListenError: The port or the interface cannot be used.
        StorageError: The database cannot be opened.
    """
    increase_rlimits()
    database = _open(db)
    # Any blur switches off the log of requests with their addresses.
    server = make_server(database, allow_list=False, blur_usage=3600)
    ledger = Ledger(server, database, limits or RelayLimits())
    ledger.revive(time.time())
    site = make_site(server, ledger)
    if certificate is not None:
        creator: Any = certificate  # zope's interfaces mean nothing to the type checker
        site = TLSMemoryBIOFactory(creator, False, site)
        site.noisy = False
    doors = Doors(site, ledger.limits.connections)
    try:
        listening: Any = reactor.listenTCP(port, doors, interface=interface)
    except CannotListenError as error:
        database.close()
        raise ListenError(f"cannot listen on {interface} port {port}: {error.socketError}") from None

    def look_after() -> None:
        now = time.time()
        try:
            ledger.prune(now, now - FORGET_AFTER)
            if certificate is not None:
                certificate.renew(tell)
        except Exception:  # noqa: BLE001  one failed round must not end the timer, and with it the pruning
            log.failure("pruning failed")

    pruning = LoopingCall(look_after)
    pruning.clock = reactor
    pruning.start(PRUNE_EVERY)
    chosen: int = listening.getHost().port
    scheme = "ws" if certificate is None else "wss"
    name = certificate.name if certificate else None
    url = f"{scheme}://{name or _host(interface)}:{chosen}/v1"
    return RunningRelay(url, chosen, server, ledger, listening, doors, pruning, database)


def _open(db: str | Path) -> Any:  # noqa: ANN401  SQLite's connection, with rows as dicts
    """The database, made when it is not there."""
    try:
        if str(db) == IN_MEMORY:
            return create_channel_db(IN_MEMORY)
        database = create_or_upgrade_channel_db(str(db))
        # What was written survives this process however it ends, without a wait for the disk at every message.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
    except (DBError, OSError, sqlite3.Error) as error:
        raise StorageError(f"the relay's database cannot be opened: {error}") from error
    return database


def is_loopback(interface: str) -> bool:
    """Whether only this machine can connect to an address."""
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return interface == "localhost"


def _host(interface: str) -> str:
    """What others call this machine, as far as it knows."""
    try:
        address = ip_address(interface)
    except ValueError:
        return interface
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{interface}]" if address.version == 6 else interface
