"""Our own writing of segwit addresses against bitcointx's."""

from __future__ import annotations

import random

import pytest
from bitcointx import segwit_addr

from wormsig.bitcoin.bech32 import segwit_address
from wormsig.bitcoin.network import Network


def theirs(hrp: str, version: int, program: bytes) -> str:
    encoding = segwit_addr.Encoding.BECH32M if version else segwit_addr.Encoding.BECH32
    return str(segwit_addr.bech32_encode(encoding, hrp, [version, *segwit_addr.convertbits(program, 8, 5)]))


@pytest.mark.parametrize("length", range(2, 41))
@pytest.mark.parametrize("hrp", sorted({network.hrp for network in Network}))
def test_every_length_version_and_prefix(hrp: str, length: int) -> None:
    chance = random.Random(f"{hrp}{length}")  # noqa: S311  the same programs in every run
    for version in range(17):
        program = chance.randbytes(length)
        assert segwit_address(hrp, version, program) == theirs(hrp, version, program)


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x80, 0x01])
def test_programs_at_their_edges(byte: int) -> None:
    for length in (2, 20, 32, 40):
        program = bytes([byte]) * length
        assert segwit_address("bc", 1, program) == theirs("bc", 1, program)


@pytest.mark.parametrize(
    ("version", "program", "address"),
    [
        (0, "751e76e8199196d454941c45d1b3a323f1433bd6", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        (1, "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
         "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),
        (2, "751e76e8199196d454941c45d1b3a323", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"),
        (16, "751e", "bc1sw50qgdz25j"),
    ],
)  # fmt: skip
def test_bip350s_own_examples(version: int, program: str, address: str) -> None:
    assert segwit_address("bc", version, bytes.fromhex(program)) == address
