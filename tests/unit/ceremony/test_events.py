from __future__ import annotations

import re
from typing import Any, get_args

import msgspec
import pytest

from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.events import Event, HeldPreimage, HeldSignature, decode_event, encode_event, step
from wormsig.errors import StorageError

HELD = HeldSignature(1, b"\x02" * 33, b"\x30\x01")

EARLIER_COORDINATOR: dict[str, coordinator.CoordinatorEvent] = {
    '{"type":"proposed","ceremony":"7f3a","network":"regtest","wallet":"ab","wallet_name":"family","psbt":"cHNidP8=",'
    '"threshold":2,"cosigners":["bob","carol"],"allowed_sighash":[1,131],"wait_all":true,"at":1795000000,"total":3,'
    '"broadcast":false}': coordinator.Proposed(
        "7f3a", "regtest", "ab", "family", b"psbt\xff", 2, ("bob", "carol"), (1, 131), True, 1_795_000_000, 3, False
    ),
    '{"type":"connected","cosigner":"bob"}': coordinator.Connected("bob"),
    '{"type":"offered","cosigner":"bob"}': coordinator.Offered("bob"),
    '{"type":"code-burned","cosigner":"bob","why":"crowded"}': coordinator.CodeBurned("bob", "crowded"),
    '{"type":"lost","cosigner":"bob","why":"left"}': coordinator.Lost("bob", "left"),
    '{"type":"contributed","cosigner":null,"signatures":[[1,"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC","MAE="]],'
    '"rejected":1,"problems":["p"],"ignored":["i"],"returned_sha256":"cd","preimages":[[0,"Cw==","AA=="]]}': (
        coordinator.Contributed(None, (HELD,), 1, ("p",), ("i",), "cd", (HeldPreimage(0, b"\x0b", b"\x00"),))
    ),
    '{"type":"nothing-new","cosigner":"bob","rejected":0,"problems":[],"ignored":[],"returned_sha256":""}': (
        coordinator.NothingNew("bob")
    ),
    '{"type":"misbehaved","cosigner":"bob","problem":"garbage"}': coordinator.Misbehaved("bob", "garbage"),
    '{"type":"declined","cosigner":"bob","reason":"no"}': coordinator.Declined("bob", "no"),
    '{"type":"wait-ended","why":"time is up"}': coordinator.WaitEnded("time is up"),
    '{"type":"finalized","transaction":"AQ==","txid":"ef"}': coordinator.Finalized(b"\x01", "ef"),
    '{"type":"broadcast-agreed"}': coordinator.BroadcastAgreed(),
    '{"type":"broadcast-declined","reason":"later"}': coordinator.BroadcastDeclined("later"),
    '{"type":"node-refused","reason":"fee"}': coordinator.NodeRefused("fee"),
    '{"type":"broadcast-done","txid":"ef"}': coordinator.BroadcastDone("ef"),
    '{"type":"outcome-told","cosigner":"bob","result":"final"}': coordinator.OutcomeTold("bob", "final"),
    '{"type":"cancelled","reason":"never mind"}': coordinator.Cancelled("never mind"),
}

OLDER = (
    '{"type":"contributed","cosigner":null,"signatures":[[1,"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC","MAE="]],'
    '"rejected":1,"problems":["p"],"ignored":["i"],"returned_sha256":"cd"}'
)
"""As it was written before preimages were taken."""

EARLIER_COSIGNER: dict[str, cosigner.CosignerEvent] = {
    '{"type":"received","ceremony":"7f3a","network":"regtest","wallet":null,"wallet_name":null,"psbt":"cHNidP8=",'
    '"psbt_sha256":"ab","threshold":2,"at":7}': cosigner.Received(
        "7f3a", "regtest", None, None, b"psbt\xff", "ab", 2, 7
    ),
    '{"type":"reviewed","psbt_sha256":"ab","errors":["C1"],"warnings":[],"at":8}': cosigner.Reviewed(
        "ab", ("C1",), (), 8
    ),
    '{"type":"approved","psbt_sha256":"ab","by":"policy"}': cosigner.Approved("ab", "policy"),
    '{"type":"declined","reason":"no","by":"person"}': cosigner.Declined("no", "person"),
    '{"type":"signed","psbt":"cHNidP8="}': cosigner.Signed(b"psbt\xff"),
    '{"type":"answered"}': cosigner.Answered(),
    '{"type":"decline-told"}': cosigner.DeclineTold(),
    '{"type":"judged","accepted":1,"rejected":2,"problems":["p"]}': cosigner.Judged(1, 2, ("p",)),
    '{"type":"outcome-received","result":"broadcast","txid":"ef","transaction":"AQ==","reason":"","lie":false,'
    '"claimed_txid":"ef"}': cosigner.OutcomeReceived("broadcast", "ef", b"\x01", "", False, "ef"),
}

EARLIER: list[tuple[Any, dict[str, Any]]] = [
    (coordinator.CoordinatorEvent, EARLIER_COORDINATOR),
    (cosigner.CosignerEvent, EARLIER_COSIGNER),
]
"""As events were written before letters, links and chains were kept."""

COORDINATOR: dict[str, coordinator.CoordinatorEvent] = {
    '{"type":"proposed","ceremony":"7f3a","network":"regtest","wallet":"ab","wallet_name":"family","psbt":"cHNidP8=",'
    '"threshold":2,"cosigners":["bob","carol"],"allowed_sighash":[1,131],"wait_all":true,"at":1795000000,"total":3,'
    '"broadcast":false,"chain":true,"tell_reasons":true,"sats":1000,"warnings":["C12"],'
    '"by":"person"}': coordinator.Proposed(
        "7f3a", "regtest", "ab", "family", b"psbt\xff", 2, ("bob", "carol"), (1, 131), True, 1_795_000_000, 3, False,
        True, True, 1000, ("C12",), "person",
    ),
    '{"type":"turn-came","cosigner":"bob"}': coordinator.TurnCame("bob"),
    '{"type":"connected","cosigner":"bob","verifier":"topmost","link":"ab"}': coordinator.Connected(
        "bob", "topmost", "ab"
    ),
    '{"type":"offered","cosigner":"bob","letter":"ab"}': coordinator.Offered("bob", "ab"),
    '{"type":"contributed","cosigner":null,"signatures":[[1,"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC","MAE="]],'
    '"rejected":1,"problems":["p"],"ignored":["i"],"returned_sha256":"cd","preimages":[[0,"Cw==","AA=="]],'
    '"letter":"ab"}': coordinator.Contributed(
        None, (HELD,), 1, ("p",), ("i",), "cd", (HeldPreimage(0, b"\x0b", b"\x00"),), "ab"
    ),
    '{"type":"nothing-new","cosigner":"bob","rejected":0,"problems":[],"ignored":[],"returned_sha256":"",'
    '"letter":"ab"}': coordinator.NothingNew("bob", letter="ab"),
    '{"type":"misbehaved","cosigner":"bob","problem":"garbage","letter":"ab"}': coordinator.Misbehaved(
        "bob", "garbage", "ab"
    ),
    '{"type":"declined","cosigner":"bob","reason":"no","letter":"ab"}': coordinator.Declined("bob", "no", "ab"),
    '{"type":"judged-told","cosigner":"bob","letter":"ab"}': coordinator.JudgedTold("bob", "ab"),
    '{"type":"outcome-told","cosigner":"bob","result":"final","letter":"ab"}': coordinator.OutcomeTold(
        "bob", "final", "ab"
    ),
    '{"type":"farewell-received","cosigner":"bob","seen":"block","head":"ef","letter":"ab"}': (
        coordinator.FarewellReceived("bob", "block", "ef", "ab")
    ),
    **{
        text: event
        for text, event in EARLIER_COORDINATOR.items()
        if isinstance(
            event,
            coordinator.CodeBurned | coordinator.Lost | coordinator.WaitEnded | coordinator.Finalized
            | coordinator.BroadcastAgreed | coordinator.BroadcastDeclined | coordinator.NodeRefused
            | coordinator.BroadcastDone | coordinator.Cancelled,
        )
    },
}  # fmt: skip

COSIGNER: dict[str, cosigner.CosignerEvent] = {
    '{"type":"received","ceremony":"7f3a","network":"regtest","wallet":null,"wallet_name":null,"psbt":"cHNidP8=",'
    '"psbt_sha256":"ab","threshold":2,"at":7,"letter":"ab"}': cosigner.Received(
        "7f3a", "regtest", None, None, b"psbt\xff", "ab", 2, 7, "ab"
    ),
    '{"type":"linked","verifier":"topmost","link":"ab"}': cosigner.Linked("topmost", "ab"),
    '{"type":"reviewed","psbt_sha256":"ab","errors":["C1"],"warnings":[],"at":8,"wallet_name":"family","sats":9}': (
        cosigner.Reviewed("ab", ("C1",), (), 8, "family", 9)
    ),
    '{"type":"answered","letter":"ab"}': cosigner.Answered("ab"),
    '{"type":"decline-told","letter":"ab"}': cosigner.DeclineTold("ab"),
    '{"type":"judged","accepted":1,"rejected":2,"problems":["p"],"letter":"ab"}': cosigner.Judged(1, 2, ("p",), "ab"),
    '{"type":"outcome-received","result":"broadcast","txid":"ef","transaction":"AQ==","reason":"","lie":false,'
    '"claimed_txid":"ef","head":"cd","letter":"ab"}': cosigner.OutcomeReceived(
        "broadcast", "ef", b"\x01", "", False, "ef", "cd", "ab"
    ),
    '{"type":"farewell-told","seen":"mempool","letter":"ab"}': cosigner.FarewellTold("mempool", "ab"),
    **{
        text: event
        for text, event in EARLIER_COSIGNER.items()
        if isinstance(event, cosigner.Approved | cosigner.Declined | cosigner.Signed)
    },
}

ROLES: list[tuple[Any, dict[str, Any]]] = [
    (coordinator.CoordinatorEvent, COORDINATOR),
    (cosigner.CosignerEvent, COSIGNER),
]
EVERY = [(union, text, event) for union, examples in ROLES for text, event in examples.items()]


@pytest.mark.parametrize(("union", "text", "event"), EVERY, ids=lambda value: type(value).__name__)
def test_events_are_kept_in_the_form_that_every_later_version_reads(union: Any, text: str, event: Event) -> None:
    kind, body = encode_event(event)
    assert body.decode() == text
    assert text.startswith(f'{{"type":"{kind}"')
    assert decode_event(text.encode(), union) == event


@pytest.mark.parametrize(("union", "examples"), EARLIER, ids=["coordinator", "cosigner"])
def test_an_earlier_journal_reads_as_it_was_meant(union: Any, examples: dict[str, Any]) -> None:
    assert {text: decode_event(text.encode(), union) for text in examples} == examples


def test_a_journal_from_before_preimages_reads_as_it_was_meant() -> None:
    assert coordinator.decode(OLDER.encode()) == coordinator.Contributed(None, (HELD,), 1, ("p",), ("i",), "cd")


@pytest.mark.parametrize(("union", "examples"), ROLES, ids=["coordinator", "cosigner"])
def test_there_is_an_example_of_every_event(union: Any, examples: dict[str, Any]) -> None:
    assert sorted(map(repr, get_args(union))) == sorted(repr(type(event)) for event in examples.values())


def test_no_event_has_a_place_for_a_secret() -> None:
    names = {name for _, _, event in EVERY for name in event.__struct_fields__}
    assert not {name for name in names if re.search(r"code|secret|pass|priv|seed|word|key|xprv", name)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b'{"type":"unheard-of"}',
        b'{"type":"connected"}',
        b'{"type":"connected","cosigner":7}',
        b'{"type":"connected","cosigner":"bob","added":1}',
        b'{"type":"connected","cosigner":"bob"} trailing',
        b'{"type":"connected","cosigner":"\\ud800"}',
        b'{"type":"finalized","transaction":"not base64!","txid":"ef"}',
        b'{"type":"contributed","cosigner":"bob","signatures":[[1,"AgI="]]}',
        b'{"type":"contributed","cosigner":"bob","signatures":[[1,"AgI=","AQ==",4]]}',
        b'{"type":"outcome-told","cosigner":"bob","result":"won"}',
        b'{"type":"received"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_a_damaged_journal(body: bytes) -> None:
    with pytest.raises(StorageError, match="cannot read") as failure:
        coordinator.decode(body)
    assert failure.value.hint is not None


def test_the_roles_do_not_read_each_others_events() -> None:
    with pytest.raises(StorageError):
        cosigner.decode(encode_event(coordinator.Connected("bob"))[1])
    with pytest.raises(StorageError):
        coordinator.decode(encode_event(cosigner.Answered())[1])


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (coordinator.NodeRefused("fee \ud800 too low"), "fee ? too low"),
        (cosigner.Declined("na\udcffme", "person"), "na?me"),
        (coordinator.Declined("bob", "schön \x1b[2J 🙂"), "schön \x1b[2J 🙂"),
    ],
)
def test_a_text_that_no_file_can_hold_is_made_so_before_anybody_sees_it(event: Any, kept: str) -> None:
    assert event.reason == kept
    assert msgspec.json.decode(encode_event(event)[1], type=type(event)) == event


def test_texts_in_lists_are_made_so_too() -> None:
    event = cosigner.Judged(0, 1, ("fine", "\ud800"))
    assert event.problems == ("fine", "?")
    assert cosigner.decode(encode_event(event)[1]) == event


def test_a_step_that_is_not_in_the_table() -> None:
    table: dict[tuple[str, type[Event]], str] = {("open", coordinator.Cancelled): "shut"}
    assert step(table, "open", coordinator.Cancelled("x"), "door") == "shut"
    with pytest.raises(StorageError, match="the journal has Cancelled, but the door was shut"):
        step(table, "shut", coordinator.Cancelled("x"), "door")
