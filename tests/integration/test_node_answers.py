"""A node that does not answer as bitcoind does: every question ends with an answer or with an error of the node.

The real bitcoind is asked; one method's answer is changed on the way.
"""

from __future__ import annotations

import base64
import copy
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from support.cosigners import make_wallet, people
from support.odd_node import OddNode
from support.payer import Payer
from wormsig.bitcoin.network import Network, script_of
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput, parse_transaction
from wormsig.errors import ExitCode, NodeError, UsageError, WormsigError
from wormsig.node import watch
from wormsig.node.client import Node
from wormsig.psbt import codec, creator
from wormsig.wallet.derive import Deriver

if TYPE_CHECKING:
    from collections.abc import Callable

ODD: list[Any] = [None, True, -1, 10**30, "odd", "\u00e9", "\ud800", [], ["\ud800"], {}, [{}], {"odd": "odd"}]
"""What may stand where an answer or a part of one is expected."""
NO_SCAN = [value for value in ODD if value is not True and not isinstance(value, dict)]
"""The same for a scan, which is waited for as long as the node says that it goes on."""


class Asked:
    """A watched wallet with coins, a transaction that nobody has sent, and every question that there is about them."""

    def __init__(self, node) -> None:
        self.node = node
        self.wallet = make_wallet(people(3, "odd answers"))
        deriver = Deriver(self.wallet)
        Node(node.settings).ensure_watch_wallet(self.wallet)
        self.change = deriver.address(1, 0)
        self.script = script_of(deriver.address(0, 0), Network.REGTEST)
        coins = [node.fund(deriver.address(0, index), 100_000) for index in (0, 1)]
        self.coins = [OutPoint.from_text(f"{coin.txid}:{coin.index}") for coin in coins]
        miner = node.wallet()
        self.somewhere = miner.call("getnewaddress")
        paid = miner.call("walletcreatefundedpsbt", [], [{self.somewhere: Decimal("0.1")}])["psbt"]
        self.psbt = base64.b64decode(paid)
        signed = miner.call("walletprocesspsbt", paid)["psbt"]
        self.unsent = bytes.fromhex(node.rpc.call("finalizepsbt", signed)["hex"])
        block = node.mine(1, "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202")[0]
        self.foreign = OutPoint.from_text(f"{node.rpc.call('getblock', block, 1)['tx'][0]}:0")

    def watching(self, ours: Node):
        return ours.ensure_watch_wallet(self.wallet)

    def fund(self, ours: Node):
        return self.watching(ours).fund({self.somewhere: 50_000}, fee_rate=Fraction(2), change_address=self.change)

    def rescan(self, ours: Node):
        return ours.ensure_watch_wallet(self.wallet, rescan=True, progress=lambda _: None).highest_used()


QUESTIONS: dict[str, Callable[[Asked, Node], object]] = {
    "chain": lambda _, ours: ours.chain(),
    "lowest fee rate": lambda _, ours: ours.lowest_fee_rate(),
    "previous transactions": lambda asked, ours: ours.previous_transactions([*asked.coins, asked.foreign]),
    "unspents": lambda asked, ours: ours.unspents(asked.coins),
    "acceptance": lambda asked, ours: ours.test_accept(asked.unsent),
    "confirmations": lambda asked, ours: ours.confirmations(asked.coins[0].txid[::-1].hex()),
    "highest used": lambda asked, ours: ours.highest_used(asked.wallet),
    "paid scripts": lambda asked, ours: ours.paid_scripts(asked.wallet, [asked.script]),
    "spent": lambda asked, ours: ours.spent(asked.wallet, [*asked.coins, OutPoint(asked.coins[0].txid, 99)]),
    "core signer": lambda asked, ours: ours.process_psbt("miner", asked.psbt),
    "balance": lambda asked, ours: asked.watching(ours).balance(),
    "coins": lambda asked, ours: asked.watching(ours).coins(),
    "funding": lambda asked, ours: asked.fund(ours),
    "rescan": lambda asked, ours: asked.rescan(ours),
}
ONLY = {"rescan": "importdescriptors"}
"""What no other question asks, where asking for everything takes long."""
ALSO_USAGE = {"chain", "balance", "coins", "funding"}
"""Another chain, and a wallet with keys, are what people do wrong."""


@pytest.fixture(scope="module")
def asked(node):
    return Asked(node)


def parts(answer: Any) -> list[tuple[Any, ...]]:
    """The paths to everything in an answer; of a list's items the first alone."""
    found: list[tuple[Any, ...]] = [()]
    items = answer.items() if isinstance(answer, dict) else enumerate(answer[:1]) if isinstance(answer, list) else ()
    for key, value in items:
        found += [(key, *path) for path in parts(value)]
    return found


def changed(answer: Any, path: tuple[Any, ...], value: Any) -> Any:
    """An answer with something else at a path."""
    if not path:
        return value
    answer = copy.deepcopy(answer)
    place = answer
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return answer


def outcome(ask: Callable[[Asked, Node], object], asked: Asked, ours: Node) -> object:
    """The answer to a question, or the error."""
    try:
        return ask(asked, ours)
    except WormsigError as error:
        return error


@pytest.mark.parametrize("question", QUESTIONS)
def test_m5_an_odd_answer_is_an_error_of_the_node(asked, question, monkeypatch):
    monkeypatch.setattr(watch, "_RACE_PATIENCE", 0.0)  # a node that denies its wallets is asked again for so long
    ask = QUESTIONS[question]
    seen: dict[str, Any] = {}

    def remember(method: str, result: Any) -> Any:
        seen[method] = result if seen.get(method) is None else seen[method]
        return result

    with OddNode(asked.node, remember) as between:
        ours = Node(between.settings)
        honest = ask(asked, ours)
        expected = (type(honest), type(None), NodeError, *([UsageError] if question in ALSO_USAGE else []))
        refused = set()
        for method in [ONLY[question]] if question in ONLY else seen:
            for path in parts(seen[method]):
                for value in NO_SCAN if path == ("scanning",) else ODD:
                    odd = changed(seen[method], path, value)
                    between.odd = lambda name, result, method=method, odd=odd: odd if name == method else result
                    found = outcome(ask, asked, ours)
                    assert isinstance(found, expected), (method, odd)
                    if isinstance(found, NodeError):
                        refused.add(method)
                        assert "\n" not in found.message
        assert refused, "nothing odd was even read"
        between.odd = None
        assert type(ask(asked, ours)) is type(honest), "nothing odd is left behind"


@pytest.mark.parametrize("amount", [0.000000001, 21000001, 2.1e300, -21000001, "1.5", "NaN", True])
def test_m5_an_amount_that_nobody_can_have_is_an_error_of_the_node(asked, amount):
    with OddNode(asked.node) as between:
        between.odd = lambda method, result: result | {"value": amount} if method == "gettxout" else result
        with pytest.raises(NodeError, match=r"an amount that is none|is not bitcoind's") as caught:
            Node(between.settings).unspents(asked.coins)
        assert caught.value.hint


def test_m5_what_is_sent_is_called_what_is_computed_here(asked):
    with OddNode(asked.node) as between:
        between.odd = lambda method, result: "odd" if method == "sendrawtransaction" else result
        assert Node(between.settings).send(asked.unsent) == parse_transaction(asked.unsent).txid
    assert Node(asked.node.settings).in_mempool(parse_transaction(asked.unsent).txid)


def choosing(*coins: OutPoint) -> str:
    """A PSBT of the node's that spends some coins, in base64."""
    made = creator.create([TxInput(coin) for coin in coins], [TxOutput(100_000, bytes(22))])
    return base64.b64encode(codec.serialize(made)).decode()


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        ("getblockchaininfo", lambda _: {"chain": "regtest"}, "getblockchaininfo is not bitcoind's"),
        ("listdescriptors", lambda _: {"descriptors": [{}]}, "listdescriptors is not bitcoind's"),
        ("gettransaction", lambda _: {"hex": "00", "confirmations": 1}, "something else for transaction"),
        ("walletcreatefundedpsbt", lambda _: {}, "walletcreatefundedpsbt is not bitcoind's"),
        ("walletcreatefundedpsbt", lambda _: {"psbt": "cHNidP8="}, "holds no PSBT"),
        ("walletcreatefundedpsbt", lambda _: {"psbt": choosing()}, "no coin"),
        ("walletcreatefundedpsbt", lambda coin: {"psbt": choosing(coin)}, "pays"),
        ("walletcreatefundedpsbt", lambda coin: {"psbt": choosing(OutPoint(coin.txid, 99))}, "there is not"),
    ],
)
def test_m5_a_command_says_so_in_one_line(node, wormsig, home, request, method, answer, words):  # noqa: PLR0917
    payer = Payer(node, wormsig, home, salt=request.node.nodeid)
    coin = payer.fund(1_000_000)
    odd = answer(OutPoint.from_text(f"{coin.txid}:{coin.index}"))
    out = home / "pay.psbt"
    with OddNode(node, lambda name, result: odd if name == method else result) as between:
        env = {"WORMSIG_RPC_URL": between.url}
        done = payer.run("create", "--to", f"{payer.address()}:0.001", "--fee-rate", "2", "-o", out, env=env)
    assert done.returncode == ExitCode.NODE, done.stderr
    assert words in done.stderr
    assert sum(line.startswith("error:") for line in done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not out.exists()
