"""BIP327's vectors of key aggregation: all that is made of MuSig2 here. Nonces, tweaks and signing are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from wormsig.bitcoin.musig import aggregate
from wormsig.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_aggregate_as_bip327_says(vectors: Path) -> None:
    family = json.loads((vectors / "bip327.json").read_text())["key_agg"]
    keys = [bytes.fromhex(key) for key in family["pubkeys"]]
    assert family["valid_test_cases"]
    for case in family["valid_test_cases"]:
        assert aggregate([keys[at] for at in case["key_indices"]])[1:].hex() == case["expected"].lower()
    refused = [case for case in family["error_test_cases"] if not case["tweak_indices"]]
    assert len(refused) == 3
    for case in refused:
        with pytest.raises(InputError, match="not a compressed public key"):
            aggregate([keys[at] for at in case["key_indices"]])
