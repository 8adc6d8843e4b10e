from __future__ import annotations

import os

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred

from support.wormholes import (
    CEREMONY,
    ENOUGH,
    QUICK,
    Cable,
    both,
    contribution,
    coordinator,
    cosigner,
    handed_over,
    pair,
    proposal,
    sleep,
    until,
)
from wormsig.ceremony import messages
from wormsig.errors import InputError
from wormsig.transport.errors import (
    ChannelClosedError,
    NotAcknowledgedError,
    PeerGoneError,
    RelayUnreachableError,
    VerifierMismatchError,
)
from wormsig.transport.limits import Limits
from wormsig.transport.notices import Notice
from wormsig.transport.relay import start_relay


@pytest_twisted.ensureDeferred
async def test_a_ceremony_of_letters_goes_both_ways(relay) -> None:
    alice, bob = await pair(relay.url)
    assert (alice.peer.role, bob.peer.role) == ("cosigner", "coordinator")
    assert alice.verifier == bob.verifier
    assert len(alice.verifier) == 32
    psbt, signed, final = os.urandom(700_000), os.urandom(5000), os.urandom(300)
    await handed_over(alice, bob, proposal(psbt, note="für das Dach"), psbt)
    bob.progress(CEREMONY, "signing")
    assert (await alice.receive()).letter == messages.Progress(ceremony=CEREMONY, state="signing")
    await handed_over(bob, alice, contribution(signed), signed)
    judged = messages.Judged(ceremony=CEREMONY, accepted=1, rejected=0, problems=())
    await handed_over(alice, bob, judged)
    outcome = messages.Outcome(
        ceremony=CEREMONY,
        result="final",
        txid="ab" * 32,
        transaction=contribution(final).psbt,
        reason="",
        head="00" * 32,
    )
    await handed_over(alice, bob, outcome, final)
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_the_biggest_object_goes_through_while_the_other_side_sends_too(relay) -> None:
    alice, bob = await pair(relay.url)
    big, small = os.urandom(8 << 20), os.urandom(900_000)
    await both(handed_over(alice, bob, proposal(big), big), handed_over(bob, alice, contribution(small), small))
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_delivered_means_acknowledged(relay) -> None:
    alice, bob = await pair(relay.url)
    delivering = ensureDeferred(alice.deliver(proposal(b"psbt"), b"psbt"))
    received = await bob.receive()
    await sleep(0.1)
    assert not delivering.called
    bob.acknowledge(received)
    await delivering
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_letter_is_handed_over_once_however_often_it_is_sent(relay) -> None:
    alice, bob = await pair(relay.url)
    letter = proposal(b"psbt")
    twice = [ensureDeferred(alice.deliver(letter, b"psbt")) for _ in range(2)]
    received = await bob.receive()
    bob.acknowledge(received)
    for delivering in twice:
        await delivering
    await alice.deliver(letter, b"psbt")  # acknowledged already: nothing to do
    # A sender that does not remember sends it again, and gets the acknowledgement again.
    alice._delivered.clear()
    await alice.deliver(letter, b"psbt")
    again = ensureDeferred(bob.receive())
    await sleep(0.1)
    assert not again.called
    again.addErrback(lambda failure: failure.trap(CancelledError))
    again.cancel()
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_cancelled_receive_loses_no_letter(relay) -> None:
    alice, bob = await pair(relay.url)
    cancelled = ensureDeferred(bob.receive())
    cancelled.addErrback(lambda failure: failure.trap(CancelledError))
    cancelled.cancel()
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_only_the_latest_progress_waits(relay) -> None:
    alice, bob = await pair(relay.url)
    for state in ("received", "reviewing", "signing"):
        bob.progress(CEREMONY, state)
    bob_declines = messages.Decline(ceremony=CEREMONY, reason="no")
    declining = ensureDeferred(bob.deliver(bob_declines))
    await until(lambda: len(alice._intake.waiting) == 2)
    assert (await alice.receive()).letter == messages.Progress(ceremony=CEREMONY, state="signing")
    declined = await alice.receive()
    assert declined.letter == bob_declines
    alice.acknowledge(declined)
    await declining
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_goodbye_is_heard_at_once_by_everybody_who_waits(relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits())
    waiting = both(alice.receive(), alice.deliver(proposal(b"x"), b"x"))
    started = reactor.seconds()
    waiting = ensureDeferred(waiting)
    await bob.close("my battery is empty")
    for error in await waiting:
        assert isinstance(error, PeerGoneError)
        assert error.left == "my battery is empty"
        assert "left: my battery is empty" in error.message
    assert reactor.seconds() - started < 5  # and not after the two minutes that an acknowledgement may take
    with pytest.raises(PeerGoneError):
        await alice.receive()
    await alice.close()


@pytest.mark.parametrize("reason", ["x" * 5000, "\udcff from an argument", ""])
@pytest_twisted.ensureDeferred
async def test_any_words_will_do_for_a_goodbye(reason: str, relay) -> None:
    alice, bob = await pair(relay.url)
    await bob.close(reason)
    with pytest.raises(PeerGoneError) as caught:
        await alice.receive()
    assert caught.value.left == reason.replace("\udcff", "?")[:500]
    await alice.close()


@pytest_twisted.ensureDeferred
async def test_what_was_sent_before_a_goodbye_is_still_read(relay) -> None:
    alice, bob = await pair(relay.url)
    bob.progress(CEREMONY, "waiting")
    await bob.close("done")
    await until(lambda: alice._failure is not None)
    assert isinstance((await alice.receive()).letter, messages.Progress)
    with pytest.raises(PeerGoneError, match="done"):
        await alice.receive()
    await alice.close()


@pytest_twisted.ensureDeferred
async def test_a_peer_that_dies_is_noticed_and_one_that_thinks_is_not(relay) -> None:
    alice, bob = await pair(relay.url)
    notices: list[Notice] = []
    alice.on_notice = notices.append
    receiving = ensureDeferred(alice.receive())
    await sleep(QUICK.silence + 3 * QUICK.heartbeat)  # nothing but signs of life
    assert not receiving.called
    bob._link.route.give_up()  # as if its machine were gone
    with pytest.raises(PeerGoneError, match="no sign") as caught:
        await receiving
    assert caught.value.left is None
    assert Notice.QUIET in notices
    assert alice.quiet_for > QUICK.silence
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_peer_that_wakes_up_goes_on() -> None:
    relay = await start_relay(reactor)
    cable = Cable(relay.port)
    limits = Limits(heartbeat=0.1, quiet=0.3, silence=60, close=1)
    waiting = await coordinator(relay.url, limits=limits).allocate()
    entered = await cosigner(cable.url, limits=limits).use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    seen_by_alice: list[Notice] = []
    seen_by_bob: list[Notice] = []
    alice.on_notice, bob.on_notice = seen_by_alice.append, seen_by_bob.append
    await cable.unplug()
    delivering = ensureDeferred(alice.deliver(proposal(b"psbt"), b"psbt"))
    await until(lambda: Notice.QUIET in seen_by_alice)
    cable.plug_in()
    received = await bob.receive()
    bob.acknowledge(received)
    await delivering
    assert seen_by_bob[0] is Notice.RELAY_DOWN
    assert Notice.RELAY_UP in seen_by_bob
    assert Notice.HEARD in seen_by_alice
    await both(alice.close(), bob.close())
    await cable.unplug()
    await relay.stop()


@pytest.mark.parametrize("keep", [True, False], ids=["on disk", "in memory"])
@pytest_twisted.ensureDeferred
async def test_a_relay_that_restarts_after_pairing_does_no_harm(keep: bool, tmp_path) -> None:
    db = tmp_path / "relay.sqlite" if keep else ":memory:"
    relay = await start_relay(reactor, db=db)
    limits = Limits(heartbeat=0.5, close=1)
    alice, bob = await pair(relay.url, limits=limits)
    await handed_over(alice, bob, proposal(b"one"), b"one")
    await relay.stop()
    delivering = ensureDeferred(alice.deliver(proposal(b"two"), b"two"))
    await sleep(0.1)
    relay = await start_relay(reactor, port=relay.port, db=db)
    received = await bob.receive()
    assert received.obj == b"two"
    bob.acknowledge(received)
    await delivering
    await both(alice.close(), bob.close())
    await relay.stop()


@pytest_twisted.ensureDeferred
async def test_no_relay_for_too_long_is_told_as_that() -> None:
    relay = await start_relay(reactor)
    alice, bob = await pair(relay.url)
    await relay.stop()
    for result in await both(alice.receive(), bob.receive()):
        assert isinstance(result, RelayUnreachableError)
        assert result.resumable
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_closing_without_a_relay_takes_no_longer_than_its_limit() -> None:
    relay = await start_relay(reactor)
    alice, bob = await pair(relay.url, limits=Limits(close=0.3))
    await relay.stop()
    started = reactor.seconds()
    await both(alice.close(), alice.close(), bob.close())
    assert reactor.seconds() - started < 3  # without the limit it would be 5
    with pytest.raises(ChannelClosedError):
        await alice.deliver(proposal(b"x"), b"x")


@pytest_twisted.ensureDeferred
async def test_a_peer_that_never_acknowledges_has_a_limit(relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits(acknowledge=0.2, heartbeat=0.1, close=1))
    with pytest.raises(NotAcknowledgedError):
        await alice.deliver(proposal(b"x"), b"x")
    received = await bob.receive()
    bob.acknowledge(received)
    await alice.deliver(proposal(b"x"), b"x")  # the late acknowledgement counts
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_letters_are_checked_before_they_leave(relay) -> None:
    alice, bob = await pair(relay.url)
    with pytest.raises(TypeError):
        await alice.deliver(proposal(b"announced"), b"another")
    with pytest.raises(TypeError):
        await alice.deliver(proposal(b"announced"))
    with pytest.raises(InputError):
        await alice.deliver(proposal(b"x", note="n" * 501), b"x")
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_both_derive_the_same_secret_and_it_depends_on_the_purpose(relay) -> None:
    alice, bob = await pair(relay.url)
    assert alice.derive_key("resume/1") == bob.derive_key("resume/1")
    assert alice.derive_key("resume/1") != alice.derive_key("resume/2")
    assert len(alice.derive_key("x", 20)) == 20
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_one_side_asking_makes_both_compare(relay) -> None:
    waiting = await coordinator(relay.url).verifying().allocate()
    entered = await cosigner(relay.url).use_code(waiting.code)
    alice, bob = await both(waiting.paired(), entered.paired())
    assert alice.must_compare
    assert bob.must_compare
    assert alice.verifier_words() == bob.verifier_words()
    assert len(alice.verifier_words()) == 10
    with pytest.raises(RuntimeError):
        await alice.deliver(proposal(b"x"), b"x")
    comparing = ensureDeferred(alice.compare(same=True))
    await sleep(0.1)
    assert not comparing.called
    assert alice.must_compare
    await both(comparing, bob.compare(same=True))
    assert not alice.must_compare
    await handed_over(alice, bob, proposal(b"x"), b"x")
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_other_words_end_it_on_both_sides(relay) -> None:
    alice, bob = await pair(relay.url, verify=True)
    for result in await both(alice.compare(same=True), bob.compare(same=False)):
        assert isinstance(result, VerifierMismatchError)
        assert result.exit_code == 5
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_person_who_never_compares_has_a_limit(relay) -> None:
    alice, bob = await pair(relay.url, verify=True, limits=Limits(compare=0.2, close=1))
    with pytest.raises(PeerGoneError, match="compare"):
        await alice.compare(same=True)
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_a_silence_is_doubted_once_and_again_after_a_sign_of_life(relay) -> None:
    limits = Limits(heartbeat=2, close=0.5)
    alice, bob = await pair(relay.url, limits=limits)
    doubting = ensureDeferred(bob.doubtful())
    await sleep(4.5)
    assert not doubting.called, "signs of life come"
    alice._beat.cancel()
    await doubting.addTimeout(ENOUGH, reactor)
    assert bob.quiet_for >= 3
    again = ensureDeferred(bob.doubtful())
    await sleep(2.2)
    assert not again.called, "this silence was told"
    alice.greet()
    await until(lambda: bob.quiet_for < 2)
    await again.addTimeout(ENOUGH, reactor)
    cancelled = ensureDeferred(bob.doubtful())
    cancelled.addErrback(lambda failure: failure.trap(CancelledError))
    cancelled.cancel()
    await handed_over(alice, bob, proposal(b"x"), b"x")
    alice._heartbeat()
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_doubt_ends_with_the_channel(relay) -> None:
    alice, bob = await pair(relay.url)
    doubting = both(bob.doubtful())
    await alice.close("done")
    assert isinstance((await doubting)[0], PeerGoneError)
    with pytest.raises(PeerGoneError):
        await bob.doubtful()
    await bob.close()


@pytest_twisted.ensureDeferred
async def test_a_greeting_is_heard_before_or_after_somebody_waits_for_it(relay) -> None:
    alice, bob = await pair(relay.url, limits=Limits(close=0.5))
    waiting = ensureDeferred(bob.greeted(5))
    await sleep(0.1)
    assert not waiting.called
    alice.greet()
    await waiting
    await bob.greeted(5)
    bob.greet()
    await sleep(0.2)
    await alice.greeted(5)
    await both(alice.close(), bob.close())


@pytest_twisted.ensureDeferred
async def test_no_greeting_ends_the_channel_and_so_does_a_goodbye(relay) -> None:
    limits = Limits(close=0.5)
    alice, bob = await pair(relay.url, limits=limits)
    with pytest.raises(PeerGoneError, match="said nothing"):
        await bob.greeted(0.2)
    with pytest.raises(PeerGoneError):
        await bob.receive()
    await both(alice.close(), bob.close())
    alice, bob = await pair(relay.url, limits=limits)
    waiting = both(bob.greeted(5))
    await alice.close("elsewhere")
    (error,) = await waiting
    assert isinstance(error, PeerGoneError)
    assert error.left == "elsewhere"
    await bob.close()
