"""docs/wire-format.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wormsig.ceremony import messages, wire
from wormsig.transport import intake
from wormsig.transport.codes import verifier_words
from wormsig.transport.limits import Limits

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs/wire-format.md").read_text(encoding="utf-8")
EXAMPLES = re.search(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[1].splitlines()  # type: ignore[index]
KINDS = {str(kind.__struct_config__.tag): kind for kind in messages.Message.__args__}


def section(tag: str) -> str:
    """What stands under a message's name, up to the next one."""
    start = DOCUMENT.index(f"**`{tag}`**")
    return re.split(r"\n\*\*`|\n#", DOCUMENT[start + 2 :])[0]


@pytest.mark.parametrize("tag", KINDS)
def test_every_message_has_its_fields_in_a_table(tag: str) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section(tag), re.MULTILINE)
    assert listed == sorted(KINDS[tag].__struct_fields__)


def test_there_is_an_example_of_each_and_it_is_canonical() -> None:
    decoded = [wire.decode(line.encode()) for line in EXAMPLES]
    assert {type(message) for message in decoded} == set(KINDS.values())
    for line, message in zip(EXAMPLES, decoded, strict=True):
        assert wire.canonical(message).decode() == line
    ack = next(message for message in decoded if isinstance(message, messages.Ack))
    assert ack.of == wire.digest(next(message for message in decoded if isinstance(message, messages.Decline)))
    letter = next(message for message in decoded if isinstance(message, messages.Proposal))
    assert letter.psbt == wire.reference(bytes.fromhex("70 73 62 74 ff 00"))


def test_the_numbers_are_the_codes() -> None:
    assert ", ".join(map(str, wire.BUCKETS)) in " ".join(DOCUMENT.split())
    assert f"refuses more than {wire.MAX_PADDED} bytes" in DOCUMENT
    assert f"at most {wire.MAX_MESSAGE} bytes" in DOCUMENT
    assert f"1 to {messages.MAX_OBJECT}" in DOCUMENT
    assert f"{messages.CHUNK_BYTES} of them" in DOCUMENT
    assert f"at most {messages.MAX_OBJECT // messages.CHUNK_BYTES - 1} |" in DOCUMENT
    assert f"at most {messages.MAX_TEXT}\ncharacters" in DOCUMENT
    assert f"up to {messages.MAX_PROBLEMS} strings of up to {messages.MAX_PROBLEM_TEXT} characters" in DOCUMENT
    assert f"more than {intake.MAX_WAITING} letters, or {intake.MAX_WAITING_BYTES >> 20} MiB" in DOCUMENT
    assert f"more than {intake.MAX_LETTERS} letters" in DOCUMENT


def test_the_time_limits_are_the_codes() -> None:
    table = DOCUMENT[DOCUMENT.index("| limit | seconds |") :].partition("\n\n")[0]
    numbers = [int(number) for number in re.findall(r"^\|[^|]*\| (\d+)", table, re.MULTILINE)]
    order = [
        "connect",
        "pairing",
        "entry",
        "handshake",
        "replay",
        "heartbeat",
        "quiet",
        "silence",
        "acknowledge",
        "farewell",
        "compare",
        "close",
        "elsewhere",
        "meeting",
        "stagger",
        "takeover",
        "comeback",
    ]
    assert numbers == [getattr(Limits(), name) for name in order]
    assert set(Limits.__struct_fields__) - set(order) == {"slowest"}
    assert f"every {Limits().slowest:.0f} bytes" in table


def test_the_verifier_example() -> None:
    words = " ".join(verifier_words(bytes.fromhex("e58294f2e9a227486e8b")))
    assert words in " ".join(DOCUMENT.split())
