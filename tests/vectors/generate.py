"""Makes psbt-v0.json and psbt-v2.json: PSBTs with at most one fault each, and what a strict implementation says.

    python tests/vectors/generate.py [--check]

A vector starts as a correct 2-of-3 P2WSH PSBT and gets one change. It is written byte by byte with the bitcoin room
alone, so that the PSBT engine is not its own judge; a stranger needs nothing but the JSON (README.md beside it says
how to read it). Keys in it are public: never use them.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import version2
from malformed import frame, inputs, transaction
from malformed_taproot import taproot
from parts import (
    GENERATOR,
    KEYS,
    LEAF,
    MASTERS,
    ORIGIN,
    PAID,
    PATH,
    PAYMENT,
    PREVIOUS,
    PUBS,
    SATS,
    SCRIPT,
    TX,
    XONLY,
    XPUB,
    Collection,
    base,
    high_s,
    k,
    padded_der,
    preimages,
    sha256,
    signature,
    sized,
    txout,
    with_field,
    without,
)
from wellformed import wellformed

from wormsig.bitcoin.script import multisig_script, p2sh_script, p2wsh_script
from wormsig.bitcoin.secp import ecdsa_sign

HERE = Path(__file__).parent


def accepted(add: Collection) -> None:
    """What a strict parser still has to take, and give back byte for byte."""
    add.valid("base", "2-of-3 P2WSH, nothing signed", base())
    add.valid("signed-one", "one signature", with_field(1, k(2, PUBS[0]), signature(0)))
    add.valid(
        "signed-two",
        "two signatures",
        with_field(1, k(2, PUBS[2]), signature(2), with_field(1, k(2, PUBS[0]), signature(0))),
    )
    add.valid("witness-utxo-alone", "no previous transaction", without(1, k(0)))
    add.valid("previous-tx-alone", "no witness UTXO", without(1, k(1)))
    add.valid("nothing-known", "an input without any field", [base()[0], [], [], []])
    add.valid("version-0", "the version field, saying 0", with_field(0, k(0xFB), bytes(4)))
    empty = b"\x02\x00\x00\x00\x00\x00" + bytes(4)
    add.valid("empty-transaction", "neither inputs nor outputs", [[(k(0), empty)]])
    add.valid(
        "no-inputs",
        "outputs alone: reads like the segwit marker",
        [[(k(0), TX[:4] + b"\x00\x01" + PAYMENT + bytes(4))], []],
    )
    reverse = [list(reversed(fields)) for fields in base()]
    add.valid("any-order", "fields in another order than Bitcoin Core writes", reverse)
    for place, name in ((0, "global"), (1, "input"), (2, "output")):
        add.valid(
            f"unknown-{name}", f"an unknown field in the {name} map", with_field(place, k(0xE0, b"key"), b"value")
        )
        add.valid(
            f"unknown-{name}-long-type", "an unknown key type of three bytes", with_field(place, b"\xfd\x00\x01", b"")
        )
        add.valid(
            f"proprietary-{name}", "a proprietary field", with_field(place, k(0xFC, b"\x04wsig\x01key"), b"value")
        )
        add.valid(
            f"proprietary-{name}-bare",
            "a proprietary field without identifier",
            with_field(place, k(0xFC, b"\x00\x00"), b""),
        )
    path = MASTERS[0].fingerprint + struct.pack("<4I", *PATH[:4])
    add.valid("xpub", "a global xpub", with_field(0, k(1, XPUB), path))
    add.valid(
        "xpub-depth-lies",
        "a global xpub whose depth is not its path's: for the review",
        with_field(0, k(1, XPUB), path[:-4]),
    )
    add.valid("derivation-fingerprint-alone", "a key origin without steps", with_field(1, k(6, PUBS[0]), ORIGIN[:4]))
    add.valid("derivation-uncompressed", "a derivation of an uncompressed key", with_field(1, k(6, GENERATOR), ORIGIN))
    add.valid("sighash-type", "a sighash type", with_field(1, k(3), b"\x01\x00\x00\x00"))
    add.valid("por-commitment", "a proof-of-reserves commitment", with_field(1, k(9), "ü".encode()))
    for key_type, key in zip((0xA, 0xB, 0xC, 0xD), preimages(b""), strict=True):
        add.valid(f"preimage-{key_type:02x}", "an empty preimage", with_field(1, k(key_type, key), b""))
    stack = b"\x04\x00" + sized(signature(0)) + sized(signature(1)) + sized(SCRIPT)
    add.valid("final", "a final input", [base()[0], [(k(0), PREVIOUS), (k(1), PAID), (k(8), stack)], *base()[2:]])
    add.valid("final-witness-empty", "a final witness without items", with_field(1, k(8), b"\x00"))
    add.valid(
        "draft-numbers",
        "key types that BIP375 drafts took are read as unknown in version 0",
        with_field(3, k(9, b"\x00"), b"\x01"),
    )
    leaf = b"\xc0\x01\x51"
    for value, name in ((b"\x00" + leaf, "one"), (b"\x01" + leaf + b"\x02" + leaf * 1 + b"\x02" + leaf, "three")):
        add.valid(f"tap-tree-{name}", f"a taproot tree: {name}", with_field(3, k(6), value))
    add.valid(
        "tap-derivation", "a taproot derivation with a leaf", with_field(1, k(0x16, XONLY), b"\x01" + LEAF + ORIGIN)
    )
    add.valid("tap-key-sig", "a key-path signature with its type", with_field(1, k(0x13), bytes(64) + b"\x01"))
    both = PUBS[0] + PUBS[1]
    add.valid("musig-nonce", "a MuSig2 nonce for a leaf", with_field(1, k(0x1B, both + LEAF), both))


def signing(add: Collection) -> None:
    """Well-formed PSBTs that a signer must refuse (BIP174), and signatures that must not count."""
    utxo = "PSBT_IN_NON_WITNESS_UTXO"
    other = PREVIOUS[:-4] + b"\x01\x00\x00\x00"
    add.refused("refuse-previous-tx-other", "a previous transaction with another id", with_field(1, k(0), other), utxo)
    short_body = b"\x01" + sha256(b"coin") + bytes(4) + b"\x00" + b"\xff" * 4 + b"\x01" + PAID
    add.refused(
        "refuse-previous-tx-output",
        "a previous transaction without the output",
        with_field(1, k(0), b"\x02\x00\x00\x00" + short_body + bytes(4)),
        utxo,
    )
    add.refused(
        "refuse-amount",
        "a witness UTXO with another amount than the previous transaction",
        with_field(1, k(1), txout(SATS - 1, p2wsh_script(SCRIPT))),
        "PSBT_IN_WITNESS_UTXO",
    )
    add.refused(
        "refuse-script",
        "a witness UTXO with another script than the previous transaction",
        with_field(1, k(1), txout(SATS, b"\x51")),
        "PSBT_IN_WITNESS_UTXO",
    )
    add.refused(
        "refuse-no-utxo", "nothing says what is spent", [base()[0], base()[1][2:], *base()[2:]], "PSBT_IN_WITNESS_UTXO"
    )
    wrong = multisig_script(1, PUBS)
    add.refused(
        "refuse-witness-script",
        "a witness script that does not hash to the output",
        with_field(1, k(5), wrong),
        "PSBT_IN_WITNESS_SCRIPT",
    )
    add.refused("refuse-witness-script-missing", "no witness script", without(1, k(5)), "PSBT_IN_WITNESS_SCRIPT")
    add.refused(
        "refuse-redeem-script-extra",
        "a redeemScript where the output is not P2SH",
        with_field(1, k(4), p2wsh_script(SCRIPT)),
        "PSBT_IN_REDEEM_SCRIPT",
    )
    nested = txout(SATS, p2sh_script(p2wsh_script(SCRIPT)))
    maps = with_field(1, k(1), nested, without(1, k(0)))
    add.refused("refuse-redeem-script-missing", "P2SH without its redeemScript", maps, "PSBT_IN_REDEEM_SCRIPT")
    maps = with_field(1, k(4), p2wsh_script(wrong), with_field(1, k(1), nested, without(1, k(0))))
    add.refused(
        "refuse-redeem-script", "a redeemScript that does not hash to the output", maps, "PSBT_IN_REDEEM_SCRIPT"
    )
    legacy = txout(SATS, p2sh_script(SCRIPT))
    maps = with_field(1, k(4), SCRIPT, with_field(1, k(1), legacy, without(1, k(0))))
    maps[1] = [(key, value) for key, value in maps[1] if key != k(5)]
    add.refused("refuse-legacy-without-previous-tx", "a legacy input with a witness UTXO alone", maps, utxo)
    add.refused(
        "refuse-sighash-type",
        "a sighash type NONE is asked for",
        with_field(1, k(3), b"\x02\x00\x00\x00"),
        "PSBT_IN_SIGHASH_TYPE",
    )
    add.bad_signature(
        "signature-message",
        "a signature over another message",
        "INVALID",
        PUBS[0],
        ecdsa_sign(KEYS[0].seckey, sha256(b"other")) + b"\x01",
    )
    add.bad_signature("signature-key", "another cosigner's signature", "INVALID", PUBS[0], signature(1))
    add.bad_signature("signature-high-s", "a high S", "HIGH_S", PUBS[0], high_s(signature(0)))
    add.bad_signature("signature-padded", "a needless zero in R", "NOT_STRICT_DER", PUBS[0], padded_der(signature(0)))
    add.bad_signature(
        "signature-trailing", "a byte after the DER", "NOT_STRICT_DER", PUBS[0], signature(0)[:-1] + b"\x00\x01"
    )
    add.bad_signature("signature-empty", "no signature", "NOT_STRICT_DER", PUBS[0], b"")
    add.bad_signature("signature-without-type", "no sighash type", "SIGHASH_TYPE", PUBS[0], signature(0)[:-1])
    for sighash, name in ((2, "none"), (3, "single"), (0x81, "all-anyonecanpay"), (0, "zero")):
        add.bad_signature(
            f"signature-{name}",
            f"a valid signature of sighash type {sighash}",
            "SIGHASH_TYPE",
            PUBS[0],
            signature(0, sighash),
        )
    stranger = MASTERS[0].derive(PATH[:5]).pubkey
    add.bad_signature("signature-foreign-key", "a key that is not in the script", "FOREIGN_KEY", stranger, signature(0))


def build() -> Collection:
    add = Collection()
    for family in (accepted, wellformed, frame, transaction, inputs, taproot, signing):
        family(add)
    return add


def text(version: int, collection: Collection) -> str:
    about = f"version {version} PSBTs with at most one fault each; README.md says how to read this. Never use its keys."
    lines = ",\n".join("  " + json.dumps(case) for case in collection.cases)
    return f'{{"about": {json.dumps(about)},\n "format": 1,\n "cases": [\n{lines}\n]}}\n'


def main() -> int:
    files = {HERE / "psbt-v0.json": text(0, build()), HERE / "psbt-v2.json": text(2, version2.build())}
    if sys.argv[1:] == ["--check"]:
        return 0 if all(path.exists() and path.read_text() == wanted for path, wanted in files.items()) else 1
    for path, wanted in files.items():
        path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
