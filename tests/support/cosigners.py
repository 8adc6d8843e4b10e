"""Cosigners with known regtest keys, and wallets of theirs, for tests that need whole wallets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property

from wormsig.bitcoin.keys import ExtendedPrivateKey, KeyOrigin, parse_path
from wormsig.bitcoin.network import Network
from wormsig.wallet.model import Wallet, WalletKey
from wormsig.wallet.policy import KeyUse, MultisigPolicy, Node, Policy, TaprootPolicy, Unspendable

_SCRIPT_STEP = {"wsh": "2h", "sh-wsh": "1h", "sh": "0h", "tr": "3h"}


@dataclass(frozen=True)
class Cosigner:
    """A person with a master key that only this test knows (`salt` makes it the test's own)."""

    name: str
    salt: str = ""

    @cached_property
    def master(self) -> ExtendedPrivateKey:
        return ExtendedPrivateKey.from_seed(hashlib.sha256(f"{self.name}/{self.salt}".encode()).digest(), False)

    def key(self, script_type: str = "wsh") -> WalletKey:
        return _key(self, script_type)

    def private_expression(self, script_type: str = "wsh") -> str:
        """The account's key with its private half, as it stands in a descriptor."""
        key = self.key(script_type)
        return f"[{key.origin}]{self.master.derive(key.origin.path).text()}"


@cache
def _key(cosigner: Cosigner, script_type: str) -> WalletKey:
    """Three hardened steps, for everybody whose account is asked for again and again."""
    path = parse_path(f"48h/1h/0h/{_SCRIPT_STEP[script_type]}")
    account = cosigner.master.derive(path).neuter()
    return WalletKey(KeyOrigin(cosigner.master.fingerprint, path), account, cosigner.name)


def people(count: int, salt: str) -> list[Cosigner]:
    """alice, bob, carol and further ones, with keys that no other salt gives."""
    names = ["alice", "bob", "carol", *(f"cosigner{number}" for number in range(4, count + 1))]
    return [Cosigner(name, salt) for name in names[:count]]


def make_wallet(
    cosigners: list[Cosigner],
    threshold: int = 2,
    *,
    script_type: str = "wsh",
    is_sorted: bool = True,
    birth: int | None = None,
    name: str = "family",
) -> Wallet:
    """A regtest wallet of these cosigners; of taproot one leaf under a key that nobody holds."""
    policy: Policy = MultisigPolicy(threshold, is_sorted)
    if script_type == "tr":
        every = tuple(range(len(cosigners)))
        leaf = Node("sortedmulti_a" if is_sorted else "multi_a", keys=every, number=threshold)
        policy = TaprootPolicy(tuple(KeyUse((key,)) for key in every), Unspendable(), leaf)
    return Wallet(
        name=name,
        network=Network.REGTEST,
        script_type=script_type,  # type: ignore[arg-type]
        policy=policy,
        keys=tuple(person.key(script_type) for person in cosigners),
        birth=birth,
    )
