"""From `--signer SPEC` to somebody who signs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wormsig.app.keys import open_key_file
from wormsig.errors import UsageError
from wormsig.signers.core import CoreWalletSigner
from wormsig.signers.software import SoftwareKey
from wormsig.signers.spec import parse_spec

if TYPE_CHECKING:
    from wormsig.app.keys import Passphrases
    from wormsig.node.client import Node
    from wormsig.signers.protocol import Signer
    from wormsig.wallet.model import Wallet


def open_signer(text: str, wallet: Wallet, passphrases: Passphrases, node: Node | None) -> Signer:
    """Open the signer that a SPEC names.

    Before the reactor starts: opening a key file may ask for a passphrase, take seconds and hold the interpreter
    lock.

    Args:
        text: `key:FILE` or `core:WALLET`.
        wallet: The wallet to sign for.
        passphrases: Asked for an encrypted key file.
        node: Our node, which `core` needs.

    Raises:
        UsageError: Not a signer; or `core` without a node.
        NotSupportedError: A kind of signer that this version does not have.
        KeyFileError: The key file cannot be opened, or holds none of the wallet's keys.
    """
    spec = parse_spec(text)
    if spec.kind == "key":
        path = Path(spec.argument)
        return SoftwareKey(open_key_file(path, passphrases), wallet, label=f"key:{path.name}")
    if node is None:
        raise UsageError(f"{spec} needs a node", hint="add --rpc-url, or set WORMSIG_RPC_URL")
    name = spec.argument
    return CoreWalletSigner(name, lambda psbt: node.process_psbt(name, psbt))
