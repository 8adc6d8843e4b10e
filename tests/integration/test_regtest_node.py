"""The private regtest node of the demo and the tests: found, started, stopped, and honest when it cannot start."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from support.bitcoind import RegtestNode, find_bitcoind
from wormsig.errors import NodeError, UsageError


def _program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_named_one_comes_first_then_path_then_the_fetched_one(tmp_path, monkeypatch):
    named = _program(tmp_path / "named", "exit 0")
    on_path = _program(tmp_path / "bin" / "bitcoind", "exit 0")
    fetched = _program(tmp_path / "cache" / "wormsig" / "bitcoind" / "bin" / "bitcoind", "exit 0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BITCOIND", str(named))
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_bitcoind() == named
    monkeypatch.delenv("BITCOIND")
    assert find_bitcoind() == on_path
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_bitcoind() == fetched
    fetched.unlink()
    with pytest.raises(UsageError) as caught:
        find_bitcoind()
    assert "get-bitcoind.sh" in str(caught.value.hint)


def test_a_name_that_cannot_be_run_is_refused_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("BITCOIND", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="nothing"):
        find_bitcoind()


def test_it_runs_in_a_folder_of_its_own_and_leaves_nothing(node):
    with RegtestNode() as other:
        assert other.port != node.port
        assert other.rpc.call("getblockcount") == 0
        folder, pid = other.datadir, other._process.pid
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
    other.stop()


def test_one_that_does_not_start_says_why(tmp_path):
    failing = _program(tmp_path / "bitcoind", 'echo "Error: no disk" >&2; exit 1')
    with pytest.raises(NodeError, match="no disk"):
        RegtestNode(binary=failing)
    with pytest.raises(NodeError, match="-nonsense"):
        RegtestNode(["-nonsense=1"])


def test_coins_are_paid_where_they_are_wanted(node):
    address = node.wallet("receiver").call("getnewaddress")
    coin = node.fund(address, 123_456)
    found = node.rpc.call("gettxout", coin.txid, coin.index)
    assert found["scriptPubKey"]["address"] == address
    assert found["confirmations"] == 1
    waiting = node.fund(address, 123_456, confirm=False)
    assert waiting.txid in node.rpc.call("getrawmempool")
    node.mine()


def test_every_height_will_do_for_a_locktime():
    """bitcoind's wallet picks one of the last hundred now and then, and Bitcoin Knots has a policy against 21."""
    with RegtestNode() as young:
        young.mine(102)
        miner = young.wallet()
        outputs = [{miner.call("getnewaddress"): Decimal("0.1")}]
        for height in (1, 20, 21, 22, 100):
            funded = miner.call("walletcreatefundedpsbt", [], outputs, height)["psbt"]
            signed = miner.call("walletprocesspsbt", funded)["psbt"]
            (verdict,) = young.rpc.call("testmempoolaccept", [young.rpc.call("finalizepsbt", signed)["hex"]])
            assert verdict["allowed"], (height, verdict)


def test_the_environment_is_what_commands_need(node):
    env = node.environment()
    assert env["WORMSIG_RPC_URL"] == f"http://127.0.0.1:{node.port}"
    assert os.access(env["WORMSIG_RPC_COOKIE"], os.R_OK)
    assert env["WORMSIG_NETWORK"] == "regtest"
