"""Final scriptSigs and witnesses as values, and those of the templates put together from signatures.

Templates: m-of-n of OP_CHECKMULTISIG in P2WSH, P2SH-P2WSH, P2SH and bare; P2WPKH, nested or not; P2PKH. Taproot's and
miniscript's are put together in `solver`. Nothing here is verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from wormsig.bitcoin.script import push
from wormsig.bitcoin.tx import write_compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.psbt.scripts import InputScripts

SINGLE_KEY: Final = frozenset({"wpkh", "sh-wpkh", "pkh"})
"""Script types of one ECDSA key."""


class FinalScripts(msgspec.Struct, frozen=True):
    """The final scripts of one input.

    Args:
        script_sig: The scriptSig; empty when there is none.
        stack: The witness items, bottom first; empty when there is no witness.
    """

    script_sig: bytes
    stack: tuple[bytes, ...]

    @property
    def witness(self) -> bytes:
        """The stack as PSBT_IN_FINAL_SCRIPTWITNESS and transactions write it."""
        parts = [write_compact(len(self.stack))]
        for item in self.stack:
            parts += (write_compact(len(item)), item)
        return b"".join(parts)


def nested_sig(scripts: InputScripts) -> bytes:
    """The scriptSig beside a witness: the redeemScript's push when the output is P2SH, else nothing."""
    return push(scripts.redeem) if scripts.redeem is not None and scripts.segwit else b""


def build(scripts: InputScripts, signatures: Sequence[bytes], pubkeys: Sequence[bytes]) -> FinalScripts:
    """The final scripts of a template, from signatures in script order (and their keys, for single-key scripts)."""
    nested = nested_sig(scripts)
    if scripts.script_type in SINGLE_KEY:
        pair = (signatures[0], pubkeys[0])
        return FinalScripts(nested, pair) if scripts.segwit else FinalScripts(b"".join(map(push, pair)), ())
    if scripts.witness is not None:
        return FinalScripts(nested, (b"", *signatures, scripts.witness))
    tail = push(scripts.redeem) if scripts.redeem is not None else b""
    return FinalScripts(b"\x00" + b"".join(map(push, signatures)) + tail, ())
