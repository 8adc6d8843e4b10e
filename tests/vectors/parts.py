"""What every vector is made of: the people, the coin, the correct PSBT, and the collection.

Written with the bitcoin room and bytes alone. Keys in it are public: never use them.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING, Any

from wormsig.bitcoin.keys import ExtendedPrivateKey, parse_path
from wormsig.bitcoin.script import dsha256, hash160, multisig_script, p2wsh_script
from wormsig.bitcoin.secp import ecdsa_sign
from wormsig.bitcoin.sighash import Sighasher
from wormsig.bitcoin.tx import parse_transaction, write_compact

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141

Fields = list[tuple[bytes, bytes]]
Maps = list[Fields]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sized(data: bytes) -> bytes:
    return write_compact(len(data)) + data


def txout(sats: int, script: bytes) -> bytes:
    return struct.pack("<q", sats) + sized(script)


def write(maps: Maps) -> bytes:
    return b"psbt\xff" + b"".join(b"".join(sized(k) + sized(v) for k, v in fields) + b"\x00" for fields in maps)


# The people, their keys, the coin and the payment.
MASTERS = [
    ExtendedPrivateKey.from_seed(sha256(b"psbt-v0 vectors " + name), mainnet=False) for name in (b"a", b"b", b"c")
]
PATH = parse_path("48h/1h/0h/2h/0/0")
KEYS = sorted((master.derive(PATH) for master in MASTERS), key=lambda key: key.pubkey)
ORIGINS = {master.derive(PATH).pubkey: master.fingerprint + struct.pack("<6I", *PATH) for master in MASTERS}
PUBS = [key.pubkey for key in KEYS]
SCRIPT = multisig_script(2, PUBS)
SATS = 1_000_000
PAID = txout(SATS, p2wsh_script(SCRIPT))
PREVIOUS_BODY = b"\x01" + sha256(b"coin") + bytes(4) + b"\x00" + b"\xff" * 4 + b"\x02" + txout(7, b"\x51") + PAID
PREVIOUS = b"\x02\x00\x00\x00\x00\x01" + PREVIOUS_BODY + b"\x01" + sized(b"\x01" * 64) + bytes(4)
TXID = dsha256(b"\x02\x00\x00\x00" + PREVIOUS_BODY + bytes(4))
PAYMENT = txout(400_000, b"\x00\x14" + hash160(b"payee"))
CHANGE = txout(599_000, p2wsh_script(SCRIPT))
INPUT = TXID + b"\x01\x00\x00\x00" + b"\x00" + b"\xfd\xff\xff\xff"
TX = b"\x02\x00\x00\x00\x01" + INPUT + b"\x02" + PAYMENT + CHANGE + bytes(4)
XPUB = MASTERS[0].derive(PATH[:4]).neuter().to_bytes()

OFF_CURVE = b"\x02" + (5).to_bytes(32, "big")
GENERATOR = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
HYBRID = b"\x06" + GENERATOR[1:]  # a point, in the form that policy refuses
XONLY = PUBS[0][1:]
X_OFF_CURVE = OFF_CURVE[1:]
LEAF = sha256(b"leaf")
CONTROL = b"\xc0" + XONLY
ORIGIN = ORIGINS[PUBS[0]]


def k(key_type: int, data: bytes = b"") -> bytes:
    return bytes([key_type]) + data


def base() -> Maps:
    """The correct PSBT: global, one input, a payment and change."""
    return [
        [(k(0), TX)],
        [(k(0), PREVIOUS), (k(1), PAID), (k(5), SCRIPT), *[(k(6, p), ORIGINS[p]) for p in PUBS]],
        [],
        [(k(1), SCRIPT), *[(k(2, p), ORIGINS[p]) for p in PUBS]],
    ]


def digest(sighash: int = 1, tx: bytes = TX) -> bytes:
    return Sighasher(parse_transaction(tx, allow_witness=False)).segwit_v0(0, SCRIPT, SATS, sighash)


def signature(who: int, sighash: int = 1, tx: bytes = TX) -> bytes:
    return ecdsa_sign(KEYS[who].seckey, digest(sighash, tx)) + bytes([sighash])


def high_s(signed: bytes) -> bytes:
    """The same signature with the other S, which verifies as well but is not canonical (BIP146)."""
    r_size = signed[3]
    r, s = signed[4 : 4 + r_size], signed[6 + r_size : -1]
    other = (ORDER - int.from_bytes(s, "big")).to_bytes(33, "big")
    body = b"\x02" + bytes([r_size]) + r + b"\x02\x21" + other
    return b"\x30" + bytes([len(body)]) + body + signed[-1:]


def padded_der(signed: bytes) -> bytes:
    """R with a needless leading zero: not strict DER (BIP66)."""
    body = b"\x02" + bytes([signed[3] + 1]) + b"\x00" + signed[4:-1]
    return b"\x30" + bytes([len(body)]) + body + signed[-1:]


class Collection:
    """The vectors, in order.

    Args:
        start: Makes the correct PSBT that each fault is put into.
    """

    def __init__(self, start: Callable[[], Maps] = base) -> None:
        self.cases: list[dict[str, Any]] = []
        self.start = start

    def raw(self, name: str, what: str, expect: str, data: bytes, **more: Any) -> None:  # JSON
        assert name not in {case["id"] for case in self.cases}, name
        stated = {key: value for key, value in more.items() if value is not None}
        case = {"id": name, "what": what, "expect": expect, **stated}
        self.cases.append({**case, "psbt": base64.b64encode(data).decode()})

    def invalid(self, name: str, what: str, data: bytes, where: str | None = None, field: str | None = None) -> None:
        self.raw(name, what, "invalid", data, where=where, field=field)

    def fault(  # noqa: PLR0917  # a row of a table
        self, place: int, key: bytes, value: bytes, field: str, name: str, what: str
    ) -> None:
        """One malformed field in one map (0 global, 1 input, 3 change), instead of the one with its key."""
        maps = with_field(place, key, value, self.start())
        where = ("global map", "input 0", "output 0", "output 1")[place]
        self.invalid(name, what, write(maps), where, field)

    def valid(self, name: str, what: str, maps: Maps, **more: Any) -> None:  # JSON
        self.raw(name, what, "valid", write(maps), **more)

    def refused(self, name: str, what: str, maps: Maps, field: str) -> None:
        self.raw(name, what, "signer-refuses", write(maps), where="input 0", field=field)

    def bad_signature(self, name: str, what: str, problem: str, key: bytes, value: bytes) -> None:
        maps = with_field(1, k(2, key), value, self.start())
        self.raw(name, what, "bad-signature", write(maps), where="input 0", problem=problem)


def with_field(place: int, key: bytes, value: bytes, maps: Maps | None = None) -> Maps:
    """The base with one field set."""
    maps = maps or base()
    kept = [(held, other) for held, other in maps[place] if held != key]
    maps[place] = sorted([*kept, (key, value)])
    return maps


def without(place: int, key: bytes) -> Maps:
    maps = base()
    maps[place] = [(held, other) for held, other in maps[place] if held != key]
    return maps


def with_tx(tx: bytes) -> bytes:
    return write(with_field(0, k(0), tx))


def preimages(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    ripe = hashlib.new("ripemd160", data).digest()
    return ripe, sha256(data), hash160(data), dsha256(data)
