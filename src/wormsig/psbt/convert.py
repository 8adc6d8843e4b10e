"""The same PSBT in the other version (BIP370, Backwards Compatibility).

Version 0 carries the unsigned transaction whole, version 2 spreads it over its maps. Every other field means the same
in both and is taken over as it is. What has no place in the other version:

| from | field | in the other version |
|---|---|---|
| 0 | an explicit version field that says 0 | gone; absent means 0 |
| 2 | modifiable flags | refused while inputs or outputs may be added, else gone: version 0 is never modifiable |
| 2 | required locktimes, fallback locktime | gone; their outcome is the transaction's locktime |
| 2 | a sequence that is written although it is final | gone; absent means final |
| 2 | silent payments (BIP375) | refused: their fields are for version 2 alone |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wormsig.errors import PsbtError
from wormsig.psbt.fields import FIELDS, Map, field_name, only_in_one_version
from wormsig.psbt.maps import put_all
from wormsig.psbt.modifiable import TX_MODIFIABLE, Modifiable, after_signing, modifiable, with_modifiable
from wormsig.psbt.unsigned import UNSIGNED_TX, global_fields, input_fields, output_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.psbt.model import Fields, Psbt

_OWN: Final = {kind: only_in_one_version(kind) for kind in Map}
_SILENT_PAYMENTS: Final = {
    kind: frozenset([field.type for field in FIELDS if field.map is kind and field.bip == 375]) for kind in Map
}


def to_version_2(psbt: Psbt) -> Psbt:
    """The PSBT in version 2: no flags, its locktime as the fallback, final sequences left away.

    A version 2 PSBT comes back as it is.
    """
    if psbt.version:
        return psbt
    tx = psbt.tx
    return psbt.in_version(
        2,
        _exchanged(psbt.global_map, global_fields(tx), Map.GLOBAL),
        _all_exchanged(psbt.inputs, list(map(input_fields, tx.inputs)), Map.INPUT),
        _all_exchanged(psbt.outputs, list(map(output_fields, tx.outputs)), Map.OUTPUT),
    )


def to_version_0(psbt: Psbt, *, fixed: bool = False) -> Psbt:
    """The PSBT in version 0.

    A version 0 PSBT comes back as it is.

    Args:
        psbt: The PSBT.
        fixed: It is a copy for a signer that knows no other version: nothing is going to be added, whatever the flags
            say, and fields that version 0 should not have go along.

    Raises:
        PsbtError: Inputs or outputs may still be added, it has silent payments, or its locktime cannot be determined.
    """
    if not psbt.version:
        return psbt
    if not fixed:
        _check_fits_version_0(psbt)
    return psbt.in_version(
        0,
        _exchanged(psbt.global_map, {UNSIGNED_TX: psbt.tx.serialize(witness=False)}, Map.GLOBAL),
        _all_exchanged(psbt.inputs, [{}] * len(psbt.inputs), Map.INPUT),
        _all_exchanged(psbt.outputs, [{}] * len(psbt.outputs), Map.OUTPUT),
    )


def _check_fits_version_0(psbt: Psbt) -> None:
    if modifiable(psbt) & (Modifiable.INPUTS | Modifiable.OUTPUTS):
        raise PsbtError(
            "says that inputs or outputs may still be added, which version 0 cannot say",
            where="global map",
            field="PSBT_GLOBAL_TX_MODIFIABLE",
            hint="its constructor can close it, or a signature of type ALL",
        )
    for kind, maps in ((Map.GLOBAL, (psbt.global_map,)), (Map.INPUT, psbt.inputs), (Map.OUTPUT, psbt.outputs)):
        types = _SILENT_PAYMENTS[kind]
        for index, fields in enumerate(maps):
            for key in fields:
                if key[0] in types:
                    where = kind.value if kind is Map.GLOBAL else f"{kind.value} {index}"
                    raise PsbtError("is for version 2 alone (BIP375)", where=where, field=field_name(kind, key))


def in_version_of(mine: Psbt, other: Psbt) -> Psbt:
    """A PSBT of the same transaction with everything but the transaction's own fields, and those as mine has them.

    Args:
        mine: The PSBT that counts.
        other: One of the same transaction (`tx` is equal), for example the answer of a signer that knows another
            version.
    """
    if mine.version == other.version:
        return other
    return other.in_version(
        mine.version,
        _exchanged(other.global_map, mine.global_map, Map.GLOBAL),
        _all_exchanged(other.inputs, mine.inputs, Map.INPUT),
        _all_exchanged(other.outputs, mine.outputs, Map.OUTPUT),
    )


def comparable(mine: Psbt, returned: Psbt) -> Psbt:
    """An answer as it compares with what was sent: in the same version, and with the flags that were sent.

    Flags are taken back only where they are what its new signatures ask for: a signer has to set them (BIP370), and
    that is no difference to report. Any others stay as they came.

    Args:
        mine: The PSBT that counts.
        returned: What came back, of the same transaction.
    """
    if mine.version != returned.version:
        return in_version_of(mine, returned)
    if mine.global_map.get(TX_MODIFIABLE) == returned.global_map.get(TX_MODIFIABLE):
        return returned
    if modifiable(after_signing(mine, with_modifiable(returned, modifiable(mine)))) != modifiable(returned):
        return returned
    return with_modifiable(returned, modifiable(mine))


def _exchanged(fields: Fields, source: Fields, kind: Map) -> dict[bytes, bytes]:
    """A map with the fields that only one version has taken from another map, each where its type belongs."""
    own = _OWN[kind]
    kept = {key: value for key, value in fields.items() if key[0] not in own}
    return put_all(kept, {key: value for key, value in source.items() if key[0] in own})


def _all_exchanged(maps: Sequence[Fields], sources: Sequence[Fields], kind: Map) -> tuple[Fields, ...]:
    return tuple([_exchanged(fields, source, kind) for fields, source in zip(maps, sources, strict=True)])
