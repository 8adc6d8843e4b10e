from __future__ import annotations

import hashlib

from wormsig.bitcoin.script import multisig_script, p2pkh_script, p2sh_script, p2wpkh_script, p2wsh_script
from wormsig.review.outputs import dust_limit
from wormsig.review.scripts import REDEEM_SCRIPT, WITNESS_SCRIPT, key_hash, pays_key, shown

KEYS = tuple(b"\x02" + hashlib.sha256(bytes((n,))).digest() for n in range(3))
MULTI = multisig_script(2, KEYS)


def test_scripts_are_opened_when_they_hash():
    for script, redeem, witness, kind in (
        (p2wsh_script(MULTI), None, MULTI, "wsh"),
        (p2sh_script(MULTI), MULTI, None, "sh"),
        (p2sh_script(p2wsh_script(MULTI)), p2wsh_script(MULTI), MULTI, "sh-wsh"),
        (p2sh_script(p2wsh_script(MULTI)), None, MULTI, "sh-wsh"),
        (MULTI, None, None, "bare"),
    ):
        opened = shown(script, redeem, witness)
        assert (opened.kind, opened.inner, opened.mismatch) == (kind, MULTI, None)
        assert opened.pubkeys == KEYS
        assert opened.multisig is not None


def test_single_keys():
    key = KEYS[0]
    assert shown(p2wpkh_script(key), None, None).kind == "wpkh"
    assert shown(p2pkh_script(key), None, None).kind == "pkh"
    nested = p2sh_script(p2wpkh_script(key))
    assert shown(nested, p2wpkh_script(key), None).kind == "sh-wpkh"
    assert shown(nested, None, None).kind == "sh"
    for script, redeem in ((p2wpkh_script(key), None), (p2pkh_script(key), None), (nested, p2wpkh_script(key))):
        digest = key_hash(script, redeem)
        assert digest is not None
        assert pays_key(digest, key)
        assert not pays_key(digest, KEYS[1])
    assert key_hash(nested, None) is None


def test_mismatches_name_the_field():
    other = multisig_script(1, KEYS)
    for script, redeem, witness, field in (
        (p2wsh_script(MULTI), None, other, WITNESS_SCRIPT),
        (p2wsh_script(MULTI), MULTI, MULTI, REDEEM_SCRIPT),
        (p2sh_script(MULTI), other, None, REDEEM_SCRIPT),
        (p2sh_script(MULTI), MULTI, MULTI, WITNESS_SCRIPT),
        (p2sh_script(MULTI), None, MULTI, WITNESS_SCRIPT),
        (p2sh_script(p2wsh_script(MULTI)), p2wsh_script(MULTI), other, WITNESS_SCRIPT),
        (p2sh_script(p2wsh_script(MULTI)), None, other, WITNESS_SCRIPT),
        (p2wpkh_script(KEYS[0]), None, MULTI, WITNESS_SCRIPT),
        (p2pkh_script(KEYS[0]), MULTI, None, REDEEM_SCRIPT),
    ):
        opened = shown(script, redeem, witness)
        assert opened.mismatch == field
        assert opened.pubkeys == ()


def test_hidden_scripts_show_nothing():
    opened = shown(p2wsh_script(MULTI), None, None)
    assert (opened.kind, opened.inner, opened.mismatch, opened.multisig) == ("wsh", None, None, None)


def test_keys_are_found_in_any_script():
    odd = b"\x63\x21" + KEYS[0] + b"\xac\x67\x21" + KEYS[1] + b"\xac\x68"  # IF key CHECKSIG ELSE key CHECKSIG ENDIF
    assert shown(p2wsh_script(odd), None, odd).pubkeys == KEYS[:2]
    assert shown(p2wsh_script(b"\x21\x02"), None, b"\x21\x02").pubkeys == ()  # ends within a push


def test_dust_is_what_bitcoind_says():
    assert dust_limit(p2wpkh_script(KEYS[0])) == 294
    assert dust_limit(p2wsh_script(MULTI)) == 330
    assert dust_limit(p2pkh_script(KEYS[0])) == 546
    assert dust_limit(p2sh_script(MULTI)) == 540
    assert dust_limit(b"\x51\x20" + bytes(32)) == 330
    assert dust_limit(bytes.fromhex("51024e73")) == 240
