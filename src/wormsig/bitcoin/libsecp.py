"""Where libsecp256k1 comes from, and its functions with their argument types, ready for ctypes.

The library comes with the btclib-secp256k1 wheel (docs/adr/0003): its extension module exports libsecp256k1, and is
opened with ctypes without importing it. It is loaded at first use; the symbols and known answers are checked then.
The same library is handed to bitcointx by `equip_bitcointx`, for the few places that use its key objects.

What is computed with it stands in `secp` (keys, ECDSA), `ckd`, `schnorr` and `musig`; nothing else calls the library.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from typing import Any, Final

from wormsig.errors import UsageError

EXTENSION: Final = "_btclib_secp256k1"

COMPRESSED: Final = 258
"""The flag for public keys of 33 bytes."""
KEYPAIR_SIZE: Final = 96

MAX_DER: Final = 72
"""Bytes of the longest ECDSA signature; no public key is longer either."""

_CONTEXT_NONE: Final = 1  # libsecp256k1 0.2 and later: contexts do everything

PointPair: Final = ctypes.c_void_p * 2

_BYTES, _CONTEXT, _SIZE = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
_SYMBOLS: Final[dict[str, tuple[Any, ...]]] = {
    "context_randomize": (_CONTEXT, _BYTES),
    "ec_pubkey_parse": (_CONTEXT, _BYTES, _BYTES, _SIZE),
    "ec_pubkey_serialize": (_CONTEXT, _BYTES, ctypes.POINTER(_SIZE), _BYTES, ctypes.c_uint),
    "ec_pubkey_create": (_CONTEXT, _BYTES, _BYTES),
    "ec_pubkey_combine": (_CONTEXT, _BYTES, PointPair, _SIZE),
    "ec_pubkey_tweak_add": (_CONTEXT, _BYTES, _BYTES),
    "ec_seckey_verify": (_CONTEXT, _BYTES),
    "ec_seckey_negate": (_CONTEXT, _BYTES),
    "ec_seckey_tweak_add": (_CONTEXT, _BYTES, _BYTES),
    "ecdsa_signature_parse_der": (_CONTEXT, _BYTES, _BYTES, _SIZE),
    "ecdsa_signature_serialize_der": (_CONTEXT, _BYTES, ctypes.POINTER(_SIZE), _BYTES),
    "ecdsa_sign": (_CONTEXT, _BYTES, _BYTES, _BYTES, ctypes.c_void_p, _BYTES),
    "ecdsa_verify": (_CONTEXT, _BYTES, _BYTES, _BYTES),
    "xonly_pubkey_parse": (_CONTEXT, _BYTES, _BYTES),
    "keypair_create": (_CONTEXT, _BYTES, _BYTES),
    "schnorrsig_sign32": (_CONTEXT, _BYTES, _BYTES, _BYTES, _BYTES),
    "schnorrsig_verify": (_CONTEXT, _BYTES, _BYTES, _SIZE, _BYTES),
    "musig_pubkey_agg": (_CONTEXT, _BYTES, _BYTES, ctypes.c_void_p, _SIZE),
    "musig_pubkey_get": (_CONTEXT, _BYTES, _BYTES),
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
        self.addend = ctypes.create_string_buffer(64)
        self.sum = ctypes.create_string_buffer(64)
        self.addends = PointPair(ctypes.addressof(self.point), ctypes.addressof(self.addend))
        self.signature = ctypes.create_string_buffer(64)
        self.key = ctypes.create_string_buffer(33)
        self.der = ctypes.create_string_buffer(MAX_DER)
        self.size = ctypes.c_size_t()


class Library:
    """The loaded library: one context, randomised once, and the functions with their argument types.

    Args:
        path: Of the shared library.

    Raises:
        UsageError: It lacks a function, or cannot be initialised.
    """

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
        self.pubkey_combine = handle.secp256k1_ec_pubkey_combine
        self.pubkey_tweak_add = handle.secp256k1_ec_pubkey_tweak_add
        self.seckey_verify = handle.secp256k1_ec_seckey_verify
        self.seckey_negate = handle.secp256k1_ec_seckey_negate
        self.seckey_tweak_add = handle.secp256k1_ec_seckey_tweak_add
        self.parse_der = locked.secp256k1_ecdsa_signature_parse_der
        self.serialize_der = locked.secp256k1_ecdsa_signature_serialize_der
        self.ecdsa_sign = handle.secp256k1_ecdsa_sign
        self.ecdsa_verify = handle.secp256k1_ecdsa_verify
        self.xonly_parse = handle.secp256k1_xonly_pubkey_parse
        self.keypair_create = handle.secp256k1_keypair_create
        self.schnorr_sign = handle.secp256k1_schnorrsig_sign32
        self.schnorr_verify = handle.secp256k1_schnorrsig_verify
        self.musig_pubkey_agg = handle.secp256k1_musig_pubkey_agg
        self.musig_pubkey_get = handle.secp256k1_musig_pubkey_get
        # For `ckd`, whose arguments have ctypes' own types already: create, combine, serialize.
        # The first, three quarters of a step, lets the interpreter lock go; the others take less than a switch.
        self.steps = (
            handle["secp256k1_ec_pubkey_create"],
            locked["secp256k1_ec_pubkey_combine"],
            locked["secp256k1_ec_pubkey_serialize"],
        )
        # For `points`, `secp` and private steps, likewise: every argument is an address, `bytes`, or one of `sizes`.
        self.parse = handle["secp256k1_ec_pubkey_parse"]
        self.sign = handle["secp256k1_ecdsa_sign"]
        self.verify = handle["secp256k1_ecdsa_verify"]
        self.read_der = locked["secp256k1_ecdsa_signature_parse_der"]
        self.write_der = locked["secp256k1_ecdsa_signature_serialize_der"]
        self.tweak = locked["secp256k1_ec_seckey_tweak_add"]
        self.sizes = tuple(map(_SIZE, range(MAX_DER + 1)))


scratch = _Scratch()
_lock = threading.Lock()
_loaded: Library | None = None


def library_path() -> str:
    """Where the shared library is.

    Raises:
        UsageError: The wheel is not installed.
    """
    spec = importlib.util.find_spec(EXTENSION)
    if spec is None or not spec.origin:
        raise UsageError("libsecp256k1 is missing: the package btclib-secp256k1 is not installed", hint=_REINSTALL)
    return spec.origin


def library() -> Library:
    """The library, loaded and checked at the first call.

    Raises:
        UsageError: It is missing, or computes something else than is known.
    """
    return _loaded or _load()


def _load() -> Library:
    global _loaded  # noqa: PLW0603  # a shared library is loaded once a process; the lock makes it once
    with _lock:
        if _loaded is None:
            path = library_path()
            try:
                loaded = Library(path)
            except OSError as error:
                raise UsageError(f"libsecp256k1 cannot be loaded: {error}", hint=_REINSTALL) from None
            _check_known_answers(loaded)
            _loaded = loaded
    return _loaded


def equip_bitcointx() -> None:
    """Hand the library to bitcointx, which finds none by itself; needed before its keys or script checks are used.

    Uses bitcointx's private names, hence its exact pin (docs/adr/0002).

    Raises:
        UsageError: The library is missing.
    """
    loaded = library()
    # Slow to import (0.1 s), and most commands need only the fast paths.
    from bitcointx.core import secp256k1 as module  # noqa: PLC0415

    with _lock:
        if module._secp256k1 is not None:  # noqa: SLF001  # no public way to hand over a loaded library
            return
        handle = ctypes.CDLL(loaded.path)
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


def serialized(lib: Library, point: ctypes.Array[ctypes.c_char]) -> bytes:
    """The 33 bytes of a point that the library holds in its own form."""
    scratch.size.value = 33
    lib.pubkey_serialize(lib.context, scratch.key, ctypes.byref(scratch.size), point, COMPRESSED)
    return scratch.key.raw


_GENERATOR: Final = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
_DOUBLED: Final = bytes.fromhex("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")
_TRIPLED: Final = bytes.fromhex("02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9")
_ONE: Final = (1).to_bytes(32, "big")
_THREE: Final = (3).to_bytes(32, "big")
# Key 1, SHA-256 of "Satoshi Nakamoto": the RFC6979 vector that most implementations share.
_DIGEST: Final = bytes.fromhex("a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e")
_SIGNATURE: Final = bytes.fromhex(
    "3045022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d802202442ce9d2b916064"
    "108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
)
# The same with its S negated: true as an equation, but high, and libsecp256k1 is relied on to refuse it.
_HIGH_SIGNATURE: Final = bytes.fromhex(
    "3046022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8022100dbbd3162d46e9f9b"
    "ef7feb87c16dc13b4f6568a87f4e83f728e2443ba586675c"
)
# BIP340, test vector 0: key 3, digest and auxiliary bytes all zero.
_SCHNORR_SIGNATURE: Final = bytes.fromhex(
    "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca821525f66a4a85ea8b71e482a74f382d2ce5"
    "ebeee8fdb2172f477df4900d310536c0"
)


def _ecdsa_is_right(lib: Library) -> bool:
    context, signature, point = lib.context, scratch.signature, scratch.point
    good: bool = lib.ecdsa_sign(context, signature, _DIGEST, _ONE, None, None) == 1
    scratch.size.value = 72
    lib.serialize_der(context, scratch.der, ctypes.byref(scratch.size), signature)
    good = good and scratch.der.raw[: scratch.size.value] == _SIGNATURE
    good = good and lib.pubkey_parse(context, point, _GENERATOR, 33) == 1
    for der, digest, valid in ((_SIGNATURE, _DIGEST, 1), (_SIGNATURE, _ONE, 0), (_HIGH_SIGNATURE, _DIGEST, 0)):
        good = good and lib.parse_der(context, signature, der, len(der)) == 1
        good = good and lib.ecdsa_verify(context, signature, digest, point) == valid
    return good


def _schnorr_is_right(lib: Library) -> bool:
    context, signature, point = lib.context, scratch.signature, scratch.point
    pair = ctypes.create_string_buffer(KEYPAIR_SIZE)
    zeros = bytes(32)
    good: bool = lib.keypair_create(context, pair, _THREE) == 1
    good = good and lib.schnorr_sign(context, signature, zeros, pair, zeros) == 1
    good = good and signature.raw == _SCHNORR_SIGNATURE
    good = good and lib.xonly_parse(context, point, _TRIPLED[1:]) == 1
    good = good and lib.schnorr_verify(context, signature, zeros, 32, point) == 1
    return good and lib.schnorr_verify(context, signature, _ONE, 32, point) == 0


def _points_are_right(lib: Library) -> bool:
    context, point, total = lib.context, scratch.point, scratch.sum
    good: bool = lib.pubkey_create(context, point, _ONE) == 1 and serialized(lib, point) == _GENERATOR
    good = good and lib.pubkey_tweak_add(context, point, _ONE) == 1 and serialized(lib, point) == _DOUBLED
    good = good and lib.pubkey_create(context, scratch.addend, _ONE) == 1
    good = good and lib.pubkey_combine(context, total, scratch.addends, 2) == 1
    return good and serialized(lib, total) == _TRIPLED


def _check_known_answers(lib: Library) -> None:
    """Refuse a library that computes something else than is known, or says that it has and did not."""
    for buffer in (scratch.point, scratch.sum, scratch.signature):
        ctypes.memset(buffer, 0, 64)
    if not (_points_are_right(lib) and _ecdsa_is_right(lib) and _schnorr_is_right(lib)):
        raise UsageError("libsecp256k1 gives wrong answers on this machine", hint=_REINSTALL)
