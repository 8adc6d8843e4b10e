from __future__ import annotations

import pytest

from support.hostile import Out, edit_input, scene_of
from support.values import replace
from wormsig.errors import ExitCode, NotSupportedError, RefusedError
from wormsig.review.approve import approve, require_supported
from wormsig.review.findings import Code

SCENE = scene_of()
TOTAL = 200_000_000


def reviewed(psbt):
    return psbt, SCENE.review(psbt), SCENE.wallet


def warned():
    return reviewed(SCENE.psbt(outputs=[Out(200), Out(TOTAL - 2_200, place=(1, 0))]))


def test_a_clean_review_is_approved_by_anybody():
    for by in ("person", "unattended", "policy"):
        psbt, report, wallet = reviewed(SCENE.psbt())
        approved = approve(psbt, report, wallet, by=by)
        assert (approved.psbt, approved.report, approved.wallet, approved.by) == (psbt, report, wallet, by)
        assert approved.inputs == {0, 1}
        approved.check_unchanged()


def test_warnings_are_a_persons_to_accept():
    assert approve(*warned(), by="person").report.warnings
    with pytest.raises(RefusedError, match="C19-dust") as refusal:
        approve(*warned(), by="unattended")
    assert refusal.value.exit_code == ExitCode.REFUSED
    with pytest.raises(RefusedError):
        approve(*warned(), by="unattended", accept={Code.DUST})


def test_a_policy_accepts_the_codes_that_it_names():
    assert approve(*warned(), by="policy", accept={Code.DUST}).by == "policy"
    with pytest.raises(RefusedError):
        approve(*warned(), by="policy", accept={Code.ZERO_AMOUNT})


def test_no_policy_accepts_what_a_person_has_to():
    claimed = edit_input(edit_input(SCENE.psbt(), 0, {b"\x00": None}), 1, {b"\x00": None})
    report = SCENE.review(claimed, trust_amounts=True)
    assert approve(claimed, report, SCENE.wallet, by="person")
    with pytest.raises(RefusedError, match="C1-amount-trusted"):
        approve(claimed, report, SCENE.wallet, by="policy", accept=set(Code))


def test_errors_are_refused_with_their_number():
    psbt, report, wallet = reviewed(SCENE.psbt(outputs=[Out(TOTAL + 1)]))
    with pytest.raises(RefusedError, match=r"1 error in the review \(C12-negative-fee\)"):
        approve(psbt, report, wallet, by="person")


def test_an_equal_copy_may_be_approved_and_a_changed_one_not():
    psbt, report, wallet = reviewed(SCENE.psbt())
    assert approve(replace(psbt), report, wallet, by="person")
    with pytest.raises(RefusedError, match="C20"):
        approve(edit_input(psbt, 0, {b"\xe0": b"x"}), report, wallet, by="person")


def test_unsupported_inputs_are_named():
    psbt, report, wallet = reviewed(SCENE.psbt())
    views = (replace(report.inputs[0], script_type="tr", mine=False), report.inputs[1])
    odd = replace(report, inputs=views, unsupported=(0,))
    with pytest.raises(NotSupportedError, match="input 0: MuSig2") as refusal:
        require_supported(odd)
    assert refusal.value.exit_code == ExitCode.INPUT
    with pytest.raises(NotSupportedError):
        approve(psbt, odd, wallet, by="person")
