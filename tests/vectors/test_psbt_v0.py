"""Our own vectors: one fault each, refused with the place and the field that the vector names."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from wormsig.errors import PsbtError
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import check_signatures, verify

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = json.loads((HERE / "psbt-v0.json").read_text())["cases"]


def cases(*expected: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in CASES if case["expect"] in expected]


def test_every_case_expects_something_known() -> None:
    assert {case["expect"] for case in CASES} == {"valid", "invalid", "signer-refuses", "bad-signature"}
    assert len({case["psbt"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", cases("valid", "signer-refuses", "bad-signature"))
def test_well_formed_is_accepted_byte_for_byte(case: dict[str, Any]) -> None:
    raw = base64.b64decode(case["psbt"])
    assert serialize(parse(raw)) == raw


@pytest.mark.parametrize("case", cases("invalid"))
def test_malformed_is_refused_where_it_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(PsbtError) as caught:
        parse(base64.b64decode(case["psbt"]))
    assert (caught.value.where, caught.value.field) == (case.get("where"), case.get("field"))
    assert caught.value.reason
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("case", cases("signer-refuses"))
def test_a_signer_refuses(case: dict[str, Any]) -> None:
    psbt = parse(base64.b64decode(case["psbt"]))
    with pytest.raises(PsbtError) as caught:
        sign_inputs(psbt, {0: {}})
    assert (caught.value.where, caught.value.field) == (case["where"], case["field"])


@pytest.mark.parametrize("case", cases("bad-signature"))
def test_a_bad_signature_does_not_count(case: dict[str, Any]) -> None:
    psbt = parse(base64.b64decode(case["psbt"]))
    (check,) = check_signatures(psbt)
    assert check.problem is not None
    assert check.problem.name == case["problem"]
    with pytest.raises(PsbtError) as caught:
        verify(psbt)
    assert (caught.value.where, caught.value.field) == (case["where"], "PSBT_IN_PARTIAL_SIG")
    assert verify(psbt, drop=True).signatures == {}
