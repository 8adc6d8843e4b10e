"""The malformed vectors: one fault of form each."""

from __future__ import annotations

import struct

from parts import (
    HYBRID,
    MASTERS,
    OFF_CURVE,
    ORIGIN,
    PAID,
    PATH,
    PREVIOUS,
    PUBS,
    SCRIPT,
    TX,
    XONLY,
    XPUB,
    Collection,
    base,
    k,
    preimages,
    signature,
    with_field,
    with_tx,
    without,
    write,
)


def frame(add: Collection) -> None:
    """Faults of the frame: magic, maps, lengths, duplicates."""
    good = write(base())
    head = good[: 5 + 2 + 1 + len(TX)]  # magic, key, length, transaction
    add.invalid("empty", "no bytes at all", b"")
    add.invalid("magic-alone", "the magic and nothing else", good[:5], "global map")
    add.invalid("magic-wrong", "another fifth byte of the magic", b"psbt\xfe" + good[5:])
    add.invalid("magic-short", "the magic without its separator", b"psbt" + good[5:])
    add.invalid("network-transaction", "a bare transaction", TX)
    add.invalid("cut-in-global-map", "ends before the global map's separator", head, "global map")
    add.invalid("no-input-map", "ends where the input map should begin", head + b"\x00", "input 0")
    add.invalid("cut-in-input-map", "ends before the input map's separator", write(base()[:2])[:-1], "input 0")
    add.invalid("no-output-map", "the last output map is missing", write(base()[:3]), "output 1")
    add.invalid("cut-in-value", "ends within the last value", good[:-2], "output 1", "PSBT_OUT_BIP32_DERIVATION")
    add.invalid("byte-after-end", "one byte after the last map", good + b"\x00")
    add.invalid("map-after-end", "one more map than outputs", write([*base(), [(k(0xE0), b"")]]))
    tail = good[len(head) :]
    add.invalid(
        "key-length-not-minimal",
        "a key length of one in three bytes",
        good[:5] + b"\xfd\x01\x00\x00" + good[7:],
        "global map",
    )
    value_length = b"\xfd" + struct.pack("<H", len(TX))
    add.invalid(
        "value-length-not-minimal",
        "a value length below 253 in three bytes",
        good[:7] + value_length + TX + tail,
        "global map",
    )
    add.invalid(
        "key-length-beyond-end",
        "a key longer than all bytes left",
        good[:5] + b"\xfe\xff\xff\xff\x7f" + good[6:],
        "global map",
    )
    huge = b"\xff" + b"\xff" * 7 + b"\x7f"
    add.invalid(
        "value-length-beyond-end",
        "a value of 2**63 - 1 bytes",
        good[:7] + huge + TX + tail,
        "global map",
        "PSBT_GLOBAL_UNSIGNED_TX",
    )
    add.invalid(
        "value-length-short",
        "a value one byte longer than it says",
        good[:7] + bytes([len(TX) - 1]) + TX + tail,
        "global map",
        "PSBT_GLOBAL_UNSIGNED_TX",
    )
    for place, name in ((0, "global"), (1, "input"), (3, "output")):
        maps = base()
        maps[place] = [*maps[place], maps[place][-1]]
        field = ("PSBT_GLOBAL_UNSIGNED_TX", "PSBT_IN_BIP32_DERIVATION", "", "PSBT_OUT_BIP32_DERIVATION")[place]
        where = ("global map", "input 0", "", "output 1")[place]
        add.invalid(
            f"duplicate-{name}", f"a key twice in the {name} map, with the same value", write(maps), where, field
        )
    maps = base()
    maps[1] = [*maps[1], (k(0x77, b"\x01"), b"a"), (k(0x77, b"\x01"), b"b")]
    add.invalid(
        "duplicate-unknown", "an unknown key twice, with different values", write(maps), "input 0", "unknown type 0x77"
    )
    for bad, name in ((b"\xfd", "cut"), (b"\xfd\x10\x00", "not-minimal")):
        add.fault(1, bad, b"", "malformed key type", f"key-type-{name}", f"a key type of several bytes: {name}")


def transaction(add: Collection) -> None:
    """Faults of the unsigned transaction, the version and the other global fields."""

    def tx(name: str, what: str, raw: bytes) -> None:
        add.invalid(name, what, with_tx(raw), "global map", "PSBT_GLOBAL_UNSIGNED_TX")

    add.invalid(
        "tx-missing", "no unsigned transaction", write(without(0, k(0))), "global map", "PSBT_GLOBAL_UNSIGNED_TX"
    )
    add.fault(0, k(0, b"\x00"), TX, "PSBT_GLOBAL_UNSIGNED_TX", "tx-keydata", "the transaction's key has data")
    signed = TX.replace(b"\x00\xfd\xff\xff\xff", b"\x01\x51\xfd\xff\xff\xff")
    tx("tx-with-script-sig", "an unsigned transaction with a scriptSig", signed)
    tx(
        "tx-with-witness",
        "the transaction in the segwit serialization",
        TX[:4] + b"\x00\x01" + TX[4:-4] + b"\x01\x01\x51" + TX[-4:],
    )
    tx("tx-cut", "the transaction lacks its last byte", TX[:-1])
    tx("tx-trailing", "a byte after the transaction", TX + b"\x00")
    tx("tx-count-lies", "a transaction that claims 2**32 - 1 inputs", TX[:4] + b"\xfe\xff\xff\xff\xff" + TX[5:])
    tx("tx-count-not-minimal", "an input count of one in three bytes", TX[:4] + b"\xfd\x01\x00" + TX[5:])
    tx("tx-empty", "an empty transaction", b"")
    for value, name, what in (
        (b"\x01\x00\x00\x00", "1", "version 1, which does not exist"),
        (b"\x03\x00\x00\x00", "3", "version 3, which nobody knows"),
        (b"\x00\x00\x00", "three-bytes", "a version of three bytes"),
        (b"", "empty", "an empty version"),
    ):
        add.fault(0, k(0xFB), value, "PSBT_GLOBAL_VERSION", f"version-{name}", what)
    add.fault(0, k(0xFB, b"\x00"), bytes(4), "PSBT_GLOBAL_VERSION", "version-keydata", "the version's key has data")
    version2 = with_field(0, k(0xFB), b"\x02\x00\x00\x00")
    add.invalid(
        "version-2-with-tx",
        "version 2 that carries the unsigned transaction",
        write(version2),
        "global map",
        "PSBT_GLOBAL_UNSIGNED_TX",
    )
    names = ("TX_VERSION", "FALLBACK_LOCKTIME", "INPUT_COUNT", "OUTPUT_COUNT", "TX_MODIFIABLE")
    for key_type, name in enumerate(names, 2):
        value = b"\x01" if key_type > 3 else bytes(4)
        add.fault(
            0, k(key_type), value, f"PSBT_GLOBAL_{name}", f"v2-global-{name.lower()}", "a field of version 2 (BIP370)"
        )
    path = MASTERS[0].fingerprint + struct.pack("<4I", *PATH[:4])
    add.fault(0, k(1, XPUB[:-1]), path, "PSBT_GLOBAL_XPUB", "xpub-short", "an xpub of 77 bytes")
    add.fault(0, k(1, XPUB + b"\x00"), path, "PSBT_GLOBAL_XPUB", "xpub-long", "an xpub of 79 bytes")
    add.fault(
        0, k(1, XPUB[:45] + OFF_CURVE), path, "PSBT_GLOBAL_XPUB", "xpub-off-curve", "an xpub whose key is no point"
    )
    add.fault(0, k(1, XPUB), path[:-1], "PSBT_GLOBAL_XPUB", "xpub-path-cut", "an xpub's path that is not whole")
    add.fault(0, k(1, XPUB), b"", "PSBT_GLOBAL_XPUB", "xpub-path-empty", "an xpub without a fingerprint")
    for key, name in ((b"", "without-identifier"), (b"\x05abc", "identifier-cut"), (b"\x01a", "without-subtype")):
        for place, kind in ((0, "GLOBAL"), (1, "IN"), (3, "OUT")):
            add.fault(
                place,
                k(0xFC, key),
                b"",
                f"PSBT_{kind}_PROPRIETARY",
                f"proprietary-{kind.lower()}-{name}",
                f"a proprietary key: {name}",
            )


def inputs(add: Collection) -> None:
    """Faults of the input's BIP174 fields."""
    single = {
        0: ("NON_WITNESS_UTXO", PREVIOUS),
        1: ("WITNESS_UTXO", PAID),
        3: ("SIGHASH_TYPE", b"\x01\x00\x00\x00"),
        4: ("REDEEM_SCRIPT", b"\x51"),
        5: ("WITNESS_SCRIPT", SCRIPT),
        7: ("FINAL_SCRIPTSIG", b"\x51"),
        8: ("FINAL_SCRIPTWITNESS", b"\x00"),
    }
    for key_type, (name, value) in single.items():
        add.fault(
            1, k(key_type, b"\x00"), value, f"PSBT_IN_{name}", f"in-{name.lower()}-keydata", f"{name}: data in the key"
        )
    utxo = "PSBT_IN_NON_WITNESS_UTXO"
    add.fault(1, k(0), PREVIOUS[:-1], utxo, "in-previous-tx-cut", "a previous transaction that lacks a byte")
    add.fault(1, k(0), PREVIOUS + b"\x00", utxo, "in-previous-tx-trailing", "a byte after the previous transaction")
    add.fault(1, k(0), b"", utxo, "in-previous-tx-empty", "an empty previous transaction")
    flag = PREVIOUS[:5] + b"\x02" + PREVIOUS[6:]
    add.fault(1, k(0), flag, utxo, "in-previous-tx-flag", "a previous transaction with an unknown segwit flag")
    output = "PSBT_IN_WITNESS_UTXO"
    add.fault(1, k(1), PAID[:-1], output, "in-witness-utxo-cut", "a witness UTXO that lacks a byte")
    add.fault(1, k(1), PAID + b"\x00", output, "in-witness-utxo-trailing", "a byte after the witness UTXO")
    add.fault(1, k(1), PAID[:7], output, "in-witness-utxo-amount-cut", "a witness UTXO of seven bytes")
    loose = PAID[:8] + b"\xfd\x22\x00" + PAID[9:]
    add.fault(1, k(1), loose, output, "in-witness-utxo-length-not-minimal", "a script length in three bytes")
    for size in (0, 3, 5):
        add.fault(
            1, k(3), bytes(size), "PSBT_IN_SIGHASH_TYPE", f"in-sighash-type-{size}", f"a sighash type of {size} bytes"
        )
    for key, name in (
        (b"", "empty"),
        (PUBS[0][:-1], "short"),
        (PUBS[0] + b"\x00", "long"),
        (OFF_CURVE, "off-curve"),
        (HYBRID, "hybrid"),
        (b"\x05" + PUBS[0][1:], "prefix"),
        (XONLY, "x-only"),
    ):
        what = f"keyed by something that is no public key: {name}"
        add.fault(1, k(2, key), signature(0), "PSBT_IN_PARTIAL_SIG", f"in-partial-sig-key-{name}", what)
        add.fault(1, k(6, key), ORIGIN, "PSBT_IN_BIP32_DERIVATION", f"in-derivation-key-{name}", what)
        add.fault(3, k(2, key), ORIGIN, "PSBT_OUT_BIP32_DERIVATION", f"out-derivation-key-{name}", what)
    for value, name in (
        (b"", "empty"),
        (ORIGIN[:3], "fingerprint-cut"),
        (ORIGIN[:-1], "step-cut"),
        (ORIGIN + b"\x00", "trailing"),
    ):
        add.fault(1, k(6, PUBS[0]), value, "PSBT_IN_BIP32_DERIVATION", f"in-derivation-{name}", f"a key origin: {name}")
        add.fault(
            3, k(2, PUBS[0]), value, "PSBT_OUT_BIP32_DERIVATION", f"out-derivation-{name}", f"a key origin: {name}"
        )
    for value, name in (
        (b"", "empty"),
        (b"\x01", "item-missing"),
        (b"\x01\x02\x51", "item-cut"),
        (b"\x00\x00", "trailing"),
        (b"\xfe\xff\xff\xff\xff", "count-lies"),
        (b"\xfd\x01\x00\x00", "count-not-minimal"),
    ):
        add.fault(1, k(8), value, "PSBT_IN_FINAL_SCRIPTWITNESS", f"in-final-witness-{name}", f"a witness stack: {name}")
    ripe, sha, h160, h256 = preimages(b"secret")
    for key_type, name, key in (
        (0xA, "RIPEMD160", ripe),
        (0xB, "SHA256", sha),
        (0xC, "HASH160", h160),
        (0xD, "HASH256", h256),
    ):
        field = f"PSBT_IN_{name}"
        add.fault(1, k(key_type, key), b"another", field, f"in-{name.lower()}-wrong", "a preimage of another hash")
        add.fault(
            1, k(key_type, key[:-1]), b"secret", field, f"in-{name.lower()}-key-short", "a hash that lacks a byte"
        )
    for key_type, name, size in (
        (0xE, "PREVIOUS_TXID", 32),
        (0xF, "OUTPUT_INDEX", 4),
        (0x10, "SEQUENCE", 4),
        (0x11, "REQUIRED_TIME_LOCKTIME", 4),
        (0x12, "REQUIRED_HEIGHT_LOCKTIME", 4),
    ):
        add.fault(
            1, k(key_type), b"\x01" * size, f"PSBT_IN_{name}", f"v2-in-{name.lower()}", "a field of version 2 (BIP370)"
        )
