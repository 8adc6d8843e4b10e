"""THREATS, section T, against whole commands: what `wormsig send` and `wormsig receive` make of a hostile channel."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread

from support.hostile import edit_tx
from support.stage import ALERT, HURRY, QUICK, Sending, Stage, act, error_line, events_named, finished
from support.wormholes import HELLO, both, stock_wormhole, stranger, until
from wormsig.ceremony import coordinator, messages
from wormsig.errors import ExitCode, WormsigError
from wormsig.psbt import codec
from wormsig.transport.connector import Connector
from wormsig.transport.library import APPID
from wormsig.transport.relay import start_relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.node.regtest import RegtestNode

NOBODY = "ws://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        yield running


def cosigners(*names: str) -> list[str]:
    return [part for name in names for part in ("--to", name)]


async def guess(stage: Stage, code: str) -> None:
    """A third party tries the number with other words, and is told that they were wrong."""
    entered = await stage.connector("cosigner").use_code(f"{code}-wrong")
    with pytest.raises(WormsigError, match="code was wrong"):
        await entered.paired()


async def signs(stage: Stage, send: Sending, *names: str, replaces: bool = False) -> None:
    """The genuine cosigners answer."""
    for name in names:
        peer = await stage.join(await send.code(name, replaces=replaces))
        judged = await peer.answer(stage.sign(await peer.proposal(), name))
        assert judged.accepted == 1
        peer.listen()


# T1: a wrong code.


@act
async def test_t1_a_burned_code_is_replaced_for_that_cosigner_alone(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"))
    first = await send.code("bob")
    await guess(stage, first)
    failed = await send.event("code-failed", cosigner="bob")
    assert failed["count"] == 1
    second = await send.code("bob", replaces=True)
    assert second != first
    late = stage.receive("bob", first, env={"WORMSIG_LIMITS": f"{HURRY},entry=1"})  # the genuine one, too late
    await finished(late, ExitCode.TRANSPORT)
    await signs(stage, send, "carol")
    genuine = stage.receive("bob", second)
    done = await send.ends(ExitCode.DONE)
    await finished(genuine, ExitCode.DONE)
    assert stage.in_mempool(done["txid"])
    assert sorted(event["cosigner"] for event in events_named(send.process, "code-ready")) == ["bob", "bob", "carol"]


@act
async def test_t1_a_cosigner_who_mistypes_is_told_and_so_is_the_coordinator(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"), "--timeout", "20s")
    wrong = stage.receive("bob", f"{await send.code('bob')}-acme")
    await finished(wrong, ExitCode.TRANSPORT)
    assert "the code was wrong" in error_line(wrong)
    assert any(
        line == "hint: a code works once; the coordinator's `wormsig send` shows a new one" for line in wrong.err
    )
    await send.code("bob", replaces=True)
    send.process.process.terminate()
    await send.ends(ExitCode.TERMINATED)
    assert nameplates(stage) == []  # given back before the command ends


@act
async def test_t1_a_number_that_bob_has_heard_is_neither_used_again_nor_kept(stage: Stage) -> None:
    """The relay has one short number left, and gives it again and again: bob's old code would burn the new one."""
    app = stage.relay.server.get_app(APPID)
    taken = [str(number) for number in range(1, 9)]
    for name in taken:
        app.claim_nameplate(name, "somebody", 0.0)
    try:
        send = stage.send(stage.psbt(), *cosigners("bob"))
        first = await send.code("bob")
        assert first.startswith("9-")
        await guess(stage, first)
        second = await send.code("bob", replaces=True)
        assert len(second.partition("-")[0]) == 2
        send.process.process.terminate()
        await send.ends(ExitCode.TERMINATED)
        assert sorted(nameplates(stage)) == taken
    finally:
        for name in taken:
            app.release_nameplate(name, "somebody", 0.0)


@act
async def test_t1_after_three_an_unattended_coordinator_stops_for_that_cosigner_and_no_other(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("mallory", "bob", "carol"))
    for number in range(3):
        codes = [event["code"] for event in events_named(send.process, "code-ready") if event["cosigner"] == "mallory"]
        await guess(stage, codes[-1] if codes else await send.code("mallory"))
        await send.event("code-failed", cosigner="mallory", count=number + 1)
        if number < 2:
            await deferToThread(wait_for_codes, send, number + 2)
    lost = await send.event("peer-lost", cosigner="mallory")
    assert "somebody may be guessing" in lost["why"]
    assert len([e for e in events_named(send.process, "code-ready") if e["cosigner"] == "mallory"]) == 3
    await signs(stage, send, "bob", "carol")
    assert (await send.ends(ExitCode.DONE))["broadcast"]


def wait_for_codes(send: Sending, count: int) -> None:
    """Until so many codes were made for mallory."""
    end = time.monotonic() + 20
    while len([e for e in events_named(send.process, "code-ready") if e["cosigner"] == "mallory"]) < count:
        assert time.monotonic() < end
        time.sleep(0.05)


@act
async def test_t1_a_fixed_code_that_burned_is_exit_6(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob"), "--code", "77-some-words")
    assert await send.code("bob") == "77-some-words"
    await guess(stage, "77-some-words")
    await send.refused(ExitCode.TRANSPORT, "the code was wrong")
    assert not any(event["event"] == "code-ready" and event["replaces"] for event in send.process.events())


@act
async def test_t1_codes_that_cannot_work_are_refused_before_anything(stage: Stage) -> None:
    path = stage.send(stage.psbt(), *cosigners("bob"), "--code", "no-code")
    await finished(path.process, ExitCode.TRANSPORT)
    assert "not a wormsig code" in error_line(path.process)
    twice = stage.send(path.psbt, *cosigners("bob", "carol"), "--code", "7-some-words", "--code", "007-other-words")
    await finished(twice.process, ExitCode.USAGE)
    assert not twice.process.out
    assert "share their number" in error_line(twice.process)


# T2: crowded.


@act
async def test_t2_who_takes_the_code_first_is_noticed_on_both_sides(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"), env={"WORMSIG_LIMITS": f"{HURRY},pairing=6"})
    code = await send.code("bob")
    squatter = await stranger(stage.relay.url)
    await squatter.claim(code)
    genuine = stage.receive("bob", code)
    await finished(genuine, ExitCode.TRANSPORT)
    assert "others are using this code already" in error_line(genuine)
    assert "nobody used the code in time" in (await send.event("peer-lost", cosigner="bob"))["why"]
    await signs(stage, send, "bob", "carol", replaces=True)
    assert (await send.ends(ExitCode.DONE))["broadcast"]
    squatter.say("release")
    squatter.sendClose()


# T5: a peer of another kind.


@act
async def test_t5_a_cosigner_of_another_kind_gets_no_psbt(stage: Stage) -> None:
    names = ["plain", "newer"]
    send = stage.send(stage.psbt(), *cosigners(*names))
    for name, versions in (("plain", {}), ("newer", {"wormsig": {**HELLO["wormsig"], "protocols": [2]}})):
        other = stock_wormhole(stage.relay.url, versions)
        other.set_code(await send.code(name))
        await other.get_versions()
        await send.event("answer-refused", cosigner=name)
        phases = {row["phase"] for row in stage.relay.server._db.execute("SELECT phase FROM messages")}
        assert phases <= {"pake", "version"}
        await both(other.close())
    await send.refused(ExitCode.PEER, "plain: the other side is not wormsig", "newer: no protocol in common")
    assert not any(isinstance(event, coordinator.Offered) for event in send.events())


@act
async def test_t5_a_coordinator_of_another_kind_is_refused(stage: Stage) -> None:
    other = stock_wormhole(stage.relay.url, {})
    other.allocate_code(2)
    receive = stage.receive("bob", await other.get_code())
    await finished(receive, ExitCode.PEER)
    assert "not wormsig" in error_line(receive)
    await both(other.close())


@act
async def test_t5_garbage_in_the_middle_is_named_and_ends_that_talk_only(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("junk", "role", "bob", "carol"))
    junk = await send.join("junk")
    await junk.proposal()
    junk.channel._link.wormhole.send_message(b'{"type":"ping","type":"bye"}')
    role = await send.join("role")
    psbt = await role.proposal()
    with pytest.raises(WormsigError, match="not part of the protocol"):
        await role.propose(psbt)
    await signs(stage, send, "bob", "carol")
    await send.ends(ExitCode.DONE)
    assert {event["cosigner"] for event in events_named(send.process, "answer-refused")} == {"junk", "role"}


# Relays that are not there.


@act
async def test_t3_a_relay_that_cannot_be_reached_is_exit_6_within_the_limit(stage: Stage) -> None:
    nowhere = {"WORMHOLE_RELAY_URL": NOBODY, "WORMSIG_LIMITS": "connect=3"}
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"), env=nowhere)
    receive = stage.receive("bob", "7-some-words", env=nowhere)
    started = time.monotonic()
    await send.refused(ExitCode.TRANSPORT, "cannot be reached")
    await finished(receive, ExitCode.TRANSPORT)
    assert "cannot be reached" in error_line(receive)
    assert time.monotonic() - started < 18  # without the limit it would be 20


@act
async def test_t3_a_relay_that_vanishes_in_the_middle_ends_both_sides_in_time(stage: Stage) -> None:
    relay = await start_relay(reactor)
    doomed = {"WORMHOLE_RELAY_URL": relay.url, "WORMSIG_LIMITS": ALERT}
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"), "--timeout", "9s", env=doomed)
    receive = stage.receive("bob", await send.code("bob"), env=doomed)
    await deferToThread(receive.wait_for, "answer-judged")
    await relay.stop()
    await finished(receive, ExitCode.TRANSPORT)
    assert "relay" in error_line(receive)
    assert "lost, trying again" in (await send.event("connection-notice", cosigner="carol"))["notice"]
    await send.ends(ExitCode.THRESHOLD)
    assert len([event for event in send.events() if isinstance(event, coordinator.Contributed)]) == 1


# Peers that are gone, in every phase; and signals.


@act
async def test_a_cosigner_gone_in_any_phase_gets_a_new_code_and_may_come_back(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"), env={"WORMSIG_LIMITS": ALERT})
    early = await send.join("bob")
    await early.channel.close("flat battery")
    assert "flat battery" in (await send.event("peer-lost", cosigner="bob"))["why"]
    reviewing = await send.join("carol")
    await reviewing.proposal()
    reviewing.channel.progress(reviewing.ceremony, "reviewing")
    reviewing.channel._beat.cancel()  # falls silent
    assert "no sign" in (await send.event("peer-lost", cosigner="carol"))["why"]
    await signs(stage, send, "bob", "carol", replaces=True)
    assert (await send.ends(ExitCode.DONE))["broadcast"]


@act
async def test_a_cosigner_gone_after_signing_is_not_waited_for(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"))
    bob = await send.join("bob")
    await bob.answer(stage.sign(await bob.proposal(), "bob"))
    await bob.channel.close()
    await signs(stage, send, "carol")
    assert (await send.ends(ExitCode.DONE))["broadcast"]


@pytest.mark.parametrize(("number", "code"), [("INT", ExitCode.INTERRUPTED), ("TERM", ExitCode.TERMINATED)])
@act
async def test_a_signal_ends_the_coordinator_in_seconds_and_cosigners_are_told(
    stage: Stage, number: str, code: ExitCode
) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "deaf", "late"))
    bob = await send.join("bob")
    await bob.answer(stage.sign(await bob.proposal(), "bob"))
    await send.join("deaf")  # never acknowledges anything
    started = time.monotonic()
    send.process.process.send_signal(getattr(signal, f"SIG{number}"))
    with pytest.raises(WormsigError, match="stopped for now; it can go on later"):  # no outcome: nothing is over
        await bob.channel.receive()
    last = await send.ends(code)
    assert time.monotonic() - started < 6
    assert last["event"] == "failed"
    kept = [event for event in send.events() if isinstance(event, coordinator.Contributed)]
    assert len(kept) == 1


@act
async def test_declining_reaches_the_coordinator_and_ends_as_threshold_not_reached(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol"))
    receivers = [
        stage.receive(name, await send.code(name), "--reject", f"{name} says\tno") for name in ("bob", "carol")
    ]
    await send.refused(ExitCode.THRESHOLD, "0 of 2 signatures", "bob declined", "bob says", "carol says")
    for receive in receivers:
        await finished(receive, ExitCode.REFUSED)
    assert {event["reason"] for event in events_named(send.process, "peer-declined")} == {
        "bob says\tno",
        "carol says\tno",
    }


@act
async def test_who_misbehaves_and_then_declines_or_declines_twice_breaks_nothing(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("moody", "bob", "carol"))
    moody = await send.join("moody")
    await moody.proposal()
    await moody.channel.deliver(messages.Decline(moody.ceremony, "no"))
    await moody.answer(edit_tx(psbt, locktime=9))
    await moody.channel.deliver(messages.Decline(moody.ceremony, "no, really"))
    await signs(stage, send, "bob", "carol")
    assert (await send.ends(ExitCode.DONE))["broadcast"]


@act
async def test_wait_all_ends_well_when_those_beyond_the_threshold_cannot_come(stage: Stage) -> None:
    send = stage.send(stage.psbt(), *cosigners("bob", "carol", "dave"), "--wait-all", "--timeout", "4s")
    await signs(stage, send, "bob", "carol")
    done = await send.ends(ExitCode.DONE)
    assert stage.in_mempool(done["txid"])


@act
async def test_the_verifier_is_asked_for_by_one_side_and_nobody_is_there(stage: Stage) -> None:
    refused = stage.send(stage.psbt(), *cosigners("bob"), "--verify")
    await finished(refused.process, ExitCode.USAGE)
    assert not refused.process.out
    send = stage.send(refused.psbt, *cosigners("wary", "bob", "carol"))
    wary = Connector(reactor, stage.relay.url, role="cosigner", verify=True, limits=QUICK)
    channel = await (await wary.use_code(await send.code("wary"))).paired()
    with pytest.raises(WormsigError, match="nobody is at the coordinator's side"):
        await ensureDeferred(channel.compare(True))
    await channel.close()
    await signs(stage, send, "bob", "carol")
    assert (await send.ends(ExitCode.DONE))["broadcast"]


@act
async def test_questions_without_a_terminal_are_exit_2_before_anything_is_sent(stage: Stage) -> None:
    path = stage.folder / "unsent.psbt"
    path.write_bytes(codec.serialize(stage.psbt()))
    bob, claimed = stage["bob"], nameplates(stage)
    silent = [
        stage.start("alice", "send", path, "--to", "bob"),
        stage.start("bob", "receive", "7-some-words", "--signer", bob.signer),
        stage.start("bob", "receive", "-y", "--signer", bob.signer),
        stage.start("bob", "receive", "7-some-words", "-y", "--verify", "--signer", bob.signer),
        stage.start("bob", "receive", "7-some-words", "-y"),
    ]
    for process in silent:
        await finished(process, ExitCode.USAGE)
        assert process.out == []
    assert nameplates(stage) == claimed


@act
async def test_the_relay_is_left_clean(stage: Stage) -> None:
    """Nobody's nameplate stays claimed after a command ended, however it did."""
    for process in stage.processes:
        await deferToThread(process.wait)
    for channel in stage.channels:
        await channel.close()
    await until(lambda: nameplates(stage) == [])


def nameplates(stage: Stage) -> list[str]:
    return [row["name"] for row in stage.relay.server._db.execute("SELECT name FROM nameplates").fetchall()]
