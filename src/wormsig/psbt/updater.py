"""Updater: adds what signers need to know, each field with its form (BIP174, BIP371, BIP373).

What is added is what the caller says; whether it is true is for `scripts` and the review.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from wormsig.bitcoin.points import is_known_pubkey
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.tx import write_compact
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.maps import put, put_all
from wormsig.psbt.model import (
    BIP32_DERIVATION,
    MUSIG2_PARTICIPANT_PUBKEYS,
    NON_WITNESS_UTXO,
    OUT_BIP32_DERIVATION,
    OUT_MUSIG2_PARTICIPANT_PUBKEYS,
    OUT_REDEEM_SCRIPT,
    OUT_TAP_BIP32_DERIVATION,
    OUT_TAP_INTERNAL_KEY,
    OUT_TAP_TREE,
    OUT_WITNESS_SCRIPT,
    REDEEM_SCRIPT,
    SIGHASH_TYPE,
    TAP_BIP32_DERIVATION,
    TAP_INTERNAL_KEY,
    TAP_LEAF_SCRIPT,
    TAP_MERKLE_ROOT,
    WITNESS_SCRIPT,
    WITNESS_UTXO,
    Psbt,
)
from wormsig.psbt.modifiable import signature_types
from wormsig.psbt.unsigned import SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wormsig.bitcoin.keys import KeyOrigin
    from wormsig.bitcoin.taproot import TaprootOutput
    from wormsig.bitcoin.tx import TxOutput


def with_previous_tx(psbt: Psbt, index: int, raw: bytes) -> Psbt:
    """Add the previous transaction of an input.

    Args:
        psbt: The PSBT.
        index: The input.
        raw: The whole transaction, with or without its witness.

    Raises:
        PsbtError: It is not the transaction that the input spends, or has no such output.
    """
    return with_previous_txs(psbt, {index: raw})


def with_previous_txs(psbt: Psbt, raw: Mapping[int, bytes]) -> Psbt:
    """`with_previous_tx` for several inputs, which copies once.

    Args:
        psbt: The PSBT.
        raw: Input -> its whole previous transaction.

    Raises:
        PsbtError: As there.
    """
    changed: dict[int, dict[bytes, bytes]] = {}
    for index, each in raw.items():
        outpoint = psbt.outpoint(index)
        place = {"where": f"input {index}", "field": "PSBT_IN_NON_WITNESS_UTXO"}
        try:
            txid, _ = previous_output(each, outpoint.index)
        except InputError as error:
            raise PsbtError(error.message, **place) from None
        if txid != outpoint.txid:
            raise PsbtError("is not the transaction that the input spends", **place)
        changed[index] = put(psbt.inputs[index], NON_WITNESS_UTXO, each)
    return psbt.with_inputs(changed)


def with_witness_utxo(psbt: Psbt, index: int, output: TxOutput) -> Psbt:
    """Add the output that a segwit input spends."""
    return psbt.with_input(index, put(psbt.inputs[index], WITNESS_UTXO, output.serialize()))


def with_sighash_type(psbt: Psbt, index: int, sighash_type: int) -> Psbt:
    """Say which sighash type an input's signatures must have."""
    return psbt.with_input(index, put(psbt.inputs[index], SIGHASH_TYPE, sighash_type.to_bytes(4, "little")))


def with_sequence(psbt: Psbt, index: int, sequence: int) -> Psbt:
    """Set the sequence number of an input of a version 2 PSBT (BIP370, Updater).

    Raises:
        PsbtError: Version 0 fixes it in its transaction; it does not fit; there are signatures, which commit to it.
    """
    place = {"where": f"input {index}", "field": "PSBT_IN_SEQUENCE"}
    if not psbt.version:
        raise PsbtError("cannot be set: version 0 fixes it in its transaction", **place)
    if not 0 <= sequence <= 0xFFFF_FFFF:
        raise PsbtError("does not fit in 32 bits", **place)
    if any(signature_types(fields) for fields in psbt.inputs):
        raise PsbtError("cannot be set: there are signatures, which commit to it", **place)
    return psbt.with_input(index, put(psbt.inputs[index], SEQUENCE, sequence.to_bytes(4, "little")))


def with_input_scripts(
    psbt: Psbt,
    index: int,
    *,
    redeem_script: bytes | None = None,
    witness_script: bytes | None = None,
    origins: Mapping[bytes, KeyOrigin],
) -> Psbt:
    """Add scripts and key origins to an input.

    Args:
        psbt: The PSBT.
        index: The input.
        redeem_script: For P2SH.
        witness_script: For P2WSH, nested or not.
        origins: Public key -> key origin.

    Raises:
        PsbtError: Something in `origins` is not a public key.
    """
    added = _scripts(REDEEM_SCRIPT, redeem_script) | _scripts(WITNESS_SCRIPT, witness_script)
    added |= _origins(BIP32_DERIVATION, origins, f"input {index}", "PSBT_IN_BIP32_DERIVATION")
    return psbt.with_input(index, put_all(psbt.inputs[index], added))


def with_output_scripts(
    psbt: Psbt,
    index: int,
    *,
    redeem_script: bytes | None = None,
    witness_script: bytes | None = None,
    origins: Mapping[bytes, KeyOrigin],
) -> Psbt:
    """Add scripts and key origins to an output; arguments as for `with_input_scripts`."""
    added = _scripts(OUT_REDEEM_SCRIPT, redeem_script) | _scripts(OUT_WITNESS_SCRIPT, witness_script)
    added |= _origins(OUT_BIP32_DERIVATION, origins, f"output {index}", "PSBT_OUT_BIP32_DERIVATION")
    return psbt.with_output(index, put_all(psbt.outputs[index], added))


def with_input_taproot(
    psbt: Psbt,
    index: int,
    output: TaprootOutput,
    *,
    derivations: Mapping[bytes, tuple[Sequence[bytes], KeyOrigin]],
    participants: Mapping[bytes, Sequence[bytes]] = MappingProxyType({}),
) -> Psbt:
    """Add what signers of a taproot input need: internal key, merkle root, every leaf, key origins (BIP371).

    Args:
        psbt: The PSBT.
        index: The input.
        output: Its internal key and tree.
        derivations: X-only key -> the hashes of the leaves that it stands in, and its origin.
        participants: MuSig2 aggregate, 33 bytes -> its participants, 33 bytes each (BIP373).

    Raises:
        PsbtError: Something in `derivations` or `participants` is not a public key.
    """
    tree = output.tree
    added: dict[bytes, bytes] = {TAP_INTERNAL_KEY: output.internal_key}
    if tree is not None:
        added[TAP_MERKLE_ROOT] = tree.merkle_root
        for number, (_, leaf) in enumerate(tree.leaves):
            added[bytes((TAP_LEAF_SCRIPT,)) + output.control_block(number)] = leaf.script + bytes((leaf.version,))
    where = f"input {index}"
    added |= _taproot_origins(TAP_BIP32_DERIVATION, derivations, where, "PSBT_IN_TAP_BIP32_DERIVATION")
    added |= _participants(MUSIG2_PARTICIPANT_PUBKEYS, participants, where, "PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS")
    return psbt.with_input(index, put_all(psbt.inputs[index], added))


def with_output_taproot(
    psbt: Psbt,
    index: int,
    output: TaprootOutput,
    *,
    derivations: Mapping[bytes, tuple[Sequence[bytes], KeyOrigin]],
    participants: Mapping[bytes, Sequence[bytes]] = MappingProxyType({}),
) -> Psbt:
    """Add internal key, tree and key origins to a taproot output; arguments as for `with_input_taproot`."""
    tree = output.tree
    added: dict[bytes, bytes] = {OUT_TAP_INTERNAL_KEY: output.internal_key}
    if tree is not None:
        added[OUT_TAP_TREE] = b"".join(
            [
                bytes((depth, leaf.version)) + write_compact(len(leaf.script)) + leaf.script
                for depth, leaf in tree.leaves
            ]
        )
    where = f"output {index}"
    added |= _taproot_origins(OUT_TAP_BIP32_DERIVATION, derivations, where, "PSBT_OUT_TAP_BIP32_DERIVATION")
    added |= _participants(OUT_MUSIG2_PARTICIPANT_PUBKEYS, participants, where, "PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS")
    return psbt.with_output(index, put_all(psbt.outputs[index], added))


def _taproot_origins(
    key_type: int, derivations: Mapping[bytes, tuple[Sequence[bytes], KeyOrigin]], where: str, field: str
) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for xonly, (leaf_hashes, origin) in derivations.items():
        if not is_known_pubkey(b"\x02" + xonly):
            raise PsbtError(f"{xonly.hex()} is not an x-only public key", where=where, field=field)
        hashes = b"".join(sorted(leaf_hashes))
        found[bytes((key_type,)) + xonly] = write_compact(len(leaf_hashes)) + hashes + origin.encode()
    return found


def _participants(
    key_type: int, participants: Mapping[bytes, Sequence[bytes]], where: str, field: str
) -> dict[bytes, bytes]:
    for aggregate, keys in participants.items():
        for pubkey in (aggregate, *keys):
            if len(pubkey) != 33 or not is_known_pubkey(pubkey):
                raise PsbtError(f"{pubkey.hex()} is not a compressed public key", where=where, field=field)
    return {bytes((key_type,)) + aggregate: b"".join(keys) for aggregate, keys in participants.items()}


def _scripts(key: bytes, script: bytes | None) -> dict[bytes, bytes]:
    return {} if script is None else {key: script}


def _origins(key_type: int, origins: Mapping[bytes, KeyOrigin], where: str, field: str) -> dict[bytes, bytes]:
    for pubkey in origins:
        if not is_known_pubkey(pubkey):
            raise PsbtError(f"{pubkey.hex()} is not a public key", where=where, field=field)
    return {bytes((key_type,)) + pubkey: origin.encode() for pubkey, origin in origins.items()}
