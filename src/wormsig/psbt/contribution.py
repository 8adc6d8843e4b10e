"""What a cosigner gives back: evidence, not a replacement (THREATS R1 to R7, R11).

The coordinator keeps its own PSBT. From a returned one, or from a final transaction, only signatures and hash preimages
are taken, each verified against the coordinator's copy; everything else that differs is listed and left. Nothing of a
returned PSBT's scripts, amounts or keys is ever believed.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from wormsig.errors import PeerError, PsbtError
from wormsig.psbt._seal import SEAL, Seal, demand
from wormsig.psbt.alike import signatures_beyond
from wormsig.psbt.convert import comparable
from wormsig.psbt.fields import Map, field_name, lookup
from wormsig.psbt.finals import FinalScripts, FinalState, final_of, match
from wormsig.psbt.maps import CLEARED
from wormsig.psbt.model import FINAL_SCRIPTSIG, FINAL_SCRIPTWITNESS, TAP_KEY_SIG, Fields, Psbt, is_final
from wormsig.psbt.preimages import HASHES, is_preimage, wanted_in
from wormsig.psbt.scripts import input_scripts, signer_of
from wormsig.psbt.sigkeys import SIGNATURE_TYPES, SignatureKey, field_key
from wormsig.psbt.verify import ALL_ONLY, SignatureCheck, SignatureProblem, judge, output_key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from wormsig.bitcoin.tx import Transaction

What = Literal["added", "changed", "dropped"]
_FINALS: Final = (FINAL_SCRIPTSIG, FINAL_SCRIPTWITNESS)
_PASSING: Final = SIGNATURE_TYPES | frozenset(HASHES)
"""Types that come from several people: an answer without another's is no difference."""
_MAX_NAMED: Final = 5


class TransactionChangedError(PeerError):
    """Another transaction came back (THREATS R1).

    Args:
        differences: What differs, each in words.
    """

    def __init__(self, differences: tuple[str, ...]) -> None:
        named = "; ".join(differences[:_MAX_NAMED])
        more = len(differences) - _MAX_NAMED
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(
            f"another transaction came back: {named}{rest}", hint="nothing of it was used; your own copy is as it was"
        )
        self.differences = differences


class FieldDifference(msgspec.Struct, frozen=True):
    """A field that came back other than it was sent; not merged (THREATS R5).

    Args:
        where: `global map`, `input 3`, `output 0`.
        field: The key type's name, or the number of an unknown one.
        what: How it differs.
    """

    where: str
    field: str
    what: What


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one answer brings; only `extract` and `extract_transaction` make one.

    Args:
        signatures: Input, `SignatureKey` and signature, all verified on the coordinator's own copy and new to it.
        rejected: Signatures that do not count, with the reason.
        differences: Other fields that differ, none of them merged.
        already_known: How many good signatures it held under keys that had one already.
        unchecked_finals: Inputs that came back final in a way that nobody here can check; nothing of them was taken but
            signatures and preimages that are good by themselves.
        preimages: Input, whole field key and hash preimage, all true, asked for by the input's script, and new.
        mine: The copy that it was verified on.
        seal: Kept by this package.
    """

    signatures: tuple[tuple[int, SignatureKey, bytes], ...]
    rejected: tuple[SignatureCheck, ...]
    differences: tuple[FieldDifference, ...]
    already_known: int
    unchecked_finals: tuple[int, ...]
    preimages: tuple[tuple[int, bytes, bytes], ...]
    mine: Psbt = field(repr=False)
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        demand(seal, "Contribution")

    @property
    def pubkeys(self) -> frozenset[bytes]:
        """Whose signatures it brings: attribution is by key, never by who was asked (THREATS R6)."""
        return frozenset(signer_of(self.mine, index, key) for index, key, _ in self.signatures)


class _Answer:
    """What is gathered from one answer before anything is verified."""

    def __init__(self) -> None:
        self.claims: list[tuple[int, SignatureKey, bytes]] = []
        self.preimages: list[tuple[int, bytes, bytes]] = []
        self.finals: dict[int, FinalScripts] = {}
        self.differences: list[FieldDifference] = []
        self.known = 0


def transaction_differences(mine: Transaction, other: Transaction) -> tuple[str, ...]:
    """What differs between two transactions, scriptSigs and witnesses aside, in words."""
    numbers = (
        ("version", mine.version, other.version),
        ("locktime", mine.locktime, other.locktime),
        ("number of inputs", len(mine.inputs), len(other.inputs)),
        ("number of outputs", len(mine.outputs), len(other.outputs)),
    )
    found = [f"{name} {ours} became {theirs}" for name, ours, theirs in numbers if ours != theirs]
    for index, (our, their) in enumerate(zip(mine.inputs, other.inputs, strict=False)):
        if our.outpoint != their.outpoint:
            found.append(f"input {index} spends {their.outpoint}, not {our.outpoint}")
        if our.sequence != their.sequence:
            found.append(f"input {index} has sequence {their.sequence}, not {our.sequence}")
    for index, (paid, pays) in enumerate(zip(mine.outputs, other.outputs, strict=False)):
        if paid.sats != pays.sats:
            found.append(f"output {index} pays {pays.sats} sat, not {paid.sats} sat")
        if paid.script != pays.script:
            found.append(f"output {index} pays another script")
    return tuple(found)


def extract(mine: Psbt, returned: Psbt, *, allowed: frozenset[int] = ALL_ONLY) -> Contribution:
    """Take what a returned PSBT brings.

    Args:
        mine: The coordinator's own PSBT; nothing else counts.
        returned: What came back, parsed.
        allowed: The sighash types that are accepted (THREATS R4).

    Returns:
        The new signatures, all verified on `mine`, and what else was seen.

    Raises:
        TransactionChangedError: It is for another transaction (THREATS R1).
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    if mine.tx != returned.tx:
        raise TransactionChangedError(transaction_differences(mine.tx, returned.tx))
    returned = comparable(mine, returned)
    answer = _Answer()
    _compare(answer, Map.GLOBAL, 0, mine.global_map, returned.global_map)
    for index, (theirs, new) in enumerate(zip(returned.inputs, signatures_beyond(mine, returned), strict=True)):
        if new is not None:
            _read_signatures(answer, mine, index, new)
            continue
        _read_input(answer, mine, index, theirs)
        if index in answer.finals:
            final = final_of(returned, index)
            if final is not None:
                answer.finals[index] = final
    for index, (ours, theirs) in enumerate(zip(mine.outputs, returned.outputs, strict=True)):
        _compare(answer, Map.OUTPUT, index, ours, theirs)
    return _settle(mine, answer, allowed)


def extract_transaction(mine: Psbt, tx: Transaction, *, allowed: frozenset[int] = ALL_ONLY) -> Contribution:
    """Take what a final transaction brings: some signers return nothing else.

    Args:
        mine: The coordinator's own PSBT.
        tx: The transaction that came back; inputs without scripts bring nothing.
        allowed: The sighash types that are accepted.

    Raises:
        TransactionChangedError: It is another transaction.
        InputError: Legacy hashing passes its cap (THREATS C16).
    """
    differences = transaction_differences(mine.tx, tx)
    if differences:
        raise TransactionChangedError(differences)
    answer = _Answer()
    witnesses = tx.witnesses or ((),) * len(tx.inputs)
    for index, (txin, stack) in enumerate(zip(tx.inputs, witnesses, strict=True)):
        if (txin.script_sig or stack) and not is_final(mine, index):
            answer.finals[index] = FinalScripts(txin.script_sig, stack)
    return _settle(mine, answer, allowed)


_NOTHING: Final = FinalScripts(b"", ())


def _read_signatures(answer: _Answer, mine: Psbt, index: int, signatures: Fields) -> None:
    """Note the signatures that mine has not."""
    ours = mine.inputs[index]
    settled = FINAL_SCRIPTSIG in ours or FINAL_SCRIPTWITNESS in ours
    for key, value in signatures.items():
        if settled or ours.get(key) == value:
            answer.known += 1
        else:
            under = output_key_of(mine, index) if key == TAP_KEY_SIG else key[1:]
            answer.claims.append((index, under, value))


def _read_input(answer: _Answer, mine: Psbt, index: int, theirs: Fields) -> None:
    """Sort an input's fields into signatures, preimages, finals and differences."""
    ours = mine.inputs[index]
    settled = FINAL_SCRIPTSIG in ours or FINAL_SCRIPTWITNESS in ours
    signatures = {}
    for key, value in theirs.items():
        held = ours.get(key)
        if key[0] in SIGNATURE_TYPES:
            signatures[key] = value
        elif held == value:
            continue
        elif key in _FINALS and not settled:
            answer.finals[index] = _NOTHING
        elif key[0] in HASHES and held is None and not settled:
            answer.preimages.append((index, key, value))
        else:
            _note(answer, Map.INPUT, index, key, "added" if held is None else "changed")
    _read_signatures(answer, mine, index, signatures)
    final = index in answer.finals
    for key in ours:
        if key not in theirs and key[0] not in _PASSING and not (final and key[0] in CLEARED):
            _note(answer, Map.INPUT, index, key, "dropped")


def _compare(answer: _Answer, kind: Map, index: int, ours: Fields, theirs: Fields) -> None:
    for key, value in theirs.items():
        held = ours.get(key)
        if held != value:
            _note(answer, kind, index, key, "added" if held is None else "changed")
    for key in ours:
        if key not in theirs:
            _note(answer, kind, index, key, "dropped")


def _note(answer: _Answer, kind: Map, index: int, key: bytes, what: What) -> None:
    where = kind.value if kind is Map.GLOBAL else f"{kind.value} {index}"
    answer.differences.append(FieldDifference(where, field_name(kind, key), what))


def _settle(mine: Psbt, answer: _Answer, allowed: frozenset[int]) -> Contribution:
    """Verify what was gathered, on `mine`."""
    checks = list(judge(mine, answer.claims, allowed))
    unchecked = []
    for final in match(mine, answer.finals, allowed):
        bad = [check for check in final.signatures if not check.valid]
        if final.state is FinalState.INVALID:
            checks += bad or [SignatureCheck(final.input, b"", b"", SignatureProblem.BAD_SCRIPT)]
            continue
        if final.state is FinalState.NOT_CHECKED:
            unchecked.append(final.input)
        checks += [_usable(mine, check) for check in final.signatures if check.valid]
        answer.preimages += [(final.input, key, value) for key, value in final.preimages]
    taken, known = _new_ones(mine, checks, allowed)
    rejected = tuple([check for check in checks if not check.valid])
    preimages = _true_preimages(mine, answer)  # before the differences are taken: it adds to them
    return Contribution(
        taken, rejected, tuple(answer.differences), answer.known + known, tuple(unchecked), preimages, mine, seal=SEAL
    )


def _usable(mine: Psbt, check: SignatureCheck) -> SignatureCheck:
    """A signature out of a final counts where my own copy proves the script too: without it nobody could use it."""
    try:
        usable = input_scripts(mine, check.input).has_key(check.key)
    except PsbtError:
        usable = False
    return check if usable else SignatureCheck(check.input, check.key, check.signature, SignatureProblem.NOT_SHOWN_HERE)


def _true_preimages(mine: Psbt, answer: _Answer) -> tuple[tuple[int, bytes, bytes], ...]:
    """The preimages that are new, true, and asked for by a proven script of the input; others become differences."""
    wanted: dict[int, frozenset[bytes]] = {}
    taken: dict[tuple[int, bytes], bytes] = {}
    for index, key, value in answer.preimages:
        if index not in wanted:
            try:
                wanted[index] = wanted_in(input_scripts(mine, index))
            except PsbtError:
                wanted[index] = frozenset()
        if key in mine.inputs[index]:
            continue
        if key in wanted[index] and is_preimage(key, value):
            taken.setdefault((index, key), value)
        else:
            _note(answer, Map.INPUT, index, key, "added")
    return tuple([(*spot, value) for spot, value in taken.items()])


def _new_ones(
    mine: Psbt, checks: Collection[SignatureCheck], allowed: frozenset[int]
) -> tuple[tuple[tuple[int, SignatureKey, bytes], ...], int]:
    """The valid signatures under keys that have no valid one yet (THREATS R3), and how many others there were."""
    conflicts = []
    for check in checks:
        held = mine.inputs[check.input].get(field_key(check.key)) if check.valid else None
        if held is not None:
            conflicts.append((check.input, check.key, held))
    settled = {(check.input, check.key) for check in judge(mine, conflicts, allowed) if check.valid}
    taken: dict[tuple[int, SignatureKey], bytes] = {}
    known = 0
    for check in checks:
        spot = (check.input, check.key)
        if check.valid and (spot in settled or spot in taken):
            known += 1
        elif check.valid:
            taken[spot] = check.signature
    return tuple([(*spot, signature) for spot, signature in taken.items()]), known


def strip_signatures(psbt: Psbt, keep_inputs: Collection[int], since: Psbt) -> Psbt:
    """Drop what a signer added on inputs that it was not asked to sign (THREATS C23).

    Args:
        psbt: What the signer gave back.
        keep_inputs: The inputs that the review marked as the wallet's.
        since: What the signer was given.

    Returns:
        The signer's PSBT, but for inputs with anything that signing or finalizing adds: those are as they were.

    Raises:
        PsbtError: The signer gave back another transaction.
    """
    differences = transaction_differences(since.tx, psbt.tx)
    if differences:
        raise PsbtError(f"the signer gave back another transaction: {'; '.join(differences[:_MAX_NAMED])}")
    keep = frozenset(keep_inputs)
    restored: dict[int, Fields] = {}
    for index, (before, after) in enumerate(zip(since.inputs, psbt.inputs, strict=True)):
        if index not in keep and _signed_more(before, after):
            restored[index] = before
    return psbt.with_inputs(restored) if restored else psbt


def _signed_more(before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]) -> bool:
    for key, value in after.items():
        if before.get(key) == value:
            continue
        known = lookup(Map.INPUT, key)
        if key in _FINALS or (known is not None and known.contribution):
            return True
    return False
