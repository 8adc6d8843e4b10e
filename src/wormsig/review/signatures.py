"""Signatures and final scripts that are already there: checked, shown, and counted only when they verify.

Rows C5 and C6 (a signature's last byte), C16 (the cap on legacy hashing) and C22. The cryptography is the psbt
room's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_DEFAULT, sighash_name
from wormsig.errors import InputError
from wormsig.psbt.finals import FinalState, check_finals
from wormsig.psbt.model import is_final, sighash_type
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.sigkeys import is_schnorr
from wormsig.psbt.solver import lacking
from wormsig.psbt.verify import SignatureProblem, check_signatures
from wormsig.review.findings import Code
from wormsig.review.inputs import is_single_without_output
from wormsig.review.report import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wormsig.psbt.finals import FinalCheck
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.verify import SignatureCheck

_UNCHECKED = frozenset({SignatureProblem.UNKNOWN_AMOUNT, SignatureProblem.UNKNOWN_OTHER, SignatureProblem.BAD_SCRIPT})


class Signatures(msgspec.Struct, frozen=True):
    """What is there and what it is worth.

    Args:
        checks: Every signature, those in final scripts included, by input.
        finals: Input -> state of its final scripts.
        signed: Input -> number of distinct keys with a valid signature.
        enough: Inputs that are not final and can be finalized with the valid signatures.
        telling: Those of the checks of which there may be something to say (`signature_findings`).
        findings: What else is wrong.
    """

    checks: tuple[SignatureCheck, ...]
    finals: Mapping[int, FinalState]
    signed: Mapping[int, int]
    enough: frozenset[int]
    telling: tuple[SignatureCheck, ...]
    findings: tuple[Finding, ...]


def judge_signatures(psbt: Psbt, allowed_sighash: frozenset[int]) -> Signatures:
    """Check every signature and every final script.

    Args:
        psbt: The PSBT.
        allowed_sighash: Types that are accepted.
    """
    try:
        partial = check_signatures(psbt, allowed=allowed_sighash)
        finals = check_finals(psbt, allowed=allowed_sighash)
    except InputError as error:
        bomb = Finding(Code.SIGHASH_BOMB, "transaction", f"the signatures were not checked: {error.message}")
        return Signatures((), {}, {}, frozenset(), (), (bomb,))
    found: list[Finding] = []
    telling = list(partial)
    keys: dict[int, set[bytes]] = {}
    for check in partial:
        if check.valid:
            keys.setdefault(check.input, set()).add(check.pubkey)
    for final in finals:
        for check in final.signatures:
            if check.valid and final.state is FinalState.VALID:
                keys.setdefault(final.input, set()).add(check.pubkey)
            if check.valid or check.problem is SignatureProblem.SIGHASH_TYPE:
                telling.append(check)
        found += _final_findings(final)
    checks = partial
    if finals:
        inside = [check for final in finals for check in final.signatures]
        checks = tuple(sorted((*partial, *inside), key=lambda check: check.input))
    return Signatures(
        checks,
        {final.input: final.state for final in finals},
        {index: len(found_keys) for index, found_keys in keys.items()},
        _enough(psbt, partial),
        tuple(telling),
        tuple(found),
    )


def _enough(psbt: Psbt, checks: Sequence[SignatureCheck]) -> frozenset[int]:
    """Inputs whose valid signatures are enough, by whatever way to spend is open."""
    held: dict[int, dict[bytes, bytes]] = {}
    for check in checks:
        if check.valid:
            held.setdefault(check.input, {})[check.key] = check.signature
    return frozenset(
        index
        for index, signatures in held.items()
        if not is_final(psbt, index) and lacking(psbt, index, input_scripts(psbt, index), signatures) == 0
    )


def _final_findings(final: FinalCheck) -> list[Finding]:
    where = f"input {final.input}"
    if final.state is FinalState.INVALID:
        problems = tuple(dict.fromkeys(check.problem.value for check in final.signatures if check.problem is not None))
        message = f"the final scripts of {where} do not verify"
        return [Finding(Code.BAD_FINAL, where, message, details=problems)]
    if final.state is FinalState.NOT_CHECKED:
        message = f"the final scripts of {where} cannot be checked here and are not counted"
        return [Finding(Code.FINAL_NOT_CHECKED, where, message)]
    return []


def signature_findings(
    psbt: Psbt,
    checks: Sequence[SignatureCheck],
    allowed_sighash: frozenset[int],
    whose: Callable[[SignatureCheck], str],
) -> list[Finding]:
    """What is to be said of signatures.

    Args:
        psbt: The PSBT.
        checks: `Signatures.telling`.
        allowed_sighash: Types that are accepted.
        whose: Names the holder of the key that a signature stands under.
    """
    outputs = len(psbt.tx.outputs)
    found: list[Finding] = []
    for check in checks:
        said = _of_signature(check, allowed_sighash, outputs, sighash_type(psbt, check.input))
        if said is not None:
            code, what = said
            where = f"input {check.input}"
            key = (f"key {check.pubkey.hex()}",) if check.pubkey else ()
            found.append(Finding(code, where, f"the signature of {whose(check)} on {where} {what}", details=key))
    return found


def _of_signature(
    check: SignatureCheck, allowed: frozenset[int], outputs: int, asked: int | None
) -> tuple[Code, str] | None:
    """What is to be said of one, as the rest of a sentence; `asked` is the sighash type that its input asks for."""
    sighash = check.sighash or 0
    if is_single_without_output(sighash, check.input, outputs):
        return Code.SINGLE_WITHOUT_OUTPUT, f"is of type SINGLE, and there is no output {check.input}: it covers nothing"
    if not check.valid:
        return _why_not(check, allowed, asked)
    if sighash in {SIGHASH_DEFAULT, SIGHASH_ALL}:
        return None
    return Code.SIGHASH_ALLOWED, f"is of sighash type {sighash:#04x}"


def _why_not(check: SignatureCheck, allowed: frozenset[int], asked: int | None) -> tuple[Code, str]:
    """Why a signature does not count, as the rest of a sentence."""
    problem, sighash = check.problem, check.sighash or 0
    assert problem is not None  # noqa: S101  it is not valid
    if problem is SignatureProblem.SIGHASH_TYPE:
        covers_all = sighash in allowed or (sighash == SIGHASH_DEFAULT and is_schnorr(check.key))
        if covers_all and asked is not None:
            why = f"is of type {sighash_name(sighash)}, and the input asks for {sighash_name(asked)}"
            return Code.BAD_SIGNATURE, why
        why = f"is of sighash type {sighash:#04x}, which leaves parts of the transaction open"
        return Code.SIGHASH_SIGNATURE, why
    if problem in _UNCHECKED:
        return Code.SIGNATURE_NOT_CHECKED, f"cannot be checked: {problem.value}"
    return Code.BAD_SIGNATURE, f"does not count: {problem.value}"
