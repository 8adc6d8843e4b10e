"""THREATS C1, C4 and C19 with a real node: what it knows of coins and addresses decides, not what a PSBT says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.hostile import edit_input, key_file
from support.payer import Payer
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.taproot import NUMS_KEY, p2tr_script
from wormsig.bitcoin.tx import TxOutput
from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.psbt.model import NON_WITNESS_UTXO, WITNESS_UTXO
from wormsig.review.findings import Code

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.psbt.model import Psbt


@pytest.fixture(params=["wsh", "sh-wsh"])
def payer(request, node, wormsig, home) -> Payer:
    paid = Payer(node, wormsig, home, salt=f"c node {request.param}", script_type=request.param)
    (home / "alice.key").write_bytes(key_file(paid.people[0]))
    for index in (0, 1):
        paid.fund(50_000_000, index=index)
    return paid


def without_previous(psbt: Psbt) -> Psbt:
    for index in range(len(psbt.inputs)):
        psbt = edit_input(psbt, index, {NON_WITNESS_UTXO: None})
    return psbt


def sign(payer: Payer, psbt: Psbt, out: Path, **how):
    path = out.with_suffix(".in")
    path.write_bytes(codec.serialize(psbt))
    done = payer.run("sign", path, "--signer", f"key:{payer.home / 'alice.key'}", "-y", "-o", out, **how)
    assert out.exists() == (done.returncode == ExitCode.DONE)
    return done


def codes(payer: Payer, psbt: Psbt, out: Path) -> set[str]:
    path = out.with_suffix(".look")
    path.write_bytes(codec.serialize(psbt))
    return {finding["code"] for finding in json.loads(payer.run("inspect", path, "--json").stdout)["findings"]}


def test_c1_previous_transactions_are_fetched_from_our_own_node(payer: Payer, tmp_path: Path):
    honest = payer.created(f"{payer.address()}:0.7")
    assert len(honest.inputs) == 2
    bare = without_previous(honest)
    # Alone, nobody proves the amounts; no node is no proof.
    alone = sign(payer, bare, tmp_path / "alone", env={"WORMSIG_RPC_URL": ""})
    assert alone.returncode == ExitCode.REFUSED
    assert Code.NO_PREVIOUS_TX in alone.stderr
    done = sign(payer, bare, tmp_path / "signed")
    assert done.returncode == ExitCode.DONE, done.stderr
    signed = codec.parse((tmp_path / "signed").read_bytes())
    assert [fields[NON_WITNESS_UTXO] for fields in signed.inputs] == [
        fields[NON_WITNESS_UTXO] for fields in honest.inputs
    ]


def test_c1_a_lie_about_an_amount_is_found_out_by_our_own_node(payer: Payer, tmp_path: Path):
    honest = payer.created(f"{payer.address()}:0.7")
    _, coin = previous_output(honest.inputs[0][NON_WITNESS_UTXO], honest.tx.inputs[0].outpoint.index)
    for sats in (coin.sats - 10_000_000, coin.sats + 10_000_000):
        lie = edit_input(without_previous(honest), 0, {WITNESS_UTXO: TxOutput(sats, coin.script).serialize()})
        refused = sign(payer, lie, tmp_path / "signed")
        assert refused.returncode == ExitCode.REFUSED
        assert codes(payer, lie, tmp_path / "signed") & {Code.AMOUNT_MISMATCH, Code.NODE_DISAGREES}


def test_c1_a_coin_of_ours_that_is_called_taproot_is_found_out_by_our_own_node(payer: Payer, tmp_path: Path):
    honest = payer.created(f"{payer.address()}:0.7")
    _, coin = previous_output(honest.inputs[0][NON_WITNESS_UTXO], honest.tx.inputs[0].outpoint.index)
    taproot = TxOutput(coin.sats, p2tr_script(NUMS_KEY)).serialize()
    lie = honest.with_input(0, {WITNESS_UTXO: taproot})
    assert Code.NO_PREVIOUS_TX in sign(payer, lie, tmp_path / "alone", env={"WORMSIG_RPC_URL": ""}).stderr
    refused = sign(payer, lie, tmp_path / "signed")
    assert refused.returncode == ExitCode.REFUSED
    assert codes(payer, lie, tmp_path / "signed") & {Code.AMOUNT_MISMATCH, Code.NODE_DISAGREES}


def test_c19_change_to_an_address_that_a_block_paid_before(payer: Payer, tmp_path: Path):
    payer.fund(20_000_000, branch=1, index=0)
    again = payer.created(f"{payer.address()}:0.7", change_index=0)
    assert Code.ADDRESS_REUSE in codes(payer, again, tmp_path / "signed")
    refused = sign(payer, again, tmp_path / "signed")
    assert refused.returncode == ExitCode.REFUSED
    assert Code.ADDRESS_REUSE in refused.stderr


def test_c4_our_node_says_how_far_addresses_are_used(payer: Payer, tmp_path: Path):
    far = payer.created(f"{payer.address()}:0.7", change_index=150)
    assert Code.INDEX_AHEAD in codes(payer, far, tmp_path / "signed")
    payer.fund(20_000_000, branch=1, index=140)
    assert Code.INDEX_AHEAD not in codes(payer, far, tmp_path / "signed")
