"""Signer: adds partial signatures to inputs whose scripts it has proven, and nothing else (BIP174, BIP371).

Which inputs may be signed, and whether the transaction should be, is decided before (`review`); who holds which key,
by `signers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin import schnorr, secp
from wormsig.bitcoin.schnorr import NO_AUX
from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_DEFAULT, TAPROOT_TYPES, sighash_name
from wormsig.errors import InputError, PsbtError
from wormsig.psbt.digests import digest, signs_nothing
from wormsig.psbt.maps import put_signatures
from wormsig.psbt.model import Psbt, is_final
from wormsig.psbt.model import sighash_type as asked_type
from wormsig.psbt.modifiable import after_signing
from wormsig.psbt.scripts import InputScripts, input_scripts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wormsig.bitcoin.batch import Item
    from wormsig.psbt.sigkeys import SignatureKey


def sign_inputs(
    psbt: Psbt,
    keys: Mapping[int, Mapping[bytes, bytes]],
    *,
    sighash_type: int = SIGHASH_ALL,
    aux: bytes = NO_AUX,
) -> Psbt:
    """Sign inputs: the very bytes that Bitcoin Core makes.

    ECDSA with RFC6979 nonces, low R and low S. BIP340 for taproot: the key path alone where the internal key is given,
    which is tweaked here; else every leaf that a key stands in.

    Args:
        psbt: The PSBT; it is signed with its own transaction, proven scripts and amounts.
        keys: Input -> public key (as the input's script has it; x-only for taproot) -> secret key.
        sighash_type: What the signatures commit to. With ALL, taproot inputs are signed with DEFAULT, which means the
            same in 64 bytes, unless they ask for ALL.
        aux: 32 auxiliary bytes for BIP340. None by default, as in Bitcoin Core: signing twice gives the same bytes, so
            that a session that was cut off can sign again, and anybody with the key can check that a signature hides
            nothing (THREATS R9). Against faults, which random bytes would guard, every signature is verified here.

    Returns:
        The PSBT with the partial signatures added; never finalized, nothing else changed but the version 2 flags that
        follow from them.

    Raises:
        PsbtError: An input's scripts cannot be proven, its key or type cannot be signed for, it is final already, or it
            asks for another sighash type; or what another input spends is not known, which a taproot signature covers.
        InputError: A secret key that is not its public key's; legacy hashing passes its cap (THREATS C16).
    """
    made = _Made(psbt)
    for index, pairs in keys.items():
        scripts, sighash = _checked(psbt, index, sighash_type)
        for pubkey, seckey in _needed(scripts, pairs).items():
            if scripts.taproot is not None:
                made.taproot(index, scripts, sighash, (pubkey, seckey, aux))
            elif scripts.has_key(pubkey):
                made.ecdsa(index, scripts, sighash, (pubkey, seckey))
            else:
                raise _refusal(index, f"key {pubkey.hex()} is not in the input's script")
    held = psbt.inputs
    signed = psbt.with_signed({index: put_signatures(held[index], here) for index, here in made.verified().items()})
    return after_signing(psbt, signed)


def _needed(scripts: InputScripts, pairs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """The keys to sign with: who holds the internal key needs no other, as in Bitcoin Core."""
    internal = None if scripts.taproot is None else scripts.taproot.internal_key
    return pairs if internal is None or internal not in pairs else {internal: pairs[internal]}


class _Made:
    """What is to be signed, and what was: nobody sees a signature before it is verified."""

    __slots__ = ("_bip340", "_ecdsa", "_psbt", "_signatures")

    def __init__(self, psbt: Psbt) -> None:
        self._psbt = psbt
        self._ecdsa: list[tuple[int, InputScripts, int, bytes, bytes]] = []
        self._bip340: list[Item] = []
        self._signatures: dict[int, dict[SignatureKey, bytes]] = {}

    def ecdsa(self, index: int, scripts: InputScripts, sighash: int, key: tuple[bytes, bytes]) -> None:
        """Note what to sign with a public key's secret key: all of it is signed together."""
        if not (self._ecdsa and scripts.segwit):
            # Here, before there are threads, the first makes what the inputs share, and legacy hashing is held to its
            # cap. What a thread still finds missing in the memo it makes as any other would: no lock is needed.
            digest(self._psbt, index, scripts, sighash)
        self._ecdsa.append((index, scripts, sighash, *key))

    def taproot(self, index: int, scripts: InputScripts, sighash: int, key: tuple[bytes, bytes, bytes]) -> None:
        """Sign everything that one key can: x-only key, secret key and auxiliary bytes."""
        xonly, seckey, aux = key
        proven = scripts.taproot
        places = proven.signable(xonly) if proven is not None else ()
        if proven is None or not places:
            raise _refusal(
                index, f"key {xonly.hex()} is neither the proven internal key nor in a leaf that the output commits to"
            )
        here = self._signatures.setdefault(index, {})
        for place in places:
            secret = seckey if len(place) == 64 else schnorr.taproot_tweak_seckey(seckey, proven.merkle_root)
            message = _taproot_digest(self._psbt, index, scripts, sighash, place[32:])
            signature = schnorr.schnorr_sign(secret, message, aux)
            self._bip340.append((place[:32], message, signature))
            here[place] = signature + bytes((sighash,)) if sighash else signature

    def _to_sign(self, first: int, last: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Secret key, public key and digest."""
        for index, scripts, sighash, pubkey, seckey in self._ecdsa[first:last]:
            yield seckey, pubkey, digest(self._psbt, index, scripts, sighash)

    def verified(self) -> dict[int, dict[SignatureKey, bytes]]:
        """Input -> `SignatureKey` -> signature.

        A wrong secret key, or a computing error that would give the key away, never leaves this module.
        """
        found = self._signatures
        signed = secp.sign_batch(len(self._ecdsa), self._to_sign)
        for (index, _, sighash, pubkey, _), der in zip(self._ecdsa, signed, strict=True):
            if der is None:
                raise _wrong_key(pubkey)
            found.setdefault(index, {})[pubkey] = der + bytes((sighash,))
        _, answers = schnorr.verify_mixed((), self._bip340)
        for (xonly, _, _), good in zip(self._bip340, answers, strict=True):
            if not good:
                raise _wrong_key(xonly)
        return found


def _wrong_key(pubkey: bytes) -> InputError:
    return InputError(f"the secret key to sign with does not belong to public key {pubkey.hex()}")


def _taproot_digest(psbt: Psbt, index: int, scripts: InputScripts, sighash: int, leaf: bytes) -> bytes:
    try:
        return digest(psbt, index, scripts, sighash, leaf)
    except InputError as error:  # an amount or a script that is not known
        raise PsbtError(error.message, where=f"input {index}", hint=error.hint) from None


def _refusal(index: int, message: str, field: str | None = None) -> PsbtError:
    return PsbtError(message, where=f"input {index}", field=field)


def _checked(psbt: Psbt, index: int, wanted: int) -> tuple[InputScripts, int]:
    """The input's proven scripts, and the sighash type to sign it with, once it is sure that it can be."""
    if not 0 <= index < len(psbt.inputs):
        raise _refusal(index, "is not there")
    if is_final(psbt, index):
        raise _refusal(index, "is final already")
    asked = asked_type(psbt, index)
    scripts = input_scripts(psbt, index)
    if not scripts.signable:
        raise _refusal(index, f"cannot be signed: its type is {scripts.script_type}")
    taproot = scripts.taproot is not None
    sighash = SIGHASH_DEFAULT if taproot and wanted == SIGHASH_ALL and asked in {None, SIGHASH_DEFAULT} else wanted
    if asked is not None and asked != sighash:
        raise _refusal(index, f"asks for {sighash_name(asked)}, not {sighash_name(sighash)}", "PSBT_IN_SIGHASH_TYPE")
    if signs_nothing(psbt, index, sighash):
        raise _refusal(index, "SINGLE has no output at this index to sign", "PSBT_IN_SIGHASH_TYPE")
    if (sighash not in TAPROOT_TYPES) if taproot else (sighash == SIGHASH_DEFAULT):
        problem = f"a {scripts.script_type} input has no sighash type {sighash_name(sighash)}"
        raise _refusal(index, problem, "PSBT_IN_SIGHASH_TYPE")
    return scripts, sighash
