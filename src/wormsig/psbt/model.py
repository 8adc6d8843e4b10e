"""`Psbt`: the maps as they stood in the file, and what can be read off them.

A map is a dict from the full key (type byte and key data) to the value, in file order. Maps are never changed;
`with_input` and its kin give a changed copy, of a version 2 PSBT with the transaction that its maps then describe.
Nothing here is proven: `spent_output` compares what the PSBT says about itself, `scripts` and `verify` do the rest.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from wormsig.bitcoin.keys import KeyOrigin
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.tx import OutPoint, Transaction, TxOutput
from wormsig.errors import InputError
from wormsig.psbt.memo import Memo
from wormsig.psbt.unsigned import (
    GLOBAL_FIELDS,
    INPUT_FIELDS,
    OUTPUT_FIELDS,
    OUTPUT_INDEX,
    PREVIOUS_TXID,
    assembled,
)
from wormsig.psbt.writer import hash_maps

Fields: TypeAlias = Mapping[bytes, bytes]

Beyond: TypeAlias = "tuple[object, Sequence[Fields | None]]"
"""Whose inputs a PSBT's are like (`Psbt.kin`), and of each input the signatures that it has, when all else is the same
as there; None for one that is another."""

PreviousOutput: TypeAlias = "tuple[bytes, TxOutput, int]"
"""The txid of a previous transaction (internal order), one of its outputs, and that output's index."""

GLOBAL_XPUB: Final = 0x01

NON_WITNESS_UTXO: Final = b"\x00"
WITNESS_UTXO: Final = b"\x01"
PARTIAL_SIG: Final = 0x02
SIGHASH_TYPE: Final = b"\x03"
REDEEM_SCRIPT: Final = b"\x04"
WITNESS_SCRIPT: Final = b"\x05"
BIP32_DERIVATION: Final = 0x06
FINAL_SCRIPTSIG: Final = b"\x07"
FINAL_SCRIPTWITNESS: Final = b"\x08"
TAP_KEY_SIG: Final = b"\x13"
TAP_SCRIPT_SIG: Final = 0x14
TAP_LEAF_SCRIPT: Final = 0x15
TAP_BIP32_DERIVATION: Final = 0x16
TAP_INTERNAL_KEY: Final = b"\x17"
TAP_MERKLE_ROOT: Final = b"\x18"
MUSIG2_PARTICIPANT_PUBKEYS: Final = 0x1A
MUSIG2_PUB_NONCE: Final = 0x1B
MUSIG2_PARTIAL_SIG: Final = 0x1C

OUT_REDEEM_SCRIPT: Final = b"\x00"
OUT_WITNESS_SCRIPT: Final = b"\x01"
OUT_BIP32_DERIVATION: Final = 0x02
OUT_TAP_INTERNAL_KEY: Final = b"\x05"
OUT_TAP_TREE: Final = b"\x06"
OUT_TAP_BIP32_DERIVATION: Final = 0x07
OUT_MUSIG2_PARTICIPANT_PUBKEYS: Final = 0x08


_EVIDENCE: Final = (
    NON_WITNESS_UTXO,
    WITNESS_UTXO,
    REDEEM_SCRIPT,
    WITNESS_SCRIPT,
    TAP_INTERNAL_KEY,
    TAP_MERKLE_ROOT,
)
"""What scripts, amounts and so signatures are proven by, beside the transaction and TAP_LEAF_SCRIPT fields."""


@dataclass(frozen=True, slots=True)
class Psbt:
    """A PSBT; build one with `codec.parse` or `creator.create`.

    Args:
        version: 0 or 2.
        global_map: The global fields.
        inputs: One map an input of the transaction.
        outputs: One map an output of the transaction.
        transaction: The unsigned transaction; None for a version 2 PSBT whose locktime cannot be determined.
    """

    version: int
    global_map: Fields
    inputs: tuple[Fields, ...]
    outputs: tuple[Fields, ...]
    transaction: Transaction | None
    memo: Memo = field(default_factory=Memo, init=False, repr=False, compare=False)
    source: bytes | None = field(default=None, init=False, repr=False, compare=False)
    """The bytes that it was parsed from, until `sha256` has hashed them."""
    kin: object = field(default_factory=object, init=False, repr=False, compare=False)
    """The same object in copies that differ in signatures alone."""
    beyond: Beyond | None = field(default=None, init=False, repr=False, compare=False)
    """What it has beyond the PSBT that it was read by."""

    @property
    def tx(self) -> Transaction:
        """The unsigned transaction.

        Raises:
            PsbtError: Its inputs require locktimes that exclude each other (BIP370).
        """
        known = self.transaction
        return known if known is not None else assembled(self.global_map, self.inputs, self.outputs)

    @property
    def txid(self) -> str:
        """The unsigned transaction's id, as people see it; the final one differs where scriptSigs come in."""
        return self.tx.txid

    def outpoint(self, index: int) -> OutPoint:
        """What an input spends; known even where the transaction is not."""
        if self.transaction is not None:
            return self.transaction.inputs[index].outpoint
        fields = self.inputs[index]
        return OutPoint(fields[PREVIOUS_TXID], int.from_bytes(fields[OUTPUT_INDEX], "little"))

    def with_global(self, fields: Fields) -> Psbt:
        """A copy with another global map; of version 0, of the same transaction."""
        same = not self.version or _same(GLOBAL_FIELDS, self.global_map, fields)
        return self._changed(fields, self.inputs, self.outputs, same_tx=same)

    def with_input(self, index: int, fields: Fields) -> Psbt:
        """A copy with another map for one input; for many use `with_inputs`, which copies once."""
        return self.with_inputs({index: fields})

    def with_inputs(self, changed: Mapping[int, Fields]) -> Psbt:
        """A copy with other maps for some inputs."""
        held = self.inputs
        same_tx = not self.version or all(_same(INPUT_FIELDS, held[index], new) for index, new in changed.items())
        evidence = all(_same_evidence(held[index], new) for index, new in changed.items())
        inputs = _replaced(held, changed)
        return self._changed(self.global_map, inputs, self.outputs, same_tx=same_tx, same_evidence=evidence)

    def with_signed(self, changed: Mapping[int, Fields]) -> Psbt:
        """`with_inputs` for maps of which `maps.put_signatures` made each: they differ in signatures alone."""
        copy = self._changed(self.global_map, _replaced(self.inputs, changed), self.outputs, same_tx=True)
        object.__setattr__(copy, "kin", self.kin)
        return copy

    def with_output(self, index: int, fields: Fields) -> Psbt:
        """A copy with another map for one output."""
        same = not self.version or _same(OUTPUT_FIELDS, self.outputs[index], fields)
        return self._changed(self.global_map, self.inputs, _replaced(self.outputs, {index: fields}), same_tx=same)

    def with_maps(self, global_map: Fields, inputs: tuple[Fields, ...], outputs: tuple[Fields, ...]) -> Psbt:
        """A copy with all maps replaced; of version 0, of the same transaction."""
        return self._changed(global_map, inputs, outputs, same_tx=not self.version, same_evidence=False)

    def in_version(
        self, version: int, global_map: Fields, inputs: tuple[Fields, ...], outputs: tuple[Fields, ...]
    ) -> Psbt:
        """The same transaction and evidence in maps of another version (`convert` makes them)."""
        copy = Psbt(version, global_map, inputs, outputs, self.tx)
        object.__setattr__(copy, "memo", self.memo)
        return copy

    def _changed(
        self,
        global_map: Fields,
        inputs: tuple[Fields, ...],
        outputs: tuple[Fields, ...],
        *,
        same_tx: bool,
        same_evidence: bool = True,
    ) -> Psbt:
        """The copy; what was computed for this one goes with it when transaction and evidence are the same."""
        tx = self.transaction if same_tx else assembled(global_map, inputs, outputs)
        copy = Psbt(self.version, global_map, inputs, outputs, tx)
        if same_tx and same_evidence:
            object.__setattr__(copy, "memo", self.memo)
        return copy


def _same(keys: tuple[bytes, ...], ours: Fields, theirs: Fields) -> bool:
    return all(ours.get(key) == theirs.get(key) for key in keys)


def _same_evidence(ours: Fields, theirs: Fields) -> bool:
    """Whether two maps of an input prove the same. Plain loops: every input that is signed comes through here."""
    our, their = ours.get, theirs.get
    for key in _EVIDENCE:
        value = our(key)
        if value is not their(key) and value != their(key):
            return False
    for fields in (ours, theirs):
        for key in fields:
            if key[0] == TAP_LEAF_SCRIPT:
                return _leaf_scripts(ours) == _leaf_scripts(theirs)
    return True


def _leaf_scripts(fields: Fields) -> dict[bytes, bytes]:
    return {key: fields[key] for key in fields if key[0] == TAP_LEAF_SCRIPT}


def _replaced(maps: tuple[Fields, ...], changed: Mapping[int, Fields]) -> tuple[Fields, ...]:
    result = list(maps)
    for index, fields in changed.items():
        result[index] = fields
    return tuple(result)


def as_parsed(psbt: Psbt, source: bytes, beyond: Beyond | None) -> Psbt:
    """The same PSBT, which remembers the bytes that it was parsed from, and what it has beyond one that it is like."""
    object.__setattr__(psbt, "source", source)
    object.__setattr__(psbt, "beyond", beyond)
    return psbt


def sha256(psbt: Psbt) -> str:
    """The SHA-256 of the serialized PSBT, in hex.

    Of what was parsed the bytes are hashed as they came, once. Whoever asks again gets the hash of the maps: the same,
    or somebody has changed them.
    """
    source = psbt.source
    if source is None:
        return hash_maps((psbt.global_map, *psbt.inputs, *psbt.outputs))
    object.__setattr__(psbt, "source", None)
    return hashlib.sha256(source).hexdigest()


def _keyed(fields: Fields, key_type: int) -> dict[bytes, bytes]:
    return {key[1:]: value for key, value in fields.items() if key[0] == key_type}


def _origins(fields: Fields, key_type: int) -> dict[bytes, KeyOrigin]:
    return {key: KeyOrigin.decode(value) for key, value in _keyed(fields, key_type).items()}


def input_derivations(psbt: Psbt, index: int) -> dict[bytes, KeyOrigin]:
    """Public key -> key origin that the PSBT claims for an input (PSBT_IN_BIP32_DERIVATION)."""
    return _origins(psbt.inputs[index], BIP32_DERIVATION)


def output_derivations(psbt: Psbt, index: int) -> dict[bytes, KeyOrigin]:
    """Public key -> key origin that the PSBT claims for an output (PSBT_OUT_BIP32_DERIVATION)."""
    return _origins(psbt.outputs[index], OUT_BIP32_DERIVATION)


def partial_sigs(psbt: Psbt, index: int) -> dict[bytes, bytes]:
    """Public key -> signature with its sighash type, unverified (PSBT_IN_PARTIAL_SIG)."""
    return _keyed(psbt.inputs[index], PARTIAL_SIG)


def witness_utxo(psbt: Psbt, index: int) -> TxOutput | None:
    """The output that the PSBT claims an input spends (PSBT_IN_WITNESS_UTXO)."""
    value = psbt.inputs[index].get(WITNESS_UTXO)
    return None if value is None else TxOutput.parse(value)


def previous_tx(psbt: Psbt, index: int) -> bytes | None:
    """The previous transaction that the PSBT carries for an input (PSBT_IN_NON_WITNESS_UTXO), unchecked."""
    return psbt.inputs[index].get(NON_WITNESS_UTXO)


class UtxoProblem(enum.Enum):
    """Why a PSBT's own word about a spent output cannot be taken; THREATS C1."""

    MISSING = "nothing says which output is spent"
    OTHER_TXID = "the previous transaction is not the one that is spent"
    NO_SUCH_OUTPUT = "the previous transaction has no such output"
    DISAGREES = "the witness UTXO disagrees with the previous transaction"


def previous_txout(psbt: Psbt, index: int) -> PreviousOutput | None:
    """The carried previous transaction's output that the outpoint names.

    Returns:
        None when there is no previous transaction, or it has no such output.
    """
    memo = psbt.memo.previous
    if index not in memo:
        memo[index] = _walk_previous(psbt.inputs[index], psbt.outpoint(index))
    return memo[index]


def _walk_previous(fields: Fields, outpoint: OutPoint) -> PreviousOutput | None:
    raw = fields.get(NON_WITNESS_UTXO)
    if raw is None:
        return None
    try:
        return read_previous(raw, outpoint)
    except InputError:
        return None


def read_previous(raw: bytes, outpoint: OutPoint) -> PreviousOutput:
    """The output of a previous transaction that an outpoint names; the outpoint's txid is not looked at.

    Raises:
        InputError: Not a whole transaction, or there is no such output.
    """
    txid, output = previous_output(raw, outpoint.index)
    return outpoint.txid if txid == outpoint.txid else txid, output, outpoint.index  # thousands: held once


def spent_or_problem(psbt: Psbt, index: int) -> TxOutput | UtxoProblem:
    """The output that an input spends, or why the PSBT's word about it cannot be taken."""
    memo = psbt.memo.coins
    known = memo.get(index)
    if known is None:
        known = memo[index] = _spent_or_problem(psbt, index)
    return known


def _spent_or_problem(psbt: Psbt, index: int) -> TxOutput | UtxoProblem:
    fields = psbt.inputs[index]
    claimed = fields.get(WITNESS_UTXO)
    if NON_WITNESS_UTXO not in fields:
        return UtxoProblem.MISSING if claimed is None else TxOutput.parse(claimed)
    found = previous_txout(psbt, index)
    if found is None:
        return UtxoProblem.NO_SUCH_OUTPUT
    txid, output, _ = found
    if txid != psbt.outpoint(index).txid:
        return UtxoProblem.OTHER_TXID
    if claimed is not None and output.serialize() != claimed:
        return UtxoProblem.DISAGREES
    return output


def utxo_problem(psbt: Psbt, index: int) -> UtxoProblem | None:
    """What is wrong with what the PSBT says about the output that an input spends; None when it holds together.

    A lone witness UTXO is no problem here; whether it is enough is for the review (THREATS C1).
    """
    found = spent_or_problem(psbt, index)
    return found if isinstance(found, UtxoProblem) else None


def spent_output(psbt: Psbt, index: int) -> TxOutput | None:
    """The output that an input spends: from the previous transaction where one is carried, else the witness UTXO.

    Returns:
        None when nothing is known, or what is there contradicts itself (`utxo_problem` says how).
    """
    found = spent_or_problem(psbt, index)
    return found if isinstance(found, TxOutput) else None


def spent_outputs(psbt: Psbt) -> tuple[TxOutput | None, ...]:
    """What every input spends, as `spent_output`: taproot signatures cover it all (BIP341)."""
    known = psbt.memo.spent
    if known is None:
        known = psbt.memo.spent = tuple([spent_output(psbt, index) for index in range(len(psbt.inputs))])
    return known


def sighash_type(psbt: Psbt, index: int) -> int | None:
    """The sighash type that signatures of an input must have (PSBT_IN_SIGHASH_TYPE)."""
    value = psbt.inputs[index].get(SIGHASH_TYPE)
    return None if value is None else int.from_bytes(value, "little")


def redeem_script(psbt: Psbt, index: int) -> bytes | None:
    """The claimed redeemScript of an input."""
    return psbt.inputs[index].get(REDEEM_SCRIPT)


def witness_script(psbt: Psbt, index: int) -> bytes | None:
    """The claimed witnessScript of an input."""
    return psbt.inputs[index].get(WITNESS_SCRIPT)


def final_script_sig(psbt: Psbt, index: int) -> bytes | None:
    """The final scriptSig of an input, unverified."""
    return psbt.inputs[index].get(FINAL_SCRIPTSIG)


def final_script_witness(psbt: Psbt, index: int) -> bytes | None:
    """The final witness stack of an input as serialized, unverified."""
    return psbt.inputs[index].get(FINAL_SCRIPTWITNESS)


def is_final(psbt: Psbt, index: int) -> bool:
    """Whether an input carries a final scriptSig or witness."""
    fields = psbt.inputs[index]
    return FINAL_SCRIPTSIG in fields or FINAL_SCRIPTWITNESS in fields


def global_xpubs(psbt: Psbt) -> dict[bytes, KeyOrigin]:
    """Extended public key (78 bytes) -> key origin that the PSBT claims (PSBT_GLOBAL_XPUB); THREATS C10."""
    return _origins(psbt.global_map, GLOBAL_XPUB)
