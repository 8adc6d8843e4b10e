"""Odd and valid scripts: keys that stand in them twice, uncompressed keys; bitcoind makes the same finals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.psbts import key_at
from wormsig.bitcoin.script import p2pkh_script, p2sh_script, p2wsh_script
from wormsig.bitcoin.taproot import NUMS_KEY, TaprootOutput, TapTree, multi_a_script
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt import creator, extractor, updater
from wormsig.psbt.contribution import extract
from wormsig.psbt.finalizer import finalize, missing
from wormsig.psbt.finals import FinalState, check_finals
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_vsize
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.bitcoin.keys import KeyOrigin
    from wormsig.psbt.model import Psbt

A, B, C = (key_at(name, 0) for name in "abc")
KEYS = {"A": A, "B": B, "C": C}
PRIME = 2**256 - 2**32 - 977


def uncompressed(pubkey: bytes) -> bytes:
    x = int.from_bytes(pubkey[1:], "big")
    y = pow(x**3 + 7, (PRIME + 1) // 4, PRIME)
    return b"\x04" + pubkey[1:] + (y if y & 1 == pubkey[0] & 1 else PRIME - y).to_bytes(32, "big")


def multisig(threshold: int, names: str) -> bytes:
    keys = b"".join(b"\x21" + KEYS[name].pubkey for name in names)
    return bytes((0x50 + threshold,)) + keys + bytes((0x50 + len(names), 0xAE))


def spend(
    script: bytes,
    *,
    redeem: bytes | None = None,
    witness: bytes | None = None,
    origins: Mapping[bytes, KeyOrigin] | None = None,
) -> Psbt:
    previous = Transaction(2, (TxInput(OutPoint(bytes(32), 1)),), (TxOutput(100_000, script),), 0)
    psbt = creator.create([TxInput(OutPoint(previous.txid_bytes, 0))], [TxOutput(90_000, p2wsh_script(b"\x51"))])
    psbt = updater.with_previous_tx(psbt, 0, previous.serialize())
    return updater.with_input_scripts(psbt, 0, redeem_script=redeem, witness_script=witness, origins=origins or {})


def of_type(script_type: str, script: bytes) -> Psbt:
    if script_type == "wsh":
        return spend(p2wsh_script(script), witness=script)
    return spend(p2sh_script(script), redeem=script) if script_type == "sh" else spend(script)


@pytest.mark.parametrize("script_type", ["wsh", "sh", "bare"])
@pytest.mark.parametrize(
    ("threshold", "names", "needed"),
    [(2, "AA", "A"), (2, "AAB", "A"), (3, "ABA", "AB"), (3, "ABAC", "AB"), (4, "ABBC", "ABC")],
)
def test_a_key_that_stands_in_a_script_twice_counts_twice(script_type: str, threshold: int, names: str, needed: str):
    psbt = of_type(script_type, multisig(threshold, names))
    assert missing(verify(psbt)) == {0: len(needed)}
    for count, name in enumerate(needed, 1):
        psbt = sign_inputs(psbt, {0: {KEYS[name].pubkey: KEYS[name].seckey}})
        assert missing(verify(psbt)) == ({0: len(needed) - count} if count < len(needed) else {})
    final = finalize(verify(psbt))
    assert [check.state for check in check_finals(final)] == [FinalState.VALID]
    held = {KEYS[name].pubkey: psbt.inputs[0][b"\x02" + KEYS[name].pubkey] for name in needed}
    used = [held[KEYS[name].pubkey] for name in names if name in needed][:threshold]
    tx = extractor.extract(final)
    carried = list(tx.witnesses[0][1:-1]) if script_type == "wsh" else tx.inputs[0].script_sig
    if script_type == "wsh":
        assert carried == used
    else:
        assert carried.startswith(b"\x00" + b"".join(bytes((len(each),)) + each for each in used))
    assert tx.vsize == estimated_vsize(psbt)
    # An answer that comes back final gives each signature once.
    taken = extract(of_type(script_type, multisig(threshold, names)), final)
    assert {key: signature for _, key, signature in taken.signatures} == held


def test_a_key_that_stands_in_a_leaf_twice_is_missed_once():
    xonly = A.pubkey[1:]
    output = TaprootOutput(NUMS_KEY, TapTree.nested(multi_a_script(2, [xonly, xonly])))
    psbt = updater.with_input_taproot(spend(output.script), 0, output, derivations={})
    assert missing(verify(psbt)) == {0: 1}
    signed = verify(sign_inputs(psbt, {0: {xonly: A.seckey}}))
    assert not missing(signed)
    assert len(extractor.extract(finalize(signed)).witnesses[0]) == 4


@pytest.mark.parametrize("is_named", [True, False])
def test_the_size_of_an_uncompressed_key_is_known_when_it_is_named(is_named: bool):
    key = uncompressed(A.pubkey)
    psbt = spend(p2pkh_script(key), origins={key: A.origin} if is_named else {})
    final = extractor.extract(finalize(verify(sign_inputs(psbt, {0: {key: A.seckey}}))))
    assert (estimated_vsize(psbt) == final.vsize) is is_named
