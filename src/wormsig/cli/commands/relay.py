"""`wormsig relay`: run the real mailbox server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wormsig.cli import options
from wormsig.cli.failure import TerminatedError

if TYPE_CHECKING:
    from wormsig.cli.console import Console


@click.command("relay")
@click.option("--port", type=click.IntRange(0, 65535), default=4000, show_default=True, help="TCP port; 0: a free one.")
@click.option("--interface", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--db", default=":memory:", show_default=True, metavar="FILE", help="Keep mailboxes over a restart.")
@options.console_options
def command(*, port: int, interface: str, db: str, console: Console) -> None:
    """Run your own mailbox server, until Ctrl-C or SIGTERM.

    Prints the URL for --relay-url. It forgets mailboxes that nobody used for eleven minutes, lists no
    nameplates, and keeps no log of who connected.
    """
    from twisted.internet import defer  # noqa: PLC0415  Twisted takes a quarter of a second to load

    from wormsig.cli.reactor import run_on_reactor  # noqa: PLC0415  same
    from wormsig.transport.relay import start_relay  # noqa: PLC0415  same

    async def serve(reactor: Any) -> None:  # noqa: ANN401  Twisted's reactor has no one type
        relay = await start_relay(reactor, port, interface, db)
        console.result(relay.url)
        console.say("Ctrl-C ends it.")
        try:
            await defer.Deferred()
        finally:
            await relay.stop()

    try:
        run_on_reactor(serve)
    except (KeyboardInterrupt, TerminatedError):
        console.say("stopped")
