"""bitcoind's own PSBTs: every role gives the very bytes that bitcoind gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.keys import ExtendedPrivateKey
from wormsig.bitcoin.tx import parse_transaction
from wormsig.psbt import model
from wormsig.psbt.codec import from_any, parse, serialize
from wormsig.psbt.combiner import combine
from wormsig.psbt.contribution import extract, extract_transaction
from wormsig.psbt.extractor import extract as extract_tx
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.finals import FinalState, check_finals
from wormsig.psbt.scripts import script_type
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_weight
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.psbt.model import Psbt

ECDSA = ("wsh-01in", "wsh-03in", "sh-wsh-01in", "sh-wsh-03in", "sh-03in")
COMBINATIONS = ("AB", "AC", "BC", "ABC")


def stage(corpus: Path, case: str, name: str) -> bytes:
    return from_any((corpus / case / f"{name}.psbt").read_bytes())


def meta(corpus: Path, case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((corpus / case / "meta.json").read_text())
    return loaded


def secrets(corpus: Path, psbt: Psbt, who: str) -> dict[int, dict[bytes, bytes]]:
    index = json.loads((corpus / "index.json").read_text())
    master = ExtendedPrivateKey.from_text(index["cosigners"][who]["master_tprv"])
    return {
        number: {
            pubkey: master.derive(origin.path).seckey
            for pubkey, origin in model.input_derivations(psbt, number).items()
            if origin.fingerprint == master.fingerprint
        }
        for number in range(len(psbt.inputs))
    }


def test_every_stage_of_every_case_round_trips(corpus: Path) -> None:
    files = sorted(corpus.glob("*/*.psbt"))
    assert len(files) == 104
    for file in files:
        raw = from_any(file.read_bytes())
        assert serialize(parse(raw)) == raw, file


@pytest.mark.parametrize("case", ECDSA)
def test_signing_gives_bitcoinds_bytes(corpus: Path, case: str) -> None:
    psbt = parse(stage(corpus, case, "00-unsigned"))
    for who in "ABC":
        signed = sign_inputs(psbt, secrets(corpus, psbt, who))
        assert serialize(signed) == stage(corpus, case, f"10-signed-{who}")


@pytest.mark.parametrize("case", ECDSA)
@pytest.mark.parametrize("who", COMBINATIONS)
def test_combining_finalizing_and_extracting_gives_bitcoinds_bytes(corpus: Path, case: str, who: str) -> None:
    mine = parse(stage(corpus, case, "00-unsigned"))
    answers = [extract(mine, parse(stage(corpus, case, f"10-signed-{name}"))) for name in who]
    for answer in answers:
        assert len(answer.signatures) == len(mine.inputs)
        assert (answer.rejected, answer.differences, answer.already_known) == ((), (), 0)
    combined = combine(verify(mine), answers)
    assert serialize(combined.psbt) == stage(corpus, case, f"20-combined-{who}")
    final = finalize(combined)
    assert serialize(final) == stage(corpus, case, f"30-finalized-{who}")
    expected = meta(corpus, case)["final"][who]
    tx = extract_tx(final)
    assert tx.serialize().hex() == expected["hex"]
    assert (tx.txid, tx.weight) == (expected["txid"], expected["weight"])


@pytest.mark.parametrize("case", ECDSA)
def test_bitcoinds_finals_are_valid_and_give_their_signatures_up(corpus: Path, case: str) -> None:
    mine = parse(stage(corpus, case, "00-unsigned"))
    for who in COMBINATIONS:
        final = parse(stage(corpus, case, f"30-finalized-{who}"))
        assert [check.state for check in check_finals(final)] == [FinalState.VALID] * len(mine.inputs)
        tx = parse_transaction(bytes.fromhex(meta(corpus, case)["final"][who]["hex"]))
        assert extract_tx(final) == tx
        answer = extract(mine, final)
        assert answer.signatures == extract_transaction(mine, tx).signatures
        assert (answer.rejected, answer.differences) == ((), ())
        assert serialize(finalize(combine(verify(mine), [answer]))) == serialize(final)


@pytest.mark.parametrize("case", ECDSA)
def test_the_weight_is_estimated_within_one_percent(corpus: Path, case: str) -> None:
    weight = meta(corpus, case)["final"]["AB"]["weight"]
    estimate = estimated_weight(parse(stage(corpus, case, "00-unsigned")))
    assert estimate is not None
    assert abs(estimate - weight) * 100 <= weight
    assert estimated_weight(parse(stage(corpus, case, "30-finalized-AB"))) == weight


@pytest.mark.parametrize(
    ("case", "last"), [("tr-multi-a-01in", "30-finalized-ABC"), ("tr-musig-01in", "50-finalized-ABC")]
)
def test_taproot_is_told_apart_and_its_finals_are_not_called_valid(corpus: Path, case: str, last: str) -> None:
    assert script_type(parse(stage(corpus, case, "00-unsigned")), 0) == "tr"
    (final,) = check_finals(parse(stage(corpus, case, last)))
    assert (final.state, final.signatures) == (FinalState.NOT_CHECKED, ())
