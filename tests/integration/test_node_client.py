"""The typed questions, asked of a real bitcoind."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from fractions import Fraction

import pytest

from wormsig.app.nodes import agree, need_node
from wormsig.app.settings import RpcOptions
from wormsig.bitcoin.network import Network, script_of
from wormsig.bitcoin.tx import OutPoint, TxOutput, parse_transaction
from wormsig.errors import NodeError, UsageError
from wormsig.node.chain import network_of
from wormsig.node.client import Node, _btc_per_kvb


@pytest.fixture
def ours(node):
    return Node(node.settings)


@pytest.fixture
def payment(node):
    """A confirmed coin of the miner's, and the address it is at."""
    address = node.wallet().call("getnewaddress")
    coin = node.fund(address, 1_000_000)
    return OutPoint.from_text(f"{coin.txid}:{coin.index}"), address


def _spend(node, coin, sats=990_000, **options):
    """A signed transaction that spends a coin of the miner's."""
    to = node.wallet().call("getnewaddress")
    reference = {"txid": coin.txid[::-1].hex(), "vout": coin.index}
    outputs = [{to: Decimal(sats).scaleb(-8)}]
    raw = node.rpc.call("createrawtransaction", inputs=[reference], outputs=outputs, **options)
    return bytes.fromhex(node.wallet().call("signrawtransactionwithwallet", raw)["hex"])


def test_the_chain_is_known_by_its_genesis_block(ours, node):
    state = ours.chain()
    assert state.network is Network.REGTEST
    assert state.height == node.rpc.call("getblockcount")
    assert state.median_time == node.rpc.call("getblockchaininfo")["mediantime"]
    assert not state.pruned


@pytest.mark.parametrize(
    ("chain", "genesis", "challenge"),
    [
        ("main", Network.REGTEST.genesis_hash, None),
        ("regtest", Network.MAINNET.genesis_hash, None),
        ("liquid", "00" * 32, None),
        ("signet", Network.SIGNET.genesis_hash, "51"),
        ("signet", Network.SIGNET.genesis_hash, None),
        ("signet", Network.SIGNET.genesis_hash, "zz"),
    ],
)
def test_m5_another_chain_under_a_known_name_is_refused(chain, genesis, challenge):
    with pytest.raises(UsageError):
        network_of(chain, genesis, challenge)


def test_the_public_signet_is_known_by_its_challenge():
    challenge = (
        "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce"
        "96883fe3b278760f048f5189f2e6c452ae"
    )
    assert network_of("signet", Network.SIGNET.genesis_hash, challenge) is Network.SIGNET


def test_previous_transactions_come_from_mempool_wallets_and_blocks(ours, node, payment):
    coin, _ = payment
    unconfirmed = node.fund(node.wallet().call("getnewaddress"), 50_000, confirm=False)
    fresh = OutPoint.from_text(f"{unconfirmed.txid}:{unconfirmed.index}")
    foreign = _foreign_coin(node)
    unknown = OutPoint(hashlib.sha256(b"no such").digest(), 0)
    found = ours.previous_transactions([coin, fresh, foreign, unknown, coin])
    assert set(found) == {coin, fresh, foreign}
    for outpoint, raw in found.items():
        transaction = parse_transaction(raw)
        assert transaction.txid_bytes == outpoint.txid
        assert not transaction.has_witness
    assert ours.previous_transaction(unknown) is None
    assert ours.previous_transactions([]) == {}


def _foreign_coin(node):
    """A confirmed coin that no wallet of the node knows, on a node without -txindex."""
    block = node.mine(1, "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202")[0]
    coinbase = node.rpc.call("getblock", block, 1)["tx"][0]
    return OutPoint.from_text(f"{coinbase}:0")


def test_a_coin_is_confirmed_with_amount_and_script(ours, node, payment):
    coin, address = payment
    expected = TxOutput(1_000_000, script_of(address, Network.REGTEST))
    assert ours.unspents([coin]) == {coin: expected}
    ours.send(_spend(node, coin))
    assert ours.unspents([coin]) == {coin: expected}, "spent in the mempool only: amount and script are still true"
    node.mine()
    assert ours.unspents([coin]) == {}


def test_a_transaction_is_tested_sent_found_and_mined(ours, node, payment):
    raw = _spend(node, payment[0])
    transaction = parse_transaction(raw)
    assert ours.confirmations(transaction.txid) is None
    assert not ours.in_mempool(transaction.txid)
    acceptance = ours.test_accept(raw)
    assert (acceptance.allowed, acceptance.known, acceptance.vsize) == (True, False, transaction.vsize)
    assert not ours.in_mempool(transaction.txid), "testing sends nothing"
    assert ours.send(raw) == transaction.txid
    assert ours.in_mempool(transaction.txid)
    assert ours.confirmations(transaction.txid) == 0
    assert ours.test_accept(raw).known
    assert ours.send(raw) == transaction.txid, "in the mempool already: a success"
    node.mine(2)
    assert ours.confirmations(transaction.txid) == 2
    assert not ours.in_mempool(transaction.txid)
    assert ours.test_accept(raw).known
    assert ours.send(raw) == transaction.txid, "mined already: a success"


def test_a_mined_transaction_whose_outputs_are_spent_is_still_known(ours, node, payment):
    first = _spend(node, payment[0])
    ours.send(first)
    ours.send(_spend(node, OutPoint(parse_transaction(first).txid_bytes, 0), 980_000))
    node.mine()
    assert ours.test_accept(first).known
    assert ours.send(first) == parse_transaction(first).txid


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sats": 1_000_000}, "below what this node relays"),
        ({"sats": 900_000}, "limit"),
        ({"locktime": 400_000_000}, "locktime"),
    ],
)
def test_refusals_are_explained(ours, node, payment, change, words):
    raw = _spend(node, payment[0], **change)
    acceptance = ours.test_accept(raw, max_fee_rate=Fraction(100))
    assert not acceptance.allowed
    assert words in acceptance.reason
    with pytest.raises(NodeError) as caught:
        ours.send(raw, max_fee_rate=Fraction(100))
    assert words in caught.value.message
    assert caught.value.exit_code == 8
    assert not ours.in_mempool(parse_transaction(raw).txid)


def test_a_spent_coin_and_a_cheap_replacement_are_explained(ours, node, payment):
    coin, _ = payment
    final = _spend(node, coin, replaceable=True)
    ours.send(final)
    cheaper = ours.test_accept(_spend(node, coin, 990_001, replaceable=True))
    assert "replaces" in str(cheaper.reason)
    node.mine()
    gone = ours.test_accept(_spend(node, coin, 980_000))
    assert "spent already" in str(gone.reason)
    assert gone.hint


def test_a_bad_signature_is_explained(ours, node, payment):
    good = parse_transaction(_spend(node, payment[0]))
    raw = good.serialize()
    signature = good.witnesses[0][0]
    other = raw.replace(signature, signature[:10] + bytes((signature[10] ^ 1,)) + signature[11:])
    acceptance = ours.test_accept(other)
    assert "signature or a script is wrong" in str(acceptance.reason)
    with pytest.raises(NodeError, match="signature or a script"):
        ours.send(other)


def test_the_lowest_fee_rate_is_read_exactly(ours, node):
    relayed = node.rpc.call("getmempoolinfo")["minrelaytxfee"]
    assert ours.lowest_fee_rate() == Fraction(relayed * 100_000)


def test_garbage_is_refused(ours):
    with pytest.raises(NodeError):
        ours.test_accept(b"\x00")


def test_fee_rate_limits_are_exact():
    assert _btc_per_kvb(Fraction(1)) == Decimal("0.00001")
    assert _btc_per_kvb(Fraction(1, 3)) == Decimal("0.00000333")
    assert _btc_per_kvb(Fraction(10**9)) < 1


@pytest.fixture
def unsigned(node):
    """A PSBT of the miner's, binary."""
    miner = node.wallet()
    node.fund(miner.call("getnewaddress"), 20_000_000)
    outputs = [{miner.call("getnewaddress"): Decimal("0.1")}]
    return base64.b64decode(miner.call("walletcreatefundedpsbt", [], outputs)["psbt"])


def test_core_signs_with_a_wallet_that_is_loaded_when_it_is_needed(ours, node, unsigned):
    node.rpc.call("unloadwallet", "miner")
    signed = ours.process_psbt("miner", unsigned)
    assert signed.startswith(b"psbt\xff")
    assert len(signed) > len(unsigned)
    assert node.rpc.call("finalizepsbt", base64.b64encode(signed).decode())["complete"]


def test_a_missing_or_locked_wallet_is_explained(ours, node, unsigned):
    with pytest.raises(NodeError, match="no wallet nobody") as caught:
        ours.process_psbt("nobody", unsigned)
    assert caught.value.hint
    node.rpc.call("createwallet", wallet_name="locked", passphrase="secret")
    with pytest.raises(NodeError) as caught:
        ours.process_psbt("locked", unsigned)
    assert "walletpassphrase" in str(caught.value.hint)


def test_c11_a_node_on_another_chain_is_refused(node):
    options = RpcOptions(url=node.url, cookie=node.cookie)
    ours = need_node(options, Network.REGTEST, purpose="to test")
    assert agree(ours, None).network is Network.REGTEST
    for other in Network:
        if other is not Network.REGTEST:
            with pytest.raises(UsageError) as caught:
                need_node(options, other, purpose="to test")
            assert "regtest" in caught.value.message
            assert other.value in caught.value.message
