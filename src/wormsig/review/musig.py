"""MuSig2 (BIP327) as a PSBT carries it (BIP373): who takes part, who has given a nonce, who has signed.

Shown and never counted: neither nonces nor partial signatures are checked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.psbt.musig import rounds
from wormsig.review.claims import INPUT, tap_origin, xonly
from wormsig.review.findings import Code
from wormsig.review.report import Finding, KeyView, MusigView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wormsig.psbt.model import Fields
    from wormsig.psbt.musig import MusigRound
    from wormsig.review.report import InputView
    from wormsig.wallet.derive import WalletScript
    from wormsig.wallet.model import Wallet

MAX_SHOWN = 5_000
"""Keys and groups of keys that are shown of one input: a few fields can claim millions (THREATS C16)."""

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
    known = None
    if own is not None:
        known = () if own.taproot is None else own.taproot.aggregates
    views: list[MusigView] = []
    room = MAX_SHOWN
    for each in rounds(fields, known):
        size = 1 + len(each.participants)
        if size <= room:  # a group that is too large hides no other
            room -= size
            views.append(_view(fields, names, each))
    return tuple(views)


def _view(fields: Fields, names: Mapping[bytes, tuple[str | None, str | None]], each: MusigRound) -> MusigView:
    return MusigView(
        keys=tuple([_key_view(fields, names, pubkey) for pubkey in each.participants]),
        nonces=tuple([pubkey in each.nonces for pubkey in each.participants]),
        signed=tuple([pubkey in each.signatures for pubkey in each.participants]),
        leaf=None if each.spot is None else each.spot.leaf.hex() or None,
    )


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
