"""What every signer can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved


class Signer(Protocol):
    """Somebody or something that signs for one or more of a wallet's keys.

    Attributes:
        label: How messages name it, e.g. `key:alice.key`.
        fingerprints: Master fingerprints of the wallet's keys that it holds; None when it does not know.
    """

    @property
    def label(self) -> str:
        """How messages name it, e.g. `key:alice.key`."""

    @property
    def fingerprints(self) -> frozenset[bytes] | None:
        """Master fingerprints of the wallet's keys that it holds; None when it does not know."""

    def sign(self, approved: Approved) -> Psbt:
        """Sign the approved inputs.

        May block: a device, a node, a person.

        Args:
            approved: What the review let through.

        Returns:
            The PSBT as the signer returns it, without anything that it signed on inputs that were not approved
            (THREATS C23). Signatures are not verified here: whoever takes them does (`psbt.contribution`).

        Raises:
            WormsigError: It could not, or did not want to.
        """
