"""Every kind of wallet against bitcoind: the same addresses, the same text, and final scripts of the size foretold."""

from __future__ import annotations

import pytest

from support.kinds import PEOPLE, descriptors, kind
from wormsig.bitcoin.tx import parse_transaction
from wormsig.node.client import Node
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.derive import Deriver
from wormsig.wallet.sizes import ECDSA_SIZE, Spend, final_size

# bitcoind before 30 does not know musig(); the corpus has those wallets, made by one that does.
NAMES = [name for name in descriptors() if "musig" not in name]
SPENT_AT_ONCE = [
    "wsh",
    "sh-wsh",
    "sh",
    "wsh-recovery",
    "wsh-decaying",
    "wsh-same-keys-later",
    "wsh-or-i",
    "wsh-or-b",
    "wsh-or-c",
    "wsh-and-n",
    "wsh-wrappers",
    "wsh-j",
    "sh-wsh-recovery",
    "tr-sortedmulti-a",
    "tr-nums-xpub",
    "tr-internal-member",
    "tr-internal-other",
    "tr-tree",
    "tr-pairs",
    "tr-same-keys-later",
]


@pytest.mark.parametrize("name", NAMES)
def test_bitcoind_derives_the_same_addresses(node, name):
    wallet = kind(name)
    deriver = Deriver(wallet)
    for branch in (0, 1):
        told = node.rpc.call("deriveaddresses", wallet.branch_descriptor(branch), [3, 6])
        assert told == [deriver.address(branch, index) for index in range(3, 7)]


@pytest.mark.parametrize("name", NAMES)
def test_bitcoind_writes_the_same_text(node, name):
    wallet = kind(name)
    told = node.rpc.call("getdescriptorinfo", wallet.branch_descriptor(0))["descriptor"]
    assert told == wallet.branch_descriptor(0)


@pytest.mark.parametrize("name", ["wsh-recovery", "tr-tree", "tr-nums-xpub", "wsh-same-keys-later"])
def test_the_node_watches_them(node, name):
    wallet = kind(name)
    node.fund(Deriver(wallet).address(1, 4), 500_000)
    watching = Node(node.settings).ensure_watch_wallet(wallet)
    assert watching.balance().spendable >= 500_000
    assert watching.highest_used()[1] == 4


def signing_wallet(node, name):
    """A wallet of bitcoind with everybody's private keys."""
    called = f"signs {name}"
    node.rpc.call("createwallet", called, False, True)
    rpc = node.rpc.for_wallet(called)
    body = descriptors()[name]
    for person in PEOPLE:
        body = body.replace(person.key().text(), person.private_expression())
    for steps in ("<0;1>", "<2;3>"):
        body = body.replace(f"/{steps}/*", f"/{steps[1]}/*")
    told = rpc.call("importdescriptors", [{"desc": with_checksum(body), "timestamp": "now", "range": [0, 20]}])
    assert told[0]["success"], told
    return rpc


@pytest.mark.parametrize("name", SPENT_AT_ONCE)
def test_final_scripts_are_of_the_size_foretold(node, name):
    wallet = kind(name)
    script = Deriver(wallet).script(0, 11)
    rpc = signing_wallet(node, name)
    coin = node.fund(Deriver(wallet).address(0, 11), 1_000_000)
    inputs = [{"txid": coin.txid, "vout": coin.index}]
    raw = rpc.call("createrawtransaction", inputs, [{Deriver(wallet).address(0, 12): "0.00900000"}])
    signed = rpc.call("signrawtransactionwithwallet", raw)
    assert signed["complete"], signed
    tx = parse_transaction(bytes.fromhex(signed["hex"]))
    expected = final_size(wallet, script, Spend(sequence=tx.inputs[0].sequence, locktime=tx.locktime))
    assert expected is not None
    sizes = tuple(len(item) for item in tx.witnesses[0]) if tx.witnesses else ()
    assert len(sizes) == len(expected.items)
    for size, foretold in zip(sizes, expected.items, strict=True):
        assert foretold - size in ({0, 1, 2} if foretold == ECDSA_SIZE else {0})
    assert 0 <= expected.script_sig - len(tx.inputs[0].script_sig) <= 4
