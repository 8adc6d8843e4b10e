"""Two sides on one relay, and everybody who may disturb them: strangers, stock wormholes, cut cables."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from spake2 import SPAKE2_Symmetric
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue, ensureDeferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.portforward import ProxyFactory
from wormhole import create
from wormhole._key import derive_phase_key, encrypt_data

from wormsig.ceremony import messages, wire
from wormsig.transport.channel import Channel
from wormsig.transport.connector import Connector
from wormsig.transport.library import APPID
from wormsig.transport.limits import Limits

CEREMONY = "7f3a19" + "0" * 26
QUICK = Limits(
    connect=20,
    pairing=20,
    entry=20,
    handshake=5,
    replay=0.4,
    heartbeat=0.2,
    quiet=0.5,
    silence=3,
    acknowledge=20,
    close=0.5,
)
"""Short, and yet longer than a busy machine stops for everybody."""

ENOUGH = 60.0
"""Seconds in which whatever should happen has happened, on any machine."""


def coordinator(url: str, **options: Any) -> Connector:
    return Connector(reactor, url, role="coordinator", **{"limits": QUICK, **options})


def cosigner(url: str, **options: Any) -> Connector:
    return Connector(reactor, url, role="cosigner", **{"limits": QUICK, **options})


async def both(*coroutines: Any) -> list[Any]:
    """Run at once, and wait for all, at most `ENOUGH` seconds; failures are results."""
    running = [ensureDeferred(coroutine) for coroutine in coroutines]
    for one in running:
        one.addTimeout(ENOUGH, reactor)
        one.addErrback(lambda failure: failure.value)
    return await gatherResults(running)


async def pair(url: str, **options: Any) -> tuple[Channel, Channel]:
    waiting = await coordinator(url, **options).allocate()
    entered = await cosigner(url, **options).use_code(waiting.code)
    results = await both(waiting.paired(), entered.paired())
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results[0], results[1]


def proposal(obj: bytes, **changes: Any) -> messages.Proposal:
    values: dict[str, Any] = {
        "ceremony": CEREMONY,
        "network": "regtest",
        "wallet": None,
        "threshold": 2,
        "total": 3,
        "psbt": wire.reference(obj),
        "unsigned_txid": "ab" * 32,
        "sent_at": None,
    }
    return messages.Proposal(**{**values, **changes})


def contribution(obj: bytes) -> messages.Contribution:
    return messages.Contribution(ceremony=CEREMONY, psbt=wire.reference(obj), form="psbt")


async def handed_over(sender: Channel, receiver: Channel, letter: Any, obj: bytes | None = None) -> None:
    """Deliver, receive, compare, acknowledge."""
    delivering = ensureDeferred(sender.deliver(letter, obj))
    received = await receiver.receive()
    assert received.letter == letter
    assert received.obj == obj
    receiver.acknowledge(received)
    await delivering


async def next_letter(hostile: Any) -> Any:
    """The next message that a bare wormhole hears, signs of life apart."""
    while True:
        message = wire.decode(await hostile.get_message().addTimeout(ENOUGH, reactor))
        if not isinstance(message, messages.Ping):
            return message


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def until(true: Any, limit: float = ENOUGH, *, pause: float = 0.01) -> None:
    """Wait for something; without a pause it is looked for at every turn of the reactor, however soon it is over."""
    deadline = reactor.seconds() + limit
    while not true():
        assert reactor.seconds() < deadline, "did not happen in time"
        await sleep(pause)


def stock_wormhole(url: str, versions: dict[str, Any] | None = None, appid: str = APPID) -> Any:
    """Somebody with the library and no manners."""
    return create(appid, url, reactor, versions=versions or {})


HELLO = {"wormsig": {"role": "cosigner", "version": "0.1.0", "protocols": [1], "verify": False}}


async def hostile_cosigner(url: str, **options: Any) -> tuple[Channel, Any]:
    """A real coordinator's channel, and the bare wormhole at its other end."""
    waiting = await coordinator(url, **options).allocate()
    hostile = stock_wormhole(url, HELLO)
    hostile.set_code(waiting.code)
    channel, _ = await both(waiting.paired(), hostile.get_versions())
    assert isinstance(channel, Channel), channel
    return channel, hostile


class Stranger(WebSocketClientProtocol):
    """Somebody who speaks to the relay directly: `say("claim", nameplate="4")`, `await heard("claimed")`."""

    def __init__(self) -> None:
        super().__init__()
        self._inbox: DeferredQueue[dict[str, Any]] = DeferredQueue()
        self.ready: Deferred[None] = Deferred()

    def onOpen(self) -> None:  # noqa: N802  autobahn's name
        self.ready.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: ARG002, N802, N803  autobahn's names
        self._inbox.put(json.loads(payload))

    def say(self, kind: str, **fields: Any) -> None:
        self.sendMessage(json.dumps({"type": kind, **fields}).encode(), False)

    async def heard(self, kind: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = await self._inbox.get().addTimeout(ENOUGH, reactor)
            if message["type"] == kind:
                return message

    async def claim(self, code: str) -> None:
        """Claim a code's nameplate and open its mailbox."""
        self.say("claim", nameplate=code.partition("-")[0])
        self.say("open", mailbox=(await self.heard("claimed"))["mailbox"])


async def stranger(url: str, side: str = "stranger", *, bind: bool = True) -> Stranger:
    factory = WebSocketClientFactory(url)
    factory.protocol = Stranger
    endpoint = HostnameEndpoint(reactor, factory.host, factory.port)
    protocol: Stranger = await endpoint.connect(factory)
    await protocol.ready
    if bind:
        protocol.say("bind", appid=APPID, side=side)
    return protocol


class Impostor:
    """Somebody who has the code and does the handshake by hand, so that every byte can be chosen."""

    def __init__(self, socket: Stranger, key: bytes) -> None:
        self.socket = socket
        self._key = key

    def send(self, phase: str, plaintext: bytes) -> None:
        """Encrypt as the protocol asks, and send under any phase."""
        body = encrypt_data(derive_phase_key(self._key, "impostor", phase), plaintext)
        self.socket.say("add", phase=phase, body=body.hex())


async def impostor(url: str, code: str) -> Impostor:
    socket = await stranger(url, "impostor")
    await socket.claim(code)
    exchange = SPAKE2_Symmetric(code.encode(), idSymmetric=APPID.encode())
    socket.say("add", phase="pake", body=json.dumps({"pake_v1": exchange.start().hex()}).encode().hex())
    while (message := await socket.heard("message"))["side"] == "impostor":
        pass
    assert message["phase"] == "pake"
    return Impostor(socket, exchange.finish(bytes.fromhex(json.loads(bytes.fromhex(message["body"]))["pake_v1"])))


class Cable:
    """A TCP connection to a relay that can be cut; listens on a port of its own."""

    def __init__(self, port: int) -> None:
        self._factory = WrappingFactory(ProxyFactory("127.0.0.1", port))
        self._listening = reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        self.port: int = self._listening.getHost().port
        self.url = f"ws://127.0.0.1:{self.port}/v1"

    def pull(self) -> None:
        """Every connection breaks now; new ones are possible."""
        for connection in list(self._factory.protocols):
            connection.transport.abortConnection()

    async def unplug(self) -> None:
        """Every connection breaks, and new ones are refused."""
        await self._listening.stopListening()
        self.pull()

    def plug_in(self) -> None:
        self._listening = reactor.listenTCP(self.port, self._factory, interface="127.0.0.1")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
