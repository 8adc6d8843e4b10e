"""Input Finalizer: final scriptSigs and witnesses from verified signatures, byte for byte as bitcoind makes them.

How an input is spent is for `solver`. It accepts nothing but `Verified`: an unverified signature cannot be finalized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import NotSupportedError, PsbtError, ThresholdError
from wormsig.psbt.finals import check_finals, refuse_invalid
from wormsig.psbt.maps import finalized
from wormsig.psbt.model import is_final
from wormsig.psbt.musig import NOT_SUPPORTED, WHO_CAN, waits_for_musig
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.solver import is_known, lacking, solve
from wormsig.psbt.verify import ALL_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wormsig.psbt.model import Fields, Psbt
    from wormsig.psbt.templates import FinalScripts
    from wormsig.psbt.verify import Verified


class IncompleteError(ThresholdError):
    """Inputs cannot be finalized yet.

    Args:
        missing: Input -> how many signatures it still needs.
        locked: Inputs among them for which no signatures will do: a preimage is missing, or the transaction's locktime
            or an input's sequence opens none of the ways to spend.
    """

    def __init__(self, missing: Mapping[int, int], locked: Iterable[int] = ()) -> None:
        self.missing = dict(missing)
        self.locked = frozenset(locked)
        listed = ", ".join(self._words(index, count) for index, count in list(missing.items())[:5])
        more = f", and {len(missing) - 5} inputs beside" if len(missing) > 5 else ""
        super().__init__(f"signatures are missing: {listed}{more}")

    def _words(self, index: int, count: int) -> str:
        if index in self.locked:
            return f"input {index} needs a preimage, or a locktime or sequence that opens it"
        return f"input {index} needs {count} more"


def missing(verified: Verified) -> dict[int, int]:
    """How many signatures each input still needs; inputs that need none are left out, and final ones, good or not.

    The fewest, by any way to spend that locks and preimages leave open. A taproot output with scripts is taken to be
    spent by them until a signature for its key path is there: a PSBT does not tell whether anybody holds its internal
    key. An input without proven scripts, of a script of no known kind, or that signatures alone cannot open, counts as
    needing one: it must come back final.
    """
    found: dict[int, int] = {}
    psbt = verified.psbt
    for index in range(len(psbt.inputs)):
        if is_final(psbt, index):
            continue
        try:
            count = lacking(psbt, index, input_scripts(psbt, index), verified.signatures.get(index, {}))
        except PsbtError:
            count = None
        if count is None or count > 0:
            found[index] = count or 1
    return found


def can_finalize(verified: Verified) -> bool:
    """Whether every input is final or has enough signatures."""
    return not missing(verified)


def finalize(verified: Verified, *, allowed: frozenset[int] = ALL_ONLY) -> Psbt:
    """Finalize every input.

    With signatures to spare, those are used that bitcoind uses: of OP_CHECKMULTISIG the first in script order; of
    taproot the key path, else the leaf with the smallest witness.

    Args:
        verified: A PSBT whose signatures were all checked.
        allowed: The sighash types accepted in inputs that are final already.

    Returns:
        The PSBT with final scripts, and without the fields that finalizing clears.

    Raises:
        IncompleteError: Signatures are missing; or a preimage, locktime or sequence.
        NotSupportedError: An input's script is of no known kind, or waits for a MuSig2 signature.
        PsbtError: An input's scripts cannot be proven, or its final scripts are wrong.
    """
    psbt = verified.psbt
    refuse_invalid(check_finals(psbt, allowed=allowed))
    changed: dict[int, Fields] = {}
    finals: dict[int, tuple[Fields, FinalScripts]] = {}
    short: dict[int, int | None] = {}
    for index in range(len(psbt.inputs)):
        if is_final(psbt, index):
            continue
        scripts = input_scripts(psbt, index)
        held = verified.signatures.get(index, {})
        final = solve(psbt, index, scripts, held)
        if final is None:
            if not is_known(psbt, index, scripts):
                raise NotSupportedError(f"input {index} cannot be finalized here: its type is {scripts.script_type}")
            if scripts.taproot is not None and not held:
                _refuse_musig(psbt, index, key_path_only=not scripts.taproot.leaves)
            short[index] = lacking(psbt, index, scripts, held)
            continue
        fields = changed[index] = finalized(psbt.inputs[index], final)
        finals[index] = (fields, final)
    if short:
        locked = [index for index, count in short.items() if count is None]
        raise IncompleteError({index: count or 1 for index, count in short.items()}, locked)
    made = psbt.with_inputs(changed)
    made.memo.previous.update(psbt.memo.previous)
    made.memo.finals.update(finals)
    return made


def _refuse_musig(psbt: Psbt, index: int, *, key_path_only: bool) -> None:
    if waits_for_musig(psbt.inputs[index], key_path_only=key_path_only):
        hint = f"`wormsig inspect` shows who has signed; {WHO_CAN}"
        raise NotSupportedError(f"input {index}: {NOT_SUPPORTED}", hint=hint)
