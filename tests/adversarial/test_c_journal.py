"""THREATS C4, C18, C19, C24: what an earlier payment on this machine says about the next one, by the real commands."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from support.hostile import BTC, STRANGER, Coin, Out, Scene, edit_input, scene_of
from support.world import World
from wormsig.bitcoin.bech32 import segwit_address
from wormsig.bitcoin.network import Network, address_of
from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.review.findings import Code

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Judge
    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt

OTHER_COINS = [Coin(index=8), Coin(index=9)]


def found(judge: Judge, psbt: Psbt, *options: str) -> dict[str, str]:
    """Code -> message of the findings that `wormsig inspect` has."""
    _, shown = judge.inspect(psbt, *options)
    return {finding["code"]: finding["message"] for finding in shown["findings"]}


# --- files: `wormsig sign`, then the next PSBT


def test_c24_the_first_one_failed_sign_this(judge: Judge, scene: Scene):
    first = scene.psbt(OTHER_COINS)
    assert judge.signs(first)
    again = scene.psbt(outputs=[Out(30_000_000), Out(2 * BTC - 30_002_000, place=(1, 1))])
    assert first.txid in found(judge, again)[Code.PAID_BEFORE]
    assert not judge.signs(again)
    assert judge.signs(first)  # the same once more is no second payment


def test_c24_another_recipient_or_amount_is_another_payment(judge: Judge, scene: Scene):
    assert judge.signs(scene.psbt(OTHER_COINS))
    other = scene.psbt(outputs=[Out(30_000_001), Out(2 * BTC - 30_002_001, place=(1, 1))])
    assert found(judge, other) == {}
    assert judge.signs(other)


def test_c24_a_replacement_is_named_with_both_fees(judge: Judge, scene: Scene):
    assert judge.signs(scene.psbt())
    bumped = scene.psbt(fee=4_000)
    assert "fee before: 2000 sat; now: 4000 sat" in found(judge, bumped)[Code.REPLACES]
    assert judge.signs(bumped)


def test_c24_a_quiet_replacement_that_pays_somebody_else(judge: Judge, scene: Scene):
    assert judge.signs(scene.psbt())
    thief = scene.psbt([Coin(), Coin(index=8)], [Out(2 * BTC - 2_000, b"\x00\x14" + bytes(20))])
    assert Code.REPLACES_DIFFERENTLY in found(judge, thief)
    assert not judge.signs(thief)


def test_c23_a_coin_that_was_signed_here_is_not_hidden_afterwards(judge: Judge):
    """One transaction shown twice, each time with another of our coins hidden, would take both for half of the loss."""
    scene = judge.use(scene_of(count=1, threshold=1, salt="hidden"))
    shown = scene.psbt([Coin(index=3), Coin(index=8_000)])
    assert judge.signs(shown)
    hidden = edit_input(shown, 1, {key: None for key in shown.inputs[1] if key[0] in {0x05, 0x06}})
    assert not judge.report(hidden).errors  # too far from what is known: nothing in the PSBT says whose it is
    assert "signed on this machine" in found(judge, hidden)[Code.OUR_KEY_IN_FOREIGN_INPUT]
    assert not judge.signs(hidden)
    assert judge.signs(shown)


def test_c18_an_address_like_one_that_was_paid(judge: Judge, scene: Scene):
    paid = address_of(STRANGER, Network.REGTEST)
    assert paid is not None
    assert judge.signs(scene.psbt(OTHER_COINS))
    poisoned = scene.psbt(outputs=[Out(1_000_000, _twin(STRANGER)), Out(2 * BTC - 1_002_000, place=(1, 1))])
    assert paid in found(judge, poisoned)[Code.LOOK_ALIKE]
    assert not judge.signs(poisoned)


def _twin(script: bytes) -> bytes:
    """A P2WPKH script whose address begins and ends like that of another, found as an attacker does: by trying."""
    wanted = segwit_address("bcrt", 0, script[2:])
    for number in itertools.count():
        program = script[2:5] + number.to_bytes(17, "big")
        if segwit_address("bcrt", 0, program)[-3:] == wanted[-3:] and program != script[2:]:
            return b"\x00\x14" + program
    raise AssertionError("unreachable")


def test_c19_change_to_an_address_of_an_earlier_payment(judge: Judge, scene: Scene):
    assert judge.signs(scene.psbt(OTHER_COINS))
    again = scene.psbt(outputs=[Out(1_000_000), Out(2 * BTC - 1_002_000, place=(1, 0))])
    assert list(found(judge, again)) == [Code.ADDRESS_REUSE]
    assert not judge.signs(again)


def test_c4_an_earlier_payment_says_how_far_addresses_are_used(judge: Judge, scene: Scene):
    far = scene.psbt(outputs=[Out(1_000_000), Out(2 * BTC - 1_002_000, place=(1, 120))])
    assert list(found(judge, far)) == [Code.INDEX_AHEAD]
    nearer = scene.psbt(OTHER_COINS, [Out(2_000_000), Out(2 * BTC - 2_002_000, place=(1, 110))])
    assert judge.signs(nearer)
    assert found(judge, far) == {}


def test_c24_a_journal_that_cannot_be_read_is_said_and_stops_nothing(judge: Judge, scene: Scene):
    folder = judge.folder / "home" / "journal"
    folder.mkdir(exist_ok=True)
    (folder / "ceremonies.sqlite3").write_bytes(b"something else")
    assert list(found(judge, scene.psbt())) == [Code.HISTORY_UNREADABLE]
    assert judge.signs(scene.psbt())


def test_c24_nothing_is_signed_that_cannot_be_noted(judge: Judge, scene: Scene):
    folder = judge.folder / "home" / "journal"
    folder.mkdir(exist_ok=True)
    (folder / "signed.sqlite3").write_bytes(b"something else")
    path, out = judge.folder / "in.psbt", judge.folder / "out.psbt"
    path.write_bytes(codec.serialize(scene.psbt()))
    signer = f"key:{judge.folder / 'alice.key'}"
    code, _ = judge.run("sign", str(path), "--wallet", "family", "--signer", signer, "-y", "-o", str(out))
    assert code == ExitCode.STORAGE
    assert not out.exists()


# --- ceremonies: `wormsig send` and `wormsig receive`, then the next PSBT


@pytest.fixture
def world(node: RegtestNode, tmp_path: Path):
    with World(node, tmp_path) as running:
        yield running


def _ceremony(world: World, psbt: Path) -> None:
    """Alice sends, bob signs; the transaction is kept."""
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", psbt, "--to", "bob", "--signer", alice.signer, "--no-broadcast", "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    receive = bob.start("receive", code, "--signer", bob.signer, "-y", "--json")
    assert send.wait() == 0, send.err
    assert receive.wait() == 0, receive.err


def _inspected(world: World, name: str, psbt: Path, *options: str) -> dict[str, str]:
    shown = json.loads(world[name].run("inspect", psbt, "--json", *options).stdout)
    return {finding["code"]: finding["message"] for finding in shown["findings"]}


def _inputs(path: Path) -> set[str]:
    return {str(txin.outpoint) for txin in codec.parse(path.read_bytes()).tx.inputs}


def test_c24_paying_twice_after_a_ceremony_on_both_sides(world: World):
    world.fund()
    world.fund()
    payment = f"{world.somewhere()}:0.3"
    first = world.psbt(payment, name="first.psbt")
    _ceremony(world, first)

    # "The first one failed, sign this": the coins of the first stay reserved, so others are taken, and both see it.
    second = world.psbt(payment, name="second.psbt")
    assert _inputs(first).isdisjoint(_inputs(second))
    txid = codec.parse(first.read_bytes()).txid
    for name in ("alice", "bob"):
        assert txid in _inspected(world, name, second)[Code.PAID_BEFORE]
        person, out = world[name], world[name].home / "signed.psbt"
        done = person.run("sign", second, "--signer", person.signer, "-y", "-o", out)
        assert done.returncode == ExitCode.REFUSED, done.stderr
        assert Code.PAID_BEFORE in done.stderr
        assert not out.exists()
    assert _inspected(world, "carol", second) == {}  # who signed nothing remembers nothing

    # Over a wormhole nobody gets past it either.
    alice, bob = world["alice"], world["bob"]
    assert alice.run("send", second, "--to", "bob", "-y").returncode == ExitCode.REFUSED

    # What names the first one's coin replaces it, and cannot pay twice.
    coin = next(iter(_inputs(first)))
    bumped = alice.home / "bumped.psbt"
    alice.run("create", "--to", payment, "--coin", coin, "--fee-rate", "9", "-o", bumped, check=True)
    assert list(_inspected(world, "bob", bumped)) == [Code.REPLACES]
    assert bob.run("sign", bumped, "--signer", bob.signer, "-y").returncode == ExitCode.DONE


def test_c24_coins_of_a_signed_transaction_stay_reserved_until_spent_elsewhere(world: World):
    world.fund()
    payment = f"{world.somewhere()}:0.3"
    first = world.psbt(payment, name="first.psbt")
    alice = world["alice"]
    assert alice.run("sign", first, "--signer", alice.signer, "-y").returncode == ExitCode.DONE
    arguments = ("create", "--to", f"{world.somewhere()}:0.2", "--fee-rate", "5", "-o", alice.home / "next.psbt")
    refused = alice.run(*arguments)
    assert refused.returncode == ExitCode.NODE
    assert "reserved for payments that were signed before" in refused.stderr

    # Spent elsewhere, by another transaction with that coin: the change of that one is free.
    instead = alice.home / "instead.psbt"
    coin = next(iter(_inputs(first)))
    back = alice.run("wallet", "address", "family", "--index", "5", check=True).stdout.split()[-1]
    alice.run("create", "--to", f"{back}:all", "--coin", coin, "--fee-rate", "9", "-o", instead, check=True)
    signed = alice.run("sign", instead, "--signer", alice.signer, "-y")
    assert signed.returncode == ExitCode.REFUSED  # it pays otherwise, so a person has to say yes
    bob, carol = world["bob"], world["carol"]
    for person in (bob, carol):
        person.run("sign", instead, "--signer", person.signer, "-y", "-o", person.home / "part.psbt", check=True)
    both = alice.home / "both.psbt"
    alice.run("combine", instead, bob.home / "part.psbt", carol.home / "part.psbt", "-o", both, check=True)
    bob.run("broadcast", both, "-y", check=True)
    too_late = {Code.COINS_SPENT, Code.MINED}
    assert not too_late & _inspected(world, "alice", first).keys()  # what no block has yet may still be replaced
    assert not too_late & _inspected(world, "alice", instead).keys()
    world.node.mine(1)
    alice.run(*arguments, check=True)

    # Nothing of the first one can be mined any more, which everybody hears whose node knows; it stops nobody.
    for name in ("alice", "bob"):
        spent = _inspected(world, name, first)[Code.COINS_SPENT]
        assert spent.startswith("the coin of input 0 is spent already, in a block; it can never")
        assert Code.MINED in _inspected(world, name, instead)
    assert not too_late & _inspected(world, "alice", first, "--rpc-url", "").keys()

    # The first one is dead, so the same payment is none that could be made twice; without a node nobody knows.
    again = world.psbt(payment, name="again.psbt")
    assert _inspected(world, "alice", again) == {}
    assert Code.PAID_BEFORE in _inspected(world, "alice", again, "--rpc-url", "")
