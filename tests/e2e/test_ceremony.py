"""The main job as its users do it: `send` and `receive` in processes of their own, real relay, real bitcoind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from support.world import World


def mined(world: World, txid: str) -> bool:
    world.node.mine(1)
    return int(world.node.wallet().call("gettxout", txid, 0)["confirmations"]) >= 1


def test_two_of_three_from_psbt_to_block(world: World) -> None:
    world.fund()
    psbt = world.psbt(f"{world.somewhere()}:0.3", f"{world.somewhere()}:50000 sat")
    send = world["alice"].start("send", psbt, "--to", "bob", "--to", "carol", "-y", "--json")
    codes = {name: send.wait_for("code-ready", cosigner=name)["code"] for name in ("bob", "carol")}
    receivers = [
        world[name].start("receive", codes[name], "--signer", world[name].signer, "-y", "--json")
        for name in ("bob", "carol")
    ]
    assert send.wait() == 0, send.err
    done = send.events()[-1]
    assert done["event"] == "done"
    assert done["broadcast"]
    for receiver in receivers:
        assert receiver.wait() == 0, receiver.err
        last = receiver.events()[-1]
        assert last["event"] == "done"
        assert last["result"] in ("broadcast", "not-needed")
        assert last["txid"] == done["txid"]
        seen = next(each for each in receiver.events() if each["event"] == "outcome-seen")
        assert seen["seen"] == "mempool"
    assert mined(world, done["txid"])


def test_coordinator_signs_first_and_one_cosigner_is_enough(world: World, tmp_path: Path) -> None:
    world.fund()
    psbt = world.psbt()
    kept = tmp_path / "signed.psbt"
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", psbt, "--to", "bob", "--to", "carol", "--signer", alice.signer, "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    receive = bob.start("receive", code, "--signer", bob.signer, "-y", "-o", kept)
    assert send.wait() == 0, send.err
    assert receive.wait() == 0, receive.err
    txid = send.events()[-1]["txid"]
    assert receive.out == [txid]
    assert kept.stat().st_mode & 0o777 == 0o600
    taken = [each for each in send.events() if each["event"] == "signatures-taken"]
    assert [each["keys"] for each in taken] == [[f"[{_mark(world, 'bob')}] bob"]]
    assert mined(world, txid)


def _mark(world: World, name: str) -> str:
    shown = json.loads(world["alice"].run("wallet", "show", "family", "--json", check=True).stdout)
    return next(key["fingerprint"] for key in shown["keys"] if key["name"] == name)
