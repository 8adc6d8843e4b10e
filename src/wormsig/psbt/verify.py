"""Partial signatures: which ones count, and `Verified`, the PSBT whose signatures all do.

A signature counts when it is well formed (strict DER with a low S, or BIP340's 64 bytes), of an allowed sighash type,
by a key of that input's proven script or output, and valid for the transaction, script and amounts at hand (THREATS C5,
C6, C22, R2 to R4). Final scripts are for `finals`.
"""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin import schnorr, secp
from wormsig.bitcoin.script import ScriptType, classify
from wormsig.bitcoin.sighash import ANYONECANPAY, SIGHASH_ALL, SIGHASH_DEFAULT, TAPROOT_TYPES
from wormsig.errors import PsbtError
from wormsig.psbt._seal import SEAL, Seal, demand
from wormsig.psbt.digests import digest, signs_nothing
from wormsig.psbt.fields import Map, field_name
from wormsig.psbt.model import (
    TAP_KEY_SIG,
    Psbt,
    sighash_type,
    spent_output,
    spent_outputs,
    utxo_problem,
)
from wormsig.psbt.scripts import InputScripts, input_scripts
from wormsig.psbt.sigkeys import (
    SIGNATURE_TYPES,
    UNKNOWN_OUTPUT,
    SignatureKey,
    field_key,
    is_schnorr,
    pubkey_of,
    sighash_of,
    signatures_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wormsig.bitcoin.batch import Item

__all__ = [
    "ALL_ONLY",
    "InputScripts",
    "SignatureCheck",
    "SignatureKey",
    "SignatureProblem",
    "Verified",
    "check_signatures",
    "digest",
    "held_signatures",
    "input_scripts",
    "judge",
    "verify",
]

ALL_ONLY: Final = frozenset({SIGHASH_ALL})
"""The sighash types allowed unless an option says otherwise; with ALL, taproot's DEFAULT is allowed too."""


class SignatureProblem(enum.Enum):
    """Why a signature does not count."""

    NOT_STRICT_DER = "it is not strict DER"
    HIGH_S = "its S is high"
    SIGHASH_TYPE = "its sighash type is not allowed"
    FOREIGN_KEY = "its key is not in the input's script"
    MALFORMED = "it is not a taproot signature of 64 bytes, or of 65 with a sighash type"
    INVALID = "it does not verify"
    UNKNOWN_AMOUNT = "what the input spends is not known"
    UNKNOWN_OTHER = "what another input spends is not known, and a taproot signature covers it"
    BAD_SCRIPT = "the input's script is missing or does not belong to its output"
    NOT_SHOWN_HERE = "it is good, but my own copy does not show the script that it is for"


class SignatureCheck(msgspec.Struct, frozen=True):
    """One signature and what was found.

    Args:
        input: The input's index.
        key: What it stands under (`sigkeys`); empty when a final script left that open and no key fits.
        signature: DER and sighash type; or BIP340's 64 bytes, and a sighash type unless it is DEFAULT.
        problem: None when it counts.
    """

    input: int
    key: SignatureKey
    signature: bytes
    problem: SignatureProblem | None

    @property
    def valid(self) -> bool:
        """Whether it counts."""
        return self.problem is None

    @property
    def pubkey(self) -> bytes:
        """The public key alone: 33 or 65 bytes; x-only for taproot, and for the key path the output key."""
        return pubkey_of(self.key)

    @property
    def sighash(self) -> int | None:
        """The sighash type that the signature says it has; None when it is too short to say."""
        return sighash_of(self.key, self.signature)


@dataclass(frozen=True, slots=True)
class Verified:
    """A PSBT whose partial signatures were all checked; only `verify` and `combiner.combine` make one.

    Args:
        psbt: The PSBT; it holds these partial signatures and no others.
        signatures: Input -> `SignatureKey` -> signature as its field has it; inputs without any are left out.
        seal: Kept by this package.
    """

    psbt: Psbt
    signatures: Mapping[int, Mapping[SignatureKey, bytes]]
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        demand(seal, "Verified")


def _scripts(psbt: Psbt, index: int) -> InputScripts | SignatureProblem:
    try:
        scripts = input_scripts(psbt, index)
    except PsbtError:
        unknown = utxo_problem(psbt, index) is not None
        return SignatureProblem.UNKNOWN_AMOUNT if unknown else SignatureProblem.BAD_SCRIPT
    return scripts if scripts.signable else SignatureProblem.BAD_SCRIPT


class _Inputs:
    """What the checks of one PSBT's signatures share, by input."""

    __slots__ = ("_all_known", "allowed", "asked", "psbt", "scripts")

    def __init__(self, psbt: Psbt, allowed: frozenset[int], proven: Mapping[int, InputScripts]) -> None:
        self.psbt = psbt
        self.allowed = allowed
        self.scripts: dict[int, InputScripts | SignatureProblem] = dict(proven)
        self.asked: dict[int, int | None] = {}
        self._all_known: bool | None = None

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

    def scripts_for(self, index: int, key: SignatureKey, signature: bytes) -> InputScripts | SignatureProblem:
        """The scripts to verify a signature against, or why it is not worth verifying."""
        scripts = self._scripts_of(index)
        if isinstance(scripts, SignatureProblem):
            return scripts
        if not scripts.has_key(key):
            return SignatureProblem.FOREIGN_KEY
        if scripts.taproot is not None:
            return self._taproot_problem(index, signature) or scripts
        if not signature:
            return SignatureProblem.NOT_STRICT_DER
        return scripts if self._allows(index, signature[-1]) else SignatureProblem.SIGHASH_TYPE

    def _taproot_problem(self, index: int, signature: bytes) -> SignatureProblem | None:
        parts = schnorr.split_signature(signature)
        if parts is None:
            return SignatureProblem.MALFORMED
        sighash = parts[1]
        allowed = sighash in TAPROOT_TYPES and self._allows(index, sighash)
        if not allowed and sighash == SIGHASH_DEFAULT and SIGHASH_ALL in self.allowed:  # the same in 64 bytes
            asked = self.asked.setdefault(index, sighash_type(self.psbt, index))
            allowed = asked in {None, SIGHASH_DEFAULT}
        if not allowed:
            return SignatureProblem.SIGHASH_TYPE
        if not sighash & ANYONECANPAY and not self._all_spent_known():
            return SignatureProblem.UNKNOWN_OTHER
        return None

    def _all_spent_known(self) -> bool:
        """Whether BIP341's hash can be computed, which covers the amounts and scripts of all inputs."""
        if self._all_known is None:
            self._all_known = None not in spent_outputs(self.psbt)
        return self._all_known


_FORM_PROBLEMS: Final[dict[str | None, SignatureProblem]] = {
    "high S": SignatureProblem.HIGH_S,
    None: SignatureProblem.INVALID,
}


def judge(
    psbt: Psbt,
    signatures: Iterable[tuple[int, SignatureKey, bytes]],
    allowed: frozenset[int] = ALL_ONLY,
    proven: Mapping[int, InputScripts] = MappingProxyType({}),
) -> tuple[SignatureCheck, ...]:
    """Check signatures, wherever they came from, against a PSBT's own transaction, scripts and amounts.

    Args:
        psbt: The PSBT that counts: never the one that the signatures came in, unless it is one's own.
        signatures: Input, `SignatureKey`, and the signature as its field has it, of each.
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
    ecdsa: list[Item] = []
    bip340: list[Item] = []
    places: list[int] = []
    taproot_places: list[int] = []
    for position, item in enumerate(items):
        index, key, signature = item
        scripts = inputs.scripts_for(index, key, signature)
        if isinstance(scripts, SignatureProblem):
            problems[position] = scripts
        elif item in verified:
            continue
        elif scripts.taproot is None:
            ecdsa.append((key, digest(psbt, index, scripts, signature[-1]), signature[:-1]))
            places.append(position)
        else:
            sighash = signature[64] if len(signature) > 64 else SIGHASH_DEFAULT
            bip340.append((key[:32], digest(psbt, index, scripts, sighash, key[32:]), signature[:64]))
            taproot_places.append(position)
    places += taproot_places
    for position, good in zip(places, _verified(ecdsa, bip340), strict=True):
        if good:
            verified.add(items[position])
        else:
            problems[position] = _failure(items[position])
    return tuple([SignatureCheck(*item, problem) for item, problem in zip(items, problems, strict=True)])


def _verified(ecdsa: list[Item], bip340: list[Item]) -> list[bool]:
    """Which of them verify, the ECDSA ones first."""
    if not bip340:
        return secp.verify_batch(ecdsa)
    first, second = schnorr.verify_mixed(ecdsa, bip340)
    return first + second


def _failure(item: tuple[int, SignatureKey, bytes]) -> SignatureProblem:
    """Why a signature that was worth verifying does not verify."""
    _, key, signature = item
    if is_schnorr(key):
        return SignatureProblem.INVALID
    return _FORM_PROBLEMS.get(secp.ecdsa_form(signature[:-1]), SignatureProblem.NOT_STRICT_DER)


def output_key_of(psbt: Psbt, index: int) -> bytes:
    """The taproot output key that an input spends; `UNKNOWN_OUTPUT` when it spends no such output, or nobody knows."""
    spent = spent_output(psbt, index)
    if spent is None or classify(spent.script) is not ScriptType.TR:
        return UNKNOWN_OUTPUT
    return spent.script[2:]


def held_signatures(psbt: Psbt, index: int) -> dict[SignatureKey, bytes]:
    """The signatures that an input holds, unverified."""
    fields = psbt.inputs[index]
    output_key = output_key_of(psbt, index) if TAP_KEY_SIG in fields else UNKNOWN_OUTPUT
    return dict(signatures_in(fields, output_key))


def _held(psbt: Psbt) -> list[tuple[int, SignatureKey, bytes]]:
    found: list[tuple[int, SignatureKey, bytes]] = []
    for index, fields in enumerate(psbt.inputs):
        for key, value in fields.items():
            if key[0] in SIGNATURE_TYPES:
                under = output_key_of(psbt, index) if key == TAP_KEY_SIG else key[1:]
                found.append((index, under, value))
    return found


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
            f"signature under {first.pubkey.hex() or 'an unknown key'} does not count: {problem}",
            where=f"input {first.input}",
            field=field_name(Map.INPUT, field_key(first.key)),
        )
    if bad:
        psbt = psbt.with_inputs(_without(psbt, bad))
    signatures: dict[int, dict[SignatureKey, bytes]] = {}
    for check in checks:
        if check.valid:
            signatures.setdefault(check.input, {})[check.key] = check.signature
    return Verified(psbt, signatures, seal=SEAL)


def _without(psbt: Psbt, bad: Sequence[SignatureCheck]) -> dict[int, dict[bytes, bytes]]:
    """Maps of the inputs concerned without these signatures."""
    changed: dict[int, dict[bytes, bytes]] = {}
    for check in bad:
        fields = changed.setdefault(check.input, dict(psbt.inputs[check.input]))
        del fields[field_key(check.key)]
    return changed
