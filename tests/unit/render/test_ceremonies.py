from __future__ import annotations

import json
from typing import get_args

import pytest
from msgspec import structs

from wormsig.ceremony.coordinator_state import Stage
from wormsig.ceremony.messages import Result
from wormsig.ceremony.summary import Awaited, Summary, Waiting
from wormsig.render.ceremonies import age, summary_lines, summary_object
from wormsig.render.lines import plain
from wormsig.render.sanitize import to_json

ID = "7f3a19" + "0" * 26
NOW = 1_800_000_000
HOSTILE = "\x1b[2J\r\n\u202eevil\u200b" + "x" * 500

COORDINATOR = Summary(
    id=ID,
    role="coordinator",
    network="signet",
    wallet="family",
    created=NOW - 7300,
    phase="collecting",
    sats=30_001_176,
    have=1,
    need=2,
    signed=("alice",),
    awaits=(Waiting("cosigner", "bob", "offered"), Waiting("cosigner", "carol", "waiting")),
    cosigners=(("bob", "offered"), ("carol", "waiting")),
    txid="c0ffee" + "0" * 58,
    open=True,
)
COSIGNER = Summary(
    id=f"{ID}-c",
    role="cosigner",
    network="signet",
    wallet="family",
    created=NOW - 90_000,
    phase="reviewed",
    sats=30_001_176,
    need=2,
    awaits=(Waiting("decision"),),
    open=True,
)


def changed(summary: Summary, **values: object) -> Summary:
    return structs.replace(summary, **values)


def shown(summary: Summary, **how: bool) -> list[str]:
    return plain(summary_lines(summary, NOW, **how)).split("\n")


def test_a_coordinator_sees_who_signed_who_is_awaited_and_how_to_go_on() -> None:
    assert shown(COORDINATOR) == [
        "7f3a19  coordinator · family · signet · 0.30001176 BTC · 2 hours ago",
        "        1 of 2 signatures: alice",
        "        waits for bob: has the PSBT",
        "        waits for carol: has not come yet",
        "        go on: wormsig resume 7f3a19",
    ]


def test_a_coordinator_sees_who_declined_and_what_is_possible_next() -> None:
    declined = changed(
        COORDINATOR, awaits=(), cosigners=(("carol", "declined"),), notes=(("carol", "not this\nmonth"),)
    )
    lines = shown(declined)
    assert lines[1:3] == ["        1 of 2 signatures: alice", '        carol declined: "not this\\x0amonth"']
    assert "`wormsig resume` on both sides, or with a new code from here (--new-code carol)" in " ".join(
        " ".join(lines[3:-1]).split()
    )
    assert lines[-1] == "        go on: wormsig resume 7f3a19"
    assert "collecting" not in "".join(lines)
    waiting = changed(declined, awaits=(Waiting("cosigner", "bob", "offered"),))
    assert shown(waiting)[2:4] == [lines[2], "        waits for bob: has the PSBT"]
    assert "--new-code" not in "".join(shown(waiting))


def test_a_cosigner_sees_that_it_waits_for_a_decision() -> None:
    assert shown(COSIGNER) == [
        "7f3a19  cosigner · family · signet · 0.30001176 BTC · 1 day ago",
        "        waits for you: sign it, or decline",
        "        go on: wormsig resume 7f3a19 --signer SPEC",
    ]


def test_where_both_roles_are_on_one_machine_the_whole_id_is_shown() -> None:
    assert shown(COSIGNER, alone=False)[0].startswith(f"{ID}-c  cosigner")
    assert shown(COSIGNER, alone=False)[-1].split() == ["go", "on:", "wormsig", "resume", f"{ID}-c", "--signer", "SPEC"]


def test_what_runs_is_not_to_be_resumed() -> None:
    assert shown(changed(COORDINATOR, process=4711))[-1] == "        running now, in process 4711"


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        (changed(COORDINATOR, phase="finalized", awaits=(Waiting("broadcast-decision"),)), "broadcast it, or not"),
        (changed(COORDINATOR, phase="agreed", awaits=(Waiting("broadcast"),)), "is to be broadcast"),
        (changed(COORDINATOR, awaits=(Waiting("finalize"),)), "can be completed"),
        (
            changed(COORDINATOR, phase="broadcast", open=False, awaits=(Waiting("to-tell", "bob", "signed"),)),
            "bob does not know the outcome yet",
        ),
        (changed(COORDINATOR, phase="kept", open=False, awaits=()), "not broadcast"),
        (changed(COORDINATOR, phase="cancelled", open=False, awaits=()), "cancelled"),
        (changed(COSIGNER, phase="signed", awaits=(Waiting("to-send"),)), "does not have it yet"),
        (changed(COSIGNER, phase="answered", awaits=(Waiting("outcome"),)), "waits for the outcome"),
        (changed(COSIGNER, phase="approved", awaits=(Waiting("signature"),)), "not signed yet"),
        (changed(COSIGNER, phase="declined", awaits=(Waiting("to-decline"),)), "does not know it yet"),
        (changed(COSIGNER, phase="decline-told", awaits=(), open=False), "declined"),
        (changed(COSIGNER, phase="over", awaits=(), open=False, outcome="not-needed"), "was not needed"),
        (changed(COSIGNER, phase="over", awaits=(), open=False, outcome="broadcast"), "as the coordinator says"),
        (changed(COORDINATOR, phase="unreadable", awaits=(), have=None, sats=None), "says what is wrong"),
    ],
)
def test_every_standing_has_words(summary: Summary, words: str) -> None:
    assert words in " ".join(" ".join(shown(summary)).split())


@pytest.mark.parametrize("what", get_args(Awaited))
def test_whatever_is_awaited_has_words_of_its_own(what: Awaited) -> None:
    who = "bob" if what in ("cosigner", "to-tell") else None
    lines = shown(changed(COORDINATOR, awaits=(Waiting(what, who, "offered"),)))
    assert lines[-1].startswith("        go on: ")
    assert len(lines) == 4
    assert lines[2].strip() != what


def test_every_stage_and_every_outcome_has_words_of_its_own() -> None:
    waiting = [shown(changed(COORDINATOR, awaits=(Waiting("cosigner", "bob", each),)))[2] for each in Stage]
    assert len(set(waiting)) == len(Stage)
    over = changed(COSIGNER, phase="over", awaits=(), open=False)
    told = [shown(changed(over, outcome=each))[1].strip() for each in get_args(Result)]
    assert len(set(told)) == len(told)
    assert not set(told) & set(get_args(Result)), "the bare word stands for one that nobody has thought of"


def test_c17_names_are_escaped_and_lines_fit_eighty_columns() -> None:
    hostile = changed(
        COORDINATOR,
        wallet=HOSTILE,
        network=HOSTILE,
        signed=(HOSTILE,) * 4,
        awaits=(Waiting("cosigner", HOSTILE, "offered"), Waiting("to-tell", HOSTILE, "offered")),
    )
    for line in shown(hostile):
        assert line.isprintable()
        assert len(line) <= 80
    assert to_json(summary_object(hostile)).isascii()


def test_the_object_for_scripts() -> None:
    assert json.loads(to_json(summary_object(COORDINATOR))) == {
        "id": ID,
        "role": "coordinator",
        "network": "signet",
        "wallet": "family",
        "created": NOW - 7300,
        "phase": "collecting",
        "sats": 30_001_176,
        "have": 1,
        "need": 2,
        "signed": ["alice"],
        "awaits": [
            {"what": "cosigner", "who": "bob", "stage": "offered"},
            {"what": "cosigner", "who": "carol", "stage": "waiting"},
        ],
        "cosigners": {"bob": "offered", "carol": "waiting"},
        "notes": {},
        "txid": "c0ffee" + "0" * 58,
        "outcome": None,
        "open": True,
        "process": None,
        "resume": f"wormsig resume {ID}",
    }


def test_ages() -> None:
    assert [age(each) for each in (-5, 59, 60, 3599, 3600, 86400, 3 * 86400)] == [
        "just now", "just now", "1 minute ago", "59 minutes ago", "1 hour ago", "1 day ago", "3 days ago",
    ]  # fmt: skip
