"""Which keys of the wallet sign together for what, and how far each has come: by what a nonce names (BIP373)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support import taproot
from support.kinds import PEOPLE, kind
from support.spending import spend
from wormsig.psbt import codec
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.updater import with_input_taproot
from wormsig.render.lines import plain
from wormsig.render.report_json import report_object
from wormsig.render.report_text import inspect_lines
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.wallet.derive import Deriver

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report

WALLET = kind("tr-musig-leaf")
SPENT = Deriver(WALLET).script(0, 0)
ALICE, BOB, CAROL = (person.key().xpub.pubkey for person in PEOPLE[:3])
NONCE = ALICE + BOB
EVERYBODY, TWO = {"alice", "bob", "carol"}, {"alice", "bob"}

assert SPENT.taproot is not None
assert SPENT.taproot.output.tree is not None
OUTPUT_KEY = b"\x03" + SPENT.taproot.output.output_key
(_, LEAF), *_ = SPENT.taproot.output.tree.leaves
LEAF_KEY = b"\x02" + SPENT.taproot.keys[1]  # the aggregate of two, derived: the leaf has it
assert LEAF_KEY[1:] in LEAF.script


def looked_at(*given: tuple[int, bytes], psbt: Psbt | None = None) -> Report:
    psbt = psbt or spend(WALLET, [(0, 0)])
    fields = {
        **psbt.inputs[0],
        **{bytes((type_,)) + key: NONCE if type_ == 0x1B else bytes(32) for type_, key in given},
    }
    return review(codec.parse(codec.serialize(psbt.with_input(0, fields))), WALLET, ReviewContext())


def groups(report: Report) -> list[tuple[set[str | None], str | None, set[str | None]]]:
    """Who takes part, for which leaf, and who has given a nonce."""
    return [
        (
            {key.name for key in group.keys},
            group.leaf,
            {key.name for key, nonce in zip(group.keys, group.nonces, strict=True) if nonce},
        )
        for group in report.inputs[0].musig
    ]


def test_before_anybody_begins_every_group_is_shown_where_it_signs():
    report = looked_at()
    assert groups(report) == [(EVERYBODY, None, set()), (TWO, LEAF.hash.hex(), set())]
    text = plain(inspect_lines(report))
    assert "together (MuSig2, by key):" in text
    assert f"together (MuSig2, leaf {LEAF.hash.hex()[:16]}…):" in text


def test_a_nonce_belongs_to_the_group_whose_key_it_names():
    for_key, for_leaf = (0x1B, ALICE + OUTPUT_KEY), (0x1B, BOB + LEAF_KEY + LEAF.hash)
    report = looked_at(for_key, for_leaf)
    assert groups(report) == [(EVERYBODY, None, {"alice"}), (TWO, LEAF.hash.hex(), {"bob"})]
    told = json.loads(json.dumps(report_object(report)))["inputs"][0]["musig2"]
    assert [[each["nonce"] for each in group["participants"]] for group in told] == [
        [key == ALICE for key in sorted((ALICE, BOB, CAROL))],
        [key == BOB for key in sorted((ALICE, BOB))],
    ]


def test_a_nonce_for_a_key_or_leaf_that_is_not_the_wallets_counts_for_nobody():
    strange = (
        (0x1B, ALICE + LEAF_KEY),
        (0x1B, ALICE + OUTPUT_KEY + LEAF.hash),
        (0x1B, ALICE + LEAF_KEY + bytes(32)),
        (0x1B, CAROL + LEAF_KEY + LEAF.hash),  # not one of the two
        (0x1C, ALICE + LEAF_KEY),
    )
    assert groups(looked_at(*strange)) == [(EVERYBODY, None, set()), (TWO, LEAF.hash.hex(), set())]


def test_groups_that_the_psbt_claims_are_not_believed_of_the_wallets_coins():
    psbt = spend(WALLET, [(0, 0)])
    claiming = psbt.with_input(0, {**psbt.inputs[0], b"\x1a" + CAROL: BOB + CAROL})
    assert groups(looked_at(psbt=claiming)) == groups(looked_at())


def test_of_coins_that_are_not_the_wallets_nothing_says_what_a_group_signs_for_before_it_begins():
    taproot = SPENT.taproot
    assert taproot is not None
    psbt = with_input_taproot(
        spend(WALLET, [(0, 0)]), 0, taproot.output, derivations={}, participants=taproot.participants
    )
    assert plain(inspect_lines(review(psbt, None, ReviewContext()))).count("together (MuSig2):") == 2
    begun = psbt.with_input(0, {**psbt.inputs[0], b"\x1b" + CAROL + OUTPUT_KEY: NONCE})
    text = plain(inspect_lines(review(begun, None, ReviewContext())))
    assert (text.count("together (MuSig2, by key):"), text.count("together (MuSig2):")) == (1, 1)


def test_the_group_that_has_come_furthest_is_summed_up():
    report = looked_at((0x1C, ALICE + LEAF_KEY + LEAF.hash), (0x1C, BOB + LEAF_KEY + LEAF.hash))
    assert [len(group.keys) for group in report.inputs[0].musig] == [3, 2]
    assert "2 of 2 partial signatures" in plain(inspect_lines(report))


def test_a_claimed_group_does_not_hide_who_signed():
    coin = taproot.taproot_coin(0, None, "pk(@d)")
    signed = sign_inputs(taproot.spend([coin]), {0: coin.secrets("d")})
    (signer,) = (key[1:33] for key in signed.inputs[0] if key[0] == 0x14)
    claiming = signed.with_input(0, {**signed.inputs[0], b"\x1a" + CAROL: b"\x02" + signer + ALICE})
    shown = [line.split() for line in plain(inspect_lines(review(claiming, None, ReviewContext()))).splitlines()]
    assert sum(line[-2:] == ["signed,", "verified"] for line in shown) == 1
