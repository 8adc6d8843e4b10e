"""A wallet of our own bitcoind signs (`walletprocesspsbt`); the call itself is handed in.

bitcoind knows PSBT version 0 only: of a version 2 PSBT it gets a version 0 copy, and what it added is put back into
the version that was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import InputError, NodeError, PeerError
from wormsig.psbt import codec
from wormsig.psbt.contribution import extract, strip_signatures
from wormsig.psbt.convert import in_version_of, to_version_0
from wormsig.psbt.modifiable import after_signing

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved


class CoreWalletSigner:
    """Signs with a Core wallet.

    Args:
        name: The Core wallet's name.
        process_psbt: Signs a PSBT (binary) without finalizing it, and returns it (binary); raises NodeError.
    """

    def __init__(self, name: str, process_psbt: Callable[[bytes], bytes]) -> None:
        self._name = name
        self._process_psbt = process_psbt

    def __repr__(self) -> str:
        return f"CoreWalletSigner({self._name!r})"

    @property
    def label(self) -> str:
        """How messages name it, e.g. `core:alice`."""
        return f"core:{self._name}"

    @property
    def fingerprints(self) -> frozenset[bytes] | None:
        """Not known: a Core wallet signs with whatever keys it has."""
        return None

    def sign(self, approved: Approved) -> Psbt:
        """Let the node sign; what it signed on inputs that were not approved is taken out again (THREATS C23).

        Returns:
            What the node returned, in the version of the PSBT that was approved.

        Raises:
            RefusedError: The PSBT changed since its review.
            NodeError: The node refused, or returned something else than the PSBT that it was given.
            InputError: The Core wallet signed nothing.
        """
        approved.check_unchanged()
        mine = approved.psbt
        raw = self._process_psbt(codec.serialize(to_version_0(mine, fixed=True)))
        try:
            returned = codec.parse(raw)
            contribution = extract(mine, returned)
        except (InputError, PeerError) as error:
            raise NodeError(f"{self.label} returned another PSBT than it was given: {error.message}") from error
        kept = [index for index, _, _ in contribution.signatures if index in approved.inputs]
        if not kept:
            bad = next(
                (
                    f": its signature does not count, {check.problem.value}"
                    for check in contribution.rejected
                    if check.problem
                ),
                "",
            )
            raise InputError(
                f"{self.label} added no signature{bad}",
                hint="does this Core wallet hold one of the wallet's keys, and had it not signed already?",
            )
        signed = strip_signatures(in_version_of(mine, returned), approved.inputs, since=mine)
        return after_signing(mine, signed)
