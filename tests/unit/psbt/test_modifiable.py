from __future__ import annotations

import pytest

from support.psbts import coins, spend
from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_NONE, SIGHASH_SINGLE
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, union, with_signatures
from wormsig.psbt.contribution import extract
from wormsig.psbt.modifiable import (
    NOTHING,
    TX_MODIFIABLE,
    Modifiable,
    after_signing,
    modifiable,
    signature_types,
    with_modifiable,
)
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify

COINS = coins("wsh", "sh-wsh")
BOTH = Modifiable.INPUTS | Modifiable.OUTPUTS
OPEN = spend(COINS, psbt_version=2, modifiable=BOTH)
KEYS = {0: COINS[0].secrets(0)}
ANY = SIGHASH_ANYONECANPAY

# BIP370, Signer: what a signature of each type leaves of a PSBT to which everything could be added.
LEFT = [
    (SIGHASH_ALL, NOTHING),
    (SIGHASH_NONE, Modifiable.OUTPUTS),
    (SIGHASH_SINGLE, Modifiable.HAS_SINGLE),
    (SIGHASH_ALL | ANY, Modifiable.INPUTS),
    (SIGHASH_NONE | ANY, BOTH),
    (SIGHASH_SINGLE | ANY, Modifiable.INPUTS | Modifiable.HAS_SINGLE),
]


@pytest.mark.parametrize(("sighash", "left"), LEFT)
def test_signing_takes_back_what_the_signature_rules_out(sighash: int, left: Modifiable) -> None:
    allowed = frozenset({sighash})
    signed = sign_inputs(OPEN, KEYS, sighash_type=sighash)
    assert modifiable(signed) == left
    assert parse(serialize(signed)) == signed
    contribution = extract(OPEN, signed, allowed=allowed)
    assert contribution.differences == ()
    assert combine(verify(OPEN), [contribution]).psbt == signed
    assert with_signatures(OPEN, contribution.signatures) == signed
    assert union(OPEN, [signed]) == union(signed, [OPEN]) == signed


def test_flags_are_never_widened_and_bits_without_a_meaning_stay() -> None:
    for bits in range(256):
        psbt = with_modifiable(OPEN, Modifiable(bits))
        assert int(modifiable(psbt)) == bits
        assert int(modifiable(sign_inputs(psbt, KEYS))) == bits & ~3
        assert int(modifiable(sign_inputs(psbt, KEYS, sighash_type=0x83))) == bits & ~2 | 4


def test_a_psbt_without_the_field_stays_without_it() -> None:
    closed = spend(COINS, psbt_version=2)
    assert modifiable(closed) == NOTHING
    signed = sign_inputs(closed, KEYS, sighash_type=SIGHASH_SINGLE)
    assert TX_MODIFIABLE not in signed.global_map
    assert with_modifiable(closed, BOTH) is closed


def test_version_0_has_no_flags_whatever_stands_there() -> None:
    psbt = spend(COINS)
    assert modifiable(psbt.with_global({**psbt.global_map, TX_MODIFIABLE: b"\x03"})) == NOTHING
    assert after_signing(psbt, psbt) is psbt


def test_the_types_of_every_kind_of_signature() -> None:
    assert signature_types({}) == frozenset()
    assert signature_types({b"\x02" + bytes(33): b"\x30\x00\x83", b"\x13": bytes(64)}) == {0x83, SIGHASH_ALL}
    assert signature_types({b"\x14" + bytes(64): bytes(64) + b"\x02"}) == {SIGHASH_NONE}
    assert signature_types({b"\x1c" + bytes(66): bytes(32), b"\x03": b"\x81\x00\x00\x00"}) == {0x81}
    assert signature_types({b"\x08": b"\x00"}) == {SIGHASH_ALL}
    assert signature_types({b"\x02": b""}) == {SIGHASH_ALL}


def test_flags_that_do_not_follow_from_the_signatures_are_reported_and_not_merged() -> None:
    signed = sign_inputs(OPEN, KEYS)
    for flags, seen in ((BOTH, "changed"), (Modifiable.HAS_SINGLE, "changed")):
        lie = signed.with_global({**signed.global_map, TX_MODIFIABLE: bytes((flags,))})
        contribution = extract(OPEN, lie)
        expected = [] if flags == BOTH else [("PSBT_GLOBAL_TX_MODIFIABLE", seen)]
        assert [(one.field, one.what) for one in contribution.differences] == expected
        assert combine(verify(OPEN), [contribution]).psbt == signed
    dropped = signed.with_global({key: value for key, value in signed.global_map.items() if key != TX_MODIFIABLE})
    assert [one.what for one in extract(OPEN, dropped).differences] == ["dropped"]
