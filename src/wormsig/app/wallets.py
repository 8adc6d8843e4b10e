"""Use cases of the registry: import a wallet, look at it, hand it on, forget it."""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wormsig.errors import DescriptorError, StorageError, UsageError
from wormsig.wallet.derive import Deriver
from wormsig.wallet.describe import unspendable_key, ways_to_spend
from wormsig.wallet.guard import refuse_private_keys
from wormsig.wallet.model import CHANGE, RECEIVE
from wormsig.wallet.names import check_wallet_name
from wormsig.wallet.record import MAX_RECORD
from wormsig.wallet.registry import Registry
from wormsig.wallet.remarks import remarks
from wormsig.wallet.sources import Source, read_source
from wormsig.wallet.storage import read_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.app.home import Home
    from wormsig.bitcoin.network import Network
    from wormsig.wallet.model import Wallet

SHOWN_ADDRESSES = 3
"""First receive addresses that `show` prints, for cosigners to compare."""
MAX_ADDRESSES = 10_000
"""Addresses of one `wallet address`."""


class Imported(msgspec.Struct, frozen=True):
    """A wallet that was just kept.

    Attributes:
        wallet: The wallet.
        remarks: What is allowed and worth a second look, one sentence each.
    """

    wallet: Wallet
    remarks: tuple[str, ...]


def import_wallet(
    home: Home,
    name: str,
    source: str,
    *,
    network: Network | None,
    names: Sequence[str],
    birth: str | None,
    force: bool,
) -> Imported:
    """Judge a wallet and keep it.

    Args:
        home: Where.
        name: Under which name.
        source: A descriptor, the path of a file, or `-`.
        network: The chain, where the source does not say.
        names: `FINGERPRINT=NAME` each.
        birth: When the wallet was made: `YYYY-MM-DD` or Unix time.
        force: Replace a wallet of this name.

    Raises:
        UsageError: A name, a fingerprint or a time that cannot be used; the name is taken; a test network is missing.
        DescriptorError: The source is no usable wallet.
        StorageError: It cannot be written.
    """
    check_wallet_name(name)
    registry = Registry(home.wallets())
    if name in registry.names() and not force:
        raise UsageError(
            f"there is a wallet called {name} already", hint="choose another name, or use --force to replace it"
        )
    called = read_names(names)
    born = read_birth(birth)
    given = load_source(source)
    wallet = given.wallet(network, name=name, names=called, birth=born)
    found = list(remarks(wallet))
    if not given.has_checksum:
        found.insert(0, f"the descriptor came without a checksum; its own is {wallet.checksum}")
    found += [f"wallet {other} here is the same wallet" for other in _same(registry, wallet)]
    registry.save(wallet, force=force)
    return Imported(wallet, tuple(found))


def _same(registry: Registry, wallet: Wallet) -> list[str]:
    twins = []
    for name in registry.names():
        try:
            other = registry.load(name)
        except StorageError:  # a damaged neighbour is no reason to refuse this one
            continue
        if other.id == wallet.id and other.network is wallet.network and name != wallet.name:
            twins.append(name)
    return twins


def load_source(source: str) -> Source:
    """Read SOURCE: a descriptor, `-` for standard input, else the path of a file.

    Raises:
        DescriptorError: It cannot be read, or is none of the forms of a wallet.
    """
    refuse_private_keys(source)  # before it can be taken for a path and repeated
    if re.match(r"\s*[a-z_]+\(", source, re.ASCII):
        return read_source(source.encode("utf-8", "surrogateescape"))
    if source == "-":
        data = sys.stdin.buffer.read(MAX_RECORD + 1)
        if len(data) > MAX_RECORD:
            raise DescriptorError(f"standard input holds more than {MAX_RECORD} bytes")
        return read_source(data)
    try:
        data = read_bounded(Path(source), MAX_RECORD)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise DescriptorError(
            f"cannot read the wallet from {source[:100]!r}: {reason}", hint="give a descriptor, a file, or -"
        ) from None
    except StorageError as error:
        raise DescriptorError(error.message) from None
    return read_source(data, called=source)


def read_names(pairs: Sequence[str]) -> dict[bytes, str]:
    """`d34db33f=bob` each.

    Raises:
        UsageError: Not of that form, or a fingerprint is named twice.
    """
    found: dict[bytes, str] = {}
    for pair in pairs:
        fingerprint, equals, name = pair.partition("=")
        if not equals or not re.fullmatch(r"[0-9a-fA-F]{8}", fingerprint, re.ASCII):
            raise UsageError(f"--name {pair!r} is not FINGERPRINT=NAME", hint="for example --name d34db33f=bob")
        if found.setdefault(bytes.fromhex(fingerprint), name) != name:
            raise UsageError(f"--name gives {fingerprint} two names")
    return found


def read_birth(text: str | None) -> int | None:
    """`2026-11-01` (midnight UTC) or Unix time, as Unix time.

    Raises:
        UsageError: Neither, or before Bitcoin or in the future.
    """
    if text is None:
        return None
    try:
        if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
            time = int(text)
        else:
            time = int(dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        raise UsageError(f"--birth {text!r} is not a time", hint="write 2026-11-01, or Unix time") from None
    if not _GENESIS <= time <= dt.datetime.now(dt.UTC).timestamp() + _DAY:
        raise UsageError(f"--birth {text} is before Bitcoin, or in the future")
    return time


_GENESIS = 1_231_006_505
_DAY = 86_400


class AddressView(msgspec.Struct, frozen=True):
    """One address of a wallet."""

    branch: int
    index: int
    address: str
    script: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "path": f"{self.branch}/{self.index}",
            "branch": self.branch,
            "index": self.index,
            "address": self.address,
            "script": self.script,
        }


def addresses(wallet: Wallet, *, index: int, count: int, change: bool = False) -> list[AddressView]:
    """Consecutive addresses of a branch.

    Raises:
        InputError: An index that no wallet has.
    """
    deriver = Deriver(wallet)
    branch = CHANGE if change else RECEIVE
    return [
        AddressView(branch, script.index, deriver.address(branch, script.index), script.script_pubkey.hex())
        for script in deriver.scripts(branch, range(index, index + count))
    ]


def describe(wallet: Wallet) -> dict[str, Any]:
    """Everything there is to say about a wallet, for `--json`; `wallet export --json` is the form to import again."""
    return {
        "format": 1,
        "name": wallet.name,
        "id": wallet.id,
        "network": wallet.network.value,
        "script_type": wallet.script_type,
        "sorted": wallet.sorted,
        "threshold": wallet.threshold,
        "summary": wallet.summary,
        "policy": wallet.kind,
        "template": wallet.template,
        "ways": [{"where": way.where, "words": way.words} for way in ways_to_spend(wallet)],
        "unspendable_key": unspendable_key(wallet),
        "keys": [
            {
                "fingerprint": key.fingerprint.hex(),
                "name": key.name,
                "origin": str(key.origin),
                "xpub": key.xpub.text(),
            }
            for key in wallet.keys
        ],
        "descriptor": wallet.descriptor,
        "checksum": wallet.checksum,
        "birth": wallet.birth,
        "addresses": [view.address for view in addresses(wallet, index=0, count=SHOWN_ADDRESSES)],
        "remarks": list(remarks(wallet)),
    }
