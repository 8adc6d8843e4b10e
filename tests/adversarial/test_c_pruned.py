"""THREATS C1 with a pruned node: it no longer has the previous transactions, and still knows what the coins are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.bitcoind import RegtestNode
from support.hostile import Coin, Out, Scene, edit_input, edit_tx, key_file
from wormsig.bitcoin.tx import OutPoint, TxOutput
from wormsig.errors import ExitCode
from wormsig.node.client import Node
from wormsig.psbt import codec
from wormsig.psbt.model import NON_WITNESS_UTXO, WITNESS_UTXO
from wormsig.review.findings import Code
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wormsig.node.regtest import Funding
    from wormsig.psbt.model import Psbt

SATS = 50_000_000
SCENES = {kind: Scene(kind, salt=f"pruned {kind}") for kind in ("wsh", "sh-wsh")}


@pytest.fixture(scope="module")
def pruned() -> Iterator[tuple[RegtestNode, dict[str, list[Funding]]]]:
    """A node whose blocks with the coins are gone, and that watches nothing."""
    with RegtestNode(["-prune=1", "-fastprune"]) as node:
        coins = {
            kind: [node.fund(scene.deriver.address(0, index), SATS) for index in (0, 1)]
            for kind, scene in SCENES.items()
        }
        there = node.rpc.call("getblockcount")
        address = node.wallet().call("getnewaddress")
        for wallet in node.rpc.call("listwallets"):
            node.rpc.call("unloadwallet", wallet)
        for _ in range(4):
            node.rpc.call("generatetoaddress", 200, address)
        assert node.rpc.call("pruneblockchain", there + 500) > there
        yield node, coins


@pytest.fixture(params=list(SCENES))
def scene(request: pytest.FixtureRequest) -> Scene:
    return SCENES[request.param]


def claimed(scene: Scene, coins: list[Funding]) -> Psbt:
    """The wallet's two coins with what is claimed of them, and no previous transaction."""
    psbt = scene.psbt([Coin(SATS), Coin(SATS, index=1)], [Out(2 * SATS - 2_000)])
    spent = [OutPoint(bytes.fromhex(coin.txid)[::-1], coin.index) for coin in coins]
    inputs = [type(txin)(outpoint, b"", txin.sequence) for txin, outpoint in zip(psbt.tx.inputs, spent, strict=True)]
    psbt = edit_tx(psbt, inputs=tuple(inputs))
    for index in range(2):
        psbt = edit_input(psbt, index, {NON_WITNESS_UTXO: None})
    return psbt


def test_c1_a_pruned_node_confirms_amount_and_script(
    pruned: tuple[RegtestNode, dict[str, list[Funding]]], scene: Scene, wormsig: Any, home: Path, tmp_path: Path
) -> None:
    node, coins = pruned
    honest = claimed(scene, coins[scene.script_type])
    (home / "wallets").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    Registry(home / "wallets").save(scene.wallet)
    key = tmp_path / "alice.key"
    key.write_bytes(key_file(scene.people[0]))
    key.chmod(0o600)
    env = {**node.environment(), "WORMSIG_WALLET": scene.wallet.name}
    ours = Node(node.settings)
    assert ours.previous_transactions([txin.outpoint for txin in honest.tx.inputs]) == {}

    def inspected(psbt: Psbt, **more: str) -> tuple[int, set[str]]:
        path = tmp_path / "look.psbt"
        path.write_bytes(codec.serialize(psbt))
        done = wormsig("inspect", path, "--json", env={**env, **more})
        return done.returncode, {finding["code"] for finding in json.loads(done.stdout)["findings"]}

    def signed(psbt: Psbt) -> int:
        path, out = tmp_path / "in.psbt", tmp_path / "out.psbt"
        path.write_bytes(codec.serialize(psbt))
        out.unlink(missing_ok=True)
        code = wormsig("sign", path, "--signer", f"key:{key}", "-y", "-o", out, env=env).returncode
        assert out.exists() == (code == ExitCode.DONE)
        return int(code)

    assert inspected(honest, WORMSIG_RPC_URL="") == (ExitCode.REFUSED, {Code.NO_PREVIOUS_TX})
    assert inspected(honest) == (ExitCode.DONE, set())
    assert signed(honest) == ExitCode.DONE

    script = scene.deriver.script(0, 0).script_pubkey
    for sats in (SATS - 1_000_000, SATS + 1_000_000):
        lie = edit_input(honest, 0, {WITNESS_UTXO: TxOutput(sats, script).serialize()})
        code, found = inspected(lie)
        assert (code, Code.NODE_DISAGREES in found) == (ExitCode.REFUSED, True)
        assert signed(lie) == ExitCode.REFUSED
