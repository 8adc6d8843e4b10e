"""From `--signer SPEC` to something that signs, and the one way to a signature: review, approval, signer.

Key files are opened here, before a reactor runs: that may take seconds and holds the interpreter lock.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from wormsig.app.context import prepare
from wormsig.app.history import begin_signing
from wormsig.app.keys import Passphrases, open_key_file
from wormsig.errors import UsageError
from wormsig.review.approve import approve, require_supported
from wormsig.review.review import review
from wormsig.signers.core import CoreWalletSigner
from wormsig.signers.software import SoftwareKey
from wormsig.signers.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.app.context import Sources
    from wormsig.app.home import Home
    from wormsig.app.settings import ReviewOptions
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.signers.protocol import Signer
    from wormsig.wallet.model import Wallet


class OpenedSigner(msgspec.Struct, frozen=True):
    """A signer that is ready, before the wallet is known.

    Attributes:
        label: How messages name it.
        for_wallet: Gives the signer for one wallet; raises KeyFileError when it holds none of its keys.
    """

    label: str
    for_wallet: Callable[[Wallet], Signer]


def open_signer(text: str, passphrases: Passphrases, node: Node | None) -> OpenedSigner:
    """Open what `--signer` names.

    Args:
        text: `key:FILE` or `core:WALLET`.
        passphrases: Asked for an encrypted key file.
        node: Our node, which `core:` needs.

    Raises:
        UsageError: Not a signer, or there is no node for it.
        NotSupportedError: A kind of signer that this version does not have.
        KeyFileError: The key file cannot be opened.
    """
    spec = parse_spec(text)
    if spec.kind == "key":
        path = Path(spec.argument)
        secret = open_key_file(path, passphrases)
        label = f"key:{path.name}"
        return OpenedSigner(label, lambda wallet: SoftwareKey(secret, wallet, label=label))
    if node is None:
        raise UsageError(f"{spec} needs a node", hint="use --rpc-url and --rpc-cookie")
    core, name = node, spec.argument
    signer = CoreWalletSigner(name, lambda psbt: core.process_psbt(name, psbt))
    return OpenedSigner(signer.label, lambda _: signer)


class ReviewedPsbt(msgspec.Struct, frozen=True):
    """A PSBT with its review.

    Attributes:
        psbt: With the previous transactions that our node could add; the very object that was reviewed.
        report: What the review says.
    """

    psbt: Psbt
    report: Report


def review_psbt(psbt: Psbt, wallet: Wallet | None, options: ReviewOptions, sources: Sources) -> ReviewedPsbt:
    """Collect what the review may know, and review.

    Args:
        psbt: As it came.
        wallet: The agreed wallet, when there is one.
        options: What a person allows.
        sources: What is asked.

    Raises:
        NotSupportedError: Inputs of a kind that this version cannot sign stand in the way.
        UsageError: An option cannot be read.
        NodeError: The node cannot be asked.
    """
    prepared = prepare(psbt, wallet, options, sources)
    report = review(prepared.psbt, wallet, prepared.context)
    require_supported(report)
    return ReviewedPsbt(prepared.psbt, report)


def sign_reviewed(
    reviewed: ReviewedPsbt, wallet: Wallet, signer: Signer, by: Literal["person", "unattended", "policy"]
) -> Psbt:
    """Approve a review and let a signer sign.

    Returns:
        The signed PSBT, not finalized.

    Raises:
        RefusedError: The review does not allow it.
        WormsigError: The signer could not, or did not want to.
    """
    return signer.sign(approve(reviewed.psbt, reviewed.report, wallet, by=by))


def sign_file(
    reviewed: ReviewedPsbt, wallet: Wallet, signer: Signer, by: Literal["person", "unattended", "policy"], home: Home
) -> Psbt:
    """The same for a PSBT that belongs to no ceremony: what is signed is kept in a journal of its own.

    Later reviews know it from there, and `create` leaves its coins alone (THREATS C24).

    Args:
        reviewed: The PSBT and its review.
        wallet: The wallet of the review.
        signer: Who signs.
        by: Who approved.
        home: Whose journal.

    Returns:
        The signed PSBT, not finalized.

    Raises:
        RefusedError: The review does not allow it.
        StorageError: The journal cannot be written; nothing was given away.
        WormsigError: The signer could not, or did not want to.
    """
    approved = approve(reviewed.psbt, reviewed.report, wallet, by=by)
    with begin_signing(home, approved) as record:
        signed = signer.sign(approved)
        record(signed)
    return signed
