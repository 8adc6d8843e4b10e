"""Where our verdict on version 0 PSBTs and bitcoind's `decodepsbt` differ: every class, and why.

docs/psbt-conformance.md shows this table; a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One class of difference.

    Args:
        stricter: Who refuses: `wormsig` or `bitcoind`.
        what: What is refused, in words.
        pattern: Matches `FIELD: reason` of our refusal, or bitcoind's message.
        why: Why we take our side.
    """

    stricter: str
    what: str
    pattern: re.Pattern[str]
    why: str


def _ours(what: str, pattern: str, why: str) -> Difference:
    return Difference("wormsig", what, re.compile(pattern), why)


def _theirs(what: str, pattern: str, why: str) -> Difference:
    return Difference("bitcoind", what, re.compile(pattern), why)


DIFFERENCES = (
    _ours(
        "version 2 fields in version 0",
        r"PSBT_\w+: does not belong in a version 0 PSBT",
        'BIP370: they "must be excluded"; bitcoind keeps them as unknown',
    ),
    _ours(
        "a preimage of another hash",
        r"PSBT_IN_(RIPEMD160|SHA256|HASH160|HASH256): value does not hash to the key",
        "BIP174 defines the key as the hash of the value",
    ),
    _ours(
        "MuSig2 fields whose key or value is malformed",
        r"PSBT_(IN|OUT)_MUSIG2_\w+: ",
        "BIP373; versions of bitcoind before it keep them as unknown",
    ),
    _ours(
        "a DNSSEC proof that ends within its name, or with data in its key",
        r"PSBT_OUT_DNSSEC_PROOF: ",
        "BIP353; bitcoind does not know the field",
    ),
    _ours(
        "public keys in the hybrid form (06, 07)",
        r"PSBT_(IN_PARTIAL_SIG|IN_BIP32_DERIVATION|OUT_BIP32_DERIVATION): key is not a public key",
        "no script can use them under policy, and BIP174 means what signs",
    ),
    _ours(
        "x-only public keys that are not on the curve",
        r"PSBT_(IN|OUT)_TAP_\w+: (key|value) is not an x-only public key",
        "no such key exists (BIP340), so nothing can be signed with it",
    ),
    _ours(
        "control blocks of more than 128 steps",
        r"PSBT_IN_TAP_LEAF_SCRIPT: key holds \d+ bytes: not a control block",
        "BIP341 allows no more",
    ),
    _ours(
        "key origins of more than 255 steps",
        r"PSBT_\w+: value has \d{4,} bytes: not a fingerprint and a path of whole steps",
        "no key is that deep (BIP32)",
    ),
    _theirs(
        "a previous transaction that is not the one that is spent",
        r"Non-witness UTXO does not match outpoint hash",
        "it can be looked at: the review shows finding C1, and no role uses it",
    ),
    _theirs(
        "a previous transaction without the output that is spent",
        r"Input specifies output index that does not exist",
        "the same",
    ),
    _theirs(
        "key types and proprietary subtypes above 33,554,432",
        r"ReadCompactSize\(\): size too large",
        "BIP174 sets no limit for what is a number and not a length",
    ),
    _theirs(
        "two global xpubs with one key and chain code",
        r"global xpub already provided",
        "the fields' keys are different bytes; the review compares each with the wallet (C10)",
    ),
    _theirs(
        "partial signatures that are not DER (newer versions)",
        r"[Ss]ignature.*(encoding|valid|DER)",
        "whoever sent one can then be named, and the good ones beside it are used",
    ),
)


def explained(stricter: str, text: str) -> Difference | None:
    """The class that a difference belongs to; None when nobody has explained it."""
    return next((each for each in DIFFERENCES if each.stricter == stricter and each.pattern.search(text)), None)
