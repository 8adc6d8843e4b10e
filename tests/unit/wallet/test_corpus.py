"""Wallets that bitcoind made: their descriptors, and every script of theirs in its PSBTs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.network import Network, script_of
from wormsig.psbt import codec
from wormsig.signers.secret import read_secret
from wormsig.wallet.derive import Deriver, locate
from wormsig.wallet.descriptor import parse_descriptor

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.wallet.derive import WalletScript

CASES = ["wsh-01in", "wsh-03in", "sh-wsh-01in", "sh-wsh-03in", "sh-03in"]


def meta(corpus: Path, case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((corpus / case / "meta.json").read_text())
    return loaded


@pytest.mark.parametrize("case", CASES)
def test_wallets_of_bitcoind(corpus: Path, case: str) -> None:
    told = meta(corpus, case)
    wallet = parse_descriptor(told["descriptor"], Network.REGTEST)
    assert wallet.descriptor == told["descriptor"]
    deriver = Deriver(wallet)
    scripts = [(script_of(spent["address"], Network.REGTEST), spent["path"]) for spent in told["inputs"]]
    assert scripts
    for script, path in scripts:
        found = locate(deriver, script, limit=20)
        assert found is not None
        assert found.path == path


@pytest.mark.parametrize("case", CASES)
def test_private_descriptors_give_the_cosigners_keys(corpus: Path, case: str) -> None:
    told = meta(corpus, case)
    wallet = parse_descriptor(told["descriptor"], Network.REGTEST)
    for cosigner in told["cosigners"].values():
        secret = read_secret(cosigner["private_descriptor"], Network.REGTEST)
        assert secret.key.text() == cosigner["account_tprv"]
        assert secret.origin.fingerprint.hex() == cosigner["master_fingerprint"]
        own = wallet.key_with(secret.origin.fingerprint)
        assert own is not None
        assert secret.find(own, wallet.script_type) == secret.key
        assert secret.expression(wallet.script_type) == own.expression()


def taproot_fields(script: WalletScript) -> dict[bytes, bytes]:
    """The fields that a taproot script gives an input (BIP371, BIP373), as their bytes in a PSBT."""
    assert script.taproot is not None
    output = script.taproot.output
    fields = {b"\x17": output.internal_key}
    for number, (_, leaf) in enumerate(output.tree.leaves if output.tree else ()):
        fields[b"\x15" + output.control_block(number)] = leaf.script + bytes((leaf.version,))
    if output.merkle_root is not None:
        fields[b"\x18"] = output.merkle_root
    for key, derivation in script.taproot.derivations.items():
        hashes = derivation.leaf_hashes
        fields[b"\x16" + key] = bytes((len(hashes),)) + b"".join(hashes) + derivation.origin.encode()
    for aggregate, participants in script.taproot.participants.items():
        fields[b"\x1a" + aggregate] = b"".join(participants)
    return fields


@pytest.mark.parametrize("case", ["tr-multi-a-01in", "tr-multi-a-03in", "tr-musig-01in", "tr-musig-03in"])
def test_taproot_wallets_give_the_fields_that_bitcoind_wrote(corpus: Path, case: str) -> None:
    told = meta(corpus, case)
    wallet = parse_descriptor(told["descriptor"], Network.REGTEST)
    assert (wallet.descriptor, wallet.threshold) == (told["descriptor"], told["threshold"])
    deriver = Deriver(wallet)
    psbt = codec.parse(codec.from_any((corpus / case / "00-unsigned.psbt").read_text()))
    for spent, fields in zip(told["inputs"], psbt.inputs, strict=True):
        found = locate(deriver, script_of(spent["address"], Network.REGTEST), limit=20)
        assert found is not None
        assert found.path == spent["path"]
        assert taproot_fields(found) == {key: value for key, value in fields.items() if key != b"\x01"}
