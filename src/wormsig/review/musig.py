"""MuSig2 (BIP327) as a PSBT carries it (BIP373): who takes part, who has given a nonce, who has signed.

Shown and never counted: neither nonces nor partial signatures are checked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.psbt.model import MUSIG2_PARTIAL_SIG, MUSIG2_PARTICIPANT_PUBKEYS, MUSIG2_PUB_NONCE
from wormsig.review.claims import INPUT, tap_origin, xonly
from wormsig.review.findings import Code
from wormsig.review.report import Finding, KeyView, MusigView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wormsig.psbt.model import Fields
    from wormsig.review.report import InputView
    from wormsig.wallet.derive import WalletScript
    from wormsig.wallet.model import Wallet

_ROUNDS = frozenset({MUSIG2_PUB_NONCE, MUSIG2_PARTIAL_SIG})

MAX_SHOWN = 5_000
"""Keys and groups of keys that are shown of one input: a few fields can claim millions (THREATS C16)."""

_KEY = 33
_TAP_DERIVATION = bytes((INPUT.taproot,))


def musig_views(
    fields: Fields, own: WalletScript | None, names: Mapping[bytes, tuple[str | None, str | None]]
) -> tuple[MusigView, ...]:
    """The aggregates of an input, with what each participant has done for them.

    Args:
        fields: The input's map.
        own: The wallet's script when the input is the wallet's: then its aggregates count, not the PSBT's.
        names: X-only public key -> fingerprint and name, of the wallet's keys.
    """
    there = [(key[0], _participant(key), _leaf(key)) for key in fields if key[0] in _ROUNDS]
    aggregates = dict(_aggregates(fields)) if own is None else {}
    if own is not None and own.taproot is not None:
        aggregates = dict(own.taproot.participants)
    if not aggregates:
        return ()
    begun = _begun(there, own)
    held = frozenset(there)
    views: list[MusigView] = []
    room = MAX_SHOWN
    for participants in aggregates.values():
        leaves: dict[bytes, None] = {}
        for pubkey in dict.fromkeys(participants):
            leaves |= begun.get(pubkey, {})
        for leaf in leaves or {b"": None}:
            room -= 1 + len(participants)
            if room < 0:
                return tuple(views)
            views.append(
                MusigView(
                    keys=tuple([_key_view(fields, names, pubkey) for pubkey in participants]),
                    nonces=tuple([(MUSIG2_PUB_NONCE, pubkey, leaf) in held for pubkey in participants]),
                    signed=tuple([(MUSIG2_PARTIAL_SIG, pubkey, leaf) in held for pubkey in participants]),
                    leaf=leaf.hex() or None,
                )
            )
    return tuple(views)


def _aggregates(fields: Fields) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    for key, value in fields.items():
        if key[0] == MUSIG2_PARTICIPANT_PUBKEYS:
            yield key[1:], tuple(value[at : at + _KEY] for at in range(0, len(value), _KEY))


def _begun(there: Sequence[tuple[int, bytes, bytes]], own: WalletScript | None) -> dict[bytes, dict[bytes, None]]:
    """Participant -> the leaves that it has given something for; of the wallet's scripts only those that it has."""
    real: frozenset[bytes] | None = None
    if own is not None and own.taproot is not None:
        tree = own.taproot.output.tree
        real = frozenset([b"", *[leaf.hash for _, leaf in (tree.leaves if tree is not None else ())]])
    begun: dict[bytes, dict[bytes, None]] = {}
    for _, pubkey, leaf in there:
        if real is None or leaf in real:
            begun.setdefault(pubkey, {})[leaf] = None
    return begun


def _participant(key: bytes) -> bytes:
    """Whose nonce or signature a field is."""
    return key[1 : 1 + _KEY]


def _leaf(key: bytes) -> bytes:
    """The leaf that a nonce or signature is for; empty for the key path."""
    return key[1 + 2 * _KEY :]


def _key_view(fields: Fields, names: Mapping[bytes, tuple[str | None, str | None]], pubkey: bytes) -> KeyView:
    x = xonly(pubkey)
    if x in names:
        return KeyView(pubkey, *names[x])
    claimed = tap_origin(fields.get(_TAP_DERIVATION + x, b""))[:4].hex()
    return KeyView(pubkey, claimed or None)


def musig_findings(inputs: Sequence[InputView]) -> list[Finding]:
    """Partial signatures that nobody here can check."""
    found: list[Finding] = []
    for view in inputs:
        if any(any(group.signed) for group in view.musig):
            where = f"input {view.index}"
            message = f"the MuSig2 signatures of {where} cannot be checked here and are not counted"
            found.append(Finding(Code.SIGNATURE_NOT_CHECKED, where, message))
    return found


def needs_musig(wallet: Wallet) -> bool:
    """Whether nobody can sign for a wallet alone: every key in its scripts is one that several hold together."""
    return all(use.is_aggregate for use in wallet.uses)
