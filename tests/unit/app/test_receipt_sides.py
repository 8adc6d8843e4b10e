"""From journals to receipts: what each kind of ceremony leaves, and what comparing makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from support.ceremony import setting
from support.receipts import Play, played
from support.values import replace
from wormsig.app.failure_words import failure_words
from wormsig.app.receipt_sides import About, iso, of_coordinator, of_cosigner
from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony import receipt as parts
from wormsig.ceremony.comparison import compare
from wormsig.ceremony.receipt import read, write
from wormsig.psbt import codec

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/receipt-format.md"


def all_agree(play: Play, *names: str) -> None:
    """Everybody's receipt agrees with everybody else's."""
    receipts = [play.ours(), *(play.theirs(name) for name in names or play.here)]
    for one in receipts:
        assert read(write(one)) == one
        for two in receipts:
            comparison = compare(one, two)
            assert comparison.differing == (), (one.role, two.role)
            assert len(comparison.statements) > 15


def whole(play: Play, *names: str) -> Play:
    play.finish()
    for name in names:
        play.tell(name)
    return play


def test_what_was_found_approved_and_declined():
    play = played(declines="not this month")
    bob, alice = play.theirs("bob"), play.theirs("alice")
    assert bob.review is not None
    assert bob.review.warnings == ("C12-fee-above-5-percent",)
    assert bob.approval is not None
    assert (bob.approval.by, bob.decline) == ("person", None)
    assert alice.decline is not None
    assert (alice.decline.reason, alice.decline.by, alice.approval) == ("not this month", "person", None)
    ours = play.ours()
    assert ours.review is not None
    assert ours.review.warnings == ("C13-first-payment",)
    pair = next(pair for pair in ours.pairs if pair.name == "alice")
    assert [part.reason for part in pair.letters if part.kind == "decline"] == ["not this month"]
    assert [part.result for part in pair.letters if part.kind == "outcome"] == ["not-needed"]
    all_agree(play)


def test_every_letter_but_the_proposal_is_told_so_that_its_hash_can_be_checked():
    play = played(declines="no")
    for receipt in (play.ours(), *map(play.theirs, play.here)):
        for pair in receipt.pairs:
            for part in pair.letters:
                said = (part.sha256, part.reason, part.accepted, part.seen)
                assert any(each is not None for each in said), part.kind


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
def test_kinds_of_wallets(script_type: str):
    play = Play(cast=setting(script_type))
    for name in ("bob", "carol"):
        play.offer(name)
        play.sign(name)
    whole(play, "bob", "carol")
    receipt = play.ours()
    assert receipt.final is not None
    assert (receipt.final.txid == receipt.unsigned_txid) == (script_type == "wsh")
    assert {(each.input, each.name, each.origin, each.via) for each in receipt.signatures} == {
        (index, name, "cosigner", name) for index in (0, 1) for name in ("bob", "carol")
    }
    all_agree(play)


def test_our_own_signature_came_from_here():
    play = Play(names=("bob",))
    play.there.clear()
    events = coordinator.begin(play.cast.proposed("bob"), play.cast.signed("alice"))
    play.there += [(play.clock, event) for event in events]
    play.offer("bob")
    play.sign("bob")
    whole(play, "bob")
    origins = {(each.name, each.origin, each.via) for each in play.ours().signatures}
    assert origins == {("alice", "here", None), ("bob", "cosigner", "bob")}
    all_agree(play)


def test_in_a_chain_each_is_sent_the_signatures_before():
    play = Play()
    play.there.clear()
    play.there.append((play.clock, play.cast.proposed("bob", "carol", chain=True)))
    for name in ("bob", "carol"):
        play.there.append((play.clock, coordinator.TurnCame(name)))
        play.offer(name)
        arrived = codec.parse(play.state.offer_to(name))
        play.sign(name, data=codec.serialize(play.cast.scene.sign(arrived, name)))
    whole(play, "bob", "carol")
    carol = play.theirs("carol")
    assert {(each.name, each.origin) for each in carol.signatures} == {("bob", "proposal"), ("carol", "here")}
    ours = play.ours()
    assert ours.pairs[0].psbt_sha256 == ours.psbt_sha256 != ours.pairs[1].psbt_sha256 == carol.psbt_sha256
    all_agree(play)
    edited = msgspec.structs.replace(carol, psbt_sha256="00" * 32)
    assert compare(ours, edited).differing


def test_an_answer_of_which_not_all_could_be_taken():
    play = Play()
    play.offer("bob")
    play.sign("bob", data=play.cast.half_signed("bob"))
    play.offer("carol")
    play.sign("carol")
    pair = play.ours().pairs[0]
    judged = next(part for part in pair.letters if part.kind == "judged")
    assert (judged.accepted, judged.rejected) == (1, 1)
    assert judged.problems
    all_agree(play)


def test_an_answer_that_could_not_be_used():
    play = Play()
    play.offer("bob")
    play.sign("bob", data=play.cast.badly_signed("bob"))
    judged = play.ours().pairs[0].letters[-1]
    assert (judged.kind, judged.accepted, judged.rejected) == ("judged", 0, 1)
    assert [each.what for each in play.ours().history].count("misbehaved") == 1
    all_agree(play)


def test_letters_that_were_sent_again_stand_there_once():
    play = Play()
    play.offer("bob")
    lost = coordinator.Lost("bob", "gone")
    again = [event for _, event in play.there if isinstance(event, coordinator.Offered)]
    play.there += [
        (play.clock, lost),
        (play.clock, coordinator.Connected("bob", "other words")),
        (play.clock, again[0]),
    ]
    play.here["bob"].append((play.clock, cosigner.Linked("other words")))
    play.sign("bob")
    pair = play.ours().pairs[0]
    assert [part.kind for part in pair.letters] == ["proposal", "contribution", "judged"]
    assert len(pair.connections) == 2
    all_agree(play)


def test_a_last_letter_whose_acknowledgement_was_lost_is_no_difference():
    play = played()
    play.here["bob"].pop()  # FarewellTold
    comparison = compare(play.ours(), play.theirs("bob"))
    assert comparison.differing == ()
    assert next(each.what for each in comparison.statements if each.verdict == "open").startswith("farewell")
    assert compare(play.theirs("bob"), play.ours()).differing == ()


def test_a_letter_that_was_acknowledged_cannot_be_missing():
    play = played()
    cut = [(at, event) for at, event in play.here["bob"] if not isinstance(event, cosigner.Judged)]
    theirs = of_cosigner(cut, play.about())
    assert [each.what for each in compare(play.ours(), theirs).differing]


def test_a_receipt_from_before_the_end_is_no_difference():
    play = Play()
    play.offer("bob")
    play.sign("bob")
    early = of_cosigner(list(play.here["bob"]), play.about(now=play.clock))
    early_ours = of_coordinator(list(play.there), play.about(now=play.clock))
    play.clock += 3600
    play.offer("carol")
    play.sign("carol")
    whole(play, "bob", "carol")
    for one, two in (
        (play.ours(), early),
        (early, play.ours()),
        (play.theirs("bob"), early),
        (early_ours, play.ours()),
    ):
        comparison = compare(one, two)
        assert comparison.differing == ()
        assert any(each.verdict == "open" for each in comparison.statements)


def test_a_coordinator_who_told_another_story_at_the_end_is_found():
    """Both receipts are whole in themselves; what was told at the end does not fit what is shown now."""
    play = played()
    other = "another reason altogether"
    theirs = play.theirs("bob")
    forged = Play()
    forged.offer("bob")
    forged.decline("bob", other)
    forged.offer("carol")
    shown = of_coordinator(forged.there, replace(play.about(), now=play.clock + 100))
    differing = compare(theirs, shown).differing
    assert any("head" in each.what for each in differing)


@pytest.mark.parametrize("ending", ["kept", "cancelled"])
def test_other_endings(ending: str):
    play = Play()
    for name in play.names:
        play.offer(name)
    play.sign("bob")
    if ending == "kept":
        play.sign("carol")
        play.finish(broadcast=False)
    else:
        play.there.append((play.clock, coordinator.Cancelled("the price has changed")))
    for name in play.names:
        play.tell(name)
    assert play.ours().phase == ending
    assert (play.theirs("bob").final is None) == (ending == "cancelled")
    all_agree(play)


@pytest.mark.parametrize("tell_reasons", [False, True])
def test_a_coordinators_receipt_says_how_a_failure_was_told(tell_reasons: bool):
    play = Play(names=("alice", "bob", "carol"))
    for name in play.names:
        play.offer(name)
    play.decline("carol", "not this month")
    at, first = play.there[0]
    assert isinstance(first, coordinator.Proposed)
    play.there[0] = (at, replace(first, tell_reasons=tell_reasons))
    for name, words in zip(play.names, failure_words(play.state), strict=True):
        play.tell(name, reason=words, failed=True, seen="no-node")
    told = [part for pair in play.ours().pairs for part in pair.letters if part.kind == "outcome"]
    assert [part.result for part in told] == ["failed"] * 3
    assert [part.reason for part in told] == list(failure_words(play.state))
    assert ("not this month" in str(told[0].reason)) == tell_reasons
    all_agree(play)


def test_a_journal_of_an_earlier_version_gives_a_receipt_too():
    """Its events have no letters and no verifier."""
    play = played()

    def old(event: coordinator.CoordinatorEvent | cosigner.CosignerEvent) -> object:
        drop = {name: "" for name in ("letter", "verifier", "head", "link") if hasattr(event, name)}
        return msgspec.structs.replace(event, **drop)

    new = (coordinator.JudgedTold, coordinator.FarewellReceived, cosigner.Linked, cosigner.FarewellTold)
    there = [(at, old(event)) for at, event in play.there if not isinstance(event, new)]
    here = [(at, old(event)) for at, event in play.here["bob"] if not isinstance(event, new)]
    ours, theirs = of_coordinator(there, play.about()), of_cosigner(here, play.about())
    assert ours.final is not None
    assert ours.pairs[0].letters == theirs.pairs[0].letters == ()
    comparison = compare(ours, theirs)
    assert comparison.differing == ()
    assert len(comparison.statements) > 20


@pytest.mark.parametrize("count", range(1, 20))
def test_after_every_single_event_there_is_a_receipt(count: int):
    play = played(declines="no")
    about = About("0.1.0", play.clock, None, None)
    ours = of_coordinator(play.there[:count], about)
    assert read(write(ours)) == ours
    for name in play.here:
        theirs = of_cosigner(play.here[name][:count], about)
        assert read(write(theirs)) == theirs


def test_a_network_that_nobody_knew():
    play = Play()
    play.there[0] = (play.clock, play.cast.proposed(network="unknown"))
    receipt = play.ours(wallet=False)
    assert receipt.network is None
    assert read(write(receipt)) == receipt


@pytest.mark.parametrize("at", [-1, 0, 1_795_000_000, 1 << 60])
def test_every_time_can_be_written(at: int):
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", iso(at))


def test_long_words_fit_the_format():
    play = Play(names=("b" * 900,))
    play.there.append((play.clock, coordinator.CodeBurned("b" * 900, "w" * 5000)))
    receipt = play.ours()
    assert read(write(receipt)) == receipt


def test_the_document_describes_every_field():
    text = DOCUMENT.read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_0-9]+)`", text))
    structs = [each for each in vars(parts).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    fields = {name for each in structs for name in each.__struct_fields__}
    assert len(fields) > 50
    assert fields - named == set()
    for word in ("agree", "earlier", "differ", "none", *parts.SENDERS):
        assert f"`{word}`" in text
