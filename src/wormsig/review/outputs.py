"""Findings about outputs: is it change, does it only look like it, what does it hide.

Rows C2, C3, C4, C7 (scripts of outputs), C13 (no outputs, zero amounts), C14, C19 and C21 (key origins of change).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.points import is_known_pubkey
from wormsig.bitcoin.script import MAX_SCRIPT_SIZE, ScriptType, script_asm, witness_program
from wormsig.bitcoin.tx import write_compact
from wormsig.review.claims import OUTPUT, claims, xonly
from wormsig.review.findings import Code
from wormsig.review.origins import label, wrong_origins
from wormsig.review.report import Finding
from wormsig.review.taproot import TAPROOT_FIELDS, pays_alone
from wormsig.review.words import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.review.claims import Claim, KeyIndex
    from wormsig.review.context import ReviewContext
    from wormsig.review.scripts import Shown
    from wormsig.review.subject import Subject
    from wormsig.wallet.derive import WalletScript
    from wormsig.wallet.model import WalletKey

_DUST_RELAY_RATE = 3
"""sat/vB, bitcoind's default for dust."""

_NEVER_DUST = (8 + 9 + 148) * _DUST_RELAY_RATE
"""Beside three times the script's length: from here on nothing is dust."""

MAX_ANCHOR = 1_000
"""Satoshis that a pay-to-anchor output may have without a word: it is there so that anybody can bump the fee."""

_SINGLE_KEY = frozenset({"wpkh", "sh-wpkh", "pkh"})


def output_findings(subject: Subject, other_wallets: Mapping[int, str]) -> list[Finding]:
    """Judge every output, the largest first: of many alike only the first few are written out for people.

    Args:
        subject: What is reviewed.
        other_wallets: Outputs that other wallets of ours derive, with their names.
    """
    tx = subject.psbt.tx
    if not tx.outputs:
        return [Finding(Code.NO_OUTPUTS, "transaction", "the transaction has no outputs")]
    found: list[Finding] = []
    spent = {coin.script for coin in subject.coins if coin is not None}
    for index in sorted(range(len(tx.outputs)), key=lambda index: -tx.outputs[index].sats):
        output, own = tx.outputs[index], subject.owned.outputs.get(index)
        if own is not None:
            found += _amount_findings(index, output.sats, output.script, "own")
            found += _mismatch(index, subject.shown.output(index))
            found += _change_findings(subject, index, own, reused=output.script in spent)
            continue
        behind = subject.shown.output(index)
        found += _amount_findings(index, output.sats, output.script, behind.kind)
        found += _script_findings(index, output.script, behind)
        if subject.keys is None:
            continue
        if index in other_wallets:
            message = f"output {index} pays another wallet of yours"
            found.append(Finding(Code.OTHER_WALLET, f"output {index}", message, details=(other_wallets[index],)))
        elif subject.psbt.outputs[index] or behind.inner is not None:  # else nothing is claimed and nothing shown
            found += _look_alike_change(subject, subject.keys, index)
    return found


# --- C13, C14, C19: amounts and scripts


def _amount_findings(index: int, sats: int, script: bytes, kind: str) -> list[Finding]:
    where = f"output {index}"
    why = _unspendable(script, kind)
    if why is not None and sats > 0:
        return [Finding(Code.BURNED_COINS, where, f"{where} burns {amount(sats)}: {why}")]
    if kind == ScriptType.OP_RETURN:
        return []
    if kind == ScriptType.ANCHOR and sats > MAX_ANCHOR:
        message = f"{where} gives {amount(sats)} to whoever takes it first: a pay-to-anchor output needs no signature"
        return [Finding(Code.ANYBODY_CAN_SPEND, where, message)]
    if sats == 0 and kind != ScriptType.ANCHOR:
        return [Finding(Code.ZERO_AMOUNT, where, f"{where} pays nothing")]
    if 0 < sats < _NEVER_DUST + len(script) * _DUST_RELAY_RATE and sats < dust_limit(script):
        limit = dust_limit(script)
        return [Finding(Code.DUST, where, f"{where} is dust: {sats} sat, and nodes relay nothing below {limit}")]
    return []


def _unspendable(script: bytes, kind: str) -> str | None:
    """Why nobody can ever spend an output; None when that is not sure."""
    if kind == ScriptType.OP_RETURN:
        return "nobody can spend it"
    if len(script) > MAX_SCRIPT_SIZE:
        return f"nobody can spend it, its script has {len(script)} bytes"
    if kind == ScriptType.TR and not is_known_pubkey(b"\x02" + script[2:]):
        return "nobody can spend it, there is no such taproot key"
    return None


def dust_limit(script: bytes) -> int:
    """The least amount that bitcoind relays for an output: what spending it costs at 3 sat/vB."""
    spending = 67 if witness_program(script) is not None else 148
    return (8 + len(write_compact(len(script))) + len(script) + spending) * _DUST_RELAY_RATE


def _script_findings(index: int, script: bytes, behind: Shown) -> list[Finding]:
    where = f"output {index}"
    found: list[Finding] = []
    if behind.kind == ScriptType.OP_RETURN:
        found.append(Finding(Code.DATA_OUTPUT, where, f"{where} carries {len(script) - 1} bytes of data"))
    elif behind.kind == ScriptType.UNKNOWN:
        message = f"{where} has a script of no standard kind"
        found.append(Finding(Code.NONSTANDARD_SCRIPT, where, message, details=(script_asm(script),)))
    return found + _mismatch(index, behind)


def _mismatch(index: int, behind: Shown) -> list[Finding]:
    """Of change as well: the script is the wallet's whatever the map says, but other signers may go by the map."""
    if behind.mismatch is None:
        return []
    where = f"output {index}"
    verb = "do" if behind.mismatch == TAPROOT_FIELDS else "does"
    message = f"the {behind.mismatch} of {where} {verb} not hash to the script that it pays"
    return [Finding(Code.OUTPUT_SCRIPT_MISMATCH, where, message)]


# --- C4, C19, C21: proven change


def _change_findings(subject: Subject, index: int, own: WalletScript, *, reused: bool) -> list[Finding]:
    context, where = subject.context, f"output {index}"
    found = _gap_findings(subject, where, own)
    if reused or own.script_pubkey in context.used_scripts:
        what = "that this transaction spends from" if reused else "that was paid before"
        found.append(Finding(Code.ADDRESS_REUSE, where, f"{where} goes back to address {own.path}, {what}"))
    if subject.keys is None:
        return found
    for each in wrong_origins(subject.keys, own, subject.psbt.outputs[index], OUTPUT)[0]:
        message = f"{where} is change, but puts {each.who} at another place than the wallet does"
        details = (f"it says {each.stated}, the wallet says {each.expected}",)
        found.append(Finding(Code.WRONG_CHANGE_ORIGIN, where, message, details=details))
    return found


def _gap_findings(subject: Subject, where: str, own: WalletScript) -> list[Finding]:
    highest, near = subject.owned.reference(own.branch), subject.owned.near(own.branch)
    gap = subject.context.gap
    known = f"the highest one known to be used is {highest}" if highest >= 0 else "no used one is known"
    alone = f"the highest one known to be used is {near}, but for a coin far beyond it that is spent here as well"
    for limit, code, counted, detail in (
        (gap.error, Code.INDEX_OUT_OF_REACH, highest, known),
        (gap.warning, Code.INDEX_FAR_AHEAD, highest, known),
        (gap.warning, Code.INDEX_FAR_AHEAD, near, alone),
        (gap.notice, Code.INDEX_AHEAD, highest, known),
        (gap.notice, Code.INDEX_AHEAD, near, alone),
    ):
        if own.index - counted > limit:
            message = f"{where} is change at address {own.path}, where a wallet may not look for it"
            return [Finding(code, where, message, details=(detail,))]
    return []


# --- C2, C3: what is not change and may pretend to be


def _look_alike_change(subject: Subject, keys: KeyIndex, index: int) -> list[Finding]:
    """Judge an output that is not the wallet's by the keys that it names and shows."""
    fields, behind = subject.psbt.outputs[index], subject.shown.output(index)
    named: dict[bytes, WalletKey] = {}
    ours: dict[bytes, WalletKey] = {}
    pubkeys = behind.pubkeys
    visible = {xonly(pubkey): pubkey for pubkey in reversed(pubkeys)}
    alone = behind.kind in _SINGLE_KEY
    for claim in claims(fields, OUTPUT):
        key = keys.key_of(claim.origin) if claim.origin[:4] in keys.by_fingerprint else None
        if key is None:
            continue
        named[key.origin.encode()] = key
        if behind.kind == "tr":
            alone = alone or pays_alone(subject.psbt.tx.outputs[index].script, xonly(claim.pubkey))
        _note_owned(keys, claim, visible, ours)
    for pubkey in pubkeys:
        known = subject.owned.ours(pubkey)
        if known is not None:
            ours[pubkey] = known.key
    where = f"output {index}"
    if ours and len(pubkeys) > 1:
        return [_foreign_key_finding(subject, index, pubkeys, ours)]
    who = " and ".join(label(key) for key in named.values())
    if len(named) > 1:
        message = f"{where} claims to be change, but its script is not the wallet's"
        sats = subject.psbt.tx.outputs[index].sats
        details = (f"it names {who}", f"{amount(sats)} would leave the wallet")
        return [Finding(Code.FAKE_CHANGE, where, message, details=details)]
    if named and alone:
        return [Finding(Code.COSIGNER_PAYOUT, where, f"{where} pays a single key and says that it is {who}")]
    if named:
        message = f"{where} names {who}, but its script is not the wallet's"
        return [Finding(Code.NAMES_OUR_KEY, where, message)]
    return []


def _note_owned(keys: KeyIndex, claim: Claim, visible: Mapping[bytes, bytes], ours: dict[bytes, WalletKey]) -> None:
    """A key in the script that really descends from one of the wallet's, at a place that the wallet does not use."""
    shown = visible.get(xonly(claim.pubkey))
    if shown is not None and shown not in ours:
        owner = keys.owns(claim)
        if owner is not None:
            ours[shown] = owner


def _foreign_key_finding(
    subject: Subject, index: int, pubkeys: tuple[bytes, ...], ours: Mapping[bytes, WalletKey]
) -> Finding:
    """A script of several keys, some of them the wallet's."""
    where = f"output {index}"
    multisig = subject.shown.output(index).multisig
    what = f"a {multisig[0]}-of-{len(multisig[1])}" if multisig is not None else "a script"
    foreign = [pubkey.hex() for pubkey in pubkeys if pubkey not in ours]
    keys = subject.keys
    assert keys is not None  # noqa: S101  the caller has one
    missing = [label(key) for key in keys.wallet.keys if key not in ours.values()]
    if len(foreign) == 1 and len(missing) == 1:
        detail = f"it pays {what} in which {missing[0]} is replaced by {foreign[0]}"
    elif foreign:
        mine = " and ".join(dict.fromkeys(label(key) for key in ours.values()))
        detail = f"it pays {what} of {mine} with {', '.join(foreign[:3])}{' and others' if len(foreign) > 3 else ''}"
    else:
        detail = f"it pays {what} of the wallet's own keys, at places or under rules that the wallet does not have"
    message = f"{where} looks like change but is not yours"
    details = (detail, f"{amount(subject.psbt.tx.outputs[index].sats)} would leave the wallet")
    if _is_paid_anyway(subject.context, index):
        return Finding(Code.PAID_ANYWAY, where, message, details=details)
    hint = f"only if you know this address and mean to pay it: --pay-anyway {index}"
    return Finding(Code.FOREIGN_KEY_IN_CHANGE, where, message, hint, details)


def _is_paid_anyway(context: ReviewContext, index: int) -> bool:
    return index in context.pay_anyway and not context.unattended
