from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wormsig.ceremony import messages as m
from wormsig.ceremony import wire
from wormsig.errors import InputError, PeerError

CEREMONY = "7f3a19" + "0" * 26
HASH = "ab" * 32
REF = m.ObjectRef(sha256=HASH, size=1234)

EXAMPLES: dict[str, m.Message] = {
    "proposal": m.Proposal(
        ceremony=CEREMONY,
        network="signet",
        wallet=HASH,
        threshold=2,
        total=3,
        psbt=REF,
        unsigned_txid=HASH,
        sent_at=1_795_000_000,
        note="the roof, as agreed",
    ),
    "progress": m.Progress(ceremony=CEREMONY, state="reviewing"),
    "contribution": m.Contribution(ceremony=CEREMONY, psbt=REF, form="psbt"),
    "decline": m.Decline(ceremony=CEREMONY, reason="wrong amount"),
    "judged": m.Judged(ceremony=CEREMONY, accepted=2, rejected=1, problems=("input 1: high S",)),
    "outcome": m.Outcome(ceremony=CEREMONY, result="broadcast", txid=HASH, transaction=REF, reason="", head=HASH),
    "farewell": m.Farewell(ceremony=CEREMONY, seen="mempool", head=HASH),
    "chunk": m.Chunk(sha256=HASH, seq=0, data=b"psbt\xff"),
    "ack": m.Ack(of=HASH),
    "ping": m.Ping(),
    "bye": m.Bye(reason="done"),
    "compared": m.Compared(same=True),
}


def fields(name: str, **changes: Any) -> bytes:
    """The message's JSON with some fields replaced, canonical in form."""
    loose = msgspec.json.decode(wire.canonical(EXAMPLES[name])) | changes
    return msgspec.json.encode(loose, order="sorted")


def test_there_is_an_example_of_every_message() -> None:
    tags = {str(kind.__struct_config__.tag) for kind in m.Message.__args__}
    assert tags == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_message_survives_the_wire(name: str) -> None:
    assert wire.decode(wire.encode(EXAMPLES[name])) == EXAMPLES[name]


def test_a_wallet_may_have_more_keys_than_a_ceremony_has_cosigners() -> None:
    wire.decode(fields("proposal", threshold=21, total=999))


@pytest.mark.parametrize("name", EXAMPLES)
def test_unknown_fields_are_refused(name: str) -> None:
    with pytest.raises(PeerError, match="malformed"):
        wire.decode(fields(name, file_name="../../etc/passwd"))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("proposal", {"ceremony": CEREMONY.upper()}),
        ("proposal", {"ceremony": CEREMONY + "\n"}),
        ("proposal", {"network": "testnet"}),
        ("proposal", {"wallet": ""}),
        ("proposal", {"threshold": 0}),
        ("proposal", {"threshold": 4}),  # above total
        ("proposal", {"threshold": 2.0}),
        ("proposal", {"threshold": True}),
        ("proposal", {"threshold": "2"}),
        ("proposal", {"total": 1000}),
        ("proposal", {"unsigned_txid": None}),
        ("proposal", {"sent_at": -1}),
        ("proposal", {"sent_at": 1 << 53}),
        ("proposal", {"note": "x" * 501}),
        ("proposal", {"psbt": {"sha256": HASH, "size": 0}}),
        ("proposal", {"psbt": {"sha256": HASH, "size": 8 * 1024 * 1024 + 1}}),
        ("proposal", {"psbt": {"sha256": HASH, "size": 5, "name": "a.psbt"}}),
        ("proposal", {"psbt": None}),
        ("progress", {"state": "stealing"}),
        ("contribution", {"form": "zip"}),
        ("decline", {"reason": "x" * 501}),
        ("decline", {"reason": None}),
        ("judged", {"accepted": -1}),
        ("judged", {"rejected": 10**7}),
        ("judged", {"problems": ["x" * 201]}),
        ("judged", {"problems": ["x"] * 65}),
        ("outcome", {"result": "broadcast", "txid": None}),
        ("outcome", {"result": "stolen"}),
        ("chunk", {"seq": 32}),
        ("chunk", {"data": ""}),
        ("chunk", {"data": "####"}),
        ("ack", {"of": HASH[:-1]}),
        ("bye", {"reason": 7}),
        ("compared", {"same": 1}),
        ("ping", {"type": "pong"}),
        ("ping", {"type": None}),
    ],
)
def test_values_outside_their_range_are_refused(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(PeerError):
        wire.decode(fields(name, **changes))


@pytest.mark.parametrize("reason", ["x" * 501, "bytes of an argument \udcff", None])
def test_a_message_of_ours_that_a_peer_would_refuse_is_not_sent(reason: str) -> None:
    with pytest.raises(InputError, match="decline"):
        wire.encode(m.Decline(ceremony=CEREMONY, reason=reason))


def test_messages_are_values() -> None:
    ping = EXAMPLES["decline"]
    with pytest.raises(AttributeError):
        ping.reason = "other"  # type: ignore[union-attr]
    assert hash(EXAMPLES["outcome"]) == hash(msgspec.structs.replace(EXAMPLES["outcome"]))


def test_objects_follow_the_letters_that_announce_them() -> None:
    with_object = {name for name, message in EXAMPLES.items() if m.object_of(message) == REF}  # type: ignore[arg-type]
    assert with_object == {"proposal", "contribution", "outcome"}


def test_each_letter_has_one_sender() -> None:
    senders = {name: m.sender_of(EXAMPLES[name]) for name in EXAMPLES if isinstance(EXAMPLES[name], m.LETTERS)}  # type: ignore[arg-type]
    assert senders == {
        "proposal": "coordinator",
        "judged": "coordinator",
        "outcome": "coordinator",
        "progress": "cosigner",
        "contribution": "cosigner",
        "decline": "cosigner",
        "farewell": "cosigner",
    }
