"""An unattended cosigner with a policy: `receive -y --policy FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from support.world import World


def ceremony(world: World, address: str, policy: Path) -> tuple[int, int, list[str]]:
    """Exit codes of send (alice signs first) and of bob's receive under a policy, and what bob's said."""
    world.fund()
    psbt = world.psbt(f"{address}:0.3")
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", psbt, "--to", "bob", "--signer", alice.signer, "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    receive = bob.start("receive", code, "--signer", bob.signer, "-y", "--policy", policy)
    return send.wait(), receive.wait(), receive.err


def test_a_policy_lets_through_what_it_names_and_nothing_else(world: World, tmp_path: Path) -> None:
    address = world.somewhere()
    policy = tmp_path / "policy.toml"
    policy.write_text(f'format = 1\nrecipients = ["{address}"]\nmax_outflow_sats = 31000000\n')
    assert ceremony(world, address, policy)[:2] == (0, 0)
    other = ceremony(world, world.somewhere(), policy)
    assert other[:2] == (7, 4)
    assert any("the policy does not allow to pay output" in line for line in other[2])
    policy.write_text("format = 1\nmax_outflow_sats = 1000\n")
    dear = ceremony(world, world.somewhere(), policy)
    assert dear[:2] == (7, 4)
    assert any("the policy allows 1000 sat" in line for line in dear[2])


def test_a_policy_that_cannot_be_read_stops_before_anybody_is_contacted(world: World, tmp_path: Path) -> None:
    bob = world["bob"]
    policy = tmp_path / "policy.toml"
    policy.write_text("format = 3\n")
    done = bob.run("receive", "1-not-used", "--signer", bob.signer, "-y", "--policy", policy)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {policy} is not a policy")
