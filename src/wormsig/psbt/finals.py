"""Final scriptSigs and witnesses: the signatures in them are verified (THREATS C22, R7).

They are taken apart by template in `witnesses`, miniscript in `apart`. A final of another script is "not checked",
never "valid".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import PsbtError
from wormsig.psbt.apart import take_apart
from wormsig.psbt.forms import read_stack
from wormsig.psbt.model import FINAL_SCRIPTSIG, FINAL_SCRIPTWITNESS, Psbt, is_final
from wormsig.psbt.templates import SINGLE_KEY, FinalScripts, build
from wormsig.psbt.verify import ALL_ONLY, SignatureCheck, SignatureProblem, judge
from wormsig.psbt.witnesses import FinalCheck, FinalState, Opened, Unknown, classed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "SINGLE_KEY",
    "FinalCheck",
    "FinalScripts",
    "FinalState",
    "build",
    "check_finals",
    "final_of",
    "match",
    "refuse_invalid",
]


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
    states = {index: classed(psbt, index, finals[index]) for index in sorted(finals)}
    found = _find_keys(psbt, {index: state for index, state in states.items() if isinstance(state, Opened)}, allowed)
    unknown = {index: state for index, state in states.items() if isinstance(state, Unknown)}
    apart = take_apart(psbt, unknown, allowed)
    checks = []
    for index, state in states.items():
        if isinstance(state, FinalState):
            checks.append(FinalCheck(index, state))
        elif isinstance(state, Unknown):
            checks.append(apart[index])
        else:
            checks.append(FinalCheck(index, _verdict(found[index], len(state.signatures)), tuple(found[index])))
    return tuple(checks)


def _verdict(here: list[SignatureCheck], wanted: int) -> FinalState:
    if any(check.problem is SignatureProblem.UNKNOWN_OTHER for check in here):
        return FinalState.NOT_CHECKED
    good = len(here) == wanted and all(check.valid for check in here)
    return FinalState.VALID if good else FinalState.INVALID


def _find_keys(psbt: Psbt, opened: Mapping[int, Opened], allowed: frozenset[int]) -> dict[int, list[SignatureCheck]]:
    """The signatures of each final with their keys; all inputs at once."""
    proven = {index: final.scripts for index, final in opened.items()}
    found: dict[int, list[SignatureCheck]] = {index: [] for index in opened}
    paired = [index for index, final in opened.items() if len(final.keys) == len(final.signatures)]
    tries = [
        (index, key, signature)
        for index in paired
        for key, signature in zip(opened[index].keys, opened[index].signatures, strict=True)
    ]
    for check in judge(psbt, tries, allowed, proven):
        found[check.input].append(check)
    left = [index for index, final in opened.items() if len(final.keys) != len(final.signatures)]
    _find_in_order(psbt, opened, left, found, allowed)
    return found


def _find_in_order(
    psbt: Psbt,
    opened: Mapping[int, Opened],
    left: list[int],
    found: Mapping[int, list[SignatureCheck]],
    allowed: frozenset[int],
) -> None:
    """As OP_CHECKMULTISIG goes, up to the first signature that fits no key.

    Each signature against the next key, until too few keys are left; all inputs at once.
    """
    proven = {index: opened[index].scripts for index in left}
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


def refuse_invalid(checks: Iterable[FinalCheck]) -> None:
    """Stop at final scripts that are wrong; those that nobody here can check pass.

    Args:
        checks: What `check_finals` or `match` found.

    Raises:
        PsbtError: The first such input is named.
    """
    for check in checks:
        if check.state is FinalState.INVALID:
            raise PsbtError("final scripts do not satisfy the output that is spent", where=f"input {check.input}")
