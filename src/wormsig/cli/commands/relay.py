"""`wormsig relay`: run the real mailbox server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wormsig.cli import options
from wormsig.errors import UsageError
from wormsig.render.sanitize import sanitize

if TYPE_CHECKING:
    from wormsig.cli.console import Console
    from wormsig.transport.relay_tls import RelayCertificate

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("relay")
@click.option("--port", type=click.IntRange(0, 65535), default=4000, show_default=True, help="TCP port; 0: a free one.")
@click.option("--interface", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--db", default=":memory:", show_default=True, metavar="FILE", help="Keep mailboxes over a restart.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Encrypt, with this certificate (and its chain).")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="The certificate's private key.")
@options.console_options
def command(
    *, port: int, interface: str, db: str, tls_cert: Path | None, tls_key: Path | None, console: Console
) -> None:
    """Run your own mailbox server, until Ctrl-C (exit 130) or SIGTERM (exit 143).

    Prints the URL for --relay-url. It forgets mailboxes that nobody used for eleven minutes, lists no nameplates,
    keeps no log of who connected, and takes a renewed certificate by itself.
    """
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    from twisted.internet import defer  # noqa: PLC0415  Twisted takes a quarter of a second to load

    from wormsig.cli.reactor import run_on_reactor  # noqa: PLC0415  same
    from wormsig.transport.relay import is_loopback, start_relay  # noqa: PLC0415  same

    certificate = _certificate(tls_cert, tls_key)

    async def serve(reactor: Any) -> None:  # noqa: ANN401  Twisted's reactor has no one type
        relay = await start_relay(
            reactor, port, interface, db, certificate=certificate, tell=lambda line: console.warn(sanitize(line, 500))
        )
        console.result(relay.url)
        if certificate is None and not is_loopback(interface):
            console.warn(
                f"warning: listening on {sanitize(interface, 100)} without TLS: whoever is on the line sees who uses "
                "it, when, codes' numbers and sizes (see --tls-cert)"
            )
        console.say("Ctrl-C ends it.")
        try:
            await defer.Deferred()
        finally:
            await relay.stop()

    run_on_reactor(serve)


def _certificate(certificate: Path | None, key: Path | None) -> RelayCertificate | None:
    if certificate is None or key is None:
        return None
    from wormsig.transport.relay_tls import RelayCertificate  # noqa: PLC0415  cryptography takes its time too

    return RelayCertificate(certificate, key)
