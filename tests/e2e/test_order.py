"""Who signs when: one after another, late, another day, or not at all; and who learns of it."""

from __future__ import annotations

import base64
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from wormsig.journal.store import Journal
from wormsig.psbt import codec
from wormsig.psbt.model import partial_sigs

if TYPE_CHECKING:
    from support.world import Person, Process, World

COINS = 8
LIMITS = "heartbeat=1,takeover=0.5,meeting=5,stagger=1,farewell=5"
ALERT = {"WORMSIG_LIMITS": "heartbeat=0.5,quiet=1,takeover=0.5,meeting=5,stagger=1,farewell=5"}
QUESTION = r"Sign with .*\? \[y\]es / \[N\]o, with a reason / \[s\]ave for later: "


def sends(world: World, *arguments: str, json_too: bool = True) -> Process:
    """Alice asks bob and carol, and signs nothing herself."""
    names = ("--to", "bob", "--to", "carol")
    return world["alice"].start("send", world.psbt(), *names, "-y", *arguments, *(["--json"] if json_too else []))


def receives(person: Person, send: Process, *arguments: object) -> Process:
    code = send.wait_for("code-ready", cosigner=person.name)["code"]
    return person.start("receive", code, *arguments, "--json")


def in_a_terminal(person: Person, *arguments: object) -> Any:
    child = pexpect.spawn(
        sys.executable, ["-m", "wormsig", *map(str, arguments)], env=person.env, encoding="utf-8", timeout=60,
        cwd=str(person.home), dimensions=(50, 80),
    )  # fmt: skip
    child.delaybeforesend = None
    return child


def ends(child: Any) -> tuple[int, str]:
    """The exit code, and what was on the screen since the last words."""
    rest = child.read()
    child.wait()
    return child.exitstatus, rest.replace("\r", "")


def events(person: Person, ceremony: str, role: str = "cosigner") -> list[dict[str, Any]]:
    with Journal(person.home / "wormsig" / "journal" / "ceremonies.sqlite3") as journal:
        rows = [row for row in journal.ceremonies() if row.id.startswith(ceremony) and row.role == role]
        return [json.loads(record.body) for record in journal.events(rows[0].id)]


def signatures_received(person: Person, ceremony: str) -> int:
    """How many signatures the PSBT held that arrived at somebody."""
    raw = next(event["psbt"] for event in events(person, ceremony) if event["type"] == "received")
    return len(partial_sigs(codec.parse(base64.b64decode(raw)), 0))


# One after another.


def test_in_a_chain_the_second_cosigner_sees_the_first_ones_signature(world: World) -> None:
    bob, carol = world["bob"], world["carol"]
    send = sends(world, "--chain")
    ceremony = send.wait_for("started")["ceremony"]
    first = receives(bob, send, "--signer", bob.signer, "-y")
    first.wait_for("answer-judged")
    assert signatures_received(bob, ceremony) == 0
    named = [event["cosigner"] for event in send.events() if event["event"] == "code-ready"]
    second = receives(carol, send, "--signer", carol.signer, "-y")
    assert second.wait() == 0, second.err
    assert first.wait() == 0, first.err
    assert send.wait() == 0, send.err
    assert named[0] == "bob"
    assert [e["cosigner"] for e in send.events() if e["event"] in ("code-ready", "signatures-taken")] == [
        "bob", "bob", "carol", "carol",
    ]  # fmt: skip
    assert signatures_received(carol, ceremony) == 1
    assert send.events()[-1]["broadcast"]


def test_a_chain_that_was_stopped_in_the_middle_goes_on_there(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    send = sends(world, "--chain")
    ceremony = send.wait_for("started")["ceremony"]
    first = receives(bob, send, "--signer", bob.signer, "-y")
    first.wait_for("answer-judged")
    later = receives(carol, send, "--later")
    assert later.wait() == 0, later.err
    send.process.send_signal(signal.SIGINT)
    assert send.wait() == 130
    assert first.wait() == 6
    again = alice.start("resume", ceremony, "-y", "--json")
    last = carol.start("resume", ceremony, "--signer", carol.signer, "-y", "--json")
    assert last.wait() == 0, last.err
    told = bob.start("resume", ceremony, "--json")
    assert again.wait() == 0, again.err
    assert told.wait() in (0, 6), told.err  # when the coordinator was gone by then
    assert again.events()[-1]["broadcast"]
    assert signatures_received(carol, ceremony) == 1
    offered = [event for event in events(alice, ceremony, "coordinator") if event["type"] == "turn-came"]
    assert list(dict.fromkeys(event["cosigner"] for event in offered)) == ["bob", "carol"]


# Reasons.


@pytest.mark.parametrize("tell", [True, False])
def test_a_decline_reaches_the_coordinator_and_the_others_only_if_the_coordinator_says_so(
    world: World, tell: bool
) -> None:
    bob, carol = world["bob"], world["carol"]
    send = sends(world, *(["--tell-reasons"] if tell else []))
    carols = receives(carol, send, "--signer", carol.signer, "-y")
    carols.wait_for("answer-judged")
    bobs = receives(bob, send, "--reject", "that is not the rent")
    assert bobs.wait() == 4
    assert send.wait_for("peer-declined", cosigner="bob")["reason"] == "that is not the rent"
    assert send.wait() == 7
    assert any("bob declined (that is not the rent)" in line for line in send.err), send.err
    assert carols.wait() == 7
    heard = carols.wait_for("outcome-seen")["reason"]
    assert ("bob declined: that is not the rent" in heard) is tell
    assert ("rent" in " ".join((*carols.out, *carols.err))) is tell


# Late, later, never.


def test_who_is_still_thinking_when_enough_have_signed_is_thanked(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--to", "carol", "--signer", alice.signer, "-y", "--json")
    thinking = in_a_terminal(
        carol, "receive", send.wait_for("code-ready", cosigner="carol")["code"], "--signer", carol.signer
    )
    thinking.expect(QUESTION)
    send.wait_for("peer-progress", cosigner="carol", state="reviewing")
    assert receives(bob, send, "--signer", bob.signer, "-y").wait() == 0
    code, shown = ends(thinking)
    assert code == 0, shown
    assert "thanks you: your signature is not needed" in " ".join(shown.split())
    assert shown.splitlines()[-1] == send.wait_for("broadcast")["txid"]
    assert send.wait_for("outcome-delivered", cosigner="carol")["result"] == "not-needed"
    assert send.wait() == 0


def test_the_coordinator_reads_who_was_late(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    codes = {name: f"{number}-plenty-of-words" for number, name in ((901, "bob"), (902, "carol"))}
    fixed = [part for code in codes.values() for part in ("--code", code)]
    send = alice.start("send", world.psbt(), "--to", "bob", "--to", "carol", *fixed, "--signer", alice.signer, "-y")
    thinking = in_a_terminal(carol, "receive", codes["carol"], "--signer", carol.signer)
    thinking.expect(r"Use the code as it is\? \[y/N\] ")
    thinking.sendline("y")
    thinking.expect(QUESTION)
    assert bob.start("receive", codes["bob"], "--signer", bob.signer, "-y").wait() == 0
    assert ends(thinking)[0] == 0
    assert send.wait() == 0, send.err
    assert any("late: carol's signature was not needed, thanked and told" in line for line in send.err), send.err


def test_saved_at_the_question_and_signed_the_next_day(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json")
    ceremony = send.wait_for("started")["ceremony"]
    child = in_a_terminal(bob, "receive", send.wait_for("code-ready", cosigner="bob")["code"], "--signer", bob.signer)
    child.expect(QUESTION)
    child.sendline("s")
    code, shown = ends(child)
    assert code == 0, shown
    assert f"Kept. `wormsig resume {ceremony[:6]}` goes on" in shown
    assert "they will decide later" in send.wait_for("peer-lost", cosigner="bob")["why"]
    assert "waits for you: sign it, or decline" in bob.run("status").stdout
    child = in_a_terminal(bob, "resume", "--signer", bob.signer)
    child.expect(QUESTION)
    child.sendline("y")
    code, shown = ends(child)
    assert code == 0, shown
    assert f"wormsig resume {ceremony[:6]}" in shown, "Ctrl-C is said to be safe"
    assert send.wait() == 0, send.err
    assert shown.splitlines()[-1] == send.events()[-1]["txid"]
    assert bob.run("status").stdout == ""


def test_the_whole_has_a_time_limit_on_both_sides_and_goes_on_afterwards(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start(
        "send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json", "--timeout", "20s"
    )
    ceremony = send.wait_for("started")["ceremony"]
    assert receives(bob, send, "--later").wait() == 0
    assert send.wait() == 7
    assert any("time is up: bob" in line for line in send.err), send.err
    assert any(f"`wormsig resume {ceremony[:6]}` goes on" in line for line in send.err), send.err
    alone = bob.run("resume", ceremony, "--signer", bob.signer, "-y", "--timeout", "3s")
    assert alone.returncode == 6
    assert alone.stderr.splitlines()[-2:] == [
        "error: time is up",
        f"hint: what was signed is kept; `wormsig resume {ceremony[:6]}` goes on",
    ]
    again = alice.start("resume", ceremony, "-y", "--json", "--timeout", "40s")
    last = bob.start("resume", ceremony, "--timeout", "40s", "--json")
    assert again.wait() == 0, again.err
    assert last.wait() == 0, last.err


def test_a_frozen_cosigner_is_missed_by_name_and_welcomed_back(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json", env=ALERT)
    child = in_a_terminal(bob, "receive", send.wait_for("code-ready", cosigner="bob")["code"], "--signer", bob.signer)
    child.expect(QUESTION)
    child.kill(signal.SIGSTOP)
    try:
        assert quiet(send).endswith(" s")
    finally:
        child.kill(signal.SIGCONT)
    send.wait_for("connection-notice", cosigner="bob", notice="bob is back")
    child.sendintr()
    assert ends(child)[0] == 130
    send.process.send_signal(signal.SIGINT)
    assert send.wait() == 130


def quiet(send: Process) -> str:
    """What is told when bob falls silent."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for event in send.events():
            if event["event"] == "connection-notice" and event["notice"].startswith("no sign of bob for "):
                return str(event["notice"])
        time.sleep(0.1)
    raise AssertionError(send.out)
