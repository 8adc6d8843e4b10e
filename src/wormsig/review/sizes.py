"""The weight that the final transaction will have: what an input of the wallet takes is known before anybody signed.

Inputs that carry signatures, and those of others, are sized by the psbt room from what they carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import write_compact
from wormsig.errors import PsbtError
from wormsig.psbt.finals import final_of
from wormsig.psbt.preimages import preimages_in
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.sigkeys import SIGNATURE_TYPES
from wormsig.psbt.solver import guess
from wormsig.psbt.verify import held_signatures
from wormsig.wallet.policy import MiniscriptPolicy, TaprootPolicy
from wormsig.wallet.sizes import Spend, final_size

if TYPE_CHECKING:
    from wormsig.psbt.model import Fields
    from wormsig.review.subject import Subject

_OVERHEAD = 4 + 4
"""Version and locktime."""
_INPUT = 36 + 4
"""Outpoint and sequence."""
_OUTPUT = 8
"""Amount."""
_MARKER = 2
"""Marker and flag of the segwit serialization (BIP141)."""


def estimated_vsize(subject: Subject) -> int | None:
    """Virtual bytes of the final transaction: a quarter of its weight, rounded up.

    Returns:
        None when an input's final size cannot be told: its script is unknown, of no known kind, or locked.
    """
    sizes = _Sizes(subject)
    tx = subject.psbt.tx
    base = _OVERHEAD + len(write_compact(len(tx.inputs))) + len(write_compact(len(tx.outputs)))
    base += _INPUT * len(tx.inputs)
    for output in tx.outputs:
        base += _OUTPUT + len(write_compact(len(output.script))) + len(output.script)
    witnesses = stacks = 0
    for index in range(len(tx.inputs)):
        size = sizes.of(index)
        if size is None:
            return None
        script_sig, witness = size
        base += script_sig + len(write_compact(script_sig))
        witnesses += witness or 1
        stacks += witness > 0
    weight = 4 * base + (_MARKER + witnesses if stacks else 0)
    return (weight + 3) // 4


Size = tuple[int, int]
"""Bytes of the scriptSig, and of the serialized witness: 0 when there is none."""


class _Sizes:
    """Sizes of final scripts, input by input; those of the wallet's unsigned inputs are computed once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._known: dict[tuple[int, frozenset[bytes]], Size | None] = {}

    def of(self, index: int) -> Size | None:
        """Of one input; None when it cannot be told."""
        psbt = self._subject.psbt
        final = final_of(psbt, index)
        if final is None and index in self._subject.owned.inputs and not _is_signed(psbt.inputs[index]):
            size = self._own(index)
            if size is not None:
                return size
        if final is None:
            try:
                scripts = input_scripts(psbt, index)
            except PsbtError:
                return self._own(index) if index in self._subject.owned.inputs else None
            held = {key: value for key, value in held_signatures(psbt, index).items() if scripts.has_key(key)}
            final = guess(psbt, index, scripts, held)
        if final is None:
            return None
        return len(final.script_sig), len(final.witness) if final.stack else 0

    def _own(self, index: int) -> Size | None:
        """The wallet's smallest way that locks leave open, signed by whoever is needed."""
        subject, tx = self._subject, self._subject.psbt.tx
        assert subject.keys is not None  # noqa: S101  an own input is proven by a wallet
        wallet = subject.keys.wallet
        preimages: frozenset[bytes] = frozenset()
        if isinstance(wallet.policy, MiniscriptPolicy | TaprootPolicy):
            preimages = frozenset([digest for _, digest, _ in preimages_in(subject.psbt.inputs[index])])
        sequence = tx.inputs[index].sequence
        key = sequence, preimages
        if key not in self._known:
            spend = Spend(tx.version, tx.locktime, sequence, preimages)
            size = final_size(wallet, subject.owned.inputs[index], spend)
            self._known[key] = None if size is None else (size.script_sig, size.witness)
        return self._known[key]


def _is_signed(fields: Fields) -> bool:
    return not SIGNATURE_TYPES.isdisjoint([key[0] for key in fields])
