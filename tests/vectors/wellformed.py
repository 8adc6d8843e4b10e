"""The correct counterparts of the malformed fields: whoever refuses them all would else pass every vector.

Each adds one well-formed field; what the fields mean together is not judged by a parser.
"""

from __future__ import annotations

from parts import (
    CONTROL,
    LEAF,
    ORIGIN,
    PUBS,
    SATS,
    SCRIPT,
    XONLY,
    Collection,
    k,
    sized,
    txout,
    with_field,
    without,
)

from wormsig.bitcoin.script import p2sh_script, p2wsh_script

BOTH = PUBS[0] + PUBS[1]
SCALAR = (1).to_bytes(32, "big")
STEP = bytes(range(32))


def wellformed(add: Collection) -> None:
    """One field each: map, key, value, name, what."""
    program = p2wsh_script(SCRIPT)
    for place, key, value, name, what in (
        (1, k(0x07), sized(program), "final-scriptsig", "a final scriptSig"),
        (1, k(0x07), b"", "final-scriptsig-empty", "a final scriptSig of no bytes"),
        (1, k(0x13), bytes(64), "tap-key-sig-default", "a key-path signature without a type"),
        (1, k(0x14, XONLY + LEAF), bytes(64), "tap-script-sig", "a script-path signature without a type"),
        (1, k(0x14, XONLY + LEAF), bytes(64) + b"\x01", "tap-script-sig-type", "a script-path signature with its type"),
        (1, k(0x15, CONTROL), b"\x51\xc0", "tap-leaf", "a leaf that is the whole tree"),
        (1, k(0x15, CONTROL + STEP * 128), b"\x51\xc0", "tap-leaf-depth-128", "a leaf as deep as BIP341 allows"),
        (1, k(0x15, CONTROL), b"\xc0", "tap-leaf-empty", "a leaf without a script"),
        (1, k(0x16, XONLY), b"\x00" + ORIGIN, "tap-derivation-bare", "a taproot derivation without a leaf"),
        (1, k(0x17), XONLY, "tap-internal-key", "an internal key"),
        (1, k(0x18), LEAF, "tap-merkle-root", "a Merkle root"),
        (1, k(0x19), b"anything", "ownership-proof", "an ownership proof (SLIP-19), whose form is not judged"),
        (1, k(0x1A, PUBS[2]), BOTH, "musig-in-participants", "the participants of an aggregate key"),
        (1, k(0x1B, BOTH), BOTH, "musig-nonce-key-path", "a MuSig2 nonce for the key path"),
        (1, k(0x1C, BOTH), SCALAR, "musig-partial-sig", "a MuSig2 partial signature for the key path"),
        (1, k(0x1C, BOTH + LEAF), SCALAR, "musig-partial-sig-leaf", "a MuSig2 partial signature for a leaf"),
        (3, k(0x00), program, "out-redeem-script", "an output's redeemScript"),
        (3, k(0x05), XONLY, "tap-out-internal-key", "an output's internal key"),
        (3, k(0x07, XONLY), b"\x00" + ORIGIN, "tap-out-derivation", "an output's taproot derivation"),
        (3, k(0x08, PUBS[2]), BOTH, "musig-out-participants", "the participants of an output's aggregate key"),
        (3, k(0x35), b"\x05alice" + b"proof", "out-dnssec-proof", "a name and its proof (BIP353)"),
    ):
        add.valid(name, what, with_field(place, key, value))
    nested = with_field(1, k(0x01), txout(SATS, p2sh_script(program)), without(1, k(0x00)))
    add.valid("redeem-script", "P2WSH nested in P2SH, with its redeemScript", with_field(1, k(0x04), program, nested))
