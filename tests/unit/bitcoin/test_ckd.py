from __future__ import annotations

import hashlib
import threading

import pytest

from wormsig.bitcoin import batch
from wormsig.bitcoin.ckd import Parent, PrivateParent, children
from wormsig.bitcoin.keys import HARDENED, ExtendedPrivateKey, derive_public
from wormsig.errors import DescriptorError, InputError

KEYS = [
    ExtendedPrivateKey.from_seed(hashlib.sha256(bytes((number,))).digest(), mainnet=False).neuter()
    for number in range(3)
]
PARENTS = [Parent(key.pubkey, key.chain_code) for key in KEYS]
INDICES = [0, 1, 7, 0x7FFF_FFFF, *range(1000, 1030)]


def expected(indices: list[int]) -> list[tuple[bytes, ...]]:
    return [tuple(derive_public(key.pubkey, key.chain_code, index)[0] for key in KEYS) for index in indices]


@pytest.mark.parametrize("count", [0, 1, len(INDICES)])
def test_children_are_those_of_single_steps(count: int) -> None:
    assert children(PARENTS, INDICES[:count]) == expected(INDICES[:count])


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, len(INDICES)])
def test_parts_are_shared_out(monkeypatch: pytest.MonkeyPatch, cores: int, count: int) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: cores)
    wanted = INDICES[:count]
    parts = batch.share_out(count, 1000, lambda first, last: children(PARENTS, wanted[first:last]))
    assert len(parts) >= min(cores, count)
    assert [row for part in parts for row in part] == expected(wanted)


def test_a_failure_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_cores", lambda: 3)
    with pytest.raises(DescriptorError, match="private key"):
        batch.share_out(60, 1000, lambda first, last: children(PARENTS, [*range(first, last - 1), HARDENED]))


def test_threads_share_parents() -> None:
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(index for index in range(40) if children(PARENTS, [index]) != expected([index]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("index", [-1, HARDENED, 1 << 32])
def test_hardened_indexes_are_refused(index: int) -> None:
    with pytest.raises(DescriptorError, match="private key"):
        children(PARENTS, [0, index])


@pytest.mark.parametrize("pubkey", [b"", b"\x02" + b"\xff" * 32, KEYS[0].pubkey[1:], b"\x04" + bytes(64)])
def test_parents_are_points(pubkey: bytes) -> None:
    with pytest.raises(DescriptorError, match="not on the curve"):
        Parent(pubkey, bytes(32))


PRIVATE = ExtendedPrivateKey.from_seed(bytes(range(32)), mainnet=False)


@pytest.mark.parametrize("count", [0, 1, len(INDICES)])
def test_private_children_are_those_of_single_steps(count: int) -> None:
    steps = [PRIVATE.child(index) for index in INDICES[:count]]
    parent = PrivateParent(PRIVATE.seckey, PRIVATE.chain_code)
    assert parent.children(INDICES[:count]) == [(key.seckey, key.pubkey) for key in steps]


@pytest.mark.parametrize("wrong", [-1, HARDENED])
@pytest.mark.parametrize("count", [0, 60])
def test_private_steps_are_not_hardened(wrong: int, count: int) -> None:
    with pytest.raises(DescriptorError, match="not hardened"):
        PrivateParent(PRIVATE.seckey, PRIVATE.chain_code).children([*range(count), wrong])


def test_a_private_parent_shows_nothing_and_is_in_range() -> None:
    shown = repr(PrivateParent(PRIVATE.seckey, PRIVATE.chain_code))
    assert PRIVATE.seckey.hex() not in shown
    assert str(PRIVATE.seckey) not in shown
    with pytest.raises(InputError):
        PrivateParent(bytes(32), PRIVATE.chain_code)


def test_secret_children_are_those_that_come_with_public_keys():
    parent = PrivateParent(hashlib.sha256(b"key").digest(), hashlib.sha256(b"chain").digest())
    indices = [0, 1, 7, 2**31 - 1]
    assert parent.seckeys(indices) == [seckey for seckey, _ in parent.children(indices)]
    with pytest.raises(DescriptorError, match="hardened"):
        parent.seckeys([2**31])
