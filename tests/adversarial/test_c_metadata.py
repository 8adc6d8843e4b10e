"""THREATS C8, C10, C11, C14 to C18, C24: delays, lies beside the transaction, hidden data, text that attacks."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from support.hostile import (
    BTC,
    MALLORY,
    REPLACEABLE,
    STRANGER,
    Coin,
    Out,
    Scene,
    edit_global,
    edit_input,
    edit_output,
    edit_tx,
    scene_of,
    strip_hints,
    with_output,
)
from support.values import replace
from wormsig.bitcoin.base58 import decode_check
from wormsig.bitcoin.keys import HARDENED, KeyOrigin, parse_path
from wormsig.bitcoin.network import Network, address_of
from wormsig.bitcoin.script import p2sh_script
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt import codec, creator
from wormsig.render.lines import plain
from wormsig.render.report_json import report_object
from wormsig.render.report_text import inspect_lines
from wormsig.render.sanitize import to_json
from wormsig.review.context import ReviewContext, Settled, SignedBefore
from wormsig.review.findings import Code
from wormsig.review.report import OutputKind
from wormsig.review.review import review

if TYPE_CHECKING:
    from conftest import Judge
    from wormsig.wallet.model import WalletKey

REST = 2 * BTC - 2_000


# --- C8


def test_c8_locktime_far_above_the_tip(judge: Judge, scene: Scene):
    late = scene.psbt(locktime=1_000)
    judge.finds(late, Code.LOCKTIME_AHEAD, height=993)
    judge.passes(late, height=994)
    judge.finds(late, Code.LOCKTIME_UNCHECKED)
    assert "can be mined after block 1000" in plain(inspect_lines(judge.report(late)))


def test_c8_locktime_in_time(judge: Judge, scene: Scene):
    noon = 1_800_000_000
    late = scene.psbt(locktime=noon)
    judge.finds(late, Code.LOCKTIME_AHEAD, median_time=noon - 7_201, height=1)
    judge.passes(late, median_time=noon - 7_200)
    assert "2027-01-15 08:00 UTC" in plain(inspect_lines(judge.report(late)))


def test_c8_locktime_that_nothing_enforces(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(locktime=1_000, sequence=0xFFFF_FFFF), Code.LOCKTIME_UNENFORCED)
    judge.passes(scene.psbt(sequence=0xFFFF_FFFF))


@pytest.mark.parametrize(
    ("sequence", "delays", "words"),
    [
        (1, False, "1 block"),
        (6, False, "6 blocks"),
        (7, True, "7 blocks"),
        (1 << 22 | 14, False, "1 h 59 min"),
        (1 << 22 | 15, True, "2 h 8 min"),
    ],
)
def test_c8_sequence_that_delays(judge: Judge, scene: Scene, sequence: int, words: str, *, delays: bool):
    psbt = scene.psbt(sequence=sequence)
    if delays:
        assert f"only {words} after" in judge.finds(psbt, Code.RELATIVE_DELAY).message
    else:
        judge.passes(psbt)
    assert re.search(rf"not before a coin is {words}\b", plain(inspect_lines(judge.report(psbt))))


def test_c8_a_sequence_means_what_the_version_lets_it_mean(judge: Judge, scene: Scene):
    delayed = edit_tx(scene.psbt(sequence=7), version=1)  # BIP68 begins with version 2
    judge.passes(delayed, quick=True)
    for sequence, replaceable in ((0, True), (0xFFFF_FFFD, True), (0xFFFF_FFFE, False), (0xFFFF_FFFF, False)):
        assert judge.report(scene.psbt(sequence=sequence)).replaceable == replaceable
    last_height, first_time = (scene.psbt(locktime=number) for number in (499_999_999, 500_000_000))
    judge.passes(last_height, height=499_999_999, median_time=0, quick=True)
    judge.passes(first_time, height=0, median_time=500_000_000, quick=True)


# --- C10


def _xpub(key: WalletKey, **changes: bytes) -> bytes:
    raw = bytearray(decode_check(key.xpub.text()))
    for name, value in changes.items():
        start = {"version": 0, "depth": 4, "parent": 5, "chain": 13, "pubkey": 45}[name]
        raw[start : start + len(value)] = value
    return b"\x01" + bytes(raw)


def test_c10_honest_global_xpubs(judge: Judge, scene: Scene):
    judge.passes(edit_global(scene.psbt(), {_xpub(key): key.origin.encode() for key in scene.wallet.keys}))


def test_c10_another_key_under_our_origin(judge: Judge, scene: Scene):
    lie = edit_global(scene.psbt(), {_xpub(MALLORY.key()): scene.wallet.keys[2].origin.encode()})
    assert "carol's key" in judge.finds(lie, Code.XPUB_SWAPPED).message


def test_c10_our_key_with_another_chain_code(judge: Judge, scene: Scene):
    key = scene.wallet.keys[0]
    lie = edit_global(scene.psbt(), {_xpub(key, chain=bytes(32)): key.origin.encode()})
    judge.finds(lie, Code.XPUB_SWAPPED)


def test_c10_a_key_that_is_none_of_the_wallets(judge: Judge, scene: Scene):
    lie = edit_global(scene.psbt(), {_xpub(MALLORY.key()): MALLORY.key().origin.encode()})
    judge.finds(lie, Code.XPUB_UNKNOWN)


def test_c10_other_metadata_is_a_notice(judge: Judge, scene: Scene):
    key = scene.wallet.keys[0]
    depth = len(key.origin.path)
    origin = KeyOrigin(bytes(4), (*key.origin.path[: depth - 1], HARDENED + 77)).encode()
    lie = edit_global(scene.psbt(), {_xpub(key, parent=bytes(4)): origin})
    finding = judge.finds(lie, Code.XPUB_METADATA)
    assert "fingerprint and path and parent" in finding.message
    assert len(judge.report(lie).findings) == 1


# --- C11


def test_c11_wallet_and_node_on_different_networks(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(), Code.NETWORK_MISMATCH, network=Network.MAINNET)
    judge.passes(scene.psbt(), network=Network.REGTEST)


def test_c11_another_coin_type_in_a_path(judge: Judge, scene: Scene):
    path = parse_path("84h/0h/0h/0/0")
    pubkey = MALLORY.master.derive(path).neuter().pubkey
    psbt = edit_output(scene.psbt(), 0, {b"\x02" + pubkey: KeyOrigin(b"\x01\x02\x03\x04", path).encode()})
    judge.finds(psbt, Code.COIN_TYPE)
    path = parse_path("84h/1h/0h/0/0")
    judge.passes(edit_output(scene.psbt(), 0, {b"\x02" + pubkey: KeyOrigin(b"\x01\x02\x03\x04", path).encode()}))


def test_c11_a_global_xpub_with_the_prefix_of_another_network(judge: Judge, scene: Scene):
    key = scene.wallet.keys[0]
    lie = edit_global(scene.psbt(), {_xpub(key, version=bytes.fromhex("0488b21e")): key.origin.encode()})
    judge.finds(lie, Code.XPUB_NETWORK)


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "tr"])
def test_c11_on_mainnet_it_is_the_other_way_round(script_type: str):
    """The prefix and the coin type of test networks are what does not belong there."""
    scene = scene_of(script_type)
    main = replace(scene.wallet, network=Network.MAINNET)
    key = main.keys[0]
    for version, warned in (("0488b21e", False), ("043587cf", True)):
        psbt = edit_global(scene.psbt(), {_xpub(key, version=bytes.fromhex(version)): key.origin.encode()})
        codes = {finding.code for finding in review(psbt, main, ReviewContext()).findings}
        assert (Code.XPUB_NETWORK in codes) == warned
        assert Code.COIN_TYPE in codes  # the wallet's own keys are at coin type 1
    foreign = OutPoint(bytes(range(32)), 0)
    bare = creator.create([TxInput(foreign)], [TxOutput(BTC, STRANGER)])
    for step, warned in (("84h/0h/0h/0/0", False), ("84h/1h/0h/0/0", True), ("84h/2h/0h/0/0", True)):
        path = parse_path(step)
        pubkey = MALLORY.master.derive(path).neuter().pubkey
        psbt = edit_output(bare, 0, {b"\x02" + pubkey: KeyOrigin(b"\x01\x02\x03\x04", path).encode()})
        where = {each.where for each in review(psbt, main, ReviewContext()).findings if each.code is Code.COIN_TYPE}
        assert ("output 0" in where) == warned, step


# --- C14


def test_c14_data_is_shown_whole_and_escaped(judge: Judge, scene: Scene):
    text = "hello\x1b[2J\u202eworld".encode()
    script = b"\x6a" + bytes((len(text),)) + text
    psbt = scene.psbt(outputs=[Out(0, script), Out(REST, place=(1, 0))])
    judge.finds(psbt, Code.DATA_OUTPUT)
    report = judge.report(psbt)
    assert report.outputs[0].kind is OutputKind.DATA
    shown = plain(inspect_lines(report))
    assert "hello\\x1b[2J\\u202eworld" in shown
    assert "\x1b" not in shown
    assert script.hex() in shown
    assert judge.inspect(psbt)[1]["outputs"][0]["script"] == script.hex()


def test_c14_burned_coins_warn(judge: Judge, scene: Scene):
    judge.finds(scene.psbt(outputs=[Out(5_000, b"\x6a\x01a"), Out(REST - 5_000, place=(1, 0))]), Code.BURNED_COINS)


def test_c14_data_behind_a_standard_script(judge: Judge, scene: Scene):
    script = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac\x75" + b"\x05hello"
    finding = judge.finds(scene.psbt(outputs=[Out(5_000, script), Out(REST - 5_000)]), Code.NONSTANDARD_SCRIPT)
    assert b"hello".hex() in finding.details[0]


# --- C15


def test_c15_unknown_and_proprietary_fields_are_kept_and_listed(judge: Judge, scene: Scene):
    psbt = edit_global(scene.psbt(), {b"\xfc\x03abc\x00": b"\x01\x02"})
    psbt = edit_input(psbt, 1, {b"\xe0": b"?"})
    psbt = edit_output(psbt, 0, {b"\xe1\x01": b"!"})
    report = judge.report(psbt)
    assert [finding.code for finding in report.findings] == [Code.UNKNOWN_FIELDS] * 3
    assert [finding.where for finding in report.findings] == ["global map", "input 1", "output 0"]
    assert "fc0361626300" in report.findings[0].details[0]
    assert judge.signs(psbt)
    kept = codec.parse((judge.folder / "out.psbt").read_bytes())
    assert kept.inputs[1][b"\xe0"] == b"?"


# --- C16


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"psbt",
        b"psbt\xff",
        b"psbt\xff" + b"\xff" * 9,
        b"psbt\xff\x01\x00\xfe\xff\xff\xff\x7f",
        b"psbt\xff\x01\x00\x0a" + b"\x02\x00\x00\x00\xfe\xff\xff\xff\xff\x00",
        b"psbt\xff" + b"\x01\xfb\x04\xff\xff\xff\xff" + b"\x00" * 100_000,
        b"cHNidP8" + b"A" * 100_000,
    ],
)
def test_c16_parser_bombs_are_bad_input(judge: Judge, raw: bytes):
    path = judge.folder / "bomb.psbt"
    path.write_bytes(raw)
    assert judge.run("inspect", str(path), "--network", "regtest") == (3, "")


def test_c16_truncated_and_with_trailing_bytes(judge: Judge, scene: Scene):
    raw = codec.serialize(scene.psbt())
    path = judge.folder / "bomb.psbt"
    for bad in (raw[:-1], raw + b"\x00", raw[: len(raw) // 2]):
        path.write_bytes(bad)
        assert judge.run("inspect", str(path), "--network", "regtest") == (3, "")
    assert judge.run("inspect", base64.b64encode(raw).decode(), "--network", "regtest")[0] == 0


def test_c16_legacy_sighash_bomb(judge: Judge):
    """1200 signed legacy inputs of a transaction of 400 kB would hash half a gigabyte."""
    scene = judge.use(scene_of("sh"))
    signed = scene.sign(scene.psbt(), "bob")
    fields = {**signed.inputs[0]}
    txid = signed.tx.inputs[0].outpoint.txid
    previous = scene.psbt().inputs[0][b"\x00"]
    assert previous
    spends = tuple(TxInput(OutPoint(txid, 1), b"", REPLACEABLE - n) for n in range(1200))
    outputs = tuple(TxOutput(0, b"\x6a" + bytes(10_000)) for _ in range(40))
    tx = Transaction(2, spends, outputs, 0)
    bomb = replace(
        signed,
        global_map={b"\x00": tx.serialize(witness=False)},
        inputs=tuple(fields for _ in spends),
        outputs=tuple({} for _ in outputs),
        transaction=tx,
    )
    began = time.process_time()
    report = judge.report(bomb)
    assert Code.SIGHASH_BOMB in {finding.code for finding in report.errors}
    assert time.process_time() - began < 20


def test_c16_many_lying_hints_cost_little(scene: Scene):
    pubkey, origin = next(iter(scene.deriver.script(1, 0).origins.items()))
    outputs = [Out(1_000) for _ in range(3_000)]
    psbt = scene.psbt(outputs=outputs)
    maps = tuple(
        {b"\x02" + pubkey: replace(origin, path=(*origin.path[:-1], 5_000 + n)).encode()} for n in range(len(outputs))
    )
    lie = replace(psbt, outputs=maps)
    fresh = Scene()
    began = time.process_time()
    report = fresh.review(lie)
    assert time.process_time() - began < 20
    assert Code.COSIGNER_PAYOUT in {finding.code for finding in report.findings}
    assert len(fresh.deriver._scripts) <= 2_010


# --- C17


NASTY = "bob\x1b]0;owned\x07\u202e\u200b\r\n[bold red]ok[/]\x7f\ud800"


def test_c17_names_and_texts_cannot_attack_the_terminal(judge: Judge, scene: Scene):
    keys = tuple(replace(key, name=NASTY) for key in scene.wallet.keys)
    wallet = replace(scene.wallet, keys=keys, name="family\x1b[31m")
    hostile = Scene()
    hostile.wallet = wallet
    text = "\x1b[8mhidden\u2066\x9b2J".encode()
    psbt = scene.sign(scene.psbt(outputs=[Out(0, b"\x6a" + bytes((len(text),)) + text), Out(REST)]), "bob")
    shown = plain(inspect_lines(hostile.review(psbt)))
    assert "bob\\x1b]0;owned\\x07\\u202e\\u200b\\x0d\\x0a[bold red]ok[/]" in shown
    assert "family\\x1b[31m" in shown
    for line in shown.split("\n"):
        assert line.isprintable() or line == ""
    judge.passes(scene.psbt())


def test_c17_json_carries_escapes(judge: Judge, scene: Scene):
    report = judge.report(scene.psbt())
    named = replace(report, wallet=NASTY)
    line = to_json(report_object(named))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["wallet"] == NASTY


# --- C18


def test_c18_poisoned_address(judge: Judge, scene: Scene):
    paid = address_of(STRANGER, Network.REGTEST)
    assert paid is not None
    twin = paid[:12] + ("q" if paid[12] != "q" else "p") + paid[13:]
    judge.finds(scene.psbt(), Code.LOOK_ALIKE, previously_paid=frozenset({twin}))
    judge.passes(scene.psbt(), previously_paid=frozenset({paid}))
    judge.passes(scene.psbt(), previously_paid=frozenset({paid, twin}))
    judge.passes(scene.psbt(), previously_paid=frozenset({twin[:-1] + ("q" if twin[-1] != "q" else "p")}))


def test_c18_addresses_are_shown_in_full(judge: Judge, scene: Scene):
    report = judge.report(scene.psbt())
    shown = plain(inspect_lines(report)).replace(" ", "").replace("\n", "")
    for view in report.outputs:
        assert view.address is not None
        assert view.address in shown


# --- C24


def _signed_before(judge: Judge, scene: Scene, **changes: object) -> SignedBefore:
    psbt = scene.psbt([Coin(index=8), Coin(index=9)], **changes)  # type: ignore[arg-type]
    report = judge.report(psbt)
    assert report.fee_sats is not None
    payments = frozenset((STRANGER, view.sats) for view in report.outputs if view.kind is OutputKind.PAYMENT)
    return SignedBefore(psbt.txid, frozenset(txin.outpoint for txin in psbt.tx.inputs), payments, report.fee_sats)


def test_c24_paying_twice_with_other_coins(judge: Judge, scene: Scene):
    before = _signed_before(judge, scene)
    finding = judge.finds(scene.psbt(), Code.PAID_BEFORE, signed_before=(before,))
    assert before.txid in finding.message
    judge.passes(with_output(scene.psbt(), 0, TxOutput(29_999_999, STRANGER)), signed_before=(before,))


def test_c24_a_payment_that_two_of_our_keys_signed_is_named_once(judge: Judge, scene: Scene):
    before = _signed_before(judge, scene)
    report = judge.report(scene.psbt(), signed_before=(before, replace(before, at=1_700_000_000)))
    assert [found.code for found in report.findings] == [Code.PAID_BEFORE]


def test_c24_a_replacement_is_named_with_both_fees(judge: Judge, scene: Scene):
    before = _signed_before(judge, scene)
    coins = [Coin(index=8), Coin(index=9)]
    bumped = scene.psbt(coins, fee=4_000)
    finding = judge.finds(bumped, Code.REPLACES, signed_before=(before,))
    assert finding.details == ("fee before: 2000 sat; now: 4000 sat",)
    other = scene.psbt(coins, [Out(REST)])
    judge.finds(other, Code.REPLACES_DIFFERENTLY, signed_before=(before,))
    judge.passes(scene.psbt(coins), signed_before=(before,))  # the same transaction once more


def test_c24_a_replacement_that_pays_the_same_and_somebody_else_too(judge: Judge, scene: Scene):
    before = _signed_before(judge, scene)
    coins = [Coin(index=8), Coin(index=9)]
    change = 2 * BTC - 30_000_000 - 4_000
    more = scene.psbt(
        coins, [Out(30_000_000), Out(50_000_000, p2sh_script(b"\x51")), Out(change - 50_000_000, place=(1, 0))]
    )
    judge.finds(more, Code.REPLACES_DIFFERENTLY, signed_before=(before,))
    # Sharing one coin is replacing, and paying one recipient of several again, with other coins, is paying twice.
    shared = scene.psbt([Coin(index=8), Coin(index=3)], fee=4_000)
    judge.finds(shared, Code.REPLACES, signed_before=(before,))
    twice = scene.psbt(
        outputs=[Out(30_000_000), Out(50_000_000, p2sh_script(b"\x51")), Out(change - 50_000_000, place=(1, 0))]
    )
    judge.finds(twice, Code.PAID_BEFORE, signed_before=(before,))


def test_c24_a_transaction_that_is_too_late_is_noted(judge: Judge, scene: Scene):
    psbt = scene.psbt([Coin(index=8), Coin(index=9), Coin(index=10)])
    coins = [txin.outpoint for txin in psbt.tx.inputs]
    one = judge.finds(psbt, Code.COINS_SPENT, settled=Settled(spent=frozenset(coins[1:2])))
    assert one.message == "the coin of input 1 is spent already, in a block"
    two = judge.finds(psbt, Code.COINS_SPENT, settled=Settled(spent=frozenset(coins[:2])))
    assert two.message == "the coins of inputs 0, 1 are spent already, in a block"
    assert two.details == ("it can never be mined",)
    unsure = judge.finds(psbt, Code.COINS_SPENT, settled=Settled(mined=None, spent=frozenset(coins)))
    assert unsure.details == ("by this one or by another, which can be told when it is final",)
    judge.finds(psbt, Code.MINED, settled=Settled(mined=True, spent=frozenset(coins)))
    others = frozenset(txin.outpoint for txin in scene.psbt().tx.inputs)
    judge.passes(psbt, settled=Settled(spent=others))


def test_c_a_payment_to_our_own_receive_branch_is_change(judge: Judge, scene: Scene):
    psbt = strip_hints(scene.psbt(outputs=[Out(REST, place=(0, 12))]))
    report = judge.report(psbt)
    assert report.outputs[0].kind is OutputKind.CHANGE
    assert report.net_outflow_sats == 2_000
