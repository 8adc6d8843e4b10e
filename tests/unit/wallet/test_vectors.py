"""Public vectors: checksums (BIP380), key expressions, multi and sortedmulti (BIP383), BIP67."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, NotSupportedError, WormsigError
from wormsig.wallet.checksum import descriptor_checksum, first_foreign_character
from wormsig.wallet.descriptor import checked_body, parse_descriptor

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
