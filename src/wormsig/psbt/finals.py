"""Final scriptSigs and witnesses: taken apart by template into the signatures in them, and put together.

Templates: m-of-n of OP_CHECKMULTISIG in P2WSH, P2SH-P2WSH, P2SH and bare; P2WPKH, nested or not; P2PKH. A final of
another script is "not checked", never "valid" (THREATS C22, R7).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.script import ScriptType, classify, parse_pushes, push
from wormsig.bitcoin.tx import write_compact
from wormsig.errors import PsbtError
from wormsig.psbt.forms import read_stack
from wormsig.psbt.model import (
    FINAL_SCRIPTSIG,
    FINAL_SCRIPTWITNESS,
    Psbt,
    is_final,
    spent_output,
)
from wormsig.psbt.scripts import InputScripts, prove
from wormsig.psbt.verify import ALL_ONLY, SignatureCheck, SignatureProblem, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SINGLE_KEY: Final = frozenset({"wpkh", "sh-wpkh", "pkh"})


class FinalState(enum.Enum):
    """What is known about a final input."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class FinalScripts:
    """The final scripts of one input.

    Args:
        script_sig: The scriptSig; empty when there is none.
        stack: The witness items, bottom first; empty when there is no witness.
    """

    script_sig: bytes
    stack: tuple[bytes, ...]

    @property
    def witness(self) -> bytes:
        """The stack as PSBT_IN_FINAL_SCRIPTWITNESS and transactions write it."""
        parts = [write_compact(len(self.stack))]
        for item in self.stack:
            parts += (write_compact(len(item)), item)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class FinalCheck:
    """One final input and what was found.

    Args:
        input: The input's index.
        state: Whether its scripts satisfy the output.
        signatures: The signatures in it with their keys, when its template is known.
    """

    input: int
    state: FinalState
    signatures: tuple[SignatureCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A final whose template is known: its signatures in script order, and the keys they may be for."""

    scripts: InputScripts
    signatures: tuple[bytes, ...]
    keys: tuple[bytes, ...]


def final_of(psbt: Psbt, index: int) -> FinalScripts | None:
    """The final scripts of an input; None when it is not final."""
    if not is_final(psbt, index):
        return None
    known = psbt.memo.finals.get(index)
    if known is not None and known[0] is psbt.inputs[index]:
        return known[1]
    fields = psbt.inputs[index]
    witness = fields.get(FINAL_SCRIPTWITNESS)
    return FinalScripts(fields.get(FINAL_SCRIPTSIG, b""), (read_stack(witness) or ()) if witness is not None else ())


def build(scripts: InputScripts, signatures: Sequence[bytes], pubkeys: Sequence[bytes]) -> FinalScripts:
    """The final scripts of a template, from signatures in script order (and their keys, for single-key scripts)."""
    nested = push(scripts.redeem) if scripts.redeem is not None and scripts.segwit else b""
    if scripts.script_type in SINGLE_KEY:
        pair = (signatures[0], pubkeys[0])
        return FinalScripts(nested, pair) if scripts.segwit else FinalScripts(b"".join(map(push, pair)), ())
    if scripts.witness is not None:
        return FinalScripts(nested, (b"", *signatures, scripts.witness))
    tail = push(scripts.redeem) if scripts.redeem is not None else b""
    return FinalScripts(b"\x00" + b"".join(map(push, signatures)) + tail, ())


def _carried_scripts(psbt: Psbt, index: int, final: FinalScripts) -> tuple[bytes | None, bytes | None]:
    """The redeemScript and witnessScript that final scripts carry."""
    spent = spent_output(psbt, index)
    redeem = None
    program = spent.script if spent else b""
    if classify(program) is ScriptType.SH:
        pushes = parse_pushes(final.script_sig)
        redeem = program = pushes[-1] if pushes else b""
    witness = final.stack[-1] if classify(program) is ScriptType.WSH and final.stack else None
    return redeem, witness


def _open(scripts: InputScripts, final: FinalScripts) -> _Opened | None:
    """The signatures and candidate keys of a template; None when the final does not have exactly its shape."""
    stack = final.stack if scripts.segwit else tuple(parse_pushes(final.script_sig) or ())
    if scripts.script_type in SINGLE_KEY:
        if len(stack) != 2 or build(scripts, stack[:1], stack[1:]) != final or not scripts.has_key(stack[1]):
            return None
        return _Opened(scripts, stack[:1], stack[1:])
    multisig = scripts.multisig
    if multisig is None:
        return None
    signatures = stack[1 : 1 + multisig.threshold]
    if len(signatures) != multisig.threshold or build(scripts, signatures, ()) != final:
        return None
    return _Opened(scripts, signatures, multisig.pubkeys)


def _classed(psbt: Psbt, index: int, final: FinalScripts) -> _Opened | FinalState:
    """A final taken apart, or what can be said of it without."""
    if spent_output(psbt, index) is None:
        return FinalState.NOT_CHECKED
    try:
        scripts = prove(psbt, index, *_carried_scripts(psbt, index, final))
    except PsbtError as error:
        # A legacy input without its previous transaction is unknown; a script of another output is wrong.
        return FinalState.NOT_CHECKED if error.field == "PSBT_IN_NON_WITNESS_UTXO" else FinalState.INVALID
    if scripts.multisig is None and scripts.script_type not in SINGLE_KEY:
        return FinalState.NOT_CHECKED
    return _open(scripts, final) or FinalState.INVALID


def match(psbt: Psbt, finals: Mapping[int, FinalScripts], allowed: frozenset[int] = ALL_ONLY) -> tuple[FinalCheck, ...]:
    """Take finals apart and verify them against a PSBT's own transaction, scripts and amounts.

    Args:
        psbt: The PSBT that counts.
        finals: Input -> final scripts, from anywhere.
        allowed: The sighash types that are accepted.

    Returns:
        One check an input, in order of inputs.

    Raises:
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    states: dict[int, _Opened | FinalState] = {index: _classed(psbt, index, finals[index]) for index in sorted(finals)}
    opened = {index: state for index, state in states.items() if isinstance(state, _Opened)}
    found = _find_keys(psbt, opened, allowed)
    checks = []
    for index, state in states.items():
        if isinstance(state, FinalState):
            checks.append(FinalCheck(index, state))
            continue
        here = found[index]
        good = len(here) == len(state.signatures) and all(check.valid for check in here)
        checks.append(FinalCheck(index, FinalState.VALID if good else FinalState.INVALID, tuple(here)))
    return tuple(checks)


def _find_keys(psbt: Psbt, opened: Mapping[int, _Opened], allowed: frozenset[int]) -> dict[int, list[SignatureCheck]]:
    """The signatures of each final with their keys, up to the first that fits none.

    As OP_CHECKMULTISIG goes: each signature against the next key, until too few keys are left; all inputs at once.
    """
    found: dict[int, list[SignatureCheck]] = {index: [] for index in opened}
    proven = {index: final.scripts for index, final in opened.items()}
    left = list(opened)
    key = 0
    while left:
        tries = [(index, opened[index].keys[key], opened[index].signatures[len(found[index])]) for index in left]
        key += 1
        again = []
        for index, check in zip(left, judge(psbt, tries, allowed, proven), strict=True):
            final, here = opened[index], found[index]
            if check.problem is not SignatureProblem.INVALID:
                here.append(check)
            wanted = len(final.signatures) - len(here)
            if not wanted or check.problem not in {None, SignatureProblem.INVALID}:
                continue
            if wanted <= len(final.keys) - key:
                again.append(index)
            else:
                here.append(SignatureCheck(index, b"", final.signatures[len(here)], SignatureProblem.INVALID))
        left = again
    return found


def check_finals(psbt: Psbt, *, allowed: frozenset[int] = ALL_ONLY) -> tuple[FinalCheck, ...]:
    """Check every input of a PSBT that is final (THREATS C22).

    Args:
        psbt: The PSBT.
        allowed: The sighash types that are accepted.

    Returns:
        One check a final input.

    Raises:
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    finals: dict[int, FinalScripts] = {}
    for index in range(len(psbt.inputs)):
        final = final_of(psbt, index)
        if final is not None:
            finals[index] = final
    return match(psbt, finals, allowed)
