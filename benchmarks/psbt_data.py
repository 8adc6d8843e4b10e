"""Deterministic 2-of-3 P2WSH sortedmulti PSBTs for the benchmarks, and for tests of size.

`make(folder, n)` writes keys.json, unsigned.psbt, signed-a.psbt, signed-b.psbt, combined.psbt and final.hex for a spend
of n inputs, and bad-a.psbt: signed-a whose first signature is over another message. Per input: the previous
transaction (a 1-in 2-out P2WPKH one with its witness), the witness UTXO, the witness script and three key origins; two
outputs: a foreign P2WPKH one, and change with its script and origins. It is written with the bitcoin room and bytes
alone, so that nothing of `wormsig.psbt` measures or tests itself.

    python benchmarks/psbt_data.py FOLDER [INPUTS ...]
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from wormsig.bitcoin.keys import ExtendedPrivateKey, parse_path
from wormsig.bitcoin.script import dsha256, hash160, multisig_script, p2wsh_script
from wormsig.bitcoin.secp import ecdsa_sign
from wormsig.bitcoin.tx import write_compact

ACCOUNT = "48h/1h/0h/2h"
AMOUNT = 100_000
SEQUENCE = b"\xfd\xff\xff\xff"
LOCKTIME = bytes(4)
VERSION = b"\x02\x00\x00\x00"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sized(data: bytes) -> bytes:
    return write_compact(len(data)) + data


def record(key_type: int, value: bytes, key: bytes = b"") -> bytes:
    return sized(bytes([key_type]) + key) + sized(value)


@dataclass(frozen=True)
class Coin:
    """One input: what it spends, and who can."""

    outpoint: bytes
    previous: bytes
    output: bytes
    script: bytes
    origins: dict[bytes, bytes]
    seckeys: tuple[bytes, ...]
    pubkeys: tuple[bytes, ...]


class Cosigners:
    """Three people with fixed seeds."""

    def __init__(self) -> None:
        seeds = [sha256(b"wormsig bench cosigner " + name) for name in (b"a", b"b", b"c")]
        self.masters = [ExtendedPrivateKey.from_seed(seed, mainnet=False) for seed in seeds]
        self.accounts = [master.derive(parse_path(ACCOUNT)) for master in self.masters]
        self.branches = [[account.child(branch) for account in self.accounts] for branch in (0, 1)]

    def keys(self, branch: int, index: int) -> list[ExtendedPrivateKey]:
        return [key.child(index) for key in self.branches[branch]]

    def origins(self, keys: list[ExtendedPrivateKey], branch: int, index: int) -> dict[bytes, bytes]:
        path = struct.pack("<6I", *parse_path(f"{ACCOUNT}/{branch}/{index}"))
        pairs = zip(self.masters, keys, strict=True)
        return dict(sorted((key.pubkey, master.fingerprint + path) for master, key in pairs))

    def described(self, inputs: int, digests: list[bytes]) -> dict[str, object]:
        """What keys.json says."""
        expressions = []
        cosigners = []
        for name, master, account in zip("abc", self.masters, self.accounts, strict=True):
            fingerprint = master.fingerprint.hex()
            expressions.append(f"[{fingerprint}/{ACCOUNT}]{account.neuter().text()}/<0;1>/*")
            cosigners.append(
                {
                    "name": name,
                    "master_tprv": master.text(),
                    "fingerprint": fingerprint,
                    "path": "m/" + ACCOUNT,
                    "account_tprv": account.text(),
                    "account_tpub": account.neuter().text(),
                }
            )
        return {
            "inputs": inputs,
            "threshold": 2,
            "cosigners": cosigners,
            "sighashes": [digest.hex() for digest in digests],
            "descriptor": f"wsh(sortedmulti(2,{','.join(expressions)}))",
        }


def coin(people: Cosigners, index: int) -> Coin:
    keys = people.keys(0, index)
    pubkeys = tuple(key.pubkey for key in keys)
    script = multisig_script(2, sorted(pubkeys))
    output = struct.pack("<q", AMOUNT) + sized(p2wsh_script(script))
    salt = sha256(b"funding %d" % index)
    body = b"\x01" + salt + bytes(4) + b"\x00" + SEQUENCE
    body += b"\x02" + struct.pack("<q", 250_000 + index) + sized(b"\x00\x14" + salt[:20]) + output
    witness = b"\x02" + sized(b"\x30\x44" + (salt * 3)[:69]) + sized(b"\x02" + salt)
    return Coin(
        dsha256(VERSION + body + LOCKTIME) + struct.pack("<I", 1),
        VERSION + b"\x00\x01" + body + witness + LOCKTIME,
        output,
        script,
        people.origins(keys, 0, index),
        tuple(key.seckey for key in keys),
        pubkeys,
    )


@dataclass(frozen=True)
class Spend:
    """The transaction, and everything that goes into its PSBTs."""

    people: Cosigners
    coins: list[Coin]
    change_script: bytes
    change_origins: dict[bytes, bytes]
    body: bytes
    digests: list[bytes]
    signatures: list[list[tuple[bytes, bytes]]]

    @property
    def unsigned(self) -> bytes:
        return VERSION + self.body + LOCKTIME

    @property
    def final(self) -> bytes:
        stacks = []
        for here, pair in zip(self.coins, self.signatures, strict=True):
            ordered = b"".join(sized(signature) for _, signature in sorted(pair))
            stacks.append(b"\x04\x00" + ordered + sized(here.script))
        return VERSION + b"\x00\x01" + self.body + b"".join(stacks) + LOCKTIME

    def psbt(self, signers: tuple[int, ...]) -> bytes:
        parts = [b"psbt\xff", record(0, self.unsigned), b"\x00"]
        for here, pair in zip(self.coins, self.signatures, strict=True):
            parts += [record(0, here.previous), record(1, here.output)]
            chosen = sorted((pair[who] for who in signers), key=lambda signed: hash160(signed[0]))
            parts += [record(2, signature, pubkey) for pubkey, signature in chosen]
            parts.append(record(5, here.script))
            parts += [record(6, origin, pubkey) for pubkey, origin in here.origins.items()]
            parts.append(b"\x00")
        parts += [b"\x00", record(1, self.change_script)]
        parts += [record(2, origin, pubkey) for pubkey, origin in self.change_origins.items()]
        return b"".join([*parts, b"\x00"])


def digests_of(coins: list[Coin], outputs: bytes) -> list[bytes]:
    """BIP143, written out again so that the sighash code is not its own witness."""
    middle = dsha256(b"".join(here.outpoint for here in coins)) + dsha256(SEQUENCE * len(coins))
    tail = SEQUENCE + dsha256(outputs) + LOCKTIME + struct.pack("<I", 1)
    amount = struct.pack("<q", AMOUNT)
    return [dsha256(VERSION + middle + here.outpoint + sized(here.script) + amount + tail) for here in coins]


def spend(inputs: int, first: int = 0) -> Spend:
    people = Cosigners()
    coins = [coin(people, index) for index in range(first, first + inputs)]
    change_keys = people.keys(1, 0)
    change_script = multisig_script(2, sorted(key.pubkey for key in change_keys))
    paid = AMOUNT * inputs * 6 // 10
    change = AMOUNT * inputs - paid - 10 * (85 + 105 * inputs)
    outputs = struct.pack("<q", paid) + sized(b"\x00\x14" + sha256(b"payee")[:20])
    outputs += struct.pack("<q", change) + sized(p2wsh_script(change_script))
    body = write_compact(inputs) + b"".join(here.outpoint + b"\x00" + SEQUENCE for here in coins)
    body += b"\x02" + outputs
    digests = digests_of(coins, outputs)
    signatures = [
        [(here.pubkeys[who], ecdsa_sign(here.seckeys[who], digest) + b"\x01") for who in (0, 1)]
        for here, digest in zip(coins, digests, strict=True)
    ]
    origins = people.origins(change_keys, 1, 0)
    return Spend(people, coins, change_script, origins, body, digests, signatures)


def make(folder: Path, inputs: int, first: int = 0) -> int:
    """Write the files for a spend of this many inputs, from an index on; returns the bytes of unsigned.psbt."""
    folder.mkdir(parents=True, exist_ok=True)
    made = spend(inputs, first)
    files = {"unsigned": (), "signed-a": (0,), "signed-b": (1,), "combined": (0, 1)}
    for name, signers in files.items():
        (folder / f"{name}.psbt").write_bytes(made.psbt(signers))
    (folder / "final.hex").write_text(made.final.hex())
    (folder / "keys.json").write_text(json.dumps(made.people.described(inputs, made.digests), indent=1))
    wrong = ecdsa_sign(made.coins[0].seckeys[0], sha256(b"another message")) + b"\x01"
    made.signatures[0][0] = (made.coins[0].pubkeys[0], wrong)
    (folder / "bad-a.psbt").write_bytes(made.psbt((0,)))
    return (folder / "unsigned.psbt").stat().st_size


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for inputs in [int(text) for text in sys.argv[2:]] or [1, 10, 100, 1000]:
        print(f"{inputs} inputs: {make(Path(sys.argv[1]) / str(inputs), inputs)} bytes")


if __name__ == "__main__":
    main()
