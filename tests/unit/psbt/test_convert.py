from __future__ import annotations

import pytest

from support.psbts import coins, spend
from support.values import replace
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput
from wormsig.errors import PsbtError
from wormsig.psbt import constructor, updater
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.convert import in_version_of, to_version_0, to_version_2
from wormsig.psbt.creator import create
from wormsig.psbt.modifiable import Modifiable
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.unsigned import FALLBACK_LOCKTIME, SEQUENCE, VERSION

COINS = coins("wsh", "sh-wsh", "sh", "wpkh", "pkh")
V0, V2 = spend(COINS), spend(COINS, psbt_version=2)
SIGNED = sign_inputs(V0, {index: each.secrets(0) for index, each in enumerate(COINS)})
EXTRA = {b"\xe0key": b"unknown", b"\xfc\x02id\x07": b"proprietary"}


def with_extras(psbt):
    psbt = psbt.with_global({**psbt.global_map, **EXTRA, b"\xfb": psbt.version.to_bytes(4, "little")})
    for index in range(2):
        psbt = psbt.with_input(index, {**psbt.inputs[index], **EXTRA})
        psbt = psbt.with_output(index, {**psbt.outputs[index], **EXTRA, b"\x35": b"\x01aproof"})
    return psbt


def test_the_creator_and_the_conversion_agree() -> None:
    assert to_version_2(V0) == V2
    assert serialize(to_version_2(V0)) == serialize(V2)
    assert serialize(to_version_0(V2)) == serialize(V0)
    assert to_version_2(V2) is V2
    assert to_version_0(V0) is V0


@pytest.mark.parametrize("psbt", [V0, SIGNED, with_extras(SIGNED)], ids=["unsigned", "signed", "extras"])
def test_there_and_back_gives_the_same(psbt) -> None:
    there = to_version_2(psbt)
    assert parse(serialize(there)) == there
    assert (there.tx, there.txid) == (psbt.tx, psbt.txid)
    back = to_version_0(there)
    assert back == psbt.with_global({key: value for key, value in psbt.global_map.items() if key != VERSION})
    assert to_version_2(back) == there


def test_what_was_computed_goes_along() -> None:
    assert to_version_2(V0).memo is V0.memo
    assert to_version_0(V2).memo is V2.memo


def test_open_psbts_have_no_place_in_version_0() -> None:
    for flags in (Modifiable.INPUTS, Modifiable.OUTPUTS):
        psbt = spend(COINS, psbt_version=2, modifiable=flags)
        with pytest.raises(PsbtError, match="may still be added") as caught:
            to_version_0(psbt)
        assert (caught.value.where, caught.value.field) == ("global map", "PSBT_GLOBAL_TX_MODIFIABLE")
        assert caught.value.hint
        assert to_version_0(psbt, fixed=True) == V0
        assert to_version_0(constructor.close(psbt)) == V0


def test_silent_payments_have_no_place_in_version_0() -> None:
    for psbt, place in (
        (V2.with_global({**V2.global_map, b"\x07" + bytes(33): b""}), "global map|PSBT_GLOBAL_SP_ECDH_SHARE"),
        (V2.with_input(1, {**V2.inputs[1], b"\x1e" + bytes(33): b""}), "input 1|PSBT_IN_SP_DLEQ"),
        (V2.with_output(1, {**V2.outputs[1], b"\x09": bytes(66)}), "output 1|PSBT_OUT_SP_V0_INFO"),
    ):
        with pytest.raises(PsbtError, match="BIP375") as caught:
            to_version_0(psbt)
        assert f"{caught.value.where}|{caught.value.field}" == place
        assert to_version_0(psbt, fixed=True).tx == V0.tx


def test_locktimes_become_their_outcome() -> None:
    psbt = create([], [TxOutput(1, b"")], locktime=5, psbt_version=2, modifiable=Modifiable.INPUTS)
    psbt = constructor.add_input(psbt, TxInput(OutPoint(bytes(32), 0)), required_time=1_700_000_000)
    psbt = constructor.close(updater.with_sequence(psbt, 0, 0xFFFF_FFFF))
    assert psbt.inputs[0][SEQUENCE] == b"\xff" * 4
    again = to_version_2(to_version_0(psbt))
    assert again.tx == psbt.tx
    assert again.global_map[FALLBACK_LOCKTIME] == (1_700_000_000).to_bytes(4, "little")
    assert SEQUENCE not in again.inputs[0]


def test_an_answer_takes_the_shape_of_what_was_asked() -> None:
    mine = spend(COINS, psbt_version=2, modifiable=Modifiable.INPUTS)
    mine = mine.with_global({**mine.global_map, FALLBACK_LOCKTIME: bytes(4)})
    answer = in_version_of(mine, SIGNED)
    assert parse(serialize(answer)) == answer
    assert answer.global_map == mine.global_map
    assert [fields[b"\x0e"] for fields in answer.inputs] == [txin.outpoint.txid for txin in mine.tx.inputs]
    assert serialize(in_version_of(V0, answer)) == serialize(SIGNED)
    assert in_version_of(mine, mine) is mine


def test_fields_in_another_order_stay_in_it() -> None:
    turned = replace(V0, inputs=tuple(dict(reversed(fields.items())) for fields in V0.inputs))
    assert [list(fields) for fields in to_version_0(to_version_2(turned)).inputs] == [
        list(fields) for fields in turned.inputs
    ]
