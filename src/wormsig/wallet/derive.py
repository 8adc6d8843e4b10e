"""A wallet's scripts at a branch and index, and finding a script among them: the hot path of every review.

A script costs one BIP32 step per key (CKDpub, BIP32) and a few hashes; the branches' own keys are derived once.
Whether an output is change, and up to which index anybody scans, is decided in `review`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wormsig.bitcoin import secp
from wormsig.bitcoin.keys import HARDENED, KeyOrigin
from wormsig.bitcoin.network import address_of
from wormsig.bitcoin.script import multisig_script, p2sh_script, p2wsh_script
from wormsig.errors import DescriptorError, InputError
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wormsig.wallet.model import Wallet

MAX_HINTS = 8
"""Places a PSBT may name for one script before they are ignored: a true one names one."""


@dataclass(frozen=True, slots=True)
class WalletScript:
    """One of the wallet's scripts.

    Attributes:
        branch: 0 receive, 1 change.
        index: Below 2**31.
        script_pubkey: What an output holds.
        redeem: The redeemScript (`sh`, `sh-wsh`).
        witness: The witnessScript (`wsh`, `sh-wsh`).
        origins: Public key (33 bytes) -> master fingerprint and full path, in the wallet's key order.
    """

    branch: int
    index: int
    script_pubkey: bytes
    redeem: bytes | None
    witness: bytes | None
    origins: Mapping[bytes, KeyOrigin]

    @property
    def path(self) -> str:
        """`0/14`."""
        return f"{self.branch}/{self.index}"


@dataclass(frozen=True, slots=True)
class _BranchKey:
    """One key at one branch: what a child is made from."""

    chain_code: bytes
    pubkey: bytes
    fingerprint: bytes
    path: tuple[int, ...]


class Deriver:
    """Derives one wallet's scripts and remembers them.

    Threads may share one: every entry is written once, with the same value whoever is first.
    """

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self._branches: dict[int, tuple[_BranchKey, ...]] = {}
        self._scripts: dict[tuple[int, int], WalletScript] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        self._searched = 0  # every index below it has been derived on both branches

    def script(self, branch: int, index: int) -> WalletScript:
        """The wallet's script at a place.

        Args:
            branch: 0 receive, 1 change.
            index: Below 2**31.

        Raises:
            InputError: No such place.
        """
        known = self._scripts.get((branch, index))
        return known if known is not None else self._derive(branch, index)

    def scripts(self, branch: int, indices: Iterable[int]) -> list[WalletScript]:
        """The scripts at many indices of a branch, in their order.

        Raises:
            InputError: No such place.
        """
        return [self.script(branch, index) for index in indices]

    def address(self, branch: int, index: int) -> str:
        """The address at a place.

        Raises:
            InputError: No such place.
        """
        address = address_of(self.script(branch, index).script_pubkey, self.wallet.network)
        assert address is not None  # noqa: S101  p2wsh and p2sh always have one
        return address

    def place_of(self, script_pubkey: bytes) -> tuple[int, int] | None:
        """Where a script stands, if it was derived already; derives nothing."""
        return self._places.get(script_pubkey)

    def search(self, script_pubkey: bytes, limit: int) -> WalletScript | None:
        """Look for a script at every index below `limit`, both branches, nearest first.

        What was derived for one script is not derived again for the next.
        """
        place = self._places.get(script_pubkey)
        if place is not None:
            return self._scripts[place]
        if not self._same_form(script_pubkey):
            return None
        for index in range(self._searched, min(limit, HARDENED)):
            for branch in BRANCHES:
                if self.script(branch, index).script_pubkey == script_pubkey:
                    return self._scripts[branch, index]
            self._searched = index + 1
        return None

    def _same_form(self, script_pubkey: bytes) -> bool:
        """Whether the script is of the wallet's output type: anything else need not be searched for."""
        if self.wallet.script_type == "wsh":
            return len(script_pubkey) == 34 and script_pubkey[:2] == b"\x00\x20"
        return len(script_pubkey) == 23 and script_pubkey[:2] == b"\xa9\x14" and script_pubkey[-1] == 0x87

    def _branch(self, branch: int) -> tuple[_BranchKey, ...]:
        known = self._branches.get(branch)
        if known is None:
            if branch not in BRANCHES:
                raise InputError(f"the wallet has no branch {branch}: 0 is receive, 1 is change")
            known = tuple(
                _BranchKey(child.chain_code, child.pubkey, key.origin.fingerprint, (*key.origin.path, branch))
                for key in self.wallet.keys
                for child in (key.xpub.child(branch),)
            )
            self._branches[branch] = known
        return known

    def _derive(self, branch: int, index: int) -> WalletScript:
        if not 0 <= index < HARDENED:
            raise InputError(f"{index} is not an index of a wallet: 0 to {HARDENED - 1}")
        keys = self._branch(branch)
        pubkeys = child_pubkeys(keys, index)
        ordered = sorted(pubkeys) if self.wallet.sorted else pubkeys
        script = multisig_script(self.wallet.threshold, tuple(ordered))
        redeem, witness, script_pubkey = _wrapped(self.wallet.script_type, script)
        origins = {
            pubkey: KeyOrigin(key.fingerprint, (*key.path, index)) for pubkey, key in zip(pubkeys, keys, strict=True)
        }
        made = WalletScript(branch, index, script_pubkey, redeem, witness, origins)
        self._places[script_pubkey] = (branch, index)
        self._scripts[branch, index] = made
        return made


def child_pubkeys(keys: Sequence[_BranchKey], index: int) -> list[bytes]:
    """The children of several keys at one index (BIP32, CKDpub).

    Raises:
        DescriptorError: A child does not exist (probability below 2**-127); BIP32 says to go on to the next index.
    """
    step = index.to_bytes(4, "big")
    found = []
    for key in keys:
        tweak = hmac.digest(key.chain_code, key.pubkey + step, "sha512")[:32]
        child = secp.pubkey_tweak_add(key.pubkey, tweak)
        if child is None:
            raise DescriptorError(f"index {index} cannot be used: a key has no child there")
        found.append(child)
    return found


def _wrapped(script_type: str, script: bytes) -> tuple[bytes | None, bytes | None, bytes]:
    """redeemScript, witnessScript and scriptPubKey around a multisig script."""
    if script_type == "wsh":
        return None, script, p2wsh_script(script)
    if script_type == "sh-wsh":
        redeem = p2wsh_script(script)
        return redeem, script, p2sh_script(redeem)
    return script, None, p2sh_script(script)


def locate(
    deriver: Deriver, script_pubkey: bytes, hints: Iterable[tuple[int, int]] = (), limit: int = 0
) -> WalletScript | None:
    """Find a script in the wallet, byte for byte (THREATS C2).

    Args:
        deriver: The wallet's.
        script_pubkey: The script looked for.
        hints: Places that somebody claims; tried first, up to `MAX_HINTS` different ones, never believed.
        limit: Then every index below this is searched on both branches.

    Returns:
        The wallet's own script, or None when it is not there.
    """
    place = deriver.place_of(script_pubkey)
    if place is not None:
        return deriver.script(*place)
    for branch, index in tuple(dict.fromkeys(hints))[:MAX_HINTS]:
        if branch in BRANCHES and 0 <= index < HARDENED:
            candidate = deriver.script(branch, index)
            if candidate.script_pubkey == script_pubkey:
                return candidate
    return deriver.search(script_pubkey, limit)
