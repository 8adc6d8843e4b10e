"""PSBTs of every script type with known keys, built by the roles themselves, for tests of what comes after them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import ExtendedPrivateKey, KeyOrigin, parse_path
from wormsig.bitcoin.script import (
    hash160,
    multisig_script,
    p2pkh_script,
    p2sh_script,
    p2wpkh_script,
    p2wsh_script,
)
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt import creator, updater
from wormsig.psbt.modifiable import NOTHING, Modifiable

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

MULTISIG_TYPES = ("wsh", "sh-wsh", "sh", "bare")
SINGLE_TYPES = ("wpkh", "sh-wpkh", "pkh")
SATS = 100_000


@cache
def master(name: str) -> ExtendedPrivateKey:
    """The master key of a person; the same name gives the same key."""
    return ExtendedPrivateKey.from_seed(hashlib.sha256(f"psbt test {name}".encode()).digest(), mainnet=False)


@dataclass(frozen=True)
class Key:
    """One key for one input."""

    origin: KeyOrigin
    pubkey: bytes
    seckey: bytes = field(repr=False)


@cache
def _account(name: str) -> ExtendedPrivateKey:
    """A person's key at 48h/1h/0h/2h/0, the parent of those for the inputs."""
    return master(name).derive(parse_path("48h/1h/0h/2h/0"))


@cache
def key_at(name: str, index: int) -> Key:
    """A person's key for an input, at 48h/1h/0h/2h/0/index."""
    path = parse_path(f"48h/1h/0h/2h/0/{index}")
    derived = _account(name).derive(path[-1:])
    return Key(KeyOrigin(master(name).fingerprint, path), derived.pubkey, derived.seckey)


@dataclass(frozen=True)
class Coin:
    """An input to be: its scripts, its keys, and the transaction that made it."""

    script_type: str
    keys: tuple[Key, ...]
    output: TxOutput
    redeem: bytes | None
    witness: bytes | None
    previous: Transaction

    @property
    def pubkeys(self) -> tuple[bytes, ...]:
        return tuple(key.pubkey for key in self.keys)

    def secrets(self, *names: int) -> dict[bytes, bytes]:
        """Public key -> secret key of some of the keys."""
        return {self.keys[name].pubkey: self.keys[name].seckey for name in names}


@cache
def coin(script_type: str, index: int, names: tuple[str, ...] = ("a", "b", "c"), threshold: int = 2) -> Coin:
    """A coin of one of the types; keys of multisigs are sorted (BIP67)."""
    keys = tuple(key_at(name, index) for name in names)
    redeem = witness = None
    if script_type in MULTISIG_TYPES:
        keys = tuple(sorted(keys, key=lambda key: key.pubkey))
        inner = multisig_script(threshold, [key.pubkey for key in keys])
        if script_type in {"wsh", "sh-wsh"}:
            witness, inner = inner, p2wsh_script(inner)
    else:
        keys = keys[:1]
        inner = p2pkh_script(keys[0].pubkey) if script_type == "pkh" else p2wpkh_script(keys[0].pubkey)
    if script_type.startswith("sh"):
        redeem, inner = inner, p2sh_script(inner)
    output = TxOutput(SATS + index, inner)
    salt = hashlib.sha256(f"{script_type} {index}".encode()).digest()
    paid = (TxOutput(5_000, b"\x00\x14" + hash160(salt)), output)
    previous = Transaction(2, (TxInput(OutPoint(salt, index), b"", 0xFFFF_FFFD),), paid, 0, ((salt, salt[:33]),))
    return Coin(script_type, keys, output, redeem, witness, previous)


def coins(*script_types: str) -> list[Coin]:
    """One coin of each type, in order."""
    return [coin(script_type, index) for index, script_type in enumerate(script_types)]


def spend(
    spent: list[Coin],
    *,
    outputs: int = 2,
    previous: bool = True,
    psbt_version: int = 0,
    modifiable: Modifiable = NOTHING,
) -> Psbt:
    """An unsigned PSBT of these coins, with all that signers need.

    Args:
        spent: The coins.
        outputs: How many outputs; the last one has scripts and derivations as change has.
        previous: Whether segwit inputs carry their previous transaction too (legacy ones always do).
        psbt_version: 0 or 2.
        modifiable: What may be added, in version 2.
    """
    change = coin("wsh", 1_000)
    total = sum(each.output.sats for each in spent) - 1_000
    paid = [TxOutput(total // outputs, p2wpkh_script(key_at("payee", number).pubkey)) for number in range(outputs - 1)]
    paid.append(TxOutput(total - total // outputs * (outputs - 1), change.output.script))
    inputs = [TxInput(OutPoint(each.previous.txid_bytes, 1), b"", 0xFFFF_FFFD) for each in spent]
    psbt = creator.create(inputs, paid, psbt_version=psbt_version, modifiable=modifiable)
    for index, each in enumerate(spent):
        legacy = each.script_type in {"sh", "pkh", "bare"}
        if previous or legacy:
            psbt = updater.with_previous_tx(psbt, index, each.previous.serialize())
        if not legacy:
            psbt = updater.with_witness_utxo(psbt, index, each.output)
        psbt = updater.with_input_scripts(
            psbt,
            index,
            redeem_script=each.redeem,
            witness_script=each.witness,
            origins={key.pubkey: key.origin for key in each.keys},
        )
    return updater.with_output_scripts(
        psbt, outputs - 1, witness_script=change.witness, origins={key.pubkey: key.origin for key in change.keys}
    )
