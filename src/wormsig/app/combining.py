"""Combine and finalize on files: the coordinator's part without a wormhole.

An answer is evidence, not a replacement: signatures that verify on the coordinator's own copy are taken out of it,
everything else is reported and left (docs/threat-model.md, rows R1 to R7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.tx import Transaction, parse_transaction
from wormsig.errors import InputError, UsageError, WormsigError
from wormsig.psbt import codec, combiner, contribution, extractor, finalizer, finals
from wormsig.psbt.scripts import signer_of
from wormsig.psbt.verify import ALL_ONLY, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wormsig.psbt.contribution import Contribution
    from wormsig.psbt.model import Psbt


class AnswerReport(msgspec.Struct, frozen=True):
    """What one answer brought.

    Attributes:
        source: Where it came from, as the person named it.
        taken: The keys whose signatures were new and are good, by label, and on how many inputs.
        known: Good signatures that were there already.
        rejected: What was not taken, in words.
        ignored: Other fields that came back changed.
    """

    source: str
    taken: dict[str, int]
    known: int = 0
    rejected: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Combined(msgspec.Struct, frozen=True):
    """The coordinator's PSBT with everything good.

    Attributes:
        psbt: All its signatures verified.
        answers: What each answer brought.
        missing: Input -> signatures that it still needs.
        signed: Input -> public keys in hex that have signed it; final inputs are left out.
    """

    psbt: Psbt
    answers: tuple[AnswerReport, ...]
    missing: dict[int, int]
    signed: dict[int, frozenset[str]]

    @property
    def wrong(self) -> tuple[AnswerReport, ...]:
        """The answers that held something wrong."""
        return tuple(answer for answer in self.answers if answer.rejected)


def combine_answers(
    mine: Psbt,
    answers: Sequence[tuple[str, bytes]],
    label: Callable[[str], str],
    *,
    allowed: frozenset[int] = ALL_ONLY,
) -> Combined:
    """Take what is good out of several answers.

    Args:
        mine: The coordinator's copy.
        answers: A name and the bytes of each: a PSBT (binary or base64), or a final transaction (binary or hex).
        label: Public key in hex -> our name for it.
        allowed: Sighash types that are accepted.

    Raises:
        PsbtError: The coordinator's own copy holds a bad signature, or wrong final scripts; or is for no transaction.
        UsageError: No answers.
    """
    if not answers:
        raise UsageError("nothing to combine", hint="wormsig combine MINE RETURNED...")
    _demand_transaction(mine)
    verified = verify(mine, allowed=allowed)
    finals.refuse_invalid(finals.check_finals(verified.psbt, allowed=allowed))  # `missing` does not look at them
    reports = []
    for source, data in answers:
        try:
            brought = _contribution(verified.psbt, data, allowed)
        except WormsigError as error:
            reports.append(AnswerReport(source, {}, rejected=(error.message,)))
            continue
        verified = combiner.combine(verified, [brought])
        reports.append(_report(source, brought, label))
    signed = {
        index: frozenset(signer_of(verified.psbt, index, key).hex() for key in keys)
        for index, keys in verified.signatures.items()
    }
    return Combined(verified.psbt, tuple(reports), finalizer.missing(verified), signed)


def _demand_transaction(psbt: Psbt) -> None:
    """Refuse a PSBT whose inputs require locktimes that exclude each other (BIP370): nothing of it can be used.

    Raises:
        PsbtError: They do.
    """
    _ = psbt.tx


def _contribution(mine: Psbt, data: bytes, allowed: frozenset[int]) -> Contribution:
    transaction = as_transaction(data)
    if transaction is not None:
        return contribution.extract_transaction(mine, transaction, allowed=allowed)
    return contribution.extract(mine, _returned(mine, data), allowed=allowed)


def _returned(mine: Psbt, data: bytes) -> Psbt:
    """A returned PSBT.

    Raises:
        InputError: It is none; what is wrong and what may help, in one sentence.
    """
    try:
        return codec.parse(codec.from_any(data), like=mine)
    except InputError as error:
        if error.message.startswith(("is ", "has ", "does ")):
            error.message = f"it {error.message}"
        if error.hint is not None:
            error.message = f"{error.message}; {error.hint}"
        raise


def as_transaction(data: bytes) -> Transaction | None:
    """A network transaction in hex or binary; None when it is not one (then it may be a PSBT)."""
    raw = data
    try:
        raw = bytes.fromhex(data.decode("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        raw = data
    try:
        return parse_transaction(raw)
    except InputError:
        return None


def _report(source: str, brought: Contribution, label: Callable[[str], str]) -> AnswerReport:
    taken: dict[str, int] = {}
    for index, key, _ in brought.signatures:
        name = label(signer_of(brought.mine, index, key).hex())
        taken[name] = taken.get(name, 0) + 1
    rejected = [
        f"input {check.input}: signature of {label(check.pubkey.hex()) if check.pubkey else 'an unknown key'}: "
        f"{check.problem.value if check.problem else 'not valid'}"
        for check in brought.rejected
    ]
    rejected += [f"input {index}: final scripts of a kind not checked here" for index in brought.unchecked_finals]
    ignored = tuple(f"{one.where}: {one.field} {one.what}" for one in brought.differences)
    return AnswerReport(source, taken, brought.already_known, tuple(rejected), ignored)


class Final(msgspec.Struct, frozen=True):
    """A transaction that is ready.

    Attributes:
        psbt: The finalized PSBT.
        transaction: Its network transaction.
    """

    psbt: Psbt
    transaction: Transaction


def finalize_psbt(psbt: Psbt, *, allowed: frozenset[int] = ALL_ONLY) -> Final:
    """Verify every signature, finalize, extract.

    Raises:
        ThresholdError: Signatures are missing; the message says where.
        PsbtError: A signature or a final script is bad; or the PSBT is for no transaction.
        NotSupportedError: An input's script has no template here.
    """
    _demand_transaction(psbt)
    finalized = finalizer.finalize(verify(psbt, allowed=allowed), allowed=allowed)
    return Final(finalized, extractor.extract(finalized, allowed=allowed))
