"""Public vectors: checksums and key expressions (BIP380), multi (BIP383), taproot (386, 387), policies (388), musig."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin import base58, musig, secp
from wormsig.bitcoin.keys import HARDENED, ExtendedPrivateKey, ExtendedPublicKey, parse_path
from wormsig.bitcoin.network import Network
from wormsig.bitcoin.script import multisig_script, p2sh_script, p2wsh_script
from wormsig.bitcoin.taproot import TapLeaf, TaprootOutput, TapTree
from wormsig.errors import DescriptorError, NotSupportedError, WormsigError
from wormsig.wallet.checksum import descriptor_checksum, first_foreign_character
from wormsig.wallet.derive import Deriver
from wormsig.wallet.descriptor import checked_body, parse_descriptor
from wormsig.wallet.grammar import split_call, split_multisig, split_musig
from wormsig.wallet.policy import depths, leaves
from wormsig.wallet.reading import _tree
from wormsig.wallet.scripts import _Leaf

if TYPE_CHECKING:
    from pathlib import Path


def cases(vectors: Path, name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((vectors / name).read_text())["cases"]
    assert loaded
    return loaded


def test_checksums(vectors: Path) -> None:
    for case in cases(vectors, "descriptor-checksums.json"):
        assert first_foreign_character(case["desc"]) is None
        assert descriptor_checksum(case["desc"]) == case["checksum"]


def test_bip380_checksums(vectors: Path) -> None:
    checked = 0
    for case in cases(vectors, "bip380.json"):
        if "descriptor" not in case:
            continue
        checked += 1
        if case["expect"] == "valid":
            checked_body(case["descriptor"])
        else:
            with pytest.raises(DescriptorError):
                checked_body(case["descriptor"])
    assert checked == 8


def test_bip380_key_expressions_are_accepted_only_as_extended_public_keys(vectors: Path) -> None:
    """A wallet takes one form of key; whatever BIP380 calls invalid is refused, and the rest says why."""
    second = (
        "xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDa"
        "PPLPxSb7gwQN3ih19Zm4Y"
    )
    for case in cases(vectors, "bip380.json"):
        if "key" not in case:
            continue
        text = f"wsh(sortedmulti(1,{case['key']},{second}/<0;1>/*))"
        with pytest.raises(WormsigError):
            parse_descriptor(text, Network.MAINNET)
        if case["expect"] == "valid" and "xpub" in case["key"] and "/" not in case["key"].split("]")[-1]:
            fixed = text.replace(case["key"], case["key"] + "/<0;1>/*")
            assert len(parse_descriptor(fixed, Network.MAINNET).keys) == 2


def test_bip383_descriptors_are_refused_for_what_they_are(vectors: Path) -> None:
    """None of them is a wallet with two branches; the invalid ones and those with private keys are no exception."""
    for case in cases(vectors, "bip383.json"):
        with pytest.raises((DescriptorError, NotSupportedError)):
            parse_descriptor(case["descriptor"], Network.MAINNET)


# --- scripts of keys that no wallet may have ----------------------------------------------------------------------


class AnyKeys:
    """Reads every key expression of BIP380 and BIP390, private ones too, for the scripts of the BIPs' own examples."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def use(self, text: str) -> int:
        self.texts.append(text)
        return len(self.texts) - 1

    def at(self, index: int) -> list[bytes]:
        return [pubkey_of(text, index) for text in self.texts]


def pubkey_of(text: str, index: int) -> bytes:
    aggregate = split_musig(text)
    if aggregate is not None:
        participants, steps = aggregate
        found = musig.aggregate(sorted(pubkey_of(participant, index) for participant in participants))
        return musig.synthetic_xpub(found, mainnet=True).derive(path(steps, index)).pubkey if steps else found
    key, slash, steps = re.sub(r"^\[.*\]", "", text).partition("/")
    if re.fullmatch(r"[0-9a-f]+", key):
        return bytes.fromhex(key if len(key) != 64 else "02" + key)
    if key.startswith("xpub"):
        return ExtendedPublicKey.from_text(key).derive(path(slash + steps, index)).pubkey
    if key.startswith("xprv"):
        return ExtendedPrivateKey.from_text(key).derive(path(slash + steps, index)).pubkey
    payload = base58.decode_check(key)  # WIF, compressed or not
    return secp.pubkey_of(payload[1:33])


def path(steps: str, index: int) -> tuple[int, ...]:
    hardened = steps.endswith(("*'", "*h"))
    ranged = re.sub(r"\*['h]?$", str(index) + ("h" if hardened else ""), steps)
    found = parse_path(ranged.removeprefix("/"))
    assert all(step < 2 * HARDENED for step in found)
    return found


def taproot_script(descriptor: str, index: int) -> bytes:
    call = split_call(descriptor)
    assert call is not None
    name, arguments = call
    assert name == "tr"
    keys = AnyKeys()
    keys.use(arguments[0])
    tree = _tree(arguments[1], keys, 0) if len(arguments) == 2 else None  # type: ignore[arg-type]
    xonly = [key[1:] for key in keys.at(index)]
    scripts = [TapLeaf(_Leaf(leaf).script(xonly)) for leaf in leaves(tree)]
    return TaprootOutput(xonly[0], TapTree(tuple(zip(depths(tree), scripts, strict=True))) if scripts else None).script


@pytest.mark.parametrize(("name", "count"), [("bip386.json", 5), ("bip387.json", 6), ("bip390.json", 4)])
def test_taproot_scripts(vectors: Path, name: str, count: int) -> None:
    checked = 0
    for case in cases(vectors, name):
        if case["expect"] != "valid" or not case["descriptor"].startswith("tr("):
            continue
        for index, script in enumerate(case["scripts"]):
            assert taproot_script(case["descriptor"], index).hex() == script, case["id"]
        checked += bool(case["scripts"])
    assert checked == count


def test_multisig_scripts(vectors: Path) -> None:
    checked = 0
    for case in cases(vectors, "bip383.json"):
        shape = split_multisig(case["descriptor"])
        if case["expect"] != "valid" or shape is None:
            continue
        for index, script in enumerate(case["scripts"]):
            keys = [pubkey_of(key, index) for key in shape.keys]
            inner = multisig_script(int(shape.threshold), sorted(keys) if shape.sorted else keys)
            wrapped = {"wsh": p2wsh_script, "sh": p2sh_script, "sh-wsh": lambda each: p2sh_script(p2wsh_script(each))}
            assert wrapped[shape.script_type](inner).hex() == script, case["id"]
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize("name", ["bip386.json", "bip387.json", "bip390.json"])
def test_no_example_of_taproot_is_a_wallet(vectors: Path, name: str) -> None:
    """They have private keys, single keys or one branch; the invalid ones are no exception."""
    for case in cases(vectors, name):
        with pytest.raises((DescriptorError, NotSupportedError)):
            parse_descriptor(case["descriptor"], Network.MAINNET)


def test_bip388_policies(vectors: Path) -> None:
    """Those of several keys are wallets here, and their template is the BIP's."""
    read = 0
    for case in cases(vectors, "bip388.json"):
        if case["expect"] != "valid":
            continue
        if len(case["keys"]) == 1:
            with pytest.raises(NotSupportedError, match="single-key"):
                parse_descriptor(case["descriptor"], Network.MAINNET)
            continue
        wallet = parse_descriptor(case["descriptor"], Network.MAINNET)
        assert wallet.template == case["template"]
        assert [key.text() for key in wallet.keys] == [key.replace("'", "h") for key in case["keys"]]
        assert Deriver(wallet).address(1, 7)
        read += 1
    assert read == 5


def test_bip328_aggregates(vectors: Path) -> None:
    for case in cases(vectors, "bip328.json"):
        found = musig.aggregate([bytes.fromhex(key) for key in case["keys"]])
        assert found.hex() == case["aggregate_pubkey"]
        assert musig.synthetic_xpub(found, mainnet=True).text() == case["xpub"]
