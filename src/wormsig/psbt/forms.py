"""What the key and the value of a field must look like: one small function a form.

Each takes the whole key (type byte included) and the value, and returns what is wrong in words, or None. They say
nothing about meaning: whether a script belongs to its output, or a signature verifies, is for `scripts` and `verify`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

from wormsig.bitcoin import script, secp
from wormsig.bitcoin.keys import MAX_DEPTH
from wormsig.bitcoin.points import is_known_pubkey
from wormsig.bitcoin.tx import TxOutput, read_compact
from wormsig.errors import InputError
from wormsig.psbt.limits import MAX_TAP_DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable

Form: TypeAlias = "Callable[[bytes, bytes], str | None]"

_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_NO_KEYDATA: Final = "key has data after its type, where there is none"
_NOT_A_KEY: Final = "key is not a public key"


def _is_compressed(data: bytes) -> bool:
    return len(data) == 33 and is_known_pubkey(data)


def _is_xonly(data: bytes) -> bool:
    return len(data) == 32 and is_known_pubkey(b"\x02" + data)


def anything(_key: bytes, _value: bytes) -> str | None:
    """No form is asked for."""
    return None


def long_type(key: bytes, _value: bytes) -> str | None:
    """A key type of several bytes, none of which is known: whole and in its shortest form."""
    try:
        read_compact(key, 0)
    except InputError as error:
        return f"key type {error.message}"
    return None


def no_keydata(key: bytes, _value: bytes) -> str | None:
    """The key is its type alone; the value is free."""
    return None if len(key) == 1 else _NO_KEYDATA


def sized(*sizes: int) -> Form:
    """The key is its type alone; the value has one of these lengths."""

    def check(key: bytes, value: bytes) -> str | None:
        if len(key) != 1:
            return _NO_KEYDATA
        if len(value) not in sizes:
            return f"value has {len(value)} bytes, not {' or '.join(map(str, sizes))}"
        return None

    return check


_uint32: Final = sized(4)


def compact_size(key: bytes, value: bytes) -> str | None:
    """The key is its type alone; the value is one compact size."""
    if len(key) != 1:
        return _NO_KEYDATA
    try:
        _, end = read_compact(value, 0)
    except InputError as error:
        return f"value {error.message}"
    return None if end == len(value) else "value has bytes after its number"


LOCKTIME_THRESHOLD: Final = 500_000_000
"""Locktimes below it are heights, from it on Unix times (consensus)."""


def required_time(key: bytes, value: bytes) -> str | None:
    """The key is its type alone; the value is a locktime that means a time (BIP370)."""
    problem = _uint32(key, value)
    if problem is None and int.from_bytes(value, "little") < LOCKTIME_THRESHOLD:
        problem = f"value is a height: times begin at {LOCKTIME_THRESHOLD}"
    return problem


def required_height(key: bytes, value: bytes) -> str | None:
    """The key is its type alone; the value is a locktime that means a height, and not 0 (BIP370)."""
    problem = _uint32(key, value)
    if problem is None and not 0 < int.from_bytes(value, "little") < LOCKTIME_THRESHOLD:
        problem = f"value is not a height from 1 to {LOCKTIME_THRESHOLD - 1}"
    return problem


def tx_output(key: bytes, value: bytes) -> str | None:
    """The key is its type alone; the value is a whole transaction output."""
    if len(key) != 1:
        return _NO_KEYDATA
    if len(value) > 8 and value[8] < 0xFD:
        return None if len(value) == 9 + value[8] else "output's script has another length than it says"
    try:
        TxOutput.parse(value)
    except InputError as error:
        return error.message
    return None


_LONGEST_PATH: Final = 4 * (1 + MAX_DEPTH)


def _path(value: bytes) -> str | None:
    if len(value) < 4 or len(value) % 4 or len(value) > _LONGEST_PATH:
        return f"value has {len(value)} bytes: not a fingerprint and a path of whole steps"
    return None


def derivation(key: bytes, value: bytes) -> str | None:
    """Keyed by a public key; the value is a fingerprint and path steps of four bytes each (BIP174)."""
    if not is_known_pubkey(key[1:]):
        return _NOT_A_KEY
    size = len(value)  # as `_path`, which this is called too often for
    return None if 4 <= size <= _LONGEST_PATH and not size & 3 else _path(value)


def keyed_by_pubkey(key: bytes, _value: bytes) -> str | None:
    """Keyed by a public key; the value is judged when it is used (a signature may be shown although it is bad)."""
    return None if is_known_pubkey(key[1:]) else _NOT_A_KEY


def xpub(key: bytes, value: bytes) -> str | None:
    """Keyed by the 78 bytes of an extended public key; depth, parent and version bytes are for the review."""
    if len(key) != 79:
        return f"key holds {len(key) - 1} bytes, not the 78 of an extended public key"
    if not is_known_pubkey(key[46:]):
        return "key holds an extended key without a valid public key"
    return _path(value)


def witness_stack(key: bytes, value: bytes) -> str | None:
    """The key is its type alone; the value is a whole serialized witness stack."""
    if len(key) != 1:
        return _NO_KEYDATA
    return None if read_stack(value) is not None else "value is not a whole witness stack"


def read_stack(value: bytes) -> tuple[bytes, ...] | None:
    """The items of a serialized witness stack; None when it is not exactly one."""
    items: list[bytes] = []
    end = len(value)
    try:
        count, offset = read_compact(value, 0)
        if count > end - offset:
            return None
        for _ in range(count):
            size, start = read_compact(value, offset)
            offset = start + size
            if offset > end:
                return None
            items.append(value[start:offset])
    except InputError:
        return None
    return tuple(items) if offset == end else None


def _digest(name: str, data: bytes) -> bytes:
    if name == "ripemd160":
        return script.ripemd160(data)
    if name == "hash160":
        return script.hash160(data)
    once = hashlib.sha256(data).digest()
    return once if name == "sha256" else hashlib.sha256(once).digest()


def preimage(name: str) -> Form:
    """Keyed by a hash; the value is what hashes to it (ripemd160, sha256, hash160 or hash256)."""
    size = 20 if name in {"ripemd160", "hash160"} else 32

    def check(key: bytes, value: bytes) -> str | None:
        if len(key) != 1 + size:
            return f"key holds {len(key) - 1} bytes, not a hash of {size}"
        return None if _digest(name, value) == key[1:] else "value does not hash to the key"

    return check


def proprietary(key: bytes, _value: bytes) -> str | None:
    """Identifier with its length, then a subtype; the rest is the owner's (BIP174)."""
    try:
        size, offset = read_compact(key, 1)
        if size > len(key) - offset:
            return "key ends within its identifier"
        read_compact(key, offset + size)
    except InputError as error:
        return f"key {error.message}"
    return None


def tap_script_sig(key: bytes, value: bytes) -> str | None:
    """Keyed by an x-only key and a leaf hash; a signature of 64 or 65 bytes (BIP371)."""
    if len(key) != 65 or not _is_xonly(key[1:33]):
        return "key is not an x-only public key and a leaf hash"
    return None if len(value) in {64, 65} else f"value has {len(value)} bytes, not 64 or 65"


def tap_leaf_script(key: bytes, value: bytes) -> str | None:
    """Keyed by a control block of 33 + 32*k bytes, k to 128; script and leaf version (BIP371)."""
    depth, odd = divmod(len(key) - 34, 32)
    if odd or not 0 <= depth <= MAX_TAP_DEPTH:
        return f"key holds {len(key) - 1} bytes: not a control block"
    return None if value else "value is empty: a script needs its leaf version"


def tap_derivation(key: bytes, value: bytes) -> str | None:
    """Keyed by an x-only key; leaf hashes, then a fingerprint and a path (BIP371)."""
    if not _is_xonly(key[1:]):
        return "key is not an x-only public key"
    try:
        count, offset = read_compact(value, 0)
    except InputError as error:
        return f"value {error.message}"
    if count > (len(value) - offset) // 32:
        return "value claims more leaf hashes than it holds"
    return _path(value[offset + 32 * count :])


def xonly_value(key: bytes, value: bytes) -> str | None:
    """The key is its type alone; the value is an x-only public key."""
    if len(key) != 1:
        return _NO_KEYDATA
    return None if _is_xonly(value) else "value is not an x-only public key"


def _leaf_depths(value: bytes) -> list[int]:
    """The depth of each leaf; raises InputError where the tuples are not whole."""
    depths: list[int] = []
    offset, end = 0, len(value)
    while offset < end:
        if value[offset] > MAX_TAP_DEPTH:
            raise InputError(f"has a leaf at depth {value[offset]}")
        if offset + 2 > end or value[offset + 1] & 1:
            raise InputError("has an invalid leaf version")
        size, start = read_compact(value, offset + 2)
        if size > end - start:
            raise InputError("ends within a script")
        depths.append(value[offset])
        offset = start + size
    return depths


def _is_tree(depths: list[int]) -> bool:
    """Whether leaves of these depths, in depth-first order, make exactly one tree."""
    pending: list[int] = []  # depths of finished subtrees that wait for their sibling
    for leaf in depths:
        depth = leaf
        if pending and (pending[-1] > depth or pending == [0]):
            return False
        while pending and pending[-1] == depth:
            pending.pop()
            depth -= 1
        pending.append(depth)
    return pending == [0]


def tap_tree(key: bytes, value: bytes) -> str | None:
    """Leaves in depth-first order that make one whole tree (BIP371)."""
    if len(key) != 1:
        return _NO_KEYDATA
    if not value:
        return "value is empty"
    try:
        depths = _leaf_depths(value)
    except InputError as error:
        return f"value {error.message}"
    return None if _is_tree(depths) else "value's leaves do not make one tree"


def musig_participants(key: bytes, value: bytes) -> str | None:
    """Keyed by the aggregate; one or more compressed public keys (BIP373)."""
    if not _is_compressed(key[1:]):
        return "key is not a compressed aggregate public key"
    if not value or len(value) % 33:
        return f"value has {len(value)} bytes: not whole compressed public keys"
    if not all(is_known_pubkey(value[at : at + 33]) for at in range(0, len(value), 33)):
        return "value holds something that is not a public key"
    return None


def _musig_key(key: bytes) -> str | None:
    if len(key) not in {67, 99} or not _is_compressed(key[1:34]) or not _is_compressed(key[34:67]):
        return "key is not two compressed public keys and at most a leaf hash"
    return None


def musig_nonce(key: bytes, value: bytes) -> str | None:
    """Keyed by participant, aggregate and at most a leaf hash; a public nonce of two points (BIP373)."""
    problem = _musig_key(key)
    if problem:
        return problem
    if len(value) != 66:
        return f"value has {len(value)} bytes, not 66"
    # Nonces are used once: not worth remembering.
    points = secp.is_pubkey(value[:33]) and secp.is_pubkey(value[33:])
    return None if points else "value is not a public nonce of two points"


def musig_partial_sig(key: bytes, value: bytes) -> str | None:
    """Keyed as the nonce; a scalar of 32 bytes below the group order (BIP373)."""
    problem = _musig_key(key)
    if problem:
        return problem
    if len(value) != 32:
        return f"value has {len(value)} bytes, not 32"
    return None if int.from_bytes(value, "big") < _ORDER else "value is beyond the group order"


def dnssec_proof(key: bytes, value: bytes) -> str | None:
    """A name with its length, then the proof (BIP353)."""
    if len(key) != 1:
        return _NO_KEYDATA
    return None if value and value[0] < len(value) else "value ends within its name"
