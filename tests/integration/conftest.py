from __future__ import annotations

import pytest_twisted
from twisted.internet import reactor

from wormsig.transport.relay import start_relay


@pytest_twisted.async_yield_fixture
async def relay():
    running = await start_relay(reactor)
    yield running
    await running.stop()
