"""The script behind a scriptPubKey, as far as a PSBT shows it and the hashes agree (row C7); taproot in `taproot`."""

from __future__ import annotations

import msgspec

from wormsig.bitcoin.script import (
    ScriptType,
    classify,
    hash160,
    p2sh_script,
    p2wsh_script,
    parse_multisig,
    walk,
)
from wormsig.errors import InputError
from wormsig.review.taproot import HIDDEN, TAPROOT_FIELDS, ShownTaproot

WITNESS_SCRIPT, REDEEM_SCRIPT = "witnessScript", "redeemScript"

_BARE = frozenset({ScriptType.BARE, ScriptType.UNKNOWN})
"""Kinds that hold their script themselves."""


class Shown(msgspec.Struct, frozen=True):
    """What stands behind a scriptPubKey.

    Args:
        kind: `wsh`, `sh-wsh`, `sh`, `wpkh`, `sh-wpkh`, `pkh`, `tr`, `bare`, `op_return`, `anchor`, `unknown`. A `sh`
            whose redeemScript is hidden may be any of the `sh` kinds.
        inner: The script that names the keys; None when it is hidden, or is no script of keys.
        mismatch: The field whose script does not hash to what it should, by its BIP174 name, or `TAPROOT_FIELDS`.
        taproot: What is shown of a taproot output.
        multisig: Threshold and keys, when the script is exactly an m-of-n; of taproot when nothing else spends it.
    """

    kind: str
    inner: bytes | None = None
    mismatch: str | None = None
    taproot: ShownTaproot = HIDDEN
    multisig: tuple[int, tuple[bytes, ...]] | None = None

    @classmethod
    def script(cls, kind: str, inner: bytes) -> Shown:
        """A script that hashes to what it should."""
        multisig = parse_multisig(inner)
        return cls(kind, inner, multisig=None if multisig is None else (multisig.threshold, multisig.pubkeys))

    @classmethod
    def tree(cls, found: ShownTaproot | None) -> Shown:
        """A taproot output; None when what is shown of it leads to another."""
        if found is None:
            return cls("tr", mismatch=TAPROOT_FIELDS)
        return cls("tr", taproot=found, multisig=found.multisig)

    @property
    def pubkeys(self) -> tuple[bytes, ...]:
        """The public keys that the script holds, whatever else it holds; x-only in taproot."""
        if self.multisig is not None:
            return self.multisig[1]
        if self.inner is None:
            return self.taproot.pubkeys if self.taproot is not HIDDEN else ()
        try:
            return tuple(dict.fromkeys(data for _, data, _ in walk(self.inner) if data and _like_a_key(data)))
        except InputError:
            return ()


def _like_a_key(data: bytes) -> bool:
    return (len(data) == 33 and data[0] in {2, 3}) or (len(data) == 65 and data[0] == 4)


def shown(script: bytes, redeem: bytes | None, witness: bytes | None) -> Shown:
    """Open a scriptPubKey with the scripts that a PSBT gives for it.

    Args:
        script: scriptPubKey.
        redeem: Claimed redeemScript.
        witness: Claimed witnessScript.
    """
    kind = classify(script)
    if kind is ScriptType.SH:
        return _shown_sh(script, redeem, witness)
    if redeem is not None:
        return Shown(kind.value, mismatch=REDEEM_SCRIPT)
    if kind is ScriptType.WSH:
        return _shown_wsh("wsh", script, witness)
    if witness is not None:
        return Shown(kind.value, mismatch=WITNESS_SCRIPT)
    return Shown.script(kind.value, script) if kind in _BARE else Shown(kind.value)


def _shown_wsh(kind: str, program: bytes, witness: bytes | None) -> Shown:
    if witness is None:
        return Shown(kind)
    return Shown.script(kind, witness) if p2wsh_script(witness) == program else Shown(kind, mismatch=WITNESS_SCRIPT)


def _shown_sh(script: bytes, redeem: bytes | None, witness: bytes | None) -> Shown:
    if redeem is None:
        if witness is None:
            return Shown("sh")
        nested = p2sh_script(p2wsh_script(witness)) == script
        return Shown.script("sh-wsh", witness) if nested else Shown("sh", mismatch=WITNESS_SCRIPT)
    if p2sh_script(redeem) != script:
        return Shown("sh", mismatch=REDEEM_SCRIPT)
    kind = classify(redeem)
    if kind is ScriptType.WSH:
        return _shown_wsh("sh-wsh", redeem, witness)
    if witness is not None:
        return Shown("sh", mismatch=WITNESS_SCRIPT)
    return Shown("sh-wpkh") if kind is ScriptType.WPKH else Shown.script("sh", redeem)


def key_hash(script: bytes, redeem: bytes | None) -> bytes | None:
    """HASH160 of the one key that a `pkh`, `wpkh` or `sh-wpkh` script pays, else None."""
    kind = classify(script)
    if kind is ScriptType.PKH:
        return script[3:23]
    if kind is ScriptType.WPKH:
        return script[2:]
    if kind is ScriptType.SH and redeem is not None and classify(redeem) is ScriptType.WPKH:
        return redeem[2:]
    return None


def pays_key(digest: bytes, pubkey: bytes) -> bool:
    """Whether a key hash is this key's."""
    return hash160(pubkey) == digest
