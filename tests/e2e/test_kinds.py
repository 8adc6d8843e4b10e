"""Taproot and miniscript wallets from `create` to a mined block, with software keys and with Core as cosigner."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from support.cosigners import people
from support.kinds import descriptors
from support.spending import approved
from wormsig.app.combining import combine_answers, finalize_psbt
from wormsig.app.create import create
from wormsig.app.order import Order, parse_payment
from wormsig.app.settings import ReviewOptions
from wormsig.bitcoin.network import Network
from wormsig.errors import NodeError, UsageError
from wormsig.node.client import Node
from wormsig.psbt import codec
from wormsig.review.findings import Code
from wormsig.signers.secret import read_secret
from wormsig.signers.software import SoftwareKey
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.derive import Deriver
from wormsig.wallet.descriptor import parse_descriptor
from wormsig.wallet.registry import Registry

MILLION = 1_000_000
RATE = 3
ALICE, BOB, CAROL, DAVE, ERIN = range(5)
CASES = [
    ("wsh", (ALICE, CAROL)),
    ("sh-wsh", (BOB, CAROL)),
    ("sh", (ALICE, BOB)),
    ("wsh-recovery", (BOB, CAROL)),
    ("wsh-decaying", (ALICE, BOB, CAROL)),
    ("wsh-same-keys-later", (ALICE, BOB)),
    ("tr-sortedmulti-a", (ALICE, CAROL)),
    ("tr-nums-xpub", (BOB, CAROL)),
    ("tr-internal-other", (ERIN,)),
    ("tr-tree", (ALICE, BOB)),
]


class Family:
    """A wallet of people whom no other test has, with coins on the node."""

    def __init__(self, node, name, folder, salt):
        self.node, self.people = node, people(5, salt)
        self.texts = descriptors(self.people)
        self.wallet = parse_descriptor(self.texts[name], Network.REGTEST, name=name)
        self.deriver = Deriver(self.wallet)
        self.registry = Registry(folder)
        self.registry.save(self.wallet)
        self.ours = Node(node.settings)
        for index in range(3):
            node.fund(self.deriver.address(0, index), MILLION)

    def created(self, amount, **more):
        payment = parse_payment(f"{self.node.wallet().call('getnewaddress')}:{amount}", Network.REGTEST)
        order = Order((payment,), Fraction(RATE), **more)
        return create(order, self.wallet, self.ours, registry=self.registry, options=ReviewOptions())

    def sign(self, psbt, person):
        secret = read_secret(self.people[person].master.text(), Network.REGTEST)
        return SoftwareKey(secret, self.wallet, label="key").sign(approved(psbt, self.wallet))

    def core_wallet(self, person):
        """A wallet of Core's with one cosigner's private key in the whole descriptor."""
        called = f"core {person} {self.wallet.id[:8]}"
        self.node.rpc.call("createwallet", called, False, True)
        key = self.people[person]
        requests = [
            {
                "desc": with_checksum(
                    self.wallet.branch_descriptor(branch)[:-9].replace(key.key().text(), key.private_expression())
                ),
                "timestamp": "now",
                "range": [0, 20],
            }
            for branch in (0, 1)
        ]
        told = self.node.rpc.for_wallet(called).call("importdescriptors", requests)
        assert all(each["success"] for each in told), told
        return called


@pytest.fixture
def family(request, node, tmp_path):
    return Family(node, request.param, tmp_path / "wallets", request.node.nodeid)


def finished(family, unsigned, answers):
    """Combined, finalized, sent and mined; the transaction."""
    combined = combine_answers(unsigned, [(str(at), codec.serialize(psbt)) for at, psbt in enumerate(answers)], str)
    assert not combined.wrong
    assert not combined.missing
    tx = finalize_psbt(combined.psbt).transaction
    assert family.ours.send(tx.serialize()) == tx.txid
    family.node.mine()
    assert family.ours.confirmations(tx.txid) == 1
    return tx


@pytest.mark.parametrize(("family", "signing"), CASES, indirect=["family"], ids=[name for name, _ in CASES])
def test_created_signed_and_mined_at_the_fee_rate_ordered(family, signing):
    made = family.created("0.025")
    assert len(made.psbt.inputs) == 3
    assert not made.report.errors
    change = [view for view in made.report.outputs if view.path is not None]
    assert [view.path for view in change] == ["1/0"]
    tx = finished(family, made.psbt, [family.sign(made.psbt, person) for person in signing])
    paid = 3 * MILLION - sum(output.sats for output in tx.outputs)
    assert made.report.vsize is not None
    assert abs(made.report.vsize - tx.vsize) <= tx.vsize / 100
    assert RATE <= paid / tx.vsize <= RATE * 1.02


@pytest.mark.parametrize("family", ["wsh-wrappers"], indirect=True)
def test_a_sequence_opens_what_stands_behind_older(family):
    # Alice and bob need carol, or older(10). Young coins are left alone, and refused by name.
    with pytest.raises(NodeError, match="not enough money"):
        family.created("0.025", sequence=10)
    coin = next(coin.outpoint for coin in family.ours.ensure_watch_wallet(family.wallet).coins())
    with pytest.raises(UsageError, match="the sequence asks for 10"):
        family.created("0.005", sequence=10, coins=(coin,))
    family.node.mine(10)
    made = family.created("0.025", sequence=10)
    assert {txin.sequence for txin in made.psbt.tx.inputs} == {10}
    assert [finding.code for finding in made.report.findings] == [Code.RELATIVE_DELAY]
    tx = finished(family, made.psbt, [family.sign(made.psbt, person) for person in (ALICE, BOB)])
    assert abs(made.report.vsize - tx.vsize) <= tx.vsize / 100


@pytest.mark.parametrize("family", ["tr-sortedmulti-a", "tr-tree", "wsh-recovery"], indirect=True)
def test_core_signs_the_other_share(family):
    made = family.created("0.025")
    by_core = codec.parse(family.ours.process_psbt(family.core_wallet(BOB), codec.serialize(made.psbt)))
    finished(family, made.psbt, [family.sign(made.psbt, ALICE), by_core])


@pytest.mark.parametrize("family", ["tr-tree"], indirect=True)
def test_the_commands_do_the_same(family, wormsig, tmp_path):
    env = {**family.node.environment(), "WORMSIG_WALLET": "tree", "WORMSIG_NETWORK": "regtest"}
    wormsig("wallet", "import", "tree", family.wallet.descriptor, env=env, check=True)
    address = family.node.wallet().call("getnewaddress")
    unsigned = tmp_path / "pay.psbt"
    wormsig("create", "--to", f"{address}:0.025", "--fee-rate", RATE, "-o", unsigned, env=env, check=True)
    report = json.loads(wormsig("inspect", unsigned, "--json", env=env, check=True).stdout)
    assert (report["threshold"], {view["script_type"] for view in report["inputs"]}) == (2, {"tr"})
    answers = []
    for person in (ALICE, CAROL):
        key, out = tmp_path / f"{person}.key", tmp_path / f"{person}.psbt"
        secret = family.people[person].master.text().encode()
        wormsig("key", "import", key, "--plain", stdin=secret, env=env, check=True)
        wormsig("sign", unsigned, "--signer", f"key:{key}", "-y", "-o", out, env=env, check=True)
        answers.append(out)
    combined = tmp_path / "combined.psbt"
    wormsig("combine", unsigned, *answers, "-o", combined, env=env, check=True)
    raw = wormsig("finalize", combined, env=env, check=True).stdout.strip()
    txid = wormsig("broadcast", raw, "-y", env=env, check=True).stdout.strip()
    family.node.mine()
    assert family.ours.confirmations(txid) == 1
