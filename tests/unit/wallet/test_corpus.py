"""Wallets that bitcoind made: their descriptors, and every script of theirs in its PSBTs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.network import Network, script_of
from wormsig.errors import NotSupportedError
from wormsig.signers.secret import read_secret
from wormsig.wallet.derive import Deriver, locate
from wormsig.wallet.descriptor import parse_descriptor

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("case", ["tr-multi-a-01in", "tr-musig-01in"])
def test_taproot_wallets_are_not_supported_yet(corpus: Path, case: str) -> None:
    with pytest.raises(NotSupportedError):
        parse_descriptor(meta(corpus, case)["descriptor"], Network.REGTEST)
