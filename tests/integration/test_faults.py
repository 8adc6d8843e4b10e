"""Peers that send anything: whole drivers of both roles against somebody who has the code and mangles a message.

The hostile side speaks the protocol honestly but for one message, which is changed in its fields, in its bytes, in its
place, or in the PSBT that it carries. Whatever it is: the driver ends in time, with an error of ours or none, the
journal is whole, and nothing but the agreed transaction was signed or finalized.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.defer import TimeoutError as TwistedTimeoutError
from twisted.internet.threads import blockingCallFromThread, deferToThread

from support.drivers import Crowd
from support.hostile import scene_of
from support.wormholes import HELLO, next_letter, sleep, stock_wormhole
from wormsig.ceremony import coordinator, cosigner, messages, status, wire
from wormsig.errors import WormsigError
from wormsig.psbt import codec
from wormsig.transport.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HURRIED = Limits(
    connect=10,
    entry=10,
    handshake=10,
    heartbeat=0.5,
    quiet=1,
    silence=2,
    acknowledge=1,
    farewell=1,
    close=1,
    takeover=0.2,
    comeback=0.5,
)
ENDS = 30.0
"""Seconds within which a driver has ended, whatever it was sent; most of it for a machine that is busy."""

CHIEF = {"wormsig": {**HELLO["wormsig"], "role": "coordinator"}}

# How one message of the honest ones is mangled.
NASTY: list[Any] = [
    None, True, -1, 0, 2**64, 1.5, "", "x", "\x00", "\ud83d\ude00" * 3000, "\u202e", "ab" * 32, "5e" * 16, [], {},
    [[]] * 50, {"type": "bye"}, "../../etc/passwd", "[bold]",
]  # fmt: skip
FIELDS = [
    "type", "ceremony", "psbt", "sha256", "size", "seq", "data", "of", "reason", "result", "txid", "transaction",
    "network", "threshold", "total", "wallet", "form", "state", "accepted", "problems", "head", "extra",
]  # fmt: skip
JUNK = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"type":"ping"}' * 2, b"[" * 5000, b'{"type":"bye"}', b"0" * 70_000]

MANGLED = st.one_of(
    st.tuples(st.just("field"), st.integers(0, 9), st.sampled_from(FIELDS), st.sampled_from(NASTY)),
    st.tuples(st.just("without"), st.integers(0, 9), st.sampled_from(FIELDS)),
    st.tuples(st.just("flip"), st.integers(0, 9), st.integers(0, 3000), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 9), st.integers(0, 3000)),
    st.tuples(st.just("junk"), st.integers(0, 9), st.sampled_from(JUNK)),
    st.tuples(st.just("twice"), st.integers(0, 9)),
    st.tuples(st.just("drop"), st.integers(0, 9)),
    st.tuples(st.just("swap"), st.integers(0, 9)),
    st.tuples(st.just("object"), st.integers(0, 3000), st.integers(1, 255)),
    st.tuples(st.just("short object"), st.integers(0, 3000)),
)


def object_of(raw: bytes, case: tuple[Any, ...]) -> bytes:
    """The PSBT that is sent."""
    if case[0] == "object":
        at = case[1] % len(raw)
        return raw[:at] + bytes([raw[at] ^ case[2]]) + raw[at + 1 :]
    return raw[: 1 + case[1] % len(raw)] if case[0] == "short object" else raw


def mangled(honest: list[bytes], case: tuple[Any, ...]) -> list[bytes]:
    """The messages, one of them changed."""
    kind, sent = case[0], list(honest)
    if kind in ("object", "short object"):
        return sent
    at = case[1] % len(sent)
    if kind == "twice":
        sent.insert(at, sent[at])
    elif kind == "drop":
        del sent[at]
    elif kind == "swap":
        sent[at], sent[at - 1] = sent[at - 1], sent[at]
    else:
        sent[at] = changed(sent[at], case)
    return sent


def changed(message: bytes, case: tuple[Any, ...]) -> bytes:
    if case[0] == "junk":
        return bytes(case[2])
    if case[0] == "cut":
        return message[: case[2] % len(message)]
    if case[0] == "flip":
        at = case[2] % len(message)
        return message[:at] + bytes([message[at] ^ case[3]]) + message[at + 1 :]
    fields = json.loads(message)
    if case[0] == "field":
        fields[case[2]] = case[3]
    else:
        fields.pop(case[2], None)
    return json.dumps(fields).encode()


def letters(letter: Any, obj: bytes) -> list[bytes]:
    return [wire.encode(letter), *(wire.encode(chunk) for chunk in wire.chunks(obj))]


async def ended(running: Any) -> Any:
    """The driver's result or its error, which is one of ours."""
    running.addTimeout(ENDS, reactor)
    try:
        return await running
    except TwistedTimeoutError:
        raise AssertionError("it hangs") from None
    except WormsigError as error:
        return error


async def say_all(hostile: Any, sent: list[bytes]) -> None:
    """Send everything, give the other side time to think, and leave without a word."""
    for message in sent:
        hostile.send_message(message)
    await sleep(0.15)
    with suppress(Exception):
        await hostile.close().addTimeout(2, reactor)


def ignore(hostile: Any) -> Any:
    """Nobody waits for what the library has to say about the end of this wormhole."""
    for each in (hostile.get_verifier(), hostile.get_versions()):
        each.addErrback(lambda _: None)
    return hostile


async def hostile_cosigner(crowd: Crowd, case: tuple[Any, ...]) -> None:
    psbt, ready = crowd.psbt(), Deferred()

    def heard(told: Any) -> None:
        if isinstance(told, status.CodeReady) and not ready.called:
            ready.callback(told.code)

    opening = crowd.opening(psbt, ("bob",), signed=crowd.scene.sign(psbt, "alice"))
    driver = ensureDeferred(crowd.coordinate(opening, heard, seconds=1.5))
    hostile = ignore(stock_wormhole(crowd.url, HELLO))
    hostile.set_code(await ready)
    proposal = None
    with suppress(Exception):  # the coordinator may have run out of time on a busy machine
        proposal = await next_letter(hostile)
    if proposal is not None:
        raw = object_of(codec.serialize(crowd.scene.sign(psbt, "bob")), case)
        contribution = messages.Contribution(proposal.ceremony, wire.reference(raw), "psbt")
        honest = [
            wire.encode(messages.Ack(of=wire.digest(proposal))),
            wire.encode(messages.Progress(proposal.ceremony, "reviewing")),
            *letters(contribution, raw),
            wire.encode(messages.Farewell(proposal.ceremony, "no-node", "ab" * 32)),
            wire.encode(messages.Bye(reason="")),
        ]
        await say_all(hostile, mangled(honest, case))
    result = await ended(driver)
    if not isinstance(result, WormsigError):
        assert result.transaction.txid == psbt.txid
    with crowd.journal("coordinator") as journal:
        state = coordinator.replay(coordinator.decode(each.body) for each in journal.events(opening.ceremony))
    assert state.transaction is None or state.transaction.txid == psbt.txid


async def hostile_coordinator(crowd: Crowd, case: tuple[Any, ...]) -> None:
    psbt = crowd.psbt()
    ceremony = f"{crowd.number:032x}"
    hostile = ignore(stock_wormhole(crowd.url, CHIEF))
    hostile.allocate_code(2)
    driver = ensureDeferred(crowd.cosign("bob", await hostile.get_code()))
    raw = object_of(codec.serialize(psbt), case)
    honest = [
        *letters(messages.Proposal(ceremony, "regtest", None, 2, 2, wire.reference(raw), psbt.txid, None), raw),
        wire.encode(messages.Judged(ceremony, 1, 0, ())),
        wire.encode(messages.Outcome(ceremony, "failed", None, None, "", "ab" * 32)),
        wire.encode(messages.Bye(reason="")),
    ]
    sent = mangled(honest, case)
    with suppress(Exception):
        await hostile.get_versions()
        await say_all(hostile, sent)
    await ended(driver)
    with crowd.journal("bob") as journal:
        events = [cosigner.decode(each.body) for each in journal.events(f"{ceremony}-c")]
    if any(isinstance(each, cosigner.Signed) for each in events):
        assert not next(each for each in events if isinstance(each, cosigner.Reviewed)).errors


async def fuzz(scene: Callable[[Crowd, Any], Any], crowd: Crowd, examples: int, *, fixed: bool) -> None:
    """Run many cases; hypothesis is not asynchronous, so it has a thread of its own."""

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=fixed, suppress_health_check=list(HealthCheck)
    )
    @given(MANGLED)
    def every(case: tuple[Any, ...]) -> None:
        blockingCallFromThread(reactor, lambda: ensureDeferred(scene(crowd, case)))

    results = await DeferredList([deferToThread(every)], consumeErrors=True)
    worked, failure = results[0]
    if not worked:
        failure.raiseException()


def crowd_of(relay: Any, folder: Path) -> Crowd:
    return Crowd(scene_of("wsh", threshold=2, count=2, salt="fuzz"), folder, relay.url, HURRIED)


@pytest_twisted.ensureDeferred
async def test_honest_messages_end_well_on_this_stage(relay, tmp_path: Path) -> None:
    """Else the cases below would fail at the first step, whatever they change."""
    crowd = crowd_of(relay, tmp_path)
    await hostile_cosigner(crowd, ("object", 0, 0))
    with crowd.journal("coordinator") as journal:
        (row,) = journal.ceremonies()
        state = coordinator.replay(coordinator.decode(each.body) for each in journal.events(row.id))
    assert state.transaction is not None
    await hostile_coordinator(crowd, ("object", 0, 0))
    with crowd.journal("bob") as journal:
        (row,) = journal.ceremonies()
        events = [cosigner.decode(each.body) for each in journal.events(row.id)]
    assert any(isinstance(each, cosigner.Reviewed) for each in events)


@pytest.mark.parametrize("scene", [hostile_cosigner, hostile_coordinator])
@pytest_twisted.ensureDeferred
async def test_a_mangled_message_ends_in_an_error_of_ours_or_none(relay, tmp_path: Path, scene: Any) -> None:
    await fuzz(scene, crowd_of(relay, tmp_path), 25, fixed=True)


@pytest.mark.long
@pytest.mark.parametrize("scene", [hostile_cosigner, hostile_coordinator])
@pytest_twisted.ensureDeferred
async def test_five_hundred_mangled_messages(relay, tmp_path: Path, scene: Any) -> None:
    await fuzz(scene, crowd_of(relay, tmp_path), 500, fixed=False)
