"""`review`: puts the checks of this room together into one report. Pure, and linear in the size of the PSBT."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from wormsig.errors import PsbtError
from wormsig.psbt.model import sha256
from wormsig.psbt.unsigned import REQUIRED_HEIGHT, REQUIRED_TIME
from wormsig.review.claims import KeyIndex
from wormsig.review.coins import find_coins
from wormsig.review.context import GapLimits, ReviewContext
from wormsig.review.fees import fee_findings, sum_findings
from wormsig.review.findings import Code
from wormsig.review.history import look_alike_findings, repeat_findings, settled_findings, unreadable_findings
from wormsig.review.inputs import effective_sighash, input_findings
from wormsig.review.metadata import (
    modifiable_findings,
    network_findings,
    unknown_field_findings,
    version_findings,
    xpub_findings,
)
from wormsig.review.musig import musig_findings, needs_musig
from wormsig.review.origins import unlike_the_wallets
from wormsig.review.outputs import output_findings
from wormsig.review.ownership import NOTHING, prove
from wormsig.review.report import Finding, OutputKind, Report, Severity
from wormsig.review.signatures import judge_signatures, signature_findings
from wormsig.review.sizes import estimated_vsize
from wormsig.review.subject import ShownScripts, Subject
from wormsig.review.timing import is_replaceable, timing_findings
from wormsig.review.views import Labels, input_views, output_views, signature_views, signer_names
from wormsig.wallet.derive import Deriver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.model import Psbt
    from wormsig.review.ownership import Item
    from wormsig.review.report import InputView, OutputView, SignatureView
    from wormsig.wallet.model import Wallet

OTHER_WALLET_SEARCH = 100
"""Indices per branch in which other wallets of ours are searched for a payment that names no place."""

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTICE: 2}


def review(psbt: Psbt, wallet: Wallet | None, context: ReviewContext, *, deriver: Deriver | None = None) -> Report:
    """Review a PSBT.

    Args:
        psbt: The PSBT; nothing in it is trusted.
        wallet: The agreed wallet; None shows everything and calls nothing ours.
        context: What else is known.
        deriver: The wallet's, when the caller has one already and wants its derived scripts kept.

    Returns:
        The report. Whatever is wrong with the PSBT is a finding in it, never an exception.
    """
    if psbt.transaction is None:
        return _without_transaction(psbt, wallet, context, deriver)
    coins = find_coins(psbt, context, covers_all=wallet is None or wallet.script_type == "tr")
    allowed = effective_sighash(context)
    signatures = judge_signatures(psbt, allowed)
    subject = _subject(psbt, coins.outputs, wallet, context, deriver)
    labels = Labels(subject)
    elsewhere = _elsewhere(subject)
    odd_origins = unlike_the_wallets(subject)
    inputs = input_views(subject, signatures, labels)
    outputs = output_views(subject, elsewhere.outputs)
    sums = Sums.of(subject, inputs, outputs, frozenset(check.input for check in signatures.checks))
    found = [
        *coins.findings,
        *sum_findings([view.sats for view in inputs], [view.sats for view in outputs]),
        *sums.findings(context),
        *input_findings(subject, allowed, odd_origins),
        *_inputs_elsewhere(elsewhere, len(inputs)),
        *output_findings(subject, elsewhere.outputs),
        *signatures.findings,
        *signature_findings(psbt, signatures.telling, allowed, signer_names(subject, labels)),
        *musig_findings(inputs),
        *timing_findings(psbt.tx, context),
        *version_findings(psbt.tx),
        *_wallet_findings(subject, frozenset(subject.owned.inputs) - odd_origins.keys()),
        *modifiable_findings(psbt),
        *unknown_field_findings(psbt),
        *_history(subject, outputs, sums),
    ]
    views = inputs, outputs, signature_views(subject, signatures, labels)
    return _report(subject, views, sums, found)


def _subject(
    psbt: Psbt,
    coins: Sequence[TxOutput | None],
    wallet: Wallet | None,
    context: ReviewContext,
    deriver: Deriver | None,
) -> Subject:
    scripts = ShownScripts(psbt, coins)
    if wallet is None:
        return Subject(psbt, coins, None, NOTHING, scripts, context.network, context)
    if deriver is None or deriver.wallet is not wallet:
        deriver = Deriver(wallet)
    keys = KeyIndex(deriver)
    owned = prove(psbt, coins, deriver=deriver, keys=keys, visible=scripts.pubkeys, context=context)
    return Subject(psbt, coins, keys, owned, scripts, wallet.network, context)


class Sums(msgspec.Struct, frozen=True):
    """What comes in and goes out.

    Args:
        inputs: All inputs; None when one is unknown.
        own: The wallet's inputs; all of them without a wallet. None when one is unknown.
        change: Proven change.
        fee: Inputs minus outputs.
        vsize: Of the final transaction, estimated; None when an input's final size cannot be told.
    """

    inputs: int | None
    own: int | None
    change: int
    fee: int | None
    vsize: int | None

    @classmethod
    def of(
        cls, subject: Subject, inputs: Sequence[InputView], outputs: Sequence[OutputView], signed: frozenset[int]
    ) -> Sums:
        """Add up; `signed` are the inputs that carry signatures."""
        total = _total([view.sats for view in inputs])
        own = _total([view.sats for view in inputs if view.mine]) if subject.has_wallet else total
        change = sum(view.sats for view in outputs if view.kind is OutputKind.CHANGE)
        fee = None if total is None or not inputs else total - sum(view.sats for view in outputs)
        return cls(total, own, change, fee, estimated_vsize(subject, signed))

    @property
    def fee_rate(self) -> Fraction | None:
        """sat/vB, exactly."""
        return None if self.fee is None or self.vsize is None else Fraction(self.fee, self.vsize)

    def findings(self, context: ReviewContext) -> list[Finding]:
        """Judge the fee, when it is known."""
        if self.fee is None or self.inputs is None:
            return []
        return fee_findings(self.fee, self.own or self.inputs, self.fee_rate, context)


def _total(amounts: Sequence[int | None]) -> int | None:
    known = [sats for sats in amounts if sats is not None]
    return sum(known) if len(known) == len(amounts) else None


class Elsewhere(msgspec.Struct, frozen=True):
    """What belongs to other wallets of ours.

    Args:
        inputs: Index -> the wallet's name.
        outputs: Index -> the wallet's name.
    """

    inputs: Mapping[int, str]
    outputs: Mapping[int, str]


def _elsewhere(subject: Subject) -> Elsewhere:
    """Inputs and outputs that other wallets of ours derive."""
    inputs: dict[int, str] = {}
    outputs: dict[int, str] = {}
    settled: set[Item] = {("input", index) for index in subject.owned.inputs}
    settled |= {("output", index) for index in subject.owned.outputs}
    near = ReviewContext(gap=GapLimits(error=OTHER_WALLET_SEARCH - 1))
    for wallet in subject.context.other_wallets if subject.has_wallet else ():
        deriver = Deriver(wallet)
        found = prove(
            subject.psbt,
            subject.coins,
            deriver=deriver,
            keys=KeyIndex(deriver),
            visible=lambda _: (),
            context=near,
            settled=settled,
        )
        inputs |= dict.fromkeys(found.inputs, wallet.name)
        outputs |= dict.fromkeys(found.outputs, wallet.name)
        settled |= {("input", index) for index in found.inputs} | {("output", index) for index in found.outputs}
    return Elsewhere(inputs, outputs)


def _inputs_elsewhere(elsewhere: Elsewhere, count: int) -> list[Finding]:
    """Coins of other wallets of ours that were slipped in (row C23), or that are all there is."""
    names = set(elsewhere.inputs.values())
    alone = len(elsewhere.inputs) == count and len(names) == 1
    hint = f"all of it spends from your wallet {names.pop()}: choose it with --wallet" if alone else None
    return [
        Finding(
            Code.OUR_KEY_IN_FOREIGN_INPUT,
            f"input {index}",
            f"input {index} is not this wallet's, but a coin of your wallet {name}",
            hint,
        )
        for index, name in elsewhere.inputs.items()
    ]


def _wallet_findings(subject: Subject, clean: frozenset[int]) -> list[Finding]:
    """What only a wallet can tell: network and global xpubs; `clean` are inputs with its key origins and no others."""
    if subject.keys is None:
        return []
    wallet = subject.keys.wallet
    return [
        *network_findings(subject.psbt, subject.keys, subject.context, clean=clean),
        *xpub_findings(subject.psbt, wallet),
    ]


def _history(subject: Subject, outputs: Sequence[OutputView], sums: Sums) -> list[Finding]:
    """What was paid and signed before."""
    context, tx = subject.context, subject.psbt.tx
    found = [*settled_findings(tx, context), *unreadable_findings(context)]
    if context.previously_paid or subject.has_wallet:
        own = [view.address for view in outputs if view.kind is OutputKind.CHANGE and view.address is not None]
        found += look_alike_findings(outputs, context.previously_paid, own)
    if context.signed_before:
        payments = frozenset(
            (tx.outputs[view.index].script, view.sats) for view in outputs if view.kind is OutputKind.PAYMENT
        )
        found += repeat_findings(tx, payments, sums.fee, context)
    return found


def _report(
    subject: Subject,
    views: tuple[tuple[InputView, ...], tuple[OutputView, ...], tuple[SignatureView, ...]],
    sums: Sums,
    findings: Sequence[Finding],
) -> Report:
    inputs, outputs, signatures = views
    psbt = subject.psbt
    wallet = None if subject.keys is None else subject.keys.wallet
    outflow = None if wallet is None or sums.own is None else sums.own - sums.change
    return Report(
        psbt_sha256=sha256(psbt),
        psbt_version=psbt.version,
        txid=psbt.txid,
        network=subject.network,
        wallet=None if wallet is None else wallet.name,
        wallet_id=None if wallet is None else wallet.id,
        threshold=_common_threshold(inputs) if wallet is None else wallet.threshold,
        wallet_keys=None if wallet is None else len(wallet.keys),
        wallet_type=None if wallet is None else wallet.script_type,
        inputs=inputs,
        outputs=outputs,
        signatures=signatures,
        findings=tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity])),
        input_sats=sums.inputs,
        own_sats=sums.own,
        change_sats=sums.change,
        fee_sats=sums.fee,
        vsize=sums.vsize,
        fee_rate=sums.fee_rate,
        net_outflow_sats=outflow,
        locktime=psbt.tx.locktime,
        tx_version=psbt.tx.version,
        replaceable=is_replaceable(psbt.tx),
        complete=bool(inputs) and all(view.satisfied for view in inputs),
        unsupported=_unsupported(wallet, inputs),
        policy=None if wallet is None else wallet.summary,
    )


def _common_threshold(inputs: Sequence[InputView]) -> int | None:
    thresholds = {view.threshold for view in inputs}
    return thresholds.pop() if len(thresholds) == 1 else None


def _unsupported(wallet: Wallet | None, inputs: Sequence[InputView]) -> tuple[int, ...]:
    """MuSig2 inputs where nothing else is the wallet's; one that has its signature stands in nobody's way."""
    own = [view for view in inputs if view.mine]
    if own:
        if wallet is None or not needs_musig(wallet):
            return ()
        return tuple([view.index for view in own if not view.satisfied])
    return tuple([view.index for view in inputs if view.musig and not view.satisfied])


def _without_transaction(psbt: Psbt, wallet: Wallet | None, context: ReviewContext, deriver: Deriver | None) -> Report:
    """The review of a version 2 PSBT whose inputs exclude each other: all of it, as if none required a locktime."""
    free = tuple(
        {key: value for key, value in fields.items() if key not in {REQUIRED_TIME, REQUIRED_HEIGHT}}
        for fields in psbt.inputs
    )
    report = review(psbt.with_maps(psbt.global_map, free, psbt.outputs), wallet, context, deriver=deriver)
    try:
        problem = psbt.txid
    except PsbtError as error:
        problem = error.message
    conflict = Finding(
        Code.LOCKTIME_CONFLICT, "transaction", f"the inputs require locktimes that exclude each other: {problem}"
    )
    return replace(report, psbt_sha256=sha256(psbt), txid=None, findings=(conflict, *report.findings))
