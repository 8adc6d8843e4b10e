"""Combiner: puts verified signatures and preimages together (BIP174).

`combine` does not merge PSBTs: whatever else a cosigner's PSBT holds was left behind in `contribution`. `union` is
BIP174's own merge of whole maps, for copies that are all one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import PsbtError
from wormsig.psbt._seal import SEAL
from wormsig.psbt.maps import put_all, put_signatures
from wormsig.psbt.model import PARTIAL_SIG, spent_outputs
from wormsig.psbt.modifiable import after_signing
from wormsig.psbt.preimages import is_preimage, wanted_in
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.sigkeys import SignatureKey, field_key, is_schnorr
from wormsig.psbt.verify import Verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wormsig.psbt.contribution import Contribution
    from wormsig.psbt.model import Fields, Psbt


def combine(mine: Verified, contributions: Sequence[Contribution]) -> Verified:
    """Add the signatures and preimages of contributions; the first valid one under a key stays.

    Args:
        mine: The coordinator's PSBT.
        contributions: Verified on that PSBT, or on one with the same transaction, scripts and amounts.

    Returns:
        The PSBT with all of them, in the order in which Bitcoin Core writes them.

    Raises:
        PsbtError: A contribution was verified on another transaction, script or amount.
    """
    signatures = {index: dict(held) for index, held in mine.signatures.items()}
    added: dict[int, dict[SignatureKey, bytes]] = {}
    for contribution in contributions:
        _check_basis(mine.psbt, contribution)
        for index, key, signature in contribution.signatures:
            held = signatures.setdefault(index, {})
            if key not in held:
                held[key] = signature
                added.setdefault(index, {})[key] = signature
    maps = {index: put_signatures(mine.psbt.inputs[index], new) for index, new in added.items()}
    signed = after_signing(mine.psbt, mine.psbt.with_signed(maps))
    preimages = [one for contribution in contributions for one in contribution.preimages]
    return Verified(with_preimages(signed, preimages), signatures, seal=SEAL)


def with_signatures(psbt: Psbt, signatures: Iterable[tuple[int, SignatureKey, bytes]]) -> Psbt:
    """Put signatures that were verified before (a journal's) back into the PSBT they were verified on.

    Nothing vouches for the result: `verify` checks them again before anything is finalized.

    Args:
        psbt: The coordinator's PSBT.
        signatures: Input, `SignatureKey` and signature; one under a key that has one already is passed over.

    Returns:
        The PSBT with them, in the order in which Bitcoin Core writes them.

    Raises:
        PsbtError: There is no such input.
    """
    added: dict[int, dict[SignatureKey, bytes]] = {}
    for index, key, signature in signatures:
        if not 0 <= index < len(psbt.inputs):
            raise PsbtError("there is no such input", where=f"input {index}")
        if field_key(key) not in psbt.inputs[index]:
            added.setdefault(index, {})[key] = signature
    signed = psbt.with_signed({index: put_signatures(psbt.inputs[index], new) for index, new in added.items()})
    return after_signing(psbt, signed)


def with_preimages(psbt: Psbt, preimages: Iterable[tuple[int, bytes, bytes]]) -> Psbt:
    """Put hash preimages in that an input's proven scripts ask for.

    Args:
        psbt: The coordinator's PSBT.
        preimages: Input, whole field key and preimage; one that is there already is passed over.

    Raises:
        PsbtError: There is no such input, or its scripts cannot be proven or do not ask for it, or it is not true.
    """
    added: dict[int, dict[bytes, bytes]] = {}
    wanted: dict[int, frozenset[bytes]] = {}
    for index, key, value in preimages:
        if not 0 <= index < len(psbt.inputs):
            raise PsbtError("there is no such input", where=f"input {index}")
        if key in psbt.inputs[index]:
            continue
        if index not in wanted:
            wanted[index] = wanted_in(input_scripts(psbt, index))
        if not is_preimage(key, value) or key not in wanted[index]:
            raise PsbtError("this is no preimage that the input's script asks for", where=f"input {index}")
        added.setdefault(index, {})[key] = value
    if not added:
        return psbt
    return psbt.with_inputs({index: put_all(psbt.inputs[index], new) for index, new in added.items()})


def _check_basis(psbt: Psbt, contribution: Contribution) -> None:
    """Refuse signatures that were verified on anything else than this PSBT says."""
    other = contribution.mine
    if other.memo is psbt.memo:  # the same PSBT, or one that differs in signatures alone
        return
    concerned = {index for index, _, _ in (*contribution.signatures, *contribution.preimages)}
    same = other.tx == psbt.tx and all(input_scripts(other, index) == input_scripts(psbt, index) for index in concerned)
    if same and any(is_schnorr(key) for _, key, _ in contribution.signatures):
        same = spent_outputs(other) == spent_outputs(psbt)  # a taproot signature covers them all
    if not same:
        raise PsbtError("a contribution was verified on another PSBT than the one it is combined into")


def union(mine: Psbt, others: Sequence[Psbt]) -> Psbt:
    """Every field of several PSBTs of one transaction, unverified; where they differ, the first one's stays.

    For copies that are all one's own. What somebody else sent goes through `contribution.extract` instead.

    Args:
        mine: The first.
        others: The rest.

    Raises:
        PsbtError: They are for different transactions, or differ in version.
    """
    result = mine
    for other in others:
        if other.tx != result.tx or other.version != result.version:
            raise PsbtError("PSBTs of different transactions or versions cannot be combined")
        inputs = zip(result.inputs, other.inputs, strict=True)
        outputs = zip(result.outputs, other.outputs, strict=True)
        joined = result.with_maps(
            _joined(result.global_map, other.global_map),
            tuple([_joined_input(ours, theirs) for ours, theirs in inputs]),
            tuple([_joined(ours, theirs) for ours, theirs in outputs]),
        )
        result = after_signing(result, joined)
        if result.tx != other.tx:
            raise PsbtError("the locktimes that they require do not make the same transaction together")
    return result


def _joined(ours: Fields, theirs: Fields) -> Fields:
    return put_all(ours, {key: value for key, value in theirs.items() if key not in ours})


def _joined_input(ours: Fields, theirs: Fields) -> Fields:
    missing = {key: value for key, value in theirs.items() if key not in ours}
    signatures = {key[1:]: missing.pop(key) for key in list(missing) if key[0] == PARTIAL_SIG}
    joined = put_all(ours, missing)
    return put_signatures(joined, signatures) if signatures else joined
