"""From the relay's options to a connector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wormsig.transport.connector import Connector
from wormsig.transport.limits import limits_from_environment
from wormsig.transport.tor import start_tor

if TYPE_CHECKING:
    from wormsig.app.settings import RelayOptions
    from wormsig.transport.hello import Role


async def connector_for(reactor: Any, options: RelayOptions, role: Role) -> Connector:  # noqa: ANN401  no one type
    """A connector to the relay that the options name.

    Args:
        reactor: The reactor.
        options: What was typed, or set in the environment.
        role: Our role in the ceremonies.

    Raises:
        UsageError: The URL is not a relay's.
        TransportError: No Tor answers.
    """
    tor = None
    if options.tor or options.launch_tor:
        tor = await start_tor(reactor, launch=options.launch_tor, control_port=options.tor_control_port)
    return Connector(reactor, options.url, role=role, verify=options.verify, limits=limits_from_environment(), tor=tor)
