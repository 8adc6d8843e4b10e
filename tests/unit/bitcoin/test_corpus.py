"""bitcoind's own transactions: same ids, same addresses, and our signatures equal its signatures byte for byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin import secp
from wormsig.bitcoin.keys import ExtendedPrivateKey, ExtendedPublicKey, parse_path
from wormsig.bitcoin.network import Network, address_of, script_of
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.schnorr import NO_AUX, schnorr_sign, schnorr_verify, split_signature
from wormsig.bitcoin.script import (
    Multisig,
    p2sh_script,
    p2wsh_script,
    parse_multisig,
    parse_pushes,
)
from wormsig.bitcoin.sighash import Sighasher
from wormsig.bitcoin.taproot import (
    NUMS_KEY,
    MultiA,
    TaprootOutput,
    TapTree,
    multi_a_script,
    parse_multi_a,
    split_witness,
    tapleaf_hash,
    verify_control_block,
)
from wormsig.bitcoin.tx import Transaction, TxOutput, parse_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ECDSA = {"wsh", "sh-wsh", "sh"}


def cases(corpus: Path) -> list[dict[str, Any]]:
    index = json.loads((corpus / "index.json").read_text())
    found = [json.loads((corpus / case["name"] / "meta.json").read_text()) for case in index["cases"]]
    assert found
    return found


def finals(case: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    for final in case["final"].values():
        yield final, bytes.fromhex(final["hex"])


def test_final_transactions_have_bitcoinds_ids_and_sizes(corpus: Path) -> None:
    for case in cases(corpus):
        for final, raw in finals(case):
            tx = parse_transaction(raw)
            assert tx.serialize() == raw
            assert (tx.txid, tx.wtxid) == (final["txid"], final["wtxid"])
            assert (tx.weight, tx.vsize) == (final["weight"], final["vsize"])


def test_previous_transactions_give_the_spent_outputs(corpus: Path) -> None:
    for case in cases(corpus):
        for spent in case["inputs"]:
            raw = bytes.fromhex(case["prev_txs"][spent["txid"]])
            txid, output = previous_output(raw, spent["vout"])
            assert txid[::-1].hex() == spent["txid"]
            assert output.sats == spent["value_sat"]
            assert address_of(output.script, Network.REGTEST) == spent["address"]
            assert script_of(spent["address"], Network.REGTEST) == output.script


def multisig_of(tx: Transaction, index: int, segwit: bool) -> tuple[list[bytes], bytes, Multisig]:
    """The signatures, the script that they sign, and its keys."""
    stack = tx.witnesses[index] if segwit else parse_pushes(tx.inputs[index].script_sig)
    assert stack is not None
    parsed = parse_multisig(stack[-1])
    assert parsed is not None
    return [item for item in stack[:-1] if item], stack[-1], parsed


def secrets_of(case: dict[str, Any], path: str) -> dict[bytes, bytes]:
    keys = [ExtendedPrivateKey.from_text(c["account_tprv"]) for c in case["cosigners"].values()]
    derived = [key.derive(parse_path(path)) for key in keys]
    return {key.pubkey: key.seckey for key in derived}


def test_our_signatures_are_bitcoinds_signatures(corpus: Path) -> None:
    compared = 0
    for case in cases(corpus):
        if case["script_type"] not in ECDSA:
            continue
        segwit = case["script_type"] != "sh"
        spent = {(each["txid"], each["vout"]): each for each in case["inputs"]}
        for _, raw in finals(case):
            tx = parse_transaction(raw)
            hasher = Sighasher(tx)
            for index, txin in enumerate(tx.inputs):
                coin = spent[txin.outpoint.txid[::-1].hex(), txin.outpoint.index]
                signatures, script, multisig = multisig_of(tx, index, segwit)
                if segwit:
                    digest = hasher.segwit_v0(index, script, coin["value_sat"], 1)
                else:
                    digest = hasher.legacy(index, script, 1)
                secrets = secrets_of(case, coin["path"])
                assert set(secrets) == set(multisig.pubkeys)
                ours = {secp.ecdsa_sign(secrets[key], digest): key for key in multisig.pubkeys}
                assert len(signatures) == multisig.threshold
                for signature in signatures:
                    assert signature[-1] == 1
                    assert secp.ecdsa_verify(ours[signature[:-1]], digest, signature[:-1])
                    compared += 1
    assert compared == 2 * 4 * (3 + 1 + 3 + 1 + 3)


@pytest.mark.parametrize("script_type", ["wsh", "sh"])
def test_scripts_hash_to_the_addresses_that_bitcoind_derived(corpus: Path, script_type: str) -> None:
    case = next(case for case in cases(corpus) if case["script_type"] == script_type and len(case["inputs"]) == 3)
    wrap = p2wsh_script if script_type == "wsh" else p2sh_script
    tx = parse_transaction(bytes.fromhex(case["final"]["AB"]["hex"]))
    addresses = {(each["txid"], each["vout"]): each["address"] for each in case["inputs"]}
    for index, txin in enumerate(tx.inputs):
        _, script, _ = multisig_of(tx, index, script_type == "wsh")
        expected = addresses[txin.outpoint.txid[::-1].hex(), txin.outpoint.index]
        assert address_of(wrap(script), Network.REGTEST) == expected


def test_account_keys_come_from_the_seeds(corpus: Path) -> None:
    index = json.loads((corpus / "index.json").read_text())
    for case in cases(corpus):
        path = parse_path(case["account_path"])
        for name, cosigner in case["cosigners"].items():
            known = index["cosigners"][name]
            master = ExtendedPrivateKey.from_seed(bytes.fromhex(known["seed"]), mainnet=False)
            assert master.text() == known["master_tprv"]
            assert master.fingerprint.hex() == cosigner["master_fingerprint"]
            account = master.derive(path)
            assert account.text() == cosigner["account_tprv"]
            assert account.neuter() == ExtendedPublicKey.from_text(cosigner["account_tpub"])


def spent_outputs(case: dict[str, Any], tx: Transaction) -> list[TxOutput]:
    raws = [bytes.fromhex(case["prev_txs"][txin.outpoint.txid[::-1].hex()]) for txin in tx.inputs]
    return [previous_output(raw, txin.outpoint.index)[1] for raw, txin in zip(raws, tx.inputs, strict=True)]


def test_our_taproot_scripts_and_signatures_are_bitcoinds(corpus: Path) -> None:
    """Bitcoind gives no auxiliary bytes: without any, ours are the same."""
    compared = 0
    for case in cases(corpus):
        if case["script_type"] != "tr-multi-a":
            continue
        paths = {(each["txid"], each["vout"]): each["path"] for each in case["inputs"]}
        for _, raw in finals(case):
            tx = parse_transaction(raw)
            spent = spent_outputs(case, tx)
            hasher = Sighasher(tx, spent)
            for index, txin in enumerate(tx.inputs):
                secrets = secrets_of(case, paths[txin.outpoint.txid[::-1].hex(), txin.outpoint.index])
                by_x = {pubkey[1:]: secret for pubkey, secret in secrets.items()}
                script = multi_a_script(case["threshold"], sorted(by_x))
                output = TaprootOutput(NUMS_KEY, TapTree.nested(script))
                assert output.script == spent[index].script
                witness = split_witness(tx.witnesses[index])
                assert (witness.script, witness.control) == (script, output.control_block(0))
                assert verify_control_block(output.control_block(0), script, output.output_key)
                parsed = parse_multi_a(script)
                assert parsed == MultiA(case["threshold"], tuple(sorted(by_x)))
                digest = hasher.tapscript(index, tapleaf_hash(script), 0)
                assert len(witness.arguments) == len(parsed.keys)
                for key, signature in zip(reversed(parsed.keys), witness.arguments, strict=True):
                    if signature:
                        assert schnorr_verify(key, digest, signature)
                        assert schnorr_sign(by_x[key], digest, NO_AUX) == signature
                        compared += 1
    assert compared == 2 * 4 * (1 + 3)


def test_bitcoinds_musig_signatures_verify(corpus: Path) -> None:
    verified = 0
    for case in cases(corpus):
        if case["script_type"] != "tr-musig":
            continue
        for _, raw in finals(case):
            tx = parse_transaction(raw)
            spent = spent_outputs(case, tx)
            hasher = Sighasher(tx, spent)
            for index, output in enumerate(spent):
                witness = split_witness(tx.witnesses[index])
                assert witness.script is None
                split = split_signature(witness.arguments[0])
                assert split is not None
                assert split[1] == 0
                assert schnorr_verify(output.script[2:], hasher.taproot(index, 0), split[0])
                verified += 1
    assert verified == 1 + 3
