"""What the mailbox server lacks to stand on the open internet: limits, and no interest in who its visitors are.

The server is magic-wormhole's own; here are only the parts around it that its authors left to the operator. Every
number of `RelayLimits` bounds something that a visitor could otherwise let grow. Not here: listening, the database,
certificates (`relay`, `relay_tls`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from autobahn.twisted.resource import WebSocketResource
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.web.server import Request
from wormhole_mailbox_server.server_websocket import Error, WebSocketServer, WebSocketServerFactory
from wormhole_mailbox_server.web import PrivacyEnhancedSite, Root

if TYPE_CHECKING:
    from twisted.internet.base import DelayedCall

LONGEST_NAME = 200
"""Characters of an application id, a side, a phase, a mailbox's name."""

FULL = "this relay is full, try again later"
POLICY = 3008  # a close code that applications may use; like WebSocket's own 1008, which autobahn does not let us send

log = Logger()


class RelayLimits(msgspec.Struct, frozen=True):
    """What one relay carries at most. docs/limits.md lists it.

    Attributes:
        connections: Connections at once; further ones are closed as they come.
        mailboxes: Mailboxes at once; then no new codes, while those that exist still work.
        message: Bytes of one message on the wire. The longest of wormsig has 722,976; other wormholes use relays too.
        mailbox_bytes: Bytes kept in one mailbox. Two PSBTs of the longest kind that wormsig sends fill half of it.
        stored_bytes: Bytes kept in all mailboxes.
        unread_bytes: Bytes sent that visitors have not read yet, over all connections.
        introduction: Seconds until a visitor has to have said what it wants.
        kept_days: Days after which the database's mailboxes are not taken over by a restart.
    """

    connections: int = 2_000
    mailboxes: int = 5_000
    message: int = 2 * 2**20
    mailbox_bytes: int = 128 * 2**20
    stored_bytes: int = 512 * 2**20
    unread_bytes: int = 256 * 2**20
    introduction: float = 60.0
    kept_days: float = 1.0


class Ledger:
    """Who is here, and how much of the relay is in use.

    Args:
        server: The library's server.
        database: Its database.
        limits: What the relay carries at most.
    """

    def __init__(self, server: Any, database: Any, limits: RelayLimits) -> None:  # noqa: ANN401  no annotations there
        self.limits = limits
        self.visitors: set[Visitor] = set()
        self.unread = 0
        self._server = server
        self._database = database
        self._stored: dict[str, int] = {}
        self._sum = 0
        self._count()

    def _count(self) -> None:
        rows = self._database.execute(
            "SELECT `mailbox_id`, sum(length(`body`)) AS bytes FROM `messages` GROUP BY `mailbox_id`"
        ).fetchall()
        self._stored = {row["mailbox_id"]: row["bytes"] for row in rows}
        self._sum = sum(self._stored.values())

    def revive(self, now: float) -> None:
        """After a restart: whoever was about to meet here has the usual time again to come back."""
        oldest = now - self.limits.kept_days * 86_400
        self._database.execute("UPDATE `mailboxes` SET `updated`=? WHERE `updated`>?", (now, oldest))
        self._database.commit()

    def prune(self, now: float, old: float) -> None:
        """Forget mailboxes that nobody used since `old`, and whatever the library keeps of them.

        The library's own pruning keeps an object for each mailbox that was pruned, and drops an application that
        somebody is connected to, after which two sides of one code no longer hear each other.
        """
        applications = self._server._apps  # noqa: SLF001  see above: the library forgets to
        for name in sorted(self._server.get_all_apps()):
            self._server.get_app(name).prune(now, old)
        kept = {row["id"] for row in self._database.execute("SELECT `id` FROM `mailboxes`").fetchall()}
        in_use = {visitor.application for visitor in self.visitors}
        for name, application in list(applications.items()):
            for mailbox in [each for each in application._mailboxes if each not in kept]:  # noqa: SLF001  same
                application.free_mailbox(mailbox)
            if not application._mailboxes and name not in in_use:  # noqa: SLF001  same
                del applications[name]
        self._count()

    def admit(self, table: str, column: str, name: str, application: str) -> None:
        """Let a mailbox be used or made.

        Raises:
            Error: It would be one too many.
        """
        known = self._database.execute(
            f"SELECT 1 FROM `{table}` WHERE `app_id`=? AND `{column}`=?",  # noqa: S608  the names are ours
            (application, name),
        ).fetchone()
        if known is None:
            self.admit_new()

    def admit_new(self) -> None:
        """Let a mailbox be made.

        Raises:
            Error: It would be one too many.
        """
        (row,) = self._database.execute("SELECT count(*) AS n FROM `mailboxes`").fetchall()
        if row["n"] >= self.limits.mailboxes:
            raise Error(FULL)

    def store(self, mailbox: str, size: int) -> None:
        """Let a message be kept.

        Raises:
            Error: It does not fit any more.
        """
        held = self._stored.get(mailbox, 0)
        if held + size > self.limits.mailbox_bytes:
            raise Error("this mailbox is full")
        if self._sum + size > self.limits.stored_bytes:
            raise Error(FULL)
        self._stored[mailbox] = held + size
        self._sum += size

    def emptied(self, mailbox: str) -> None:
        """A mailbox and its messages are gone."""
        self._sum -= self._stored.pop(mailbox, 0)


class Visitor(WebSocketServer):  # type: ignore[misc]  # the library has no annotations
    """One connection. What it may not do ends in an error for it, or in its end; nobody else notices."""

    _ledger: Ledger
    _introduction: DelayedCall | None = None
    _unread = 0
    _behind = False

    @property
    def application(self) -> str | None:
        """The application id that it named."""
        return None if self._app is None else str(self._app._app_id)  # noqa: SLF001  the library has no word for it

    def onConnect(self, request: object) -> None:  # noqa: ARG002, N802  autobahn's name
        """The library looks up the visitor's address here, and stumbles over proxies' headers; we do not want it."""
        self._ledger = self.factory.ledger
        self._reactor = self.factory.reactor

    def onOpen(self) -> None:  # noqa: N802  autobahn's name
        """Welcome."""
        self._ledger.visitors.add(self)
        self.transport.unregisterProducer()  # the web server's, whose request is over
        self.transport.registerProducer(self, True)
        self._introduction = self._reactor.callLater(self._ledger.limits.introduction, self._too_shy)
        self.send("welcome", welcome=self.factory._server.get_welcome())  # noqa: SLF001  the library's own way

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803  autobahn's names
        """Whatever the library does not expect ends this connection, and leaves no trace in a log."""
        try:
            if isBinary:
                raise ValueError("binary")  # noqa: TRY301  one way out for everything that is not the protocol
            super().onMessage(payload, isBinary)
        except Exception as error:  # noqa: BLE001  any bytes may come, and do anything to code that trusts them
            log.debug("not the protocol: {error!r}", error=error)
            self.sendClose(POLICY)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803  autobahn's
        """Gone."""
        if self._introduction is not None:
            with contextlib.suppress(AlreadyCalled, AlreadyCancelled):
                self._introduction.cancel()
            self._ledger.visitors.discard(self)
            self.resumeProducing()
        super().onClose(wasClean, code, reason)

    def _too_shy(self) -> None:
        if self._app is None:
            self.sendClose(POLICY)

    # What it says.

    def handle_bind(self, msg: dict[str, Any], server_rx: float) -> None:
        """Names its application and its side."""
        _names(msg, "appid", "side")
        super().handle_bind(msg, server_rx)

    def handle_allocate(self, server_rx: float) -> None:
        """Wants a free nameplate."""
        self._ledger.admit_new()
        super().handle_allocate(server_rx)

    def handle_claim(self, msg: dict[str, Any], server_rx: float) -> None:
        """Wants a nameplate's mailbox."""
        _names(msg, "nameplate")
        self._ledger.admit("nameplates", "name", msg["nameplate"], str(self.application))
        super().handle_claim(msg, server_rx)

    def handle_open(self, msg: dict[str, Any], server_rx: float) -> None:
        """Wants to hear what is in a mailbox."""
        _names(msg, "mailbox")
        self._ledger.admit("mailboxes", "id", msg["mailbox"], str(self.application))
        super().handle_open(msg, server_rx)

    def handle_add(self, msg: dict[str, Any], server_rx: float) -> None:
        """Puts a message into its mailbox."""
        _names(msg, "phase")
        body = msg.get("body")
        if self._mailbox is not None and isinstance(body, str):
            self._ledger.store(self._mailbox_id, len(body))
        super().handle_add(msg, server_rx)

    def handle_close(self, msg: dict[str, Any], server_rx: float) -> None:
        """Does not need its mailbox any more."""
        mailbox = str(self._mailbox_id or msg.get("mailbox"))
        super().handle_close(msg, server_rx)
        if mailbox not in self._app._mailboxes:  # noqa: SLF001  the library has no word for it
            self._ledger.emptied(mailbox)

    # What it hears. As the transport's producer it is told when its other end reads too slowly.

    def sendMessage(self, payload: bytes, isBinary: bool = False, **how: Any) -> None:  # noqa: N802, N803, ANN401
        """To this visitor, unless it is gone, or has not read what it was told before."""
        if self.state != self.STATE_OPEN:
            return
        super().sendMessage(payload, isBinary, **how)
        if self._behind:
            self._unread += len(payload)
            self._ledger.unread += len(payload)
            if self._ledger.unread > self._ledger.limits.unread_bytes:
                self.dropConnection(abort=True)

    def pauseProducing(self) -> None:  # noqa: N802  Twisted's name
        """The other end does not read."""
        self._behind = True

    def resumeProducing(self) -> None:  # noqa: N802  Twisted's name
        """It has read everything, or is gone."""
        self._behind = False
        self._ledger.unread -= self._unread
        self._unread = 0

    def stopProducing(self) -> None:  # noqa: N802  Twisted's name
        """The connection ends; `onClose` follows."""


def _names(message: dict[str, Any], *fields: str) -> None:
    """Raise Error unless the fields that are there are short texts."""
    for field in fields:
        value = message.get(field, "")
        if not isinstance(value, str) or len(value) > LONGEST_NAME:
            raise Error(f"{field} is not a short text")


class _Request(Request):
    """A web request. Nothing here reads a body, so nobody may send one: the web server would keep it."""

    def gotLength(self, length: int | None) -> None:  # noqa: N802  Twisted's name
        """The headers are read."""
        super().gotLength(0)  # type: ignore[no-untyped-call]  # Twisted has not annotated it
        if length != 0:
            self.loseConnection()  # type: ignore[no-untyped-call]  # same


class Doors(WrappingFactory):
    """Every connection goes through here, encrypted or not: counted, refused when there are too many.

    Args:
        wrapped: Who answers.
        most: Connections at once.
    """

    noisy = False

    def __init__(self, wrapped: Any, most: int) -> None:  # noqa: ANN401  IProtocolFactory
        super().__init__(wrapped)  # type: ignore[no-untyped-call]  # Twisted has not annotated it
        self._most = most

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802, ANN401  Twisted's name and types
        """None, which closes the connection, when the house is full."""
        return super().buildProtocol(addr) if len(self.protocols) < self._most else None


def make_site(server: Any, ledger: Ledger) -> Any:  # noqa: ANN401  the library's objects have no annotations
    """The web server in front of the mailbox server, at `/v1`.

    Args:
        server: The library's server.
        ledger: Watches over its limits.
    """
    factory = WebSocketServerFactory(None, server)
    factory.protocol = Visitor
    factory.ledger = ledger
    most = ledger.limits.message
    factory.setProtocolOptions(maxFramePayloadSize=most, maxMessagePayloadSize=most)
    root = Root()
    root.putChild(b"v1", WebSocketResource(factory))  # type: ignore[no-untyped-call]  # autobahn has not annotated it
    site = PrivacyEnhancedSite(root, requestFactory=_Request)
    site.logRequests = False
    site.noisy = False
    return site
