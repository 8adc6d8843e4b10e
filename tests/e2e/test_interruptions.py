"""A person who goes: a window that is closed, an end of input at a question. Nothing is decided, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.world import Person, World

COINS = 1
QUESTION = r"Sign with .*\? \[y\]es / \[N\]o, with a reason / \[s\]ave for later: "


def in_a_terminal(person: Person, *arguments: object) -> Any:
    child = pexpect.spawn(
        sys.executable, ["-m", "wormsig", *map(str, arguments)], env=person.env, encoding="utf-8", timeout=60,
        cwd=str(person.home), dimensions=(50, 80),
    )  # fmt: skip
    child.delaybeforesend = None
    return child


def close_window(child: Any) -> None:
    """What a terminal emulator does: the terminal goes, and the kernel sends SIGHUP."""
    os.close(child.child_fd)
    child.closed = True  # pexpect's own way sends more signals


def end_of_input(child: Any) -> None:
    child.sendeof()
    child.expect("error: interrupted")


def ceremonies(person: Person) -> list[dict[str, Any]]:
    return [json.loads(line) for line in person.run("status", "--all", "--json", check=True).stdout.splitlines()]


@pytest.mark.parametrize("leave", [close_window, end_of_input])
def test_who_leaves_at_the_question_has_not_declined_and_can_come_back(world: World, leave: Any) -> None:
    alice, bob = world["alice"], world["bob"]
    psbt = world.psbt()
    send = alice.start("send", psbt, "--to", "bob", "--signer", alice.signer, "-y", "--json")
    first = send.wait_for("code-ready", cosigner="bob")["code"]
    child = in_a_terminal(bob, "receive", first, "--signer", bob.signer)
    child.expect(QUESTION)
    leave(child)
    lost = send.wait_for("peer-lost", cosigner="bob")
    assert "stopped" in lost["why"]
    send.wait_for("code-ready", cosigner="bob", replaces=True)
    codes = [each["code"] for each in send.events() if each["event"] == "code-ready"]
    assert "declined" not in {each["phase"] for each in ceremonies(bob)}
    assert not list(bob.home.rglob("wormsig.log"))  # leaving is not a bug
    again = bob.start("receive", codes[-1], "--signer", bob.signer, "-y")
    assert again.wait() == 0, again.err
    assert send.wait() == 0, send.err


@pytest.mark.parametrize("name", ["person.key", "the-key-of-a-very-careful-person\u202e.key"])
def test_ctrl_c_at_the_question_says_that_nothing_was_signed_and_how_to_go_on(world: World, name: str) -> None:
    alice, bob = world["alice"], world["bob"]
    key = bob.home / name
    key.write_bytes(bob.key.read_bytes())
    key.chmod(0o600)
    send = alice.start("send", world.psbt(), "--to", "bob", "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    child = in_a_terminal(bob, "receive", code, "--signer", f"key:{key}")
    child.expect(r"no findings\r\n\r\n(.*\[s\]ave for later: )")
    asked = child.match[1].splitlines()
    if name == "person.key":
        assert asked == ["Sign with key:person.key? [y]es / [N]o, with a reason / [s]ave for later: "]
    else:
        assert asked == [
            "Signer: key:the-key-of-a-very-careful-person\\u202e.key",
            "Sign? [y]es / [N]o, with a reason / [s]ave for later: ",
        ]
    assert max(map(len, asked)) < 80
    child.sendintr()
    ident = send.wait_for("started")["ceremony"][:6]
    assert child.read().splitlines() == [
        "^C",
        "error: interrupted",
        f"hint: nothing was signed; `wormsig resume {ident}` goes on",
    ]
    send.kill()


def test_ctrl_c_is_what_is_told_even_when_the_journal_was_damaged_meanwhile(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", world.psbt(), "--to", "bob", "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    child = in_a_terminal(bob, "receive", code, "--signer", bob.signer)
    child.expect(QUESTION)
    (journal,) = bob.home.rglob("ceremonies.sqlite3")
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as db:
        db.execute("UPDATE event SET body = x'00'")
    child.sendintr()
    assert child.read().splitlines() == ["^C", "error: interrupted"]
    child.close()
    assert child.exitstatus == 130
    send.kill()


def test_after_a_no_the_coordinator_is_told_nothing_else(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    assert bob.run("receive", code, "--reject", "wrong amount").returncode == 4
    assert send.wait() == 7
    assert send.wait_for("peer-declined", cosigner="bob")["reason"] == "wrong amount"
    assert not [each for each in send.events() if each["event"] == "peer-lost"]


def test_who_asked_for_hangups_to_be_ignored_goes_on(world: World, tmp_path: Path) -> None:
    relay = pexpect.spawn(
        "/bin/sh", ["-c", f'trap "" HUP; exec {sys.executable} -m wormsig relay --port 0'], env=world["bob"].env,
        encoding="utf-8", timeout=60, cwd=str(tmp_path),
    )  # fmt: skip
    relay.expect("Ctrl-C ends it")
    relay.kill(signal.SIGHUP)
    with pytest.raises(pexpect.TIMEOUT):
        relay.expect(pexpect.EOF, timeout=1)
    relay.sendintr()
    relay.expect("error: interrupted")
