"""The real mailbox server in this process, for tests, the demo and `wormsig relay`. Not the client's side of anything.

It does not list nameplates (THREATS T8), keeps no log of who connected, and forgets mailboxes that nobody used for
eleven minutes, as the public one does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from wormhole_mailbox_server.database import DBError, create_channel_db, create_or_upgrade_channel_db
from wormhole_mailbox_server.server import make_server
from wormhole_mailbox_server.web import make_web_server

from wormsig.errors import StorageError
from wormsig.transport.errors import ListenError

if TYPE_CHECKING:
    from pathlib import Path

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
    """

    url: str
    port: int
    server: Any = field(repr=False)
    _listening: Any = field(repr=False)
    _connections: WrappingFactory = field(repr=False)
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
) -> RunningRelay:
    """Start a mailbox server in this process.

    Args:
        reactor: The reactor.
        port: TCP port, 0 for a free one.
        interface: Address to listen on, IPv4 or IPv6.
        db: SQLite file that outlives a restart, or `:memory:`.

    Raises:
        ListenError: The port or the interface cannot be used.
        StorageError: The database cannot be opened.
    """
    try:
        database = create_channel_db(IN_MEMORY) if str(db) == IN_MEMORY else create_or_upgrade_channel_db(str(db))
    except (DBError, OSError) as error:
        raise StorageError(f"the relay's database cannot be opened: {error}") from error
    # Any blur switches off the log of requests with their addresses.
    server = make_server(database, allow_list=False, blur_usage=3600)
    connections = WrappingFactory(make_web_server(server, log_requests=False))  # type: ignore[no-untyped-call]
    try:
        listening: Any = reactor.listenTCP(port, connections, interface=interface)
    except CannotListenError as error:
        database.close()
        raise ListenError(f"cannot listen on {interface} port {port}: {error.socketError}") from None

    def prune() -> None:
        now = time.time()
        try:
            server.prune_all_apps(now, now - FORGET_AFTER)
        except Exception:  # noqa: BLE001  one failed round must not end the timer, and with it the pruning
            log.failure("pruning failed")

    pruning = LoopingCall(prune)
    pruning.clock = reactor
    pruning.start(PRUNE_EVERY)
    chosen: int = listening.getHost().port
    host = f"[{interface}]" if ":" in interface else interface
    return RunningRelay(f"ws://{host}:{chosen}/v1", chosen, server, listening, connections, pruning, database)
