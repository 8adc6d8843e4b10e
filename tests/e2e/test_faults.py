"""Lines that break and relays that die, at every stage of a ceremony: the same txid, and nobody is asked twice.

Real commands, a real relay in a process of its own, and a proxy that knows which message of the mailbox passes. The
stages are the messages themselves. In today's protocol, of the coordinator: `0` and `1` the PSBT, `2` and `3` what
became of the answer, `4` and `5` the outcome; of the cosigner: `0` the PSBT is journalled, `1` reviewing, `2` signing,
`3` and `4` the answer, `5` and `6` acknowledgements; before them the handshake, after them the goodbyes. The long form
breaks every one of them in every way, whatever it is.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import pytest

from support.faults import BRISK, ENOUGH, Play, Relay, at_once, spoken
from support.stage import Stage, events_named
from wormsig.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.proxy import Break, Way
    from wormsig.psbt.model import Psbt

HASTY = f"{BRISK},quiet=4,silence=10,acknowledge=8,comeback=12"

Place = tuple[str, "Way", str]
"""Whose line, which way, which phase."""

PHASES = ("pake", "version", *map(str, range(10)))
EVERYWHERE: list[Place] = [(who, way, phase) for who in ("alice", "bob") for way in ("up", "down") for phase in PHASES]
STAGES: dict[str, Place] = {
    "pairing": ("bob", "up", "pake"),
    "paired": ("alice", "up", "version"),
    "PSBT under way": ("alice", "up", "1"),
    "reviewed": ("bob", "up", "2"),
    "answer under way": ("bob", "up", "4"),
    "outcome under way": ("bob", "down", "4"),
}


def cut(stage: Stage, relay: Relay, psbt: Psbt, place: Place, how: Break) -> bool:
    """A ceremony during which one line breaks once, at one message; whether there was such a message."""
    who, way, phase = place
    with Play(stage, relay, psbt) as play:
        trap = getattr(play, who).trap(way, phase, how)
        play.begin()
        play.play()
        play.ends_well()
        return trap.sprung.is_set()


def killed(stage: Stage, folder: Path, psbt: Psbt, place: Place, *, db: bool) -> bool:
    """A ceremony during which the relay is killed right before it passes a message on, and comes back."""
    who, way, phase = place
    with Relay(folder / f"relay-{psbt.txid[:12]}", db=db) as relay, Play(stage, relay, psbt) as play:
        trap = getattr(play, who).trap(way, phase, "before", relay.restart)
        play.begin()
        play.play()
        play.ends_well()
        return trap.sprung.is_set()


def all_sprung(stage: Stage, scenes: dict[str, Callable[[Psbt], bool]]) -> None:
    """Play scenes, several at once; in each the fault has to happen."""
    psbts = [stage.psbt() for _ in scenes]
    missed: list[str] = []

    def play(name: str, scene: Callable[[Psbt], bool], psbt: Psbt) -> None:
        try:
            if not scene(psbt):
                missed.append(name)
        except BaseException as error:
            error.add_note(name)
            raise

    at_once(
        [functools.partial(play, name, scene, psbt) for (name, scene), psbt in zip(scenes.items(), psbts, strict=True)]
    )
    assert not missed


# The line of one side.


def test_a_line_that_breaks_in_the_middle_of_a_message_is_mended_and_nobody_notices(stage: Stage, relay: Relay) -> None:
    all_sprung(
        stage, {name: functools.partial(cut, stage, relay, place=place, how="within") for name, place in STAGES.items()}
    )


def test_a_message_that_the_relay_swallows_ends_in_a_new_code_and_no_second_signature(
    stage: Stage, relay: Relay
) -> None:
    places = {name: STAGES[name] for name in ("PSBT under way", "answer under way")}
    all_sprung(
        stage,
        {name: functools.partial(cut, stage, relay, place=place, how="swallow") for name, place in places.items()},
    )


def test_lines_that_break_all_the_time_are_slow_and_no_more(stage: Stage, relay: Relay) -> None:
    with Play(stage, relay, stage.psbt()) as play:
        play.alice.cut_after = [500, 3_000, 6_000, 9_000]
        play.bob.cut_after = [800, 4_000, 7_000, 10_000]
        play.alice.delay = play.bob.delay = 0.02
        play.begin()
        play.play()
        play.ends_well()
        assert min(play.alice.connections, play.bob.connections) >= 4


def test_a_half_open_line_is_noticed_and_the_ceremony_goes_on_over_another(stage: Stage, relay: Relay) -> None:
    """Nothing passes at bob's side while his signature is under way, and no packet says so."""
    with Play(stage, relay, stage.psbt(), limits=HASTY) as play:
        trap = play.bob.trap("up", "3", "hold")
        play.begin()
        play.receive(play.next_code())
        assert trap.sprung.wait(ENOUGH)
        play.send.process.wait_for("code-ready", replaces=True)  # alice does not wait for ever
        play.bob.cut()  # what was on its way is gone
        play.bob.mend()
        play.play()
        play.ends_well()
        assert play.receives[-1].process.returncode == ExitCode.DONE, play.told()


def test_a_relay_that_refuses_for_a_while_is_waited_for(stage: Stage, relay: Relay) -> None:
    with Play(stage, relay, stage.psbt()) as play:
        play.alice.refusing = play.bob.refusing = True
        play.begin()
        time.sleep(3)
        play.alice.refusing = False
        code = play.send.process.wait_for("code-ready")["code"]
        play.receive(code)
        time.sleep(2)
        play.bob.refusing = False
        play.play()
        play.ends_well()
        assert len(play.receives) == 1


def test_a_relay_that_refuses_for_good_is_exit_6_within_the_limit(stage: Stage, relay: Relay) -> None:
    with Play(stage, relay, stage.psbt(), limits=f"{BRISK},connect=3") as play:
        play.alice.refusing = True
        play.begin()
        began = time.monotonic()
        assert play.send.process.wait() == ExitCode.TRANSPORT
        assert time.monotonic() - began < 20
        spoken(play.send.process)


# The relay.


@pytest.mark.parametrize("db", [True, False], ids=["on disk", "in memory"])
def test_a_relay_that_is_killed_comes_back_and_so_does_the_ceremony(stage: Stage, tmp_path: Path, db: bool) -> None:
    all_sprung(
        stage, {name: functools.partial(killed, stage, tmp_path, place=place, db=db) for name, place in STAGES.items()}
    )


def test_a_code_of_a_relay_that_forgot_is_replaced_and_one_that_it_kept_is_good(stage: Stage, tmp_path: Path) -> None:
    def before_pairing(psbt: Psbt, *, db: bool) -> bool:
        with Relay(tmp_path / f"relay-{db}", db=db) as relay, Play(stage, relay, psbt) as play:
            play.begin()
            first = play.send.process.wait_for("code-ready")["code"]
            time.sleep(1)  # the code was used: alice's first message is in the mailbox
            relay.restart()
            if not db:
                assert play.send.process.wait_for("code-ready", replaces=True)["code"] != first
            play.play()
            play.ends_well()
            assert len(play.receives) == 1
            assert len(events_named(play.send.process, "code-ready")) == (1 if db else 2)
        return True

    all_sprung(stage, {str(db): functools.partial(before_pairing, db=db) for db in (True, False)})


def test_a_code_that_the_relay_forgot_before_anything_was_in_its_mailbox_is_replaced(
    stage: Stage, tmp_path: Path
) -> None:
    with Relay(tmp_path / "relay", db=False) as relay, Play(stage, relay, stage.psbt(), f"{BRISK},entry=5") as play:
        trap = play.alice.trap("down", "pake", "before", relay.restart)
        play.begin()
        play.play()
        play.ends_well()
        assert trap.sprung.is_set()
        assert len(play.codes()) == 2


def test_a_relay_that_dies_for_good_ends_both_sides_within_their_limits(stage: Stage, tmp_path: Path) -> None:
    with Relay(tmp_path / "relay", db=False) as relay, Play(stage, relay, stage.psbt(), HASTY, 1) as play:
        play.bob.trap("up", "3", "before", relay.kill)
        play.begin("--timeout", "15s")
        play.play()
        assert play.send.process.process.returncode in (ExitCode.TRANSPORT, ExitCode.THRESHOLD)
        assert play.receives[0].process.returncode == ExitCode.TRANSPORT
        for process in (play.send.process, *play.receives):
            spoken(process)
        play.signed_once()  # what bob signed is in his journal


# Everything.


@pytest.mark.long
@pytest.mark.parametrize("how", ["before", "within", "after", "swallow"])
def test_every_message_of_each_side_is_cut_once(stage: Stage, relay: Relay, how: Break) -> None:
    psbts = {place: stage.psbt() for place in EVERYWHERE}
    sprung: set[Place] = set()

    def play(place: Place) -> None:
        if cut(stage, relay, psbts[place], place, how):
            sprung.add(place)

    at_once([functools.partial(play, place) for place in EVERYWHERE])
    assert {phase for _, _, phase in sprung} >= set(PHASES[:7])


@pytest.mark.long
@pytest.mark.parametrize("db", [True, False], ids=["on disk", "in memory"])
def test_the_relay_is_killed_at_every_message(stage: Stage, tmp_path: Path, db: bool) -> None:
    psbts = {place: stage.psbt() for place in EVERYWHERE}
    sprung: set[Place] = set()

    def play(place: Place) -> None:
        if killed(stage, tmp_path, psbts[place], place, db=db):
            sprung.add(place)

    at_once([functools.partial(play, place) for place in EVERYWHERE])
    assert {phase for _, _, phase in sprung} >= set(PHASES[:7])
