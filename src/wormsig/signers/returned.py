"""A PSBT that was signed elsewhere and came back as a file: an offline machine, a device with a card slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import InputError, PeerError
from wormsig.psbt.contribution import extract, strip_signatures

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved


class ReturnedPsbt:
    """Gives the signatures of a file.

    Args:
        label: How messages name it.
        psbt: What came back.
    """

    def __init__(self, label: str, psbt: Psbt) -> None:
        self._label = label
        self._psbt = psbt

    @property
    def label(self) -> str:
        """How messages name it."""
        return self._label

    @property
    def fingerprints(self) -> frozenset[bytes] | None:
        """Not known before its signatures are looked at."""
        return None

    def sign(self, approved: Approved) -> Psbt:
        """The file's PSBT, without anything signed on inputs that were not approved (THREATS C23).

        Raises:
            RefusedError: The PSBT changed since its review.
            InputError: The file is of another transaction, or holds no good signature.
        """
        approved.check_unchanged()
        try:
            taken = extract(approved.psbt, self._psbt)
        except PeerError as error:
            raise InputError(f"{self._label} is not what was approved: {error.message}") from error
        if not any(index in approved.inputs for index, _, _ in taken.signatures):
            raise InputError(f"{self._label} holds no new signature of this wallet", hint="was it signed and saved?")
        return strip_signatures(self._psbt, approved.inputs, since=approved.psbt)
