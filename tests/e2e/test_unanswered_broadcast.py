"""A node that takes the transaction and does not say so: nobody is told that it failed, and going on finds it."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from support.world import World
from wormsig.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.node.regtest import RegtestNode

URL = "WORMSIG_RPC_URL"


class Unanswering(BaseHTTPRequestHandler):
    """Hands every call to the node; of `sendrawtransaction` the answer is lost."""

    node = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connection = HTTPConnection(self.node.removeprefix("http://"))
        connection.request("POST", self.path, body, {"Authorization": self.headers["Authorization"]})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if b'"sendrawtransaction"' in body:
            self.close_connection = True
            return
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def world(node: RegtestNode, tmp_path: Any) -> Iterator[World]:
    folder = tmp_path / "world"
    folder.mkdir()
    with World(node, folder) as running:
        running.fund()
        yield running


def test_m5_a_broadcast_without_an_answer_is_no_failure_and_is_found_afterwards(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    psbt, own = world.psbt(), alice.env[URL]
    handler = type("Handler", (Unanswering,), {"node": own})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        send = alice.start(
            "send", psbt, "--to", "bob", "--signer", alice.signer, "-y", "--json",
            env={URL: f"http://127.0.0.1:{server.server_port}"},
        )  # fmt: skip
        code = send.wait_for("code-ready", cosigner="bob")["code"]
        receive = bob.start("receive", code, "--signer", bob.signer, "-y", "--json")
        assert send.wait() == ExitCode.NODE, send.err
        assert receive.wait() == ExitCode.TRANSPORT, receive.err
    finally:
        server.shutdown()
        server.server_close()
    assert not [event for event in receive.events() if event["event"] == "outcome-seen"]
    ceremony = send.wait_for("started")["ceremony"]
    txid = send.wait_for("threshold-reached")["txid"]
    assert txid in world.node.rpc.call("getrawmempool")
    assert alice.run("cancel", ceremony[:6]).returncode == ExitCode.REFUSED
    waiting = bob.start("resume", ceremony[:6], "--json")
    resumed = alice.start("resume", ceremony[:6], "-y", "--json")
    assert resumed.wait() == 0, resumed.err
    assert waiting.wait() == 0, waiting.err
    assert resumed.events()[-1]["txid"] == waiting.events()[-1]["txid"] == txid
