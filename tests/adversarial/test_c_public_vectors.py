"""THREATS C1, C7: the PSBTs of BIP174 that fail signer checks are parsed, inspected, and refused at review.

Where `WORMSIG_VECTORS` is set; our own vectors of that kind are in test_c_vectors.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.review.context import ReviewContext
from wormsig.review.findings import Code
from wormsig.review.review import review

if TYPE_CHECKING:
    from conftest import Judge

# The input that the source means, and what the review has to say of it. Input 1 of them all is segwit without its
# previous transaction, which is one more C1.
FOUND = {
    "bip174/signer-check-witness-utxo-for-legacy": ("input 0", Code.NO_PREVIOUS_TX),
    "bip174/signer-check-redeem-script-mismatch-nwu": ("input 0", Code.SCRIPT_MISMATCH),
    "bip174/signer-check-redeem-script-mismatch-wu": ("input 1", Code.SCRIPT_MISMATCH),
    "bip174/signer-check-witness-script-mismatch": ("input 1", Code.SCRIPT_MISMATCH),
    "bitcoin-core/signer-3": ("input 0", Code.NO_PREVIOUS_TX),
    "bitcoin-core/signer-4": ("input 0", Code.SCRIPT_MISMATCH),
    "bitcoin-core/signer-5": ("input 1", Code.SCRIPT_MISMATCH),
    "bitcoin-core/signer-6": ("input 1", Code.SCRIPT_MISMATCH),
}


def cases() -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(Path(os.environ["WORMSIG_VECTORS"]).glob("*.json")):
        for case in json.loads(file.read_text()).get("cases", ()):
            if case.get("expect") == "signer-refuses":
                found[f"{file.stem}/{case['id']}"] = case
    return found


CASES = cases()


def test_every_psbt_that_fails_signer_checks_has_its_finding() -> None:
    assert set(CASES) == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_c_what_fails_signer_checks_is_inspected_and_refused_at_review(judge: Judge, name: str) -> None:
    raw = codec.from_any(CASES[name].get("before", CASES[name]["psbt"]))
    where, code = FOUND[name]
    errors = [(finding.where, finding.code) for finding in review(codec.parse(raw), None, ReviewContext()).errors]
    assert (where, code) in errors
    assert {found for found in errors if found != (where, code)} <= {("input 1", Code.NO_PREVIOUS_TX)}
    path = judge.folder / "vector.psbt"
    path.write_bytes(raw)
    ended, shown = judge.run("inspect", str(path), "--network", "regtest", "--json")
    assert ended == ExitCode.REFUSED
    assert (where, code) in [(finding["where"], finding["code"]) for finding in json.loads(shown)["findings"]]
    out = judge.folder / "signed.psbt"
    signer = ("--wallet", "family", "--signer", f"key:{judge.folder / 'alice.key'}", "-y", "-o", str(out))
    assert judge.run("sign", str(path), *signer)[0] == ExitCode.REFUSED
    assert not out.exists()
