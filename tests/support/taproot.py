"""Taproot coins and miniscript coins with known keys, and PSBTs that spend them, for tests of what comes after them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from btclib_wallet.descriptors import miniscript

from support.psbts import SATS, Key, key_at
from wormsig.bitcoin.script import hash160, p2sh_script, p2wpkh_script, p2wsh_script
from wormsig.bitcoin.taproot import NUMS_KEY, TapLeaf, TaprootOutput, TapTree, multi_a_script
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt import creator, updater
from wormsig.psbt.model import TAP_LEAF_SCRIPT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wormsig.psbt.model import Psbt

SECRET = hashlib.sha256(b"a preimage").digest()
SHA256 = hashlib.sha256(SECRET).digest()
FINAL = 0xFFFF_FFFF
REPLACEABLE = 0xFFFF_FFFD


def script_of(text: str, keys: Mapping[str, Key], *, tapscript: bool = False) -> bytes:
    """A miniscript with names for keys, and H for the digest of `SECRET`, as a script."""
    context = miniscript.TAPSCRIPT if tapscript else miniscript.P2WSH
    text = text.replace("H", SHA256.hex())
    for name, key in keys.items():
        pubkey = key.pubkey[1:] if tapscript else key.pubkey
        text = text.replace(f"@{name}", pubkey.hex())
    return miniscript.parse(text, context).script()


@dataclass(frozen=True)
class Coin:
    """An input to be, and everything that can be said about it."""

    output: TxOutput
    keys: Mapping[str, Key]
    taproot: TaprootOutput | None = None
    witness: bytes | None = None
    redeem: bytes | None = None
    previous: Transaction = field(repr=False, default=None)  # type: ignore[assignment]

    def secrets(self, *names: str) -> dict[bytes, bytes]:
        """Public key as scripts have it -> secret key, of some people."""
        found = [self.keys[name] for name in names]
        return {key.pubkey[1:] if self.taproot else key.pubkey: key.seckey for key in found}

    def xonly(self, name: str) -> bytes:
        """A person's key as taproot has it."""
        return self.keys[name].pubkey[1:]

    def leaf(self, number: int = 0) -> TapLeaf:
        """A leaf of the tree."""
        assert self.taproot is not None
        assert self.taproot.tree is not None
        return self.taproot.tree.leaves[number][1]


def _previous(output: TxOutput, salt: str) -> Transaction:
    txid = hashlib.sha256(salt.encode()).digest()
    paid = (TxOutput(7_000, b"\x00\x14" + hash160(txid)), output)
    return Transaction(2, (TxInput(OutPoint(txid, 3), b"", REPLACEABLE),), paid, 0, ((txid, txid[:33]),))


def people(index: int, names: str = "abcde") -> dict[str, Key]:
    """Keys of people, one letter each, at an index."""
    return {name: key_at(name, index) for name in names}


def _coin(index: int, script: bytes, keys: Mapping[str, Key], salt: str, **parts: object) -> Coin:
    output = TxOutput(SATS + index, script)
    return Coin(output, keys, previous=_previous(output, f"{salt} {index}"), **parts)  # type: ignore[arg-type]


def taproot_coin(index: int, internal: str | None = None, leaves: Sequence[object] = ()) -> Coin:
    """A taproot coin.

    Args:
        index: Where its keys are.
        internal: Whose key is the internal one; None for nobody's.
        leaves: A tree of pairs as `tr()` writes it. A leaf is `(threshold, "abc")` for a sorted multi_a, or miniscript.
    """
    keys = people(index)

    def node(item: object) -> object:
        if isinstance(item, str):
            return script_of(item, keys, tapscript=True)
        if isinstance(item, bytes | TapLeaf):
            return item
        assert isinstance(item, tuple)
        if isinstance(item[0], int):
            return multi_a_script(item[0], sorted(keys[name].pubkey[1:] for name in item[1]))
        return tuple(node(side) for side in item)

    tree = TapTree.nested(node(leaves if len(leaves) > 1 else leaves[0])) if leaves else None  # type: ignore[arg-type]
    taproot = TaprootOutput(NUMS_KEY if internal is None else keys[internal].pubkey[1:], tree)
    return _coin(index, taproot.script, keys, f"tr {internal} {leaves}", taproot=taproot)


@cache
def miniscript_coin(index: int, text: str, *, nested: bool = False) -> Coin:
    """A P2WSH coin of a miniscript, nested in P2SH or not."""
    keys = people(index)
    witness = script_of(text, keys)
    program = p2wsh_script(witness)
    script = p2sh_script(program) if nested else program
    return _coin(index, script, keys, text, witness=witness, redeem=program if nested else None)


def spend(
    coins: Sequence[Coin],
    *,
    locktime: int = 0,
    sequence: int = REPLACEABLE,
    version: int = 2,
    outputs: int = 2,
    previous: bool = False,
) -> Psbt:
    """An unsigned PSBT of these coins, with all that signers need, as bitcoind fills it in."""
    total = sum(each.output.sats for each in coins) - 1_000
    paid = [TxOutput(total // outputs, p2wpkh_script(key_at("payee", number).pubkey)) for number in range(outputs)]
    inputs = [TxInput(OutPoint(each.previous.txid_bytes, 1), b"", sequence) for each in coins]
    psbt = creator.create(inputs, paid, locktime=locktime, version=version)
    for index, each in enumerate(coins):
        if previous:
            psbt = updater.with_previous_tx(psbt, index, each.previous.serialize())
        psbt = updater.with_witness_utxo(psbt, index, each.output)
        if each.taproot is not None:
            psbt = updater.with_input_taproot(psbt, index, each.taproot, derivations=derivations(each))
        else:
            psbt = updater.with_input_scripts(
                psbt,
                index,
                redeem_script=each.redeem,
                witness_script=each.witness,
                origins={key.pubkey: key.origin for key in each.keys.values()},
            )
    return psbt


def derivations(coin: Coin) -> dict[bytes, tuple[list[bytes], object]]:
    """Every key of a taproot coin with the leaves that it stands in."""
    assert coin.taproot is not None
    tree = coin.taproot.tree
    leaves = [leaf for _, leaf in tree.leaves] if tree is not None else []
    return {
        key.pubkey[1:]: (
            [leaf.hash for leaf in leaves if key.pubkey[1:] in leaf.script or hash160(key.pubkey[1:]) in leaf.script],
            key.origin,
        )
        for key in coin.keys.values()
    }


def without_leaves(psbt: Psbt, index: int = 0) -> Psbt:
    """The PSBT without an input's leaf scripts."""
    fields = {key: value for key, value in psbt.inputs[index].items() if key[0] != TAP_LEAF_SCRIPT}
    return psbt.with_input(index, fields)
