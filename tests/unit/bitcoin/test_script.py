from __future__ import annotations

import hashlib

import pytest
from bitcointx.core.key import CPubKey
from bitcointx.core.script import CScript, standard_multisig_redeem_script
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wormsig.bitcoin import script as scripts
from wormsig.bitcoin import secp
from wormsig.bitcoin.script import Multisig, ScriptType, classify, multisig_script, parse_multisig
from wormsig.errors import InputError

KEYS = tuple(secp.pubkey_of(number.to_bytes(32, "big")) for number in range(1, 22))
UNCOMPRESSED = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)


@pytest.mark.parametrize("size", [0, 1, 75, 76, 255, 256, 65535, 65536])
def test_pushes_come_back(size: int) -> None:
    data = b"\x07" * size
    pushed = scripts.push(data)
    assert scripts.parse_pushes(pushed) == [data]
    if size > 1:  # bitcointx makes numbers of the shortest ones
        assert pushed == bytes(CScript([data]))


def test_number_opcodes_and_other_opcodes() -> None:
    assert scripts.parse_pushes(bytes.fromhex("00514f60")) == [b"", b"\x01", b"\x81", b"\x10"]
    for other in ("61", "ac", "50", "ff"):
        assert scripts.parse_pushes(bytes.fromhex(other)) is None
    for torn in ("02aa", "4c", "4c02aa", "4d01", "4e010000", "4effffffff"):
        assert scripts.parse_pushes(bytes.fromhex(torn)) is None
        assert scripts.operations(bytes.fromhex(torn)) is None


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (scripts.p2pkh_script(KEYS[0]), "pkh"),
        (scripts.p2sh_script(b"\x51"), "sh"),
        (scripts.p2wpkh_script(KEYS[0]), "wpkh"),
        (scripts.p2wsh_script(b"\x51"), "wsh"),
        (b"\x51\x20" + bytes(32), "tr"),
        (b"\x51\x02\x4e\x73", "anchor"),
        (b"\x6a", "op_return"),
        (b"\x6a\x20" + bytes(32), "op_return"),
        (multisig_script(1, KEYS[:2]), "bare"),
        (b"", "unknown"),
        (b"\x52\x20" + bytes(32), "unknown"),
        (b"\x00\x15" + bytes(21), "unknown"),
        (b"\x21" + KEYS[0] + b"\xac", "unknown"),
    ],
)
def test_templates(script: bytes, kind: str) -> None:
    assert classify(script) == kind
    assert classify(script) is ScriptType(kind)
    if kind not in {"op_return", "unknown"}:
        assert classify(script[:-1]) == classify(script + b"\x00") == "unknown"


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 3), (15, 15), (16, 16), (16, 17), (17, 20), (20, 20)])
def test_multisig_round_trip(threshold: int, count: int) -> None:
    script = multisig_script(threshold, KEYS[:count])
    assert parse_multisig(script) == Multisig(threshold, KEYS[:count])
    assert script[-1] == 0xAE


def test_multisig_is_what_bitcointx_makes() -> None:
    secp.equip_bitcointx()
    keys = [CPubKey(key) for key in KEYS[:15]]
    assert multisig_script(7, KEYS[:15]) == bytes(standard_multisig_redeem_script(total=15, required=7, pubkeys=keys))


def test_multisig_with_an_uncompressed_key() -> None:
    assert parse_multisig(multisig_script(1, (UNCOMPRESSED, KEYS[0]))) == Multisig(1, (UNCOMPRESSED, KEYS[0]))


@pytest.mark.parametrize(
    ("threshold", "keys"),
    [(0, KEYS[:2]), (3, KEYS[:2]), (1, ()), (1, KEYS[:21]), (1, (KEYS[0][:32],)), (-1, KEYS[:2])],
)
def test_impossible_multisigs(threshold: int, keys: tuple[bytes, ...]) -> None:
    with pytest.raises(InputError):
        multisig_script(threshold, keys)


def test_only_the_exact_template_is_a_multisig() -> None:
    good = multisig_script(2, KEYS[:3])
    wrong = [
        good[:-1],
        good + b"\x00",
        b"\x00" + good,
        good[:-1] + b"\xaf",
        b"\x54" + good[1:],  # 4 of 3
        b"\x50" + good[1:],
        good[:-2] + b"\x52\xae",  # says 2 keys
        good[:-2] + b"\x54\xae",
        b"\x01\x02" + good[1:],  # 2, not in its shortest form
        good[:2] + b"\x05" + good[3:],  # a key that begins with 05
        good[:-2] + b"\x51\x53\xae",
        b"\x51\x21" + KEYS[0] + b"\xae",
        multisig_script(1, KEYS[:20])[:-2] + b"\x15\xae",
        b"",
    ]
    for script in wrong:
        assert parse_multisig(script) is None, script.hex()


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_damaged_multisigs_never_read_as_the_same(data: st.DataObject) -> None:
    good = multisig_script(2, KEYS[:3])
    script = bytearray(good)
    script[data.draw(st.integers(0, len(script) - 1))] ^= data.draw(st.integers(1, 255))
    parsed = parse_multisig(bytes(script))
    assert parsed is None or multisig_script(parsed.threshold, parsed.pubkeys) == bytes(script)


@settings(max_examples=examples(30), deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_raise(script: bytes) -> None:
    scripts.script_asm(script)
    scripts.op_return_data(script)
    assert classify(script) in ScriptType
    parts = scripts.operations(script)
    if parts is not None:
        assert len(parts) == len(list(CScript(script).raw_iter()))


def test_assembly() -> None:
    assert scripts.script_asm(scripts.p2pkh_script(KEYS[0])) == (
        "OP_DUP OP_HASH160 751e76e8199196d454941c45d1b3a323f1433bd6 OP_EQUALVERIFY OP_CHECKSIG"
    )
    assert scripts.script_asm(b"\x00\x14" + bytes(20)) == "OP_0 " + "00" * 20
    assert scripts.script_asm(bytes.fromhex("52ae4fb1b2ba50fe")) == (
        "OP_2 OP_CHECKMULTISIG OP_1NEGATE OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY OP_CHECKSIGADD OP_RESERVED "
        "OP_UNKNOWN_fe"
    )
    assert scripts.script_asm(b"\x6a\x05ab") == "[ends within a push] 6a056162"


def test_op_return_data() -> None:
    assert scripts.op_return_data(b"\x6a") == b""
    assert scripts.op_return_data(b"\x6a\x03abc\x02de") == b"abcde"
    assert scripts.op_return_data(b"\x6a\xac\x03") == b"\xac\x03"
    assert scripts.op_return_data(b"\x51") is None
    assert scripts.op_return_data(b"") is None


def test_hashes() -> None:
    assert scripts.ripemd160(b"abc").hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"
    assert scripts._ripemd160_of_bitcointx(b"abc") == scripts.ripemd160(b"abc")
    assert scripts.hash160(KEYS[0]).hex() == "751e76e8199196d454941c45d1b3a323f1433bd6"
    assert scripts.sha256(b"x") == hashlib.sha256(b"x").digest()
    assert scripts.dsha256(b"x") == scripts.sha256(scripts.sha256(b"x"))


def test_witness_programs() -> None:
    assert scripts.witness_program(b"\x60\x02\x75\x1e") == (16, b"\x75\x1e")
    assert scripts.witness_program(b"\x00\x14" + bytes(20)) == (0, bytes(20))
    for none in (b"\x60\x01\x75", b"\x51\x29" + bytes(41), b"\x61\x02ab", b"\x51\x03ab", b"\x4f\x02ab"):
        assert scripts.witness_program(none) is None
