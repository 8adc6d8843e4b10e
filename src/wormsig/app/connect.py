"""From the relay's options to a connector."""

from __future__ import annotations

import math
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wormsig.ceremony import status
from wormsig.errors import UsageError
from wormsig.transport.connector import Connector
from wormsig.transport.library import check_relay_url
from wormsig.transport.limits import limits_from_environment
from wormsig.transport.tor import start_tor
from wormsig.transport.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.app.settings import RelayOptions
    from wormsig.ceremony.messages import Role
    from wormsig.ceremony.status import Status


async def connector_for(
    reactor: Any,  # noqa: ANN401  the reactor has many interfaces and no one type
    options: RelayOptions,
    role: Role,
    watch: Callable[[Status], None] = lambda _: None,
) -> Connector:
    """A connector to the relays that the options name.

    Args:
        reactor: The reactor.
        options: What was typed, or set in the environment.
        role: Our role in the ceremonies.
        watch: Gets what is to be told of the relays.

    Raises:
        UsageError: A URL is not a relay's, or not one that Tor can reach.
        InputError: The certificates cannot be read.
        TransportError: No Tor answers.
    """
    trust = Trust(options.authority)
    tor = None
    if options.through_tor:
        for url in options.urls:
            _check_for_tor(url)
        tor = await start_tor(reactor, launch=options.launch_tor, control_port=options.tor_control_port)
    limits = limits_from_environment()
    connector = Connector(reactor, options.urls, role=role, verify=options.verify, limits=limits, tor=tor, trust=trust)
    connector.relays.on_chosen = lambda url: watch(status.RelayChosen(url))
    connector.relays.on_pause = lambda url, seconds: watch(status.RelayPaused(url, math.ceil(seconds)))
    return connector


def _check_for_tor(url: str) -> None:
    host = urlsplit(check_relay_url(url)).hostname or ""
    try:
        reachable = ip_address(host).is_global
    except ValueError:
        reachable = host != "localhost" and not host.endswith(".localhost")
    if not reachable:
        raise UsageError(
            f"the relay {host} is on this machine or network, where Tor does not lead",
            hint="give it an onion service, or leave --tor out",
        )
