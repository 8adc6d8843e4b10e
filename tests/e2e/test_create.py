"""`wormsig create` as a process, against a real bitcoind: what is in the PSBT, and what is refused."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction

import pytest

from support.bitcoind import RegtestNode
from support.payer import Payer
from support.values import replace
from wormsig.app.create import create
from wormsig.app.order import Order, parse_payment
from wormsig.app.settings import ReviewOptions
from wormsig.bitcoin.network import Network, address_of, script_of
from wormsig.bitcoin.tx import parse_transaction
from wormsig.errors import NodeError
from wormsig.node.client import Node
from wormsig.psbt import codec, creator, model

MILLION = 1_000_000


@pytest.fixture
def shape():
    """The wallet's; a test with another one names it with `parametrize`."""
    return {}


@pytest.fixture
def payer(request, node, wormsig, home, shape):
    return Payer(node, wormsig, home, salt=request.node.nodeid, **shape)


SHAPES = [
    {"script_type": script_type, "is_sorted": is_sorted}
    for script_type in ("wsh", "sh-wsh", "sh")
    for is_sorted in (True, False)
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_all_that_the_cosigners_need_is_there(payer, shape, tmp_path):
    payer.fund(5 * MILLION, index=4)
    payer.fund(1 * MILLION, branch=1, index=6)
    alice, bob = payer.address(), payer.address()
    out = tmp_path / "pay.psbt"
    done = payer.create("--to", f"{alice}:0.02 BTC", "--to", f"{bob}:3500000sat", "--fee-rate", "2.5", "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert out.stat().st_mode & 0o777 == 0o600
    psbt = codec.parse(out.read_bytes())
    assert codec.serialize(psbt) == out.read_bytes()
    _check_inputs(payer, psbt, shape["script_type"])
    outputs = {address_of(output.script, Network.REGTEST): output.sats for output in psbt.tx.outputs}
    change = payer.deriver.address(1, 7)
    assert set(outputs) == {alice, bob, change}, "change at the first unused index"
    assert (outputs[alice], outputs[bob]) == (2 * MILLION, 3_500_000)
    position = [address_of(output.script, Network.REGTEST) for output in psbt.tx.outputs].index(change)
    assert model.output_derivations(psbt, position) == dict(payer.deriver.script(1, 7).origins)
    assert "address 1/7" in done.stderr
    assert psbt.tx.locktime == 0
    assert {txin.sequence for txin in psbt.tx.inputs} == {0xFFFFFFFD}


def _printed(payer, *arguments):
    """The PSBT that `create` printed."""
    return codec.parse(codec.from_any(payer.create(*arguments, check=True).stdout.strip()))


def _check_inputs(payer, psbt, script_type):
    assert {str(txin.outpoint) for txin in psbt.tx.inputs}
    for index, txin in enumerate(psbt.tx.inputs):
        raw = model.previous_tx(psbt, index)
        previous = parse_transaction(raw)
        assert previous.txid_bytes == txin.outpoint.txid
        spent = previous.outputs[txin.outpoint.index]
        place = payer.deriver.search(spent.script, 10)
        assert model.input_derivations(psbt, index) == dict(place.origins)
        assert model.redeem_script(psbt, index) == place.redeem
        assert model.witness_script(psbt, index) == place.witness
        assert model.witness_utxo(psbt, index) == (None if script_type == "sh" else spent)
        assert not model.partial_sigs(psbt, index)


def test_bitcoind_reads_it_and_finds_the_ordered_fee_rate(payer):
    payer.fund(5 * MILLION)
    psbt = _printed(payer, "--to", f"{payer.address()}:0.02", "--fee-rate", "4")
    text = base64.b64encode(codec.serialize(psbt)).decode()
    analysis = payer.node.rpc.call("analyzepsbt", text)
    assert analysis["next"] == "signer"
    assert analysis["inputs"][0]["has_utxo"]
    # bitcoind estimates 71-byte signatures where its own wallet paid for 72
    assert Decimal("0.00004") <= analysis["estimated_feerate"] <= Decimal("0.000042")


def test_coins_older_than_the_rescan_window_are_found(wormsig, home):
    today = int(time.time())
    with RegtestNode(mocktime=today - 40 * 24 * 3600) as node:
        payer = Payer(node, wormsig, home, salt="old coins", birth=today - 41 * 24 * 3600)
        payer.fund(5 * MILLION)
        node.set_time(today)
        node.mine(12)
        psbt = _printed(payer, "--to", f"{payer.address()}:0.02", "--fee-rate", "2")
        assert len(psbt.tx.inputs) == 1


def test_everything_goes_to_one_address(payer):
    payer.fund(2 * MILLION, index=0)
    payer.fund(3 * MILLION, index=1)
    one, rest = payer.address(), payer.address()
    psbt = _printed(payer, "--to", f"{one}:0.01", "--to", f"{rest}:all", "--fee-rate", "3")
    assert len(psbt.tx.inputs) == 2
    outputs = {address_of(output.script, Network.REGTEST): output.sats for output in psbt.tx.outputs}
    assert set(outputs) == {one, rest}
    assert outputs[one] == MILLION
    assert 3_990_000 < outputs[rest] < 4 * MILLION


def test_the_recipients_can_pay_the_fee(payer):
    payer.fund(5 * MILLION)
    one, two = payer.address(), payer.address()
    psbt = _printed(payer, "--to", f"{one}:0.01", "--to", f"{two}:0.02", "--fee-rate", "10", "--subtract-fee")
    outputs = {address_of(output.script, Network.REGTEST): output.sats for output in psbt.tx.outputs}
    fee = 5 * MILLION - sum(outputs.values())
    assert MILLION - outputs[one] + 2 * MILLION - outputs[two] == fee
    assert abs((MILLION - outputs[one]) - (2 * MILLION - outputs[two])) <= 1


def test_certain_coins_locktime_and_no_replacement(payer):
    payer.fund(2 * MILLION, index=0)
    coin = payer.fund(3 * MILLION, index=1)
    height = payer.node.rpc.call("getblockcount")
    psbt = _printed(
        payer,
        *("--to", f"{payer.address()}:0.01", "--fee-rate", "3", "--coin", f"{coin.txid}:{coin.index}"),
        *("--locktime", height, "--no-rbf", "--change-index", 3),
    )
    assert [str(txin.outpoint) for txin in psbt.tx.inputs] == [f"{coin.txid}:{coin.index}"]
    assert psbt.tx.locktime == height
    assert psbt.tx.inputs[0].sequence == 0xFFFFFFFE
    assert payer.deriver.script(1, 3).script_pubkey in {output.script for output in psbt.tx.outputs}


def test_json_gives_the_review_and_the_psbt(payer):
    payer.fund(5 * MILLION)
    to = payer.address()
    done = payer.create("--to", f"{to}:0.02", "--fee-rate", "2", "--json", check=True)
    review, result = (json.loads(line) for line in done.stdout.splitlines())
    assert (review["event"], result["event"]) == ("review", "done")
    kinds = {output["address"]: output["kind"] for output in review["outputs"]}
    assert kinds == {to: "payment", payer.deriver.address(1, 0): "change"}
    assert not review["findings"]
    psbt = codec.parse(codec.from_any(result["psbt"]))
    assert psbt.txid == review["txid"]


REFUSED = [
    (["--to", "ADDRESS:99"], 8, "not enough money"),
    (["--to", "ADDRESS:0"], 2, "zero"),
    (["--to", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq:0.01"], 3, "mainnet"),
    (["--to", "ADDRESS:0.01", "--fee-rate", "0.01"], 8, "relay"),
    (["--to", "ADDRESS:0.00000100"], 8, "too small"),
    (["--to", "ADDRESS:0.01", "--coin", f"{'ab' * 32}:0"], 8, "not an unspent coin"),
    (["--to", "CHANGE:0.01"], 2, "where change goes"),
    (["--to", "ADDRESS:0.01", "--fee-rate", "2000"], 4, "fee"),
    (["--to", "ADDRESS:0.01", "--network", "signet"], 2, "signet"),
]


def test_what_is_refused_leaves_no_file(payer):
    payer.fund(5 * MILLION)
    places = {"ADDRESS": payer.address(), "CHANGE": payer.deriver.address(1, 0)}
    out = payer.home.parent / "pay.psbt"
    for texts, code, words in REFUSED:
        arguments = [texts[0], *(text.replace("ADDRESS", places["ADDRESS"]) for text in texts[1:])]
        arguments = [text.replace("CHANGE", places["CHANGE"]) for text in arguments]
        if "--fee-rate" not in arguments:
            arguments += ["--fee-rate", "2"]
        done = payer.create(*arguments, "-o", out)
        assert done.returncode == code, (texts, done.stderr)
        assert words in done.stderr
        assert done.stderr.splitlines()[-1].startswith(("error:", "hint:"))
        assert done.stdout == ""
        assert sorted(path.name for path in payer.home.parent.iterdir()) == ["home"]


def test_an_existing_file_is_kept_without_force(payer):
    payer.fund(5 * MILLION)
    out = payer.home.parent / "pay.psbt"
    out.write_text("mine")
    order = ("--to", f"{payer.address()}:0.01", "--fee-rate", "2", "-o", out)
    assert payer.create(*order).returncode == 2
    assert out.read_text() == "mine"
    payer.create(*order, "--force", check=True)
    assert codec.parse(out.read_bytes()).tx.inputs


def test_without_a_node_or_a_wallet_it_is_a_usage_error(payer, wormsig):
    order = ("--to", f"{payer.address()}:0.01", "--fee-rate", "2")
    without_node = wormsig("create", "--wallet", "family", *order)
    assert (without_node.returncode, "node is needed" in without_node.stderr) == (2, True)
    without_wallet = wormsig("create", *order, env=payer.node.environment())
    assert without_wallet.returncode == 2


def test_an_unreachable_node_is_exit_8(payer):
    env = {"WORMSIG_RPC_URL": "http://127.0.0.1:1"}
    done = payer.create("--to", f"{payer.address()}:1", "--fee-rate", "2", env=env)
    assert done.returncode == 8
    assert "hint:" in done.stderr


class LyingNode(Node):
    """A node whose choice of coins and outputs was made by an attacker (THREATS M5)."""

    def __init__(self, settings, twist):
        super().__init__(settings)
        self.twist = twist

    def ensure_watch_wallet(self, *arguments, **options):
        watching = super().ensure_watch_wallet(*arguments, **options)
        twist = self.twist

        class Lying(type(watching)):
            def fund(self, *order, **how):
                return twist(super().fund(*order, **how))

        return Lying(watching.rpc, watching.name, watching.wallet)


def _with_outputs(psbt, outputs):
    return creator.create(list(psbt.tx.inputs), outputs, locktime=psbt.tx.locktime)


@pytest.mark.parametrize("attack", ["foreign change", "another amount", "a fat fee", "one more output", "no payment"])
def test_m5_a_node_that_lies_about_outputs_is_found(payer, attack):
    payer.fund(5 * MILLION)
    thief, payment = (
        script_of(payer.address(), Network.REGTEST),
        parse_payment(f"{payer.address()}:0.02", Network.REGTEST),
    )

    def twist(psbt):
        paid = next(output for output in psbt.tx.outputs if output.script == payment.script)
        change = next(output for output in psbt.tx.outputs if output.script != payment.script)
        return _with_outputs(
            psbt,
            {
                "foreign change": [paid, replace(change, script=thief)],
                "another amount": [replace(paid, sats=paid.sats + 1), change],
                "a fat fee": [paid, replace(change, sats=change.sats - 100_000)],
                "one more output": [paid, replace(change, sats=1000), replace(change, script=thief)],
                "no payment": [change],
            }[attack],
        )

    with pytest.raises(NodeError):
        create(
            Order((payment,), Fraction(2)),
            payer.wallet,
            LyingNode(payer.node.settings, twist),
            registry=payer.registry,
            options=ReviewOptions(),
        )


def test_start_up_does_not_load_twisted_or_btclib():
    heavy = ("twisted", "btclib_wallet", "rich")
    code = f"import sys, wormsig.cli.commands.create; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
