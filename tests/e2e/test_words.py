"""What is said is what is done: summaries, -q, and what a new user reads first."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from wormsig.psbt import codec

if TYPE_CHECKING:
    from conftest import RunWormsig
    from support.world import World

COINS = 1


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
