"""The public PSBT vectors: valid byte for byte, invalid refused in their place, and what every role must give."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin import base58, secp
from wormsig.bitcoin.keys import KeyOrigin, parse_path
from wormsig.bitcoin.network import Network, script_of
from wormsig.bitcoin.script import hash160, parse_multisig, sha256
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput, parse_transaction
from wormsig.errors import InputError, PsbtError
from wormsig.psbt import updater
from wormsig.psbt.codec import from_any, parse, serialize
from wormsig.psbt.combiner import combine, union
from wormsig.psbt.contribution import TransactionChangedError, extract
from wormsig.psbt.convert import to_version_0
from wormsig.psbt.creator import create
from wormsig.psbt.extractor import extract as extract_tx
from wormsig.psbt.finalizer import IncompleteError, finalize
from wormsig.psbt.model import Psbt, input_derivations
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILIES = ("bip174", "bip370", "bip371", "bip373", "bitcoin-core", "hwi", "rust-bitcoin", "btclib")
BIP370_HAS_TAKEN_ITS_UNKNOWN_TYPE = "bitcoin-core/combiner-2"

# Where the fault is, for every invalid PSBT whose fault has a place; the rest fail as a whole.
PLACES = {
    "bip174/invalid-no-output-maps": "output 0|",
    "bip174/invalid-scriptsig-in-unsigned-tx": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip174/invalid-no-unsigned-tx": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip174/invalid-duplicate-input-key": "input 0|PSBT_IN_NON_WITNESS_UTXO",
    "bip174/invalid-global-tx-keydata": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip174/invalid-witness-utxo-keydata": "input 0|PSBT_IN_WITNESS_UTXO",
    "bip174/invalid-partial-sig-pubkey-length": "input 0|PSBT_IN_PARTIAL_SIG",
    "bip174/invalid-redeem-script-keydata": "input 0|PSBT_IN_REDEEM_SCRIPT",
    "bip174/invalid-witness-script-keydata": "input 0|PSBT_IN_WITNESS_SCRIPT",
    "bip174/invalid-bip32-pubkey-input": "input 0|PSBT_IN_BIP32_DERIVATION",
    "bip174/invalid-non-witness-utxo-keydata": "input 0|PSBT_IN_NON_WITNESS_UTXO",
    "bip174/invalid-final-scriptsig-keydata": "input 0|PSBT_IN_FINAL_SCRIPTSIG",
    "bip174/invalid-final-witness-keydata": "input 1|PSBT_IN_FINAL_SCRIPTWITNESS",
    "bip174/invalid-bip32-pubkey-output": "output 0|PSBT_OUT_BIP32_DERIVATION",
    "bip174/invalid-sighash-keydata": "input 0|PSBT_IN_SIGHASH_TYPE",
    "bip174/invalid-out-redeem-script-keydata": "output 0|PSBT_OUT_REDEEM_SCRIPT",
    "bip174/invalid-out-witness-script-keydata": "output 1|PSBT_OUT_WITNESS_SCRIPT",
    "bip174/invalid-unsigned-tx-witness-format": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip174/invalid-value-length-lies": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip370/invalid-v0-says-version-2": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip370/invalid-v0-with-global-tx-version": "global map|PSBT_GLOBAL_TX_VERSION",
    "bip370/invalid-v0-with-global-fallback-locktime": "global map|PSBT_GLOBAL_FALLBACK_LOCKTIME",
    "bip370/invalid-v0-with-global-input-count": "global map|PSBT_GLOBAL_INPUT_COUNT",
    "bip370/invalid-v0-with-global-output-count": "global map|PSBT_GLOBAL_OUTPUT_COUNT",
    "bip370/invalid-v0-with-global-tx-modifiable": "global map|PSBT_GLOBAL_TX_MODIFIABLE",
    "bip370/invalid-v0-with-in-previous-txid": "input 0|PSBT_IN_PREVIOUS_TXID",
    "bip370/invalid-v0-with-in-output-index": "input 0|PSBT_IN_OUTPUT_INDEX",
    "bip370/invalid-v0-with-in-sequence": "input 0|PSBT_IN_SEQUENCE",
    "bip370/invalid-v0-with-in-required-time-locktime": "input 0|PSBT_IN_REQUIRED_TIME_LOCKTIME",
    "bip370/invalid-v0-with-in-required-height-locktime": "input 0|PSBT_IN_REQUIRED_HEIGHT_LOCKTIME",
    "bip370/invalid-v0-with-out-amount": "output 0|PSBT_OUT_AMOUNT",
    "bip370/invalid-v0-with-out-script": "output 0|PSBT_OUT_SCRIPT",
    "bip370/invalid-v2-with-unsigned-tx": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "bip370/invalid-v2-without-global-input-count": "global map|PSBT_GLOBAL_INPUT_COUNT",
    "bip370/invalid-v2-without-global-output-count": "global map|PSBT_GLOBAL_OUTPUT_COUNT",
    "bip370/invalid-v2-without-global-tx-version": "global map|PSBT_GLOBAL_TX_VERSION",
    "bip370/invalid-v2-without-in-previous-txid": "input 0|PSBT_IN_PREVIOUS_TXID",
    "bip370/invalid-v2-without-in-output-index": "input 0|PSBT_IN_OUTPUT_INDEX",
    "bip370/invalid-v2-without-out-amount": "output 0|PSBT_OUT_AMOUNT",
    "bip370/invalid-v2-without-out-script": "output 0|PSBT_OUT_SCRIPT",
    "bip370/invalid-v2-time-locktime-too-small": "input 0|PSBT_IN_REQUIRED_TIME_LOCKTIME",
    "bip370/invalid-v2-height-locktime-too-big": "input 0|PSBT_IN_REQUIRED_HEIGHT_LOCKTIME",
    "bip370/invalid-v2-height-locktime-zero": "input 0|PSBT_IN_REQUIRED_HEIGHT_LOCKTIME",
    "bip371/invalid-in-internal-key-33": "input 0|PSBT_IN_TAP_INTERNAL_KEY",
    "bip371/invalid-key-sig-short": "input 0|PSBT_IN_TAP_KEY_SIG",
    "bip371/invalid-key-sig-long": "input 0|PSBT_IN_TAP_KEY_SIG",
    "bip371/invalid-in-bip32-key-33": "input 0|PSBT_IN_TAP_BIP32_DERIVATION",
    "bip371/invalid-out-internal-key-33": "output 1|PSBT_OUT_TAP_INTERNAL_KEY",
    "bip371/invalid-out-bip32-key-33": "output 1|PSBT_OUT_TAP_BIP32_DERIVATION",
    "bip371/invalid-script-sig-key-33": "input 0|PSBT_IN_TAP_SCRIPT_SIG",
    "bip371/invalid-script-sig-long": "input 0|PSBT_IN_TAP_SCRIPT_SIG",
    "bip371/invalid-script-sig-short": "input 0|PSBT_IN_TAP_SCRIPT_SIG",
    "bip371/invalid-control-block-long": "input 0|PSBT_IN_TAP_LEAF_SCRIPT",
    "bip371/invalid-control-block-short": "input 0|PSBT_IN_TAP_LEAF_SCRIPT",
    "bip373/invalid-in-aggregate-xonly": "input 0|PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS",
    "bip373/invalid-in-participant-xonly": "input 0|PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS",
    "bip373/invalid-out-aggregate-xonly": "output 0|PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS",
    "bip373/invalid-out-participant-xonly": "output 0|PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS",
    "bip373/invalid-nonce-aggregate-xonly": "input 0|PSBT_IN_MUSIG2_PUB_NONCE",
    "bip373/invalid-nonce-participant-xonly": "input 0|PSBT_IN_MUSIG2_PUB_NONCE",
    "bip373/invalid-nonce-length": "input 0|PSBT_IN_MUSIG2_PUB_NONCE",
    "bip373/invalid-psig-aggregate-xonly": "input 0|PSBT_IN_MUSIG2_PARTIAL_SIG",
    "bip373/invalid-psig-participant-xonly": "input 0|PSBT_IN_MUSIG2_PARTIAL_SIG",
    "bip373/invalid-psig-length": "input 0|PSBT_IN_MUSIG2_PARTIAL_SIG",
    "bitcoin-core/invalid-output-witness-script-keydata": "output 1|PSBT_OUT_WITNESS_SCRIPT",
    "bitcoin-core/invalid-version-1": "global map|PSBT_GLOBAL_VERSION",
    "bitcoin-core/invalid-dup-output-witness-script": "output 0|PSBT_OUT_WITNESS_SCRIPT",
    "bitcoin-core/invalid-dup-output-redeem-script": "output 0|PSBT_OUT_REDEEM_SCRIPT",
    "bitcoin-core/invalid-dup-witness-utxo": "input 0|PSBT_IN_WITNESS_UTXO",
    "bitcoin-core/invalid-dup-sighash": "input 0|PSBT_IN_SIGHASH_TYPE",
    "bitcoin-core/invalid-dup-redeem-script": "input 0|PSBT_IN_REDEEM_SCRIPT",
    "bitcoin-core/invalid-dup-witness-script": "input 0|PSBT_IN_WITNESS_SCRIPT",
    "bitcoin-core/invalid-dup-final-scriptsig": "input 0|PSBT_IN_FINAL_SCRIPTSIG",
    "bitcoin-core/invalid-dup-final-witness": "input 0|PSBT_IN_FINAL_SCRIPTWITNESS",
    "bitcoin-core/invalid-tap-script-sig-short": "input 0|",
    "bitcoin-core/invalid-tap-keypath-length": "input 0|PSBT_IN_TAP_BIP32_DERIVATION",
    "bitcoin-core/invalid-tap-tree-empty": "output 0|PSBT_OUT_TAP_TREE",
    "hwi/invalid-global-xpub-short": "global map|PSBT_GLOBAL_XPUB",
    "hwi/invalid-musig-out-participant-xonly": "output 0|PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS",
    "btclib/invalid-version-1": "global map|PSBT_GLOBAL_VERSION",
    "btclib/invalid-scriptsig": "global map|PSBT_GLOBAL_UNSIGNED_TX",
    "btclib/invalid-v2-count-high": "output 2|",
    "btclib/invalid-v2-count-low": "None|",
}


def all_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for family in FAMILIES:
        file = Path(os.environ["WORMSIG_VECTORS"]) / f"{family}.json"
        assert file.is_file(), f"{file} is missing"
        for case in json.loads(file.read_text())["cases"]:
            yield f"{family}/{case['id']}", case


CASES = dict(all_cases())


def named(*expected: str, role: str | None = None) -> list[Any]:
    found = [
        pytest.param(name, case, id=name)
        for name, case in CASES.items()
        if case["expect"] in expected and (role is None or case.get("role") == role)
    ]
    assert found
    return found


def read(text: str) -> Psbt:
    raw = from_any(text)
    psbt = parse(raw)
    assert serialize(psbt) == raw
    return psbt


@pytest.mark.parametrize(
    ("name", "case"), named("valid", "signer-refuses", "combiner-refuses", "finalizer-refuses", "no-locktime")
)
def test_valid_ones_are_accepted_byte_for_byte(name: str, case: dict[str, Any]) -> None:
    texts = [case[key] for key in ("psbt", "before") if key in case] + case.get("combine", [])
    for text in texts:
        if name == BIP370_HAS_TAKEN_ITS_UNKNOWN_TYPE:
            with pytest.raises(PsbtError, match="PSBT_IN_OUTPUT_INDEX"):
                read(text)
        else:
            read(text)


@pytest.mark.parametrize(("name", "case"), named("invalid"))
def test_invalid_ones_are_refused_in_their_place(name: str, case: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        read(case["psbt"])
    assert caught.value.exit_code == 3
    if name in PLACES:
        assert isinstance(caught.value, PsbtError)
        assert f"{caught.value.where}|{caught.value.field or ''}" == PLACES[name]
        assert caught.value.reason
    else:
        assert name in {"bip174/invalid-network-tx", "bitcoin-core/invalid-broken-base64", "btclib/invalid-magic"}


@pytest.mark.parametrize(("name", "case"), [each for each in named("valid") if "locktime" in each.values[1]])
def test_locktimes_are_determined(name: str, case: dict[str, Any]) -> None:
    psbt = read(case["psbt"])
    assert (psbt.version, psbt.tx.locktime) == (2, case["locktime"]), name
    fixed = to_version_0(psbt)
    assert (fixed.tx, fixed.version, parse(serialize(fixed))) == (psbt.tx, 0, fixed)


@pytest.mark.parametrize(("name", "case"), named("no-locktime"))
def test_locktimes_that_exclude_each_other_leave_no_transaction(name: str, case: dict[str, Any]) -> None:
    psbt = read(case["psbt"])
    assert psbt.transaction is None
    for attempt in (lambda: psbt.tx, lambda: psbt.txid, lambda: to_version_0(psbt), lambda: extract(psbt, psbt)):
        with pytest.raises(PsbtError, match="no locktime satisfies both") as caught:
            attempt()
        assert f"{caught.value.where}|{caught.value.field}" == "input 1|PSBT_IN_REQUIRED_TIME_LOCKTIME", name


def secret_of(wif: str) -> bytes:
    return base58.decode_check(wif)[1:33]


def signing_keys(psbt: Psbt, case: dict[str, Any]) -> dict[int, dict[bytes, bytes]]:
    wifs = [entry["wif"] if isinstance(entry, dict) else entry for entry in case["wif"]]
    secrets = {secp.pubkey_of(secret_of(wif)): secret_of(wif) for wif in wifs}
    return {
        index: mine
        for index in range(len(psbt.inputs))
        if (mine := {key: secrets[key] for key in input_derivations(psbt, index) if key in secrets})
    }


# Made before Bitcoin Core ground for a low R: its first signature has a high one, which we never make.
MADE_WITHOUT_GRINDING = "bip174/signer-2"


@pytest.mark.parametrize(("name", "case"), named("valid", role="signer"))
def test_signers_give_the_expected_signatures(name: str, case: dict[str, Any]) -> None:
    psbt, expected = read(case["before"]), read(case["psbt"])
    keys = signing_keys(psbt, case)
    assert len(keys) == 2, name
    signed = sign_inputs(psbt, keys)
    if name == MADE_WITHOUT_GRINDING:
        theirs = verify(expected).signatures
        ours = verify(signed).signatures
        assert [set(here) for here in ours.values()] == [set(here) for here in theirs.values()]
        assert ours[1] == theirs[1]
        assert [len(next(iter(here[0].values()))) for here in (ours, theirs)] == [71, 72]
    else:
        assert signed == expected
    if name.startswith("bip174") and name != MADE_WITHOUT_GRINDING:  # Core's `before` is not in Core's own order
        assert serialize(signed) == serialize(expected)


@pytest.mark.parametrize(("name", "case"), named("signer-refuses", role="signer"))
def test_signers_refuse(name: str, case: dict[str, Any]) -> None:
    psbt = read(case.get("before", case["psbt"]))
    refused = []
    for index in range(len(psbt.inputs)):
        try:
            sign_inputs(psbt, {index: {}})
        except PsbtError as error:
            refused.append((index, error.where))
    assert refused, name
    assert all(where == f"input {index}" for index, where in refused)


@pytest.mark.parametrize(("name", "case"), named("valid", role="creator"))
def test_creators_give_the_expected_bytes(name: str, case: dict[str, Any]) -> None:
    inputs = [TxInput(OutPoint(bytes.fromhex(i["txid"])[::-1], i["vout"])) for i in case["inputs"]]
    outputs = [
        TxOutput(o["sats"], bytes.fromhex(o["script"]) if "script" in o else script_of(o["address"], Network.REGTEST))
        for o in case["outputs"]
    ]
    assert serialize(create(inputs, outputs)) == from_any(case["psbt"]), name


def test_the_updater_gives_the_expected_bytes() -> None:
    case = CASES["bip174/updater-fields"]
    psbt = read(case["before"])
    expected = read(case["psbt"])
    previous = {parse_transaction(bytes.fromhex(raw)).txid_bytes: bytes.fromhex(raw) for raw in case["prev_txs"]}
    redeem = [bytes.fromhex(script) for script in case["redeem_scripts"]]
    (witness,) = [bytes.fromhex(script) for script in case["witness_scripts"]]
    fingerprint = next(iter(input_derivations(expected, 0).values())).fingerprint
    origins = {bytes.fromhex(k["pubkey"]): KeyOrigin(fingerprint, parse_path(k["path"])) for k in case["keys"]}
    for index, txin in enumerate(psbt.tx.inputs):
        raw = previous[txin.outpoint.txid]
        output = parse_transaction(raw).outputs[txin.outpoint.index]
        mine = next(script for script in redeem if hash160(script) == output.script[2:22])
        segwit = mine == b"\x00\x20" + sha256(witness)
        inner = parse_multisig(witness if segwit else mine)
        assert inner is not None
        psbt = updater.with_witness_utxo(psbt, index, output) if segwit else updater.with_previous_tx(psbt, index, raw)
        psbt = updater.with_input_scripts(
            psbt,
            index,
            redeem_script=mine,
            witness_script=witness if segwit else None,
            origins={key: origins[key] for key in inner.pubkeys},
        )
    for index, output in enumerate(psbt.tx.outputs):
        (key,) = [key for key in origins if hash160(key) == output.script[2:]]
        psbt = updater.with_output_scripts(psbt, index, origins={key: origins[key]})
    assert serialize(psbt) == serialize(expected)


def test_the_updater_adds_sighash_types() -> None:
    case = CASES["bip174/updater-sighash"]
    psbt = read(case["before"])
    for index in range(len(psbt.inputs)):
        psbt = updater.with_sighash_type(psbt, index, 1)
    assert serialize(psbt) == from_any(case["psbt"])


@pytest.mark.parametrize(("name", "case"), named("valid", role="combiner"))
def test_combiners_give_the_expected_bytes(name: str, case: dict[str, Any]) -> None:
    if name == BIP370_HAS_TAKEN_ITS_UNKNOWN_TYPE:
        return
    first, *others = [read(text) for text in case["combine"]]
    assert serialize(union(first, others)) == from_any(case["psbt"])
    combined = combine(verify(first), [extract(first, other) for other in others])
    if "unknown" in name:  # whatever is not a signature stays behind, and is reported
        assert combined.psbt == first
        assert {difference.what for difference in extract(first, others[0]).differences} == {"added", "dropped"}
    else:
        assert serialize(combined.psbt) == from_any(case["psbt"])


def test_combiners_refuse_another_transaction() -> None:
    first, other = [read(text) for text in CASES["btclib/combiner-other-locktime"]["combine"]]
    with pytest.raises(TransactionChangedError, match="locktime"):
        extract(first, other)
    with pytest.raises(PsbtError):
        union(first, [other])


@pytest.mark.parametrize(("name", "case"), named("valid", role="finalizer"))
def test_finalizers_give_the_expected_bytes(name: str, case: dict[str, Any]) -> None:
    assert serialize(finalize(verify(read(case["before"])))) == from_any(case["psbt"]), name


def test_finalizers_refuse_without_signatures() -> None:
    with pytest.raises(IncompleteError) as caught:
        finalize(verify(read(CASES["btclib/finalizer-no-signatures"]["psbt"])))
    assert caught.value.missing == {0: 2}


@pytest.mark.parametrize(("name", "case"), named("valid", role="extractor"))
def test_extractors_give_the_expected_bytes(name: str, case: dict[str, Any]) -> None:
    assert extract_tx(read(case["psbt"])).serialize().hex() == case["tx"], name
