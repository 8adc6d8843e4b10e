"""Giving a ceremony up, on either side and at every stage; and everything that cannot be meant, with its words."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.journal.store import Journal
from wormsig.psbt import codec

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.world import Person, Process, World

COINS = 8
LIMITS = "heartbeat=1,takeover=0.5,meeting=5,stagger=1,farewell=5"


def sends(world: World, *to: str, arguments: tuple[object, ...] = ()) -> tuple[Process, str, Path]:
    """Alice begins a ceremony: the command, the ceremony's id, the PSBT."""
    psbt = world.psbt()
    send = world["alice"].start(
        "send", psbt, *(part for name in to for part in ("--to", name)), "-y", "--json", *arguments
    )
    return send, send.wait_for("started")["ceremony"], psbt


def receives(person: Person, send: Process, *arguments: object) -> Process:
    code = send.wait_for("code-ready", cosigner=person.name)["code"]
    return person.start("receive", code, *arguments, "--json")


def coin_of(psbt: Path) -> str:
    return str(codec.parse(psbt.read_bytes()).tx.inputs[0].outpoint)


def events(person: Person, ceremony: str) -> list[dict[str, Any]]:
    with Journal(person.home / "wormsig" / "journal" / "ceremonies.sqlite3") as journal:
        return [json.loads(record.body) for record in journal.events(ceremony)]


def refused(done: CompletedProcess[str], code: int, *words: str) -> None:
    """One error line with these words, the exit code, and nothing on standard output."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


def reserved(person: Person, psbt: Path) -> None:
    """Coins of a payment that was signed are not chosen again; who names one is told what that replaces."""
    coin, to = coin_of(psbt), person.world.somewhere()
    made = person.home / "another.psbt"
    person.run("create", "--to", f"{to}:all", "--fee-rate", "5", "-o", made, "--force", check=True)
    chosen = [str(each.outpoint) for each in codec.parse(made.read_bytes()).tx.inputs]
    assert chosen
    assert coin not in chosen
    named = person.run("create", "--coin", coin, "--to", f"{to}:0.2", "--fee-rate", "9", "-o", made, "--force")
    assert "it replaces transaction" in named.stderr


def test_a_running_send_is_asked_to_end_and_tells_who_is_connected(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    send, ceremony, psbt = sends(world, "bob", "carol", arguments=("--wait-all",))
    signed = receives(bob, send, "--signer", bob.signer, "-y")
    signed.wait_for("answer-judged")
    done = alice.run("cancel", ceremony[:6], "--reason", "the rent is 0.25")
    assert done.returncode == 0, done.stderr
    assert "is cancelled: signatures exist, and cannot be taken back" in " ".join(done.stderr.split())
    assert "stay reserved" in done.stderr
    assert send.wait() == 4
    assert any(line.startswith("error: the ceremony was cancelled") for line in send.err), send.err
    assert not send.events()[-1]["broadcast"]
    assert signed.wait() == 6
    assert signed.wait_for("outcome-seen")["reason"] == "the rent is 0.25"
    assert any("the coordinator cancelled the ceremony" in line for line in signed.err), signed.err
    reserved(alice, psbt)
    reserved(bob, psbt)
    refused(alice.run("resume", ceremony, "-y"), 4, "was cancelled")
    late = carol.run("receive", send.wait_for("code-ready", cosigner="carol")["code"], "--later", "--timeout", "3s")
    refused(late, 6, "error: ")


def test_a_stopped_one_is_cancelled_and_told_by_the_command_itself(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send, ceremony, psbt = sends(world, "bob", "carol")
    first = receives(bob, send, "--signer", bob.signer, "-y")
    first.wait_for("answer-judged")
    send.process.send_signal(signal.SIGINT)
    assert send.wait() == 130
    assert first.wait() == 6
    assert any("can go on later" in line for line in first.err), first.err
    assert any(f"wormsig resume {ceremony[:6]}" in line for line in first.err), first.err
    waiting = bob.start("resume", ceremony[:6], "--json")
    waiting.wait_for("rejoining")
    done = alice.run("cancel", ceremony[:6], "--json")
    assert done.returncode == 0, done.stderr
    assert '"event": "cancelled"' in done.stdout
    assert waiting.wait() == 6
    assert any("the coordinator cancelled the ceremony" in line for line in waiting.err), waiting.err
    reserved(alice, psbt)


def test_nobody_had_signed_and_nothing_stays_behind(world: World) -> None:
    alice = world["alice"]
    send, ceremony, psbt = sends(world, "bob")
    send.process.send_signal(signal.SIGINT)
    assert send.wait() == 130
    done = alice.run("cancel", ceremony[:6])
    assert done.returncode == 0
    assert done.stderr.strip() == f"Ceremony {ceremony[:6]} is cancelled. Nobody had signed."
    free = alice.run(
        "create", "--coin", coin_of(psbt), "--to", f"{world.somewhere()}:0.2", "--fee-rate", "5", "-o", "free.psbt"
    )
    assert free.returncode == 0, free.stderr
    again = alice.run("cancel", ceremony[:6])
    assert again.returncode == 0, "a second time it says the same"


def test_a_cosigner_withdraws_before_the_signature_and_the_coordinator_hears_why(world: World) -> None:
    bob = world["bob"]
    send, ceremony, _ = sends(world, "bob", arguments=("--signer", world["alice"].signer))
    assert receives(bob, send, "--later").wait() == 0
    done = bob.run("cancel", ceremony[:6], "--reason", "I am selling my share")
    assert done.returncode == 0, done.stderr
    assert "is cancelled on this side. Nothing was signed here." in done.stderr
    assert send.wait_for("peer-declined", cosigner="bob")["reason"] == "I am selling my share"
    assert send.wait() == 7


def test_a_cosigner_whose_signature_has_left_hears_that_it_cannot_be_taken_back(world: World) -> None:
    bob = world["bob"]
    send, ceremony, psbt = sends(world, "bob", "carol")
    first = receives(bob, send, "--signer", bob.signer, "-y")
    first.wait_for("answer-judged")
    refused(bob.run("cancel", ceremony[:6]), 9, f"in use by process {first.process.pid}")
    first.kill()
    refused(bob.run("cancel", ceremony[:6]), 4, "cannot be cancelled", "left this machine and cannot be taken back")
    reserved(bob, psbt)
    send.process.send_signal(signal.SIGINT)
    send.wait()


def test_what_was_broadcast_cannot_be_cancelled(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send, ceremony, _ = sends(world, "bob", arguments=("--signer", alice.signer))
    signed = receives(bob, send, "--signer", bob.signer, "-y")
    assert send.wait() == 0, send.err
    assert signed.wait() == 0, signed.err
    refused(alice.run("cancel", ceremony[:6]), 4, "was broadcast", "replacement")
    refused(bob.run("cancel", ceremony[:6]), 4, "cannot be cancelled")
    over = bob.run("resume", ceremony[:6])
    assert over.returncode == 0
    assert "is over on this side" in over.stderr
    assert over.stdout.strip() == send.events()[-1]["txid"]
    again = alice.run("resume", ceremony[:6], "-y")
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == send.events()[-1]["txid"]


# Wrong use.


@pytest.fixture(scope="module")
def open_two(world: World) -> tuple[str, str, Path]:
    """Two ceremonies of alice's that stopped."""
    found = []
    for _ in range(2):
        send, ceremony, psbt = sends(world, "bob", "carol")
        send.wait_for("code-ready", cosigner="carol")
        send.process.send_signal(signal.SIGINT)
        assert send.wait() == 130
        found.append(ceremony)
    return found[0], found[1], psbt


def test_resume_and_cancel_name_those_that_may_be_meant(world: World, open_two: Any) -> None:
    alice = world["alice"]
    first, second, _ = open_two
    for command in ("resume", "cancel"):
        refused(
            alice.run(command, *(["-y"] if command == "resume" else [])),
            2,
            first[:6],
            second[:6],
            "say which: write its id behind",
        )
    refused(alice.run("resume", first[:3], "-y"), 2, "too short")
    refused(alice.run("resume", "ffff-ff-no", "-y"), 2, "there is no ceremony", "status --all")
    refused(world["carol"].run("cancel", "abcdef"), 2, "there is no ceremony")
    dashed = f"{first[:4]}-{first[4:6].upper()}"
    shown = alice.run("status", dashed)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"{first[:6]}  coordinator · family · regtest · 0.3000")
    assert "0 of 2 signatures" in shown.stdout
    assert "waits for bob: has not come yet" in shown.stdout
    assert f"go on: wormsig resume {first[:6]}" in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--new-code", "nobody"], 2, ["nobody is called 'nobody'", "its cosigners are bob, carol"]),
        (["--signer", "key:x"], 2, ["--signer is a cosigner's"]),
        (["--reject", "no"], 2, ["--reject is a cosigner's"]),
        (["--import", "missing.psbt"], 3, ["missing.psbt"]),
        (["--import", "garbage.psbt"], 3, ["garbage.psbt"]),
        (["--import", "empty.psbt"], 3, ["empty.psbt"]),
        (["--import", "other.psbt"], 5, ["other.psbt", "another transaction"]),
        (["--import", "unsigned.psbt"], 3, ["unsigned.psbt", "no signature"]),
        (["--timeout", "soon"], 2, ["not a duration"]),
        (["--broadcast", "--wallet", "strangers"], 2, ["there is no wallet"]),
    ],
)
def test_wrong_use_of_resume_is_one_line_and_changes_nothing(
    world: World, open_two: Any, arguments: list[str], code: int, words: list[str]
) -> None:
    alice = world["alice"]
    ceremony, _, other = open_two
    (alice.home / "garbage.psbt").write_bytes(b"this is no PSBT\n")
    (alice.home / "empty.psbt").write_bytes(b"")
    (alice.home / "other.psbt").write_bytes(other.read_bytes())
    started = alice.run("status", ceremony, "--json", check=True).stdout
    if "unsigned.psbt" in arguments:
        raw = next(e["psbt"] for e in events(alice, ceremony) if e["type"] == "proposed")
        (alice.home / "unsigned.psbt").write_text(raw)
    refused(alice.run("resume", ceremony, "-y", *arguments), code, *words)
    assert alice.run("status", ceremony, "--json", check=True).stdout == started


def test_m3_a_ceremony_that_another_process_holds(world: World, open_two: Any) -> None:
    alice = world["alice"]
    ceremony = open_two[1]
    running = alice.start("resume", ceremony, "-y", "--json")
    running.wait_for("code-ready", cosigner="bob")
    refused(alice.run("resume", ceremony, "-y"), 9, f"in use by process {running.process.pid}", "end that one first")
    assert f"running now, in process {running.process.pid}" in alice.run("status", ceremony).stdout
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == 143
    assert "running now" not in alice.run("status", ceremony).stdout
