"""Reject reasons of Core and Knots in plain words."""

from __future__ import annotations

import pytest

from wormsig.node.words import explain, is_already_known, may_be_mined


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("bad-txns-inputs-missingorspent", "spent already"),
        ("missing-inputs", "spent already"),
        ("txn-mempool-conflict", "another transaction in the mempool"),
        ("insufficient fee, rejecting replacement 00ff; new feerate 0.1 <= old feerate 0.2", "replaces"),
        ("min relay fee not met, 0 < 110", "below what this node relays"),
        ("mempool min fee not met, 1 < 2", "full mempool"),
        ("max-fee-exceeded", "above the limit"),
        ("Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)", "above the limit"),
        ("non-final", "locktime"),
        ("non-BIP68-final", "relative locktime"),
        ("mempool-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG)", "signature"),
        ("mandatory-script-verify-flag-failed (Script evaluated without error)", "signature"),
        ("bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 1", "100 confirmations"),
        ("dust", "too small"),
    ],
)
def test_the_reason_is_explained_and_quoted(reason, words):
    refusal = explain(reason)
    assert words in refusal.message
    assert refusal.message.endswith(f"({reason})")


def test_an_unknown_reason_stands_as_it_is():
    assert explain("bad-new-thing") == ("bad-new-thing", None)
    assert explain("").message


@pytest.mark.parametrize(
    "reason",
    [
        "txn-already-in-mempool",
        "txn-already-known",
        "Transaction outputs already in utxo set",
        "Transaction already in block chain",
    ],
)
def test_known_already_is_no_failure(reason):
    assert is_already_known(reason)


def test_other_reasons_are_failures():
    assert not is_already_known("missing-inputs")
    assert may_be_mined("bad-txns-inputs-missingorspent")
    assert not may_be_mined("dust")
