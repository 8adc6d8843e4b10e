"""From a code to the end of a cosigner's side: pairing, the driver of `cosigning`, and a goodbye that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import defer
from twisted.internet.defer import TimeoutError as TwistedTimeoutError

from wormsig.app.cosigning import Cosigner
from wormsig.app.notices import Notices
from wormsig.ceremony import status
from wormsig.errors import PeerError, RefusedError, TransportError, UsageError, WormsigError

if TYPE_CHECKING:
    from wormsig.app.receive_plan import ReceivePlan, Watcher
    from wormsig.ceremony.cosigner import CosignerState
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.transport.connector import Connector


async def receive_with_code(
    plan: ReceivePlan,
    code: str,
    *,
    connector: Connector,
    journal: Journal,
    node: Node | None,
    watcher: Watcher,
    time_limit: float | None = None,
) -> CosignerState:
    """Use a code, and run the cosigner's side to its end.

    Args:
        plan: How to receive.
        code: As it was typed.
        connector: Makes the channel.
        journal: Where the events go.
        node: Our own node, to see the outcome with.
        watcher: Who watches and answers questions.
        time_limit: Seconds for the whole.

    Raises:
        TransportError: No pairing, the connection ended too early, or time is up.
        WormsigError: As `Cosigner.run`.
    """
    notices = Notices(connector.reactor, lambda words: watcher.status(status.ConnectionNotice(None, words)))

    async def all_of_it() -> CosignerState:
        pending = await connector.use_code(code)
        pending.on_notice = notices
        channel = await pending.paired()
        channel.on_notice = notices
        goodbye = ""
        try:
            return await Cosigner(plan, journal, connector, channel, node=node, watcher=watcher).run()
        except BaseException as error:
            goodbye = _goodbye(error)
            raise
        finally:
            notices.stop()
            await channel.close(goodbye)

    work = defer.ensureDeferred(all_of_it())
    if time_limit is not None:
        work.addTimeout(time_limit, connector.reactor)
    try:
        return await work
    except TwistedTimeoutError:
        raise TransportError("time is up", hint="whatever was signed is kept in the journal") from None


def _goodbye(error: BaseException) -> str:
    """What the coordinator is told of an early end: nothing of this machine."""
    if isinstance(error, RefusedError):
        return "it was not signed here"
    if not isinstance(error, WormsigError):
        return "the cosigner stopped, or ran out of time"
    if isinstance(error, PeerError):
        return "your side sent something that is not right"
    if isinstance(error, UsageError):
        return "this needs a person, and nobody is there"
    return "it could not go on here"
