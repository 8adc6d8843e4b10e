"""Both wormhole servers in one process, for as long as standard input is open: `python servers.py`.

Prints one line with the mailbox server's URL and the transit relay's endpoint. wormsig needs only the first;
`wormhole send` moves files through the second.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.internet.threads import deferToThread
from wormhole_mailbox_server.database import create_channel_db
from wormhole_mailbox_server.server import make_server
from wormhole_mailbox_server.web import make_web_server
from wormhole_transit_relay.transit_server import Transit, TransitConnection
from wormhole_transit_relay.usage import create_usage_tracker

reactor: Any = _reactor


def transit_factory() -> ServerFactory:
    """The transit relay, without logs."""
    factory: Any = ServerFactory()
    factory.protocol = TransitConnection
    factory.log_requests = False
    factory.transit = Transit(create_usage_tracker(blur_usage=None, log_file=None, usage_db=None), reactor.seconds)
    return factory  # type: ignore[no-any-return]  # Any above, because Twisted does not know the attributes


async def serve() -> None:
    """Listen, say where, and end with standard input."""
    mailbox = make_server(create_channel_db(":memory:"))
    mailbox.startService()
    factories = make_web_server(mailbox, log_requests=False), transit_factory()
    ports = [reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port for factory in factories]
    print(f"ws://127.0.0.1:{ports[0]}/v1 tcp:127.0.0.1:{ports[1]}", flush=True)
    await deferToThread(sys.stdin.read)


if __name__ == "__main__":
    task.react(lambda _: Deferred.fromCoroutine(serve()))
