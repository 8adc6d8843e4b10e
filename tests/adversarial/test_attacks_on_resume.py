"""THREATS, rows T, R and M, where a ceremony goes on: what is kept of a no, of the truth, and of old requests."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from support.stage import Mallory, Stage, act, cosigner_events, error_line, finished
from support.wormholes import sleep
from wormsig.ceremony import cosigner, messages, wire
from wormsig.ceremony.transcript import Transcript
from wormsig.errors import ExitCode, WormsigError
from wormsig.journal.locks import Locks
from wormsig.journal.secrets import ResumeSecrets
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.verify import verify
from wormsig.transport.rendezvous import Rendezvous

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.stage import Person
    from support.world import Process
    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt
    from wormsig.transport.channel import Received

CEREMONY = "7f3a1942c0ffee007f3a1942c0ffee00"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        yield running


def fresh() -> str:
    return f"{next(_numbers):016x}{os.urandom(8).hex()}"


async def unacknowledged(mallory: Mallory, kind: Any) -> Received:
    """The next letter that is no progress, kept for oneself."""
    while True:
        received = await mallory.channel.receive()
        if not isinstance(received.letter, messages.Progress):
            assert isinstance(received.letter, kind), received.letter
            return received


async def signed_and_gone(stage: Stage, psbt: Psbt) -> str:
    """A ceremony that bob signed, and whose coordinator left before it acknowledged the signature."""
    mallory, receive = await stage.offer("bob")
    await mallory.propose(psbt, ceremony=fresh())
    await unacknowledged(mallory, messages.Contribution)
    await mallory.channel.close("oops")
    await finished(receive, ExitCode.TRANSPORT)
    return mallory.ceremony


def state_of(person: Person, ceremony: str) -> cosigner.CosignerState:
    return cosigner.replay(cosigner_events(person, ceremony))


class Secrets:
    """What a coordinator who goes its own way keeps of a pair."""

    def __init__(self, folder: Path, ceremony: str) -> None:
        self.kept = ResumeSecrets(folder, ceremony, "to bob")

    async def meet(self, stage: Stage, ceremony: str) -> Mallory:
        rendezvous = Rendezvous(stage.connector("coordinator"), self.kept)
        channel = await rendezvous.meet()
        stage.channels.append(channel)
        await rendezvous.left()
        self.kept.keep(channel.derive_key("resume"))
        return Mallory(channel, ceremony)


# A no stays a no.


@act
async def test_what_was_withdrawn_is_not_sent_to_a_new_code_whatever_the_coordinator_says(stage: Stage) -> None:
    psbt = stage.psbt()
    ceremony = await signed_and_gone(stage, psbt)
    await finished(stage.start("bob", "cancel", ceremony, "--timeout", "1s"), ExitCode.DONE)
    for pretends in (False, True):
        mallory, receive = await stage.offer("bob")
        await mallory.propose(psbt, ceremony=ceremony)
        if pretends:  # as if the signature had arrived
            ensureDeferred(mallory.channel.deliver(messages.Judged(ceremony, 1, 0, ()))).addErrback(lambda _: None)
        assert await mallory.decline() == "cancelled"
        await finished(receive, ExitCode.REFUSED)
        assert "withdrawn" in error_line(receive)


@act
async def test_who_rejects_what_was_signed_before_sends_no_signature(stage: Stage) -> None:
    psbt = stage.psbt()
    ceremony = await signed_and_gone(stage, psbt)
    pending = await stage.connector("coordinator").allocate()
    receive = stage.start("bob", "receive", pending.code, "--json", "--reject", "not that one")
    mallory = Mallory(await pending.paired())
    stage.channels.append(mallory.channel)
    await mallory.propose(psbt, ceremony=ceremony)
    assert await mallory.decline() == "not that one"
    await finished(receive, ExitCode.REFUSED)
    assert state_of(stage["bob"], ceremony).withdrawn


@act
async def test_who_rejects_what_has_arrived_says_so_and_both_transcripts_have_it(stage: Stage) -> None:
    psbt, ceremony = stage.psbt(), fresh()
    mallory, receive = await stage.offer("bob")
    await mallory.propose(psbt, ceremony=ceremony)
    await mallory.contribution()
    await mallory.channel.close("oops")
    await finished(receive, ExitCode.TRANSPORT)
    pending = await stage.connector("coordinator").allocate()
    receive = stage.start("bob", "receive", pending.code, "--json", "--reject", "too late")
    mallory = Mallory(await pending.paired())
    stage.channels.append(mallory.channel)
    await mallory.propose(psbt, ceremony=ceremony)
    assert await mallory.decline() == "too late"
    await finished(receive, ExitCode.REFUSED)
    declined = wire.digest(messages.Decline(ceremony, "too late"))
    assert state_of(stage["bob"], ceremony).transcript.sent_by("cosigner")[-1] == declined


# The truth, once proven, stays; a failure is told as one.


@act
async def test_r12_a_proven_broadcast_is_not_taken_back_on_a_later_connection(stage: Stage) -> None:
    psbt, ceremony = stage.psbt(), fresh()
    final = extract(finalize(verify(stage.sign(psbt, "bob", "carol"))))
    mallory, receive = await stage.offer("bob")
    await mallory.propose(psbt, ceremony=ceremony)
    await mallory.contribution()
    await mallory.tell("broadcast", final.serialize(), final.txid)
    await mallory.receive(messages.Farewell)
    await finished(receive, ExitCode.DONE)
    for result in ("failed", "cancelled", "not-needed"):
        mallory, receive = await stage.offer("bob")
        ensureDeferred(mallory.propose(psbt, ceremony=ceremony)).addErrback(lambda _: None)
        with pytest.raises(WormsigError):
            await mallory.tell(result, None, None, ceremony=ceremony)  # never acknowledged
        await ended_well(receive)
        state = state_of(stage["bob"], ceremony)
        assert state.outcome is not None
        assert (state.outcome.result, state.outcome.txid) == ("broadcast", final.txid)
        assert cosigner.is_complete(state)


async def ended_well(process: Process) -> None:
    """The end, in whichever of two good ways came first."""
    for _ in range(300):
        if process.process.poll() is not None:
            break
        await sleep(0.1)
    assert process.process.returncode in (ExitCode.REFUSED, ExitCode.PEER), process.err
    assert not any("Traceback" in line for line in process.err)


@act
async def test_a_failure_is_told_as_one_though_the_signature_is_acknowledged_after_it(stage: Stage) -> None:
    mallory, receive = await stage.offer("bob")
    await mallory.propose(stage.psbt(), ceremony=fresh())
    answer = await unacknowledged(mallory, messages.Contribution)
    await mallory.tell("failed", None, None)
    mallory.channel.acknowledge(answer)
    await mallory.receive(messages.Farewell)
    await finished(receive, ExitCode.THRESHOLD)
    assert state_of(stage["bob"], mallory.ceremony).phase is cosigner.Phase.ANSWERED, "and it can go on"


# Transcripts of two honest sides.


@act
async def test_a_refusal_whose_acknowledgement_was_lost_is_in_both_transcripts(stage: Stage, tmp_path: Path) -> None:
    ceremony = fresh()
    secrets = Secrets(tmp_path, ceremony)
    pending = await stage.connector("coordinator").allocate()
    receive = stage.start("bob", "receive", pending.code, "--json", "--reject", "no")
    mallory = Mallory(await pending.paired())
    stage.channels.append(mallory.channel)
    secrets.kept.keep(mallory.channel.derive_key("resume"))
    await mallory.propose(stage.psbt(), ceremony=ceremony)
    refusal = await unacknowledged(mallory, messages.Decline)
    receive.kill()
    resume = stage.start("bob", "resume", ceremony, "--json")
    mallory = await secrets.meet(stage, ceremony)
    (proposed,) = state_of(stage["bob"], ceremony).transcript.sent_by("coordinator")
    ours = Transcript((("coordinator", proposed), ("cosigner", refusal.digest)))
    await mallory.tell("cancelled", None, None, head=ours.head(ceremony))
    farewell = await mallory.receive(messages.Farewell)
    await finished(resume, ExitCode.TRANSPORT)
    theirs = state_of(stage["bob"], ceremony).transcript
    assert theirs.sent_by("cosigner") == (refusal.digest, farewell.digest)
    assert theirs.covered_by(ceremony, ours.head(ceremony)) == (1, 1)


# Somebody who only had a code.


@act
async def test_who_took_a_code_and_said_no_does_not_shut_out_the_cosigner(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, "--to", "bob", "--signer", stage["alice"].signer)
    thief = await send.join("bob")
    await thief.proposal()
    await thief.channel.deliver(messages.Decline(thief.ceremony, "bob says no"))
    await send.ends(ExitCode.THRESHOLD)
    for misbehaves in (True, False):
        resumed = stage.start("alice", "resume", thief.ceremony, "--new-code", "bob", "--json", "-y")
        send.process = resumed
        bob = await send.join("bob")
        await bob.proposal()
        if misbehaves:
            with pytest.raises(WormsigError):
                await bob.channel.deliver(messages.Contribution(CEREMONY, wire.reference(b"x"), "psbt"), b"x")
            await finished(resumed, ExitCode.PEER)
            continue
        assert (await bob.answer(stage.sign(psbt, "bob"))).accepted == 1
        bob.listen()
        await finished(resumed, ExitCode.DONE)
    assert stage.in_mempool(psbt.txid)


@act
async def test_who_says_no_to_the_new_code_too_ends_it(stage: Stage) -> None:
    send = stage.send(stage.psbt(), "--to", "bob")
    for again in (False, True):
        bob = await send.join("bob")
        await bob.proposal()
        await bob.channel.deliver(messages.Decline(bob.ceremony, f"no {again}"))
        await finished(send.process, ExitCode.THRESHOLD)
        assert f"no {again}" in error_line(send.process)
        if not again:
            send.process = stage.start("alice", "resume", bob.ceremony, "--new-code", "bob", "--json", "-y")


# A coordinator that comes and goes fills no journal.


@act
async def test_r10_a_coordinator_that_keeps_coming_back_has_to_wait(stage: Stage, tmp_path: Path) -> None:
    ceremony, psbt = fresh(), stage.psbt()
    secrets = Secrets(tmp_path, ceremony)
    mallory, receive = await stage.offer("bob", "--later")
    secrets.kept.keep(mallory.channel.derive_key("resume"))
    await mallory.propose(psbt, ceremony=ceremony)
    await finished(receive, ExitCode.DONE)
    stage.start("bob", "resume", ceremony, "--json", "-y", "--signer", stage["bob"].signer)
    count = 0
    while count < 40:
        meeting = ensureDeferred(secrets.meet(stage, ceremony)).addTimeout(8, reactor)
        try:
            mallory = await meeting
        except Exception:  # noqa: BLE001  nobody came
            break
        count += 1
        await mallory.propose(psbt, ceremony=ceremony)
        secrets.kept.settle()
        await mallory.channel.close()
    assert 15 <= count <= 21


# `wormsig cancel` and the process that it asks.


def test_m3_a_request_to_cancel_dies_with_the_process_that_was_asked(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    holder, asker = Locks(tmp_path / "locks"), Locks(tmp_path / "locks")
    holder.hold(CEREMONY)
    assert asker.ask(CEREMONY, "by mistake")
    os.close(holder._held.pop(CEREMONY))  # killed
    later = Locks(tmp_path / "locks")
    later.hold(CEREMONY)
    assert later.asked(CEREMONY) is None
    assert asker.ask(CEREMONY, "really")
    assert later.asked(CEREMONY) == "really"
    later.close()


def test_m2_what_was_put_where_a_request_is_looked_for_is_not_read_and_holds_up_nobody(tmp_path: Path) -> None:
    locks, asker = Locks(tmp_path), Locks(tmp_path)
    locks.hold(CEREMONY)
    path, elsewhere = tmp_path / f"{CEREMONY}.ask", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"secret\n")
    path.symlink_to(elsewhere)
    assert locks.asked(CEREMONY) is None
    with pytest.raises(WormsigError):
        asker.ask(CEREMONY, "")
    assert elsewhere.read_bytes() == b"secret\n"
    path.unlink()
    os.mkfifo(path)
    assert locks.asked(CEREMONY) is None
    with pytest.raises(WormsigError):
        asker.ask(CEREMONY, "")
    path.unlink()
    with path.open("wb") as huge:
        huge.truncate(1 << 40)  # all zeros, on no disk
    assert locks.asked(CEREMONY) is None
    locks.close()
    assert not path.exists()
