"""PSBT version 2 (BIP370) through every command: each keeps the version that it was given."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from support.mutations import join, split
from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.psbt.convert import to_version_0

if TYPE_CHECKING:
    from pathlib import Path

    from support.world import World
    from wormsig.psbt.model import Psbt


COINS = 2


@pytest.fixture
def created(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "pay.psbt"
    payment = f"{world.somewhere()}:0.3"
    arguments = ("--to", payment, "--fee-rate", "5", "--locktime", "100", "--psbt-version", "2", "-o", path)
    world["alice"].run("create", *arguments, check=True)
    return path


def read(path: Path, version: int = 2) -> Psbt:
    psbt = codec.parse(path.read_bytes())
    assert psbt.version == version
    return psbt


def test_the_file_commands(world: World, created: Path, tmp_path: Path) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    psbt = read(created)
    shown = json.loads(alice.run("inspect", created, "--json", check=True).stdout)
    assert (shown["psbt_version"], shown["txid"], shown["locktime"]) == (2, psbt.txid, 100)
    assert shown["wallet"] == "family"
    assert [finding for finding in shown["findings"] if finding["severity"] != "notice"] == []

    by_bob, by_carol = tmp_path / "bob.psbt", tmp_path / "carol.psbt"
    bob.run("sign", created, "--signer", bob.signer, "-y", "-o", by_bob, check=True)
    assert read(by_bob).tx == psbt.tx
    old = tmp_path / "old.psbt"
    carol.run("convert", created, "--psbt-version", "0", "-o", old, check=True)
    assert read(old, 0) == to_version_0(psbt)
    shown = json.loads(carol.run("convert", old, "--psbt-version", "2", "--json", check=True).stdout)
    assert (shown["txid"], base64.b64decode(shown["psbt"])) == (psbt.txid, created.read_bytes())
    carol.run("sign", old, "--signer", carol.signer, "-y", "-o", by_carol, check=True)
    read(by_carol, 0)

    both = tmp_path / "both.psbt"
    done = alice.run("combine", created, by_bob, by_carol, "-o", both, check=True)
    assert "changed" not in done.stderr
    assert "dropped" not in done.stderr
    assert read(both).tx == psbt.tx
    final = tmp_path / "final.psbt"
    hexed = alice.run("finalize", both, "-o", final, check=True).stdout.strip()
    assert read(final).tx == psbt.tx
    txid = alice.run("broadcast", final, "-y", check=True).stdout.strip()
    assert world.node.rpc.call("getrawtransaction", txid) == hexed
    world.node.mine(1)
    assert txid == psbt.txid


def test_send_and_receive(world: World, created: Path, tmp_path: Path) -> None:
    kept = tmp_path / "signed.psbt"
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", created, "--to", "bob", "--signer", alice.signer, "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    receive = bob.start("receive", code, "--signer", bob.signer, "-y", "-o", kept)
    assert send.wait() == 0, send.err
    assert receive.wait() == 0, receive.err
    txid = send.events()[-1]["txid"]
    assert receive.out == [txid]
    assert (read(kept).txid, txid) == (read(created).txid,) * 2


def test_locktimes_that_exclude_each_other(world: World, created: Path, tmp_path: Path) -> None:
    global_map, first, *rest = split(created.read_bytes())
    counted = [(key, b"\x02" if key == b"\x04" else value) for key, value in global_map]
    height, time = (b"\x12", (100).to_bytes(4, "little")), (b"\x11", (1_700_000_000).to_bytes(4, "little"))
    second = [(b"\x0e", bytes(32)), (b"\x0f", bytes(4)), time]
    path = tmp_path / "impossible.psbt"
    path.write_bytes(join([counted, [*first, height], second, *rest]))
    for command in (("inspect",), ("sign", "--signer", world["bob"].signer, "-y", "-o", tmp_path / "no.psbt")):
        done = world["bob"].run(command[0], path, *command[1:])
        assert done.returncode == ExitCode.REFUSED, done.stderr
        assert "no locktime satisfies both" in " ".join((done.stdout + done.stderr).split())
    assert not (tmp_path / "no.psbt").exists()
