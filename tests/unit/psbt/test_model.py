from __future__ import annotations

import hashlib
from typing import cast

from support.psbts import coin, coins, spend
from support.values import replace
from wormsig.bitcoin.tx import TxOutput
from wormsig.psbt import model, updater
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.model import UtxoProblem, spent_output, utxo_problem
from wormsig.psbt.scripts import input_scripts

COINS = coins("wsh", "sh-wsh", "sh", "wpkh", "pkh")
PSBT = spend(COINS)


def test_what_the_maps_say() -> None:
    first = COINS[0]
    assert model.input_derivations(PSBT, 0) == {key.pubkey: key.origin for key in first.keys}
    assert len(model.output_derivations(PSBT, 1)) == 3
    assert model.output_derivations(PSBT, 0) == {}
    assert model.witness_utxo(PSBT, 0) == first.output
    assert model.witness_utxo(PSBT, 2) is None
    assert model.previous_tx(PSBT, 2) == COINS[2].previous.serialize()
    assert (model.redeem_script(PSBT, 0), model.witness_script(PSBT, 0)) == (None, first.witness)
    assert (model.redeem_script(PSBT, 2), model.witness_script(PSBT, 2)) == (COINS[2].redeem, None)
    assert model.partial_sigs(PSBT, 0) == {}
    assert (model.final_script_sig(PSBT, 0), model.final_script_witness(PSBT, 0)) == (None, None)
    assert model.global_xpubs(PSBT) == {}
    assert model.sighash_type(PSBT, 0) is None
    assert model.sighash_type(updater.with_sighash_type(PSBT, 0, 0x83), 0) == 0x83
    assert PSBT.txid == PSBT.tx.txid
    assert len(model.sha256(PSBT)) == 64
    assert not model.is_final(PSBT, 0)


def test_copies_change_one_map_and_leave_the_rest() -> None:
    before = serialize(PSBT)
    copy = PSBT.with_input(1, {}).with_output(0, {b"\xe0": b"x"}).with_global({**PSBT.global_map, b"\xe0": b"y"})
    assert serialize(PSBT) == before
    assert copy.inputs[1] == {}
    assert copy.inputs[0] is PSBT.inputs[0]
    assert copy.outputs[0] == {b"\xe0": b"x"}
    assert copy.global_map[b"\xe0"] == b"y"
    assert model.sha256(copy) != model.sha256(PSBT)


def test_the_hash_is_of_the_very_bytes_and_tells_when_somebody_changes_a_map() -> None:
    data = serialize(PSBT)
    expected = hashlib.sha256(data).hexdigest()
    parsed = parse(data)
    assert [model.sha256(parsed), model.sha256(parsed), model.sha256(PSBT)] == [expected] * 3
    assert model.sha256(parse(data).with_input(1, {})) == hashlib.sha256(serialize(PSBT.with_input(1, {}))).hexdigest()
    cast("dict[bytes, bytes]", parsed.inputs[0])[b"\xe0"] = b"x"
    assert model.sha256(parsed) != expected


def test_what_was_proven_is_never_carried_to_other_evidence() -> None:
    other = coin("wsh", 7)
    assert input_scripts(PSBT, 0).witness == COINS[0].witness
    changed = PSBT.with_input(0, {**PSBT.inputs[0], model.WITNESS_SCRIPT: other.witness or b""})
    assert changed.memo is not PSBT.memo
    assert replace(PSBT, inputs=PSBT.inputs).memo is not PSBT.memo
    signed = PSBT.with_input(0, {**PSBT.inputs[0], b"\x02" + other.pubkeys[0]: b"any"})
    assert signed.memo is PSBT.memo


def test_spent_outputs_come_from_the_previous_transaction_or_the_witness_utxo() -> None:
    for index, each in enumerate(COINS):
        assert utxo_problem(PSBT, index) is None
        assert spent_output(PSBT, index) == each.output
    alone = spend(coins("wsh"), previous=False)
    assert utxo_problem(alone, 0) is None
    assert spent_output(alone, 0) == coin("wsh", 0).output


def problem_with(**changed: bytes | None) -> UtxoProblem | None:
    fields = dict(PSBT.inputs[0])
    for name, value in changed.items():
        key = {"previous": model.NON_WITNESS_UTXO, "claimed": model.WITNESS_UTXO}[name]
        fields.pop(key)
        if value is not None:
            fields[key] = value
    psbt = PSBT.with_input(0, fields)
    found = utxo_problem(psbt, 0)
    assert (spent_output(psbt, 0) is None) == (found is not None)
    return found


def test_c1_contradictions_are_told_apart() -> None:
    lie = TxOutput(COINS[0].output.sats - 1, COINS[0].output.script).serialize()
    other = coin("wsh", 8).previous.serialize()
    truncated = replace(COINS[0].previous, outputs=COINS[0].previous.outputs[:1]).serialize()
    assert problem_with(claimed=lie) is UtxoProblem.DISAGREES
    assert problem_with(claimed=TxOutput(COINS[0].output.sats, b"").serialize()) is UtxoProblem.DISAGREES
    assert problem_with(previous=other) is UtxoProblem.OTHER_TXID
    assert problem_with(previous=truncated) is UtxoProblem.NO_SUCH_OUTPUT
    assert problem_with(previous=None, claimed=None) is UtxoProblem.MISSING
    assert problem_with(claimed=None) is None
    assert problem_with(previous=None) is None
