"""The version 2 vectors (BIP370): the same coin and payment, with the transaction spread over the maps."""

from __future__ import annotations

import base64
import struct
from typing import Any

from parts import (
    INPUT,
    KEYS,
    PAID,
    PAYMENT,
    PREVIOUS,
    PUBS,
    SCRIPT,
    TX,
    TXID,
    Collection,
    Maps,
    k,
    signature,
    sized,
    with_field,
    write,
)
from parts import base as version_0

from wormsig.bitcoin.script import dsha256, hash160
from wormsig.bitcoin.tx import write_compact

RBF = b"\xfd\xff\xff\xff"
FINAL = b"\xff\xff\xff\xff"
TIME, HEIGHT = 1_700_000_000, 800_000
SECOND = bytes(range(32)) + b"\x05\x00\x00\x00"
"""Another coin: its txid and index."""

GLOBAL = {2: "TX_VERSION", 4: "INPUT_COUNT", 5: "OUTPUT_COUNT"}
IN = {0xE: "PREVIOUS_TXID", 0xF: "OUTPUT_INDEX"}
OUT = {3: "AMOUNT", 4: "SCRIPT"}
SIZES = {
    (0, 2): ("PSBT_GLOBAL_TX_VERSION", 4),
    (0, 3): ("PSBT_GLOBAL_FALLBACK_LOCKTIME", 4),
    (0, 6): ("PSBT_GLOBAL_TX_MODIFIABLE", 1),
    (1, 0xE): ("PSBT_IN_PREVIOUS_TXID", 32),
    (1, 0xF): ("PSBT_IN_OUTPUT_INDEX", 4),
    (1, 0x10): ("PSBT_IN_SEQUENCE", 4),
    (1, 0x11): ("PSBT_IN_REQUIRED_TIME_LOCKTIME", 4),
    (1, 0x12): ("PSBT_IN_REQUIRED_HEIGHT_LOCKTIME", 4),
    (2, 3): ("PSBT_OUT_AMOUNT", 8),
}
PLACES = ("global map", "input 0", "output 0", "output 1")


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def base() -> Maps:
    """The correct PSBT in version 2."""
    global_map = [(k(2), u32(2)), (k(3), bytes(4)), (k(4), b"\x01"), (k(5), b"\x02"), (k(0xFB), u32(2))]
    coin = [(k(0xE), TXID), (k(0xF), u32(1)), (k(0x10), RBF)]
    return [global_map, [*version_0()[1], *coin], paid(PAYMENT), [*version_0()[3], *paid(CHANGE)]]


CHANGE = TX[-4 - 43 : -4]


def paid(output: bytes) -> list[tuple[bytes, bytes]]:
    return [(k(3), output[:8]), (k(4), output[9:])]


def edited(*changes: tuple[int, int, bytes | None], maps: Maps | None = None) -> Maps:
    """The base with fields set, or taken out where the value is None."""
    maps = maps or base()
    for place, key_type, value in changes:
        if value is None:
            maps[place] = [(key, held) for key, held in maps[place] if key != k(key_type)]
        else:
            maps = with_field(place, k(key_type), value, maps)
    return maps


def second(*fields: tuple[bytes, bytes], maps: Maps | None = None) -> Maps:
    """With a second input of nothing but its outpoint and these fields."""
    maps = edited((0, 4, b"\x02"), maps=maps)
    maps.insert(2, sorted([(k(0xE), SECOND[:32]), (k(0xF), SECOND[32:]), *fields]))
    return maps


def tx_of(*, sequence: bytes = RBF, locktime: int = 0, version: int = 2, more: tuple[bytes, ...] = ()) -> bytes:
    """The transaction that the maps describe, byte by byte."""
    inputs = [INPUT[:-4] + sequence, *[SECOND + b"\x00" + held for held in more]]
    return u32(version) + bytes([len(inputs)]) + b"".join(inputs) + b"\x02" + PAYMENT + CHANGE + u32(locktime)


def told(tx: bytes) -> dict[str, Any]:
    """What a reader has to find: the unsigned transaction, its id and its locktime."""
    return {
        "unsigned_tx": tx.hex(),
        "txid": dsha256(tx)[::-1].hex(),
        "locktime": struct.unpack("<I", tx[-4:])[0],
    }


def in_version_0(tx: bytes, maps: Maps) -> dict[str, str]:
    return {"version_0": base64.b64encode(write([[(k(0), tx)], *maps])).decode()}


def accepted(add: Collection) -> None:
    """What a strict parser takes, with the transaction that it has to find."""
    add.valid("base", "2-of-3 P2WSH, nothing signed", base(), **told(tx_of()), **in_version_0(tx_of(), version_0()[1:]))
    signed = (k(2, PUBS[0]), signature(0))
    add.valid(
        "signed-one",
        "one signature",
        with_field(1, *signed, base()),
        **told(tx_of()),
        **in_version_0(tx_of(), [*with_field(1, *signed, version_0())[1:]]),
    )
    empty = [(k(2), u32(2)), (k(4), b"\x00"), (k(5), b"\x00"), (k(0xFB), u32(2))]
    add.valid("empty", "neither inputs nor outputs: as a creator makes it", [empty], **told(u32(2) + bytes(6)))
    add.valid("no-fallback-locktime", "no fallback locktime: 0", edited((0, 3, None)), **told(tx_of()))
    add.valid("fallback-locktime", "a fallback locktime", edited((0, 3, u32(HEIGHT))), **told(tx_of(locktime=HEIGHT)))
    final = tx_of(sequence=FINAL)
    add.valid("no-sequence", "no sequence: the final one", edited((1, 0x10, None)), **told(final))
    add.valid("sequence-final", "the final sequence, written", edited((1, 0x10, FINAL)), **told(final))
    for number, name in ((1, "1"), (0xFFFF_FFFF, "minus-1"), (0, "0")):
        maps = edited((0, 2, u32(number)))
        add.valid(f"tx-version-{name}", "another transaction version", maps, **told(tx_of(version=number)))
    for flags in (0, 1, 2, 3, 4, 7, 0x80, 0xFF):
        what = "modifiable flags; bits 3 to 7 have no meaning and are kept"
        add.valid(f"flags-{flags:02x}", what, edited((0, 6, bytes([flags]))), **told(tx_of()))
    bare = [base()[0], [(k(0xE), TXID), (k(0xF), u32(1))], paid(PAYMENT), paid(CHANGE)]
    add.valid("required-fields-alone", "nothing but what has to be there", bare, **told(tx_of(sequence=FINAL)))
    reverse = [list(reversed(fields)) for fields in base()]
    add.valid("any-order", "fields in another order", reverse, **told(tx_of()))
    add.valid("script-empty", "an output with an empty script", edited((2, 4, b"")))
    add.valid("amount-negative", "a negative amount: for a review to refuse", edited((2, 3, b"\xff" * 8)))
    for place, name in ((0, "global"), (1, "input"), (2, "output")):
        for key, kind in ((k(0xE0, b"key"), "unknown"), (k(0xFC, b"\x04wsig\x01key"), "proprietary")):
            add.valid(f"{kind}-{name}", f"a field that is {kind}", with_field(place, key, b"v", base()))
    for place, key, value, name in (
        (0, k(7, PUBS[0]), PUBS[1], "sp-ecdh-share-global"),
        (0, k(8, PUBS[0]), bytes(64), "sp-dleq-global"),
        (1, k(0x1D, PUBS[0]), PUBS[1], "sp-ecdh-share"),
        (1, k(0x1E, PUBS[0]), bytes(64), "sp-dleq"),
        (2, k(9), PUBS[0] + PUBS[1], "sp-info"),
        (2, k(0xA), u32(1), "sp-label"),
        (2, k(0x35), b"\x05alice" + b"proof", "dnssec-proof"),
    ):
        add.valid(f"later-{name}", "a field of BIP375 or BIP353", with_field(place, key, value, base()))
    stack = b"\x04\x00" + sized(signature(0)) + sized(signature(1)) + sized(SCRIPT)
    coin = [(k(0xE), TXID), (k(0xF), u32(1)), (k(0x10), RBF)]
    inputs = [(k(0), PREVIOUS), (k(1), PAID), (k(8), stack)]
    add.valid(
        "final",
        "a final input",
        [base()[0], [*inputs, *coin], *base()[2:]],
        **told(tx_of()),
        **in_version_0(tx_of(), [inputs, *version_0()[2:]]),
        tx=(TX[:4] + b"\x00\x01" + TX[4:-4] + stack + TX[-4:]).hex(),
    )


def locktimes(add: Collection) -> None:
    """Which locktime follows from what inputs require, and where none does."""
    height, time = (k(0x12), u32(HEIGHT)), (k(0x11), u32(TIME))
    low, early = (k(0x12), u32(1)), (k(0x11), u32(500_000_000))
    add.valid(
        "locktime-height",
        "a height wins over the fallback",
        edited((1, 0x12, u32(HEIGHT)), (0, 3, u32(HEIGHT + 1))),
        **told(tx_of(locktime=HEIGHT)),
        **in_version_0(tx_of(locktime=HEIGHT), version_0()[1:]),
    )
    add.valid("locktime-time", "a time", edited((1, 0x11, u32(TIME))), **told(tx_of(locktime=TIME)))
    add.valid(
        "locktime-highest",
        "the highest height and time there are",
        edited((1, 0x11, FINAL), (1, 0x12, u32(499_999_999))),
        **told(tx_of(locktime=499_999_999)),
    )
    for name, here, there, expected in (
        ("none-height", (), (height,), HEIGHT),
        ("height-higher", (low,), (height,), HEIGHT),
        ("height-lower", (height,), (low,), HEIGHT),
        ("both-none", (height, time), (), HEIGHT),
        ("both-both", (low, time), (height, early), HEIGHT),
        ("both-time", (height, early), (time,), TIME),
        ("time-both", (time,), (height, early), TIME),
        ("height-both", (low,), (height, time), HEIGHT),
        ("both-height", (height, time), (low,), HEIGHT),
    ):
        maps = second(*there, maps=edited(*[(1, key[0], value) for key, value in here]))
        tx = tx_of(locktime=expected, more=(FINAL,))
        add.valid(f"locktime-{name}", "what two inputs require", maps, **told(tx))
    for name, here, there, kind in (
        ("height-time", height, time, "TIME"),
        ("time-height", time, height, "HEIGHT"),
    ):
        maps = second(there, maps=edited((1, here[0][0], here[1])))
        field = f"PSBT_IN_REQUIRED_{kind}_LOCKTIME"
        what = "well-formed, but no locktime satisfies both inputs"
        add.raw(f"no-locktime-{name}", what, "no-locktime", write(maps), where="input 1", field=field)


def malformed(add: Collection) -> None:
    """One fault of form each."""
    for place, missing, kind in ((0, GLOBAL, "GLOBAL"), (1, IN, "IN"), (2, OUT, "OUT"), (3, OUT, "OUT")):
        for key_type, name in missing.items():
            field = f"PSBT_{kind}_{name}"
            data = write(edited((place, key_type, None)))
            where = PLACES[place]
            add.invalid(f"without-{where.replace(' ', '-')}-{name.lower()}", f"{field} is missing", data, where, field)
    unsaid = write(edited((0, 0xFB, None)))
    what = "no version field: so version 0, which has no such fields"
    add.invalid("without-version", what, unsaid, "global map", "PSBT_GLOBAL_TX_VERSION")
    add.fault(0, k(0), TX, "PSBT_GLOBAL_UNSIGNED_TX", "with-unsigned-tx", "the unsigned transaction of version 0")
    for number in (1, 3, 0x102):
        what = "a version that does not exist"
        add.fault(0, k(0xFB), u32(number), "PSBT_GLOBAL_VERSION", f"version-{number}", what)
    for (place, key_type), (field, size) in SIZES.items():
        value = u32(TIME if key_type == 0x11 else HEIGHT)[:size] if size <= 4 else bytes(size)
        name = field[5:].lower().replace("_", "-")
        add.fault(place, k(key_type, b"\x00"), value, field, f"{name}-keydata", "its key has data")
        if size > 1:
            add.fault(place, k(key_type), value[:-1], field, f"{name}-short", f"{size - 1} bytes instead of {size}")
        add.fault(place, k(key_type), value + b"\x00", field, f"{name}-long", f"{size + 1} bytes instead of {size}")
        add.fault(place, k(key_type), b"", field, f"{name}-empty", "an empty value")
    add.fault(2, k(4, b"\x00"), b"\x51", "PSBT_OUT_SCRIPT", "out-script-keydata", "its key has data")
    counts(add)
    for value, name in ((499_999_999, "highest-height"), (0, "zero")):
        field = "PSBT_IN_REQUIRED_TIME_LOCKTIME"
        add.fault(1, k(0x11), u32(value), field, f"required-time-{name}", "a time below 500000000 is a height")
    for value, name in ((0, "zero"), (500_000_000, "lowest-time"), (0xFFFF_FFFF, "highest")):
        field = "PSBT_IN_REQUIRED_HEIGHT_LOCKTIME"
        what = "a height has to be from 1 to 499999999"
        add.fault(1, k(0x12), u32(value), field, f"required-height-{name}", what)
    for place, key_type, field in ((0, 4, "GLOBAL_INPUT_COUNT"), (1, 0xE, "IN_PREVIOUS_TXID"), (3, 4, "OUT_SCRIPT")):
        maps = base()
        maps[place] = [*maps[place], *[held for held in maps[place] if held[0] == k(key_type)]]
        name = f"duplicate-{field.lower().replace('_', '-')}"
        add.invalid(name, "a key twice, with the same value", write(maps), PLACES[place], f"PSBT_{field}")
    good = write(base())
    add.invalid("cut", "ends before the last separator", good[:-1], "output 1")
    add.invalid("byte-after-end", "one byte after the last map", good + b"\x00")


def counts(add: Collection) -> None:
    """The numbers of inputs and outputs: their form, and what they say against what is there."""
    for key_type, name in ((4, "INPUT"), (5, "OUTPUT")):
        field, short = f"PSBT_GLOBAL_{name}_COUNT", f"{name.lower()}-count"
        for value, kind in (
            (b"", "empty"),
            (b"\xfd\x01", "cut"),
            (b"\xfd\x02\x00", "not-minimal"),
            (b"\x02\x00", "long"),
        ):
            add.fault(0, k(key_type), value, field, f"{short}-{kind}", f"a number of maps: {kind}")
        add.fault(0, k(key_type, b"\x00"), b"\x02", field, f"{short}-keydata", "its key has data")
        for value in (200_000, 2**32, 2**64 - 1):
            number = write_compact(value)
            add.fault(0, k(key_type), number, field, f"{short}-{value}", "more than a block can hold")
    add.invalid(
        "input-count-high",
        "one input more than there is: an output's map is read in its place",
        write(edited((0, 4, b"\x02"))),
        "input 1",
        "PSBT_IN_SIGHASH_TYPE",
    )
    add.invalid(
        "input-count-low",
        "no input where there is one: its map is read as an output's",
        write(edited((0, 4, b"\x00"))),
        "output 0",
        "PSBT_OUT_TAP_INTERNAL_KEY",
    )
    add.invalid("output-count-high", "one output more than there is", write(edited((0, 5, b"\x03"))), "output 2")
    add.invalid("output-count-low", "one output fewer than there is", write(edited((0, 5, b"\x01"))))
    add.invalid("output-count-zero", "no outputs where there are two", write(edited((0, 5, b"\x00"))))


def signing(add: Collection) -> None:
    """Signatures over another transaction than the maps describe, and what signing leaves of the flags."""
    add.bad_signature(
        "signature-other-sequence",
        "signed with sequence 0, as BIP370's unique id is made",
        "INVALID",
        PUBS[0],
        signature(0, tx=tx_of(sequence=bytes(4))),
    )
    maps = edited((1, 0x12, u32(HEIGHT)), (0, 3, u32(HEIGHT + 1)))
    maps = with_field(1, k(2, PUBS[0]), signature(0, tx=tx_of(locktime=HEIGHT + 1)), maps)
    what = "signed with the fallback locktime where an input requires a height"
    add.raw("signature-fallback", what, "bad-signature", write(maps), where="input 0", problem="INVALID")
    maps = edited((1, 0x10, None))
    for sequence, expect, problem, name in (
        (FINAL, "valid", None, "signed-without-sequence"),
        (bytes(4), "bad-signature", "INVALID", "signature-sequence-zero"),
    ):
        value = signature(0, tx=tx_of(sequence=sequence))
        here = write(with_field(1, k(2, PUBS[0]), value, maps))
        what = "no sequence is the final sequence, also in what is signed"
        add.raw(name, what, expect, here, where="input 0" if problem else None, problem=problem)
    for before, sighash, after in (
        (7, 0x01, 4),
        (3, 0x02, 2),
        (3, 0x03, 4),
        (3, 0x81, 1),
        (0xFB, 0x82, 0xFB),
        (0xFB, 0x83, 0xFD),
        (None, 0x01, None),
    ):
        flags, left = ((None if bits is None else bytes([bits])) for bits in (before, after))
        signed = with_field(1, k(2, PUBS[1]), signature(1, sighash), edited((0, 6, left)))
        add.raw(
            f"signer-{'closed' if before is None else format(before, '02x')}-{sighash:02x}",
            "a signer brings the flags in step with its signature",
            "valid",
            write(signed),
            role="signer",
            before=base64.b64encode(write(edited((0, 6, flags)))).decode(),
            seckey=KEYS[1].seckey.hex(),
            sighash=sighash,
        )


def strange(add: Collection) -> None:
    """A script that is not the output's, as in version 0."""
    maps = with_field(1, k(5), b"\x51" + hash160(b""), base())
    what = "a witness script that does not hash to the output"
    add.refused("refuse-witness-script", what, maps, "PSBT_IN_WITNESS_SCRIPT")


def build() -> Collection:
    add = Collection(base)
    for family in (accepted, locktimes, malformed, signing, strange):
        family(add)
    return add
