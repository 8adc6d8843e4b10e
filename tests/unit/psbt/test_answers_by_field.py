"""What an answer may bring, field by field of the table: whatever is not a signature or a preimage stays behind."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from support.psbts import coins
from support.psbts import spend as spend_ecdsa
from support.taproot import SECRET, SHA256, miniscript_coin, spend, taproot_coin
from wormsig.psbt.codec import serialize
from wormsig.psbt.combiner import combine
from wormsig.psbt.contribution import extract
from wormsig.psbt.fields import FIELDS, FieldType, Map, field_name
from wormsig.psbt.preimages import HASHES as HASH_TYPES
from wormsig.psbt.sigkeys import SIGNATURE_TYPES
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

MUSIG2 = {"PSBT_IN_MUSIG2_PUB_NONCE", "PSBT_IN_MUSIG2_PARTIAL_SIG"}
"""A signer adds them; as long as nobody here can verify them, they are listed and not taken."""

ECDSA = spend_ecdsa(coins("wsh", "sh-wsh", "sh", "wpkh"), psbt_version=2)
TAPROOT = spend([taproot_coin(0, "e", [((2, "abc"), "and_v(v:multi_a(2,@a,@e),sha256(H))")])])
ASKS = spend([miniscript_coin(0, "and_v(v:sha256(H),multi(1,@a,@b))"), miniscript_coin(1, "multi(2,@a,@b,@c)")])


def test_the_table_says_what_is_taken() -> None:
    taken = {field.type for field in FIELDS if field.contribution and field.name not in MUSIG2}
    assert taken == SIGNATURE_TYPES | set(HASH_TYPES)
    assert {field.name for field in FIELDS if field.contribution} >= MUSIG2


def with_field(psbt: Psbt, kind: Map, key: bytes, value: bytes) -> Psbt:
    if kind is Map.GLOBAL:
        return psbt.with_global({**psbt.global_map, key: value})
    if kind is Map.INPUT:
        return psbt.with_input(0, {**psbt.inputs[0], key: value})
    return psbt.with_output(1, {**psbt.outputs[1], key: value})


def describes_the_transaction(field: FieldType) -> bool:
    return field.versions != frozenset({0, 2}) or field.name == "PSBT_GLOBAL_VERSION"


@pytest.mark.parametrize("mine", [ECDSA, TAPROOT], ids=["ecdsa", "taproot"])
@pytest.mark.parametrize(
    ("kind", "key"),
    [(f.map, bytes((f.type,))) for f in FIELDS if not describes_the_transaction(f)]
    + [(kind, key) for kind in Map for key in (b"\xe0", b"\xfd\xfd\x00", b"\xfc\x02id\x07")],
    ids=lambda each: each.name if isinstance(each, Map) else each.hex(),
)
def test_nothing_that_does_not_verify_enters(mine: Psbt, kind: Map, key: bytes) -> None:
    before = serialize(mine)
    held = {Map.GLOBAL: mine.global_map, Map.INPUT: mine.inputs[0], Map.OUTPUT: mine.outputs[1]}[kind]
    # Under the type alone, under a key of the right length, and in place of every field of the type that is there.
    for whole in (key, key + bytes(32), key + b"\x02" * 33, *[k for k in held if k.startswith(key)]):
        answer = extract(mine, with_field(mine, kind, whole, b"another value"))
        assert (answer.signatures, answer.preimages) == ((), ())
        assert serialize(combine(verify(mine), [answer]).psbt) == before
        seen = {each.field for each in answer.differences} | {"rejected" for _ in answer.rejected}
        final = bool(answer.unchecked_finals)
        assert final or seen & {field_name(kind, whole), "rejected"}, whole.hex()


def test_a_preimage_that_is_not_true_is_listed_and_left() -> None:
    lie = with_field(ASKS, Map.INPUT, b"\x0b" + SHA256, b"no preimage of it")
    answer = extract(ASKS, lie)
    assert answer.preimages == ()
    assert [(one.where, one.field, one.what) for one in answer.differences] == [("input 0", "PSBT_IN_SHA256", "added")]
    assert combine(verify(ASKS), [answer]).psbt == ASKS


def test_a_true_preimage_that_no_script_asks_for_is_listed_and_left() -> None:
    other = hashlib.sha256(b"another secret").digest()
    for index, key, value in ((0, b"\x0b" + other, b"another secret"), (1, b"\x0b" + SHA256, SECRET)):
        answer = extract(ASKS, ASKS.with_input(index, {**ASKS.inputs[index], key: value}))
        assert answer.preimages == ()
        assert [one.where for one in answer.differences] == [f"input {index}"]
        assert combine(verify(ASKS), [answer]).psbt == ASKS


def test_a_true_preimage_that_a_script_asks_for_is_taken() -> None:
    given = ASKS.with_input(0, {**ASKS.inputs[0], b"\x0b" + SHA256: SECRET})
    answer = extract(ASKS, given)
    assert answer.preimages == ((0, b"\x0b" + SHA256, SECRET),)
    assert combine(verify(ASKS), [answer]).psbt.inputs[0][b"\x0b" + SHA256] == SECRET
