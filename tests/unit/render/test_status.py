from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest

from wormsig.ceremony import status as told
from wormsig.render.sanitize import to_json
from wormsig.render.status import status_line, status_object

TXID = "c0ffee" + "0" * 58
WORDS = "adroitness unravel absurd Jupiter"

EXAMPLES: list[tuple[told.Status, str]] = [
    (told.Started("7f3a19" + "0" * 26, "coordinator", 2, 1, ("bob",)), "Ceremony 7f3a19: 1 of 2 signatures."),
    (
        told.Started("7f3a19" + "0" * 26, "coordinator", 2, 1, ("bob", "carol"), ("bob",)),
        "Ceremony 7f3a19: 1 of 2 signatures. Waits for bob.",
    ),
    (
        told.MayReturn("carol", "declined", 30.0),
        "  carol        declined before; waits 30 s for them to come back with `wormsig\n               resume`",
    ),
    (told.SignedHere("key:alice.key", 1, 2), "Signed with key:alice.key: 1 of 2 signatures."),
    (told.CodeReady("bob", "7-guitarist-revenge-orca"), "  bob          7-guitarist-revenge-orca"),
    (told.CodeReady("bob", "4-miracle-flagpole", replaces=True), "  bob          new code: 4-miracle-flagpole"),
    (told.PeerConnected("bob", WORDS), f"  bob          connected · verifier: {WORDS}"),
    (told.PsbtDelivered("bob"), "  bob          has the PSBT"),
    (told.PeerProgress("bob", "reviewing"), "  bob          is reviewing"),
    (told.PeerProgress("bob", "signing"), "  bob          is signing"),
    (
        told.SignaturesTaken("bob", ("bob",), 2, 0, (), (), 2, 2),
        "  bob          signed: bob, verified\n  2 of 2 signatures.",
    ),
    (
        told.SignaturesTaken("bob", ("carol", "dave"), 1, 1, ("input 1: it does not verify",), ("output 0: x",), 1, 2),
        (
            "  bob          signed: carol, dave, verified\n"
            "               not taken: input 1: it does not verify\n"
            "               came back changed, ignored: output 0: x\n"
            "  1 of 2 signatures."
        ),
    ),
    (
        told.SignaturesTaken("bob", (), 0, 0, (), (), 1, 2),
        "  bob          brought nothing new: these signatures were there already\n  1 of 2 signatures.",
    ),
    (
        told.AnswerRefused("bob", "output 0 pays 1 sat"),
        '  bob          answer refused, nothing taken: "output 0 pays 1 sat"',
    ),
    (told.PeerDeclined("bob", "wrong amount"), '  bob          declined: "wrong amount"'),
    (told.CodeFailed("bob", "wrong code", 2), "  bob          code used up (number 2): wrong code"),
    (told.PeerLost("bob", "the other side left"), "  bob          left"),
    (
        told.PeerLost("bob", "the other side left: they will decide later"),
        '  bob          left: "they will decide later"',
    ),
    (
        told.PeerLost("bob", "no sign of the other side for 3 min"),
        "  bob          lost: no sign of the other side for 3 min",
    ),
    (told.ConnectionNotice("bob", "no sign of bob for 3 min"), "  bob          no sign of bob for 3 min"),
    (told.ConnectionNotice("bob", "bob is back"), "  bob          is back"),
    (told.ConnectionNotice(None, "the relay is back"), "The relay is back."),
    (
        told.RelayChosen("ws://localhost:4000/v1"),
        "The relay ws://localhost:4000/v1 is in use; the others need it in their\n  --relay-url too.",
    ),
    (
        told.RelayPaused("ws://localhost:4000/v1", 4),
        "The relay ws://localhost:4000/v1 keeps forgetting codes; the next one comes in 4\n  s.",
    ),
    (
        told.ThresholdReached(2, 2, TXID, 294),
        "2 of 2 signatures, all verified. The transaction is final (294 vB).",
    ),
    (told.NodeAccepts(294), "The node accepts the transaction (294 vB)."),
    (told.Broadcast(TXID), "Broadcast; the node has it."),
    (told.OutcomeDelivered("bob", "broadcast"), "  bob          was told: broadcast"),
    (
        told.OutcomeDelivered("bob", "not-needed"),
        "  bob          late: bob's signature was not needed, thanked and told",
    ),
    (told.Joined(WORDS), f"connected · verifier: {WORDS} (compare when asked to)"),
    (told.PsbtReceived("7f3a19" + "0" * 26, 1234), "The PSBT is here (1234 bytes, ceremony 7f3a19)."),
    (
        told.SignedBefore("7f3a19" + "0" * 26),
        "Signed here before, in ceremony 7f3a19; the same signatures are sent again.",
    ),
    (
        told.ApprovedBefore("7f3a19" + "0" * 26),
        (
            "Approved here before, in ceremony 7f3a19, and stopped before a signature was\n"
            "  kept.\n"
            "It is asked for once more: a device may have given it already, for the same\n"
            "  transaction."
        ),
    ),
    (
        told.AnswerSent(1, "7f3a19" + "0" * 26),
        (
            "Signed and sent; the coordinator has it. Waiting for the outcome …\n"
            "  Ctrl-C is safe: `wormsig resume 7f3a19` goes on."
        ),
    ),
    (
        told.StillToTell("bob", "broadcast", 60.0),
        "  bob          does not know the outcome yet; waits 60 s for them to come back",
    ),
    (
        told.CoordinatorGone("no sign of the other side for 30 min"),
        (
            "The coordinator is gone: no sign of the other side for 30 min. Nothing is lost:\n"
            "  what is signed here is kept."
        ),
    ),
    (
        told.CoordinatorGone("the other side left: lunch"),
        'The coordinator left: "lunch". Nothing is lost: what is signed here is kept.',
    ),
    (
        told.Rejoining("7f3a19" + "0" * 26),
        ("Waiting for the coordinator to come back. Ctrl-C is safe: `wormsig resume\n  7f3a19` goes on."),
    ),
    (told.Rejoined("7f3a19" + "0" * 26), "The coordinator is back."),
    (told.DeclineSent("wrong amount"), 'The coordinator was told: "wrong amount"'),
    (told.AnswerJudged(1, 0, ()), "The coordinator took 1 signature."),
    (told.AnswerJudged(0, 2, ("high S",)), 'The coordinator took 0 signatures.\n  2 not taken\n  "high S"'),
    (
        told.OutcomeSeen("broadcast", TXID, "", "mempool"),
        f"The coordinator says that it was broadcast; your node has it in its mempool:\n  txid {TXID}",
    ),
    (
        told.OutcomeSeen("broadcast", TXID, "", "no-node"),
        f"The coordinator says that it was broadcast; you have no node here to check that\n  with:\n  txid {TXID}",
    ),
    (
        told.OutcomeSeen("final", TXID, "there is no node", "unknown"),
        (
            'The coordinator says that it is complete and kept, not broadcast yet: "there is\n  no node":\n'
            f"  txid {TXID}\n"
            "This ends here: whether it is broadcast later a node knows, or the coordinator."
        ),
    ),
    (
        told.OutcomeSeen("not-needed", None, "", "no-node"),
        "The coordinator thanks you: your signature is not needed, enough others signed.",
    ),
    (told.OutcomeSeen("cancelled", None, "never mind", "no-node"), 'The coordinator cancelled: "never mind".'),
    (told.OutcomeSeen("failed", None, "", "no-node"), "The coordinator says that it failed."),
    (
        told.OutcomeSeen("broadcast", None, "", "no-node", lie=True),
        (
            "The coordinator says that it was broadcast.\n"
            "But what came with it is not the transaction that was approved here."
        ),
    ),
]

STATUSES = {each for each in vars(told).values() if isinstance(each, type) and issubclass(each, told._Told)} - {
    told._Told
}
HOSTILE = '\x1b[2J\r\n\u202eevil\u200b" bob signed: "[bold]' + "x" * 5000


@pytest.mark.parametrize(("status", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_a_status_for_a_person(status: told.Status, text: str) -> None:
    assert status_line(status) == text


def test_every_status_is_in_the_union_and_has_an_example() -> None:
    assert set(get_args(told.Status)) == STATUSES
    assert {type(status) for status, _ in EXAMPLES} == STATUSES


@pytest.mark.parametrize(("status", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_a_status_for_a_script(status: told.Status, text: str) -> None:
    assert text
    shown = json.loads(to_json(status_object(status)))
    name = "".join(part.capitalize() for part in shown.pop("event").split("-"))
    assert name == type(status).__name__
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in vars_of(status).items()}
    assert shown == fields


def vars_of(status: told.Status) -> dict[str, Any]:
    return msgspec.structs.asdict(status)


def hostile(status: told.Status) -> told.Status:
    """The same status with an attacker's words wherever there are words."""
    changed: dict[str, Any] = {}
    for name, value in vars_of(status).items():
        if isinstance(value, str):
            changed[name] = HOSTILE
        elif isinstance(value, tuple):
            changed[name] = (HOSTILE,) * 3
    return msgspec.structs.replace(status, **changed)


@pytest.mark.parametrize("status", [status for status, _ in EXAMPLES], ids=lambda value: type(value).__name__)
def test_c17_hostile_words_are_escaped_and_cut(status: told.Status) -> None:
    text = status_line(hostile(status))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "evil\u200b" not in text
    assert "\u202e" not in text
    assert len(text) < 4000
    as_json = to_json(status_object(hostile(status)))
    assert as_json.isascii()
    assert as_json.isprintable()


@pytest.mark.parametrize(
    "status",
    [
        told.PeerDeclined("bob", HOSTILE[-5000:-4900] + '" bob signed: "'),
        told.AnswerRefused("bob", 'x" bob signed: "'),
        told.DeclineSent('x" bob signed: "'),
        told.AnswerJudged(0, 1, ('x" bob signed: "',)),
        told.OutcomeSeen("failed", None, 'x" bob signed: "', "no-node"),
        told.PeerLost("bob", 'the other side left: x" bob signed: "'),
        told.CoordinatorGone('the other side left: x" bob signed: "'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_c17_words_of_others_stay_within_their_quotes(status: told.Status) -> None:
    assert status_line(status).count('"') == 2


def test_lines_fit_eighty_columns() -> None:
    verifier = "decadence " * 10
    assert len(status_line(told.PeerConnected("bob", verifier)).split("\n")) == 2
    for status, _ in EXAMPLES:
        for each in (status, hostile(status)):
            if not isinstance(each, told.CodeReady):  # to be copied as it stands
                assert all(len(line) <= 80 for line in status_line(each).split("\n"))


def test_c17_what_a_terminal_would_break_never_looks_like_a_line_of_ours() -> None:
    forged = "x" * 52 + "  carol        signed: [d34db33f] carol, verified"
    first, *rest = status_line(told.PeerDeclined("bob", forged)).split("\n")
    assert first.startswith("  bob          declined: ")
    assert rest
    assert all(line.startswith(" " * 15) for line in rest)
