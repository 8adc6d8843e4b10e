"""A wallet as a small JSON file: what the registry keeps, and what `wormsig wallet export --json` hands out.

    {"wormsig": "wallet", "format": 1, "id": "…", "name": "family", "network": "signet",
     "descriptor": "wsh(sortedmulti(2,…))#…", "names": {"d34db33f": "bob"}, "birth": 1700000000}

`id` is the SHA-256 of the canonical descriptor; `names` maps the fingerprints of named keys; `birth` may be null.
Reading a record needs neither btclib nor bitcointx: only our own canonical descriptors are read here. Descriptors
that people give are judged in `descriptor`.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

from wormsig.bitcoin.network import Network
from wormsig.errors import InputError, StorageError, UsageError
from wormsig.wallet import checks
from wormsig.wallet.expressions import named
from wormsig.wallet.grammar import split_checksum
from wormsig.wallet.model import Wallet
from wormsig.wallet.reading import read_body

KIND: Final = "wallet"
FORMAT: Final = 1
MAX_RECORD: Final = 64 * 1024
"""Bytes; twenty keys take about 4,000."""

_FIELDS = frozenset({"wormsig", "format", "id", "name", "network", "descriptor", "names", "birth"})


def to_record(wallet: Wallet) -> dict[str, Any]:
    """The wallet's JSON object."""
    return {
        "wormsig": KIND,
        "format": FORMAT,
        "id": wallet.id,
        "name": wallet.name,
        "network": wallet.network.value,
        "descriptor": wallet.descriptor,
        "names": {key.fingerprint.hex(): key.name for key in wallet.keys if key.name is not None},
        "birth": wallet.birth,
    }


def write_record(wallet: Wallet) -> bytes:
    """The wallet's JSON file."""
    return (json.dumps(to_record(wallet), indent=2, ensure_ascii=True) + "\n").encode("ascii")


def is_record(value: object) -> bool:
    """Whether a decoded JSON value says that it is a wallet of ours."""
    return isinstance(value, dict) and value.get("wormsig") == KIND


def decode_json(data: bytes) -> Any:  # noqa: ANN401  whatever JSON holds
    """Decode JSON and refuse names that occur twice in one object.

    Raises:
        InputError: Not JSON, or a name occurs twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise InputError("a name occurs twice in one JSON object")
        return found

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise InputError("not valid JSON") from None


def read_record(data: bytes, where: str) -> Wallet:
    """Read a wallet's JSON file and check that it still describes the wallet its id names (THREATS S6).

    Args:
        data: The file.
        where: What messages call it.

    Raises:
        StorageError: It is damaged or was changed.
    """
    try:
        value = decode_json(data)
    except InputError as error:
        raise StorageError(f"{where} is damaged: {error.message}", hint=_HINT) from None
    return from_record(value, where)


_HINT = "import the wallet again from a descriptor that you trust"


def from_record(value: object, where: str) -> Wallet:
    """Make the wallet out of a decoded JSON object; see `read_record`.

    Raises:
        StorageError: It is damaged or was changed.
    """
    if not isinstance(value, dict) or not is_record(value):
        raise StorageError(f"{where} is not a wormsig wallet", hint=_HINT)
    if value.get("format") != FORMAT:
        raise StorageError(f"{where} has another format than {FORMAT}", hint="it needs a newer wormsig")
    try:
        _check_fields(value)
        described = sha256(value["descriptor"].encode("utf-8", "surrogatepass")).hexdigest()
        if described != value["id"]:
            raise StorageError(
                f"{where} was changed: its id is {value['id']}, its descriptor's is {described}", hint=_HINT
            )
        wallet = _wallet(value)
    except InputError as error:
        raise StorageError(f"{where} is damaged: {error.message}", hint=_HINT) from None
    if wallet.descriptor != value["descriptor"]:
        raise StorageError(f"{where} was changed: its descriptor is not in canonical form", hint=_HINT)
    return wallet


def _check_fields(value: dict[str, Any]) -> None:
    if set(value) != _FIELDS:
        odd = ", ".join(sorted(str(name) for name in set(value) ^ _FIELDS))
        raise InputError(f"missing or unknown fields: {odd}")
    if not all(isinstance(value[name], str) for name in ("id", "name", "network", "descriptor")):
        raise InputError("a field has the wrong type")
    names = value["names"]
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError("names has the wrong type")
    birth = value["birth"]
    if birth is not None and (not isinstance(birth, int) or isinstance(birth, bool) or not 0 <= birth < 1 << 40):
        raise InputError("birth is not a time")


def _wallet(value: dict[str, Any]) -> Wallet:
    try:
        network = Network(value["network"])
        names = {bytes.fromhex(fingerprint): name for fingerprint, name in value["names"].items()}
    except ValueError:
        raise InputError("an unknown network or fingerprint") from None
    draft = read_body(split_checksum(value["descriptor"])[0])
    if any(key.xpub.mainnet != network.is_mainnet for key in draft.keys):
        raise InputError("a key is for another network")
    checks.check(draft.script_type, draft.policy, draft.keys)
    try:
        with_names = named(draft.keys, names)
    except UsageError as error:
        raise InputError(error.message) from None
    return Wallet(value["name"], network, draft.script_type, draft.policy, with_names, value["birth"])
