"""THREATS, section R, against a whole `wormsig send`: what a cosigner may answer, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import ensureDeferred

from support.hostile import edit_global, edit_input, edit_output, edit_tx
from support.signatures import der, numbers
from support.stage import HURRY, Sending, Stage, act, events_named
from support.values import replace
from wormsig.ceremony import coordinator, messages, wire
from wormsig.errors import ExitCode, WormsigError
from wormsig.psbt import codec
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.model import partial_sigs
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        yield running


def cosigners(*names: str) -> list[str]:
    return [part for name in names for part in ("--to", name)]


def with_signature(psbt: Psbt, pubkey: bytes, signature: bytes, index: int = 0) -> Psbt:
    return edit_input(psbt, index, {b"\x02" + pubkey: signature})


async def answers(send: Sending, who: str, data: Psbt | bytes, form: str = "psbt") -> messages.Judged:
    mallory = await send.join(who)
    await mallory.proposal()
    judged = await mallory.answer(data, form)
    mallory.listen()
    return judged


async def signs(stage: Stage, send: Sending, *names: str) -> None:
    """The genuine cosigners answer."""
    for name in names:
        judged = await answers(send, name, stage.sign(send.psbt, name))
        assert judged.accepted == len(send.psbt.inputs), judged


# R1: another transaction comes back.


@act
async def test_r1_another_transaction_is_named_and_decides_the_outcome(stage: Stage) -> None:
    psbt = stage.psbt(coins=2)
    first, second = psbt.tx.inputs
    pays, change = psbt.tx.outputs
    lies = {
        "output": edit_tx(psbt, outputs=(replace(pays, script=pays.script[:-1] + b"\0"), change)),
        "amount": edit_tx(psbt, outputs=(replace(pays, sats=pays.sats + 1), change)),
        "sequence": edit_tx(psbt, inputs=(replace(first, sequence=0xFFFFFFFE), second)),
        "version": edit_tx(psbt, version=1),
        "locktime": edit_tx(psbt, locktime=7),
        "order": edit_tx(psbt, inputs=(second, first)),
        "more": edit_tx(psbt, outputs=(pays, change, replace(pays, sats=1))),
    }
    words = {
        "output": "output 0 pays another script",
        "amount": f"output 0 pays {pays.sats + 1} sat, not {pays.sats}",
        "sequence": "input 0 has sequence 4294967294",
        "version": "version 2 became 1",
        "locktime": "locktime 0 became 7",
        "order": "input 0 spends",
        "more": "number of outputs 2 became 3",
    }
    send = stage.send(psbt, *cosigners(*lies))
    for name, lie in lies.items():
        judged = await answers(send, name, stage.sign(lie, "bob", "carol") if name != "order" else lie)
        assert judged.accepted == 0
        assert words[name] in judged.problems[0]
    await send.refused(ExitCode.PEER, "another transaction came back", *(f"{name}: " for name in lies))


@act
async def test_r1_a_final_transaction_that_is_another_one(stage: Stage) -> None:
    psbt = stage.psbt()
    other = replace(psbt.tx, outputs=(replace(psbt.tx.outputs[0], sats=1), psbt.tx.outputs[1]))
    send = stage.send(psbt, *cosigners("bob", "carol"))
    await answers(send, "bob", other.serialize(), "transaction")
    await answers(send, "carol", b"\x00" * 60, "transaction")
    await send.refused(ExitCode.PEER, "output 0 pays 1 sat", "carol: ")


# R2: signatures that are none.


@act
async def test_r2_bad_signatures_are_refused_by_name_and_the_others_go_on(stage: Stage) -> None:
    psbt = stage.psbt()
    pubkey, good = stage.signature(psbt, "bob")
    r, s = numbers(good)
    _, elsewhere = stage.signature(stage.psbt(), "bob")
    bad = {
        "invalid": elsewhere,
        "high": der(r, ORDER - s),
        "padded": der(r, s, padding=b"\0"),
        "long": good[:-1] + b"\0" + good[-1:],
        "zero": der(0, 1),
        "short": good[:9],
    }
    send = stage.send(psbt, *cosigners(*bad, "bob", "carol"))
    for name, signature in bad.items():
        judged = await answers(send, name, with_signature(psbt, pubkey, signature))
        assert (judged.accepted, judged.rejected) == (0, 1), (name, judged)
    await signs(stage, send, "bob", "carol")
    done = await send.ends(ExitCode.DONE)
    assert done["broadcast"]
    assert stage.in_mempool(done["txid"])
    refused = {event["cosigner"] for event in events_named(send.process, "answer-refused")}
    assert refused == set(bad)
    assert partial_sigs(codec.parse(codec.from_any(done["psbt"])), 0)[pubkey] == good


@act
async def test_r2_only_bad_signatures_decide_the_outcome(stage: Stage) -> None:
    psbt = stage.psbt()
    pubkey, good = stage.signature(psbt, "bob")
    r, s = numbers(good)
    send = stage.send(psbt, *cosigners("bob", "carol"))
    await answers(send, "bob", with_signature(psbt, pubkey, der(r, ORDER - s)))
    await answers(send, "carol", psbt)  # nothing at all
    await send.refused(ExitCode.PEER, "bob: ", "its S is high", "carol: ", "no signature")


# R3: a bad signature under a key that has a good one.


@act
async def test_r3_the_good_one_stays_in_either_order(stage: Stage) -> None:
    psbt = stage.psbt()
    bob, good = stage.signature(psbt, "bob")
    carol, fine = stage.signature(psbt, "carol")
    _, wrong = stage.signature(stage.psbt(), "bob")
    send = stage.send(psbt, *cosigners("before", "bob", "after", "carol"))
    await answers(send, "before", with_signature(psbt, bob, wrong))
    await signs(stage, send, "bob")
    judged = await answers(send, "after", with_signature(psbt, bob, wrong))
    assert (judged.accepted, judged.rejected) == (0, 1)
    await signs(stage, send, "carol")
    done = await send.ends(ExitCode.DONE)
    assert partial_sigs(codec.parse(codec.from_any(done["psbt"])), 0) == {bob: good, carol: fine}


# R4: another sighash type.


@act
async def test_r4_another_sighash_type_is_refused_although_it_verifies(stage: Stage) -> None:
    psbt = stage.psbt()
    types = {"none": 0x02, "single": 0x03, "anyone": 0x81}
    send = stage.send(psbt, *cosigners(*types))
    for name, sighash in types.items():
        judged = await answers(send, name, stage.sign(psbt, "bob", sighash=sighash))
        assert (judged.accepted, judged.rejected) == (0, 1)
        assert "sighash" in judged.problems[0]
    await send.refused(ExitCode.PEER, "sighash")


# R5: other fields changed or added.


@act
async def test_r5_only_signatures_are_merged_and_the_rest_is_listed(stage: Stage) -> None:
    psbt = stage.psbt()
    signed = stage.sign(psbt, "bob")
    derivation = next(key for key in signed.inputs[0] if key[0] == 0x06)
    lie = edit_input(signed, 0, {b"\x01": b"\x01" + bytes(7) + b"\x00", b"\x03": b"\x03\0\0\0", derivation: None})
    lie = edit_input(lie, 0, {b"\xfc\x04evil\x00": b"x", b"\x05": None})
    lie = edit_output(lie, 1, {b"\x01": b"\x51"})
    lie = edit_global(lie, {b"\xee\x01": b"unknown"})
    send = stage.send(psbt, *cosigners("bob", "carol"))
    judged = await answers(send, "bob", lie)
    assert (judged.accepted, judged.rejected) == (1, 0)
    ignored = (await send.event("signatures-taken", cosigner="bob"))["ignored"]
    assert len(ignored) == 7, ignored
    for part in ("PSBT_IN_WITNESS_UTXO changed", "PSBT_IN_BIP32_DERIVATION dropped", "global map", "output 1"):
        assert any(part in each for each in ignored), (part, ignored)
    await signs(stage, send, "carol")
    done = await send.ends(ExitCode.DONE)
    assert codec.parse(codec.from_any(done["psbt"])) == stage.sign(stage.sign(psbt, "bob"), "carol")


# R6: somebody else answers.


@act
async def test_r6_keys_are_counted_and_named_whoever_brings_them(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("bob", "carol", "dave"))
    judged = await answers(send, "carol", stage.sign(psbt, "bob"))  # bob's, over carol's code
    assert judged.accepted == 1
    taken = await send.event("signatures-taken", cosigner="carol")
    assert "bob" in taken["keys"][0]
    assert (taken["have"], taken["need"]) == (1, 2)
    again = await answers(send, "bob", stage.sign(psbt, "bob"))
    assert (again.accepted, again.rejected) == (0, 0)
    assert "nothing new" in again.problems[0]
    assert (await send.event("signatures-taken", cosigner="bob"))["have"] == 1
    await answers(send, "dave", stage.sign(psbt, "carol"))
    assert (await send.ends(ExitCode.DONE))["broadcast"]


@act
async def test_r6_the_same_signature_from_two_at_once_counts_once(stage: Stage) -> None:
    psbt = stage.psbt(coins=10, fee=10_000)
    send = stage.send(psbt, *cosigners("bob", "carol", "dave"))
    signed = stage.sign(psbt, "bob")
    both = [await send.join(name) for name in ("bob", "carol")]
    for mallory in both:
        await mallory.proposal()
    judging = [ensureDeferred(mallory.answer(signed)) for mallory in both]
    judged = [await each for each in judging]
    assert sorted(each.accepted for each in judged) == [0, 10]
    counts = [event["have"] for event in events_named(send.process, "signatures-taken")]
    assert counts == [1, 1]
    await answers(send, "dave", stage.sign(psbt, "carol"))
    assert (await send.ends(ExitCode.DONE))["broadcast"]


# R7: final scripts.


@act
async def test_r7_final_scripts_count_only_when_they_verify(stage: Stage) -> None:
    psbt = stage.psbt()
    witness = psbt.inputs[0][b"\x05"]
    _, good = stage.signature(psbt, "bob")
    _, wrong = stage.signature(stage.psbt(), "carol")

    def final(*stack: bytes) -> Psbt:
        body = bytes((len(stack),)) + b"".join(bytes((len(each),)) + each for each in stack)
        return edit_input(psbt, 0, {b"\x08": body})

    lies = {
        "early": final(b"", good, witness),
        "wrong": final(b"", good, wrong, witness),
        "empty": final(),
        "script": final(b"", good, good, b"\x51"),
        "sig": edit_input(psbt, 0, {b"\x07": b"\x51"}),
        "broken": edit_input(psbt, 0, {b"\x08": b"\xff\xff"}),
    }
    send = stage.send(psbt, *cosigners(*lies))
    for name, lie in lies.items():
        mallory = await send.join(name)
        await mallory.proposal()
        assert (await mallory.answer(lie)).accepted <= (name in {"early", "wrong"}), name
    kept = [event for event in send.events() if isinstance(event, coordinator.Contributed)]
    bob, _ = stage.signature(psbt, "bob")
    for event in kept:
        assert [(one.pubkey, one.signature) for one in event.signatures] == [(bob, good)]
    await send.ends(ExitCode.PEER)
    assert not stage.in_mempool(psbt.txid)


@act
async def test_r7_a_final_answer_that_verifies_gives_its_signatures_up(stage: Stage) -> None:
    psbt = stage.psbt()
    full = stage.sign(psbt, "bob", "carol")
    transaction = extract(finalize(verify(full)))
    send = stage.send(psbt, *cosigners("bob", "carol"))
    judged = await answers(send, "bob", transaction.serialize(), "transaction")
    assert judged.accepted == 2
    done = await send.ends(ExitCode.DONE)
    assert done["txid"] == transaction.txid


# R10: huge, endless, slow, or never.


@act
async def test_r10_never_is_a_time_limit_and_says_who_was_not_there(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("bob", "carol"), "--timeout", "2s")
    mallory = await send.join("bob")
    await mallory.proposal()
    outcome = await mallory.outcome()
    assert (outcome.result, outcome.transaction) == ("failed", None)
    await send.refused(ExitCode.THRESHOLD, "time is up", "0 of 2", "carol did not come")


@act
async def test_r10_who_acknowledges_nothing_holds_up_nobody(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("deaf", "dumb", "bob", "carol"), env={"WORMSIG_LIMITS": f"{HURRY},farewell=1"})
    await send.join("deaf")  # never acknowledges the proposal
    dumb = await send.join("dumb")
    await dumb.proposal()
    bad = codec.serialize(stage.sign(edit_tx(psbt, locktime=1), "bob"))
    answer = messages.Contribution(dumb.ceremony, wire.reference(bad), "psbt")
    await dumb.channel.deliver(answer, bad)  # never acknowledges the judgement
    await signs(stage, send, "bob", "carol")
    done = await send.ends(ExitCode.DONE)
    assert stage.in_mempool(done["txid"])
    assert {event["cosigner"] for event in events_named(send.process, "peer-lost")} >= {"deaf", "dumb"}


@act
async def test_r10_endless_answers_and_refusals_end_the_talk_and_no_more(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("flood", "moody", "bob", "carol"))
    flood, moody = await send.join("flood"), await send.join("moody")
    for mallory in (flood, moody):
        await mallory.proposal()
        mallory.listen()

    async def answering(number: int) -> None:
        lie = codec.serialize(edit_global(psbt, {b"\xee": number.to_bytes(4, "big")}))
        await flood.channel.deliver(messages.Contribution(flood.ceremony, wire.reference(lie), "psbt"), lie)

    async def declining(number: int) -> None:
        await moody.channel.deliver(messages.Decline(moody.ceremony, f"no {number}"))

    for once in (answering, declining):
        taken = 0
        with contextlib.suppress(WormsigError):
            for number in range(100):
                await once(number)
                taken += 1
        assert taken <= 32
    await signs(stage, send, "bob", "carol")
    await send.ends(ExitCode.DONE)
    assert len(send.events()) < 150


@act
async def test_r10_a_flood_of_progress_is_not_a_flood_of_lines(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("bob", "carol"))
    noisy = await send.join("bob")
    await noisy.proposal()
    for number in range(150):
        noisy.channel.progress(noisy.ceremony, "reviewing" if number % 2 else "signing")
    await noisy.answer(stage.sign(psbt, "bob"))
    await signs(stage, send, "carol")
    await send.ends(ExitCode.DONE)
    assert len(events_named(send.process, "peer-progress")) <= 64


@act
async def test_r10_an_answer_that_is_no_psbt_or_stops_half_way(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("garbage", "half", "bob", "carol"))
    judged = await answers(send, "garbage", os.urandom(3_000_000))
    assert judged.accepted == 0
    half = await send.join("half")
    await half.proposal()
    big = os.urandom(600_000)
    half.channel._send(messages.Contribution(half.ceremony, wire.reference(big), "psbt"))
    half.channel._send(next(wire.chunks(big)))
    await half.channel.close("half way")
    await signs(stage, send, "bob", "carol")
    await send.ends(ExitCode.DONE)
    lost = await send.event("peer-lost", cosigner="half")
    assert "half way" in lost["why"]


# R11: of another ceremony.


@act
async def test_r11_messages_of_another_ceremony_are_refused(stage: Stage) -> None:
    psbt = stage.psbt()
    send = stage.send(psbt, *cosigners("answer", "decline", "progress"))
    for name in ("answer", "decline", "progress"):
        mallory = await send.join(name)
        await mallory.proposal()
        raw = codec.serialize(stage.sign(psbt, "bob"))
        if name == "answer":
            mallory.channel._send(messages.Contribution("66" * 16, wire.reference(raw), "psbt"))
            mallory.channel._send(next(wire.chunks(raw)))
        elif name == "decline":
            mallory.channel._send(messages.Decline("66" * 16, "no"))
        else:
            mallory.channel.progress("66" * 16, "signing")
        with pytest.raises(Exception, match="another ceremony"):
            await mallory.channel.receive()
    await send.refused(ExitCode.PEER, "answer: ", "decline: ", "progress: ", "another ceremony")


@act
async def test_r11_a_signature_from_elsewhere_that_verifies_is_welcome(stage: Stage) -> None:
    psbt = stage.psbt()
    first = stage.send(psbt, *cosigners("bob", "carol"), "--timeout", "20s")
    kept = stage.sign(await (await first.join("bob")).proposal(), "bob")
    first.process.process.terminate()
    await first.ends(ExitCode.TERMINATED)
    second = stage.send(psbt, *cosigners("bob", "carol"))
    assert (await answers(second, "carol", kept)).accepted == 1
    await answers(second, "bob", stage.sign(psbt, "carol"))
    assert (await second.ends(ExitCode.DONE))["broadcast"]
