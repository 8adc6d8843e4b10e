"""What the journals say about a PSBT: signed before, paid before, coins that stay reserved, and what cannot be read."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from support.ceremony import CEREMONY, setting
from support.hostile import BTC, STRANGER, Coin, Out, scene_of
from support.values import replace
from wormsig.app.context import highest_of
from wormsig.app.history import NO_HISTORY, SIGNED_FILES, History, begin_signing, has_signatures
from wormsig.app.home import Home
from wormsig.app.session import Session, now
from wormsig.bitcoin.network import Network, address_of
from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.coordinator import MACHINE as COORDINATOR
from wormsig.ceremony.cosigner import MACHINE as COSIGNER
from wormsig.errors import StorageError
from wormsig.journal.store import CeremonyRow, Journal
from wormsig.psbt import codec
from wormsig.psbt.model import sha256
from wormsig.review.approve import approve
from wormsig.review.context import ReviewContext
from wormsig.review.findings import Code
from wormsig.review.review import review

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved

S = setting()
SCENE = S.scene
OTHERS = [Coin(index=4), Coin(index=5)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def received(psbt: Psbt, network: str = "regtest") -> cosigner.Received:
    raw = codec.serialize(psbt)
    return cosigner.Received(CEREMONY, network, None, None, raw, sha256(psbt), 2, now())


def cosigned(home: Home, psbt: Psbt, *, network: str = "regtest", sign: bool = True) -> None:
    """A cosigner's ceremony up to the signature."""
    row = CeremonyRow(f"{CEREMONY}-c", "cosigner", now(), None, network, None, "receive")
    digest = sha256(psbt)
    with Journal(home.journal()) as journal:
        first = received(psbt, network)
        verdict = cosigner.Reviewed(digest, (), ())
        session = Session.begin(journal, row, COSIGNER, first, verdict, cosigner.Approved(digest, "person"))
        if sign:
            signed = SCENE.sign(psbt, "alice")
            session.record(cosigner.signed(session.state, psbt, signed))


def proposed(home: Home, psbt: Psbt, *, signed_by: tuple[str, ...] = (), added_by: tuple[str, ...] = ()) -> None:
    """A coordinator's ceremony; with signatures in the proposal, or added by answers."""
    raw = codec.serialize(SCENE.sign(psbt, *signed_by))
    first = coordinator.Proposed(CEREMONY, "regtest", SCENE.wallet.id, "family", raw, 2, ("bob", "carol"), at=now())
    row = CeremonyRow(CEREMONY, "coordinator", now(), None, "regtest", "family", "send")
    with Journal(home.journal()) as journal:
        session = Session.begin(journal, row, COORDINATOR, *coordinator.begin(first, None))
        for name in added_by:
            answer = coordinator.Answer(name, codec.serialize(SCENE.sign(psbt, name)))
            session.record(*coordinator.decide(session.state, answer))


def known(home: Home, psbt: Psbt):
    return History.of(home).known(psbt, SCENE.wallet, Network.REGTEST)


def codes(home: Home, psbt: Psbt) -> set[Code]:
    past = known(home, psbt)
    context = ReviewContext(
        signed_before=past.signed_before,
        previously_paid=past.previously_paid,
        used_scripts=past.used_scripts,
        unreadable=past.unreadable,
    )
    return {finding.code for finding in review(psbt, SCENE.wallet, context, deriver=SCENE.deriver).findings}


# --- what counts as signed


def test_without_a_journal_there_is_no_past_and_none_is_made(home: Home) -> None:
    assert codes(home, S.psbt) == set()
    assert not home.journal().exists()
    assert NO_HISTORY.known(S.psbt, SCENE.wallet, Network.REGTEST).signed_before == ()


def test_a_cosigners_signature_is_known_afterwards(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS))
    (before,) = known(home, SCENE.psbt()).signed_before
    assert before.txid == SCENE.psbt(OTHERS).txid
    assert before.payments == {(STRANGER, 30_000_000)}
    assert before.fee_sats == 2_000
    assert before.at is not None
    assert codes(home, SCENE.psbt()) >= {Code.PAID_BEFORE}


def test_what_was_approved_and_not_signed_is_no_past(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS), sign=False)
    assert codes(home, SCENE.psbt()) == set()


@pytest.mark.parametrize(
    ("signatures", "counts"),
    [({}, False), ({"signed_by": ("alice",)}, True), ({"added_by": ("bob",)}, True)],
)
def test_a_coordinators_proposal_counts_once_anybody_signed(
    home: Home, signatures: dict[str, tuple[str, ...]], *, counts: bool
) -> None:
    proposed(home, SCENE.psbt(OTHERS), **signatures)
    assert (Code.PAID_BEFORE in codes(home, SCENE.psbt())) is counts


def test_the_same_transaction_again_is_nothing_new(home: Home) -> None:
    cosigned(home, SCENE.psbt())
    assert codes(home, SCENE.psbt()) == set()
    assert codes(home, SCENE.sign(SCENE.psbt(), "bob")) == set()


def test_a_replacement_is_known_by_its_coins(home: Home) -> None:
    cosigned(home, SCENE.psbt())
    assert codes(home, SCENE.psbt(fee=4_000)) == {Code.REPLACES}
    assert Code.REPLACES_DIFFERENTLY in codes(home, SCENE.psbt(outputs=[Out(2 * BTC - 2_000)]))


def test_other_payments_with_other_coins_are_no_finding(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS))
    other = SCENE.psbt(outputs=[Out(20_000_000), Out(2 * BTC - 20_002_000, place=(1, 1))])
    assert codes(home, other) == set()


def test_change_that_an_earlier_payment_took_is_used(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS))
    again = SCENE.psbt(outputs=[Out(20_000_000), Out(2 * BTC - 20_002_000, place=(1, 0))])
    assert codes(home, again) == {Code.ADDRESS_REUSE}


def test_addresses_paid_before(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS))
    assert address_of(STRANGER, Network.REGTEST) in known(home, SCENE.psbt()).previously_paid


def test_the_highest_index_is_proven_and_never_only_claimed(home: Home) -> None:
    honest = SCENE.psbt(OTHERS, [Out(30_000_000), Out(2 * BTC - 30_002_000, place=(1, 7))])
    lie = {b"\x02" + key: replace(origin, path=(*origin.path[:-1], 900)).encode()
           for key, origin in SCENE.deriver.script(1, 900).origins.items()}  # fmt: skip
    cosigned(home, honest.with_output(0, lie))
    assert known(home, SCENE.psbt()).highest_seen == {0: 5, 1: 7}
    assert History.of(home).highest_seen(SCENE.wallet) == {0: 5, 1: 7}
    assert highest_of({0: 9}, {0: 5, 1: 7}) == {0: 9, 1: 7}


@pytest.mark.parametrize("outputs", [[Out(30_000_000)], [Out(30_000_000), Out(70_000_000, place=(1, 7))]])
def test_a_coin_planted_far_away_that_was_spent_along_makes_no_far_place_a_used_one(home: Home, outputs: list[Out]):
    cosigned(home, SCENE.psbt([Coin(index=6), Coin(1_000, index=2_000_000_000)], outputs))
    assert History.of(home).highest_seen(SCENE.wallet) == ({0: 6, 1: 7} if outputs[1:] else {0: 6})


# --- whose past


def test_another_network_has_another_past(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS))
    past = History.of(home).known(SCENE.psbt(), None, Network.SIGNET)
    assert (past.signed_before, past.previously_paid) == ((), frozenset())
    assert History.of(home).known(SCENE.psbt(), None, None).signed_before == ()


def test_c24_a_coordinator_who_announces_another_network_hides_nothing(home: Home) -> None:
    cosigned(home, SCENE.psbt(OTHERS), network="testnet4")
    assert Code.PAID_BEFORE in codes(home, SCENE.psbt())


# --- files


def approved(psbt: Psbt) -> Approved:
    report = review(psbt, SCENE.wallet, ReviewContext(), deriver=SCENE.deriver)
    return approve(psbt, report, SCENE.wallet, by="person")


def test_a_signature_on_a_file_is_kept(home: Home) -> None:
    psbt = SCENE.psbt(OTHERS)
    with begin_signing(home, approved(psbt)) as record:
        record(SCENE.sign(psbt, "alice"))
    assert Code.PAID_BEFORE in codes(home, SCENE.psbt())
    assert not home.journal().exists()
    with Journal(home.journal().with_name(SIGNED_FILES)) as journal:
        (row,) = journal.ceremonies()
        types = [record.type for record in journal.events(row.id)]
        assert types == ["received", "reviewed", "approved", "signed"]


def test_a_signer_that_failed_leaves_nothing_signed(home: Home) -> None:
    with pytest.raises(ZeroDivisionError), begin_signing(home, approved(SCENE.psbt(OTHERS))):
        raise ZeroDivisionError
    assert codes(home, SCENE.psbt()) == set()


def test_the_same_file_can_be_signed_twice(home: Home) -> None:
    for _ in range(2):
        with begin_signing(home, approved(S.psbt)) as record:
            record(SCENE.sign(S.psbt, "alice"))
    assert codes(home, S.psbt) == set()


def test_nothing_is_signed_when_it_cannot_be_noted(home: Home) -> None:
    home.journal().with_name(SIGNED_FILES).write_bytes(b"something else")
    with pytest.raises(StorageError), begin_signing(home, approved(S.psbt)):
        pytest.fail("must not be reached")


# --- reserved coins


def _coins(psbt: Psbt) -> list:
    return [txin.outpoint for txin in psbt.tx.inputs]


def test_coins_stay_reserved_until_one_of_them_is_spent(home: Home) -> None:
    psbt = SCENE.psbt(OTHERS)
    first, second = _coins(psbt)
    other = _coins(SCENE.psbt())[0]
    cosigned(home, psbt)
    history = History.of(home)
    assert history.reserved(lambda: [first, second, other], list) == {first, second}
    assert history.reserved(lambda: [second, other], lambda coins: set(coins) - {first}) == frozenset()
    assert history.reserved(lambda: [other], lambda _: pytest.fail("nothing to look up")) == frozenset()
    assert NO_HISTORY.reserved(lambda: pytest.fail("nothing to list"), lambda _: ()) == frozenset()


# --- what cannot be read


def test_a_foreign_file_is_named_and_stops_nothing(home: Home) -> None:
    home.journal().write_bytes(b"something else")
    (said,) = known(home, S.psbt).unreadable
    assert "is not a journal" in said
    report = review(S.psbt, SCENE.wallet, ReviewContext(unreadable=(said,)), deriver=SCENE.deriver)
    (finding,) = report.findings
    assert (finding.code, finding.where) == (Code.HISTORY_UNREADABLE, "this machine")
    assert finding.details == (said,)
    assert approve(S.psbt, report, SCENE.wallet, by="unattended").inputs == {0, 1}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE event SET body = x'00' WHERE seq = 3",
        "DELETE FROM event WHERE seq = 1",
        "UPDATE event SET type = 'other'",
    ],
)
def test_a_damaged_ceremony_is_named_and_others_are_read(home: Home, damage: str) -> None:
    cosigned(home, SCENE.psbt(OTHERS))
    with sqlite3.connect(home.journal()) as db:
        db.execute(damage)
    with begin_signing(home, approved(SCENE.psbt([Coin(index=8)]))) as record:
        record(SCENE.sign(SCENE.psbt([Coin(index=8)]), "alice"))
    past = known(home, SCENE.psbt())
    assert [before.txid for before in past.signed_before] == [SCENE.psbt([Coin(index=8)]).txid]
    (said,) = past.unreadable
    assert said.startswith(f"ceremony {CEREMONY[:6]} ")


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh", "tr"])
def test_signatures_that_came_along_are_seen_whatever_their_kind(script_type: str):
    scene = scene_of(script_type)
    psbt = scene.psbt()
    assert not has_signatures(psbt)
    assert has_signatures(scene.sign(psbt, "bob", inputs=[1]))
