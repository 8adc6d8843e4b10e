"""Mistakes that everybody makes once: what the screen says then is short, true, and of use."""

from __future__ import annotations

import base64
import signal
import sys
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunWormsig
    from support.world import World
COINS = 2


def errors(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error:")]


@pytest.mark.parametrize("group", [(), ("wallet",), ("key",)])
def test_a_group_without_a_command_shows_its_help(wormsig: RunWormsig, group: tuple[str, ...]) -> None:
    done = wormsig(*group)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "\nCommands:\n" in done.stderr
    assert errors(done.stderr) == ["error: a command is missing"]


def test_a_file_that_is_no_psbt_is_named(wormsig: RunWormsig, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear bob, …", encoding="utf-8")
    for command in ("inspect", "finalize"):
        done = wormsig(command, path)
        assert done.returncode == 3
        assert errors(done.stderr) == [f"error: {path} is neither a PSBT nor base64 of one"]
    empty = wormsig("inspect", "")
    assert (empty.returncode, errors(empty.stderr)) == (3, ["error: the name of the file is empty"])
    assert errors(wormsig("inspect", "-", stdin=b"dear").stderr) == ["error: standard input is not a PSBT"]


def test_an_interrupted_send_repeats_only_what_is_new(world: World, tmp_path: Path) -> None:
    alice, psbt = world["alice"], world.psbt()
    send = alice.start("send", psbt, "--to", "bob", "-y")
    while not any(line.startswith("  bob ") for line in list(send.err)):
        assert send.process.poll() is None, send.err
    send.process.send_signal(signal.SIGINT)
    assert send.wait() == 130
    assert send.out == []  # it would be the file that was given

    done = alice.run("send", psbt, "--to", "bob", "--signer", alice.signer, "--timeout", "1s", "-y")
    assert done.returncode == 7
    kept = tmp_path / "kept.psbt"
    kept.write_bytes(base64.b64decode(done.stdout))
    assert codec.parse(kept.read_bytes()).txid
    assert "for `wormsig combine` or another `wormsig send`" in done.stderr
    assert "bob did not come" in errors(done.stderr)[0]
    again = alice.start("send", kept, "--to", "bob", "-y", "--json")
    assert again.wait_for("started")["have"] == 1
    again.process.send_signal(signal.SIGINT)
    assert again.wait() == 130


def at_a_terminal(world: World, *arguments: object) -> Any:
    bob = world["bob"]
    child = pexpect.spawn(
        sys.executable, ["-m", "wormsig", *map(str, arguments)], env=bob.env, encoding="utf-8", timeout=60,
        cwd=str(bob.home), dimensions=(50, 80),
    )  # fmt: skip
    child.delaybeforesend = None
    return child


def is_not_used(child: Any, answer: str) -> None:
    """Whoever answers so to the question keeps the code."""
    child.expect(r"Use the code as it is\? \[y/N\] ")
    child.sendline(answer)
    child.expect("error: the code was not used")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6


def test_a_mistyped_code_is_asked_about_before_it_burns(world: World) -> None:
    signer = world["bob"].signer
    child = at_a_terminal(world, "receive", "987-guitarist-revenge-orka", "--signer", signer)
    child.expect(r"Not in the list of words: orka \(is it orca\?\)\.\r\n")
    is_not_used(child, "")


def test_a_code_that_is_a_word_short_is_asked_about_and_a_longer_one_is_not(world: World) -> None:
    signer = world["bob"].signer
    longer = at_a_terminal(world, "receive", "988-guitarist-revenge-orca-indigo", "--signer", signer)
    agreed = at_a_terminal(world, "receive", "989-indigo-vulcan", "-c", "2", "--signer", signer)
    child = at_a_terminal(world, "receive", "4 indigo vulcan", "--signer", signer)
    child.expect(r"This code has 2 words, and a code has 3: is one missing\?\r\n")
    is_not_used(child, "n")
    for each in (longer, agreed):
        each.expect("Nobody is at the other end of the code yet")
        assert "[y/N]" not in each.before
        each.sendintr()
        each.expect(pexpect.EOF)


def test_a_mistyped_key_file_is_named(world: World) -> None:
    bob = world["bob"]
    wrong = bob.key.with_name("bobb.key")
    done = bob.run("receive", "987-guitarist-revenge-orca", "--signer", f"key:{wrong}", "-y")
    assert done.returncode == 3
    assert errors(done.stderr) == [f"error: there is no key file {wrong}; did you mean {bob.key.name}?"]
    far = bob.key.with_name("safe.age")
    done = bob.run("receive", "987-guitarist-revenge-orca", "--signer", f"key:{far}", "-y")
    assert errors(done.stderr) == [f"error: there is no key file {far}"]


def test_who_waits_alone_is_told_so(world: World) -> None:
    child = at_a_terminal(world, "receive", "987-guitarist-revenge-orca", "--signer", world["bob"].signer)
    child.expect("Nobody is at the other end of the code yet")
    child.sendintr()
    child.expect("error: interrupted")
    child.expect(pexpect.EOF)


def test_who_names_the_wrong_wallet_is_told_the_right_one_and_can_still_sign(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    other = world.descriptor.partition("#")[0].replace(
        "sortedmulti(2,", "sortedmulti(3,"
    )  # the same keys, and never its scripts
    bob.run("wallet", "import", "other", "-", stdin=other, check=True)
    send = alice.start("send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    ceremony = send.wait_for("started")["ceremony"]
    done = bob.run("receive", code, "--signer", bob.signer, "--wallet", "other", "-y")
    assert done.returncode == 4
    (hint,) = [line for line in done.stderr.splitlines() if line.startswith("hint:")]
    assert "choose it with --wallet" in hint
    assert f"`wormsig resume {ceremony[:6]}`" in hint
    assert send.wait() == 7
    more = alice.start("resume", ceremony[:6], "-y", "--json")
    signed = bob.start("resume", ceremony[:6], "--wallet", "family", "--signer", bob.signer, "-y")
    assert (signed.wait(), more.wait()) == (0, 0), (signed.err, more.err)
