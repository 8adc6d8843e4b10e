"""bitcoind's own PSBTs: every one of them is honest, so every one of them is clean."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wormsig.bitcoin.network import Network
from wormsig.psbt import codec
from wormsig.review.context import ReviewContext
from wormsig.review.report import OutputKind
from wormsig.review.review import review
from wormsig.wallet.derive import Deriver
from wormsig.wallet.descriptor import parse_descriptor

CORPUS = Path(os.environ["WORMSIG_CORPUS"])
TYPES = ("wsh", "sh-wsh", "sh", "tr-multi-a")


def cases(*types: str) -> list[Path]:
    """The cases of these types; a variable that leads nowhere is a failure."""
    found = sorted(path for path in CORPUS.iterdir() if path.is_dir() and path.name.rsplit("-", 1)[0] in types)
    assert found, f"WORMSIG_CORPUS holds no cases: {CORPUS}"
    return found


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("case", cases(*TYPES), ids=name)
def test_every_stage_is_reviewed_without_a_finding(case: Path):
    meta = json.loads((case / "meta.json").read_text())
    wallet = parse_descriptor(meta["descriptor"], Network.REGTEST, names={}, name="corpus")
    deriver = Deriver(wallet)
    for path in sorted(case.glob("*.psbt")):
        psbt = codec.parse(codec.from_any(path.read_bytes()))
        stage, report = path.stem[:2], review(psbt, wallet, ReviewContext(), deriver=deriver)
        assert report.findings == (), path.name
        assert report.fee_sats == meta["fee_sat"]
        assert all(view.mine for view in report.inputs)
        assert [view.kind for view in report.outputs] == [OutputKind.PAYMENT, OutputKind.CHANGE]
        assert report.complete == (stage in {"20", "30"})
        per_input = {"00": 0, "10": 1}.get(stage, 2)
        assert all(view.signed >= per_input for view in report.inputs)
        blind = review(psbt, None, ReviewContext())
        assert (blind.findings, blind.complete, blind.fee_rate) == ((), report.complete, report.fee_rate)


@pytest.mark.parametrize("case", cases("tr-musig"), ids=name)
def test_musig_shows_who_has_given_what(case: Path):
    meta = json.loads((case / "meta.json").read_text())
    names = {bytes.fromhex(each["master_fingerprint"]): called for called, each in meta["cosigners"].items()}
    wallet = parse_descriptor(meta["descriptor"], Network.REGTEST, names=names, name="corpus")
    for path in sorted(case.glob("*.psbt")):
        report = review(codec.parse(codec.from_any(path.read_bytes())), wallet, ReviewContext())
        stage, _, who = path.stem.partition("-")
        nonces = {"00": "", "10": who[-1], "50": ""}.get(stage, "ABC")
        signed = {"30": who[-1], "40": "ABC"}.get(stage, "")
        assert report.errors == (), path.name
        assert report.fee_sats == meta["fee_sat"]
        assert report.complete == (stage == "50")
        assert [view.kind for view in report.outputs] == [OutputKind.PAYMENT, OutputKind.CHANGE]
        assert report.unsupported == (() if stage == "50" else tuple(range(len(report.inputs))))
        for view in report.inputs:
            (group,) = view.musig
            assert {key.name for key in group.keys} == {"A", "B", "C"}
            given = zip(group.keys, group.nonces, group.signed, strict=True)
            for key, nonce, has_signed in given:
                assert (nonce, has_signed) == (key.name in set(nonces), key.name in set(signed)), path.name
