from __future__ import annotations

import pytest

from wormsig.bitcoin.musig import aggregate, synthetic_xpub
from wormsig.errors import InputError

FIRST = bytes.fromhex("03935f972da013f80ae011890fa89b67a27b7be6ccb24d3274d18b2d4067f261a9")
SECOND = bytes.fromhex("02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9")


def test_aggregate_and_its_extended_key() -> None:
    """BIP328, first vector."""
    found = aggregate([FIRST, SECOND])
    assert found.hex() == "0354240c76b8f2999143301a99c7f721ee57eee0bce401df3afeaa9ae218c70f23"
    assert synthetic_xpub(found, mainnet=True).text() == (
        "xpub661MyMwAqRbcFt6tk3uaczE1y6EvM1TqXvawXcYmFEWijEM4PDBnuCXwwXEKGEouzXE6QLLRxjatMcLLzJ5LV5Nib1BN7vJg6yp45yHHRbm"
    )
    assert aggregate([SECOND, FIRST]) != found


def test_one_key_is_not_its_own_aggregate() -> None:
    assert aggregate([FIRST]) != FIRST


@pytest.mark.parametrize("keys", [[], [FIRST, b""], [FIRST, FIRST[1:]], [b"\x02" + b"\xff" * 32, FIRST]])
def test_what_cannot_be_aggregated(keys: list[bytes]) -> None:
    with pytest.raises(InputError):
        aggregate(keys)
