"""Findings about inputs: whose they are, what their signatures would cover, which keys they name.

Rows C5 and C6 (the sighash field), C7, C9, C13 (a coin spent twice), C21 and C23. Amounts are in `coins`, signatures
in `signatures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import format_path
from wormsig.bitcoin.sighash import SIGHASH_SINGLE, sighash_name
from wormsig.psbt.model import FINAL_SCRIPTSIG, FINAL_SCRIPTWITNESS, REDEEM_SCRIPT, SIGHASH_TYPE, WITNESS_SCRIPT
from wormsig.review.claims import INPUT, claims
from wormsig.review.findings import Code
from wormsig.review.origins import label, origin_text, stray_claims
from wormsig.review.report import Finding
from wormsig.review.taproot import TAPROOT_FIELDS, has_key_path, own_taproot_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from wormsig.bitcoin.tx import OutPoint
    from wormsig.psbt.model import Fields
    from wormsig.review.claims import KeyIndex
    from wormsig.review.context import ReviewContext
    from wormsig.review.origins import WrongOrigin
    from wormsig.review.subject import Subject
    from wormsig.wallet.derive import WalletScript

_NAMED = 5


def input_findings(
    subject: Subject, allowed_sighash: Collection[int], odd_origins: Mapping[int, tuple[list[WrongOrigin], bool]]
) -> list[Finding]:
    """Judge every input.

    Args:
        subject: What is reviewed.
        allowed_sighash: Types that are signed and accepted.
        odd_origins: What `unlike_the_wallets` found.
    """
    found = _duplicates(subject)
    foreign: list[int] = []
    key_path = subject.keys is not None and has_key_path(subject.keys.wallet)
    for index, fields in enumerate(subject.psbt.inputs):
        own = subject.owned.inputs.get(index)
        sighash = fields.get(SIGHASH_TYPE)
        if sighash is not None:
            found += _sighash_findings(subject, index, int.from_bytes(sighash, "little"), allowed_sighash)
        if own is not None:
            found += _own_script_findings(index, fields, own, key_path=key_path)
            if subject.keys is not None and index in odd_origins:
                wrong, strays = odd_origins[index]
                found += _wrong_origins(index, wrong)
                found += _strays(subject.keys, index, fields, own) if strays else ()
            continue
        foreign.append(index)
        mismatch = subject.shown.input(index).mismatch
        if mismatch is not None:
            found.append(_mismatch(index, mismatch))
        if subject.keys is not None:
            found += _foreign_input_findings(subject, subject.keys, index)
            found += _signed_before(subject, index)
    if subject.has_wallet and foreign:
        found.append(_foreign_summary(subject, foreign))
    return found


def _duplicates(subject: Subject) -> list[Finding]:
    tx = subject.psbt.tx
    if not tx.inputs:
        return [Finding(Code.NO_INPUTS, "transaction", "the transaction has no inputs")]
    seen: dict[OutPoint, int] = {}
    found: list[Finding] = []
    for index, txin in enumerate(tx.inputs):
        first = seen.setdefault(txin.outpoint, index)
        if first != index:
            message = f"input {index} spends the same coin as input {first}"
            found.append(Finding(Code.DUPLICATE_INPUT, f"input {index}", message, details=(str(txin.outpoint),)))
    return found


# --- C5, C6


def _sighash_findings(subject: Subject, index: int, value: int, allowed: Collection[int]) -> list[Finding]:
    where = f"input {index}"
    found: list[Finding] = []
    if is_single_without_output(value, index, len(subject.psbt.tx.outputs)):
        message = f"{where} asks for {_name(value)}, and there is no output {index}: nothing would be covered"
        found.append(Finding(Code.SINGLE_WITHOUT_OUTPUT, where, message))
    if is_default_of_taproot(subject, index, value):
        return found
    message = f"{where} asks for a signature of type {_name(value)}, which leaves parts of the transaction open"
    if value not in allowed:
        found.append(Finding(Code.SIGHASH_FIELD, where, message))
    elif value != 1:
        found.append(Finding(Code.SIGHASH_ALLOWED, where, message))
    return found


def is_single_without_output(sighash: int, index: int, outputs: int) -> bool:
    """Whether a sighash type would cover an output that does not exist (row C6)."""
    return sighash & 0x1F == SIGHASH_SINGLE and index >= outputs


def is_default_of_taproot(subject: Subject, index: int, sighash: int) -> bool:
    """DEFAULT or ALL on a taproot input."""
    coin = subject.coins[index]
    return sighash == 0 and coin is not None and subject.shown.input(index).kind == "tr"


def _name(value: int) -> str:
    return f"{sighash_name(value)} ({value:#04x})" if value <= 0xFF else f"{value:#x}"


def effective_sighash(context: ReviewContext) -> frozenset[int]:
    """The types that are signed and accepted: ALL, and what a person named, who has to be there (row C5)."""
    always = frozenset({0x01})
    return always if context.unattended else always | context.allowed_sighash


# --- C7, C21: the wallet's own inputs


def _mismatch(index: int, field: str) -> Finding:
    verb = "do" if field == TAPROOT_FIELDS else "does"
    message = f"the {field} of input {index} {verb} not hash to the script that it spends"
    return Finding(Code.SCRIPT_MISMATCH, f"input {index}", message)


def _own_script_findings(index: int, fields: Fields, own: WalletScript, *, key_path: bool) -> list[Finding]:
    """The wallet knows its own scripts: the PSBT's must be the same."""
    found: list[Finding] = []
    missing: list[str] = []
    final = FINAL_SCRIPTSIG in fields or FINAL_SCRIPTWITNESS in fields
    for key, name, expected in (
        (REDEEM_SCRIPT, "redeemScript", own.redeem),
        (WITNESS_SCRIPT, "witnessScript", own.witness),
    ):
        given = fields.get(key)
        if given == expected:
            continue
        if given is not None:
            found.append(_mismatch(index, name))
        elif not final:
            missing.append(name)
    if own.taproot is not None:
        wrong, lacking = own_taproot_problems(own.taproot, fields, key_path=key_path)
        found += [_mismatch(index, name) for name in wrong]
        missing += [] if final else lacking
    if missing:
        message = f"input {index} comes without its {' and '.join(missing)}"
        found.append(Finding(Code.SCRIPT_MISSING, f"input {index}", message))
    return found


def _wrong_origins(index: int, wrong: Sequence[WrongOrigin]) -> list[Finding]:
    """Keys of the wallet's script for which another origin is stated."""
    return [
        Finding(
            Code.WRONG_KEY_ORIGIN,
            f"input {index}",
            f"input {index} puts {each.who} at another place than the wallet does",
            details=(f"it says {each.stated}, the wallet says {each.expected}",),
        )
        for each in wrong
    ]


def _strays(keys: KeyIndex, index: int, fields: Fields, own: WalletScript) -> list[Finding]:
    """Key origins under our fingerprints for public keys that are not in the script."""
    return [
        Finding(
            Code.WRONG_KEY_ORIGIN,
            f"input {index}",
            f"input {index} names a key of {label(key)} that is not in the wallet's script",
            details=(f"{claim.pubkey.hex()} at {origin_text(claim.origin)}",),
        )
        for key, claim in stray_claims(keys, own, fields, INPUT)
    ]


# --- C9, C21, C23: everybody else's


def _list(inputs: Sequence[int]) -> str:
    return ", ".join(map(str, inputs[:_NAMED])) + (", …" if len(inputs) > _NAMED else "")


def _foreign_summary(subject: Subject, foreign: Sequence[int]) -> Finding:
    named, total = _list(foreign), len(subject.psbt.inputs)
    if len(foreign) == total:
        return Finding(
            Code.FOREIGN_INPUTS,
            "transaction",
            "no input is the wallet's",
            "is it the right wallet? `wormsig wallet list` shows those on this machine",
        )
    count = f"1 of {total} inputs is" if len(foreign) == 1 else f"{len(foreign)} of {total} inputs are"
    alike = [index for index in foreign if _is_alike(subject, index)]
    details = (f"of the wallet's kind, so that one of its own coins far away would look the same: {_list(alike)}",)
    return Finding(
        Code.FOREIGN_INPUTS, "transaction", f"{count} not the wallet's: {named}", details=details if alike else ()
    )


def _is_alike(subject: Subject, index: int) -> bool:
    """Whether an input could be the wallet's at a place that nobody looked at: whoever made the PSBT need not say."""
    coin = subject.coins[index]
    return coin is not None and subject.keys is not None and subject.keys.may_own(coin.script)


def _signed_before(subject: Subject, index: int) -> list[Finding]:
    """A coin that was ours when it was signed here: who hides it now shows less than what leaves, each time."""
    outpoint = subject.psbt.tx.inputs[index].outpoint
    if outpoint not in subject.context.signed_coins:
        return []
    where = f"input {index}"
    message = f"{where} is not the wallet's as it stands here, but was signed on this machine as a coin of yours"
    return [Finding(Code.OUR_KEY_IN_FOREIGN_INPUT, where, message, details=(str(outpoint),))]


def _foreign_input_findings(subject: Subject, keys: KeyIndex, index: int) -> list[Finding]:
    """Keys of ours in an input that is not the wallet's."""
    where = f"input {index}"
    found: list[Finding] = []
    named: dict[str, str] = {}
    for claim in claims(subject.psbt.inputs[index], INPUT):
        key = keys.by_fingerprint.get(claim.origin[:4])
        if key is None:
            continue
        named.setdefault(label(key), origin_text(claim.origin))
        below = keys.steps_below(claim.origin)
        if below is not None:
            message = f"{where} puts {label(below[0])} at {format_path(below[1])}, where the wallet has another script"
            found.append(Finding(Code.KEY_OUT_OF_PLACE, where, message))
    for pubkey in subject.shown.input(index).pubkeys:
        ours = subject.owned.ours(pubkey)
        if ours is not None:
            named.setdefault(label(ours.key), f"{ours.key.origin}/{ours.script.path}")
    if named:
        message = f"{where} is not the wallet's but names {' and '.join(named)}: it may be a private coin"
        details = tuple(f"{who} at {origin}" for who, origin in named.items())
        found.append(Finding(Code.OUR_KEY_IN_FOREIGN_INPUT, where, message, details=details))
    return found
