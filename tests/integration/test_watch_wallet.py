"""The watch-only wallet: made once, scanned to the end, older coins found, bitcoind's choice of coins."""

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction

import pytest

from support.bitcoind import RegtestNode
from support.cosigners import make_wallet, people
from support.values import replace
from wormsig.bitcoin.tx import OutPoint
from wormsig.errors import NodeError, UsageError
from wormsig.node.client import Node
from wormsig.node.funds import Balance, InsufficientFundsError, branch_descriptor
from wormsig.node.rpc import NodeRefusedError
from wormsig.wallet.derive import Deriver

MONTH = 30 * 24 * 3600


@pytest.fixture
def ours(node):
    return Node(node.settings)


@pytest.fixture
def fresh_wallet(request):
    """A wallet that no other test has."""
    return make_wallet(people(3, request.node.nodeid))


def test_a_wallet_is_made_named_by_its_id_and_watches_both_branches(ours, node, fresh_wallet):
    deriver = Deriver(fresh_wallet)
    coin = node.fund(deriver.address(0, 3), 500_000)
    node.fund(deriver.address(1, 7), 300_000)
    node.fund(deriver.address(0, 299), 200_000)
    watching = ours.ensure_watch_wallet(fresh_wallet)
    assert watching.name == f"wormsig-{fresh_wallet.id[:12]}"
    info = watching.rpc.call("getwalletinfo")
    assert info["private_keys_enabled"] is False
    assert watching.balance() == Balance(spendable=1_000_000, pending=0, immature=0)
    assert watching.highest_used() == {0: 299, 1: 7}
    assert OutPoint.from_text(f"{coin.txid}:{coin.index}") in {each.outpoint for each in watching.coins()}


def test_highest_indexes_are_told_without_making_anything(ours, node, fresh_wallet):
    node.fund(Deriver(fresh_wallet).address(0, 4), 500_000)
    wallets = node.rpc.call("listwallets")
    assert ours.highest_used(fresh_wallet) == {}
    assert node.rpc.call("listwallets") == wallets
    ours.ensure_watch_wallet(fresh_wallet)
    assert ours.highest_used(fresh_wallet) == {0: 4}


def test_what_is_there_is_used_again_loaded_or_not(ours, node, fresh_wallet):
    first = ours.ensure_watch_wallet(fresh_wallet)
    before = node.rpc.for_wallet(first.name).call("listdescriptors")
    node.rpc.call("unloadwallet", first.name)
    node.fund(Deriver(fresh_wallet).address(0, 0), 700_000)
    again = ours.ensure_watch_wallet(fresh_wallet)
    assert again.balance().spendable == 700_000
    after = again.rpc.call("listdescriptors")
    assert [item["desc"] for item in after["descriptors"]] == [item["desc"] for item in before["descriptors"]]


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_every_kind_of_script_is_watched(ours, node, request, script_type, is_sorted):
    wallet = make_wallet(people(3, request.node.nodeid), script_type=script_type, is_sorted=is_sorted)
    node.fund(Deriver(wallet).address(0, 0), 500_000)
    assert ours.ensure_watch_wallet(wallet).balance().spendable == 500_000


@pytest.fixture
def aged():
    """A node whose blocks are a month old, and its clock today again; the wallet got a coin in the old days."""
    today = int(time.time())
    with RegtestNode(mocktime=today - MONTH) as running:
        running.mine(101)
        wallet = make_wallet(people(3, "aged"))
        running.fund(Deriver(wallet).address(0, 0), 500_000)
        for day in range(1, 30, 3):
            running.set_time(today - MONTH + day * 24 * 3600)
            running.mine(1)
        running.set_time(today)
        running.mine(12)  # the median time past has to be today as well
        yield running, wallet, today


def _born(wallet, birth):
    return make_wallet(people(3, "aged"), birth=birth, name=wallet.name)


def test_coins_older_than_the_rescan_window_are_found_by_birth(aged):
    running, wallet, today = aged
    watching = Node(running.settings).ensure_watch_wallet(_born(wallet, today - MONTH))
    assert watching.balance().spendable == 500_000


def test_without_a_birth_every_block_is_looked_through(aged):
    running, wallet, _ = aged
    assert Node(running.settings).ensure_watch_wallet(_born(wallet, None)).balance().spendable == 500_000


def test_a_wrong_birth_misses_them_and_rescan_finds_them(aged):
    running, wallet, today = aged
    ours, late = Node(running.settings), _born(wallet, today)
    assert ours.ensure_watch_wallet(late).balance().spendable == 0, "else the tests above prove nothing"
    assert ours.ensure_watch_wallet(late).balance().spendable == 0
    assert ours.ensure_watch_wallet(late, rescan=True).balance().spendable == 500_000


def test_many_addresses_at_once_are_found_in_spite_of_a_small_keypool(ours, node, fresh_wallet):
    """The node of the tests has -keypool=20, so its own window does not follow jumps beyond the first range."""
    deriver = Deriver(fresh_wallet)
    for index in (5, 298, 590, 880):
        node.fund(deriver.address(0, index), 100_000, confirm=False)
    node.mine()
    watching = ours.ensure_watch_wallet(fresh_wallet)
    assert watching.balance().spendable == 400_000
    assert watching.highest_used() == {0: 880}
    node.fund(deriver.address(0, 1250), 100_000)
    assert ours.ensure_watch_wallet(fresh_wallet).balance().spendable == 500_000


def test_an_import_that_was_cut_off_is_done_again(aged):
    """What a node leaves behind when it is stopped in the middle: a blank wallet, or inactive descriptors."""
    running, wallet, today = aged
    born = _born(wallet, today - MONTH)
    name = f"wormsig-{born.id[:12]}"
    running.rpc.call("createwallet", wallet_name=name, disable_private_keys=True, blank=True)
    half = {"desc": branch_descriptor(born, 0), "timestamp": "now", "range": [0, 10]}
    assert running.rpc.for_wallet(name).call("importdescriptors", [half])[0]["success"]
    watching = Node(running.settings).ensure_watch_wallet(born)
    assert watching.balance().spendable == 500_000
    assert all(item["active"] for item in watching.rpc.call("listdescriptors")["descriptors"])


def test_a_pruned_node_without_the_blocks_says_so():
    today = int(time.time())
    wallet = make_wallet(people(3, "pruned"))
    with RegtestNode(["-prune=1", "-fastprune"], mocktime=today - MONTH) as running:
        running.mine(101)
        for _ in range(3):
            running.mine(150)
        running.set_time(today)
        running.mine(150)
        running.rpc.call("pruneblockchain", 300)
        ours = Node(running.settings)
        assert ours.chain().pruned
        with pytest.raises(NodeError) as caught:
            ours.ensure_watch_wallet(wallet)
        assert "deleted blocks" in str(caught.value.hint)
        born_today = make_wallet(people(3, "pruned"), birth=today)
        assert ours.ensure_watch_wallet(born_today).balance().spendable == 0


def test_progress_is_told_while_it_takes_long(aged, monkeypatch):
    running, wallet, _ = aged
    monkeypatch.setattr("wormsig.node.watch._POLL", 0.001)
    told = []
    Node(running.settings).ensure_watch_wallet(wallet, progress=told.append)
    assert all(0 <= percent <= 100 for percent in told)


def test_a_wallet_of_ones_own_is_used_when_it_is_named(node, fresh_wallet):

    node.rpc.call("createwallet", wallet_name="my watch", disable_private_keys=True, blank=True)
    node.fund(Deriver(fresh_wallet).address(0, 0), 500_000)
    watching = Node(replace(node.settings, wallet="my watch")).ensure_watch_wallet(fresh_wallet)
    assert (watching.name, watching.balance().spendable) == ("my watch", 500_000)
    assert not any(item["active"] for item in watching.rpc.call("listdescriptors")["descriptors"])
    Node(replace(node.settings, wallet="my watch")).ensure_watch_wallet(fresh_wallet)
    with pytest.raises(UsageError, match="private keys") as caught:
        Node(replace(node.settings, wallet="miner")).ensure_watch_wallet(fresh_wallet)
    assert caught.value.hint


def test_bitcoind_chooses_coins_and_change(ours, node, fresh_wallet):
    deriver = Deriver(fresh_wallet)
    node.fund(deriver.address(0, 0), 500_000)
    node.fund(deriver.address(0, 1), 600_000)
    watching = ours.ensure_watch_wallet(fresh_wallet)
    change, to = deriver.address(1, 0), node.wallet().call("getnewaddress")
    funded = watching.fund({to: 300_000}, fee_rate=Fraction(5, 2), change_address=change)
    assert len(funded.tx.outputs) == 2
    assert {output.sats for output in funded.tx.outputs} > {300_000}
    small, large = sorted(watching.coins(), key=lambda coin: coin.sats)
    chosen = watching.fund({to: 300_000}, fee_rate=Fraction(1), change_address=change, coins=[large.outpoint])
    assert [txin.outpoint for txin in chosen.tx.inputs] == [large.outpoint]
    avoiding = watching.fund({to: 300_000}, fee_rate=Fraction(1), change_address=change, avoid=[large.outpoint])
    assert [txin.outpoint for txin in avoiding.tx.inputs] == [small.outpoint]
    assert watching.rpc.call("listlockunspent") == []


def test_too_little_money_is_said_with_amounts(ours, node, fresh_wallet):
    deriver = Deriver(fresh_wallet)
    node.fund(deriver.address(0, 0), 500_000)
    node.fund(deriver.address(0, 1), 100_000, confirm=False)
    watching = ours.ensure_watch_wallet(fresh_wallet)
    to = node.wallet().call("getnewaddress")
    with pytest.raises(InsufficientFundsError) as caught:
        watching.fund({to: 700_000}, fee_rate=Fraction(1), change_address=deriver.address(1, 0))
    assert "0.00700000 BTC" in caught.value.message
    assert "the wallet has 0.00500000 BTC" in caught.value.message
    assert "0.00100000 BTC are not confirmed yet" in caught.value.message
    assert caught.value.exit_code == 8
    coin = next(coin for coin in watching.coins() if coin.safe)
    with pytest.raises(InsufficientFundsError, match="reserved"):
        watching.fund({to: 400_000}, fee_rate=Fraction(1), change_address=deriver.address(1, 0), avoid=[coin.outpoint])
    with pytest.raises(InsufficientFundsError, match="the chosen coins hold"):
        watching.fund({to: 500_000}, fee_rate=Fraction(1), change_address=deriver.address(1, 0), coins=[coin.outpoint])


def test_an_amount_below_dust_is_explained(ours, node, fresh_wallet):
    deriver = Deriver(fresh_wallet)
    node.fund(deriver.address(0, 0), 500_000)
    watching = ours.ensure_watch_wallet(fresh_wallet)
    to = node.wallet().call("getnewaddress")
    with pytest.raises(NodeError, match="too small"):
        watching.fund({to: 100}, fee_rate=Fraction(5), change_address=deriver.address(1, 0))


def test_two_people_on_one_node_share_the_wallet(ours, node, fresh_wallet):
    """Both begin at once: one makes it, the other finds it, both see the coins."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  this test only

    node.fund(Deriver(fresh_wallet).address(0, 0), 500_000)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: ours.ensure_watch_wallet(fresh_wallet), range(2)))
    assert [watching.balance().spendable for watching in both] == [500_000, 500_000]


def test_branch_descriptors_are_what_bitcoind_expands_them_to(node, fresh_wallet):
    for branch in (0, 1):
        text = branch_descriptor(fresh_wallet, branch)
        derived = node.rpc.call("deriveaddresses", text, [3, 3])
        assert derived == [Deriver(fresh_wallet).address(branch, 3)]
    with pytest.raises(NodeRefusedError):
        node.rpc.call("deriveaddresses", branch_descriptor(fresh_wallet, 0)[:-1] + "q", [3, 3])
    assert Decimal(0) == node.wallet().call("getbalances")["mine"]["untrusted_pending"]
