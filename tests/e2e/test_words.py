"""What is said is what is done: summaries, -q, and what a new user reads first."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunWormsig
    from support.world import World

COINS = 4


@pytest.mark.parametrize("group", ["wallet", "key"])
def test_summaries_of_commands_are_whole(wormsig: RunWormsig, group: str) -> None:
    _, _, commands = wormsig(group, "--help", check=True).stdout.partition("Commands:\n")
    assert len(commands.splitlines()) >= 4
    assert "..." not in commands


@pytest.mark.parametrize("command", ["new", "import", "show", "export"])
def test_key_commands_know_neither_wallet_nor_node(wormsig: RunWormsig, command: str) -> None:
    _, _, network = wormsig("key", command, "--help", check=True).stdout.partition("--network")
    assert "chain" in network
    assert "wallet's" not in network


def test_quiet_is_quiet_where_nobody_is_asked(world: World) -> None:
    bob, psbt = world["bob"], world.psbt()
    said = bob.run("sign", psbt, "--signer", bob.signer, "-y", "-q", check=True)
    assert said.stderr == ""
    assert codec.parse(codec.from_any(said.stdout.encode()))
    assert "Spends " in bob.run("sign", psbt, "--signer", bob.signer, "-y", check=True).stderr


def test_quiet_still_shows_what_is_wrong(world: World) -> None:
    bob = world["bob"]
    psbt = codec.parse(world.psbt().read_bytes())
    fields = {**psbt.inputs[0], b"\x03": b"\x02\x00\x00\x00"}  # SIGHASH_NONE
    odd = base64.b64encode(codec.serialize(psbt.with_input(0, fields))).decode()
    said = bob.run("sign", "-", "--signer", bob.signer, "-y", "-q", stdin=odd)
    assert said.returncode == 4
    assert "error C5" in said.stderr


def test_who_sends_a_transaction_again_is_told_of_the_ceremony_that_has_it(world: World, tmp_path: Path) -> None:
    alice, carol = world["alice"], world["carol"]
    psbt = world.psbt().rename(tmp_path / "again.psbt")
    again = ("send", psbt, "--to", "carol", "--signer", alice.signer, "-y", "--timeout", "1s")
    first = alice.run(*again)
    assert (first.returncode, "note: ceremony" in first.stderr) == (7, False)
    (listed,) = alice.run("status", "--json", check=True).stdout.splitlines()
    ceremony = json.loads(listed)["id"][:6]
    note = f"note: ceremony {ceremony} has this transaction already: `wormsig resume {ceremony}` goes on with it"
    assert note in alice.run(*again).stderr
    assert "note: ceremony" not in alice.run("send", world.psbt(), *again[2:]).stderr

    send = alice.start("resume", ceremony, "--broadcast", "-y", "--json")
    code = send.wait_for("code-ready", cosigner="carol")["code"]
    assert carol.run("receive", code, "--signer", carol.signer, "-y").returncode == 0
    assert send.wait() == 0
    assert f"note: ceremony {ceremony} has broadcast this transaction already" in alice.run(*again).stderr
    alice.run("cancel", ceremony)
