"""Findings about what surrounds the transaction: its version, networks, global xpubs, unknown fields.

Rows C10, C11, C14 (the version), C15 and C20.

None of it ever decides anything; lies are reported.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED
from wormsig.psbt.fields import BY_TYPE, Map, field_name
from wormsig.psbt.model import GLOBAL_XPUB
from wormsig.psbt.modifiable import Modifiable, modifiable
from wormsig.review.claims import INPUT, OUTPUT, claims
from wormsig.review.findings import Code
from wormsig.review.origins import label, origin_text
from wormsig.review.report import Finding

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from wormsig.bitcoin.network import Network
    from wormsig.bitcoin.tx import Transaction
    from wormsig.psbt.model import Psbt
    from wormsig.review.claims import KeyIndex
    from wormsig.review.context import ReviewContext
    from wormsig.wallet.model import Wallet, WalletKey

_PROPRIETARY = 0xFC
_KNOWN = {kind: frozenset(number for of, number in BY_TYPE if of is kind and number != _PROPRIETARY) for kind in Map}
_LISTED = 8

RELAYED_VERSIONS = range(1, 4)
"""Of transactions (bitcoind's `TX_MIN_STANDARD_VERSION`, `TX_MAX_STANDARD_VERSION`)."""

_PURPOSES = frozenset(number | HARDENED for number in (44, 48, 49, 84, 86, 87))
"""Purposes whose next step is the coin type (BIP44, 48, 49, 84, 86, 87)."""

_MAINNET_XPUB = bytes.fromhex("0488b21e")
_TEST_XPUB = bytes.fromhex("043587cf")


# --- C14


def version_findings(tx: Transaction) -> list[Finding]:
    """A transaction version that bitcoind does not relay: it would be signed by all and then go nowhere."""
    if tx.version in RELAYED_VERSIONS:
        return []
    first, last = RELAYED_VERSIONS[0], RELAYED_VERSIONS[-1]
    message = f"the transaction is of version {tx.version}, and nodes relay versions {first} to {last} only"
    return [Finding(Code.NONSTANDARD_VERSION, "transaction", message)]


# --- C15


def unknown_field_findings(psbt: Psbt) -> list[Finding]:
    """One notice for every map with unknown or proprietary fields."""
    found: list[Finding] = []
    for kind, maps in ((Map.GLOBAL, (psbt.global_map,)), (Map.INPUT, psbt.inputs), (Map.OUTPUT, psbt.outputs)):
        known = _KNOWN[kind]
        for index, fields in enumerate(maps):
            unknown = [key for key in fields if key[0] not in known]
            if unknown:
                where = kind.value if kind is Map.GLOBAL else f"{kind.value} {index}"
                message = f"{where} has {len(unknown)} unknown or proprietary field{'s'[: len(unknown) > 1]}"
                details = [f"{field_name(kind, key)}: key {key.hex()}, {len(fields[key])} bytes" for key in unknown]
                if len(details) > _LISTED:
                    details = [*details[:_LISTED], f"and {len(details) - _LISTED} more"]
                found.append(Finding(Code.UNKNOWN_FIELDS, where, message, details=tuple(details)))
    return found


# --- C20


def modifiable_findings(psbt: Psbt) -> list[Finding]:
    """A version 2 PSBT to which inputs or outputs may still be added (BIP370): what is reviewed could grow.

    A signature of type ALL covers what is here and no more, so nothing is lost by it; but whoever made the PSBT says
    that it is not finished, and whatever is added makes the signatures void.
    """
    flags = modifiable(psbt)
    open_maps = [
        name for flag, name in ((Modifiable.INPUTS, "inputs"), (Modifiable.OUTPUTS, "outputs")) if flags & flag
    ]
    if not open_maps:
        return []
    message = f"{' and '.join(open_maps)} may still be added: whoever made this PSBT says that it is not finished"
    hint = "ask for the finished one; a signature covers what is shown here, and an addition makes it void"
    return [Finding(Code.STILL_MODIFIABLE, "global map", message, hint)]


# --- C11


def network_findings(
    psbt: Psbt, keys: KeyIndex, context: ReviewContext, *, clean: Container[int] = ()
) -> list[Finding]:
    """Compare the wallet's network with the node's and with the coin types in derivation paths.

    Args:
        psbt: The PSBT.
        keys: The wallet's.
        context: With the node's network.
        clean: Inputs whose key origins are the wallet's and no others.
    """
    wallet = keys.wallet
    found: list[Finding] = []
    if context.network is not None and context.network is not wallet.network:
        message = f"wallet {wallet.name} is for {wallet.network.value}, the node is on {context.network.value}"
        found.append(Finding(Code.NETWORK_MISMATCH, "transaction", message))
    seen: set[bytes] = set()
    for where, origin in _origins(psbt, keys, clean):
        head = origin[:12]
        if head in seen:
            continue
        seen.add(head)
        if _is_other_coin_type(head, wallet.network):
            message = f"{where} names a key of another network: {origin_text(origin)}"
            found.append(Finding(Code.COIN_TYPE, where, message))
    return found


def _origins(psbt: Psbt, keys: KeyIndex, clean: Container[int]) -> Iterator[tuple[str, bytes]]:
    """The wallet's own key origins, and the PSBT's that are not simply those."""
    for origin in keys.by_origin:
        yield "the wallet", origin
    for index, fields in enumerate(psbt.inputs):
        if index not in clean:
            for claim in claims(fields, INPUT):
                yield f"input {index}", claim.origin
    for index, fields in enumerate(psbt.outputs):
        for claim in claims(fields, OUTPUT):
            yield f"output {index}", claim.origin


def _is_other_coin_type(head: bytes, network: Network) -> bool:
    if len(head) < 12:
        return False
    purpose, coin = struct.unpack("<II", head[4:12])
    return purpose in _PURPOSES and coin >= HARDENED and coin - HARDENED != network.coin_type


# --- C10


def xpub_findings(psbt: Psbt, wallet: Wallet) -> list[Finding]:
    """Compare the global xpubs with the wallet's keys, by key and chain code."""
    by_key = {(key.xpub.pubkey, key.xpub.chain_code): key for key in wallet.keys}
    by_origin = {key.origin.encode(): key for key in wallet.keys}
    found: list[Finding] = []
    for field, origin in psbt.global_map.items():
        if field[0] == GLOBAL_XPUB and len(field) == 79:
            found += _xpub_findings(field[1:], origin, by_key, by_origin, wallet.network)
    return found


def _xpub_findings(
    xpub: bytes,
    origin: bytes,
    by_key: Mapping[tuple[bytes, bytes], WalletKey],
    by_origin: Mapping[bytes, WalletKey],
    network: Network,
) -> list[Finding]:
    where = f"global xpub {origin_text(origin)}"
    found: list[Finding] = []
    if xpub[:4] != (_MAINNET_XPUB if network.is_mainnet else _TEST_XPUB):
        message = f"{where} does not carry the prefix of {network.value}"
        found.append(Finding(Code.XPUB_NETWORK, where, message))
    key = by_key.get((xpub[45:78], xpub[13:45]))
    if key is None:
        claimed = by_origin.get(origin)
        if claimed is not None:
            message = f"{where} is another key than {label(claimed)}, whose place it claims"
            found.append(Finding(Code.XPUB_SWAPPED, where, message))
        else:
            found.append(Finding(Code.XPUB_UNKNOWN, where, f"{where} is none of the wallet's keys"))
        return found
    ours = key.xpub
    differing = [
        name
        for name, here, there in (
            ("fingerprint", origin[:4], key.fingerprint),
            ("path", origin[4:], key.origin.encode()[4:]),
            ("depth", xpub[4], ours.depth),
            ("parent", xpub[5:9], ours.parent_fingerprint),
            ("child number", int.from_bytes(xpub[9:13], "big"), ours.child_number),
        )
        if here != there
    ]
    if differing:
        message = f"{where} is {label(key)}, but states another {' and '.join(differing)}"
        found.append(Finding(Code.XPUB_METADATA, where, message))
    return found
