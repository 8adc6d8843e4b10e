"""THREATS C24: a transaction that comes too late, as the review tells it whose node knows; by the real commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.values import replace
from support.world import World
from wormsig.errors import ExitCode
from wormsig.psbt import codec, convert
from wormsig.psbt.creator import create
from wormsig.psbt.model import NON_WITNESS_UTXO
from wormsig.psbt.unsigned import REQUIRED_HEIGHT, REQUIRED_TIME
from wormsig.review.findings import Code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.world import Person
    from wormsig.node.regtest import RegtestNode

POLICIES = {"wsh": "wsh(sortedmulti({m},{keys}))", "sh-wsh": "sh(wsh(sortedmulti({m},{keys})))"}
TOO_LATE = {Code.MINED, Code.COINS_SPENT}


@pytest.fixture(params=POLICIES)
def world(node: RegtestNode, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with World(node, tmp_path, policy=POLICIES[request.param], script_type=request.param) as running:
        running.fund()
        yield running


@pytest.fixture
def native(node: RegtestNode, tmp_path: Path) -> Iterator[World]:
    with World(node, tmp_path) as running:
        running.fund()
        yield running


def inspected(person: Person, psbt: Path) -> tuple[int, dict[str, str]]:
    """The exit code of `wormsig inspect`, and code -> message of its findings."""
    done = person.run("inspect", psbt, "--json")
    return done.returncode, {one["code"]: one["message"] for one in json.loads(done.stdout)["findings"]}


def spend(world: World, psbt: Path) -> Path:
    """Sign with two keys, and broadcast; the complete PSBT."""
    parts = []
    for person in (world["bob"], world["carol"]):
        parts.append(person.home / f"{psbt.stem}-part.psbt")
        person.run("sign", psbt, "--signer", person.signer, "-y", "-o", parts[-1], check=True)
    both = psbt.with_name(f"{psbt.stem}-both.psbt")
    world["alice"].run("combine", psbt, *parts, "-o", both, check=True)
    world["alice"].run("broadcast", both, "-y", check=True)
    return both


def test_c24_a_mined_transaction_is_said_to_be_mined_and_is_no_reuse_of_its_own_change(world: World):
    alice, bob = world["alice"], world["bob"]
    psbt = world.psbt()
    both = spend(world, psbt)
    assert inspected(alice, psbt) == (ExitCode.DONE, {})  # in the mempool it may still be replaced
    world.node.mine(1)
    for path in (psbt, both):
        exit_code, found = inspected(alice, path)
        assert (exit_code, set(found)) == (ExitCode.DONE, {Code.MINED})
    text = alice.run("inspect", psbt).stdout
    assert "It is mined already." in text
    assert "can be mined" not in text
    assert not TOO_LATE & inspected_without_node(alice, psbt)
    late = bob.run("sign", psbt, "--signer", bob.signer, "-y", "-o", bob.home / "late.psbt")
    assert late.returncode == ExitCode.DONE, late.stderr


def inspected_without_node(person: Person, psbt: Path) -> set[str]:
    shown = json.loads(person.run("inspect", psbt, "--json", "--rpc-url", "").stdout)
    return {one["code"] for one in shown["findings"]}


def test_c24_a_coin_that_another_transaction_spent_is_said_to_be_gone(world: World):
    psbt = world.psbt(name="first.psbt")
    rival = world.psbt(name="rival.psbt")
    assert codec.parse(psbt.read_bytes()).outpoint(0) == codec.parse(rival.read_bytes()).outpoint(0)
    spend(world, rival)
    assert not TOO_LATE & inspected(world["alice"], psbt)[1].keys()
    world.node.mine(1)
    found = inspected(world["alice"], psbt)[1]
    assert found[Code.COINS_SPENT] == "the coin of input 0 is spent already, in a block; it can never be mined"
    assert Code.MINED not in found
    assert "A coin of it is spent already." in world["alice"].run("inspect", psbt).stdout


def test_c24_a_coin_that_no_block_has_made_is_not_called_spent(native: World):
    own = native["alice"].run("wallet", "address", "family", "--index", "3", check=True).stdout.split()[-1]
    spend(native, native.psbt(f"{own}:0.9", name="move.psbt"))  # its outputs are in no block yet
    psbt = native.psbt(name="next.psbt")
    both = spend(native, psbt)
    assert not TOO_LATE & inspected(native["alice"], psbt)[1].keys()
    native.node.mine(1)
    assert inspected(native["alice"], both)[1].keys() & TOO_LATE == {Code.MINED}


def test_c1_an_output_that_never_was_is_not_called_spent(native: World):
    psbt = codec.parse(native.psbt().read_bytes())
    spent = psbt.tx.inputs[0]
    moved = replace(spent, outpoint=replace(spent.outpoint, index=9))
    lie = create([moved], psbt.tx.outputs).with_input(0, psbt.inputs[0])
    path = native["alice"].home / "lie.psbt"
    path.write_bytes(codec.serialize(lie))
    found = inspected(native["alice"], path)[1]
    assert Code.WRONG_PREVIOUS_TX in found
    assert not TOO_LATE & found.keys()


def test_c8_inputs_that_exclude_each_other_are_reviewed_with_a_node_as_well(native: World):
    native.fund()
    alice = native["alice"]
    second = convert.to_version_2(codec.parse(native.psbt(f"{native.somewhere()}:1.5").read_bytes()))
    assert len(second.inputs) == 2
    bare = [{key: value for key, value in fields.items() if key != NON_WITNESS_UTXO} for fields in second.inputs]
    bare[0][REQUIRED_HEIGHT] = (700_000).to_bytes(4, "little")
    bare[1][REQUIRED_TIME] = (1_700_000_000).to_bytes(4, "little")
    path = alice.home / "impossible.psbt"
    path.write_bytes(codec.serialize(replace(second, inputs=tuple(bare), transaction=None)))
    exit_code, found = inspected(alice, path)
    assert (exit_code, set(found)) == (ExitCode.REFUSED, {Code.LOCKTIME_CONFLICT})  # the node knows the coins
    assert "It can never be mined." in alice.run("inspect", path).stdout
    for command in (("combine", path, path), ("finalize", path), ("broadcast", path, "-y")):
        done = alice.run(*command)
        assert done.returncode == ExitCode.INPUT, (command, done.stderr)
        assert "no locktime satisfies both" in done.stderr
    assert alice.run("sign", path, "--signer", alice.signer, "-y").returncode == ExitCode.REFUSED


def test_c24_a_coordinator_who_goes_on_is_told_that_it_is_too_late(native: World):
    alice = native["alice"]
    psbt = native.psbt()
    send = alice.start("send", psbt, "--to", "bob", "--signer", alice.signer, "-y", "--json")
    send.wait_for("code-ready", cosigner="bob")
    send.kill()
    spend(native, psbt)
    native.node.mine(1)
    done = alice.run("resume", "--no-broadcast", "--timeout", "1s")
    assert "It is mined already." in done.stderr
