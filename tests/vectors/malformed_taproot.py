"""The malformed vectors of the taproot and MuSig2 fields, and of the outputs."""

from __future__ import annotations

from parts import (
    CONTROL,
    LEAF,
    OFF_CURVE,
    ORDER,
    ORIGIN,
    PUBS,
    SCRIPT,
    X_OFF_CURVE,
    XONLY,
    Collection,
    k,
)


def taproot(add: Collection) -> None:
    """Faults of the taproot and MuSig2 fields (BIP371, BIP373)."""
    for size in (0, 63, 66):
        add.fault(
            1,
            k(0x13),
            bytes(size),
            "PSBT_IN_TAP_KEY_SIG",
            f"tap-key-sig-{size}",
            f"a key-path signature of {size} bytes",
        )
        add.fault(
            1,
            k(0x14, XONLY + LEAF),
            bytes(size),
            "PSBT_IN_TAP_SCRIPT_SIG",
            f"tap-script-sig-{size}",
            f"a script-path signature of {size} bytes",
        )
    add.fault(1, k(0x13, b"\x00"), bytes(64), "PSBT_IN_TAP_KEY_SIG", "tap-key-sig-keydata", "data in the key")
    for key, name in ((PUBS[0] + LEAF, "33-byte-key"), (XONLY, "without-leaf"), (X_OFF_CURVE + LEAF, "off-curve")):
        add.fault(
            1, k(0x14, key), bytes(64), "PSBT_IN_TAP_SCRIPT_SIG", f"tap-script-sig-key-{name}", f"keyed wrongly: {name}"
        )
    for key, name in (
        (CONTROL[:-1], "short"),
        (CONTROL + b"\x00", "long"),
        (CONTROL + bytes(32 * 129), "too-deep"),
        (b"", "empty"),
    ):
        add.fault(
            1,
            k(0x15, key),
            b"\x51\xc0",
            "PSBT_IN_TAP_LEAF_SCRIPT",
            f"tap-leaf-control-{name}",
            f"a control block: {name}",
        )
    add.fault(
        1,
        k(0x15, CONTROL),
        b"",
        "PSBT_IN_TAP_LEAF_SCRIPT",
        "tap-leaf-without-version",
        "a leaf script without its version",
    )
    for place, key_type, kind in ((1, 0x16, "IN"), (3, 0x07, "OUT")):
        field, short = f"PSBT_{kind}_TAP_BIP32_DERIVATION", f"tap-{kind.lower()}-derivation"
        value = b"\x00" + ORIGIN
        add.fault(place, k(key_type, PUBS[0]), value, field, f"{short}-key-33", "keyed by 33 bytes")
        add.fault(place, k(key_type, X_OFF_CURVE), value, field, f"{short}-key-off-curve", "keyed by no point")
        add.fault(place, k(key_type, XONLY), b"", field, f"{short}-empty", "an empty value")
        add.fault(
            place,
            k(key_type, XONLY),
            b"\x02" + LEAF,
            field,
            f"{short}-leaf-missing",
            "two leaf hashes claimed, one there",
        )
        add.fault(place, k(key_type, XONLY), value[:-1], field, f"{short}-step-cut", "a path that is not whole")
        add.fault(
            place, k(key_type, XONLY), b"\x01" + LEAF, field, f"{short}-without-origin", "leaf hashes without an origin"
        )
    for place, key_type, kind in ((1, 0x17, "IN"), (3, 0x05, "OUT")):
        field, short = f"PSBT_{kind}_TAP_INTERNAL_KEY", f"tap-{kind.lower()}-internal-key"
        for value, name in ((PUBS[0], "33"), (XONLY[:-1], "31"), (X_OFF_CURVE, "off-curve")):
            add.fault(place, k(key_type), value, field, f"{short}-{name}", f"an internal key: {name}")
        add.fault(place, k(key_type, b"\x00"), XONLY, field, f"{short}-keydata", "data in the key")
    for size in (31, 33):
        add.fault(
            1,
            k(0x18),
            bytes(size),
            "PSBT_IN_TAP_MERKLE_ROOT",
            f"tap-merkle-root-{size}",
            f"a Merkle root of {size} bytes",
        )
    leaf = b"\xc0\x01\x51"
    for value, name in (
        (b"", "empty"),
        (b"\x01" + leaf, "half"),
        (b"\x00" + leaf + b"\x00" + leaf, "two-roots"),
        (b"\x01" + leaf + b"\x02" + leaf + b"\x02" + leaf + b"\x01" + leaf, "overfull"),
        (b"\x02" + leaf + b"\x01" + leaf + b"\x02" + leaf, "not-depth-first"),
        (b"\x81" + leaf, "depth-129"),
        (b"\x00\xc1\x01\x51", "odd-version"),
        (b"\x00\xc0\x02\x51", "script-cut"),
        (b"\x00", "version-missing"),
    ):
        add.fault(3, k(0x06), value, "PSBT_OUT_TAP_TREE", f"tap-tree-{name}", f"a taproot tree: {name}")
    add.fault(3, k(0x06, b"\x00"), b"\x00" + leaf, "PSBT_OUT_TAP_TREE", "tap-tree-keydata", "data in the key")
    add.fault(3, k(0x03), bytes(8), "PSBT_OUT_AMOUNT", "v2-out-amount", "a field of version 2 (BIP370)")
    add.fault(3, k(0x04), b"\x51", "PSBT_OUT_SCRIPT", "v2-out-script", "a field of version 2 (BIP370)")
    for key_type, name in ((0x00, "REDEEM_SCRIPT"), (0x01, "WITNESS_SCRIPT")):
        add.fault(3, k(key_type, b"\x00"), SCRIPT, f"PSBT_OUT_{name}", f"out-{name.lower()}-keydata", "data in the key")
    add.fault(
        3,
        k(0x35),
        b"\x05abc",
        "PSBT_OUT_DNSSEC_PROOF",
        "out-dnssec-proof-cut",
        "a proof that ends within its name (BIP353)",
    )
    musig(add)


def musig(add: Collection) -> None:
    both = PUBS[0] + PUBS[1]
    for place, key_type, kind in ((1, 0x1A, "IN"), (3, 0x08, "OUT")):
        field, short = f"PSBT_{kind}_MUSIG2_PARTICIPANT_PUBKEYS", f"musig-{kind.lower()}-participants"
        add.fault(place, k(key_type, XONLY), both, field, f"{short}-key-x-only", "an aggregate key of 32 bytes")
        add.fault(
            place, k(key_type, OFF_CURVE), both, field, f"{short}-key-off-curve", "an aggregate key that is no point"
        )
        add.fault(place, k(key_type, PUBS[2]), both[:-1], field, f"{short}-cut", "a participant key of 32 bytes")
        add.fault(place, k(key_type, PUBS[2]), b"", field, f"{short}-none", "no participants")
        add.fault(
            place,
            k(key_type, PUBS[2]),
            PUBS[0] + OFF_CURVE,
            field,
            f"{short}-off-curve",
            "a participant that is no point",
        )
    nonce, partial = PUBS[0] + PUBS[1], (1).to_bytes(32, "big")
    for key_type, name, value in ((0x1B, "PUB_NONCE", nonce), (0x1C, "PARTIAL_SIG", partial)):
        field, short = f"PSBT_IN_MUSIG2_{name}", f"musig-{name.lower().replace('_', '-')}"
        for key, what in (
            (PUBS[0], "without-aggregate"),
            (XONLY + PUBS[1], "participant-x-only"),
            (PUBS[0] + PUBS[1][1:], "aggregate-x-only"),
            (PUBS[0] + OFF_CURVE, "aggregate-off-curve"),
            (both + LEAF[:-1], "leaf-cut"),
        ):
            add.fault(1, k(key_type, key), value, field, f"{short}-key-{what}", f"keyed wrongly: {what}")
        add.fault(1, k(key_type, both), value[:-1], field, f"{short}-short", "a value that lacks a byte")
        add.fault(1, k(key_type, both), value + b"\x00", field, f"{short}-long", "a value with a byte too many")
    add.fault(
        1,
        k(0x1B, both),
        PUBS[0] + OFF_CURVE,
        "PSBT_IN_MUSIG2_PUB_NONCE",
        "musig-pub-nonce-off-curve",
        "a nonce that is no point",
    )
    add.fault(
        1,
        k(0x1C, both),
        ORDER.to_bytes(32, "big"),
        "PSBT_IN_MUSIG2_PARTIAL_SIG",
        "musig-partial-sig-order",
        "a scalar of the group order",
    )
