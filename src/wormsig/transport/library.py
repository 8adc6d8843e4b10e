"""The magic-wormhole library, held at arm's length: the one place that knows how it is built.

The library gives no say over its connection to the relay, except that whoever provides Tor makes the endpoint.
`Route` uses that: it is asked for an endpoint, and puts limits on the WebSocket (THREATS R10), watches for what the
library does not tell (docs/adr/0005), and can let go of a relay that is gone. No policy here; what to make of the
events is decided by `connector` and `channel`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from autobahn.exception import Disconnected
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as TwistedTimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from wormhole import create
from wormhole._interfaces import ITiming, ITorManager
from wormhole._rendezvous import WSClient
from wormhole.errors import (
    LonelyError,
    ServerConnectionError,
    ServerError,
    WelcomeError,
    WormholeClosed,
    WormholeError,
    WrongPasswordError,
)
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no annotations

from wormsig.ceremony.wire import MAX_PADDED
from wormsig.errors import PeerError, UsageError, WormsigError
from wormsig.transport.errors import (
    ChannelClosedError,
    CrowdedError,
    RelayRefusedError,
    RelayUnreachableError,
    TamperedError,
    WrongCodeError,
)
from wormsig.transport.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress

    from wormsig.transport.trust import Check

PUBLIC_RELAY = "ws://relay.magic-wormhole.io:4000/v1"
APPID = "wormsig/1"
SHORT = 4000  # bytes; errors of the relay repeat what they answer to
NEW_CODE = "a code works once; the coordinator's `wormsig send` shows a new one"
RELAY_HINT = "check the network and --relay-url"
# A message of ours, encrypted (+40), in hex, in the relay's JSON frame.
MAX_FRAME = 2 * (MAX_PADDED + 40) + 2000

log = Logger()


class RouteObserver(Protocol):
    """Who wants to know what happens on a route."""

    def relay_up(self) -> None:
        """A connection to the relay stands, the first or a later one."""

    def relay_down(self) -> None:
        """A connection that stood was lost; the library reconnects by itself."""

    def mailbox_message(self, sides: int) -> None:
        """The relay passed a message on.

        Args:
            sides: How many sides have been seen in this mailbox so far, ours included.
        """

    def relay_refused(self, error: WormsigError) -> None:
        """The relay answered with an error. The library then closes, and that can hang."""

    def relay_broke(self, error: Exception) -> None:
        """The relay said something that the library cannot read."""

    def oversized(self) -> None:
        """Somebody in the mailbox sent a message longer than the protocol allows; the connection is cut."""


@implementer(ITiming)
class NoTiming:
    """Keeps nothing. The library's default keeps every message in memory for ever."""

    def add(self, name: str, when: float | None = None, **details: Any) -> NoTiming:  # noqa: ARG002, ANN401
        """Begin an event."""
        return self

    def detail(self, **details: Any) -> None:  # noqa: ANN401  the library's signature
        """Describe the event."""

    def finish(self, when: float | None = None, **details: Any) -> None:  # noqa: ANN401  the library's signature
        """End the event."""

    def write(self, fn: str, stderr: Any) -> None:  # noqa: ANN401  the library's signature
        """Write nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class Client(WSClient):  # type: ignore[misc]  # the library has no annotations
    """The library's WebSocket client, which prints tracebacks to standard output; this one reports them."""

    def onOpen(self, *args: Any) -> None:  # noqa: N802, ANN401  autobahn's name
        """The relay answered."""
        self.factory.route.opened(self)
        super().onOpen(*args)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803  autobahn's names
        """The relay sent something."""
        route: Route = self.factory.route
        if isBinary:
            self.dropConnection(abort=True)
            return
        route.saw(payload)
        try:
            self._RC.ws_message(payload)
        except Exception as error:  # noqa: BLE001  whatever the library does not expect
            log.debug("unexpected message from the relay: {error!r}", error=error)
            route.choked(payload, error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  Twisted's name
        """The same, with the reason that autobahn keeps to itself."""
        self.factory.route.broken(reason.value)
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803  autobahn's
        """The connection is gone."""
        super().onClose(wasClean, code, reason)
        route: Route = self.factory.route
        route.closed(self)
        if self.wasMaxMessagePayloadSizeExceeded or self.wasMaxFramePayloadSizeExceeded:
            route.observer.oversized()


class _Endpoint:
    """A client endpoint that prepares the library's WebSocket factory.

    Args:
        make: Makes the endpoint proper, for each connection anew: those of txtorcon work once.
        route: Whose it is.
    """

    def __init__(self, make: Callable[[], Any], route: Route) -> None:
        self._make = make
        self._route = route

    def connect(self, factory: Any) -> Deferred[Any]:  # noqa: ANN401  IProtocolFactory
        """Connect, unless the route was given up: then wait for ever, which keeps the library from retrying."""
        if self._route.given_up:
            return Deferred()
        address: IAddress | None = None
        ours = factory.buildProtocol(address).factory  # ClientService hands out a proxy; this is what it stands for
        ours.protocol = Client
        ours.route = self._route
        ours.setProtocolOptions(maxFramePayloadSize=MAX_FRAME, maxMessagePayloadSize=MAX_FRAME, openHandshakeTimeout=20)
        connecting: Deferred[Any] = maybeDeferred(lambda: self._make().connect(factory))
        return connecting


@implementer(ITorManager)
class Route:
    """How one wormhole reaches its relay, and what is seen on the way.

    Args:
        reactor: The reactor.
        observer: Who wants to know.
        tor: An object with `stream_via(host, port, tls)`, as `wormhole.tor_manager.get_tor` makes it; None: directly.
        trust: Whose certificates are believed.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  it has many interfaces and no one type
        observer: RouteObserver,
        tor: Any = None,  # noqa: ANN401  the library's objects have no annotations
        trust: Trust | None = None,
    ) -> None:
        self._reactor = reactor
        self.observer = observer
        self._tor = tor
        self._trust = trust
        self._check: Check | None = None
        self._client: Client | None = None
        self._sides: set[str] = set()
        self.given_up = False
        self.watching = True  # reads every message; switched off once there is a channel

    def stream_via(self, host: str, port: int, tls: bool = False) -> _Endpoint:
        """The library asks for its connection to the relay."""
        if tls:
            self._check = (self._trust or Trust()).check(host)
        creator: Any = self._check  # zope's interfaces mean nothing to the type checker

        def make() -> Any:  # noqa: ANN401  IStreamClientEndpoint
            if self._tor is not None:
                return self._tor.stream_via(host, port, tls=creator or False)
            endpoint: Any = HostnameEndpoint(self._reactor, host, port)
            return endpoint if creator is None else wrapClientTLS(creator, endpoint)

        return _Endpoint(make, self)

    def give_up(self) -> None:
        """Drop the connection at once, and never connect again."""
        self.given_up = True
        if self._client is not None:
            self._client.dropConnection(abort=True)

    @property
    def connected(self) -> bool:
        """Whether the relay is there at this moment."""
        return self._client is not None

    def opened(self, client: Client) -> None:
        """A connection stands."""
        self._client = client
        self.observer.relay_up()

    def closed(self, client: Client) -> None:
        """A connection is gone, or never stood."""
        if self._client is client:
            self._client = None
            self.observer.relay_down()

    def broken(self, error: BaseException) -> None:
        """A connection ended; look for a relay that could not prove to be the one that was asked for."""
        refused = self._check.explain(error) if self._check is not None and self._client is None else None
        if refused is not None:
            self.observer.relay_refused(refused)

    def saw(self, payload: bytes) -> None:
        """Look for errors of the relay; before pairing also who is in the mailbox, and whether it is still there."""
        if not self.watching and len(payload) > SHORT:
            return
        message = _fields(payload)
        if message.get("type") == "error":
            self.observer.relay_refused(explain(ServerError(str(message.get("error"))), paired=not self.watching))
        elif message.get("type") == "message" and self.watching:
            self._sides.add(str(message.get("side"))[:100])
            self.observer.mailbox_message(len(self._sides))

    def choked(self, payload: bytes, error: Exception) -> None:
        """The library could not read something. What came from the mailbox it reports itself, as the wormhole's end."""
        if _fields(payload).get("type") != "message":
            self.observer.relay_broke(error)


def _fields(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def explain(error: BaseException, *, paired: bool) -> WormsigError:
    """An exception of the library, or of what it choked on, as one of ours.

    Args:
        error: What the library raised.
        paired: Whether the key was agreed; before that anybody with the nameplate could have caused it.
    """
    if isinstance(error, WormsigError):
        return error
    if isinstance(error, ServerError | WelcomeError | ServerConnectionError):
        return _explain_relay(error, paired=paired)
    if isinstance(error, WormholeClosed | LonelyError | CancelledError):
        return ChannelClosedError("this side closed the connection")
    if paired and isinstance(error, WrongPasswordError):
        return TamperedError("a message was changed on its way", hint="use another relay, or --tor")
    if paired:
        return PeerError("the other side sent something that is not a message")
    if isinstance(error, WrongPasswordError):
        words = "the code was wrong: one of you mistyped it, or somebody else guessed"
    else:
        words = "somebody answered to the code with something that is not a handshake"
    return WrongCodeError(words, hint=NEW_CODE)


def _explain_relay(error: WormholeError, *, paired: bool) -> WormsigError:
    if isinstance(error, ServerConnectionError):
        return RelayUnreachableError(f"the relay {error.url} cannot be reached: {reason_of(error)}", hint=RELAY_HINT)
    if isinstance(error, ServerError) and error.args == ("crowded",):
        if paired:  # a third side tried; from then on the relay lets nobody back in who has lost the connection
            return RelayRefusedError("a stranger tried to join, and the relay does not let us back in", hint=NEW_CODE)
        return CrowdedError("two others are using this code already", hint=f"{NEW_CODE}; was it told to anybody else?")
    return RelayRefusedError(f"the relay said no: {str(error)[:200]}")


def reason_of(error: ServerConnectionError) -> str:
    """Why a connection failed, in the words of Twisted, on one line."""
    reason = error.reason
    words = reason.getErrorMessage() if isinstance(reason, Failure) else str(reason)
    return " ".join(words.split())[:200].rstrip(".")


class Link:
    """One wormhole and its route, with an end that always comes.

    Args:
        reactor: The reactor.
        relay_url: `ws://…` or `wss://…`.
        observer: Who wants to know what happens on the route.
        versions: The application version dict.
        appid: The application id; `wormsig/1` except for resumed channels.
        tor: See `Route`.
        trust: See `Route`.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  IReactorTime & IReactorTCP
        relay_url: str,
        observer: RouteObserver,
        versions: dict[str, Any],
        *,
        appid: str = APPID,
        tor: Any = None,  # noqa: ANN401  ITorManager
        trust: Trust | None = None,
    ) -> None:
        self._reactor = reactor
        self.route = Route(reactor, observer, tor, trust)
        self.wormhole = create(appid, relay_url, reactor, versions=versions, tor=self.route, timing=NoTiming())
        self._clean: bool | None = None
        self._waiting: list[Deferred[bool]] = []

    def send(self, plaintext: bytes) -> None:
        """Send a message of ours; without a connection it is sent after the next one."""
        try:
            self.wormhole.send_message(plaintext)
        except Disconnected:  # the socket is closing; the library has queued the message and sends it again
            log.debug("sent while the socket was closing")

    def close(self, limit: float) -> Deferred[bool]:
        """Say goodbye to the relay, or stop after `limit` seconds whatever the relay does. Never fails.

        Returns:
            Fires with whether the relay confirmed, so that whatever was sent before is there.
        """
        done: Deferred[bool] = Deferred()
        if self._clean is not None:
            done.callback(self._clean)
            return done
        self._waiting.append(done)
        if len(self._waiting) == 1:
            closing: Deferred[Any] = maybeDeferred(self.wormhole.close)
            closing.addTimeout(limit, self._reactor)
            closing.addBoth(self._closed)
        return done

    @property
    def closed_cleanly(self) -> bool:
        """Whether it is closed, and the relay has confirmed it."""
        return self._clean is True

    def _closed(self, result: object) -> None:
        # The library reports how the wormhole ended (LonelyError, …) as a failure of close: it closed all the same.
        self._clean = not (isinstance(result, Failure) and isinstance(result.value, TwistedTimeoutError | Disconnected))
        self.route.give_up()
        for done in self._waiting:
            if not done.called:
                done.callback(self._clean)


def check_relay_url(url: str) -> str:
    """A relay's address, checked.

    Raises:
        UsageError: Not `ws://host:port/path` or `wss://…`.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"ws", "wss"} and bool(parts.hostname) and not parts.fragment and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError("this is not a relay's address", hint=f"it looks like {PUBLIC_RELAY}, or wss://…")
    return url
