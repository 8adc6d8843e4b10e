"""bitcoind's own PSBTs: every role gives the very bytes that bitcoind gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.keys import ExtendedPrivateKey, KeyOrigin
from wormsig.bitcoin.taproot import NUMS_KEY
from wormsig.bitcoin.tx import parse_transaction
from wormsig.psbt import model
from wormsig.psbt.codec import from_any, parse, serialize
from wormsig.psbt.combiner import combine
from wormsig.psbt.contribution import extract, extract_transaction
from wormsig.psbt.extractor import extract as extract_tx
from wormsig.psbt.finalizer import finalize, missing
from wormsig.psbt.finals import FinalState, check_finals
from wormsig.psbt.musig import Spot, rounds
from wormsig.psbt.scripts import input_scripts, script_type
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_weight
from wormsig.psbt.taproot import tap_derivations
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.psbt.model import Psbt

ECDSA = ("wsh-01in", "wsh-03in", "sh-wsh-01in", "sh-wsh-03in", "sh-03in")
TAPROOT = ("tr-multi-a-01in", "tr-multi-a-03in")
MUSIG = ("tr-musig-01in", "tr-musig-03in")
CASES = ECDSA + TAPROOT
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
            for pubkey, origin in origins(psbt, number).items()
            if origin.fingerprint == master.fingerprint
        }
        for number in range(len(psbt.inputs))
    }


def origins(psbt: Psbt, number: int) -> dict[bytes, KeyOrigin]:
    xonly = {key: origin for key, (_, origin) in tap_derivations(psbt.inputs[number]).items()}
    return model.input_derivations(psbt, number) | xonly


def test_every_stage_of_every_case_round_trips(corpus: Path) -> None:
    files = sorted(corpus.glob("*/*.psbt"))
    assert len(files) == 104
    for file in files:
        raw = from_any(file.read_bytes())
        assert serialize(parse(raw)) == raw, file


@pytest.mark.parametrize("case", CASES)
def test_signing_gives_bitcoinds_bytes(corpus: Path, case: str) -> None:
    psbt = parse(stage(corpus, case, "00-unsigned"))
    for who in "ABC":
        signed = sign_inputs(psbt, secrets(corpus, psbt, who))
        assert serialize(signed) == stage(corpus, case, f"10-signed-{who}")


@pytest.mark.parametrize("case", CASES)
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


@pytest.mark.parametrize("case", CASES)
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


@pytest.mark.parametrize("case", CASES)
def test_the_weight_is_estimated_within_one_percent(corpus: Path, case: str) -> None:
    weight = meta(corpus, case)["final"]["AB"]["weight"]
    estimate = estimated_weight(parse(stage(corpus, case, "00-unsigned")))
    assert estimate is not None
    assert abs(estimate - weight) * 100 <= weight
    assert estimated_weight(parse(stage(corpus, case, "30-finalized-AB"))) == weight


@pytest.mark.parametrize("case", TAPROOT)
def test_taproot_is_proven_and_its_leaf_is_read(corpus: Path, case: str) -> None:
    psbt = parse(stage(corpus, case, "00-unsigned"))
    for index in range(len(psbt.inputs)):
        assert script_type(psbt, index) == "tr"
        proven = input_scripts(psbt, index).taproot
        assert proven is not None
        assert proven.internal_key == NUMS_KEY
        (leaf,) = proven.leaves.values()
        assert leaf.multi_a is not None
        assert (leaf.multi_a.threshold, len(leaf.multi_a.keys)) == (2, 3)
        assert leaf.hash == proven.merkle_root
    assert missing(verify(psbt)) == dict.fromkeys(range(len(psbt.inputs)), 2)
    assert missing(verify(parse(stage(corpus, case, "10-signed-B")))) == dict.fromkeys(range(len(psbt.inputs)), 1)


@pytest.mark.parametrize("case", MUSIG)
def test_musig_is_read_round_by_round(corpus: Path, case: str) -> None:
    psbt = parse(stage(corpus, case, "00-unsigned"))
    for fields in psbt.inputs:
        (begun,) = rounds(fields)
        assert (len(begun.participants), begun.spot, begun.nonces, begun.signatures) == (3, None, set(), set())
        assert {key[1:] for key in begun.participants} < set(tap_derivations(fields))
    (begun,) = rounds(psbt.inputs[0])
    output_key = psbt.inputs[0][model.WITNESS_UTXO][-32:]
    for letter, name in (("A", "10-nonce-A"), ("ABC", "20-nonces-ABC")):
        (made,) = rounds(parse(stage(corpus, case, name)).inputs[0])
        assert made.spot == Spot(output_key, b"")
        assert (made.aggregate, len(made.nonces)) == (begun.aggregate, len(letter))
        assert made.nonces <= set(made.participants)
    for letter, name in (("A", "30-partial-A"), ("ABC", "40-combined-ABC")):
        (made,) = rounds(parse(stage(corpus, case, name)).inputs[0])
        assert (made.nonces, len(made.signatures)) == (set(made.participants), len(letter))
        assert made.signatures <= set(made.participants)


@pytest.mark.parametrize("case", MUSIG)
def test_what_musig_came_to_is_one_signature_of_the_output_key(corpus: Path, case: str) -> None:
    mine = parse(stage(corpus, case, "00-unsigned"))
    final = parse(stage(corpus, case, "50-finalized-ABC"))
    assert [check.state for check in check_finals(final)] == [FinalState.VALID] * len(mine.inputs)
    answer = extract(mine, final)
    assert (len(answer.signatures), answer.rejected, answer.differences) == (len(mine.inputs), (), ())
    done = finalize(combine(verify(mine), [answer]))
    assert extract_tx(done).serialize().hex() == meta(corpus, case)["final"]["ABC"]["hex"]
    assert estimated_weight(mine) == meta(corpus, case)["final"]["ABC"]["weight"]


@pytest.mark.parametrize("case", MUSIG)
def test_musig_rounds_are_no_signatures_and_stay_with_whoever_holds_them(corpus: Path, case: str) -> None:
    mine = parse(stage(corpus, case, "00-unsigned"))
    halfway = parse(stage(corpus, case, "40-combined-ABC"))
    assert verify(halfway).signatures == {}
    assert missing(verify(halfway)) == dict.fromkeys(range(len(mine.inputs)), 1)
    answer = extract(mine, halfway)
    assert (answer.signatures, answer.rejected) == ((), ())
    assert {each.field for each in answer.differences} == {"PSBT_IN_MUSIG2_PUB_NONCE", "PSBT_IN_MUSIG2_PARTIAL_SIG"}
