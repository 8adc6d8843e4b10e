"""What a signature signs: legacy, BIP143 and BIP341 signature hashes, with everything shared that can be.

Which sighash types are acceptable is decided elsewhere: here every type is computed, the dangerous ones included.
"""

from __future__ import annotations

import struct
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.script import OP_CODESEPARATOR, dsha256, tag_prefix, walk
from wormsig.bitcoin.tx import write_compact
from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.bitcoin.tx import Transaction, TxOutput

SIGHASH_DEFAULT: Final = 0
SIGHASH_ALL: Final = 1
SIGHASH_NONE: Final = 2
SIGHASH_SINGLE: Final = 3
ANYONECANPAY: Final = 0x80
SIGHASH_ANYONECANPAY: Final = ANYONECANPAY

LEGACY_PREIMAGE_CAP: Final = 200_000_000
"""Legacy hashing takes quadratic time: the bytes hashed for one transaction are capped, in sum."""

ECDSA_TYPES: Final = frozenset({0x01, 0x02, 0x03, 0x81, 0x82, 0x83})
"""The sighash types of ECDSA signatures that nodes relay."""
TAPROOT_TYPES: Final = ECDSA_TYPES | {SIGHASH_DEFAULT}
"""The sighash types that BIP341 knows; a signature of any other is invalid."""
NO_CODESEPARATOR: Final = 0xFFFF_FFFF
"""The position that a tapscript signature commits to when no OP_CODESEPARATOR was executed."""

_TAP_SIGHASH: Final = tag_prefix("TapSighash")

_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_ZERO: Final = bytes(32)
_ONE: Final = b"\x01" + bytes(31)
_NAMES: Final = {SIGHASH_DEFAULT: "DEFAULT", SIGHASH_ALL: "ALL", SIGHASH_NONE: "NONE", SIGHASH_SINGLE: "SINGLE"}


def sighash_name(sighash_type: int) -> str:
    """`ALL`, `NONE|ANYONECANPAY` and so on; other numbers in hex."""
    base = _NAMES.get(sighash_type & ~ANYONECANPAY)
    if base is None or sighash_type == ANYONECANPAY:
        return f"0x{sighash_type:02x}"
    return f"{base}|ANYONECANPAY" if sighash_type & ANYONECANPAY else base


def sighash_type_named(name: str) -> int | None:
    """The inverse of `sighash_name` for the named types; upper or lower case, `+` for `|` allowed; else None."""
    base, plus, rest = name.upper().replace("+", "|").partition("|")
    number = next((number for number, known in _NAMES.items() if known == base), None)
    if number is None or (plus and (rest != "ANYONECANPAY" or number == SIGHASH_DEFAULT)):
        return None
    return number | ANYONECANPAY if plus else number


def _without_separators(script_code: bytes) -> bytes:
    """Legacy signing leaves OP_CODESEPARATOR away, as far as the script can be split."""
    if OP_CODESEPARATOR not in script_code:
        return script_code
    kept: list[bytes] = []
    begin = last = 0
    try:
        for opcode, _, end in walk(script_code):
            if opcode == OP_CODESEPARATOR:
                kept.append(script_code[begin:last])
                begin = end
            last = end
    except InputError:
        return script_code
    return b"".join((*kept, script_code[begin:]))


class Sighasher:
    """Signature hashes of one transaction; midstates are computed once, when first needed.

    Args:
        tx: The transaction; its scriptSigs and witnesses do not matter.
        spent: What its inputs spend, in order, None where that is not known. Only taproot asks for it: its signatures
            cover the amounts and scripts of all inputs (ANYONECANPAY: of their own).

    Raises:
        InputError: There are spent outputs, but not one an input.
    """

    def __init__(self, tx: Transaction, spent: Sequence[TxOutput | None] = ()) -> None:
        if spent and len(spent) != len(tx.inputs):
            raise InputError(f"{len(tx.inputs)} inputs cannot spend {len(spent)} outputs")
        self.tx = tx
        self.spent = tuple(spent)
        self._version = _U32.pack(tx.version)
        self._locktime = _U32.pack(tx.locktime)
        self._outpoints = [txin.outpoint.txid + _U32.pack(txin.outpoint.index) for txin in tx.inputs]
        self._sequences = [_U32.pack(txin.sequence) for txin in tx.inputs]
        self._single: tuple[bytes, bytes, bytes] | None = None
        self._segwit: tuple[bytes, bytes, bytes] | None = None
        self._segwit_all: tuple[bytes, bytes] | None = None
        self._taproot_starts: dict[tuple[int, int], bytes] = {}
        self._blank_inputs: tuple[bytes, bytes] | None = None
        self._all_outputs: bytes | None = None
        self._legacy_bytes = 0
        self._legacy_known: dict[tuple[int, bytes, int], bytes] = {}
        self._legacy_turn = threading.Lock()

    def _outputs(self) -> bytes:
        if self._all_outputs is None:
            self._all_outputs = b"".join([output.serialize() for output in self.tx.outputs])
        return self._all_outputs

    def _hashes(self) -> tuple[bytes, bytes, bytes]:
        """BIP341's sha_prevouts, sha_sequences and sha_outputs."""
        if self._single is None:
            self._single = (
                sha256(b"".join(self._outpoints)).digest(),
                sha256(b"".join(self._sequences)).digest(),
                sha256(self._outputs()).digest(),
            )
        return self._single

    def _midstates(self) -> tuple[bytes, bytes, bytes]:
        """BIP143's hashPrevouts, hashSequence and hashOutputs: the same once more hashed."""
        if self._segwit is None:
            prevouts, sequences, outputs = self._hashes()
            self._segwit = (sha256(prevouts).digest(), sha256(sequences).digest(), sha256(outputs).digest())
        return self._segwit

    def segwit_v0(self, index: int, script_code: bytes, sats: int, sighash_type: int) -> bytes:
        """The BIP143 hash of one input.

        Args:
            index: The input.
            script_code: The witness script, or for P2WPKH the P2PKH script of the key; without its length.
            sats: The amount spent.
            sighash_type: Any; SINGLE without an output at that index hashes zeros instead of the outputs.

        Returns:
            32 bytes.

        Raises:
            InputError: There is no such input.
        """
        if sighash_type == SIGHASH_ALL and len(script_code) < 0xFD and 0 <= index < len(self._outpoints):
            return self._segwit_v0_all(index, script_code, sats)
        self._check_index(index)
        prevouts, sequences, outputs = self._midstates()
        base = sighash_type & 0x1F
        if sighash_type & ANYONECANPAY:
            prevouts = _ZERO
        if sighash_type & ANYONECANPAY or base in {SIGHASH_NONE, SIGHASH_SINGLE}:
            sequences = _ZERO
        if base == SIGHASH_SINGLE:
            txouts = self.tx.outputs
            outputs = dsha256(txouts[index].serialize()) if index < len(txouts) else _ZERO
        elif base == SIGHASH_NONE:
            outputs = _ZERO
        preimage = b"".join(
            (
                self._version,
                prevouts,
                sequences,
                self._outpoints[index],
                write_compact(len(script_code)),
                script_code,
                _I64.pack(sats),
                self._sequences[index],
                outputs,
                self._locktime,
                _U32.pack(sighash_type),
            )
        )
        return sha256(sha256(preimage).digest()).digest()

    def _segwit_v0_all(self, index: int, script_code: bytes, sats: int) -> bytes:
        """The same for type ALL and short scripts, as wallets have them: all inputs share beginning and end."""
        if self._segwit_all is None:
            prevouts, sequences, outputs = self._midstates()
            end = outputs + self._locktime + _U32.pack(SIGHASH_ALL)
            self._segwit_all = (self._version + prevouts + sequences, end)
        start, end = self._segwit_all
        size = bytes((len(script_code),))
        parts = (start, self._outpoints[index], size, script_code, _I64.pack(sats), self._sequences[index], end)
        return sha256(sha256(b"".join(parts)).digest()).digest()

    def taproot(self, index: int, sighash_type: int) -> bytes:
        """The BIP341 hash of one input for the key path. An annex is not supported.

        Args:
            index: The input.
            sighash_type: One of `TAPROOT_TYPES`.

        Returns:
            32 bytes.

        Raises:
            InputError: There is no such input, what is spent is not known, or the sighash type is none of BIP341's, or
                SINGLE without an output at that index.
        """
        return sha256(self._taproot_message(index, sighash_type, 0)).digest()

    def tapscript(
        self, index: int, leaf_hash: bytes, sighash_type: int, *, codeseparator: int = NO_CODESEPARATOR
    ) -> bytes:
        """The BIP342 hash of one input for a script of leaf version 0xc0. An annex is not supported.

        Args:
            index: The input.
            leaf_hash: The script's (`taproot.tapleaf_hash`), 32 bytes.
            sighash_type: One of `TAPROOT_TYPES`.
            codeseparator: Opcode position of the last executed OP_CODESEPARATOR.

        Returns:
            32 bytes.

        Raises:
            InputError: As for `taproot`.
        """
        message = self._taproot_message(index, sighash_type, 1)
        return sha256(b"".join((message, leaf_hash, b"\x00", _U32.pack(codeseparator)))).digest()

    def _taproot_message(self, index: int, sighash_type: int, extension: int) -> bytes:
        """The tag twice, then BIP341's SigMsg, up to the extension."""
        self._check_index(index)
        start = self._taproot_starts.get((sighash_type, extension))
        if start is None:
            start = self._taproot_starts[sighash_type, extension] = self._taproot_start(sighash_type, extension)
        if sighash_type in {SIGHASH_DEFAULT, SIGHASH_ALL}:
            return start + _U32.pack(index)
        own = _U32.pack(index)
        if sighash_type & ANYONECANPAY:
            spent = self._spent(index)
            own = self._outpoints[index] + spent.serialize() + self._sequences[index]
        if sighash_type & 3 != SIGHASH_SINGLE:
            return start + own
        if index >= len(self.tx.outputs):
            raise InputError(f"sighash type SINGLE has no output {index} to sign")
        return start + own + sha256(self.tx.outputs[index].serialize()).digest()

    def _taproot_start(self, sighash_type: int, extension: int) -> bytes:
        """What is the same for every input: from the tag to the spend type."""
        if sighash_type not in TAPROOT_TYPES:
            raise InputError(f"taproot has no sighash type {sighash_name(sighash_type)}")
        prevouts, sequences, outputs = self._hashes()
        parts = [_TAP_SIGHASH, b"\x00", bytes((sighash_type,)), self._version, self._locktime]
        if not sighash_type & ANYONECANPAY:
            spent = [self._spent(index) for index in range(len(self._outpoints))]
            amounts = b"".join([_I64.pack(output.sats) for output in spent])
            scripts = b"".join([write_compact(len(output.script)) + output.script for output in spent])
            parts += (prevouts, sha256(amounts).digest(), sha256(scripts).digest(), sequences)
        if sighash_type & 3 in {SIGHASH_DEFAULT, SIGHASH_ALL}:
            parts.append(outputs)
        parts.append(bytes((2 * extension,)))
        return b"".join(parts)

    def _spent(self, index: int) -> TxOutput:
        output = self.spent[index] if self.spent else None
        if output is None:
            raise InputError(
                f"the output that input {index} spends is not known",
                hint="a taproot signature covers the amounts and scripts of all inputs",
            )
        return output

    def legacy(self, index: int, script_code: bytes, sighash_type: int) -> bytes:
        """The hash of one input before segwit.

        Signatures inside the script code are not looked for (FindAndDelete): no template that wormsig knows has any.

        Args:
            index: The input.
            script_code: The scriptPubKey, or the redeemScript for P2SH.
            sighash_type: Any; SINGLE without an output at that index gives the constant 1, as consensus does.

        Returns:
            32 bytes.

        Raises:
            InputError: There is no such input, or the bytes to hash for this transaction pass
                `LEGACY_PREIMAGE_CAP` in sum.
        """
        self._check_index(index)
        key = (index, script_code, sighash_type)
        with self._legacy_turn:  # threads that judge answers at once: whatever they share is hashed, and counted, once
            known = self._legacy_known.get(key)
            if known is None:
                known = self._legacy_known[key] = self._legacy_hash(index, script_code, sighash_type)
        return known

    def _legacy_hash(self, index: int, script_code: bytes, sighash_type: int) -> bytes:
        base = sighash_type & 0x1F
        if base == SIGHASH_SINGLE and index >= len(self.tx.outputs):
            return _ONE
        code = _without_separators(script_code)
        own = self._outpoints[index] + write_compact(len(code)) + code + self._sequences[index]
        parts: list[bytes | memoryview] = [self._version]
        if sighash_type & ANYONECANPAY:
            parts += (b"\x01", own)
        else:
            kept, zeroed = self._blanks()
            blanks = memoryview(zeroed if base in {SIGHASH_NONE, SIGHASH_SINGLE} else kept)
            count = write_compact(len(self._outpoints))
            parts += (count, blanks[: 41 * index], own, blanks[41 * (index + 1) :])
        parts += (self._legacy_outputs(index, base), self._locktime, _U32.pack(sighash_type))
        self._legacy_bytes += sum(map(len, parts))
        if self._legacy_bytes > LEGACY_PREIMAGE_CAP:
            raise InputError(
                f"hashing this transaction's legacy inputs takes more than {LEGACY_PREIMAGE_CAP // 10**6} MB",
                hint="spend fewer legacy inputs in one transaction",
            )
        first = sha256()
        for part in parts:
            first.update(part)
        return sha256(first.digest()).digest()

    def _legacy_outputs(self, index: int, base: int) -> bytes:
        if base == SIGHASH_NONE:
            return b"\x00"
        if base == SIGHASH_SINGLE:
            blank = b"\xff" * 8 + b"\x00"
            return write_compact(index + 1) + blank * index + self.tx.outputs[index].serialize()
        return write_compact(len(self.tx.outputs)) + self._outputs()

    def _blanks(self) -> tuple[bytes, bytes]:
        """All inputs with empty scripts, 41 bytes each: with their sequences, and with sequence 0."""
        if self._blank_inputs is None:
            kept = b"".join([p + b"\x00" + s for p, s in zip(self._outpoints, self._sequences, strict=True)])
            zeroed = b"".join([p + b"\x00\x00\x00\x00\x00" for p in self._outpoints])
            self._blank_inputs = (kept, zeroed)
        return self._blank_inputs

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self._outpoints):
            raise InputError(f"the transaction has no input {index}")
