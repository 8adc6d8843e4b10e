"""What an input spends and by which script, proven as far as bytes can prove it (THREATS C7).

A redeemScript or witnessScript counts only when it hashes to the output; an amount only when the PSBT does not
contradict itself. Signatures are checked against these, and nothing else.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin.script import (
    Multisig,
    ScriptType,
    classify,
    p2sh_script,
    parse_multisig,
    witness_program,
)
from wormsig.errors import PsbtError
from wormsig.psbt.model import (
    NON_WITNESS_UTXO,
    REDEEM_SCRIPT,
    WITNESS_SCRIPT,
    Psbt,
    UtxoProblem,
    spent_or_problem,
    spent_output,
)
from wormsig.psbt.pushes import mentions
from wormsig.psbt.sigkeys import SignatureKey, pubkey_of
from wormsig.psbt.taproot import TaprootScripts, prove_taproot

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import TxOutput

SEGWIT_TYPES: Final = frozenset({"wsh", "sh-wsh", "wpkh", "sh-wpkh"})
"""Script types whose signatures cover the amount (BIP143)."""

MAX_REDEEM_SCRIPT: Final = 520
"""Consensus: no push is larger, so a larger redeemScript can never be spent."""

_UTXO_FIELD: Final = {
    UtxoProblem.MISSING: "PSBT_IN_WITNESS_UTXO",
    UtxoProblem.OTHER_TXID: "PSBT_IN_NON_WITNESS_UTXO",
    UtxoProblem.NO_SUCH_OUTPUT: "PSBT_IN_NON_WITNESS_UTXO",
    UtxoProblem.DISAGREES: "PSBT_IN_WITNESS_UTXO",
}


class InputScripts(msgspec.Struct, frozen=True):
    """How one input is spent.

    Args:
        spent: The output; its amount is proven only when a previous transaction is carried.
        script_type: "wsh", "sh-wsh", "sh", "wpkh", "sh-wpkh", "pkh", "bare", "tr", or what `classify` calls it.
        redeem: The redeemScript, when the output is P2SH.
        witness: The witnessScript, when it is P2WSH, nested or not.
        multisig: The m-of-n of the innermost script, when it is exactly that template.
        script_code: What signatures commit to; empty when ECDSA cannot sign this type (taproot, unknown witness
            versions).
        taproot: Output key, internal key and leaves, when the output is P2TR.
    """

    spent: TxOutput
    script_type: str
    redeem: bytes | None
    witness: bytes | None
    multisig: Multisig | None
    script_code: bytes
    taproot: TaprootScripts | None = None

    @property
    def signable(self) -> bool:
        """Whether signatures can be checked at all for this type."""
        return bool(self.script_code) or self.taproot is not None

    @property
    def segwit(self) -> bool:
        """Whether BIP143 applies."""
        return self.script_type in SEGWIT_TYPES

    def has_key(self, key: SignatureKey) -> bool:
        """Whether a signature under this key can count for this script."""
        if self.multisig is not None:
            return key in self.multisig.pubkeys
        if self.taproot is not None:
            return self.taproot.has_key(key)
        if len(key) not in {33, 65} or (self.segwit and len(key) != 33):
            return False
        return mentions(self.script_code, key)


def _error(index: int, field: str, message: str) -> PsbtError:
    return PsbtError(message, where=f"input {index}", field=field)


def input_scripts(psbt: Psbt, index: int) -> InputScripts:
    """The proven scripts of one input, from the PSBT's own fields.

    Args:
        psbt: The PSBT.
        index: The input.

    Raises:
        PsbtError: What is spent is unknown or contradicts itself, a script is missing or does not hash to the output,
            or a legacy input lacks its previous transaction.
    """
    memo = psbt.memo.scripts
    known = memo.get(index)
    if known is None:
        fields = psbt.inputs[index]
        known = memo[index] = prove(psbt, index, fields.get(REDEEM_SCRIPT), fields.get(WITNESS_SCRIPT))
    return known


def prove(psbt: Psbt, index: int, redeem: bytes | None, witness: bytes | None) -> InputScripts:
    """The scripts of one input, given the redeemScript and witnessScript to prove (a final input carries its own).

    Raises:
        PsbtError: As `input_scripts`.
    """
    spent = spent_or_problem(psbt, index)
    if isinstance(spent, UtxoProblem):
        raise _error(index, _UTXO_FIELD[spent], spent.value)
    kind = classify(spent.script)
    program, prefix = spent.script, ""
    if kind is ScriptType.SH:
        program, prefix = _proven_redeem(index, spent, redeem), "sh-"
        kind = classify(program)
    elif redeem is not None:
        raise _error(index, "PSBT_IN_REDEEM_SCRIPT", "is there, but the output that is spent is not P2SH")
    if kind is ScriptType.WSH:
        return _witness_script(index, spent, prefix + "wsh", redeem, witness)
    if witness is not None:
        raise _error(index, "PSBT_IN_WITNESS_SCRIPT", "is there, but the output that is spent is not P2WSH")
    if kind is ScriptType.TR and redeem is None:  # within P2SH it is not taproot (BIP341)
        return taproot_input(spent, prove_taproot(index, spent.script[2:], psbt.inputs[index]))
    if kind is ScriptType.WPKH:
        code = b"\x76\xa9\x14" + program[2:] + b"\x88\xac"
        return InputScripts(spent, prefix + "wpkh", redeem, None, None, code)
    return _legacy(psbt, index, spent, redeem)


def taproot_input(spent: TxOutput, proven: TaprootScripts) -> InputScripts:
    """A taproot output with what is proven of how it can be spent."""
    return InputScripts(spent, "tr", None, None, None, b"", proven)


def _proven_redeem(index: int, spent: TxOutput, redeem: bytes | None) -> bytes:
    if redeem is None:
        raise _error(index, "PSBT_IN_REDEEM_SCRIPT", "is missing")
    if p2sh_script(redeem) != spent.script:
        raise _error(index, "PSBT_IN_REDEEM_SCRIPT", "does not hash to the output that is spent")
    if len(redeem) > MAX_REDEEM_SCRIPT:
        raise _error(index, "PSBT_IN_REDEEM_SCRIPT", f"has {len(redeem)} bytes: more than a push can hold")
    return redeem


def _witness_script(
    index: int, spent: TxOutput, script_type: str, redeem: bytes | None, witness: bytes | None
) -> InputScripts:
    if witness is None:
        raise _error(index, "PSBT_IN_WITNESS_SCRIPT", "is missing")
    program = spent.script if redeem is None else redeem
    if hashlib.sha256(witness).digest() != program[2:]:
        raise _error(index, "PSBT_IN_WITNESS_SCRIPT", "does not hash to the output that is spent")
    multisig = parse_multisig(witness)
    if multisig is not None and 65 in map(len, multisig.pubkeys):
        raise _error(index, "PSBT_IN_WITNESS_SCRIPT", "has an uncompressed key, which segwit does not relay")
    return InputScripts(spent, script_type, redeem, witness, multisig, witness)


def _legacy(psbt: Psbt, index: int, spent: TxOutput, redeem: bytes | None) -> InputScripts:
    """Scripts before segwit, and what no ECDSA signature can spend."""
    script = spent.script if redeem is None else redeem
    kind = "sh" if redeem is not None else str(classify(script))
    if witness_program(script) is not None:
        return InputScripts(spent, kind, redeem, None, None, b"")
    if NON_WITNESS_UTXO not in psbt.inputs[index]:
        raise _error(
            index, "PSBT_IN_NON_WITNESS_UTXO", "is missing: a legacy input needs its whole previous transaction"
        )
    return InputScripts(spent, kind, redeem, None, parse_multisig(script), script)


def signer_of(psbt: Psbt, index: int, key: SignatureKey) -> bytes:
    """The public key that a signer is known by, of a signature that verified.

    For taproot's key path that is the internal key, as far as it is proven: the output key is in nobody's wallet.

    Args:
        psbt: The PSBT that it was verified on.
        index: The input.
        key: What the signature stands under.

    Returns:
        33 or 65 bytes; x-only for taproot.
    """
    proven = input_scripts(psbt, index).taproot if len(key) == 32 else None
    if proven is not None and proven.internal_key is not None:
        return proven.internal_key
    return pubkey_of(key)


def script_type(psbt: Psbt, index: int) -> str:
    """The script type of an input as far as it can be told; never raises.

    Returns:
        As `InputScripts.script_type`; "sh" for P2SH whose redeemScript is unknown, "unknown" when nothing is known.
    """
    try:
        return input_scripts(psbt, index).script_type
    except PsbtError:
        spent = spent_output(psbt, index)
        return "unknown" if spent is None else str(classify(spent.script))
