"""Public vectors: BIP67 scripts and addresses, extended keys, SLIP-132."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.keys import ExtendedPrivateKey, ExtendedPublicKey, parse_path
from wormsig.bitcoin.network import Network, address_of
from wormsig.bitcoin.script import Multisig, multisig_script, p2sh_script, parse_multisig
from wormsig.errors import DescriptorError

if TYPE_CHECKING:
    from pathlib import Path


def load(vectors: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((vectors / name).read_text())
    return loaded


def test_bip67_scripts_and_addresses(vectors: Path) -> None:
    cases = load(vectors, "bip67.json")["cases"]
    assert len(cases) == 4
    for case in cases:
        keys = tuple(sorted(bytes.fromhex(key) for key in case["keys"]))
        assert [key.hex() for key in keys] == case["sorted"]
        script = multisig_script(case["threshold"], keys)
        assert script.hex() == case["script"]
        assert parse_multisig(script) == Multisig(case["threshold"], keys)
        assert address_of(p2sh_script(script), Network.MAINNET) == case["address"]


def test_extended_keys_field_by_field(vectors: Path) -> None:
    cases = load(vectors, "bip32-hwi.json")["serialization"]
    assert cases
    for case in cases:
        fields = case["deser"]
        key = ExtendedPublicKey.from_text(case["xpub"])
        assert key.mainnet is not fields["is_testnet"]
        assert (key.depth, key.child_number) == (fields["depth"], fields["child_num"])
        assert key.parent_fingerprint.hex() == fields["parent_fingerprint"]
        assert key.chain_code.hex() == fields["chaincode"]
        assert key.pubkey.hex() == fields["pubkey"]
        assert key.text() == case["xpub"]
        private = ExtendedPrivateKey.from_text(case["xprv"])
        assert private.seckey.hex() == fields["privkey"]
        assert private.text() == case["xprv"]
        assert private.neuter() == key


def test_derivations(vectors: Path) -> None:
    data = load(vectors, "bip32-hwi.json")
    steps = [(case, (case["index"],)) for case in data["deriv"]]
    steps += [(case, parse_path(case["path"])) for case in data["deriv_path"]]
    assert steps
    for case, path in steps:
        assert ExtendedPublicKey.from_text(case["parent_xpub"]).derive(path).text() == case["child_xpub"]
        private = ExtendedPrivateKey.from_text(case["parent_xprv"])
        assert private.derive(path).neuter().text() == case["child_xpub"]


def test_slip132_is_refused_with_the_plain_form_and_without_the_value(vectors: Path) -> None:
    seen = set()
    for case in load(vectors, "slip132.json")["cases"]:
        for text in (case["public"], case["private"]):
            if text[0] == "x":
                continue
            for kind in (ExtendedPublicKey, ExtendedPrivateKey):
                with pytest.raises(DescriptorError, match=text[:4]) as caught:
                    kind.from_text(text)
                assert f"x{text[1:4]}" in (caught.value.hint or "")
                assert text[4:12] not in f"{caught.value} {caught.value.hint}"
            seen.add(text[:4])
    assert seen == {"ypub", "yprv", "zpub", "zprv"}
