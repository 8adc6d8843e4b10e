"""MuSig2 in an input (BIP373): who takes part, whose nonce is there, whose partial signature.

All of it is what the fields claim: aggregates are not computed and partial signatures not verified here, so nothing of
it counts as a signature. Making nonces and signatures does not belong here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from wormsig.psbt.model import MUSIG2_PARTIAL_SIG, MUSIG2_PARTICIPANT_PUBKEYS, MUSIG2_PUB_NONCE

if TYPE_CHECKING:
    from wormsig.psbt.model import Fields, Psbt


class MusigRound(msgspec.Struct, frozen=True):
    """One signature that several keys make together, as far as it has come.

    Args:
        aggregate: The aggregate key, 33 bytes: plain, as the participants give it.
        key: The key that the signature will be for, 33 bytes: with its tweaks, as nonces name it; None before one does.
        leaf: The hash of the leaf that it is for; None for the key path, or before the first nonce.
        participants: Public keys, 33 bytes each, in the order of aggregation; none when nothing names them.
        nonces: Those whose public nonce is there.
        signatures: Those whose partial signature is there.
    """

    aggregate: bytes
    key: bytes | None
    leaf: bytes | None
    participants: tuple[bytes, ...]
    nonces: frozenset[bytes]
    signatures: frozenset[bytes]

    @property
    def without_nonce(self) -> tuple[bytes, ...]:
        """Participants whose nonce is missing."""
        return tuple([pubkey for pubkey in self.participants if pubkey not in self.nonces])

    @property
    def without_signature(self) -> tuple[bytes, ...]:
        """Participants whose partial signature is missing; they can give it once every nonce is there."""
        return tuple([pubkey for pubkey in self.participants if pubkey not in self.signatures])

    @property
    def strangers(self) -> frozenset[bytes]:
        """Keys that gave a nonce or a partial signature and do not take part."""
        return (self.nonces | self.signatures) - set(self.participants)


def participants(fields: Fields, key_type: int = MUSIG2_PARTICIPANT_PUBKEYS) -> dict[bytes, tuple[bytes, ...]]:
    """Aggregate -> its participants in order, 33 bytes each, as a map claims them.

    Args:
        fields: The map of an input, or of an output with its key type.
        key_type: `model.MUSIG2_PARTICIPANT_PUBKEYS` or `model.OUT_MUSIG2_PARTICIPANT_PUBKEYS`.
    """
    return {
        key[1:]: tuple([value[at : at + 33] for at in range(0, len(value), 33)])
        for key, value in fields.items()
        if key[0] == key_type
    }


MAX_AGGREGATES: Final = 256
"""Aggregates of one input whose participants are looked at; all the pairs of twenty keys are 190 (THREATS C16)."""

_Spot: TypeAlias = tuple[bytes, bytes]


def _by_session(fields: Fields, key_type: int) -> dict[_Spot, set[bytes]]:
    """Key with its tweaks and leaf hash (or nothing) -> the participants that a field is there of."""
    found: dict[_Spot, set[bytes]] = {}
    for key in fields:
        if key[0] == key_type:
            found.setdefault((key[34:67], key[67:]), set()).add(key[1:34])
    return found


def rounds(psbt: Psbt, index: int) -> tuple[MusigRound, ...]:
    """The MuSig2 signatures that an input may get, each with who has done what.

    Nonces name the key with its tweaks, participants stand under the plain one: they belong together by who signs.

    Args:
        psbt: The PSBT.
        index: The input.

    Returns:
        One for each aggregate and leaf that there are nonces for, and one for each of the first `MAX_AGGREGATES`
        aggregates without any; last those whose participants nothing names.
    """
    fields = psbt.inputs[index]
    known = dict(islice(participants(fields).items(), MAX_AGGREGATES))
    nonces, partial = _by_session(fields, MUSIG2_PUB_NONCE), _by_session(fields, MUSIG2_PARTIAL_SIG)
    found: list[MusigRound] = []
    stray: list[MusigRound] = []
    begun: set[bytes] = set()
    for spot in dict.fromkeys((*nonces, *partial)):
        with_nonce, signed = frozenset(nonces.get(spot, ())), frozenset(partial.get(spot, ()))
        aggregate = _fitting(known, with_nonce | signed)
        begun.add(aggregate or b"")
        each = MusigRound(
            aggregate or spot[0], spot[0], spot[1] or None, known.get(aggregate or b"", ()), with_nonce, signed
        )
        (found if aggregate else stray).append(each)
    found += [
        MusigRound(aggregate, None, None, keys, frozenset(), frozenset())
        for aggregate, keys in known.items()
        if aggregate not in begun
    ]
    return (*found, *stray)


def _fitting(known: dict[bytes, tuple[bytes, ...]], signers: frozenset[bytes]) -> bytes | None:
    """The aggregate that most of these keys take part in, when any does; of several the one with the fewest others."""
    ranked = [(len(signers.intersection(keys)), -len(keys), aggregate) for aggregate, keys in known.items()]
    best = max(ranked, default=(0, 0, b""))
    return best[2] if best[0] else None
