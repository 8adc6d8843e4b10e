"""What an order may say, before any node is asked."""

from __future__ import annotations

from fractions import Fraction

import pytest

from wormsig.app.order import Order, Payment, check_order, parse_coins, parse_payment
from wormsig.bitcoin.network import Network, script_of
from wormsig.bitcoin.tx import OutPoint
from wormsig.errors import InputError, UsageError

ONE = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
TWO = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpsqgljc"
COIN = OutPoint(bytes(32), 1)


def test_a_payment_is_an_address_and_an_amount():
    script = script_of(ONE, Network.REGTEST)
    assert parse_payment(f"{ONE}:0.5 BTC", Network.REGTEST) == Payment(ONE, script, 50_000_000)
    assert parse_payment(f" {ONE} : 50000 sat ", Network.REGTEST) == Payment(ONE, script, 50_000)
    assert parse_payment(f"{ONE}:all", Network.REGTEST) == Payment(ONE, script, None)
    assert parse_payment(f"{ONE.upper()}:ALL", Network.REGTEST).script == script


@pytest.mark.parametrize("text", ["", ":", ONE, f"{ONE}:", ":0.5", f"{ONE}:0.5:1", f"{ONE}:half", f"{ONE}:-all"])
def test_what_is_no_payment_is_a_usage_error(text):
    with pytest.raises(UsageError):
        parse_payment(text, Network.REGTEST)


@pytest.mark.parametrize("address", ["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", ONE[:-1] + "3", "nonsense"])
def test_c11_only_addresses_of_the_wallets_network(address):
    with pytest.raises(InputError):
        parse_payment(f"{address}:0.5", Network.REGTEST)


def _order(*texts, **more):
    return Order(tuple(parse_payment(text, Network.REGTEST) for text in texts), Fraction(1), **more)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (_order(), "nobody"),
        (_order(f"{ONE}:1", f"{ONE}:2"), "twice"),
        (_order(f"{ONE}:1", f"{ONE.upper()}:2"), "twice"),
        (_order(f"{ONE}:all", f"{TWO}:all"), "only one"),
        (_order(f"{ONE}:1", coins=(COIN, COIN)), "twice"),
        (_order(f"{ONE}:1", coins=(COIN,), avoid=frozenset({COIN})), "reserved"),
        (_order(f"{ONE}:1", sequence=0xFFFFFFFF, locktime=7), "locktime means nothing"),
        (_order(f"{ONE}:1", sequence=144, replaceable=False), "signals replacement"),
    ],
)
def test_orders_that_cannot_be_meant_are_refused(order, words):
    with pytest.raises(UsageError, match=words):
        check_order(order)


def test_a_good_order_passes():
    check_order(_order(f"{ONE}:1", f"{TWO}:all", coins=(COIN,)))


def test_coins_are_outpoints():
    text = f"{'ab' * 32}:7"
    assert [str(coin) for coin in parse_coins([text])] == [text]
    for bad in ("", "ab:1", f"{'ab' * 32}", f"{'ab' * 32}:-1", f"{'ab' * 32}:x", f"{'zz' * 32}:0"):
        with pytest.raises(UsageError):
            parse_coins([bad])
