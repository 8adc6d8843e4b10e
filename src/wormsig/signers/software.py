"""A software key signs its share of a wallet: only at places where the wallet's own descriptor has it (THREATS C21).

What a PSBT says about derivations is never looked at: the review found each input's branch and index in the wallet,
and the private key is derived there and compared with the input's proven script before it signs. In taproot the
internal key signs the key path, any other key every leaf that it stands in. MuSig2 is not signed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.ckd import PrivateParent
from wormsig.bitcoin.keys import HARDENED
from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.errors import InputError, KeyFileError, NotSupportedError, RefusedError
from wormsig.psbt.model import is_final, sighash_type
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wormsig.bitcoin.keys import ExtendedPrivateKey
    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved
    from wormsig.signers.secret import SecretKey
    from wormsig.wallet.model import Wallet


Place = tuple[int, int]
"""Branch and index."""
Pair = tuple[bytes, bytes]
"""Secret key and public key."""


class SoftwareKey:
    """Signs with a `SecretKey`.

    Args:
        secret: The opened key file.
        wallet: The wallet that it signs for.
        label: How messages name it, e.g. `key:alice.key`.

    Raises:
        KeyFileError: The key is not one of the wallet's, or is for another network.
        NotSupportedError: The wallet has it in MuSig2 aggregates only.
    """

    def __init__(self, secret: SecretKey, wallet: Wallet, *, label: str) -> None:
        self._label = label
        self._wallet = wallet
        self._accounts = _matching(secret, wallet, label)
        self._uses = _uses(wallet, self._accounts, label)
        self._branches: dict[int, tuple[PrivateParent, ...]] = {}

    def __repr__(self) -> str:
        return f"SoftwareKey({self._label})"

    @property
    def label(self) -> str:
        """How messages name it, e.g. `key:alice.key`."""
        return self._label

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Master fingerprints of the wallet's keys that it holds."""
        return frozenset(self._wallet.keys[position].fingerprint for position in self._accounts)

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
        places = {index: _place(approved, index) for index in sorted(approved.inputs) if not is_final(psbt, index)}
        if not places:
            raise InputError(f"there is nothing to sign for {self._label}: every input is final already")
        shown = self._shown(approved, places)
        derived = self._derived(places.values()) if shown is None else self._fitted(places, shown)
        by_type: dict[int, dict[int, dict[bytes, bytes]]] = {}
        for index, place in places.items():
            asked = sighash_type(psbt, index)
            keys = by_type.setdefault(SIGHASH_ALL if asked is None else asked, {})
            keys[index] = _keys_for(psbt, index, place, derived[place])
        try:
            for wanted, keys in by_type.items():
                psbt = sign_inputs(psbt, keys, sighash_type=wanted)
        except InputError:
            if shown is not None:  # was it because a key is not the one that the review says?
                derived = self._derived(places.values())
                for index, place in places.items():
                    _keys_for(psbt, index, place, derived[place])
            raise
        return psbt

    def _derived(self, places: Iterable[Place]) -> dict[Place, list[Pair]]:
        """Our keys at places of the wallet: one for each place in a script where ours signs by itself."""
        wanted: dict[int, dict[int, None]] = {}
        for branch, child in places:
            wanted.setdefault(branch, {})[child] = None
        found: dict[Place, list[Pair]] = {}
        for branch, children in wanted.items():
            indices = list(children)
            rows = [parent.children(indices) for parent in self._branch(branch)]
            for index, pairs in zip(indices, zip(*rows, strict=True), strict=True):
                found[branch, index] = list(pairs)
        return found

    def _shown(self, approved: Approved, places: Mapping[int, Place]) -> dict[int, bytes] | None:
        """Input -> our public key, which the review derived; None where it does not tell a single one apart.

        Computing public keys again would take as long as half of the signatures.
        """
        marks = [key.fingerprint for key in self._wallet.keys]
        held = self.fingerprints
        if len(self._uses) != 1 or len(held) != 1 or self._wallet.script_type == "tr":
            return None
        (ours,) = held
        if marks.count(ours) != 1:
            return None
        found: dict[int, bytes] = {}
        for index in places:
            view = approved.report.inputs[index]
            here = [key for key, label in zip(view.pubkeys, view.labels, strict=True) if label[0] == ours.hex()]
            if len(here) != 1:
                return None
            found[index] = here[0]
        return found

    def _fitted(self, places: Mapping[int, Place], shown: Mapping[int, bytes]) -> dict[Place, list[Pair]]:
        """Our secret keys with the public keys that the review derived; signing verifies that they belong together."""
        found: dict[Place, list[Pair]] = {}
        for branch in BRANCHES:
            here = [index for index, place in places.items() if place[0] == branch]
            if here:
                (parent,) = self._branch(branch)
                seckeys = parent.seckeys([places[index][1] for index in here])
                found.update(
                    (places[index], [(seckey, shown[index])]) for index, seckey in zip(here, seckeys, strict=True)
                )
        return found

    def _branch(self, branch: int) -> tuple[PrivateParent, ...]:
        known = self._branches.get(branch)
        if known is None:
            keys = [account.child(branches[branch]) for account, branches in self._uses]
            known = self._branches[branch] = tuple([PrivateParent(key.seckey, key.chain_code) for key in keys])
        return known


def _keys_for(psbt: Psbt, index: int, place: Place, ours: Iterable[Pair]) -> dict[bytes, bytes]:
    """Public key -> secret key of one input, from the place where the review found its script in the wallet.

    Taproot's public keys are x-only. A key that stands in a script twice, with branches of its own each time, signs
    with both.
    """
    scripts = input_scripts(psbt, index)
    proven = scripts.taproot
    found: dict[bytes, bytes] = {}
    for seckey, pubkey in ours:
        if proven is None:
            if not scripts.has_key(pubkey):
                raise RefusedError(f"input {index}: our key at {place[0]}/{place[1]} is not in its script (C21)")
            found[pubkey] = seckey
        elif proven.signable(pubkey[1:]):  # a PSBT need not show every leaf
            found[pubkey[1:]] = seckey
    if not found:
        raise RefusedError(
            f"input {index}: our key at {place[0]}/{place[1]} is in nothing that the PSBT shows of its script (C21)",
            hint="ask for a PSBT with the input's internal key and leaf scripts",
        )
    return found


def _uses(
    wallet: Wallet, accounts: Mapping[int, ExtendedPrivateKey], label: str
) -> tuple[tuple[ExtendedPrivateKey, tuple[int, int]], ...]:
    """The account's key and the steps to its branches, of every place in the wallet where ours signs by itself.

    Raises:
        NotSupportedError: There is none.
    """
    found = [
        (accounts[use.keys[0]], use.branches) for use in wallet.uses if not use.is_aggregate and use.keys[0] in accounts
    ]
    if not found:
        raise NotSupportedError(
            f"{label} takes part in wallet {wallet.name} with MuSig2 only, which software keys cannot sign yet",
            hint="sign with Bitcoin Core: --signer core:WALLET",
        )
    return tuple(found)


def _place(approved: Approved, index: int) -> Place:
    """Where the review found an input's script in the wallet."""
    view = approved.report.inputs[index]
    if not view.mine or view.path is None:
        raise RefusedError(f"input {index} is not the wallet's (C23)")
    branch, _, child = view.path.partition("/")
    place = int(branch), int(child)
    if place[0] not in BRANCHES or not 0 <= place[1] < HARDENED:
        raise RefusedError(f"input {index}: the wallet has no place {view.path} (C21)")
    return place


def _matching(secret: SecretKey, wallet: Wallet, label: str) -> dict[int, ExtendedPrivateKey]:
    """The wallet's keys that a secret key is the private half of, by position.

    Raises:
        KeyFileError: None of them, or another network.
    """
    if secret.network is not wallet.network:
        raise KeyFileError(f"{label} is for {secret.network.value}, wallet {wallet.name} for {wallet.network.value}")
    pairs = [(position, secret.find(key, wallet.script_type)) for position, key in enumerate(wallet.keys)]
    found = {position: private for position, private in pairs if private is not None}
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
