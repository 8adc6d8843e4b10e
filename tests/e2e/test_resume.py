"""Going on: after Ctrl-C, a SIGKILL, days; on either side, without a code and without a second signature."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from wormsig.journal.store import Journal
from wormsig.psbt import codec
from wormsig.psbt.model import partial_sigs

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.world import Person, Process, World

COINS = 8
LIMITS = "heartbeat=1,takeover=0.5,meeting=5,stagger=1,farewell=5"


def kill(process: Process) -> None:
    process.process.send_signal(signal.SIGKILL)
    process.wait()


def events(person: Person, ceremony: str, role: str) -> list[dict[str, Any]]:
    """What a person's journal holds."""
    with Journal(person.home / "wormsig" / "journal" / "ceremonies.sqlite3") as journal:
        rows = [row for row in journal.ceremonies() if row.id.startswith(ceremony) and row.role == role]
        return [json.loads(record.body) for record in journal.events(rows[0].id)]


def signatures(person: Person, ceremony: str) -> int:
    return sum(event["type"] == "signed" for event in events(person, ceremony, "cosigner"))


def wait_until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def the_one(person: Person, everything: bool = False) -> dict[str, Any]:
    listed = person.run("status", "--json", *(["--all"] if everything else []), check=True).stdout.splitlines()
    return json.loads(listed[0])


def test_m4_a_killed_cosigner_comes_back_and_the_other_side_notices_nothing_else(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json")
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    later = bob.start("receive", code, "--later", "--json")
    ceremony = later.wait_for("psbt-received")["ceremony"]
    assert later.wait() == 0, later.err
    assert the_one(bob)["id"].startswith(ceremony)
    assert not signatures(bob, ceremony)
    send.wait_for("peer-lost", cosigner="bob")
    back = bob.start("resume", "--signer", bob.signer, "-y", "--json")
    assert back.wait() == 0, back.err
    assert send.wait() == 0, send.err
    done = send.events()[-1]
    assert done["broadcast"]
    assert back.events()[-1] == {"event": "done", "ceremony": ceremony, "result": "broadcast", "txid": done["txid"]}
    assert signatures(bob, ceremony) == 1
    assert not list((bob.home / "wormsig" / "journal" / "links").iterdir())
    assert not list((alice.home / "wormsig" / "journal" / "links").iterdir())


def test_a_cosigner_killed_after_signing_sends_the_same_signature(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--to", "carol", "-y", "--json")
    ceremony = send.wait_for("started")["ceremony"]
    code = send.wait_for("code-ready", cosigner="bob")["code"]
    first = bob.start("receive", code, "--signer", bob.signer, "-y", "--json")
    first.wait_for("answer-judged")
    kill(first)
    second = bob.start("resume", ceremony[:6], "--json")
    send.wait_for("peer-connected", cosigner="bob")
    third = carol.start(
        "receive", send.wait_for("code-ready", cosigner="carol")["code"], "--signer", carol.signer, "-y"
    )
    assert third.wait() == 0, third.err
    assert second.wait() == 0, second.err
    assert send.wait() == 0, send.err
    assert signatures(bob, ceremony) == 1
    contributed = [e for e in events(alice, ceremony, "coordinator") if e["type"] == "contributed"]
    assert [event["cosigner"] for event in contributed] == ["bob", "carol"]


def test_m4_a_killed_coordinator_goes_on_with_cosigners_who_never_noticed(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    psbt = world.psbt()
    send = alice.start("send", psbt, "--to", "bob", "--to", "carol", "-y", "--json")
    ceremony = send.wait_for("started")["ceremony"]
    first = bob.start(
        "receive", send.wait_for("code-ready", cosigner="bob")["code"], "--signer", bob.signer, "-y", "--json"
    )
    first.wait_for("answer-judged")
    kill(send)
    again = alice.start("resume", ceremony[:4], "-y", "--json")
    again.wait_for("peer-connected", cosigner="bob")
    code = again.wait_for("code-ready", cosigner="carol")["code"]
    third = carol.start("receive", code, "--signer", carol.signer, "-y")
    assert again.wait() == 0, again.err
    assert first.wait() == 0, first.err
    assert third.wait() == 0, third.err
    assert again.events()[-1]["txid"] == first.events()[-1]["txid"]
    assert signatures(bob, ceremony) == 1


def test_both_stop_and_either_may_come_back_first(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--signer", alice.signer, "-y", "--json")
    ceremony = send.wait_for("started")["ceremony"]
    later = bob.start("receive", send.wait_for("code-ready", cosigner="bob")["code"], "--later", "--json")
    assert later.wait() == 0, later.err
    send.process.send_signal(signal.SIGINT)
    assert send.wait() == 130
    cosigner = bob.start("resume", ceremony[:6], "--signer", bob.signer, "-y", "--json")
    wait_until(lambda: signatures(bob, ceremony))
    kill(cosigner)
    cosigner = bob.start("resume", ceremony[:6], "--json")
    cosigner.wait_for("rejoining")
    coordinator = alice.start("resume", ceremony[:6], "-y", "--json")
    assert coordinator.wait() == 0, coordinator.err
    assert cosigner.wait() == 0, cosigner.err
    assert coordinator.events()[-1]["broadcast"]
    assert signatures(bob, ceremony) == 1


def test_a_new_code_and_a_file_work_where_nothing_else_does(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    psbt = world.psbt()
    send = alice.start("send", psbt, "--to", "bob", "--to", "carol", "-y", "--json")
    ceremony = send.wait_for("started")["ceremony"]
    later = bob.start("receive", send.wait_for("code-ready", cosigner="bob")["code"], "--later", "--json")
    assert later.wait() == 0, later.err
    kill(send)
    for each in (bob.home / "wormsig" / "journal" / "links").iterdir():
        each.unlink()  # another machine, an old backup
    assert "without a code" in bob.run("resume", ceremony[:6], "--signer", bob.signer, "-y", "--timeout", "20s").stderr
    signed = alice.home / f"{ceremony}.psbt"
    carol.run("sign", psbt, "--wallet", "family", "--signer", carol.signer, "-y", "-o", signed, check=True)
    new_code = ("--new-code", "bob", "--timeout", "20s")
    resumed = alice.start("resume", ceremony[:6], "--import", signed, *new_code, "-y", "--json")
    code = resumed.wait_for("code-ready", cosigner="bob")["code"]
    last = bob.start("receive", code, "--signer", bob.signer, "-y", "--json")
    assert resumed.wait() == 0, resumed.err
    assert last.wait() == 0, last.err
    assert resumed.events()[-1]["broadcast"]
    assert signatures(bob, ceremony) == 1


def test_an_offline_signature_goes_back_through_the_cosigner(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    psbt = world.psbt()
    send = alice.start("send", psbt, "--to", "bob", "--signer", alice.signer, "-y", "--json")
    later = bob.start("receive", send.wait_for("code-ready", cosigner="bob")["code"], "--later", "--json")
    assert later.wait() == 0, later.err
    signed = bob.home / f"offline-{os.getpid()}.psbt"
    bob.run("sign", psbt, "--wallet", "family", "--signer", bob.signer, "-y", "-o", signed, check=True)
    assert partial_sigs(codec.parse(signed.read_bytes()), 0)
    ceremony = send.wait_for("started")["ceremony"]
    back = bob.start("resume", ceremony[:6], "--import", signed, "-y", "--json")
    assert back.wait() == 0, back.err
    assert send.wait() == 0, send.err


def test_who_was_away_at_the_end_is_told_afterwards(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    send = alice.start("send", world.psbt(), "--to", "bob", "--to", "carol", "--signer", alice.signer, "-y", "--json")
    ceremony = send.wait_for("started")["ceremony"]
    away = bob.start("receive", send.wait_for("code-ready", cosigner="bob")["code"], "--later", "--json")
    assert away.wait() == 0, away.err
    code = send.wait_for("code-ready", cosigner="carol")["code"]
    assert carol.start("receive", code, "--signer", carol.signer, "-y").wait() == 0
    assert send.wait() == 0, send.err
    txid = send.events()[-1]["txid"]
    back = bob.start("resume", ceremony[:6], "--signer", bob.signer, "-y", "--json")
    told = alice.start("resume", ceremony[:6], "--json")
    waits = told.wait_for("still-to-tell")
    assert (waits["cosigner"], waits["result"], waits["seconds"]) == ("bob", "not-needed", 60)
    assert told.wait() == 0, told.err
    assert back.wait() == 0, back.err
    assert back.events()[-1] == {"event": "done", "ceremony": ceremony, "result": "not-needed", "txid": txid}
