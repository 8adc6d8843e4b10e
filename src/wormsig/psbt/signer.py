"""Signer: adds partial signatures to inputs whose scripts it has proven, and nothing else (BIP174).

Which inputs may be signed, and whether the transaction should be, is decided before (`review`); who holds which key,
by `signers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin import secp
from wormsig.bitcoin.sighash import SIGHASH_ALL, sighash_name
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.maps import put_signatures
from wormsig.psbt.model import Psbt, is_final
from wormsig.psbt.model import sighash_type as asked_type
from wormsig.psbt.modifiable import after_signing
from wormsig.psbt.scripts import InputScripts, input_scripts
from wormsig.psbt.verify import digest, signs_nothing

if TYPE_CHECKING:
    from collections.abc import Mapping


def sign_inputs(psbt: Psbt, keys: Mapping[int, Mapping[bytes, bytes]], *, sighash_type: int = SIGHASH_ALL) -> Psbt:
    """Sign inputs with ECDSA: RFC6979 nonces, low R and low S, the bytes that Bitcoin Core makes.

    Args:
        psbt: The PSBT; it is signed with its own transaction, proven scripts and amounts.
        keys: Input -> public key (as the input's script has it) -> secret key.
        sighash_type: What the signatures commit to.

    Returns:
        The PSBT with the partial signatures added; never finalized, nothing else changed but the version 2 flags that
        follow from them.

    Raises:
        PsbtError: An input's scripts cannot be proven, its key or type cannot be signed for, it is final already, or it
            asks for another sighash type.
        InputError: A secret key that is not its public key's; legacy hashing passes its cap (THREATS C16).
    """
    signatures: dict[int, dict[bytes, bytes]] = {}
    made: list[tuple[bytes, bytes, bytes]] = []
    for index, pairs in keys.items():
        scripts = _checked(psbt, index, sighash_type)
        here = signatures[index] = {}
        for pubkey, seckey in pairs.items():
            if not scripts.has_key(pubkey):
                raise _refusal(index, f"key {pubkey.hex()} is not in the input's script")
            message = digest(psbt, index, scripts, sighash_type)
            signature = secp.ecdsa_sign(seckey, message)
            made.append((pubkey, message, signature))
            here[pubkey] = signature + bytes((sighash_type,))
    # A wrong secret key, or a computing error that would give the key away, never leaves this function.
    for (pubkey, _, _), good in zip(made, secp.verify_batch(made), strict=True):
        if not good:
            raise InputError(f"the secret key to sign with does not belong to public key {pubkey.hex()}")
    signed = psbt.with_inputs({index: put_signatures(psbt.inputs[index], here) for index, here in signatures.items()})
    return after_signing(psbt, signed)


def _refusal(index: int, message: str, field: str | None = None) -> PsbtError:
    return PsbtError(message, where=f"input {index}", field=field)


def _checked(psbt: Psbt, index: int, sighash: int) -> InputScripts:
    """The input's proven scripts, once it is sure that it can be signed with this sighash type."""
    if not 0 <= index < len(psbt.inputs):
        raise _refusal(index, "is not there")
    if is_final(psbt, index):
        raise _refusal(index, "is final already")
    asked = asked_type(psbt, index)
    if asked is not None and asked != sighash:
        raise _refusal(index, f"asks for {sighash_name(asked)}, not {sighash_name(sighash)}", "PSBT_IN_SIGHASH_TYPE")
    if signs_nothing(psbt, index, sighash):
        raise _refusal(index, "SINGLE has no output at this index to sign", "PSBT_IN_SIGHASH_TYPE")
    scripts = input_scripts(psbt, index)
    if not scripts.script_code:
        raise _refusal(index, f"cannot be signed yet: its type is {scripts.script_type}")
    return scripts
