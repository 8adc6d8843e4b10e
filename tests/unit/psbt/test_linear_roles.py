"""Roles take time in proportion to the inputs, and midstates are shared, so that inputs cost the same (THREATS C16)."""

from __future__ import annotations

import gc
import hashlib
import time
from typing import TYPE_CHECKING

import pytest

from support.psbts import coin, coins
from support.psbts import spend as spend_ecdsa
from support.taproot import spend, taproot_coin
from wormsig.bitcoin import sighash as sighashes
from wormsig.bitcoin.script import multisig_script
from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_DEFAULT, Sighasher
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine
from wormsig.psbt.contribution import extract
from wormsig.psbt.extractor import extract as transaction_of
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.psbt.model import Psbt

FEW, MANY = 40, 320


def signed_by(kind: str, count: int) -> tuple[bytes, list[bytes]]:
    """A PSBT with so many inputs, and the answers of two people."""
    if kind == "wsh":
        own = [coin("wsh", index) for index in range(count)]
        psbt = spend_ecdsa(own)
        keys = [{index: each.secrets(who) for index, each in enumerate(own)} for who in (0, 1)]
    else:
        leaves = [taproot_coin(index, None, [(2, "abc")]) for index in range(count)]
        psbt = spend(leaves)
        keys = [{index: each.secrets(who) for index, each in enumerate(leaves)} for who in "ab"]
    return serialize(psbt), [serialize(sign_inputs(psbt, each)) for each in keys]


def whole(raw: bytes, answers: list[bytes]) -> bytes:
    """The coordinator's job."""
    mine = parse(raw)
    contributions = [extract(mine, parse(answer)) for answer in answers]
    return transaction_of(finalize(combine(verify(mine), contributions))).serialize()


def seconds(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(3):
        gc.collect()
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


@pytest.mark.parametrize("kind", ["wsh", "tr"])
def test_the_coordinators_job_takes_time_in_proportion_to_the_inputs(kind: str) -> None:
    few, many = signed_by(kind, FEW), signed_by(kind, MANY)
    # Eight times the inputs: a quadratic step would take sixty-four times as long.
    assert seconds(lambda: whole(*many)) < 20 * seconds(lambda: whole(*few))


class Counting:
    """sha256 that knows how many bytes it was given."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, data: bytes = b"") -> hashlib._Hash:
        self.bytes += len(data)
        return hashlib.sha256(data)


SCRIPT = multisig_script(2, [bytes((2,)) + hashlib.sha256(bytes((n,))).digest() for n in range(3)])


def hashed(count: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many bytes are hashed to sign every input of a transaction, by kind."""
    tx = Transaction(
        2,
        tuple(TxInput(OutPoint(number.to_bytes(32, "big"), 1), b"", 5) for number in range(count)),
        tuple(TxOutput(1_000, b"\x00\x20" + bytes(32)) for _ in range(count)),
        0,
    )
    spent = [TxOutput(2_000, b"\x51\x20" + bytes(32))] * count
    found = {}
    for kind in ("segwit_v0", "segwit_v0 long", "taproot", "tapscript"):
        hasher, counting = Sighasher(tx, spent), Counting()
        monkeypatch.setattr(sighashes, "sha256", counting)
        for index in range(count):
            if kind.startswith("segwit_v0"):
                hasher.segwit_v0(index, SCRIPT + b"\x51" * 200 * kind.endswith("long"), 2_000, SIGHASH_ALL)
            elif kind == "taproot":
                hasher.taproot(index, SIGHASH_DEFAULT)
            else:
                hasher.tapscript(index, bytes(32), SIGHASH_DEFAULT)
        monkeypatch.undo()
        found[kind] = counting.bytes
    return found


def test_midstates_are_shared_over_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = hashed(50, monkeypatch), hashed(400, monkeypatch)
    for kind, count in many.items():
        assert 50 * 100 < few[kind] < count <= 8 * few[kind], kind


def test_many_fields_of_one_map_take_time_in_proportion() -> None:
    (plain,) = coins("wsh")
    psbt = spend_ecdsa([plain])

    def filled(count: int) -> Psbt:
        extra = {b"\xfc\x02id\x07" + number.to_bytes(4, "big"): bytes(20) for number in range(count)}
        return psbt.with_input(0, {**psbt.inputs[0], **extra})

    few, many = filled(1_000), filled(8_000)
    for work in (lambda each: parse(serialize(each)), lambda each: extract(psbt, each)):
        assert seconds(lambda: work(many)) < 24 * max(seconds(lambda: work(few)), 0.001)  # noqa: B023  # called at once
