"""Both commands in a real terminal: every question, every way to answer it, and answers that come too late."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any

import pexpect
import pytest
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread

from support.agefile import age_encrypt
from support.stage import QUICK, Mallory, Stage, act, together
from wormsig.errors import ExitCode, WormsigError
from wormsig.psbt import codec
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.verify import verify
from wormsig.transport.connector import Connector

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.bitcoin.tx import Transaction
    from wormsig.psbt.model import Psbt

LIMIT = 30
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ceremonies = iter(range(1 << 20))


class Terminal:
    """A command in a terminal of its own, and a person who reads and types."""

    def __init__(self, stage: Stage, who: str, *arguments: object) -> None:
        env = {**stage[who].env, "TERM": "xterm", "COLUMNS": "100"}
        self.child: Any = pexpect.spawn(
            sys.executable,
            ["-m", "wormsig", *map(str, arguments)],
            env=env,
            cwd=str(stage[who].folder),
            dimensions=(50, 100),
            encoding="utf-8",
            timeout=LIMIT,
        )
        self.child.delaybeforesend = None
        self.manners = self.modes()

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.child.child_fd)

    async def sees(self, pattern: str) -> re.Match[str]:
        """Wait for words on the screen."""
        await deferToThread(self.child.expect, pattern)
        match: re.Match[str] = self.child.match
        return match

    def types(self, text: str) -> None:
        self.child.sendline(text)

    async def ends(self, code: ExitCode) -> str:
        """Wait for the end; what was on the screen since the last words. The terminal is as it was."""
        rest = await deferToThread(self.child.read)
        assert self.modes() == self.manners
        await deferToThread(self.child.wait)
        status = self.child.exitstatus if self.child.exitstatus is not None else 128 + self.child.signalstatus
        assert status == code, (status, rest)
        assert "Traceback" not in rest
        assert rest.count("error:") == (code != ExitCode.DONE), rest
        return ESCAPES.sub("", rest).replace("\r", "")


def final(stage: Stage, psbt: Psbt) -> Transaction:
    return extract(finalize(verify(stage.sign(psbt, "bob", "carol"))))


async def asked(stage: Stage) -> tuple[Mallory, Terminal, Psbt]:
    """Bob at his terminal with the question before him, and the coordinator at the other end."""
    psbt = stage.psbt()
    pending = await stage.connector("coordinator").allocate()
    bob = Terminal(stage, "bob", "receive", pending.code, "--signer", stage["bob"].signer)
    coordinator = Mallory(await pending.paired())
    stage.channels.append(coordinator.channel)
    await coordinator.propose(psbt, ceremony=f"{next(_ceremonies):032x}")
    await bob.sees(r"Sign with key:person.key\? \[y\]es / \[N\]o, with a reason / \[s\]ave for later: ")
    return coordinator, bob, psbt


async def ended(peer: Mallory) -> None:
    """Hear whatever comes, until the other side leaves."""
    while True:
        await peer.channel.receive()


# The cosigner.


@act
async def test_the_code_is_asked_for_and_yes_signs(stage: Stage) -> None:
    psbt = stage.psbt()
    pending = await stage.connector("coordinator").allocate()
    bob = Terminal(stage, "bob", "receive", "--signer", stage["bob"].signer)
    await bob.sees("Enter wormhole code: ")
    bob.types("seven")
    await bob.sees("not a wormsig code")
    await bob.sees("Enter wormhole code: ")
    bob.types("7-guitarist-revenge-orka")
    await bob.sees(r"orka \(is it orca\?\).*Use the code as it is\? \[y/N\] ")
    bob.types("")
    await bob.sees("Enter wormhole code: ")
    bob.types(f"  {pending.code.upper().replace('-', ' ')} ")
    coordinator = Mallory(await pending.paired())
    stage.channels.append(coordinator.channel)
    await coordinator.propose(psbt, ceremony=f"{next(_ceremonies):032x}")
    await bob.sees(r"Sign with.*\?.*: ")
    bob.types("what?")
    await bob.sees(r"Sign with.*\?.*: ")
    bob.types("y")
    assert await coordinator.contribution() == stage.sign(psbt, "bob")
    transaction = final(stage, psbt)
    await coordinator.tell("final", transaction.serialize(), transaction.txid)
    assert (await bob.ends(ExitCode.DONE)).splitlines()[-1] == transaction.txid


@act
async def test_no_comes_with_a_reason_or_without_one(stage: Stage) -> None:
    async def declines(first: str, second: str | None, reason: str) -> None:
        coordinator, bob, _ = await asked(stage)
        bob.types(first)
        if second is not None:
            await bob.sees("Reason, for the coordinator")
            bob.types(second)
        assert await coordinator.decline() == reason
        shown = await bob.ends(ExitCode.REFUSED)
        assert f"error: declined{f': {reason}' if reason else ''}" in shown

    await together(
        declines("n", "wrong amount", "wrong amount"),
        declines("no  I do not know this address", None, "I do not know this address"),
        declines("N", "", ""),
        declines("", None, ""),
    )


@act
async def test_an_outcome_while_the_question_is_open_ends_it(stage: Stage) -> None:
    async def not_needed() -> None:
        coordinator, bob, psbt = await asked(stage)
        transaction = final(stage, psbt)
        await coordinator.tell("not-needed", transaction.serialize(), transaction.txid)
        shown = await bob.ends(ExitCode.DONE)
        assert "not needed" in shown
        assert shown.splitlines()[-1] == transaction.txid

    async def cancelled() -> None:
        coordinator, bob, _ = await asked(stage)
        bob.child.send("y")  # typed, and not yet entered
        await coordinator.tell("cancelled", None, None)
        assert "the coordinator cancelled the ceremony" in await bob.ends(ExitCode.TRANSPORT)

    await together(not_needed(), cancelled())


@act
async def test_a_coordinator_who_leaves_takes_no_question_away_and_what_is_signed_is_kept(stage: Stage) -> None:
    async def signs() -> None:
        coordinator, bob, _ = await asked(stage)
        await coordinator.channel.close("lunch")
        await bob.sees(r'left: "lunch"\. Nothing is\s+lost.*\r\nSign with key:person.key\? ')
        bob.types("y")
        shown = await bob.ends(ExitCode.TRANSPORT)
        assert "left: lunch" in shown
        assert f"wormsig resume {coordinator.ceremony[:6]}" in shown

    async def saves() -> None:
        coordinator, bob, _ = await asked(stage)
        await coordinator.channel.close("lunch")
        await bob.sees(r'left: "lunch"[^:]*: [^:]*Sign with key:person.key\? ')
        bob.types("s")
        assert f"Kept. `wormsig resume {coordinator.ceremony[:6]}`" in await bob.ends(ExitCode.DONE)

    await together(signs(), saves())


@act
async def test_what_was_typed_before_the_question_does_not_answer_it(stage: Stage) -> None:
    pending = await stage.connector("coordinator").allocate()
    bob = Terminal(stage, "bob", "receive", pending.code, "--signer", stage["bob"].signer)
    coordinator = Mallory(await pending.paired())
    stage.channels.append(coordinator.channel)
    await bob.sees("verifier")
    bob.types("y")
    await bob.sees("y\r\n")  # the terminal's echo: it is in the line already
    await coordinator.propose(stage.psbt(), ceremony=f"{next(_ceremonies):032x}")
    await bob.sees(r"Sign with.*\?.*: ")
    bob.types("n not yet")
    assert await coordinator.decline() == "not yet"
    await bob.ends(ExitCode.REFUSED)


@act
async def test_ctrl_c_at_the_question_ends_both_commands_at_once(stage: Stage) -> None:
    async def cosigner() -> None:
        coordinator, bob, _ = await asked(stage)
        bob.child.sendintr()
        with pytest.raises(WormsigError, match="the cosigner stopped"):
            await ended(coordinator)
        assert "error: interrupted" in await bob.ends(ExitCode.INTERRUPTED)

    async def coordinator() -> None:
        alice, peers, _ = await at_the_end(stage)
        alice.child.kill(signal.SIGTERM)
        with pytest.raises(WormsigError, match="stopped for now; it can go on later"):
            await ended(peers[0])
        assert "error: terminated" in await alice.ends(ExitCode.TERMINATED)

    await together(cosigner(), coordinator())


# The coordinator.


def psbt_file(stage: Stage, psbt: Psbt) -> Path:
    path = stage.folder / f"{psbt.txid}.psbt"
    path.write_bytes(codec.serialize(psbt))
    return path


async def joins(stage: Stage, alice: Terminal, who: str) -> Mallory:
    """A cosigner who reads the code on alice's screen."""
    code = (await alice.sees(rf"{who} +(?:new code: )?([0-9]+(?:-[a-z]+)+)\r"))[1]
    return await stage.join(code)


async def at_the_end(stage: Stage) -> tuple[Terminal, list[Mallory], Psbt]:
    """Alice with the last question before her, and bob who waits for the outcome."""
    psbt = stage.psbt()
    arguments = ("--to", "bob", "--signer", stage["alice"].signer)
    alice = Terminal(stage, "alice", "send", psbt_file(stage, psbt), *arguments)
    await alice.sees(r"Sign with key:person.key\? \[y/N\] ")
    alice.types("y")
    bob = await joins(stage, alice, "bob")
    await bob.answer(stage.sign(await bob.proposal(), "bob"))
    await alice.sees(rf"Transaction {psbt.txid}\r\nBroadcast\? \[y/N\] ")
    return alice, [bob], psbt


@act
async def test_broadcast_is_asked_and_no_keeps_the_transaction(stage: Stage) -> None:
    async def yes() -> None:
        alice, (bob,), psbt = await at_the_end(stage)
        assert not stage.in_mempool(psbt.txid)
        alice.types("yes")
        bob.listen()
        shown = await alice.ends(ExitCode.DONE)
        assert shown.splitlines()[-1] == psbt.txid
        assert stage.in_mempool(psbt.txid)

    async def no() -> None:
        alice, (bob,), psbt = await at_the_end(stage)
        alice.types("")
        outcome = await bob.outcome()
        assert (outcome.result, outcome.txid) == ("final", psbt.txid)
        shown = await alice.ends(ExitCode.DONE)
        assert re.fullmatch("[0-9a-f]{300,}", shown.splitlines()[-1])
        assert not stage.in_mempool(psbt.txid)

    async def not_even_signed() -> None:
        alice = Terminal(stage, "alice", "send", psbt_file(stage, stage.psbt()), "--signer", stage["alice"].signer)
        await alice.sees(r"Sign with key:person.key\? \[y/N\] ")
        alice.types("n")
        assert "not signed and not sent" in await alice.ends(ExitCode.REFUSED)

    await together(yes(), no(), not_even_signed())


@act
async def test_what_happens_meanwhile_is_told_above_the_question(stage: Stage) -> None:
    psbt = stage.psbt()
    alice = Terminal(stage, "alice", "send", psbt_file(stage, psbt), "--to", "bob", "--to", "carol", "--to", "dave")
    codes: dict[str, str] = {}
    while len(codes) < 3:  # the relay answers in any order
        shown = await alice.sees(r"(bob|carol|dave) +([0-9]+(?:-[a-z]+)+)\r")
        codes[shown[1]] = shown[2]
    bob, carol, dave = [await stage.join(codes[who]) for who in ("bob", "carol", "dave")]
    await dave.proposal()
    await bob.answer(stage.sign(await bob.proposal(), "bob"))
    await carol.answer(stage.sign(await carol.proposal(), "carol"))
    await alice.sees(r"Transaction [0-9a-f]{64}\r\nBroadcast\? \[y/N\] ")
    dave.channel.progress(dave.ceremony, "signing")
    await alice.sees(r"\r\n +dave +is signing\r\nBroadcast\? \[y/N\] ")
    alice.types("y")
    for peer in (bob, carol, dave):
        peer.listen()
    await alice.ends(ExitCode.DONE)


@act
async def test_t1_after_three_burned_codes_a_person_is_asked(stage: Stage) -> None:
    alice = Terminal(stage, "alice", "send", psbt_file(stage, stage.psbt()), "--to", "bob", "--no-broadcast")
    for _ in range(3):
        code = (await alice.sees(r"bob +(?:new code: )?([0-9]+(?:-[a-z]+)+)\r"))[1]
        entered = await stage.connector("cosigner").use_code(f"{code}-wrong")
        with pytest.raises(WormsigError):
            await entered.paired()
    await alice.sees(r"3 codes for bob were used up: somebody may be guessing")
    await alice.sees(r"Make another, longer one\? \[y/N\] ")
    alice.types("y")
    code = (await alice.sees(r"bob +new code: ([0-9]+(?:-[a-z]+)+)\r"))[1]
    assert len(code.split("-")) == 5
    bob = await stage.join(code)
    assert bob.channel.must_compare
    comparing = ensureDeferred(bob.channel.compare(True))
    await alice.sees(rf"Verifier with bob: {' '.join(bob.channel.verifier_words())}\r")
    await alice.sees(r"Does the other side read the same words\? \[y/N\] ")
    alice.types("n")
    with pytest.raises(WormsigError, match="other verifier words"):
        await comparing
    assert "verifier words differ" in await alice.ends(ExitCode.PEER)


# The verifier.


@act
async def test_verify_on_one_side_makes_both_compare(stage: Stage) -> None:
    async def compared(same: str) -> None:
        wary = Connector(reactor, stage.relay.url, role="coordinator", verify=True, limits=QUICK)
        pending = await wary.allocate()
        bob = Terminal(stage, "bob", "receive", pending.code, "--signer", stage["bob"].signer)
        coordinator = Mallory(await pending.paired())
        stage.channels.append(coordinator.channel)
        words = " ".join(coordinator.channel.verifier_words())
        await bob.sees(f"Verifier with the coordinator: {words}")
        await bob.sees(r"Does the other side read the same words\? \[y/N\] ")
        comparing = ensureDeferred(coordinator.channel.compare(True))
        bob.types(same)
        if same == "y":
            await comparing
            await coordinator.propose(stage.psbt(), ceremony=f"{next(_ceremonies):032x}")
            await bob.sees(r"Sign with.*\?.*: ")
            bob.types("n enough")
            assert await coordinator.decline() == "enough"
            await bob.ends(ExitCode.REFUSED)
        else:
            with pytest.raises(WormsigError):
                await comparing
            assert "verifier words differ" in await bob.ends(ExitCode.PEER)

    async def leaves() -> None:
        wary = Connector(reactor, stage.relay.url, role="coordinator", verify=True, limits=QUICK)
        pending = await wary.allocate()
        bob = Terminal(stage, "bob", "receive", pending.code, "--signer", stage["bob"].signer)
        channel = await pending.paired()
        await bob.sees(r"Does the other side read the same words\? \[y/N\] ")
        await channel.close("had to go")
        assert "had to go" in await bob.ends(ExitCode.TRANSPORT)

    await together(compared("y"), compared(""), leaves())


# Passphrases.


@act
async def test_a_passphrase_is_asked_for_without_an_echo(stage: Stage) -> None:
    person = stage["carol"]
    plain = (person.folder / "person.key").read_bytes()
    locked = person.folder / "locked.key"
    locked.write_bytes(age_encrypt(plain, "open sesame"))
    os.chmod(locked, 0o600)  # noqa: PTH101  as `key new` leaves it
    path = psbt_file(stage, stage.psbt())
    carol = Terminal(stage, "carol", "sign", path, "--signer", f"key:{locked}", "-o", "signed.psbt")
    await carol.sees("(?i)passphrase.*: ")
    carol.types("open sesame")
    await carol.sees(r"Sign with key:locked.key\? \[y/N\] ")
    assert "sesame" not in carol.child.before
    carol.types("y")
    assert "sesame" not in await carol.ends(ExitCode.DONE)
    assert (person.folder / "signed.psbt").exists()
