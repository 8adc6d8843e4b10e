"""From options to a node: what is guessed, what is refused, and that the chain has to agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from wormsig.app.nodes import need_node, open_node
from wormsig.app.settings import RpcOptions
from wormsig.bitcoin.network import Network
from wormsig.errors import UsageError


def test_no_options_no_node():
    assert open_node(RpcOptions(), Network.MAINNET) is None
    with pytest.raises(UsageError) as caught:
        need_node(RpcOptions(), Network.MAINNET, purpose="to broadcast")
    assert caught.value.exit_code == 2
    assert "to broadcast" in caught.value.message


@pytest.mark.parametrize(
    ("network", "port", "cookie"),
    [
        (Network.MAINNET, 8332, ".bitcoin/.cookie"),
        (Network.TESTNET3, 18332, ".bitcoin/testnet3/.cookie"),
        (Network.TESTNET4, 48332, ".bitcoin/testnet4/.cookie"),
        (Network.SIGNET, 38332, ".bitcoin/signet/.cookie"),
    ],
)
def test_bitcoinds_own_places_are_the_defaults(network, port, cookie, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    by_url = open_node(RpcOptions(url="http://10.0.0.1:1"), network)
    assert by_url is not None
    assert by_url.settings.cookie == tmp_path / cookie
    by_cookie = open_node(RpcOptions(cookie=Path("/c")), network)
    assert by_cookie is not None
    assert by_cookie.settings.url == f"http://127.0.0.1:{port}"


def test_nothing_is_guessed_on_regtest_or_without_a_network():
    for network in (Network.REGTEST, None):
        with pytest.raises(UsageError):
            open_node(RpcOptions(url="http://127.0.0.1:1"), network)
        assert open_node(RpcOptions(cookie=Path("/c")), network) is None


@pytest.mark.parametrize(
    "options",
    [
        RpcOptions(url="http://127.0.0.1:1", user="u"),
        RpcOptions(url="http://127.0.0.1:1", password_file=Path("/nowhere/password")),
        RpcOptions(url="http://127.0.0.1:1", cookie=Path("/c"), user="u"),
        RpcOptions(url="ftp://127.0.0.1:1", cookie=Path("/c")),
        RpcOptions(url="http://127.0.0.1:https", cookie=Path("/c")),
        RpcOptions(url="127.0.0.1", cookie=Path("/c")),
    ],
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(UsageError):
        open_node(options, Network.SIGNET)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(UsageError) as caught:
        open_node(RpcOptions(url="http://me:hunter2@127.0.0.1:1", cookie=Path("/c")), Network.SIGNET)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
