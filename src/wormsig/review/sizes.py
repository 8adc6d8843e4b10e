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
from wormsig.psbt.solver import guess
from wormsig.psbt.verify import held_signatures
from wormsig.wallet.policy import MiniscriptPolicy, TaprootPolicy
from wormsig.wallet.sizes import Spend, final_size

if TYPE_CHECKING:
    from collections.abc import Container

    from wormsig.psbt.templates import FinalScripts
    from wormsig.review.subject import Subject

_OVERHEAD = 4 + 4
"""Version and locktime."""
_INPUT = 36 + 4
"""Outpoint and sequence."""
_OUTPUT = 8
"""Amount."""
_MARKER = 2
"""Marker and flag of the segwit serialization (BIP141)."""


def estimated_vsize(subject: Subject, signed: Container[int]) -> int | None:
    """Virtual bytes of the final transaction: a quarter of its weight, rounded up.

    Args:
        subject: What is reviewed.
        signed: Inputs that carry signatures.

    Returns:
        None when an input's final size cannot be told: its script is unknown, of no known kind, or locked.
    """
    sizes = _Sizes(subject, signed)
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
    """Sizes of final scripts, input by input; those of unsigned inputs that are alike are computed once."""

    def __init__(self, subject: Subject, signed: Container[int]) -> None:
        self._subject = subject
        self._signed = signed
        self._own_sizes: dict[tuple[int, frozenset[bytes]], Size | None] = {}
        self._alike: dict[tuple[str, int, int], Size] = {}

    def of(self, index: int) -> Size | None:
        """Of one input; None when it cannot be told."""
        final = final_of(self._subject.psbt, index)
        if final is not None:
            return _size(final)
        own = index in self._subject.owned.inputs
        size = self._own(index) if own and index not in self._signed else None
        if size is not None:
            return size
        try:
            return self._shown(index)
        except PsbtError:
            return self._own(index) if own else None

    def _shown(self, index: int) -> Size | None:
        """By what the PSBT shows of it. Raises PsbtError when that proves nothing."""
        psbt = self._subject.psbt
        scripts = input_scripts(psbt, index)
        if index in self._signed or scripts.multisig is None:
            held = {key: value for key, value in held_signatures(psbt, index).items() if scripts.has_key(key)}
            final = guess(psbt, index, scripts, held)
            return None if final is None else _size(final)
        key = scripts.script_type, scripts.multisig.threshold, len(scripts.script_code)
        size = self._alike.get(key)
        if size is None:
            final = guess(psbt, index, scripts, {})
            if final is None:
                return None
            size = self._alike[key] = _size(final)
        return size

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
        if key not in self._own_sizes:
            spend = Spend(tx.version, tx.locktime, sequence, preimages)
            size = final_size(wallet, subject.owned.inputs[index], spend)
            self._own_sizes[key] = None if size is None else (size.script_sig, size.witness)
        return self._own_sizes[key]


def _size(final: FinalScripts) -> Size:
    return len(final.script_sig), len(final.witness) if final.stack else 0
