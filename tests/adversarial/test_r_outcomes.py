"""THREATS, rows R10 to R12, against a whole `wormsig receive`: what a coordinator may say, and what becomes of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import ensureDeferred

from support.hostile import edit_global, edit_output, edit_tx, with_output
from support.stage import (
    ALERT,
    Stage,
    act,
    cosigner_events,
    error_line,
    events_named,
    finished,
    nothing_signed,
    together,
)
from support.values import replace
from wormsig.bitcoin.tx import TxOutput
from wormsig.ceremony import cosigner, messages
from wormsig.errors import ExitCode, WormsigError
from wormsig.psbt import codec, updater
from wormsig.psbt.convert import to_version_2
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.model import partial_sigs
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.world import Process
    from wormsig.bitcoin.tx import Transaction
    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        yield running


def final(stage: Stage, psbt: Psbt) -> Transaction:
    """What the ceremony should end with."""
    return extract(finalize(verify(stage.sign(psbt, "bob", "carol"))))


def another(stage: Stage) -> Transaction:
    """A transaction of the same wallet that nobody here approved."""
    return final(stage, stage.psbt())


def seen(process: Process) -> dict[str, Any]:
    (event,) = events_named(process, "outcome-seen")
    return event


_ceremonies = iter(range(1 << 20))


def fresh() -> str:
    return f"{next(_ceremonies):032x}"


async def signed_by_bob(stage: Stage, psbt: Psbt, **how: Any) -> tuple[Any, Process]:
    """A hostile coordinator that has bob's signature, and bob who waits for the outcome."""
    mallory, receive = await stage.offer("bob", **how)
    await mallory.propose(psbt, ceremony=fresh())
    given = await mallory.contribution()
    assert list(partial_sigs(given, 0).items()) == [stage.signature(psbt, "bob")]
    return mallory, receive


# R12: what the coordinator says became of it.


@act
async def test_r12_what_is_not_the_approved_transaction_is_a_lie(stage: Stage) -> None:
    lie = another(stage)

    async def told(result: str, transaction: Transaction | None, txid: str, psbt: Psbt) -> None:
        mallory, receive = await signed_by_bob(stage, psbt)
        await mallory.tell(result, transaction.serialize() if transaction else None, txid)
        await finished(receive, ExitCode.PEER)
        assert "not the one that was approved" in error_line(receive)
        assert seen(receive)["lie"]
        assert seen(receive)["txid"] is None
        assert not any(txid in line for line in (*receive.out, *receive.err))

    first, second, third, fourth = (stage.psbt() for _ in range(4))
    unproven = replace(final(stage, second), witnesses=lie.witnesses)
    await together(
        told("broadcast", lie, lie.txid, first),
        told("final", unproven, "cd" * 32, second),
        told("broadcast", None, "ab" * 32, third),
        told("not-needed", None, "ab" * 32, fourth),
    )


@act
async def test_r12_broadcast_is_what_our_own_node_says(stage: Stage) -> None:
    psbt = stage.psbt()
    mallory, receive = await signed_by_bob(stage, psbt)
    transaction = final(stage, psbt)
    await mallory.tell("broadcast", transaction.serialize(), transaction.txid, reason="\x1b[2Jtrust \u202eme")
    await finished(receive, ExitCode.DONE)
    assert (seen(receive)["lie"], seen(receive)["seen"]) == (False, "unknown")
    assert not stage.in_mempool(transaction.txid)
    assert not any("\x1b" in line or "\u202e" in line for line in (*receive.out, *receive.err))


@act
async def test_r12_who_takes_the_signature_and_leaves_or_falls_silent_is_told_apart(stage: Stage) -> None:
    async def leaves() -> None:
        mallory, receive = await signed_by_bob(stage, stage.psbt())
        await mallory.channel.close("thanks")
        await finished(receive, ExitCode.TRANSPORT)
        assert "left: thanks" in error_line(receive)

    async def falls_silent() -> None:
        mallory, receive = await signed_by_bob(stage, stage.psbt(), env={"WORMSIG_LIMITS": ALERT})
        mallory.channel._beat.cancel()
        await finished(receive, ExitCode.TRANSPORT)
        assert "no sign of the other side" in error_line(receive)
        events = cosigner_events(stage["bob"], mallory.ceremony)
        assert any(isinstance(event, cosigner.Signed) for event in events)

    async def ends(result: str, code: ExitCode) -> None:
        mallory, receive = await signed_by_bob(stage, stage.psbt())
        await mallory.tell(result, None, None, reason="changed my mind")
        await finished(receive, code)
        assert any(line.startswith("hint: ") and "stays signed" in line for line in receive.err)

    await together(leaves(), falls_silent(), ends("cancelled", ExitCode.TRANSPORT), ends("failed", ExitCode.THRESHOLD))


# R11: messages of another ceremony, and ceremonies that come again.


@act
async def test_r11_outcome_and_judgement_of_another_ceremony_are_refused(stage: Stage) -> None:
    async def refused(letter: Any) -> None:
        mallory, receive = await signed_by_bob(stage, stage.psbt())
        with pytest.raises(WormsigError):
            await mallory.channel.deliver(letter)
        await finished(receive, ExitCode.PEER)
        assert "another ceremony (R11)" in error_line(receive)

    await together(
        refused(messages.Judged("77" * 16, 1, 0, ())),
        refused(messages.Outcome("77" * 16, "cancelled", None, None, "", "00" * 32)),
    )


@act
async def test_r11_a_known_ceremony_cannot_come_back_with_another_psbt(stage: Stage) -> None:
    psbt, name = stage.psbt(), fresh()
    mallory, receive = await stage.offer("carol")
    await mallory.propose(psbt, ceremony=name)
    await mallory.contribution()
    await mallory.channel.close("oops")
    await finished(receive, ExitCode.TRANSPORT)
    # The same again, over a new code: the same signature, and nobody is asked twice.
    mallory, receive = await stage.offer("carol", "--expect-txid", psbt.txid)
    await mallory.propose(psbt, ceremony=name)
    again = await mallory.contribution()
    assert list(partial_sigs(again, 0).items()) == [stage.signature(psbt, "carol")]
    assert events_named(receive, "signed-before")
    await mallory.channel.close("oops")
    await finished(receive, ExitCode.TRANSPORT)
    # Another PSBT under its name: refused, and no second signature.
    mallory, receive = await stage.offer("carol")
    with pytest.raises(WormsigError):
        await mallory.propose(stage.psbt(), ceremony=name)
    await finished(receive, ExitCode.PEER)
    assert "another PSBT" in error_line(receive)
    assert sum(isinstance(event, cosigner.Signed) for event in cosigner_events(stage["carol"])) == 1


# Proposals that are none.


@act
async def test_a_proposal_that_is_no_psbt_or_another_one_is_refused(stage: Stage) -> None:
    psbt = stage.psbt()
    raw = codec.serialize(psbt)

    async def refused(raw: bytes, said: str, words: str) -> None:
        mallory, receive = await stage.offer("alice")
        with pytest.raises(WormsigError):
            await mallory.propose(raw, unsigned_txid=said)
        await finished(receive, ExitCode.PEER)
        assert words in error_line(receive)

    async def begins_with_something_else() -> None:
        mallory, receive = await stage.offer("alice")
        with pytest.raises(WormsigError):
            await mallory.channel.deliver(messages.Judged("77" * 16, 1, 0, ()))
        await finished(receive, ExitCode.PEER)
        assert "did not begin with a proposal" in error_line(receive)

    await together(
        begins_with_something_else(),
        refused(b"psbt\xff" + b"\xff" * 40, "ab" * 32, "malformed"),
        refused(raw + b"\0", psbt.txid, "malformed"),
        refused(codec.serialize(edit_global(psbt, {b"\xfb": b"\x07\0\0\0"})), psbt.txid, "unknown version 7"),
        refused(raw, "ab" * 32, "not the transaction that was announced"),
    )
    assert cosigner_events(stage["alice"]) == []


@act
async def test_a_psbt_that_is_not_supported_is_declined_and_told_so(stage: Stage) -> None:
    psbt = stage.psbt()
    pubkey, _ = stage.signature(psbt, "bob")
    script = psbt.tx.outputs[0].script
    raw = codec.serialize(to_version_2(psbt))
    silent = raw.replace(b"\x01\x04" + bytes((len(script),)) + script, b"\x01\x09\x42" + pubkey * 2)
    assert silent != raw
    mallory, receive = await stage.offer("alice")
    await mallory.propose(silent)
    assert "not supported" in await mallory.decline()
    await finished(receive, ExitCode.INPUT)
    assert "silent payment" in error_line(receive)


# Refusals: the coordinator is told why, and nothing is signed.


@act
async def test_a_review_with_an_error_signs_nothing_and_names_the_finding(stage: Stage) -> None:
    psbt = stage.psbt()
    script, witness_script, origins = stage.scene.lookalike((1, stage.coins))
    stolen = with_output(psbt, 1, TxOutput(psbt.tx.outputs[1].sats, script))
    stolen = edit_output(stolen, 1, dict.fromkeys(stolen.outputs[1]))
    stolen = updater.with_output_scripts(stolen, 1, witness_script=witness_script, origins=origins)
    mallory, receive = await stage.offer("alice")
    await mallory.propose(stolen, ceremony=fresh())
    assert "C3-foreign-key-in-change" in await mallory.decline()
    await finished(receive, ExitCode.REFUSED)
    assert "C3-foreign-key-in-change" in error_line(receive)
    nothing_signed(stage["alice"])


@act
async def test_what_was_not_expected_is_not_signed(stage: Stage) -> None:
    psbt = stage.psbt()

    async def declined(reason: str, psbt: Psbt, *arguments: str, **changes: str) -> None:
        mallory, receive = await stage.offer("alice", *arguments)
        await mallory.propose(psbt, ceremony=fresh(), **changes)
        assert await mallory.decline() == reason
        await finished(receive, ExitCode.REFUSED)

    nonsense = edit_tx(psbt, version=3, outputs=(TxOutput(1, b"\x51"),))
    await together(
        declined("this is not the transaction that was expected", psbt, "--expect-txid", "ab" * 32),
        declined("this is for signet, not for regtest", psbt, network="signet"),
        declined("wrong amount ?", psbt, "--reject", "wrong amount \udcff"),
        declined("whatever it is", nonsense, "--reject", "whatever it is"),
    )
    nothing_signed(stage["alice"])


@act
async def test_c11_a_network_that_is_not_the_wallets_is_refused_even_when_nobody_named_one(stage: Stage) -> None:
    nothing = ("WORMSIG_WALLET", "WORMSIG_NETWORK", "WORMSIG_RPC_URL", "WORMSIG_RPC_COOKIE")
    mallory, receive = await stage.offer("alice", env=dict.fromkeys(nothing, ""))
    await mallory.propose(stage.psbt(), ceremony=fresh(), network="signet", wallet=stage.scene.wallet.id)
    assert await mallory.decline() == "it was announced for signet, and the wallet is on regtest"
    await finished(receive, ExitCode.REFUSED)
    nothing_signed(stage["alice"])


@act
async def test_a_wallet_that_is_not_here_is_told_without_a_word_about_this_machine(stage: Stage) -> None:
    stranger = {"WORMSIG_WALLET": "", "WORMSIG_HOME": str(stage.folder / "empty")}
    mallory, receive = await stage.offer("alice", env=stranger)
    await mallory.propose(stage.psbt(), ceremony=fresh())
    assert await mallory.decline() == "none of the wallets here is the one of this PSBT"
    await finished(receive, ExitCode.REFUSED)


# R10 and signals.


@act
async def test_r10_a_coordinator_that_says_nothing_runs_into_the_time_limit(stage: Stage) -> None:
    mallory, receive = await stage.offer("alice", "--timeout", "2s")
    await finished(receive, ExitCode.TRANSPORT)
    assert "time is up" in error_line(receive)
    with pytest.raises(WormsigError, match="ran out of time"):
        await mallory.channel.receive()


@act
async def test_a_signal_ends_it_at_once_tells_the_coordinator_and_keeps_the_state(stage: Stage) -> None:
    async def interrupted(number: signal.Signals, code: ExitCode) -> None:
        mallory, receive = await signed_by_bob(stage, stage.psbt())
        receive.process.send_signal(number)
        gone = ensureDeferred(mallory.channel.receive())
        with pytest.raises(WormsigError, match="the cosigner stopped"):
            await gone
        await finished(receive, code)
        last = cosigner_events(stage["bob"], mallory.ceremony)[-1]
        assert isinstance(last, cosigner.Answered | cosigner.Signed)

    await together(interrupted(signal.SIGINT, ExitCode.INTERRUPTED), interrupted(signal.SIGTERM, ExitCode.TERMINATED))
