"""The coordinator with taproot and miniscript: what answers bring is in the journal, and comes back from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.taproot import SECRET, SHA256, miniscript_coin, spend, taproot_coin
from wormsig.ceremony import coordinator as c
from wormsig.ceremony.events import HeldPreimage, HeldSignature, encode_event
from wormsig.errors import StorageError, ThresholdError
from wormsig.psbt.codec import serialize
from wormsig.psbt.combiner import with_preimages
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

LEAVES = taproot_coin(0, "e", [(2, "abc")])
HASHED = miniscript_coin(1, "and_v(v:pk(@a),sha256(H))")
PREIMAGE = (1, b"\x0b" + SHA256, SECRET)
PSBT = spend([LEAVES, HASHED])


def begun(psbt: Psbt = PSBT) -> c.CoordinatorState:
    proposed = c.Proposed("7f3a", "regtest", None, None, serialize(psbt), 2, ("bob", "carol"), total=3)
    return c.replay(
        [*c.begin(proposed), c.Connected("bob"), c.Offered("bob"), c.Connected("carol"), c.Offered("carol")]
    )


def signed(names: str, *, preimage: bool = False) -> Psbt:
    psbt = sign_inputs(
        PSBT, {0: LEAVES.secrets(*names), 1: HASHED.secrets("a")} if "a" in names else {0: LEAVES.secrets(*names)}
    )
    return with_preimages(psbt, [PREIMAGE]) if preimage else psbt


def answer(state: c.CoordinatorState, who: str, psbt: Psbt) -> tuple[c.CoordinatorState, c.CoordinatorEvent]:
    (event,) = c.decide(state, c.Answer(who, serialize(psbt)))
    again = c.decode(encode_event(event)[1])
    assert again == event
    return c.evolve(state, again), event


def test_taproot_signatures_and_preimages_are_journalled_and_make_it_final() -> None:
    state = begun()
    assert (c.shortfall(state), c.held(state)) == (2, 0)
    state, event = answer(state, "bob", signed("ab"))
    assert isinstance(event, c.Contributed)
    assert {len(one.pubkey) for one in event.signatures} == {33, 64}
    assert event.preimages == ()
    assert c.shortfall(state) == 1  # the preimage
    with pytest.raises(ThresholdError, match="needs a preimage"):
        c.decide(state, c.Finalize())
    state, event = answer(state, "carol", signed("", preimage=True))
    assert event == c.Contributed(
        "carol", (), returned_sha256=event.returned_sha256, preimages=(HeldPreimage(*PREIMAGE),)
    )  # type: ignore[union-attr]
    assert state.cosigners["carol"].stage is c.Stage.SIGNED
    assert state.cosigners["carol"].inputs == {1}
    assert c.shortfall(state) == 0
    (done,) = c.decide(state, c.Finalize())
    assert isinstance(done, c.Finalized)


def test_a_final_answer_brings_signatures_of_the_key_path() -> None:
    final = finalize(verify(signed("ae", preimage=True)))
    state, event = answer(begun(), "bob", final)
    assert isinstance(event, c.Contributed)
    assert [(one.input, len(one.pubkey)) for one in event.signatures] == [(0, 32), (1, 33)]
    assert event.preimages == (HeldPreimage(*PREIMAGE),)
    assert c.shortfall(state) == 0


def test_what_was_there_already_is_nothing_new() -> None:
    state, _ = answer(begun(), "bob", signed("ab", preimage=True))
    state, event = answer(state, "carol", signed("ab", preimage=True))
    assert isinstance(event, c.NothingNew)


LEAF = LEAVES.leaf().hash


@pytest.mark.parametrize(
    "event",
    [
        c.Contributed("bob", (HeldSignature(0, LEAVES.xonly("a") + LEAF, bytes(64)),)),
        c.Contributed("bob", (HeldSignature(0, LEAVES.output.script[2:], bytes(64)),)),
        c.Contributed("bob", (HeldSignature(0, LEAVES.xonly("e"), bytes(64)),)),
        c.Contributed("bob", (), preimages=(HeldPreimage(1, b"\x0b" + SHA256, bytes(32)),)),
        c.Contributed("bob", (), preimages=(HeldPreimage(0, *PREIMAGE[1:]),)),
        c.Contributed("bob", (), preimages=(HeldPreimage(7, *PREIMAGE[1:]),)),
        c.Contributed("bob", (), preimages=(HeldPreimage(1, b"\x02", b""),)),
    ],
)
def test_a_damaged_journal_brings_nothing_in(event: c.Contributed) -> None:
    with pytest.raises(StorageError):
        c.evolve(begun(), event)
