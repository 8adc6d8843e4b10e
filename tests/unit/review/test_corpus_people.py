"""bitcoind's own PSBTs: the review says whose keys they are, how many are needed, who signed and what is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.network import Network
from wormsig.psbt import codec
from wormsig.render.lines import plain
from wormsig.render.report_json import report_object
from wormsig.render.report_text import inspect_lines
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.wallet.derive import Deriver
from wormsig.wallet.descriptor import parse_descriptor

if TYPE_CHECKING:
    from wormsig.review.report import Report

CORPUS = Path(os.environ["WORMSIG_CORPUS"])
CASES = sorted(path for path in CORPUS.iterdir() if path.is_dir())
MULTISIG = [case for case in CASES if not case.name.startswith("tr-musig")]
MUSIG = [case for case in CASES if case.name.startswith("tr-musig")]
PEOPLE = {"A", "B", "C"}


def name(path: Path) -> str:
    return path.name


def reviews(case: Path) -> dict[str, Report]:
    """Stage -> report, of every PSBT of a case."""
    meta: dict[str, Any] = json.loads((case / "meta.json").read_text())
    names = {bytes.fromhex(each["master_fingerprint"]): called for called, each in meta["cosigners"].items()}
    wallet = parse_descriptor(meta["descriptor"], Network.REGTEST, names=names, name="corpus")
    deriver = Deriver(wallet)
    return {
        path.stem: review(codec.parse(codec.from_any(path.read_bytes())), wallet, ReviewContext(), deriver=deriver)
        for path in sorted(case.glob("*.psbt"))
    }


@pytest.mark.parametrize("case", MULTISIG, ids=name)
def test_names_thresholds_and_what_is_missing(case: Path) -> None:
    seen = reviews(case)
    assert len(seen) == 12
    for stage, report in seen.items():
        number, _, who = stage.partition("-")
        signers = set(who.partition("-")[2]) if number in {"10", "20"} else set()
        if number == "30":  # the finalizer keeps two of them, input by input
            signers = set(who.partition("-")[2])
            assert {view.name for view in report.signatures} <= signers
            assert all(view.signed == 2 for view in report.inputs)
        else:
            for index in range(len(report.inputs)):
                here = {view.name for view in report.signatures if view.input == index and view.valid}
                assert here == signers, stage
            assert all(view.signed == len(signers) for view in report.inputs)
        assert report.threshold == 2
        for view in report.inputs:
            assert view.threshold == 2
            assert {key.name for key in view.keys} == PEOPLE
            assert view.satisfied == (len(signers) >= 2)
        shown = plain(inspect_lines(report))
        assert "2-of-3" in shown
        lacking = "still without enough signatures" in shown
        assert lacking == (len(signers) < 2), stage
        assert shown.count("of 2 signatures") >= (len(report.inputs) if number in {"10", "00"} else 0)


@pytest.mark.parametrize("case", MUSIG, ids=name)
def test_musig_names_everybody_and_what_each_still_owes(case: Path) -> None:
    for stage, report in reviews(case).items():
        shown = report_object(report)
        assert (report.threshold, shown["threshold"]) == (3, 3)
        number, _, who = stage.partition("-")
        given = {"00": set(), "10": {who[-1]}}.get(number, PEOPLE)
        signed = {"30": {who[-1]}, "40": PEOPLE}.get(number, set())
        text = plain(inspect_lines(report))
        for view, told in zip(report.inputs, shown["inputs"], strict=True):
            assert (view.threshold, view.signed) == (3, int(number == "50"))
            (group,) = told["musig2"]
            assert {each["name"] for each in group["participants"]} == PEOPLE
            if number != "50":
                assert {each["name"] for each in group["participants"] if each["nonce"]} == given, stage
                assert {each["name"] for each in group["participants"] if each["signed"]} == signed, stage
                assert view.satisfied is False
        inputs = len(report.inputs)
        if number == "50":
            assert "missing" not in text
            continue
        assert text.count("nonce missing") == inputs * len(PEOPLE - given)
        assert text.count("signature missing") == inputs * len(given - signed)
        assert text.count("signed, not checked") == inputs * len(signed)
        assert f"{inputs} input{'s' * (inputs > 1)} still without enough signatures" in text
