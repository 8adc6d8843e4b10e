"""Scripts over bytes: pushes, the standard output templates, bare multisig, hashes, assembly text.

Running scripts does not belong here, nor does anything that needs to know whose script it is.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import struct
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MULTISIG_KEYS: Final = 20
MAX_SCRIPT_SIZE: Final = 10_000
"""Bytes; consensus never runs a longer one, but for a taproot leaf."""
ANCHOR_SCRIPT: Final = bytes.fromhex("51024e73")
"""Pay-to-anchor."""

_OP_PUSHDATA1: Final = 0x4C
_OP_PUSHDATA2: Final = 0x4D
_OP_PUSHDATA4: Final = 0x4E
_OP_1NEGATE: Final = 0x4F
_OP_1: Final = 0x51
_OP_16: Final = 0x60
_OP_RETURN: Final = 0x6A
OP_CODESEPARATOR: Final = 0xAB
_OP_CHECKMULTISIG: Final = 0xAE


class ScriptType(enum.StrEnum):
    """The output templates; the values are part of the JSON output."""

    PKH = "pkh"
    SH = "sh"
    WPKH = "wpkh"
    WSH = "wsh"
    TR = "tr"
    BARE = "bare"
    """Multisig without a hash around it."""
    OP_RETURN = "op_return"
    ANCHOR = "anchor"
    UNKNOWN = "unknown"
    """Everything else, future witness versions included."""


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def dsha256(data: bytes) -> bytes:
    """SHA-256 twice, 32 bytes."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


@functools.lru_cache(maxsize=32)
def tag_prefix(tag: str) -> bytes:
    """The 64 bytes that go before the data of a tagged hash (BIP340)."""
    return hashlib.sha256(tag.encode()).digest() * 2


def tagged_hash(tag: str, data: bytes) -> bytes:
    """SHA-256 with a domain of its own, 32 bytes (BIP340)."""
    return hashlib.sha256(tag_prefix(tag) + data).digest()


def _openssl_ripemd160() -> hashlib._Hash | None:
    try:
        return hashlib.new("ripemd160", usedforsecurity=False)
    except ValueError:  # left out of some builds, or behind OpenSSL 3's legacy provider
        return None


_RIPEMD160: Final = _openssl_ripemd160()
"""Nothing hashed yet: copying it takes half the time that making one by name does."""


def ripemd160(data: bytes) -> bytes:
    """RIPEMD-160, 20 bytes; OpenSSL's when it has it, else bitcointx's own (a hundred times slower)."""
    if _RIPEMD160 is None:
        return _ripemd160_of_bitcointx(data)
    hasher = _RIPEMD160.copy()
    hasher.update(data)
    return hasher.digest()


def _ripemd160_of_bitcointx(data: bytes) -> bytes:
    from bitcointx.core import _ripemd160  # noqa: PLC0415  # slow to import and seldom needed

    return bytes(_ripemd160.ripemd160(data))


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256, 20 bytes."""
    return ripemd160(hashlib.sha256(data).digest())


def push(data: bytes) -> bytes:
    """Push data with the shortest length prefix; numbers are not turned into OP_1 to OP_16."""
    size = len(data)
    if size < _OP_PUSHDATA1:
        return bytes((size,)) + data
    if size <= 0xFF:
        return bytes((_OP_PUSHDATA1, size)) + data
    if size <= 0xFFFF:
        return bytes((_OP_PUSHDATA2,)) + size.to_bytes(2, "little") + data
    return bytes((_OP_PUSHDATA4,)) + size.to_bytes(4, "little") + data


Operation: TypeAlias = "tuple[int, bytes | None, int]"
"""Opcode, pushed bytes (None when it pushes none from the script) and the offset behind it."""


def walk(script: bytes) -> Iterator[Operation]:
    """Go through a script, without holding what could be a hundred times its bytes.

    Raises:
        InputError: The script ends within a push; what came before it was given.
    """
    offset, end = 0, len(script)
    while offset < end:
        opcode = script[offset]
        offset += 1
        if opcode > _OP_PUSHDATA4:
            yield opcode, None, offset
            continue
        size = opcode
        if opcode >= _OP_PUSHDATA1:
            width = 1 << (opcode - _OP_PUSHDATA1)
            if offset + width > end:
                raise InputError("script ends within a push")
            size = int.from_bytes(script[offset : offset + width], "little")
            offset += width
        if size > end - offset:
            raise InputError("script ends within a push")
        offset += size
        yield opcode, script[offset - size : offset], offset


def operations(script: bytes) -> list[Operation] | None:
    """A script as a list: for short ones; None when it ends within a push."""
    try:
        return list(walk(script))
    except InputError:
        return None


def parse_pushes(script: bytes) -> list[bytes] | None:
    """The stack that a script of nothing but pushes makes, bottom first; None for any other script.

    OP_0 is empty, OP_1 to OP_16 are one byte, OP_1NEGATE is 81.
    """
    stack: list[bytes] = []
    try:
        for opcode, data, _ in walk(script):
            if data is not None:
                stack.append(data)
            elif opcode == _OP_1NEGATE:
                stack.append(b"\x81")
            elif _OP_1 <= opcode <= _OP_16:
                stack.append(bytes((opcode - _OP_1 + 1,)))
            else:
                return None
    except InputError:
        return None
    return stack


def p2pkh_script(pubkey: bytes) -> bytes:
    """The scriptPubKey that pays a key's hash."""
    return b"\x76\xa9\x14" + hash160(pubkey) + b"\x88\xac"


def p2sh_script(redeem_script: bytes) -> bytes:
    """The scriptPubKey that pays a script's hash (BIP16)."""
    return b"\xa9\x14" + hash160(redeem_script) + b"\x87"


def p2wpkh_script(pubkey: bytes) -> bytes:
    """The scriptPubKey that pays a compressed key's hash (BIP141)."""
    return b"\x00\x14" + hash160(pubkey)


def p2wsh_script(witness_script: bytes) -> bytes:
    """The scriptPubKey that pays a witness script's hash (BIP141)."""
    return b"\x00\x20" + hashlib.sha256(witness_script).digest()


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Version and program of a witness scriptPubKey (BIP141), or None."""
    if not 4 <= len(script) <= 42 or script[1] != len(script) - 2:
        return None
    if script[0] == 0:
        return 0, script[2:]
    if _OP_1 <= script[0] <= _OP_16:
        return script[0] - _OP_1 + 1, script[2:]
    return None


_WITNESS_TYPES: Final = {(0, 20): ScriptType.WPKH, (0, 32): ScriptType.WSH, (1, 32): ScriptType.TR}
_COMMON_TYPES: Final = {
    (22, b"\x00\x14"): ScriptType.WPKH,
    (34, b"\x00\x20"): ScriptType.WSH,
    (34, b"\x51\x20"): ScriptType.TR,
}
"""Length and beginning of nearly every output there is; the slow way tells the same."""


def classify(script: bytes) -> ScriptType:
    """Which template a scriptPubKey follows."""
    common = _COMMON_TYPES.get((len(script), script[:2]))
    if common is not None:
        return common
    program = witness_program(script)
    kind = ScriptType.UNKNOWN
    if program is not None:
        kind = _WITNESS_TYPES.get((program[0], len(program[1])), kind)
        kind = ScriptType.ANCHOR if script == ANCHOR_SCRIPT else kind
    elif script[:1] == b"\x6a":
        kind = ScriptType.OP_RETURN
    elif len(script) == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        kind = ScriptType.SH
    elif len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        kind = ScriptType.PKH
    elif parse_multisig(script) is not None:
        kind = ScriptType.BARE
    return kind


_COMPRESSED_KEYS: Final = {count: struct.Struct("x" + count * "x33s" + "2x") for count in range(1, 17)}
"""Number of keys -> what takes an m-of-n script of compressed keys apart at once."""


class Multisig(msgspec.Struct, frozen=True):
    """An m-of-n of OP_CHECKMULTISIG; keys in script order, 33 or 65 bytes each."""

    threshold: int
    pubkeys: tuple[bytes, ...]


def _number(value: int) -> bytes:
    """1 to 20 as a script writes it."""
    return bytes((_OP_1 + value - 1,)) if value <= 16 else bytes((1, value))


def _read_number(script: bytes, offset: int) -> tuple[int, int] | None:
    opcode = script[offset]
    if _OP_1 <= opcode <= _OP_16:
        return opcode - _OP_1 + 1, offset + 1
    if opcode == 1 and 16 < script[offset + 1] <= MAX_MULTISIG_KEYS:
        return script[offset + 1], offset + 2
    return None


def multisig_script(threshold: int, pubkeys: tuple[bytes, ...] | list[bytes]) -> bytes:
    """The script `threshold <keys> n OP_CHECKMULTISIG`, keys in the order given (BIP67 sorting is the caller's).

    Raises:
        InputError: No or too many keys, a threshold that cannot be, or a key of another length than 33 or 65.
    """
    if not 1 <= threshold <= len(pubkeys) <= MAX_MULTISIG_KEYS:
        raise InputError(f"{threshold} of {len(pubkeys)} is no multisig")
    parts = [_number(threshold)]
    for key in pubkeys:
        if len(key) not in {33, 65}:
            raise InputError("a public key in a multisig has 33 or 65 bytes")
        parts += (bytes((len(key),)), key)
    parts += (_number(len(pubkeys)), bytes((_OP_CHECKMULTISIG,)))
    return b"".join(parts)


def parse_multisig(script: bytes) -> Multisig | None:
    """The inverse of `multisig_script`, for exactly that template; None for any other script.

    The keys' form is checked (length and first byte), not that they are on the curve.
    """
    end = len(script) - 1
    if end < 36 or script[end] != _OP_CHECKMULTISIG:
        return None
    count = script[end - 1] - _OP_1 + 1
    threshold = script[0] - _OP_1 + 1
    if 1 <= threshold <= count <= 16 and end == 34 * count + 2 and script[1:-2:34] == b"\x21" * count:
        # Compressed keys alone, as nearly always: every input of every PSBT comes through here.
        if script[2:-2:34].strip(b"\x02\x03"):
            return None
        return Multisig(threshold, _COMPRESSED_KEYS[count].unpack(script))
    return _parse_any_multisig(script, end)


def _parse_any_multisig(script: bytes, end: int) -> Multisig | None:
    start = _read_number(script, 0)
    if start is None:
        return None
    threshold, offset = start
    keys: list[bytes] = []
    while offset < end and script[offset] in {33, 65}:
        size = script[offset]
        key = script[offset + 1 : offset + 1 + size]
        if offset + 1 + size > end or key[0] not in ({2, 3} if size == 33 else {4}):
            return None
        keys.append(key)
        offset += 1 + size
    count = _read_number(script, offset) if offset < end else None
    if count is None or count != (len(keys), end) or not 1 <= threshold <= len(keys):
        return None
    return Multisig(threshold, tuple(keys))


def op_return_data(script: bytes) -> bytes | None:
    """What an OP_RETURN output carries: its pushes joined, or all bytes behind OP_RETURN when they are no pushes.

    Returns:
        None when the script does not begin with OP_RETURN.
    """
    if not script or script[0] != _OP_RETURN:
        return None
    pushes = parse_pushes(script[1:])
    return script[1:] if pushes is None else b"".join(pushes)


# 0x61 to 0xba, in order.
_NAMES_TEXT: Final = """
NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER 2ROT 2SWAP
IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND OR XOR EQUAL EQUALVERIFY
RESERVED1 RESERVED2 1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT BOOLAND BOOLOR
NUMEQUAL NUMEQUALVERIFY NUMNOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN MAX WITHIN RIPEMD160
SHA1 SHA256 HASH160 HASH256 CODESEPARATOR CHECKSIG CHECKSIGVERIFY CHECKMULTISIG CHECKMULTISIGVERIFY NOP1
CHECKLOCKTIMEVERIFY CHECKSEQUENCEVERIFY NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD
"""
_NAMES: Final = _NAMES_TEXT.split()


def _name(opcode: int) -> str:
    if _OP_1 <= opcode <= _OP_16:
        return f"OP_{opcode - _OP_1 + 1}"
    if 0x61 <= opcode < 0x61 + len(_NAMES):
        return "OP_" + _NAMES[opcode - 0x61]
    return {0x4F: "OP_1NEGATE", 0x50: "OP_RESERVED"}.get(opcode, f"OP_UNKNOWN_{opcode:02x}")


MAX_ASM_OPERATIONS: Final = 2_000
"""Operations of a script that are written as text: names are up to twenty times as long as opcodes."""


def script_asm(script: bytes) -> str:
    """A script as text: opcode names, and pushed bytes in hex; what cannot be split is shown as it is.

    Of a script of more than `MAX_ASM_OPERATIONS` the rest is counted.
    """
    parts: list[str] = []
    try:
        for opcode, data, end in walk(script):
            parts.append(_name(opcode) if data is None else (data.hex() or "OP_0"))
            if len(parts) == MAX_ASM_OPERATIONS and end < len(script):
                parts.append(f"[{len(script) - end} bytes more]")
                break
    except InputError:
        return f"[ends within a push] {script.hex()}"
    return " ".join(parts)
