"""Machines that fail a ceremony: clocks that jump, disks that are full, folders that are read-only, a second process.

Whatever happens, the journal stays whole, what was signed is in it, and the words and the exit code say what is wrong.
"""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from support.faults import BRISK, ENOUGH, Play, Relay, hooks, limited, spoken
from support.stage import Stage, cosigner_events
from wormsig.ceremony import cosigner
from wormsig.errors import ExitCode
from wormsig.journal.store import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from support.stage import Person

A_DAY = 86_400
HASTY = f"{BRISK},quiet=2,silence=5,acknowledge=4,comeback=6"


def journal_is_whole(person: Person) -> None:
    """SQLite finds nothing wrong, and every event's chain of hashes is good."""
    with contextlib.closing(sqlite3.connect(person.journal)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Journal(person.journal) as journal:
        for row in journal.ceremonies():
            assert journal.events(row.id)


def with_a_journal(stage: Stage, relay: Relay) -> None:
    """One ceremony in peace, after which everybody has a journal."""
    if not stage["bob"].journal.exists():
        with Play(stage, relay, stage.psbt()) as play:
            play.begin()
            play.play()
            play.ends_well()


def pages(person: Person) -> int:
    """The size of a journal."""
    with contextlib.closing(sqlite3.connect(person.journal)) as db:
        count: int = db.execute("PRAGMA page_count").fetchone()[0]
    return count


# Clocks.


@pytest.mark.parametrize("jump", [A_DAY, -A_DAY], ids=["a day ahead", "a day back"])
def test_a_clock_that_jumps_in_the_middle_ends_nothing(stage: Stage, relay: Relay, tmp_path: Path, jump: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    machine = {"PYTHONPATH": hooks(tmp_path / "hooks"), "TEST_CLOCK": str(clock)}
    with Play(stage, relay, stage.psbt(), machines={"alice": machine, "bob": machine}) as play:
        held = play.bob.trap("up", "3", "hold")
        play.begin()
        play.receive(play.next_code())
        assert held.sprung.wait(ENOUGH)
        clock.write_text(str(jump))
        time.sleep(1.5)  # more than a heartbeat, less than anything that ends
        play.bob.mend()
        play.play()
        play.ends_well()
        assert len(play.receives) == 1
        with Journal(stage["bob"].journal) as journal:
            times = [record.at for record in journal.events(f"{play.ceremony}-c")]
        assert A_DAY / 2 < abs(times[-1] - times[0]) < A_DAY * 2  # it did jump
    journal_is_whole(stage["alice"])
    journal_is_whole(stage["bob"])


# Disks.


@pytest.mark.parametrize("more", [0, 1, 2, 4])
def test_a_cosigners_journal_that_cannot_grow_is_exit_9_and_the_next_code_goes_on(
    stage: Stage, relay: Relay, tmp_path: Path, more: int
) -> None:
    with_a_journal(stage, relay)
    limit = str(pages(stage["bob"]) + more)
    full = {"PYTHONPATH": hooks(tmp_path / "hooks"), "TEST_JOURNAL_PAGES": limit}
    with Play(stage, relay, stage.psbt(), machines={"bob": full}) as play:
        play.begin()
        play.play()
        play.ends_well(asked=2, full_disk=True)
        first = play.receives[0]
        if first.process.returncode != ExitCode.DONE:
            assert first.process.returncode == ExitCode.STORAGE, play.told()
            assert any("the journal" in line and "full" in line for line in first.err), first.err
            answered = any(event["event"] == "answer-sent" for event in first.events())
            # What had gone out was enough; it may have, and have been taken, when the journal had no room to say so.
            # Else alice made another code.
            replaced = [event for event in play.send.process.events() if event["event"] == "code-ready"][1:]
            assert len(play.receives) == 1 + len(replaced)
            assert len(replaced) <= (0 if answered else 1)
        assert more or first.process.returncode == ExitCode.STORAGE
    journal_is_whole(stage["bob"])


@pytest.mark.parametrize("more", [0, 2, 4])
def test_a_coordinators_journal_that_cannot_grow_is_exit_9_and_keeps_what_it_has(
    stage: Stage, relay: Relay, tmp_path: Path, more: int
) -> None:
    with_a_journal(stage, relay)
    limit = str(pages(stage["alice"]) + more)
    full = {"PYTHONPATH": hooks(tmp_path / "hooks"), "TEST_JOURNAL_PAGES": limit}
    with Play(stage, relay, stage.psbt(), HASTY, 1, {"alice": full}) as play:
        play.begin()
        play.play()
        spoken(play.send.process)
        ended = play.send.process.process.returncode
        assert ended == ExitCode.STORAGE or (more and ended == ExitCode.DONE), play.told()
        for process in play.receives:
            assert process.process.returncode in (ExitCode.DONE, ExitCode.TRANSPORT, ExitCode.THRESHOLD), play.told()
    journal_is_whole(stage["alice"])
    shown = limited(stage, "alice", "status", "--all", "--json", env={})
    assert shown.returncode == 0, shown.stderr


def test_a_disk_that_takes_no_more_bytes_is_exit_9_and_the_next_code_goes_on(stage: Stage, relay: Relay) -> None:
    """The write itself fails, in the middle of what SQLite writes."""
    with_a_journal(stage, relay)
    with Play(stage, relay, stage.psbt()) as play:
        play.begin()
        command = ["receive", play.next_code(), "--json", "-y", "--signer", stage["bob"].signer]
        done = limited(stage, "bob", *command, file_size=6_000, env=play.environment("bob"))
        assert done.returncode == ExitCode.STORAGE, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("error:") == 1
        journal_is_whole(stage["bob"])
        play.play()
        play.ends_well()


def test_a_read_only_state_directory_is_exit_9_on_both_sides_and_nothing_is_signed(stage: Stage, relay: Relay) -> None:
    with_a_journal(stage, relay)

    def bound(who: str, *command: object, env: dict[str, str]) -> None:
        folder = stage[who].journal.parent
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        try:
            for path in modes:
                path.chmod(0o500 if path.is_dir() else 0o400)
            done = limited(stage, who, *command, writable=False, env=env)
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        assert done.returncode == ExitCode.STORAGE, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stderr.count("error:") == 1

    with Play(stage, relay, stage.psbt()) as play:
        play.begin()
        code = play.next_code()
        bound("bob", "receive", code, "--json", "-y", "--signer", stage["bob"].signer, env=play.environment("bob"))
        assert not cosigner_events(stage["bob"], play.ceremony)
        bound("alice", "send", play.send.path, "--json", "-y", "--to", "bob", env=play.environment("alice"))
        play.play()  # the code was not used up: nobody was contacted
        play.ends_well()


# M3: two processes.


def test_m3_a_second_process_on_one_ceremony_is_told_who_holds_it(stage: Stage, relay: Relay) -> None:
    """Bob's first command hangs, alice has given a new code, and bob uses it beside the first."""
    with Play(stage, relay, stage.psbt(), HASTY) as play:
        held = play.bob.trap("up", "2", "hold")
        play.begin()
        first = play.receive(play.next_code())
        assert held.sprung.wait(ENOUGH)
        first.process.send_signal(signal.SIGSTOP)
        play.bob.cut()
        play.bob.mend()
        second = play.receive(play.next_code())
        assert second.wait() == ExitCode.STORAGE, play.told()
        assert any(f"in use by process {first.process.pid}" in line for line in second.err), second.err
        first.process.kill()
        first.wait()
        play.receives.remove(first)
        play.play()
        play.ends_well(asked=2)
        assert len([e for e in play.bobs_events() if isinstance(e, cosigner.Signed)]) == 1
    journal_is_whole(stage["bob"])
