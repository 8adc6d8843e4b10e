"""Input Finalizer: final scriptSigs and witnesses from verified signatures, byte for byte as bitcoind makes them.

Templates are in `finals`. It accepts nothing but `Verified`: an unverified signature cannot be finalized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import NotSupportedError, PsbtError, ThresholdError
from wormsig.psbt.finals import SINGLE_KEY, FinalScripts, FinalState, build, check_finals
from wormsig.psbt.maps import finalized
from wormsig.psbt.model import is_final
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.verify import ALL_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.psbt.model import Fields, Psbt
    from wormsig.psbt.scripts import InputScripts
    from wormsig.psbt.verify import Verified


class IncompleteError(ThresholdError):
    """Inputs lack signatures.

    Args:
        missing: Input -> how many signatures it still needs.
    """

    def __init__(self, missing: Mapping[int, int]) -> None:
        listed = ", ".join(f"input {index} needs {count} more" for index, count in list(missing.items())[:5])
        more = f", and {len(missing) - 5} inputs beside" if len(missing) > 5 else ""
        super().__init__(f"signatures are missing: {listed}{more}")
        self.missing = dict(missing)


def _needed(scripts: InputScripts) -> int:
    """How many signatures a template needs; 0 for a script without a template."""
    if scripts.multisig is not None:
        return scripts.multisig.threshold
    return 1 if scripts.script_type in SINGLE_KEY else 0


def missing(verified: Verified) -> dict[int, int]:
    """How many signatures each input still needs; inputs that need none, and final ones, are left out.

    An input without proven scripts, or of a script that has no template here, counts as needing one: it must come
    back final.
    """
    found: dict[int, int] = {}
    psbt = verified.psbt
    for index in range(len(psbt.inputs)):
        if is_final(psbt, index):
            continue
        try:
            needed = _needed(input_scripts(psbt, index))
        except PsbtError:
            needed = 0
        lacking = needed - len(verified.signatures.get(index, ())) if needed else 1
        if lacking > 0:
            found[index] = lacking
    return found


def can_finalize(verified: Verified) -> bool:
    """Whether every input is final or has enough signatures."""
    return not missing(verified)


def finalize(verified: Verified, *, allowed: frozenset[int] = ALL_ONLY) -> Psbt:
    """Finalize every input.

    With more signatures than needed, the first in script order are used, as bitcoind does.

    Args:
        verified: A PSBT whose signatures were all checked.
        allowed: The sighash types accepted in inputs that are final already.

    Returns:
        The PSBT with final scripts, and without the fields that finalizing clears.

    Raises:
        IncompleteError: Signatures are missing.
        NotSupportedError: An input's script has no template here.
        PsbtError: An input's scripts cannot be proven, or its final scripts are wrong.
    """
    psbt = verified.psbt
    for check in check_finals(psbt, allowed=allowed):
        if check.state is FinalState.INVALID:
            raise PsbtError("final scripts do not satisfy the output that is spent", where=f"input {check.input}")
    changed: dict[int, Fields] = {}
    finals: dict[int, tuple[Fields, FinalScripts]] = {}
    lacking = {}
    for index in range(len(psbt.inputs)):
        if is_final(psbt, index):
            continue
        scripts = input_scripts(psbt, index)
        held = verified.signatures.get(index, {})
        needed = _needed(scripts)
        if not needed:
            raise NotSupportedError(f"input {index} cannot be finalized here: its type is {scripts.script_type}")
        if len(held) < needed:
            lacking[index] = needed - len(held)
            continue
        final = _final(scripts, held, needed)
        fields = changed[index] = finalized(psbt.inputs[index], final)
        finals[index] = (fields, final)
    if lacking:
        raise IncompleteError(lacking)
    made = psbt.with_inputs(changed)
    made.memo.previous.update(psbt.memo.previous)
    made.memo.finals.update(finals)
    return made


def _final(scripts: InputScripts, held: Mapping[bytes, bytes], needed: int) -> FinalScripts:
    keys = scripts.multisig.pubkeys if scripts.multisig is not None else tuple(held)
    chosen = [pubkey for pubkey in dict.fromkeys(keys) if pubkey in held][:needed]
    return build(scripts, [held[pubkey] for pubkey in chosen], chosen)
