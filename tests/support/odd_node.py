"""A bitcoind that answers one question as no bitcoind does: HTTP in between, the real node behind it.

Everything else is passed on, so that what a command makes of the odd answer is what it would make of it in earnest.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from wormsig.node.rpc import NodeSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from wormsig.node.regtest import RegtestNode

PATIENCE = 60


def _exact(value: Any) -> Any:
    """JSON has no Decimal: the number as it is written, which a BTC amount's shortest float is."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


@dataclass
class OddNode:
    """Use as a context manager; `url` and the real node's cookie reach it."""

    node: RegtestNode
    odd: Callable[[str, Any], Any] | None = None
    """Given a method and its result, gives what is answered instead."""
    asked: list[str] = field(default_factory=list)
    """Every method, in the order of the calls."""

    def __enter__(self) -> Self:
        outer = self

        class Between(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, payload = outer.answer(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def settings(self) -> NodeSettings:
        return NodeSettings(self.url, cookie=self.node.cookie)

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """The real node's answer, and the odd one in it."""
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        methods = {call["id"]: call["method"] for call in calls}
        self.asked += methods.values()
        credentials = base64.b64encode(self.node.cookie.read_bytes()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(urlsplit(self.node.url).netloc, timeout=PATIENCE)
        try:
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            status, payload = reply.status, reply.read()
        finally:
            connection.close()
        if self.odd is None:
            return status, payload
        found = json.loads(payload, parse_float=Decimal)
        for each in found if isinstance(found, list) else [found]:
            if each.get("error") is None:
                each["result"] = self.odd(methods[each["id"]], each["result"])
        return status, json.dumps(found, default=_exact).encode()
