"""One connection: every failure as words, against a real bitcoind."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from support.bitcoind import RegtestNode
from wormsig.errors import NodeError, UsageError
from wormsig.node.rpc import NodeRefusedError, NodeSettings, Rpc


def test_a_stopped_node_is_named_with_a_hint(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00")
    with pytest.raises(NodeError) as caught:
        Rpc(NodeSettings(f"http://127.0.0.1:{port}", cookie=cookie)).call("getblockcount")
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "refused" in caught.value.message.lower()
    assert "running" in str(caught.value.hint)
    assert caught.value.exit_code == 8
    assert caught.value.resumable


def test_a_missing_cookie_means_that_it_is_not_running(tmp_path):
    with pytest.raises(NodeError) as caught:
        Rpc(NodeSettings("http://127.0.0.1:1", cookie=tmp_path / "none")).call("getblockcount")
    assert "cookie" in caught.value.message
    assert "running" in str(caught.value.hint)


def test_a_file_that_is_no_cookie_is_named():
    with pytest.raises(NodeError) as caught:
        Rpc(NodeSettings("http://127.0.0.1:1", cookie=Path(__file__))).call("getblockcount")
    assert "cookie" in caught.value.message


def test_a_server_that_never_answers_ends_in_time(tmp_path):
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        rpc = Rpc(NodeSettings(f"http://127.0.0.1:{listener.getsockname()[1]}", cookie=cookie))
        started = time.monotonic()
        with pytest.raises(NodeError) as caught:
            rpc.call("getblockcount", timeout=0.3)
        assert time.monotonic() - started < 5
        assert "no reply in time" in caught.value.message


def test_wrong_credentials_are_told_apart_and_not_shown(node, tmp_path):
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    rpc = Rpc(NodeSettings(node.url, user="mallory", password_file=password))
    with pytest.raises(NodeError) as caught:
        rpc.call("getblockcount")
    assert "credentials" in caught.value.message
    assert "hunter2" not in f"{caught.value!r} {caught.value.message} {rpc!r} {rpc.settings!r}"


def test_a_user_with_a_password_file_gets_in(node, tmp_path):
    user, _, secret = node.cookie.read_text().partition(":")
    password = tmp_path / "password"
    password.write_text(f"{secret}\nsecond line\n")
    rpc = Rpc(NodeSettings(node.url, user=user, password_file=password))
    assert rpc.call("getblockchaininfo")["chain"] == "regtest"


def test_an_unreadable_password_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        Rpc(NodeSettings("http://127.0.0.1:1", user="u", password_file=tmp_path / "none"))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError):
        Rpc(NodeSettings("http://127.0.0.1:1", user="u", password_file=binary))


def test_a_refusal_carries_code_and_text(node):
    with pytest.raises(NodeRefusedError) as caught:
        node.rpc.call("getblockhash", 10_000_000)
    assert caught.value.code == -8
    assert caught.value.text == "Block height out of range"
    with pytest.raises(NodeRefusedError) as caught:
        node.rpc.for_wallet("no such wallet").call("getwalletinfo")
    assert caught.value.code == -18
    assert caught.value.hint


def test_a_batch_gives_results_and_refusals_in_order(node):
    answers = node.rpc.batch([("getblockhash", [0]), ("getblockhash", [10_000_000]), ("getblockcount", [])] * 40)
    assert len(answers) == 120
    assert answers[0] == node.rpc.call("getblockhash", 0)
    assert isinstance(answers[1], NodeRefusedError)
    assert answers[1].text == "Block height out of range"
    assert isinstance(answers[119], int)
    assert node.rpc.batch([]) == []


def test_a_restarted_node_writes_a_new_cookie_that_is_read_again():
    with RegtestNode() as running:
        before = running.cookie.read_text()
        rpc = Rpc(running.settings)
        assert rpc.call("getblockcount") == 0
        running.restart()
        assert running.cookie.read_text() != before
        again = Rpc(NodeSettings(running.url, cookie=running.cookie))
        assert again.call("getblockcount") == 0
        assert rpc.call("getblockcount") == 0


def test_a_starting_node_is_waited_for(tmp_path):
    """A stand-in answers -28 at first, as bitcoind does while it loads: too short a moment to meet the real one."""
    answers = [
        b'{"jsonrpc":"2.0","id":%s,"error":{"code":-28,"message":"Loading block index..."}}',
        b'{"jsonrpc":"2.0","id":%s,"result":7}',
    ]

    class Starting(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            payload = answers.pop(0) % json.dumps(body["id"]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            pass

    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00")
    with HTTPServer(("127.0.0.1", 0), Starting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            rpc = Rpc(NodeSettings(f"http://127.0.0.1:{server.server_port}", cookie=cookie))
            assert rpc.call("getblockcount") == 7
            answers.append(b'{"jsonrpc":"2.0","id":%s,"error":{"code":-28,"message":"Loading block index..."}}')
            with pytest.raises(NodeRefusedError) as caught:
                rpc.call("getblockcount", patience=0)
            assert "starting" in str(caught.value.hint)
        finally:
            server.shutdown()
