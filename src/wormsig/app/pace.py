"""How often one other side may be met again: each meeting leaves an event in the journal for ever (THREATS R10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import deferLater

if TYPE_CHECKING:
    from wormsig.transport.connector import Connector

MEETINGS_AT_ONCE = 20
PAUSE = 60.0
"""Meetings of one pair in one process before each further one has to wait, in seconds."""


class Pace:
    """Holds back who comes again and again.

    Args:
        connector: For its reactor.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._met = 0

    async def next(self) -> None:
        """Wait until the next meeting may begin."""
        if self._met >= MEETINGS_AT_ONCE:
            await deferLater(self._connector.reactor, PAUSE)
        self._met += 1
