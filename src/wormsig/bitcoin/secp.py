"""ECDSA and key tweaks on libsecp256k1, called through ctypes; safe to use from any thread.

The library comes with the btclib-secp256k1 wheel (docs/adr/0003): its extension module exports libsecp256k1, and is
opened with ctypes without importing it. It is loaded at first use; the symbols and known answers are checked then.
The same library is handed to bitcointx by `equip_bitcointx`, for the few places that use its key objects.

ctypes releases the interpreter lock during a call, so `verify_batch` uses every core. What is signed and why does not
belong here; nor do derivation paths (`keys`).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from wormsig.bitcoin.der import ecdsa_form
from wormsig.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ecdsa_form",
    "ecdsa_sign",
    "ecdsa_verify",
    "equip_bitcointx",
    "is_pubkey",
    "is_seckey",
    "library_path",
    "pubkey_of",
    "pubkey_tweak_add",
    "seckey_tweak_add",
    "verify_batch",
]

EXTENSION: Final = "_btclib_secp256k1"

_CONTEXT_NONE: Final = 1  # libsecp256k1 0.2 and later: contexts do everything
_COMPRESSED: Final = 258
_THREADED_FROM: Final = 48
"""Below so many verifications (1.5 ms) starting threads costs more than it gains."""
_MAX_THREADS: Final = 8

_BYTES, _CONTEXT, _SIZE = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
_SYMBOLS: Final[dict[str, tuple[Any, ...]]] = {
    "context_randomize": (_CONTEXT, _BYTES),
    "ec_pubkey_parse": (_CONTEXT, _BYTES, _BYTES, _SIZE),
    "ec_pubkey_serialize": (_CONTEXT, _BYTES, ctypes.POINTER(_SIZE), _BYTES, ctypes.c_uint),
    "ec_pubkey_create": (_CONTEXT, _BYTES, _BYTES),
    "ec_pubkey_tweak_add": (_CONTEXT, _BYTES, _BYTES),
    "ec_seckey_verify": (_CONTEXT, _BYTES),
    "ec_seckey_tweak_add": (_CONTEXT, _BYTES, _BYTES),
    "ecdsa_signature_parse_der": (_CONTEXT, _BYTES, _BYTES, _SIZE),
    "ecdsa_signature_serialize_der": (_CONTEXT, _BYTES, ctypes.POINTER(_SIZE), _BYTES),
    "ecdsa_signature_serialize_compact": (_CONTEXT, _BYTES, _BYTES),
    "ecdsa_signature_normalize": (_CONTEXT, _BYTES, _BYTES),
    "ecdsa_sign": (_CONTEXT, _BYTES, _BYTES, _BYTES, ctypes.c_void_p, _BYTES),
    "ecdsa_verify": (_CONTEXT, _BYTES, _BYTES, _BYTES),
}
_QUICK: Final = {name for name in _SYMBOLS if name.startswith("ecdsa_signature_")}
"""Calls of less than a microsecond: letting the interpreter lock go and taking it back would cost more."""
_ALIASES: Final = {
    "secp256k1_ec_privkey_negate": "secp256k1_ec_seckey_negate",
    "secp256k1_ec_privkey_tweak_add": "secp256k1_ec_seckey_tweak_add",
    "secp256k1_schnorrsig_sign": "secp256k1_schnorrsig_sign32",
}
"""Names that bitcointx 1.1.5 insists on, and what this library calls them."""

_REINSTALL: Final = "install it again: pip install --force-reinstall btclib-secp256k1==0.8.0.13"


def _nothing(_message: bytes, _data: int) -> None:
    """Do nothing."""


_ignore_misuse = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)(_nothing)
# Instead of libsecp256k1's own handler, which aborts the process; the call then returns 0.


class _Scratch(threading.local):
    """Buffers that one thread writes results into; nothing secret is put here."""

    def __init__(self) -> None:
        self.point = ctypes.create_string_buffer(64)
        self.signature = ctypes.create_string_buffer(64)
        self.key = ctypes.create_string_buffer(33)
        self.compact = ctypes.create_string_buffer(64)
        self.der = ctypes.create_string_buffer(72)
        self.size = ctypes.c_size_t()


class _Library:
    """The loaded library: one context, randomised once, and the functions with their argument types."""

    def __init__(self, path: str) -> None:
        handle = ctypes.CDLL(path)
        missing = [name for name in _SYMBOLS if not hasattr(handle, f"secp256k1_{name}")]
        if missing:
            raise UsageError(f"libsecp256k1 lacks secp256k1_{missing[0]}", hint=_REINSTALL)
        handle.secp256k1_context_create.restype = ctypes.c_void_p
        handle.secp256k1_context_create.argtypes = (ctypes.c_uint,)
        handle.secp256k1_context_set_illegal_callback.restype = None
        handle.secp256k1_context_set_illegal_callback.argtypes = (_CONTEXT, ctypes.c_void_p, ctypes.c_void_p)
        locked = ctypes.PyDLL(path)
        for name, arguments in _SYMBOLS.items():
            function = getattr(locked if name in _QUICK else handle, f"secp256k1_{name}")
            function.restype, function.argtypes = ctypes.c_int, arguments
        self.path = path
        self.context = ctypes.c_void_p(handle.secp256k1_context_create(_CONTEXT_NONE))
        handle.secp256k1_context_set_illegal_callback(self.context, _ignore_misuse, None)
        if handle.secp256k1_context_randomize(self.context, os.urandom(32)) != 1:
            raise UsageError("libsecp256k1 could not be initialised", hint=_REINSTALL)
        self.pubkey_parse = handle.secp256k1_ec_pubkey_parse
        self.pubkey_serialize = handle.secp256k1_ec_pubkey_serialize
        self.pubkey_create = handle.secp256k1_ec_pubkey_create
        self.pubkey_tweak_add = handle.secp256k1_ec_pubkey_tweak_add
        self.seckey_verify = handle.secp256k1_ec_seckey_verify
        self.seckey_tweak_add = handle.secp256k1_ec_seckey_tweak_add
        self.parse_der = locked.secp256k1_ecdsa_signature_parse_der
        self.serialize_der = locked.secp256k1_ecdsa_signature_serialize_der
        self.serialize_compact = locked.secp256k1_ecdsa_signature_serialize_compact
        self.normalize = locked.secp256k1_ecdsa_signature_normalize
        self.sign = handle.secp256k1_ecdsa_sign
        self.verify = handle.secp256k1_ecdsa_verify


_scratch = _Scratch()
_lock = threading.Lock()
_loaded: _Library | None = None


def library_path() -> str:
    """Where the shared library is.

    Raises:
        UsageError: The wheel is not installed.
    """
    spec = importlib.util.find_spec(EXTENSION)
    if spec is None or not spec.origin:
        raise UsageError("libsecp256k1 is missing: the package btclib-secp256k1 is not installed", hint=_REINSTALL)
    return spec.origin


def _library() -> _Library:
    return _loaded or _load()


def _load() -> _Library:
    global _loaded  # noqa: PLW0603  # a shared library is loaded once a process; the lock makes it once
    with _lock:
        if _loaded is None:
            path = library_path()
            try:
                library = _Library(path)
            except OSError as error:
                raise UsageError(f"libsecp256k1 cannot be loaded: {error}", hint=_REINSTALL) from None
            _check_known_answers(library)
            _loaded = library
    return _loaded


def equip_bitcointx() -> None:
    """Hand the library to bitcointx, which finds none by itself; needed before its keys or script checks are used.

    Uses bitcointx's private names, hence its exact pin (docs/adr/0002).

    Raises:
        UsageError: The library is missing.
    """
    library = _library()
    # Slow to import (0.1 s), and most commands need only the fast paths.
    from bitcointx.core import secp256k1 as module  # noqa: PLC0415

    with _lock:
        if module._secp256k1 is not None:  # noqa: SLF001  # no public way to hand over a loaded library
            return
        handle = ctypes.CDLL(library.path)
        for alias, name in _ALIASES.items():
            if not hasattr(handle, alias):
                setattr(handle, alias, getattr(handle, name))
        capabilities = module._add_function_definitions(handle)  # noqa: SLF001  # as above
        make = module.secp256k1_create_and_init_context
        contexts = module.Secp256k1_Contexts(
            sign=make(handle, module.SECP256K1_CONTEXT_SIGN),
            verify=make(handle, module.SECP256K1_CONTEXT_VERIFY),
        )
        module._secp256k1 = module.Secp256k1(lib=handle, cap=capabilities, ctx=contexts)  # noqa: SLF001  # as above


def _pubkey_form(pubkey: bytes) -> bool:
    # libsecp256k1 also reads hybrid keys (06, 07), which policy refuses.
    size = len(pubkey)
    return (size == 33 and pubkey[0] in {2, 3}) or (size == 65 and pubkey[0] == 4)


def is_pubkey(pubkey: bytes) -> bool:
    """Whether these are 33 or 65 bytes of a point on the curve; hybrid keys are not."""
    if not _pubkey_form(pubkey):
        return False
    lib = _library()
    return bool(lib.pubkey_parse(lib.context, _scratch.point, pubkey, len(pubkey)))


def is_seckey(seckey: bytes) -> bool:
    """Whether these are 32 bytes of a number from 1 to the group order less one."""
    lib = _library()
    return len(seckey) == 32 and bool(lib.seckey_verify(lib.context, seckey))


def _serialized(lib: _Library, point: ctypes.Array[ctypes.c_char]) -> bytes:
    scratch = _scratch
    scratch.size.value = 33
    lib.pubkey_serialize(lib.context, scratch.key, ctypes.byref(scratch.size), point, _COMPRESSED)
    return scratch.key.raw


def pubkey_of(seckey: bytes) -> bytes:
    """The compressed public key (33 bytes) of a secret key (32 bytes).

    Raises:
        InputError: The secret key is out of range; its value is not in the message.
    """
    lib = _library()
    point = _scratch.point
    if len(seckey) != 32 or not lib.pubkey_create(lib.context, point, seckey):
        raise InputError("secret key is out of range")
    return _serialized(lib, point)


@functools.lru_cache(maxsize=256)
def _parsed(pubkey: bytes) -> bytes | None:
    """libsecp256k1's 64 bytes of a point: few keys have many children, and parsing is a fifth of a step."""
    point = _scratch.point
    lib = _library()
    if not _pubkey_form(pubkey) or not lib.pubkey_parse(lib.context, point, pubkey, len(pubkey)):
        return None
    return point.raw


def pubkey_tweak_add(pubkey: bytes, tweak: bytes) -> bytes | None:
    """`pubkey + tweak*G`, as BIP32's CKDpub needs it.

    Args:
        pubkey: 33 bytes.
        tweak: 32 bytes.

    Returns:
        33 bytes, or None when the key is not a point, the tweak is out of range or the sum is infinity.
    """
    parent = _parsed(pubkey)
    if parent is None or len(tweak) != 32:
        return None
    lib = _library()
    point = _scratch.point
    point.raw = parent
    if not lib.pubkey_tweak_add(lib.context, point, tweak):
        return None
    return _serialized(lib, point)


def seckey_tweak_add(seckey: bytes, tweak: bytes) -> bytes | None:
    """`seckey + tweak` modulo the group order, as BIP32's CKDpriv needs it; None when out of range."""
    if len(seckey) != 32 or len(tweak) != 32:
        return None
    lib = _library()
    buffer = ctypes.create_string_buffer(seckey, 32)
    if not lib.seckey_tweak_add(lib.context, buffer, tweak):
        return None
    result = buffer.raw
    ctypes.memset(buffer, 0, 32)
    return result


def _sign(lib: _Library, seckey: bytes, digest: bytes) -> bytes:
    scratch = _scratch
    context, signature, compact, sign = lib.context, scratch.signature, scratch.compact, lib.sign
    extra: bytes | None = None
    counter = 0
    while True:
        if not sign(context, signature, digest, seckey, None, extra):
            raise InputError("secret key is out of range")
        lib.serialize_compact(context, compact, signature)
        if compact[0] < b"\x80":
            break
        counter += 1
        extra = counter.to_bytes(32, "little")
    scratch.size.value = 72
    lib.serialize_der(context, scratch.der, ctypes.byref(scratch.size), signature)
    return scratch.der.raw[: scratch.size.value]


def ecdsa_sign(seckey: bytes, digest: bytes) -> bytes:
    """Sign a digest as Bitcoin Core does, byte for byte.

    RFC6979 nonce, low S, and a low R found by counting up the extra entropy (its `CKey::Sign`).

    Args:
        seckey: 32 bytes.
        digest: 32 bytes.

    Returns:
        Strict DER, at most 70 bytes, without a sighash type.

    Raises:
        InputError: The secret key is out of range, or a length is wrong; no value is in the message.
    """
    if len(seckey) != 32 or len(digest) != 32:
        raise InputError("a secret key and a digest are 32 bytes each")
    return _sign(_library(), seckey, digest)


def _verify(lib: _Library, pubkey: bytes, digest: bytes, der: bytes) -> bool:
    scratch = _scratch
    context, point, signature = lib.context, scratch.point, scratch.signature
    return (
        len(digest) == 32
        and _pubkey_form(pubkey)
        and lib.parse_der(context, signature, der, len(der)) == 1
        and lib.normalize(context, None, signature) == 0
        and lib.pubkey_parse(context, point, pubkey, len(pubkey)) == 1
        and lib.verify(context, signature, digest, point) == 1
    )


def ecdsa_verify(pubkey: bytes, digest: bytes, der: bytes) -> bool:
    """Whether a signature is valid, in strict DER (BIP66) and with a low S (BIP146).

    Args:
        pubkey: 33 or 65 bytes.
        digest: 32 bytes.
        der: The signature without its sighash type.
    """
    return _verify(_library(), pubkey, digest, der)


def _cores() -> int:
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(count, _MAX_THREADS)


def verify_batch(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """Verify many signatures, on every core when there are enough of them.

    Args:
        items: Public key, digest and DER signature of each, as for `ecdsa_verify`.

    Returns:
        One answer an item, in order.
    """
    lib = _library()
    threads = _cores() if len(items) >= _THREADED_FROM else 1
    if threads == 1:
        return [_verify(lib, *item) for item in items]
    answers = [False] * len(items)

    def work(first: int) -> None:
        for number in range(first, len(items), threads):
            answers[number] = _verify(lib, *items[number])

    helpers = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(1, threads)]
    for helper in helpers:
        helper.start()
    work(0)
    for helper in helpers:
        helper.join()
    return answers


_GENERATOR: Final = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
_DOUBLED: Final = bytes.fromhex("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")
_ONE: Final = (1).to_bytes(32, "big")
# Key 1, SHA-256 of "Satoshi Nakamoto": the RFC6979 vector that most implementations share.
_DIGEST: Final = bytes.fromhex("a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e")
_SIGNATURE: Final = bytes.fromhex(
    "3045022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d802202442ce9d2b916064"
    "108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
)


def _check_known_answers(lib: _Library) -> None:
    """Refuse a library that computes something else than is known."""
    scratch = _scratch
    point, signature = scratch.point, scratch.signature
    good = lib.pubkey_create(lib.context, point, _ONE) == 1 and _serialized(lib, point) == _GENERATOR
    good = good and lib.pubkey_tweak_add(lib.context, point, _ONE) == 1 and _serialized(lib, point) == _DOUBLED
    good = good and lib.sign(lib.context, signature, _DIGEST, _ONE, None, None) == 1
    scratch.size.value = 72
    lib.serialize_der(lib.context, scratch.der, ctypes.byref(scratch.size), signature)
    good = good and scratch.der.raw[: scratch.size.value] == _SIGNATURE
    good = good and _verify(lib, _GENERATOR, _DIGEST, _SIGNATURE)
    good = good and not _verify(lib, _GENERATOR, _ONE, _SIGNATURE)
    if not good:
        raise UsageError("libsecp256k1 gives wrong answers on this machine", hint=_REINSTALL)
