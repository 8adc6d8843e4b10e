"""The one table of PSBT key types: name, where it stands, versions, forms, who adds it, what a contribution carries.

BIP174 (with 127 and SLIP-19), 370, 371, 373, 375 and 353. Fields of drafts, and of BIPs whose numbers are claimed
twice, are named but their form is not enforced: a PSBT that used the number for something else stays readable
(docs/adr/0004). What a field means does not belong here.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin.tx import read_compact
from wormsig.errors import InputError
from wormsig.psbt import forms

if TYPE_CHECKING:
    from wormsig.psbt.forms import Form


class Map(enum.Enum):
    """The three kinds of map."""

    GLOBAL = "global map"
    INPUT = "input"
    OUTPUT = "output"


class Role(enum.Enum):
    """BIP174 and BIP370 roles."""

    CREATOR = "Creator"
    CONSTRUCTOR = "Constructor"
    UPDATER = "Updater"
    SIGNER = "Signer"
    FINALIZER = "Input Finalizer"
    ANYBODY = "anybody"


class FieldType(msgspec.Struct, frozen=True):
    """One key type.

    Args:
        name: As its BIP writes it.
        map: Which kind of map it stands in.
        type: The key type's number.
        bip: The BIP that defines it; 0 for SLIP-19.
        versions: PSBT versions that allow it.
        key: What follows the type in the key, in words.
        value: The value, in words.
        added_by: The role that adds it.
        check: The form of key and value.
        contribution: Whether a cosigner's answer may carry it into the coordinator's copy, once verified.
        required: PSBT versions in which every map of its kind must have it.
        final: Whether it stays in an input that is final (BIP174: UTXOs, finals and what is
            unknown stay; what version 2 keeps instead of the transaction does too).
    """

    name: str
    map: Map
    type: int
    bip: int
    versions: frozenset[int]
    key: str
    value: str
    added_by: Role
    check: Form
    contribution: bool = False
    final: bool = False
    required: frozenset[int] = frozenset()


VERSIONS: Final = (0, 2)
"""The PSBT versions that there are (BIP174, BIP370)."""

_BOTH: Final = frozenset(VERSIONS)
_V0: Final = frozenset({0})
_V2: Final = frozenset({2})
_NONE: Final = "none"

G, I, O = Map.GLOBAL, Map.INPUT, Map.OUTPUT  # noqa: E741  # read as columns of the table below
C, K, U, S, F, A = (
    Role.CREATOR,
    Role.CONSTRUCTOR,
    Role.UPDATER,
    Role.SIGNER,
    Role.FINALIZER,
    Role.ANYBODY,
)
_T = FieldType
_PATH: Final = "fingerprint, path"
_PROPRIETARY: Final = "identifier, subtype, data"

FIELDS: Final[tuple[FieldType, ...]] = (
    _T("PSBT_GLOBAL_UNSIGNED_TX", G, 0x00, 174, _V0, _NONE, "transaction, stripped", C, forms.no_keydata, required=_V0),
    _T("PSBT_GLOBAL_XPUB", G, 0x01, 174, _BOTH, "xpub, 78", _PATH, U, forms.xpub),
    _T("PSBT_GLOBAL_TX_VERSION", G, 0x02, 370, _V2, _NONE, "int32", C, forms.sized(4), required=_V2),
    _T("PSBT_GLOBAL_FALLBACK_LOCKTIME", G, 0x03, 370, _V2, _NONE, "uint32", C, forms.sized(4)),
    _T("PSBT_GLOBAL_INPUT_COUNT", G, 0x04, 370, _V2, _NONE, "compact size", K, forms.compact_size, required=_V2),
    _T("PSBT_GLOBAL_OUTPUT_COUNT", G, 0x05, 370, _V2, _NONE, "compact size", K, forms.compact_size, required=_V2),
    _T("PSBT_GLOBAL_TX_MODIFIABLE", G, 0x06, 370, _V2, _NONE, "flags, 1", K, forms.sized(1)),
    _T("PSBT_GLOBAL_SP_ECDH_SHARE", G, 0x07, 375, _BOTH, "scan key, 33", "point, 33", S, forms.anything),
    _T("PSBT_GLOBAL_SP_DLEQ", G, 0x08, 375, _BOTH, "scan key, 33", "proof, 64", S, forms.anything),
    _T("PSBT_GLOBAL_GENERIC_SIGNED_MESSAGE", G, 0x09, 322, _BOTH, _NONE, "message", C, forms.anything),
    _T("PSBT_GLOBAL_VERSION", G, 0xFB, 174, _BOTH, _NONE, "uint32", C, forms.sized(4), required=_V2),
    _T("PSBT_GLOBAL_PROPRIETARY", G, 0xFC, 174, _BOTH, _PROPRIETARY, "free", A, forms.proprietary),
    _T("PSBT_IN_NON_WITNESS_UTXO", I, 0x00, 174, _BOTH, _NONE, "transaction", U, forms.no_keydata, final=True),
    _T("PSBT_IN_WITNESS_UTXO", I, 0x01, 174, _BOTH, _NONE, "output", U, forms.tx_output, final=True),
    _T(
        "PSBT_IN_PARTIAL_SIG",
        I,
        0x02,
        174,
        _BOTH,
        "public key",
        "ECDSA signature and sighash type",
        S,
        forms.keyed_by_pubkey,
        contribution=True,
    ),
    _T("PSBT_IN_SIGHASH_TYPE", I, 0x03, 174, _BOTH, _NONE, "uint32", U, forms.sized(4)),
    _T("PSBT_IN_REDEEM_SCRIPT", I, 0x04, 174, _BOTH, _NONE, "script", U, forms.no_keydata),
    _T("PSBT_IN_WITNESS_SCRIPT", I, 0x05, 174, _BOTH, _NONE, "script", U, forms.no_keydata),
    _T("PSBT_IN_BIP32_DERIVATION", I, 0x06, 174, _BOTH, "public key", _PATH, U, forms.derivation),
    _T("PSBT_IN_FINAL_SCRIPTSIG", I, 0x07, 174, _BOTH, _NONE, "script", F, forms.no_keydata, final=True),
    _T(
        "PSBT_IN_FINAL_SCRIPTWITNESS",
        I,
        0x08,
        174,
        _BOTH,
        _NONE,
        "witness stack",
        F,
        forms.witness_stack,
        final=True,
    ),
    _T("PSBT_IN_POR_COMMITMENT", I, 0x09, 127, _BOTH, _NONE, "text", U, forms.anything, final=True),
    _T(
        "PSBT_IN_RIPEMD160",
        I,
        0x0A,
        174,
        _BOTH,
        "hash, 20",
        "preimage",
        S,
        forms.preimage("ripemd160"),
        contribution=True,
    ),
    _T("PSBT_IN_SHA256", I, 0x0B, 174, _BOTH, "hash, 32", "preimage", S, forms.preimage("sha256"), contribution=True),
    _T("PSBT_IN_HASH160", I, 0x0C, 174, _BOTH, "hash, 20", "preimage", S, forms.preimage("hash160"), contribution=True),
    _T("PSBT_IN_HASH256", I, 0x0D, 174, _BOTH, "hash, 32", "preimage", S, forms.preimage("hash256"), contribution=True),
    _T("PSBT_IN_PREVIOUS_TXID", I, 0x0E, 370, _V2, _NONE, "txid, 32", K, forms.sized(32), final=True, required=_V2),
    _T("PSBT_IN_OUTPUT_INDEX", I, 0x0F, 370, _V2, _NONE, "uint32", K, forms.sized(4), final=True, required=_V2),
    _T("PSBT_IN_SEQUENCE", I, 0x10, 370, _V2, _NONE, "uint32", K, forms.sized(4), final=True),
    _T("PSBT_IN_REQUIRED_TIME_LOCKTIME", I, 0x11, 370, _V2, _NONE, "uint32", K, forms.required_time, final=True),
    _T("PSBT_IN_REQUIRED_HEIGHT_LOCKTIME", I, 0x12, 370, _V2, _NONE, "uint32", K, forms.required_height, final=True),
    _T(
        "PSBT_IN_TAP_KEY_SIG",
        I,
        0x13,
        371,
        _BOTH,
        _NONE,
        "signature, 64 or 65",
        S,
        forms.sized(64, 65),
        contribution=True,
    ),
    _T(
        "PSBT_IN_TAP_SCRIPT_SIG",
        I,
        0x14,
        371,
        _BOTH,
        "x-only key, leaf hash",
        "signature, 64 or 65",
        S,
        forms.tap_script_sig,
        contribution=True,
    ),
    _T("PSBT_IN_TAP_LEAF_SCRIPT", I, 0x15, 371, _BOTH, "control block", "script, version", U, forms.tap_leaf_script),
    _T("PSBT_IN_TAP_BIP32_DERIVATION", I, 0x16, 371, _BOTH, "x-only key", "leaves, origin", U, forms.tap_derivation),
    _T("PSBT_IN_TAP_INTERNAL_KEY", I, 0x17, 371, _BOTH, _NONE, "x-only key", U, forms.xonly_value),
    _T("PSBT_IN_TAP_MERKLE_ROOT", I, 0x18, 371, _BOTH, _NONE, "hash, 32", U, forms.sized(32)),
    _T("PSBT_IN_OWNERSHIP_PROOF", I, 0x19, 0, _BOTH, _NONE, "proof", U, forms.anything, final=True),
    _T(
        "PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS",
        I,
        0x1A,
        373,
        _BOTH,
        "aggregate key",
        "public keys",
        U,
        forms.musig_participants,
    ),
    _T(
        "PSBT_IN_MUSIG2_PUB_NONCE",
        I,
        0x1B,
        373,
        _BOTH,
        "participant, aggregate, leaf hash",
        "nonce, 66",
        S,
        forms.musig_nonce,
        contribution=True,
    ),
    _T(
        "PSBT_IN_MUSIG2_PARTIAL_SIG",
        I,
        0x1C,
        373,
        _BOTH,
        "participant, aggregate, leaf hash",
        "scalar, 32",
        S,
        forms.musig_partial_sig,
        contribution=True,
    ),
    _T("PSBT_IN_SP_ECDH_SHARE", I, 0x1D, 375, _BOTH, "scan key, 33", "point, 33", S, forms.anything, final=True),
    _T("PSBT_IN_SP_DLEQ", I, 0x1E, 375, _BOTH, "scan key, 33", "proof, 64", S, forms.anything, final=True),
    _T("PSBT_IN_PROPRIETARY", I, 0xFC, 174, _BOTH, _PROPRIETARY, "free", A, forms.proprietary, final=True),
    _T("PSBT_OUT_REDEEM_SCRIPT", O, 0x00, 174, _BOTH, _NONE, "script", U, forms.no_keydata),
    _T("PSBT_OUT_WITNESS_SCRIPT", O, 0x01, 174, _BOTH, _NONE, "script", U, forms.no_keydata),
    _T("PSBT_OUT_BIP32_DERIVATION", O, 0x02, 174, _BOTH, "public key", _PATH, U, forms.derivation),
    _T("PSBT_OUT_AMOUNT", O, 0x03, 370, _V2, _NONE, "int64", K, forms.sized(8), required=_V2),
    _T("PSBT_OUT_SCRIPT", O, 0x04, 370, _V2, _NONE, "script", K, forms.no_keydata, required=_V2),
    _T("PSBT_OUT_TAP_INTERNAL_KEY", O, 0x05, 371, _BOTH, _NONE, "x-only key", U, forms.xonly_value),
    _T("PSBT_OUT_TAP_TREE", O, 0x06, 371, _BOTH, _NONE, "leaves", U, forms.tap_tree),
    _T("PSBT_OUT_TAP_BIP32_DERIVATION", O, 0x07, 371, _BOTH, "x-only key", "leaves, origin", U, forms.tap_derivation),
    _T(
        "PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS",
        O,
        0x08,
        373,
        _BOTH,
        "aggregate key",
        "public keys",
        U,
        forms.musig_participants,
    ),
    _T("PSBT_OUT_SP_V0_INFO", O, 0x09, 375, _BOTH, _NONE, "scan key, spend key", K, forms.anything),
    _T("PSBT_OUT_SP_V0_LABEL", O, 0x0A, 375, _BOTH, _NONE, "uint32", U, forms.anything),
    _T("PSBT_OUT_DNSSEC_PROOF", O, 0x35, 353, _BOTH, _NONE, "name, proof", K, forms.dnssec_proof),
    _T("PSBT_OUT_PROPRIETARY", O, 0xFC, 174, _BOTH, _PROPRIETARY, "free", A, forms.proprietary),
)

BY_TYPE: Final[dict[tuple[Map, int], FieldType]] = {(field.map, field.type): field for field in FIELDS}


def _refuse_in(version: int) -> Form:
    def check(_key: bytes, _value: bytes) -> str | None:
        return f"does not belong in a version {version} PSBT (BIP370)"

    return check


def checks(kind: Map, version: int) -> tuple[Form | None, ...]:
    """The form check of every one-byte key type in a kind of map; None for an unknown type.

    Args:
        kind: The kind of map.
        version: The PSBT's version; fields that do not belong to it get a check that always refuses.

    Returns:
        256 entries, by key type.
    """
    table: list[Form | None] = [None] * 256
    table[0xFD:] = [forms.long_type] * 3
    for field in FIELDS:
        if field.map is kind:
            table[field.type] = field.check if version in field.versions else _refuse_in(version)
    return tuple(table)


def required(kind: Map, version: int) -> dict[bytes, str]:
    """The keys that every map of a kind must have in a version, with their names; none of them has key data."""
    return {bytes((field.type,)): field.name for field in FIELDS if field.map is kind and version in field.required}


def only_in_one_version(kind: Map) -> frozenset[int]:
    """The key types that only one version has: what describes the transaction, and the version itself."""
    number = frozenset({0xFB}) if kind is Map.GLOBAL else frozenset[int]()
    return number | {field.type for field in FIELDS if field.map is kind and field.versions != _BOTH}


def key_type(key: bytes) -> int:
    """The key type of a whole key (a compact size: one byte, or more for types from 253 on).

    Raises:
        InputError: Empty, cut short, or not in the shortest form.
    """
    return key[0] if key and key[0] < 0xFD else read_compact(key, 0)[0]


def lookup(kind: Map, key: bytes) -> FieldType | None:
    """The key type that a whole key belongs to; None when it is unknown."""
    try:
        return BY_TYPE.get((kind, key_type(key)))
    except InputError:
        return None


def field_name(kind: Map, key: bytes) -> str:
    """The name to show for a key: its BIP's, or the number of an unknown type."""
    field = lookup(kind, key)
    if field is not None:
        return field.name
    try:
        return f"unknown type 0x{key_type(key):02x}"
    except InputError:
        return "malformed key type"
