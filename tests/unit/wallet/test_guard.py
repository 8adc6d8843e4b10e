"""Private keys where public ones belong: every form of one is seen, and no public key is taken for one."""

from __future__ import annotations

import pytest

from wormsig.bitcoin.keys import ExtendedPrivateKey
from wormsig.wallet.guard import holds_private_key

PRIVATE = ExtendedPrivateKey.from_seed(bytes(32), mainnet=True)


@pytest.mark.parametrize("letters", ["xprv", "tprv", "zprv", "Aprv"])
@pytest.mark.parametrize("at", [4, 5, 40, 90, 107])
def test_letters_inside_a_public_key_are_no_private_key(letters: str, at: int) -> None:
    public = PRIVATE.neuter().text()
    text = public[:at] + letters + public[at + 4 :]
    assert len(text) == 111
    for around in (text, f"wsh(sortedmulti(2,[d34db33f/48h/0h/0h/2h]{text}/<0;1>/*))", f"{text},{text}"):
        assert not holds_private_key(around)


@pytest.mark.parametrize("before", ["", "wsh(multi(1,", "[d34db33f/84h]", "key: ", "x", "abc"])
def test_a_private_key_is_seen_wherever_it_stands(before: str) -> None:
    assert holds_private_key(before + PRIVATE.text() + "/0/*)")


def test_a_part_of_a_private_key_is_seen_too() -> None:
    assert holds_private_key(PRIVATE.text()[:60])
    assert holds_private_key("(5KYZdUEo39z3FPrtuX2QbbwGnNP5zTd7yyr2SC1j299sBCnWjss)")
