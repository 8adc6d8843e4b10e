"""A software key signs its share of a wallet: only at places where the wallet's own descriptor has it (THREATS C21).

What a PSBT says about derivations is never looked at: the review found each input's branch and index in the wallet,
and the private key is derived there and compared with the input's script before it signs.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wormsig.bitcoin import secp
from wormsig.bitcoin.keys import HARDENED
from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.errors import InputError, KeyFileError, NotSupportedError, RefusedError
from wormsig.psbt.model import is_final, sighash_type
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from wormsig.bitcoin.keys import ExtendedPrivateKey
    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved
    from wormsig.signers.secret import SecretKey
    from wormsig.wallet.model import Wallet, WalletKey


@dataclass(frozen=True, slots=True)
class _BranchSecret:
    """One account's private key at one branch: what every input's key is one step from."""

    chain_code: bytes = field(repr=False)
    seckey: bytes = field(repr=False)
    pubkey: bytes

    def child(self, index: int) -> bytes:
        """The secret key at an index (BIP32, CKDpriv)."""
        digest = hmac.digest(self.chain_code, self.pubkey + index.to_bytes(4, "big"), "sha512")
        seckey = secp.seckey_tweak_add(self.seckey, digest[:32])
        if seckey is None:
            raise KeyFileError(f"the key has no child {index}")  # probability below 2**-127
        return seckey


class SoftwareKey:
    """Signs with a `SecretKey`.

    Args:
        secret: The opened key file.
        wallet: The wallet that it signs for.
        label: How messages name it, e.g. `key:alice.key`.

    Raises:
        KeyFileError: The key is not one of the wallet's, or is for another network.
    """

    def __init__(self, secret: SecretKey, wallet: Wallet, *, label: str) -> None:
        self._label = label
        self._wallet = wallet
        self._accounts = _matching(secret, wallet, label)
        self._branches: dict[int, tuple[_BranchSecret, ...]] = {}

    def __repr__(self) -> str:
        return f"SoftwareKey({self._label})"

    @property
    def label(self) -> str:
        """How messages name it, e.g. `key:alice.key`."""
        return self._label

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Master fingerprints of the wallet's keys that it holds."""
        return frozenset(key.fingerprint for key, _ in self._accounts)

    def sign(self, approved: Approved) -> Psbt:
        """Sign the approved inputs; nothing is finalized.

        Each is signed with the sighash type that it asks for, which the review has allowed (THREATS C5).

        Raises:
            RefusedError: The PSBT changed since its review, was reviewed for another wallet, or an input's script
                does not have our key where the wallet has it.
            InputError: Every approved input is final already.
        """
        approved.check_unchanged()
        if approved.wallet.id != self._wallet.id:
            raise RefusedError(f"{self._label} signs for wallet {self._wallet.name}, not for {approved.wallet.name}")
        psbt = approved.psbt
        by_type: dict[int, dict[int, dict[bytes, bytes]]] = {}
        for index in sorted(approved.inputs):
            if not is_final(psbt, index):
                asked = sighash_type(psbt, index)
                keys = by_type.setdefault(SIGHASH_ALL if asked is None else asked, {})
                keys[index] = self._keys_for(approved, index)
        if not by_type:
            raise InputError(f"there is nothing to sign for {self._label}: every input is final already")
        for wanted, keys in by_type.items():
            psbt = sign_inputs(psbt, keys, sighash_type=wanted)
        return psbt

    def _keys_for(self, approved: Approved, index: int) -> dict[bytes, bytes]:
        """Public key -> secret key of one input, from the place where the review found its script in the wallet.

        Taproot's public keys are x-only. A key that stands in a script twice, with branches of its own each time, signs
        with both.
        """
        branch, child = _place(approved, index)
        scripts = input_scripts(approved.psbt, index)
        found: dict[bytes, bytes] = {}
        for account in self._branch(branch):
            seckey = account.child(child)
            pubkey = secp.pubkey_of(seckey)
            if scripts.taproot is not None:
                pubkey = pubkey[1:]
            if not (scripts.taproot.signable(pubkey) if scripts.taproot is not None else scripts.has_key(pubkey)):
                raise RefusedError(f"input {index}: our key at {branch}/{child} is not in its script (C21)")
            found[pubkey] = seckey
        return found

    def _branch(self, branch: int) -> tuple[_BranchSecret, ...]:
        known = self._branches.get(branch)
        if known is None:
            accounts = {self._wallet.keys.index(key): account for key, account in self._accounts}
            children = [
                accounts[use.keys[0]].child(use.branches[branch])
                for use in self._wallet.uses
                if not use.is_aggregate and use.keys[0] in accounts
            ]
            if not children:
                raise NotSupportedError(f"{self._label} has a part in MuSig2 keys only, which cannot be signed for yet")
            known = tuple(_BranchSecret(child.chain_code, child.seckey, child.pubkey) for child in children)
            self._branches[branch] = known
        return known


def _place(approved: Approved, index: int) -> tuple[int, int]:
    """Where the review found an input's script in the wallet."""
    view = approved.report.inputs[index]
    if not view.mine or view.path is None:
        raise RefusedError(f"input {index} is not the wallet's (C23)")
    branch, _, child = view.path.partition("/")
    place = int(branch), int(child)
    if place[0] not in BRANCHES or not 0 <= place[1] < HARDENED:
        raise RefusedError(f"input {index}: the wallet has no place {view.path} (C21)")
    return place


def _matching(secret: SecretKey, wallet: Wallet, label: str) -> tuple[tuple[WalletKey, ExtendedPrivateKey], ...]:
    """The wallet's keys that a secret key is the private half of.

    Raises:
        KeyFileError: None of them, or another network.
    """
    if secret.network is not wallet.network:
        raise KeyFileError(f"{label} is for {secret.network.value}, wallet {wallet.name} for {wallet.network.value}")
    pairs = [(key, secret.find(key, wallet.script_type)) for key in wallet.keys]
    found = tuple((key, private) for key, private in pairs if private is not None)
    if found:
        return found
    claimed = wallet.key_with(secret.origin.fingerprint)
    theirs = ", ".join(key.fingerprint.hex() for key in wallet.keys)
    if claimed is not None:
        raise KeyFileError(
            f"{label} has the fingerprint {claimed.fingerprint.hex()} of wallet {wallet.name}, but gives another key"
            f" at {claimed.origin}",
            hint="was the wallet made with a BIP39 passphrase, or does the file hold another account's key?",
        )
    raise KeyFileError(
        f"{label} [{secret.origin.fingerprint.hex()}] is not one of the keys of wallet {wallet.name}",
        hint=f"the wallet's keys are {theirs}",
    )
