"""Partial signatures: which ones count, and `Verified`, the PSBT whose signatures all do.

A signature counts when it is strict DER with a low S, of an allowed sighash type, by a key of that input's script,
and valid for the transaction, script and amount at hand (THREATS C5, C6, C22, R2 to R4). Final scripts are for
`finals`.
"""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin import secp
from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_SINGLE, Sighasher
from wormsig.errors import PsbtError
from wormsig.psbt._seal import SEAL, Seal, demand
from wormsig.psbt.model import PARTIAL_SIG, Psbt, sighash_type, utxo_problem
from wormsig.psbt.scripts import InputScripts, input_scripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ALL_ONLY",
    "InputScripts",
    "SignatureCheck",
    "SignatureProblem",
    "Verified",
    "check_signatures",
    "digest",
    "input_scripts",
    "judge",
    "verify",
]

ALL_ONLY: Final = frozenset({SIGHASH_ALL})
"""The sighash types allowed unless an option says otherwise."""


class SignatureProblem(enum.Enum):
    """Why a signature does not count."""

    NOT_STRICT_DER = "it is not strict DER"
    HIGH_S = "its S is high"
    SIGHASH_TYPE = "its sighash type is not allowed"
    FOREIGN_KEY = "its key is not in the input's script"
    INVALID = "it does not verify"
    UNKNOWN_AMOUNT = "what the input spends is not known"
    BAD_SCRIPT = "the input's script is missing or does not belong to its output"


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """One signature and what was found.

    Args:
        input: The input's index.
        pubkey: The key it stands under; empty when a final script left that open and no key fits.
        signature: DER and sighash type.
        problem: None when it counts.
    """

    input: int
    pubkey: bytes
    signature: bytes
    problem: SignatureProblem | None

    @property
    def valid(self) -> bool:
        """Whether it counts."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Verified:
    """A PSBT whose partial signatures were all checked; only `verify` and `combiner.combine` make one.

    Args:
        psbt: The PSBT; it holds these partial signatures and no others.
        signatures: Input -> public key -> signature with its sighash type; inputs without any are left out.
        seal: Kept by this package.
    """

    psbt: Psbt
    signatures: Mapping[int, Mapping[bytes, bytes]]
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        demand(seal, "Verified")


def digest(psbt: Psbt, index: int, scripts: InputScripts, sighash: int) -> bytes:
    """What a signature of an input signs; midstates are shared, answers remembered.

    Raises:
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    memo = psbt.memo
    known = memo.digests.get((index, sighash))
    if known is None:
        hasher = memo.sighasher
        if hasher is None:
            hasher = memo.sighasher = Sighasher(psbt.tx)
        if scripts.segwit:
            known = hasher.segwit_v0(index, scripts.script_code, scripts.spent.sats, sighash)
        else:
            known = hasher.legacy(index, scripts.script_code, sighash)
        memo.digests[index, sighash] = known
    return known


def signs_nothing(psbt: Psbt, index: int, sighash: int) -> bool:
    """Whether a type is SINGLE without an output at the input's index (THREATS C6): always refused."""
    return sighash & 0x1F == SIGHASH_SINGLE and index >= len(psbt.tx.outputs)


def _scripts(psbt: Psbt, index: int) -> InputScripts | SignatureProblem:
    try:
        scripts = input_scripts(psbt, index)
    except PsbtError:
        unknown = utxo_problem(psbt, index) is not None
        return SignatureProblem.UNKNOWN_AMOUNT if unknown else SignatureProblem.BAD_SCRIPT
    return scripts if scripts.script_code else SignatureProblem.BAD_SCRIPT


class _Inputs:
    """What the checks of one PSBT's signatures share, by input."""

    __slots__ = ("allowed", "asked", "psbt", "scripts")

    def __init__(self, psbt: Psbt, allowed: frozenset[int], proven: Mapping[int, InputScripts]) -> None:
        self.psbt = psbt
        self.allowed = allowed
        self.scripts: dict[int, InputScripts | SignatureProblem] = dict(proven)
        self.asked: dict[int, int | None] = {}

    def _scripts_of(self, index: int) -> InputScripts | SignatureProblem:
        known = self.scripts.get(index)
        if known is None:
            known = self.scripts[index] = _scripts(self.psbt, index)
        return known

    def _allows(self, index: int, sighash: int) -> bool:
        if index not in self.asked:
            self.asked[index] = sighash_type(self.psbt, index)
        asked = self.asked[index]
        if sighash not in self.allowed or (asked is not None and asked != sighash):
            return False
        return not signs_nothing(self.psbt, index, sighash)

    def scripts_for(self, index: int, pubkey: bytes, signature: bytes) -> InputScripts | SignatureProblem:
        """The scripts to verify a signature against, or why it is not worth verifying."""
        scripts = self._scripts_of(index)
        if isinstance(scripts, SignatureProblem):
            return scripts
        if not scripts.has_key(pubkey):
            return SignatureProblem.FOREIGN_KEY
        if not signature:
            return SignatureProblem.NOT_STRICT_DER
        return scripts if self._allows(index, signature[-1]) else SignatureProblem.SIGHASH_TYPE


_FORM_PROBLEMS: Final[dict[str | None, SignatureProblem]] = {
    "high S": SignatureProblem.HIGH_S,
    None: SignatureProblem.INVALID,
}


def judge(
    psbt: Psbt,
    signatures: Iterable[tuple[int, bytes, bytes]],
    allowed: frozenset[int] = ALL_ONLY,
    proven: Mapping[int, InputScripts] = MappingProxyType({}),
) -> tuple[SignatureCheck, ...]:
    """Check signatures, wherever they came from, against a PSBT's own transaction, scripts and amounts.

    Args:
        psbt: The PSBT that counts: never the one that the signatures came in, unless it is one's own.
        signatures: Input, public key, and DER with sighash type, of each.
        allowed: The sighash types that are accepted.
        proven: Scripts of inputs where the PSBT's own fields do not tell them (final scripts carry theirs).

    Returns:
        One check a signature, in order.

    Raises:
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    items = list(signatures)
    inputs = _Inputs(psbt, allowed, proven)
    verified = psbt.memo.verified
    problems: list[SignatureProblem | None] = [None] * len(items)
    batch: list[tuple[bytes, bytes, bytes]] = []
    positions: list[int] = []
    for position, item in enumerate(items):
        index, pubkey, signature = item
        scripts = inputs.scripts_for(index, pubkey, signature)
        if isinstance(scripts, SignatureProblem):
            problems[position] = scripts
        elif item not in verified:
            batch.append((pubkey, digest(psbt, index, scripts, signature[-1]), signature[:-1]))
            positions.append(position)
    for position, valid in zip(positions, secp.verify_batch(batch), strict=True):
        if valid:
            verified.add(items[position])
        else:
            form = secp.ecdsa_form(items[position][2][:-1])
            problems[position] = _FORM_PROBLEMS.get(form, SignatureProblem.NOT_STRICT_DER)
    return tuple([SignatureCheck(*item, problem) for item, problem in zip(items, problems, strict=True)])


def _held(psbt: Psbt) -> list[tuple[int, bytes, bytes]]:
    return [
        (index, key[1:], value)
        for index, fields in enumerate(psbt.inputs)
        for key, value in fields.items()
        if key[0] == PARTIAL_SIG
    ]


def check_signatures(psbt: Psbt, *, allowed: frozenset[int] = ALL_ONLY) -> tuple[SignatureCheck, ...]:
    """Check every partial signature that a PSBT holds (THREATS C22).

    Args:
        psbt: The PSBT.
        allowed: The sighash types that are accepted.

    Raises:
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    return judge(psbt, _held(psbt), allowed)


def verify(psbt: Psbt, *, allowed: frozenset[int] = ALL_ONLY, drop: bool = False) -> Verified:
    """Check every partial signature, and vouch for the PSBT.

    Args:
        psbt: The PSBT.
        allowed: The sighash types that are accepted.
        drop: Leave signatures that do not count away instead of refusing.

    Raises:
        PsbtError: A signature does not count (unless `drop`); the first one is named.
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    checks = check_signatures(psbt, allowed=allowed)
    bad = [check for check in checks if not check.valid]
    if bad and not drop:
        first = bad[0]
        problem = first.problem.value if first.problem else ""
        raise PsbtError(
            f"signature under {first.pubkey.hex()} does not count: {problem}",
            where=f"input {first.input}",
            field="PSBT_IN_PARTIAL_SIG",
        )
    if bad:
        psbt = psbt.with_inputs(_without(psbt, bad))
    signatures: dict[int, dict[bytes, bytes]] = {}
    for check in checks:
        if check.valid:
            signatures.setdefault(check.input, {})[check.pubkey] = check.signature
    return Verified(psbt, signatures, seal=SEAL)


def _without(psbt: Psbt, bad: Sequence[SignatureCheck]) -> dict[int, dict[bytes, bytes]]:
    """Maps of the inputs concerned without these signatures."""
    changed: dict[int, dict[bytes, bytes]] = {}
    for check in bad:
        fields = changed.setdefault(check.input, dict(psbt.inputs[check.input]))
        del fields[bytes((PARTIAL_SIG,)) + check.pubkey]
    return changed
