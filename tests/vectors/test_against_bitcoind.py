"""A second judge: where bitcoind's decodepsbt differs from our vectors, the difference is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from wormsig.errors import NodeError

if TYPE_CHECKING:
    from wormsig.node.regtest import RegtestNode

CASES = json.loads((Path(__file__).parent / "psbt-v0.json").read_text())["cases"]

# What we refuse and bitcoind does not, by the beginning of the case's name.
WE_ARE_STRICTER = {
    "v2-": "BIP370 excludes its fields from version 0; bitcoind keeps them as unknown",
    "in-ripemd160-wrong": "BIP174: the preimage must hash to the key",
    "in-sha256-wrong": "the same",
    "in-hash160-wrong": "the same",
    "in-hash256-wrong": "the same",
    "in-partial-sig-key-hybrid": "a key that no script can use under policy",
    "in-derivation-key-hybrid": "the same",
    "out-derivation-key-hybrid": "the same",
    "tap-script-sig-key-off-curve": "no such key exists",
    "tap-in-derivation-key-off-curve": "the same",
    "tap-out-derivation-key-off-curve": "the same",
    "tap-in-internal-key-off-curve": "the same",
    "tap-out-internal-key-off-curve": "the same",
    "tap-leaf-control-too-deep": "BIP341: a control block has at most 128 steps",
    "out-dnssec-proof-cut": "bitcoind does not know BIP353's field",
    "musig-": "older versions do not know BIP373's fields",
}

# What bitcoind refuses when it parses, and we when somebody reviews, signs or verifies: it can be looked at first.
WE_REFUSE_LATER = {
    "refuse-previous-tx-": "the review says that the previous transaction is not the one that is spent (C1)",
    "signature-": "newer versions judge the signature's form when they parse",
}


def explained(name: str, table: dict[str, str]) -> bool:
    return any(name.startswith(known) for known in table)


def test_bitcoind_agrees_or_the_difference_is_explained(node: RegtestNode) -> None:
    agreed = 0
    for case in CASES:
        try:
            node.rpc.call("decodepsbt", case["psbt"])
            accepted = True
        except NodeError:
            accepted = False
        if accepted == (case["expect"] != "invalid"):
            agreed += 1
        else:
            table = WE_ARE_STRICTER if accepted else WE_REFUSE_LATER
            assert explained(case["id"], table), case["id"]
    assert agreed > 200
