from __future__ import annotations

import re

import pytest

from wormsig.review.findings import Code, Severity
from wormsig.review.report import Finding

ROWS = {f"C{number}" for number in range(1, 25)}
NOT_A_FINDING = {"C17"}  # escaping where things are printed


def test_every_row_of_the_threat_model_has_a_code_and_no_other():
    assert {code.row for code in Code} == ROWS - NOT_A_FINDING


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
