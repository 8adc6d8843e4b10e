"""Changed copies of maps, with fields where Bitcoin Core writes them.

By key type; partial signatures by the HASH160 of their key, everything else of one type by its key. Fields that are
there already keep their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.script import hash160
from wormsig.psbt.fields import FIELDS, Map
from wormsig.psbt.model import FINAL_SCRIPTSIG, FINAL_SCRIPTWITNESS, PARTIAL_SIG
from wormsig.psbt.sigkeys import SCHNORR_KEYS, SignatureKey, field_key, is_schnorr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.psbt.model import Fields
    from wormsig.psbt.templates import FinalScripts

_SIGNATURE_KEY = bytes((PARTIAL_SIG,))

CLEARED = frozenset(field.type for field in FIELDS if field.map is Map.INPUT and not field.final)
"""Types of the input fields that finalizing clears (BIP174)."""


def put(fields: Fields, key: bytes, value: bytes) -> dict[bytes, bytes]:
    """A copy with one field set: in place when it is there already, else where its type and key belong."""
    return put_all(fields, {key: value})


def put_all(fields: Fields, added: Fields) -> dict[bytes, bytes]:
    """`put` for several fields, in one pass."""
    waiting = sorted([key for key in added if key not in fields], reverse=True)
    result: dict[bytes, bytes] = {}
    for key, value in fields.items():
        while waiting and waiting[-1] < key:
            new = waiting.pop()
            result[new] = added[new]
        result[key] = added.get(key, value)
    while waiting:
        new = waiting.pop()
        result[new] = added[new]
    return result


def put_signatures(fields: Fields, signatures: Mapping[SignatureKey, bytes]) -> dict[bytes, bytes]:
    """A copy of an input's map with partial signatures added or replaced.

    Args:
        fields: The input's map.
        signatures: `SignatureKey` -> signature as its field has it.
    """
    for key in signatures:
        if len(key) in SCHNORR_KEYS:
            return _put_taproot_signatures(fields, signatures)
    together = {_SIGNATURE_KEY + pubkey: signature for pubkey, signature in signatures.items()}
    held = {key: value for key, value in fields.items() if key[0] == PARTIAL_SIG}
    if held:
        together = held | together
        fields = {key: value for key, value in fields.items() if key not in held}
    if len(together) > 1:
        together = {key: together[key] for key in sorted(together, key=lambda key: hash160(key[1:]))}
    result: dict[bytes, bytes] = {}
    for key, value in fields.items():
        if key[0] > PARTIAL_SIG:
            break
        result[key] = value
    result.update(together)
    result.update(fields)  # what stands before them stays there
    return result


def _put_taproot_signatures(fields: Fields, signatures: Mapping[SignatureKey, bytes]) -> dict[bytes, bytes]:
    changed = put_all(fields, {field_key(key): value for key, value in signatures.items() if is_schnorr(key)})
    others = {key: value for key, value in signatures.items() if not is_schnorr(key)}
    return put_signatures(changed, others) if others else changed


def finalized(fields: Fields, final: FinalScripts) -> dict[bytes, bytes]:
    """An input's map with its final scripts, and without what finalizing clears (BIP174).

    What is spent, unknown and proprietary fields stay.
    """
    scripts = {}
    if final.script_sig:
        scripts[FINAL_SCRIPTSIG] = final.script_sig
    if final.stack:
        scripts[FINAL_SCRIPTWITNESS] = final.witness
    result: dict[bytes, bytes] = {}
    waiting = True
    for key, value in fields.items():
        kind = key[0]
        if kind in CLEARED:
            continue
        if waiting and kind > PARTIAL_SIG:
            result.update(scripts)
            waiting = False
        result[key] = value
    if waiting:
        result.update(scripts)
    return result
