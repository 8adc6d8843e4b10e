"""MuSig2 in an input (BIP373): who takes part, whose nonce is there, whose partial signature.

All of it is what the fields claim: aggregates are not computed and partial signatures not verified here, so nothing of
it counts as a signature. Making nonces and signatures does not belong here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from wormsig.psbt.model import MUSIG2_PARTIAL_SIG, MUSIG2_PARTICIPANT_PUBKEYS, MUSIG2_PUB_NONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wormsig.psbt.model import Fields

_KEY: Final = 33


class Spot(NamedTuple):
    """What an aggregate signs for, as nonces and partial signatures name it.

    Attributes:
        key: The x-only key (32 bytes) that the signature will be checked with: the output key, or one in a leaf.
        leaf: The leaf's hash; empty for the key path.
    """

    key: bytes
    leaf: bytes


class Aggregate(NamedTuple):
    """Keys that sign as one.

    Attributes:
        pubkey: What they add up to, 33 bytes, neither derived nor tweaked.
        participants: Public keys, 33 bytes each, in the order of aggregation.
        spots: Everything that it can sign for, as far as whoever asks knows it.
    """

    pubkey: bytes
    participants: tuple[bytes, ...]
    spots: tuple[Spot, ...] = ()


class MusigRound(msgspec.Struct, frozen=True):
    """One signature that several keys make together, as far as it has come.

    Args:
        aggregate: The aggregate key, 33 bytes: plain, as the participants give it.
        spot: What the signature will be for; None when nothing says it yet.
        participants: Public keys, 33 bytes each, in the order of aggregation.
        nonces: Those whose public nonce is there.
        signatures: Those whose partial signature is there.
    """

    aggregate: bytes
    spot: Spot | None
    participants: tuple[bytes, ...]
    nonces: frozenset[bytes] = frozenset()
    signatures: frozenset[bytes] = frozenset()


NOT_SUPPORTED: Final = "MuSig2 can be shown, but not signed or checked yet"
WHO_CAN: Final = "Bitcoin Core can sign, combine and finalize it"
"""What is said wherever it stands in the way, and who can help."""

MAX_AGGREGATES: Final = 256
"""Aggregates of one input whose participants are looked at; all the pairs of twenty keys are 190 (THREATS C16)."""


def _claimed(fields: Fields) -> Iterator[Aggregate]:
    """The aggregates that a map names; what they sign for is not said there."""
    for key, value in fields.items():
        if key[0] == MUSIG2_PARTICIPANT_PUBKEYS:
            yield Aggregate(key[1:], tuple([value[at : at + _KEY] for at in range(0, len(value), _KEY)]))


def _by_spot(fields: Fields, key_type: int) -> dict[Spot, set[bytes]]:
    """The participants that a field is there of, 33 bytes each."""
    found: dict[Spot, set[bytes]] = {}
    for key in fields:
        if key[0] == key_type:
            spot = Spot(key[2 + _KEY : 1 + 2 * _KEY], key[1 + 2 * _KEY :])
            found.setdefault(spot, set()).add(key[1 : 1 + _KEY])
    return found


def waits_for_musig(fields: Fields, *, key_path_only: bool) -> bool:
    """Whether an input without a signature of a single key waits for one that several make together.

    Args:
        fields: The input's map.
        key_path_only: No script can spend it, so there is no other way.
    """
    types = {key[0] for key in fields}
    return MUSIG2_PARTIAL_SIG in types or (key_path_only and MUSIG2_PARTICIPANT_PUBKEYS in types)


def rounds(fields: Fields, known: Sequence[Aggregate] | None = None) -> Iterator[MusigRound]:
    """The MuSig2 signatures that an input may get, each with who has done what.

    Args:
        fields: The input's map.
        known: The aggregates in the input's script and what they sign for, from whoever knows that better than the
            map does. Then every spot has its aggregate, and what is given for any other is left out. Without, the first
            `MAX_AGGREGATES` that the map names are believed. They stand there under the plain key and nonces under the
            tweaked one, so a round belongs to whom most of its signers take part in.

    Yields:
        A round for each spot that somebody who takes part gave something for, then one for each aggregate that nothing
        was given for.
    """
    nonces, partial = _by_spot(fields, MUSIG2_PUB_NONCE), _by_spot(fields, MUSIG2_PARTIAL_SIG)

    def at(spot: Spot) -> tuple[frozenset[bytes], frozenset[bytes]]:
        return frozenset(nonces.get(spot, ())), frozenset(partial.get(spot, ()))

    if known is not None:
        for aggregate in known:
            begun = [spot for spot in aggregate.spots if spot in nonces or spot in partial]
            for spot in begun or aggregate.spots[:1]:
                yield MusigRound(aggregate.pubkey, spot, aggregate.participants, *at(spot))
        return
    named = tuple(islice(_claimed(fields), MAX_AGGREGATES))
    choose = _Chooser(named)
    waiting = set(named)
    for spot in dict.fromkeys((*nonces, *partial)):
        given = at(spot)
        chosen = choose.fitting(spot, given[0] | given[1])
        if chosen is not None:
            waiting.discard(chosen)
            yield MusigRound(chosen.pubkey, spot, chosen.participants, *given)
    for aggregate in named:
        if aggregate in waiting:
            yield MusigRound(aggregate.pubkey, None, aggregate.participants)


class _Chooser:
    """Finds out whose round it is among the aggregates that a map names."""

    def __init__(self, named: Sequence[Aggregate]) -> None:
        self._named = named
        self._by_key = {aggregate.pubkey[1:]: number for number, aggregate in enumerate(named)}
        self._of: dict[bytes, list[int]] = {}
        for number, aggregate in enumerate(named):
            for pubkey in dict.fromkeys(aggregate.participants):
                self._of.setdefault(pubkey, []).append(number)

    def fitting(self, spot: Spot, signers: frozenset[bytes]) -> Aggregate | None:
        """The one that signs untweaked, else the one that most signers take part in: of several the smallest."""
        counts: dict[int, int] = {}
        for signer in signers:
            for number in self._of.get(signer, ()):
                counts[number] = counts.get(number, 0) + 1
        if not counts:
            return None
        same = self._by_key.get(spot.key)
        if same in counts:
            return self._named[same]

        def rank(number: int) -> tuple[int, int, bytes]:
            aggregate = self._named[number]
            return counts[number], -len(aggregate.participants), aggregate.pubkey

        return self._named[max(counts, key=rank)]
