"""THREATS C1, C5, C7, C9, C22: our one-fault vectors that a signer must refuse are inspected, and refused at review."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.review.context import ReviewContext
from wormsig.review.findings import Code, Severity
from wormsig.review.review import review

if TYPE_CHECKING:
    from conftest import Judge

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
CASES: dict[str, dict[str, Any]] = {
    f"{version}/{case['id']}": case
    for version in ("v0", "v2")
    for case in json.loads((VECTORS / f"psbt-{version}.json").read_text())["cases"]
    if case["expect"] in {"signer-refuses", "bad-signature"}
}

REFUSED = {
    "v0/refuse-previous-tx-other": Code.WRONG_PREVIOUS_TX,
    "v0/refuse-previous-tx-output": Code.WRONG_PREVIOUS_TX,
    "v0/refuse-amount": Code.AMOUNT_MISMATCH,
    "v0/refuse-script": Code.AMOUNT_MISMATCH,
    "v0/refuse-no-utxo": Code.UNKNOWN_AMOUNT,
    "v0/refuse-witness-script": Code.SCRIPT_MISMATCH,
    "v0/refuse-redeem-script-extra": Code.SCRIPT_MISMATCH,
    "v0/refuse-redeem-script-missing": Code.NO_PREVIOUS_TX,
    "v0/refuse-redeem-script": Code.SCRIPT_MISMATCH,
    "v0/refuse-legacy-without-previous-tx": Code.NO_PREVIOUS_TX,
    "v0/refuse-sighash-type": Code.SIGHASH_FIELD,
    "v0/signature-message": Code.BAD_SIGNATURE,
    "v0/signature-key": Code.BAD_SIGNATURE,
    "v0/signature-high-s": Code.BAD_SIGNATURE,
    "v0/signature-padded": Code.BAD_SIGNATURE,
    "v0/signature-trailing": Code.BAD_SIGNATURE,
    "v0/signature-empty": Code.BAD_SIGNATURE,
    "v0/signature-without-type": Code.SIGHASH_SIGNATURE,
    "v0/signature-none": Code.SIGHASH_SIGNATURE,
    "v0/signature-single": Code.SIGHASH_SIGNATURE,
    "v0/signature-all-anyonecanpay": Code.SIGHASH_SIGNATURE,
    "v0/signature-zero": Code.SIGHASH_SIGNATURE,
    "v0/signature-foreign-key": Code.BAD_SIGNATURE,
    "v2/signature-other-sequence": Code.BAD_SIGNATURE,
    "v2/signature-fallback": Code.BAD_SIGNATURE,
    "v2/signature-sequence-zero": Code.BAD_SIGNATURE,
    "v2/refuse-witness-script": Code.SCRIPT_MISMATCH,
}

# What lacks a script is no lie: without a wallet nobody knows which it should be (with one, C7-script-missing warns).
ONLY_INCOMPLETE = {"v0/refuse-witness-script-missing"}


def test_every_vector_that_a_signer_refuses_has_its_finding() -> None:
    assert set(CASES) == set(REFUSED) | ONLY_INCOMPLETE


@pytest.mark.parametrize("name", REFUSED)
def test_c_vectors_a_signer_refuses_are_refused_at_review(judge: Judge, name: str) -> None:
    raw, code = base64.b64decode(CASES[name]["psbt"]), REFUSED[name]
    assert code.severity is Severity.ERROR
    report = review(codec.parse(raw), None, ReviewContext())
    assert (code, "input 0") in {(finding.code, finding.where) for finding in report.errors}
    path = judge.folder / "vector.psbt"
    path.write_bytes(raw)
    ended, shown = judge.run("inspect", str(path), "--network", "regtest", "--json")
    assert ended == ExitCode.REFUSED
    assert {"code": code, "severity": "error", "where": "input 0"} in [
        {key: finding[key] for key in ("code", "severity", "where")} for finding in json.loads(shown)["findings"]
    ]
    out = judge.folder / "signed.psbt"
    signer = ("--wallet", "family", "--signer", f"key:{judge.folder / 'alice.key'}", "-y", "-o", str(out))
    assert judge.run("sign", str(path), *signer)[0] == ExitCode.REFUSED
    assert not out.exists()
