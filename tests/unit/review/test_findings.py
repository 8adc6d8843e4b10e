from __future__ import annotations

import re

import pytest

from wormsig.review.findings import Code, Severity
from wormsig.review.report import Finding

ROWS = {f"C{number}" for number in range(1, 25)}
NOT_A_FINDING = {"C17"}  # escaping where things are printed

# Written down by hand: scripts and policies name these codes, and no option overrides an error but the one that its row
# gives it. A severity that changes in the table alone fails here.
ERRORS = """
    C1-amount-mismatch C1-no-previous-tx C1-node-disagrees C1-wrong-previous-tx C2-fake-change
    C3-foreign-key-in-change C4-index-out-of-reach C5-sighash-field C5-sighash-signature C6-single-without-output
    C7-output-script-mismatch C7-script-mismatch C8-locktime-conflict C9-unknown-amount C10-xpub-swapped
    C11-network-mismatch C12-amount-overflow C12-fee-rate-too-high C12-fee-too-high C12-negative-fee
    C13-duplicate-input C13-negative-amount C13-no-inputs C13-no-outputs C16-sighash-bomb C21-key-out-of-place
    C21-wrong-key-origin C22-bad-final C22-bad-signature C23-our-key-in-foreign-input
"""
WARNINGS = """
    C1-amount-trusted C1-lone-amount-unproven C2-names-our-key C3-paid-anyway C4-index-far-ahead C5-sighash-allowed
    C7-script-missing C8-locktime-ahead C8-locktime-unenforced C8-relative-delay C9-foreign-inputs C10-xpub-unknown
    C11-coin-type C11-xpub-network C12-fee-high C13-zero-amount C14-anybody-can-spend C14-burned-coins
    C14-nonstandard-script C14-nonstandard-version C18-look-alike-address C19-address-reuse C19-dust
    C20-still-modifiable C21-wrong-change-origin C22-final-not-checked C22-signature-not-checked C24-paid-before
    C24-replaces-differently
"""
NOTICES = """
    C3-cosigner-payout C3-other-wallet C4-index-ahead C8-locktime-unchecked C10-xpub-metadata C14-data-output
    C15-unknown-fields C24-coins-spent C24-history-unreadable C24-mined C24-replaces
"""
OVERRIDES = {
    "C1-no-previous-tx": "--trust-amounts",
    "C3-foreign-key-in-change": "--pay-anyway INDEX",
    "C5-sighash-field": "--allow-sighash TYPE",
    "C5-sighash-signature": "--allow-sighash TYPE",
    "C12-fee-too-high": "--max-fee",
    "C12-fee-rate-too-high": "--max-fee-rate",
}


def test_every_row_of_the_threat_model_has_a_code_and_no_other():
    assert {code.row for code in Code} == ROWS - NOT_A_FINDING


def test_the_table_is_as_it_was_agreed():
    stated = {"error": ERRORS, "warning": WARNINGS, "notice": NOTICES}
    assert {weight: {code.value for code in Code if code.severity == weight} for weight in Severity} == {
        weight: set(codes.split()) for weight, codes in stated.items()
    }
    assert {code.value: code.override for code in Code if code.override} == OVERRIDES


@pytest.mark.parametrize("code", list(Code))
def test_codes_are_stable_words(code: Code):
    assert re.fullmatch(r"C[0-9]+-[a-z0-9]+(-[a-z0-9]+)*", code.value)
    assert code.meaning.endswith(".")
    assert isinstance(code.severity, Severity)
    assert (code.override is None) or code.severity is Severity.ERROR
    assert not code.never_unattended or code.severity is Severity.WARNING


def test_codes_are_unique_and_unknown_ones_cannot_be_built():
    assert len({code.value for code in Code}) == len(Code)
    with pytest.raises(ValueError, match="C99"):
        Code("C99-nothing")


def test_a_code_is_its_text():
    assert Code.FAKE_CHANGE == "C2-fake-change"
    assert Code("C3-foreign-key-in-change") is Code.FOREIGN_KEY_IN_CHANGE
    assert f"{Code.DUST}" == "C19-dust"


def test_a_findings_severity_is_its_codes():
    assert Finding(Code.DUST, "output 0", "x").severity is Severity.WARNING
    assert Finding(Code.NEGATIVE_FEE, "transaction", "x").severity is Severity.ERROR


def test_every_override_leaves_a_warning_that_a_person_must_accept():
    person_only = {code for code in Code if code.never_unattended}
    assert person_only == {Code.AMOUNT_TRUSTED, Code.PAID_ANYWAY, Code.SIGHASH_ALLOWED}
