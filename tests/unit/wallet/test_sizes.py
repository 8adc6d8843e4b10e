"""Sizes of final scripts: known ones, and those of btclib-wallet's satisfier for whoever signs and whatever is open."""

from __future__ import annotations

from functools import cache
from hashlib import new, sha256
from typing import TYPE_CHECKING, Any

import pytest

from support.kinds import SECRET, kind
from support.values import replace
from wormsig.bitcoin.script import parse_pushes
from wormsig.wallet.derive import Deriver
from wormsig.wallet.sizes import ECDSA_SIZE, SCHNORR_SIZE, FinalSize, Spend, final_size

if TYPE_CHECKING:
    from wormsig.wallet.model import Wallet

DIGEST = sha256(SECRET).digest()
HASH160 = new("ripemd160", DIGEST).digest()
LATE = Spend(sequence=0xFFFF, locktime=1_000_000, preimages=frozenset({DIGEST, HASH160}))
SECONDS = Spend(sequence=(1 << 22) | 300, locktime=1_950_000_000)


@cache
def wallet(name: str) -> Wallet:
    return kind(name)


def size(name: str, spend: Spend | None = None) -> FinalSize | None:
    return final_size(wallet(name), Deriver(wallet(name)).script(0, 0), spend)


@pytest.mark.parametrize(
    ("name", "script_sig", "items"),
    [
        ("wsh", 0, (0, 71, 71, 105)),
        ("sh-wsh", 35, (0, 71, 71, 105)),
        ("sh", 1 + 72 + 72 + 107, ()),
        ("tr-sortedmulti-a", 0, (64, 64, 0, 104, 33)),
        ("tr-internal-other", 0, (64,)),
        ("tr-tree", 0, (64, 64, 0, 104, 65)),
        ("tr-musig", 0, (64,)),
    ],
)
def test_known_sizes(name: str, script_sig: int, items: tuple[int, ...]) -> None:
    assert size(name) == FinalSize(script_sig, items)


def test_the_witness_is_counted_with_its_lengths() -> None:
    assert FinalSize(0, (0, 71, 71, 105)).witness == 1 + 1 + 72 + 72 + 106
    assert FinalSize(0, (64, 300)).witness == 1 + 65 + 303
    assert FinalSize(252, ()).witness == 0


@pytest.mark.parametrize(
    ("name", "spend", "items"),
    [
        ("wsh-recovery", Spend(sequence=999, keys=frozenset({3})), None),
        ("wsh-recovery", Spend(sequence=1000, keys=frozenset({3})), (71, 33, 0, 0, 0, 137)),
        ("wsh-recovery", Spend(sequence=1000, version=1, keys=frozenset({3})), None),
        ("wsh-recovery", Spend(sequence=1000 | 1 << 31, keys=frozenset({3})), None),
        ("wsh-recovery", Spend(sequence=1000 | 1 << 22, keys=frozenset({3})), None),
        ("wsh-or-i", Spend(locktime=1_900_000_000, keys=frozenset({2})), (71, 33, 0, 104)),
        ("wsh-or-i", Spend(locktime=900_000, keys=frozenset({2})), None),
        ("wsh-or-i", Spend(locktime=1_900_000_000, sequence=0xFFFF_FFFF, keys=frozenset({2})), None),
        ("tr-hash", None, None),
        ("tr-hash", Spend(preimages=frozenset({DIGEST})), (64, 64, 32, 109, 33)),
        ("tr-internal-other", Spend(keys=frozenset({1, 2})), (0, 64, 64, 104, 65)),
        ("tr-musig-leaf", Spend(sequence=12960, keys=frozenset({0, 1})), (64, 38, 33)),
        ("wsh", Spend(keys=frozenset({1})), None),
    ],
)
def test_ways_open_with_locks_and_keys(name: str, spend: Spend | None, items: tuple[int, ...] | None) -> None:
    found = size(name, spend)
    assert (None if found is None else sorted(found.items)) == (None if items is None else sorted(items))


@cache
def theirs(name: str) -> Any:
    from btclib_wallet.descriptors import multipath_descriptors, parse  # noqa: PLC0415  slow to import

    return parse(multipath_descriptors(wallet(name).descriptor, "regtest")[0], "regtest")


def satisfied(name: str, spend: Spend) -> FinalSize | None:
    from btclib.exceptions import BTClibException  # noqa: PLC0415  slow to import
    from btclib_wallet.descriptors import SpendContext  # noqa: PLC0415  same

    script = Deriver(wallet(name)).script(0, 0)
    length = SCHNORR_SIZE if name.startswith("tr") else ECDSA_SIZE
    signatures = {
        (b"\x02" if len(pubkey) == 32 else b"") + pubkey: bytes(length)
        for pubkey, holder in zip(script.pubkeys, script.holders, strict=True)
        if spend.keys is None or wallet(name).keys.index(holder) in spend.keys
    }
    known = dict.fromkeys(spend.preimages, SECRET)
    context = SpendContext(
        sha256_preimages=known,
        hash160_preimages=known,
        locktime=spend.locktime,
        sequence=spend.sequence,
        version=spend.version,
    )
    try:
        script_sig, witness = theirs(name).satisfy(signatures, 0, None, context)
    except BTClibException:
        return None
    return FinalSize(len(script_sig), tuple(len(item) for item in witness.stack))


@pytest.mark.parametrize(
    "name",
    [
        "wsh-recovery",
        "wsh-decaying",
        "wsh-same-keys-later",
        "wsh-andor",
        "wsh-hash160",
        "wsh-or-b",
        "wsh-or-c",
        "wsh-wrappers",
        "wsh-j",
        "tr-hash",
    ],
)
@pytest.mark.parametrize("spend", [Spend(), LATE, SECONDS], ids=["now", "late", "seconds"])
def test_sizes_are_those_of_a_satisfier(name: str, spend: Spend) -> None:
    everybody = frozenset(range(len(wallet(name).keys)))
    for keys in (everybody, *(everybody - {key} for key in everybody), frozenset({max(everybody)})):
        given = replace(spend, keys=keys)
        ours, btclib = size(name, given), satisfied(name, given)
        assert (ours is None) == (btclib is None), keys
        if ours is not None and btclib is not None:
            assert (ours.script_sig, ours.witness) == (btclib.script_sig, btclib.witness)


def test_the_redeem_script_is_pushed() -> None:
    made = Deriver(wallet("sh-wsh")).script(0, 0)
    assert made.redeem is not None
    assert parse_pushes(bytes((len(made.redeem),)) + made.redeem) == [made.redeem]
    assert (size("sh-wsh") or FinalSize(0, ())).script_sig == len(made.redeem) + 1
