"""Signing what bitcoind made gives the very signatures that bitcoind gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.spending import approved
from wormsig.bitcoin.network import Network
from wormsig.psbt import codec
from wormsig.signers.secret import read_secret
from wormsig.signers.software import SoftwareKey
from wormsig.wallet.descriptor import parse_descriptor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", ["wsh-01in", "wsh-03in", "sh-wsh-01in", "sh-wsh-03in", "sh-03in"])
def test_signatures_are_bitcoinds(corpus: Path, case: str) -> None:
    folder = corpus / case
    told = json.loads((folder / "meta.json").read_text())
    masters = {
        name: value["master_tprv"]
        for name, value in json.loads((corpus / "index.json").read_text())["cosigners"].items()
    }
    wallet = parse_descriptor(told["descriptor"], Network.REGTEST, name="w")
    unsigned = codec.parse(codec.from_any((folder / "00-unsigned.psbt").read_bytes()))
    yes = approved(unsigned, wallet)
    for name, cosigner in told["cosigners"].items():
        theirs = codec.parse(codec.from_any((folder / f"10-signed-{name}.psbt").read_bytes()))
        for text in (masters[name], cosigner["private_descriptor"]):
            signer = SoftwareKey(read_secret(text, Network.REGTEST), wallet, label="key:x")
            assert signer.fingerprints == {bytes.fromhex(cosigner["master_fingerprint"])}
            assert codec.serialize(signer.sign(yes)) == codec.serialize(theirs)
