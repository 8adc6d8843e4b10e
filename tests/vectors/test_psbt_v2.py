"""Our own version 2 vectors: what a reader has to find, and one fault each in its place."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from wormsig.bitcoin import secp
from wormsig.errors import PsbtError
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.convert import to_version_0, to_version_2
from wormsig.psbt.extractor import extract
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import check_signatures, verify

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "psbt-v2.json").read_text())["cases"]


def cases(*expected: str, having: str | None = None) -> list[Any]:
    found = [
        pytest.param(case, id=case["id"])
        for case in CASES
        if case["expect"] in expected and (having is None or having in case)
    ]
    assert found
    return found


def read(text: str) -> Any:
    raw = base64.b64decode(text)
    psbt = parse(raw)
    assert serialize(psbt) == raw
    assert psbt.version == 2
    return psbt


def test_every_case_expects_something_known() -> None:
    assert {case["expect"] for case in CASES} == {"valid", "invalid", "signer-refuses", "bad-signature", "no-locktime"}
    assert len({case["psbt"] for case in CASES if "role" not in case}) == len([c for c in CASES if "role" not in c])


@pytest.mark.parametrize("case", cases("valid", "signer-refuses", "bad-signature"))
def test_well_formed_is_accepted_byte_for_byte(case: dict[str, Any]) -> None:
    psbt = read(case["psbt"])
    if "unsigned_tx" in case:
        found = (psbt.tx.serialize().hex(), psbt.txid, psbt.tx.locktime)
        assert found == (case["unsigned_tx"], case["txid"], case["locktime"])
    if case["expect"] == "valid":
        assert all(check.valid for check in check_signatures(psbt, allowed=frozenset(range(256))))


@pytest.mark.parametrize("case", cases("invalid"))
def test_malformed_is_refused_where_it_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(PsbtError) as caught:
        parse(base64.b64decode(case["psbt"]))
    assert (caught.value.where, caught.value.field) == (case.get("where"), case.get("field"))
    assert caught.value.reason
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("case", cases("no-locktime"))
def test_no_transaction_is_made_up(case: dict[str, Any]) -> None:
    psbt = read(case["psbt"])
    with pytest.raises(PsbtError) as caught:
        _ = psbt.tx
    assert (caught.value.where, caught.value.field) == (case["where"], case["field"])


@pytest.mark.parametrize("case", cases("valid", having="version_0"))
def test_both_versions_convert_into_each_other(case: dict[str, Any]) -> None:
    psbt = read(case["psbt"])
    other = parse(base64.b64decode(case["version_0"]))
    assert serialize(to_version_0(psbt)) == base64.b64decode(case["version_0"])
    assert to_version_2(other).tx == psbt.tx
    if not case["locktime"]:  # which then comes from a required one
        assert serialize(to_version_2(other)) == base64.b64decode(case["psbt"])


@pytest.mark.parametrize("case", cases("valid", having="tx"))
def test_final_ones_extract(case: dict[str, Any]) -> None:
    assert extract(read(case["psbt"])).serialize().hex() == case["tx"]


@pytest.mark.parametrize("case", cases("valid", having="role"))
def test_signers_set_the_flags(case: dict[str, Any]) -> None:
    seckey = bytes.fromhex(case["seckey"])
    keys = {0: {secp.pubkey_of(seckey): seckey}}
    signed = sign_inputs(read(case["before"]), keys, sighash_type=case["sighash"])
    assert base64.b64encode(serialize(signed)).decode() == case["psbt"]


@pytest.mark.parametrize("case", cases("signer-refuses"))
def test_a_signer_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(PsbtError) as caught:
        sign_inputs(read(case["psbt"]), {0: {}})
    assert (caught.value.where, caught.value.field) == (case["where"], case["field"])


@pytest.mark.parametrize("case", cases("bad-signature"))
def test_a_bad_signature_does_not_count(case: dict[str, Any]) -> None:
    psbt = read(case["psbt"])
    (check,) = check_signatures(psbt)
    assert check.problem is not None
    assert check.problem.name == case["problem"]
    assert verify(psbt, drop=True).signatures == {}
