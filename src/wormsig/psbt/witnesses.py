"""Final scriptSigs and witnesses taken apart by template, into signatures and the keys that they are for.

Templates: m-of-n of OP_CHECKMULTISIG in P2WSH, P2SH-P2WSH, P2SH and bare; P2WPKH, nested or not; P2PKH; taproot by key;
m-of-n of OP_CHECKSIGADD in a taproot leaf. The scripts in a final are proven here, its signatures verified in `finals`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.script import ScriptType, classify, parse_pushes
from wormsig.bitcoin.taproot import ANNEX_TAG, TAPSCRIPT
from wormsig.errors import PsbtError
from wormsig.psbt.model import Psbt, spent_output
from wormsig.psbt.scripts import InputScripts, prove, taproot_input
from wormsig.psbt.taproot import TaprootScripts, proven_leaf
from wormsig.psbt.templates import SINGLE_KEY, FinalScripts, build

if TYPE_CHECKING:
    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.sigkeys import SignatureKey
    from wormsig.psbt.taproot import Leaf
    from wormsig.psbt.verify import SignatureCheck


class FinalState(enum.Enum):
    """What is known about a final input."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_CHECKED = "not checked"


class FinalCheck(msgspec.Struct, frozen=True):
    """One final input and what was found.

    Args:
        input: The input's index.
        state: Whether its scripts satisfy the output.
        signatures: The signatures in it with their keys, when its template is known. Where it was not checked, those
            that are good by themselves.
        preimages: The hash preimages in it: whole field key -> preimage.
    """

    input: int
    state: FinalState
    signatures: tuple[SignatureCheck, ...] = ()
    preimages: tuple[tuple[bytes, bytes], ...] = ()


class Opened(msgspec.Struct, frozen=True):
    """A final whose template is known: its signatures in script order, and the keys they may be for.

    Args:
        scripts: What it carries, proven.
        signatures: In the order of `keys`.
        keys: As many as there are signatures, when each is for the key at its place; else more.
    """

    scripts: InputScripts
    signatures: tuple[bytes, ...]
    keys: tuple[SignatureKey, ...]


class Unknown(msgspec.Struct, frozen=True):
    """A final of a script that is no template, and what its script gets.

    Args:
        scripts: What it carries, proven.
        items: The witness items that the script gets, bottom first.
        leaf: The leaf that it spends by; None when it is a witnessScript.
    """

    scripts: InputScripts
    items: tuple[bytes, ...]
    leaf: Leaf | None = None


def _carried_scripts(spent: TxOutput, final: FinalScripts) -> tuple[bytes | None, bytes | None]:
    """The redeemScript and witnessScript that final scripts carry."""
    redeem = None
    program = spent.script
    if classify(program) is ScriptType.SH:
        pushes = parse_pushes(final.script_sig)
        redeem = program = pushes[-1] if pushes else b""
    witness = final.stack[-1] if classify(program) is ScriptType.WSH and final.stack else None
    return redeem, witness


def _open(scripts: InputScripts, final: FinalScripts) -> Opened | None:
    """The signatures and candidate keys of a template; None when the final does not have exactly its shape."""
    stack = final.stack if scripts.segwit else tuple(parse_pushes(final.script_sig) or ())
    if scripts.script_type in SINGLE_KEY:
        if len(stack) != 2 or build(scripts, stack[:1], stack[1:]) != final or not scripts.has_key(stack[1]):
            return None
        return Opened(scripts, stack[:1], stack[1:])
    multisig = scripts.multisig
    if multisig is None:
        return None
    signatures = stack[1 : 1 + multisig.threshold]
    if len(signatures) != multisig.threshold or build(scripts, signatures, ()) != final:
        return None
    return Opened(scripts, signatures, multisig.pubkeys)


def _open_taproot(spent: TxOutput, final: FinalScripts) -> Opened | Unknown | FinalState:
    """A taproot witness taken apart (BIP341, script validation rules)."""
    output_key, stack = spent.script[2:], final.stack
    if final.script_sig or not stack:
        return FinalState.INVALID
    if len(stack) == 1:
        return Opened(taproot_input(spent, TaprootScripts(output_key)), stack, (output_key,))
    if stack[-1][:1] == bytes((ANNEX_TAG,)):
        return FinalState.NOT_CHECKED  # what an annex means is not defined
    proven = proven_leaf(output_key, stack[-2], stack[-1])
    return FinalState.INVALID if proven is None else _open_leaf(taproot_input(spent, proven), proven, stack[:-2])


def _open_leaf(
    scripts: InputScripts, proven: TaprootScripts, items: tuple[bytes, ...]
) -> Opened | Unknown | FinalState:
    """What a leaf that the output commits to gets."""
    (leaf,) = proven.leaves.values()
    if leaf.version != TAPSCRIPT:
        return FinalState.NOT_CHECKED
    if leaf.multi_a is None:
        return Unknown(scripts, items, leaf)
    pairs = [(key, item) for key, item in zip(leaf.multi_a.keys, reversed(items), strict=False) if item]
    if len(items) != len(leaf.multi_a.keys) or len(pairs) != leaf.multi_a.threshold:
        return FinalState.INVALID
    return Opened(scripts, tuple([item for _, item in pairs]), tuple([key + leaf.hash for key, _ in pairs]))


def classed(psbt: Psbt, index: int, final: FinalScripts) -> Opened | Unknown | FinalState:
    """A final taken apart by its template, or what can be said of it without.

    Args:
        psbt: The PSBT that counts.
        index: The input.
        final: Its final scripts, from anywhere.
    """
    spent = spent_output(psbt, index)
    if spent is None:
        return FinalState.NOT_CHECKED
    if classify(spent.script) is ScriptType.TR:
        return _open_taproot(spent, final)
    try:
        scripts = prove(psbt, index, *_carried_scripts(spent, final))
    except PsbtError as error:
        # A legacy input without its previous transaction is unknown; a script of another output is wrong.
        return FinalState.NOT_CHECKED if error.field == "PSBT_IN_NON_WITNESS_UTXO" else FinalState.INVALID
    if scripts.multisig is not None or scripts.script_type in SINGLE_KEY:
        return _open(scripts, final) or FinalState.INVALID
    if scripts.witness is None or not scripts.segwit:
        return FinalState.NOT_CHECKED
    return Unknown(scripts, final.stack[:-1])
