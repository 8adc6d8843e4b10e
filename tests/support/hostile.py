"""Whole PSBTs of real wallets, honest ones and every kind of lie on top of them.

`Scene` is a wallet whose keys the test knows; `Scene.psbt` builds what an honest coordinator would send, previous
transactions included; the `edit_*` functions change single fields of it, as an attacker would.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.cosigners import Cosigner, make_wallet, people
from support.values import replace
from wormsig.bitcoin.network import Network
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.script import multisig_script, p2sh_script, p2wpkh_script, p2wsh_script
from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.bitcoin.taproot import NUMS_KEY, TaprootOutput, TapTree, multi_a_script, tapleaf_hash
from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt import creator, updater
from wormsig.psbt.model import Psbt
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.unsigned import UNSIGNED_TX
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.signers.keyfile import encode_key
from wormsig.signers.secret import from_extended_key
from wormsig.wallet.derive import Deriver, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wormsig.bitcoin.keys import KeyOrigin
    from wormsig.review.report import Report
    from wormsig.wallet.derive import WalletScript
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.scripts import Taproot

BTC = 100_000_000
REPLACEABLE = 0xFFFF_FFFD
STRANGER = p2wpkh_script(b"\x02" + hashlib.sha256(b"stranger").digest())
MALLORY = Cosigner("mallory", "evil")
HASH_OF_NOTHING = bytes(32)


@dataclass(frozen=True)
class Coin:
    """A coin of the wallet at a branch and index."""

    sats: int = BTC
    branch: int = 0
    index: int = 0


@dataclass(frozen=True)
class Out:
    """An output: a script of anybody's, or with `place` the wallet's own."""

    sats: int
    script: bytes = STRANGER
    place: tuple[int, int] | None = None


DEFAULT_COINS = (Coin(), Coin(index=1))
DEFAULT_FEE = 2_000


@dataclass
class Scene:
    """A wallet of people whose keys are known."""

    script_type: str = "wsh"
    threshold: int = 2
    count: int = 3
    is_sorted: bool = True
    salt: str = "scene"
    people: list[Cosigner] = field(init=False)
    wallet: Wallet = field(init=False)
    deriver: Deriver = field(init=False)

    def __post_init__(self) -> None:
        self.people = people(self.count, self.salt)
        self.wallet = make_wallet(self.people, self.threshold, script_type=self.script_type, is_sorted=self.is_sorted)
        self.deriver = Deriver(self.wallet)

    @classmethod
    def of(cls, wallet: Wallet, cosigners: list[Cosigner]) -> Scene:
        """The scene of another wallet, of whatever kind."""
        scene = cls(salt="")
        scene.people, scene.wallet, scene.deriver = cosigners, wallet, Deriver(wallet)
        scene.script_type = wallet.script_type
        return scene

    def psbt(
        self,
        coins: Sequence[Coin] = DEFAULT_COINS,
        outputs: Sequence[Out] | None = None,
        *,
        fee: int = DEFAULT_FEE,
        locktime: int = 0,
        sequence: int = REPLACEABLE,
    ) -> Psbt:
        """An honest PSBT; by default it pays 0.3 BTC to a stranger and the rest back to 1/0."""
        if outputs is None:
            total = sum(coin.sats for coin in coins)
            outputs = (Out(30_000_000), Out(total - 30_000_000 - fee, place=(1, 0)))
        scripts = [self.deriver.script(coin.branch, coin.index) for coin in coins]
        previous = [
            previous_tx(script.script_pubkey, coin.sats, n)
            for n, (coin, script) in enumerate(zip(coins, scripts, strict=True))
        ]
        psbt = creator.create(
            [TxInput(OutPoint(tx.txid_bytes, 1), b"", sequence) for tx in previous],
            [TxOutput(out.sats, self.script_of(out)) for out in outputs],
            locktime=locktime,
        )
        for index, (tx, script) in enumerate(zip(previous, scripts, strict=True)):
            psbt = updater.with_previous_tx(psbt, index, tx.serialize())
            if self.script_type != "sh":
                psbt = updater.with_witness_utxo(psbt, index, tx.outputs[1])
            psbt = with_own_input(psbt, index, script)
        for index, out in enumerate(outputs):
            if out.place is not None:
                psbt = with_own_output(psbt, index, self.deriver.script(*out.place))
        return psbt

    def script_of(self, out: Out) -> bytes:
        """The scriptPubKey of an output."""
        return out.script if out.place is None else self.deriver.script(*out.place).script_pubkey

    def sign(self, psbt: Psbt, *names: str, inputs: Iterable[int] | None = None, sighash: int = SIGHASH_ALL) -> Psbt:
        """Signed by some of the people, on the wallet's own inputs, with no review in between."""
        keys: dict[int, dict[bytes, bytes]] = {}
        for index in range(len(psbt.inputs)) if inputs is None else inputs:
            coin = previous_output(psbt.inputs[index][b"\x00"], psbt.tx.inputs[index].outpoint.index)[1]
            script = locate(self.deriver, coin.script, limit=50)
            for person in self.people:
                if person.name not in names or script is None:
                    continue
                for pubkey, origin in script.origins.items():
                    if origin.fingerprint == person.master.fingerprint:
                        keys.setdefault(index, {})[pubkey] = person.master.derive(origin.path).seckey
        return sign_inputs(psbt, keys, sighash_type=sighash)

    def review(self, psbt: Psbt, **context: object) -> Report:
        """The review with this wallet; what was derived for one review is there for the next."""
        return review(psbt, self.wallet, ReviewContext(**context), deriver=self.deriver)  # type: ignore[arg-type]

    def lookalike(
        self, place: tuple[int, int] = (1, 0), *, threshold: int | None = None
    ) -> tuple[bytes, bytes, dict[bytes, KeyOrigin]]:
        """The wallet's script at a place with the last person's key replaced by mallory's.

        Returns:
            scriptPubKey, the script itself, and key origins that tell the truth about all keys.
        """
        honest = list(self.deriver.script(*place).origins.items())
        key = MALLORY.key(self.script_type)
        stolen = MALLORY.master.derive((*key.origin.path, *place)).neuter().pubkey
        origins = dict(honest[:-1])
        taproot = self.script_type == "tr"
        origins[stolen[1:] if taproot else stolen] = replace(key.origin, path=(*key.origin.path, *place))
        pubkeys = sorted(origins) if self.is_sorted else list(origins)
        make = multi_a_script if taproot else multisig_script
        script = make(threshold or self.threshold, pubkeys)
        return self.wrap(script), script, origins

    def wrap(self, script: bytes) -> bytes:
        """The scriptPubKey of the wallet's type around a script."""
        if self.script_type == "tr":
            return one_leaf(script).script
        if self.script_type == "wsh":
            return p2wsh_script(script)
        return p2sh_script(p2wsh_script(script) if self.script_type == "sh-wsh" else script)

    def script_from(self, threshold: int, pubkeys: Iterable[bytes]) -> bytes:
        """An m-of-n of some public keys of 33 bytes, as the wallet's type writes it."""
        if self.script_type == "tr":
            return multi_a_script(threshold, sorted(key[-32:] for key in pubkeys))
        return multisig_script(threshold, sorted(pubkeys))

    def inner(self, place: tuple[int, int]) -> bytes:
        """The script within the wallet's script at a place: the leaf of taproot, else the witnessScript."""
        own = self.deriver.script(*place)
        if own.taproot is not None and own.taproot.output.tree is not None:
            return own.taproot.output.tree.leaves[0][1].script
        assert own.witness is not None
        return own.witness

    def key(self, pubkey: bytes) -> bytes:
        """A public key of 33 bytes as the wallet's scripts hold it."""
        return pubkey[-32:] if self.script_type == "tr" else pubkey

    def show_output(self, psbt: Psbt, index: int, script: bytes, origins: Mapping[bytes, KeyOrigin]) -> Psbt:
        """An output's map that shows a script of the wallet's type, with key origins."""
        if self.script_type == "tr":
            derivations = {key: ((tapleaf_hash(script),), origin) for key, origin in origins.items()}
            return updater.with_output_taproot(psbt, index, one_leaf(script), derivations=derivations)
        redeem = {"wsh": None, "sh-wsh": p2wsh_script(script), "sh": script}[self.script_type]
        witness = None if self.script_type == "sh" else script
        return updater.with_output_scripts(psbt, index, redeem_script=redeem, witness_script=witness, origins=origins)

    def show_input(self, psbt: Psbt, index: int, script: bytes, origins: Mapping[bytes, KeyOrigin]) -> Psbt:
        """The same for an input."""
        if self.script_type == "tr":
            derivations = {key: ((tapleaf_hash(script),), origin) for key, origin in origins.items()}
            return updater.with_input_taproot(psbt, index, one_leaf(script), derivations=derivations)
        redeem = {"wsh": None, "sh-wsh": p2wsh_script(script), "sh": script}[self.script_type]
        witness = None if self.script_type == "sh" else script
        return updater.with_input_scripts(psbt, index, redeem_script=redeem, witness_script=witness, origins=origins)


@functools.cache
def scene_of(script_type: str = "wsh", **options: object) -> Scene:
    """One scene for all tests that ask for the same: what was derived once stays derived."""
    return Scene(script_type, **options)  # type: ignore[arg-type]


def key_file(person: Cosigner) -> bytes:
    """The plain key file of a person's master key."""
    return encode_key(from_extended_key(person.master.text(), Network.REGTEST))


def scripts_of(script: WalletScript) -> dict[str, object]:
    """The keyword arguments that the Updater's functions take."""
    return {"redeem_script": script.redeem, "witness_script": script.witness, "origins": script.origins}


def one_leaf(script: bytes, internal_key: bytes = NUMS_KEY) -> TaprootOutput:
    """A taproot output with one script."""
    return TaprootOutput(internal_key, TapTree.nested(script))


def taproot_of(made: Taproot) -> dict[str, object]:
    """The same for taproot."""
    derivations = {key: (each.leaf_hashes, each.origin) for key, each in made.derivations.items()}
    return {"output": made.output, "derivations": derivations, "participants": made.participants}


def with_own_input(psbt: Psbt, index: int, script: WalletScript) -> Psbt:
    """What the Updater says about a coin of the wallet."""
    if script.taproot is not None:
        return updater.with_input_taproot(psbt, index, **taproot_of(script.taproot))
    return updater.with_input_scripts(psbt, index, **scripts_of(script))


def with_own_output(psbt: Psbt, index: int, script: WalletScript) -> Psbt:
    """What the Updater says about an output of a wallet."""
    if script.taproot is not None:
        return updater.with_output_taproot(psbt, index, **taproot_of(script.taproot))
    return updater.with_output_scripts(psbt, index, **scripts_of(script))


def previous_tx(script: bytes, sats: int, number: int = 0) -> Transaction:
    """A transaction whose output 1 is the coin; nobody else has the same."""
    marker = hashlib.sha256(script + sats.to_bytes(8, "little") + number.to_bytes(4, "little")).digest()
    return Transaction(
        2,
        (TxInput(OutPoint(marker, 0), b"", REPLACEABLE),),
        (TxOutput(1_234, STRANGER), TxOutput(sats, script)),
        0,
        ((b"\x30" * 71, b"\x02" * 33),),
    )


def edit_input(psbt: Psbt, index: int, changed: Mapping[bytes, bytes | None]) -> Psbt:
    """Set fields of an input; None removes one."""
    return psbt.with_input(index, _edited(psbt.inputs[index], changed))


def edit_output(psbt: Psbt, index: int, changed: Mapping[bytes, bytes | None]) -> Psbt:
    """Set fields of an output; None removes one."""
    return psbt.with_output(index, _edited(psbt.outputs[index], changed))


def edit_global(psbt: Psbt, changed: Mapping[bytes, bytes | None]) -> Psbt:
    """Set global fields; None removes one."""
    return psbt.with_global(_edited(psbt.global_map, changed))


def _edited(fields: Mapping[bytes, bytes], changed: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**fields, **changed}
    return {key: value for key, value in merged.items() if value is not None}


def strip_hints(psbt: Psbt) -> Psbt:
    """Without any key origin, as some creators send it."""
    for index, fields in enumerate(psbt.inputs):
        psbt = edit_input(psbt, index, {key: None for key in fields if key[0] in {0x06, 0x16}})
    for index, fields in enumerate(psbt.outputs):
        psbt = edit_output(psbt, index, {key: None for key in fields if key[0] in {0x02, 0x07}})
    return psbt


def edit_tx(psbt: Psbt, **changed: object) -> Psbt:
    """Another unsigned transaction under the same maps: `inputs`, `outputs`, `locktime`, `version`."""
    tx = replace(psbt.tx, **changed)  # type: ignore[arg-type]
    return Psbt(
        psbt.version,
        {**psbt.global_map, UNSIGNED_TX: tx.serialize(witness=False)},
        _fitted(psbt.inputs, len(tx.inputs)),
        _fitted(psbt.outputs, len(tx.outputs)),
        tx,
    )


def _fitted(maps: tuple[Mapping[bytes, bytes], ...], count: int) -> tuple[Mapping[bytes, bytes], ...]:
    return (*maps[:count], *({} for _ in range(count - len(maps))))


def with_output(psbt: Psbt, index: int, output: TxOutput) -> Psbt:
    """One output of the transaction replaced."""
    outputs = list(psbt.tx.outputs)
    outputs[index] = output
    return edit_tx(psbt, outputs=tuple(outputs))


def hide_output(psbt: Psbt, index: int) -> Psbt:
    """An output of which the PSBT says nothing."""
    return edit_output(psbt, index, dict.fromkeys(psbt.outputs[index]))


def add_input(psbt: Psbt, previous: Transaction, fields: Mapping[bytes, bytes] | None = None) -> Psbt:
    """One more input that spends output 1 of a transaction, which the PSBT carries."""
    added = TxInput(OutPoint(previous.txid_bytes, 1), b"", REPLACEABLE)
    grown = edit_tx(psbt, inputs=(*psbt.tx.inputs, added))
    last = len(grown.inputs) - 1
    carried = {b"\x00": previous.serialize(), b"\x01": previous.outputs[1].serialize()}
    return grown.with_input(last, {**carried, **(fields or {})})
