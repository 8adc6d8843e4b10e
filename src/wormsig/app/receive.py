"""The ways into a cosigner's side: with a code, or from the journal. What follows stands in `cosigning`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.notices import Notices
from wormsig.ceremony import status
from wormsig.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from wormsig.app.cosigning import Cosigner
    from wormsig.app.receive_plan import Watcher
    from wormsig.app.session import Session
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.transport.connector import Connector


async def receive_with_code(
    cosigner: Cosigner, code: str, *, connector: Connector, watcher: Watcher, time_limit: float | None = None
) -> CosignerState:
    """Use a code, and run the cosigner's side to its end.

    Args:
        cosigner: The cosigner's side.
        code: As it was typed.
        connector: Makes the channel.
        watcher: Who watches.
        time_limit: Seconds for the whole.

    Raises:
        TransportError: No pairing, the connection ended too early, or time is up.
        WormsigError: As `Cosigner.receive`.
    """
    notices = Notices(connector.reactor, lambda words: watcher.status(status.ConnectionNotice(None, words)))

    async def all_of_it() -> CosignerState:
        pending = await connector.use_code(code)
        pending.on_notice = notices
        try:
            channel = await pending.paired()
        finally:
            notices.stop()
        return await cosigner.receive(channel)

    return await _within(time_limit, all_of_it(), connector)


async def resume_cosigner(
    cosigner: Cosigner,
    session: Session[CosignerState, CosignerEvent],
    *,
    connector: Connector,
    time_limit: float | None = None,
) -> CosignerState:
    """Go on with a ceremony of the journal.

    Args:
        cosigner: The cosigner's side.
        session: The ceremony.
        connector: For its reactor.
        time_limit: Seconds for the whole.

    Raises:
        TransportError: The coordinator cannot be found again, or time is up.
        WormsigError: As `Cosigner.receive`.
    """
    return await _within(time_limit, cosigner.resume(session), connector)


async def _within(
    time_limit: float | None, work: Coroutine[Any, Any, CosignerState], connector: Connector
) -> CosignerState:
    running = defer.ensureDeferred(work)
    if time_limit is not None:
        running.addTimeout(time_limit, connector.reactor)
    try:
        return await running
    except TwistedTimeoutError:
        raise TransportError("time is up") from None  # what there is to go on with, the caller knows
