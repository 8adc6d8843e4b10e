"""Finding or starting Tor. What a relay then learns of us is Tor's exit; the peer learns nothing either way."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.errors import UsageError
from wormsig.transport.errors import TorError
from wormsig.transport.library import NoTiming

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

FIND_LIMIT = 20.0
LAUNCH_LIMIT = 180.0


async def start_tor(reactor: Any, *, launch: bool = False, control_port: str | None = None) -> Any:  # noqa: ANN401
    """What `Connector` takes as `tor`.

    Without options a Tor that runs here is looked for at its usual control ports, and then its usual SOCKS ports
    are used; whether anything answers there shows when the relay is connected to.

    Args:
        reactor: The reactor.
        launch: Start a Tor of our own; it ends with this process.
        control_port: Twisted endpoint of a running Tor's control port, e.g. `tcp:127.0.0.1:9051`.

    Raises:
        UsageError: Both, or a malformed endpoint.
        TorError: No Tor answers, or it cannot be started.
    """
    from wormhole.tor_manager import get_tor  # noqa: PLC0415  txtorcon is heavy and rarely needed

    if launch and control_port:
        raise UsageError("--launch-tor and --tor-control-port exclude each other")
    limit = LAUNCH_LIMIT if launch else FIND_LIMIT
    looking: Deferred[Any] = get_tor(reactor, launch, control_port or None, timing=NoTiming(), stderr=io.StringIO())
    try:
        return await looking.addTimeout(limit, reactor)
    except TwistedTimeoutError:
        raise TorError(f"Tor did not answer within {limit:.0f} s") from None
    except ValueError as error:
        raise UsageError(f"not a control port: {error}", hint="it looks like tcp:127.0.0.1:9051") from None
    except Exception as error:  # noqa: BLE001  txtorcon raises what its parts raise
        what = "be started" if launch else "be reached"
        hint = "is tor installed?" if launch else "is it running, and may you read its cookie file?"
        raise TorError(f"Tor cannot {what}: {' '.join(str(error).split())[:200]}", hint=hint) from None
