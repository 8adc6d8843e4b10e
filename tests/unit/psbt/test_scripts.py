from __future__ import annotations

import pytest

from support.psbts import coin, coins, key_at, spend
from wormsig.bitcoin.script import multisig_script, p2sh_script, p2wsh_script
from wormsig.bitcoin.tx import TxOutput
from wormsig.errors import PsbtError
from wormsig.psbt.model import NON_WITNESS_UTXO, REDEEM_SCRIPT, WITNESS_SCRIPT, WITNESS_UTXO, Psbt
from wormsig.psbt.scripts import input_scripts, script_type

TYPES = ("wsh", "sh-wsh", "sh", "bare", "wpkh", "sh-wpkh", "pkh")


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_proven(kind: str) -> None:
    each = coin(kind, 0)
    scripts = input_scripts(spend([each]), 0)
    assert scripts.script_type == kind
    assert (scripts.spent, scripts.redeem, scripts.witness) == (each.output, each.redeem, each.witness)
    assert scripts.segwit == (kind in {"wsh", "sh-wsh", "wpkh", "sh-wpkh"})
    if len(each.keys) > 1:
        assert scripts.multisig is not None
        assert scripts.multisig.pubkeys == each.pubkeys
        assert scripts.script_code == multisig_script(2, each.pubkeys)
    assert all(scripts.has_key(pubkey) for pubkey in each.pubkeys)
    assert not scripts.has_key(key_at("stranger", 0).pubkey)
    assert script_type(spend([each]), 0) == kind


def changed(kind: str, key: bytes, value: bytes | None) -> Psbt:
    psbt = spend(coins(kind))
    fields = {held: other for held, other in psbt.inputs[0].items() if held != key}
    return psbt.with_input(0, fields if value is None else {**fields, key: value})


WRONG = multisig_script(1, [key_at("a", 0).pubkey])


@pytest.mark.parametrize(
    ("kind", "key", "value", "field"),
    [
        ("wsh", WITNESS_SCRIPT, WRONG, "PSBT_IN_WITNESS_SCRIPT"),
        ("wsh", WITNESS_SCRIPT, None, "PSBT_IN_WITNESS_SCRIPT"),
        ("wsh", REDEEM_SCRIPT, p2wsh_script(WRONG), "PSBT_IN_REDEEM_SCRIPT"),
        ("sh-wsh", REDEEM_SCRIPT, p2wsh_script(WRONG), "PSBT_IN_REDEEM_SCRIPT"),
        ("sh-wsh", REDEEM_SCRIPT, None, "PSBT_IN_REDEEM_SCRIPT"),
        ("sh-wsh", WITNESS_SCRIPT, WRONG, "PSBT_IN_WITNESS_SCRIPT"),
        ("sh", REDEEM_SCRIPT, WRONG, "PSBT_IN_REDEEM_SCRIPT"),
        ("sh", WITNESS_SCRIPT, WRONG, "PSBT_IN_WITNESS_SCRIPT"),
        ("sh", NON_WITNESS_UTXO, None, "PSBT_IN_WITNESS_UTXO"),
        ("wpkh", WITNESS_SCRIPT, WRONG, "PSBT_IN_WITNESS_SCRIPT"),
        ("pkh", REDEEM_SCRIPT, WRONG, "PSBT_IN_REDEEM_SCRIPT"),
    ],
)
def test_c7_scripts_that_do_not_belong_are_refused(kind: str, key: bytes, value: bytes | None, field: str) -> None:
    psbt = changed(kind, key, value)
    with pytest.raises(PsbtError) as caught:
        input_scripts(psbt, 0)
    assert (caught.value.where, caught.value.field) == ("input 0", field)
    assert script_type(psbt, 0) in {"wsh", "sh", "wpkh", "pkh", "unknown"}


def test_a_legacy_input_needs_its_previous_transaction() -> None:
    psbt = changed("sh", NON_WITNESS_UTXO, None)
    psbt = psbt.with_input(0, {**psbt.inputs[0], WITNESS_UTXO: coin("sh", 0).output.serialize()})
    with pytest.raises(PsbtError, match="previous transaction") as caught:
        input_scripts(psbt, 0)
    assert caught.value.field == "PSBT_IN_NON_WITNESS_UTXO"


def test_a_redeem_script_beyond_520_bytes_can_never_be_spent() -> None:
    keys = sorted(key_at(f"k{number}", 0).pubkey for number in range(16))
    script = multisig_script(2, keys)
    assert len(script) > 520
    psbt = changed("sh-wpkh", REDEEM_SCRIPT, script)
    fields = {key: value for key, value in psbt.inputs[0].items() if key != NON_WITNESS_UTXO}
    psbt = psbt.with_input(0, {**fields, WITNESS_UTXO: TxOutput(1, p2sh_script(script)).serialize()})
    with pytest.raises(PsbtError, match="push"):
        input_scripts(psbt, 0)


def test_uncompressed_keys_in_segwit_are_refused() -> None:
    uncompressed = bytes.fromhex(
        "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    script = multisig_script(1, [uncompressed, key_at("a", 0).pubkey])
    psbt = changed("wsh", WITNESS_SCRIPT, script)
    fields = {key: value for key, value in psbt.inputs[0].items() if key != NON_WITNESS_UTXO}
    psbt = psbt.with_input(0, {**fields, WITNESS_UTXO: TxOutput(1, p2wsh_script(script)).serialize()})
    with pytest.raises(PsbtError, match="uncompressed"):
        input_scripts(psbt, 0)


@pytest.mark.parametrize(
    ("script", "kind"),
    [(b"\x51\x20" + bytes(32), "tr"), (bytes.fromhex("51024e73"), "anchor"), (b"\x60\x02ab", "unknown")],
)
def test_what_ecdsa_cannot_sign_is_marked(script: bytes, kind: str) -> None:
    psbt = spend(coins("wsh")).with_input(0, {WITNESS_UTXO: TxOutput(5, script).serialize()})
    scripts = input_scripts(psbt, 0)
    assert (scripts.script_type, scripts.script_code, scripts.multisig) == (kind, b"", None)
    assert script_type(psbt, 0) == kind


def test_nothing_known_is_unknown() -> None:
    assert script_type(spend(coins("wsh")).with_input(0, {}), 0) == "unknown"
