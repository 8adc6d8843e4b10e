"""Miniscript (BIP379) to script: a tree of fragments becomes, once, bytes with gaps for keys, filled at every index.

Which fragments may stand where is not looked at: btclib-wallet did that when the wallet was imported, and compared
what comes out here with its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin.script import hash160, push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.wallet.policy import Node

_AROUND: Final[dict[str, tuple[bytes, ...]]] = {
    "a": (b"\x6b", b"\x6c"),  # TOALTSTACK x FROMALTSTACK
    "s": (b"\x7c", b""),  # SWAP x
    "c": (b"", b"\xac"),  # x CHECKSIG
    "d": (b"\x76\x63", b"\x68"),  # DUP IF x ENDIF
    "j": (b"\x82\x92\x63", b"\x68"),  # SIZE 0NOTEQUAL IF x ENDIF
    "n": (b"", b"\x92"),  # x 0NOTEQUAL
    "and_v": (b"", b"", b""),
    "and_b": (b"", b"", b"\x9a"),  # x y BOOLAND
    "or_b": (b"", b"", b"\x9b"),  # x z BOOLOR
    "or_c": (b"", b"\x64", b"\x68"),  # x NOTIF z ENDIF
    "or_d": (b"", b"\x73\x64", b"\x68"),  # x IFDUP NOTIF z ENDIF
    "or_i": (b"\x63", b"\x67", b"\x68"),  # IF x ELSE z ENDIF
}
"""What stands before, between and behind a fragment's expressions."""
_HASHES: Final = {"sha256": b"\xa8", "hash256": b"\xaa", "ripemd160": b"\xa6", "hash160": b"\xa9"}
_VERIFY: Final = {0x87: b"\x88", 0x9C: b"\x9d", 0xAC: b"\xad", 0xAE: b"\xaf"}
"""EQUAL, NUMEQUAL, CHECKSIG, CHECKMULTISIG: opcodes that have a form which verifies."""
_THEN_VERIFY: Final = b"\x69"


class Gap(msgspec.Struct, frozen=True):
    """Where a key goes.

    Attributes:
        use: Its position among the policy's uses.
        hashed: Its HASH160 instead of the key.
    """

    use: int
    hashed: bool = False


Pieces = tuple["bytes | Gap", ...]


def assemble(node: Node, *, tapscript: bool) -> Pieces:
    """The script of an expression, with gaps where keys go.

    Args:
        node: The expression.
        tapscript: Keys have 32 bytes, in a witnessScript 33.
    """
    return _joined(_pieces(node, b"\x20" if tapscript else b"\x21"))


def filled(pieces: Pieces, keys: Sequence[bytes]) -> bytes:
    """A script with its keys.

    Args:
        pieces: From `assemble`.
        keys: By position among the policy's uses; x-only for tapscript.
    """
    parts = []
    for piece in pieces:
        if isinstance(piece, bytes):
            parts.append(piece)
        else:
            key = keys[piece.use]
            parts.append(hash160(key) if piece.hashed else key)
    return b"".join(parts)


def script_number(value: int) -> bytes:
    """The push of a number that is not negative, as miniscript wants it: OP_0 to OP_16, else the fewest bytes."""
    if value <= 16:
        return bytes((0x50 + value if value else 0,))
    return push(value.to_bytes(value.bit_length() // 8 + 1, "little"))


def _pieces(node: Node, width: bytes) -> list[bytes | Gap]:
    name = node.name
    around = _AROUND.get(name)
    found: list[bytes | Gap] = []
    if around is not None:
        for before, sub in zip(around, node.subs, strict=False):
            found += (before, *_pieces(sub, width))
        found.append(around[-1])
    elif name == "v":
        found = _verified(_joined(_pieces(node.subs[0], width)))
    elif name == "andor":
        x, y, z = (_pieces(sub, width) for sub in node.subs)
        found = [*x, b"\x64", *z, b"\x67", *y, b"\x68"]  # x NOTIF z ELSE y ENDIF
    elif name == "thresh":
        found += _pieces(node.subs[0], width)
        for sub in node.subs[1:]:
            found += (*_pieces(sub, width), b"\x93")  # ADD
        found.append(script_number(node.number) + b"\x87")
    else:
        found = _leaf(node, width)
    return found


def _leaf(node: Node, width: bytes) -> list[bytes | Gap]:
    """A fragment without expressions in it."""
    name = node.name
    found: list[bytes | Gap] = []
    if name in {"0", "1"}:
        return [b"\x00" if name == "0" else b"\x51"]
    if name in {"older", "after"}:
        return [script_number(node.number) + (b"\xb2" if name == "older" else b"\xb1")]
    if name in _HASHES:
        return [b"\x82\x01\x20\x88" + _HASHES[name] + push(node.digest) + b"\x87"]
    if name in {"pk_k", "pk_h"}:
        key = node.keys[0]
        return [width, Gap(key)] if name == "pk_k" else [b"\x76\xa9\x14", Gap(key, hashed=True), b"\x88"]
    if name == "multi":
        for use in node.keys:
            found += (width, Gap(use))
        return [script_number(node.number), *found, script_number(len(node.keys)) + b"\xae"]
    for at, use in enumerate(node.keys):  # multi_a
        found += (width, Gap(use), b"\xba" if at else b"\xac")
    return [*found, script_number(node.number) + b"\x9c"]


def _verified(pieces: Pieces) -> list[bytes | Gap]:
    """With a last opcode that verifies, or OP_VERIFY behind it.

    What a complete expression ends in is an opcode, never data, so its last byte says which one.
    """
    *rest, last = pieces
    verifying = _VERIFY.get(last[-1]) if isinstance(last, bytes) else None
    if verifying is None or not isinstance(last, bytes):
        return [*pieces, _THEN_VERIFY]
    return [*rest, last[:-1] + verifying]


def _joined(pieces: list[bytes | Gap]) -> Pieces:
    """Neighbouring bytes put together, empty ones left out."""
    found: list[bytes | Gap] = []
    for piece in pieces:
        if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += piece
        elif piece != b"":
            found.append(piece)
    return tuple(found)
