"""A report for people: what leaves the wallet first, full addresses, every finding in words, 80 columns.

`review_lines` is what is read before a signature is given; `inspect_lines` adds every input, output and signature.
Nothing important is said by colour alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from wormsig.render.lines import Line, Style, address_lines, hex_lines, wrapped
from wormsig.render.sanitize import quote, sanitize
from wormsig.render.timing_text import timing_words
from wormsig.review import words
from wormsig.review.report import OutputKind, Severity
from wormsig.wallet.model import RECEIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.review.report import Finding, InputView, KeyView, MusigView, OutputView, Report

_STYLES = {Severity.ERROR: Style.ERROR, Severity.WARNING: Style.WARNING, Severity.NOTICE: Style.NOTICE}
_SHOWN_ALIKE = 5
"""Findings of one code that are written out; a hostile PSBT can have thousands."""
_ONE_SCREEN = 24
"""Lines after which what leaves the wallet may have scrolled away, and is said again at the end."""
_LABEL = 9
_LONG_TEXT = 2000


# --- the review


def review_lines(report: Report, *, title: str | None = None, codes: bool = False) -> list[Line]:
    """The review as a person reads it before signing.

    Args:
        report: The review.
        title: What stands on the right of the first line, e.g. a ceremony's number.
        codes: Name every finding's whole code, as policies and scripts do.
    """
    lines = [_header(report, title)]
    amounts = [view.sats for view in report.outputs] + [report.own_sats or 0, report.fee_sats or 0]
    width = max(len(words.btc(sats)) for sats in amounts)
    lines += _spent_lines(report, width)
    for view in report.outputs:
        lines += _output_lines(view, width)
    lines.append(_fee_line(report, width))
    lines += _closing_lines(report)
    lines += finding_lines(report.findings, codes=codes)
    if len(lines) > _ONE_SCREEN:  # the question comes next
        outputs = words.count(len(report.outputs), "output")
        lines += [
            Line(f"In sum, with {outputs}:", Style.STRONG),
            *_spent_lines(report, width),
            _fee_line(report, width),
        ]
    return lines


def _header(report: Report, title: str | None) -> Line:
    parts = ["no wallet"] if report.wallet is None else [sanitize(report.wallet, 60)]
    if report.wallet is not None:
        parts += [report.policy or f"{report.threshold} of {report.wallet_keys}", str(report.wallet_type)]
    parts.append("network not known" if report.network is None else report.network.value)
    left = " · ".join(parts)
    right = "" if title is None else sanitize(title, 40)
    return Line(left if not right else f"{left:<{max(len(left) + 2, 80 - len(right))}}{right}", Style.STRONG)


def _row(label: str, sats: int | None, width: int, rest: str = "") -> str:
    shown = "not known" if sats is None else words.btc(sats)
    return f"{label:<{_LABEL}}{shown:>{width}}   {rest}"


def _spent_lines(report: Report, width: int) -> list[Line]:
    own = len(report.own_inputs)
    total = len(report.inputs)
    if report.wallet is None:
        return [Line(_row("Spends", report.input_sats, width, f"from {words.count(total, 'coin')}"))]
    rest = f"from {words.count(own, 'coin')} of the wallet"
    if own < total:
        rest += f", and {words.count(total - own, 'coin')} that {'is' if total - own == 1 else 'are'} not"
    lines = [Line(_row("Spends", report.own_sats, width, rest))]
    outflow = report.net_outflow_sats
    if outflow is not None and outflow < 0:
        lines.append(Line(_row("Gains", -outflow, width, "for this wallet"), Style.STRONG))
    else:
        lines.append(Line(_row("Leaves", outflow, width, "this wallet, fee included"), Style.STRONG))
    return lines


def _output_lines(view: OutputView, width: int) -> list[Line]:
    if view.kind is OutputKind.CHANGE:
        if is_receive(view):
            return [Line(_row("Keeps", view.sats, width, f"to this wallet, receive address {view.path}"))]
        return [Line(_row("Change", view.sats, width, f"back to this wallet, address {view.path}"))]
    label = {OutputKind.PAYMENT: "Pays", OutputKind.DATA: "Data"}[view.kind]
    first = _row(label, view.sats, width)
    if view.kind is OutputKind.DATA:
        return _data_lines(view, first)
    lines = address_lines(view.address, first=first) if view.address else _script_lines(view, first)
    if view.other_wallet is not None:
        lines.append(Line(f"{'':{len(first)}}your wallet {sanitize(view.other_wallet, 60)}"))
    return lines


def is_receive(view: OutputView) -> bool:
    """Whether an output goes to an address of the wallet that is handed out: a payment to oneself, not change."""
    return view.path is not None and view.path.startswith(f"{RECEIVE}/")


def _script_lines(view: OutputView, first: str) -> list[Line]:
    """A script without an address, or on an unknown network: every byte of it."""
    return hex_lines("script", view.script, first=first)


def _data_lines(view: OutputView, first: str) -> list[Line]:
    lines = [] if view.text is None else wrapped(quote(view.text, _LONG_TEXT), first=first)
    return lines + hex_lines("script", view.script, first=" " * len(first) if lines else first)


def _fee_line(report: Report, width: int) -> Line:
    if report.fee_sats is None:
        return Line(_row("Fee", None, width, "an input's amount is unknown"))
    parts = [f"{report.fee_sats} sat"]
    if report.fee_rate is not None:
        parts.append(f"{words.trimmed(report.fee_rate, 2)} sat/vB")
    base = report.own_sats or report.input_sats
    if base and report.fee_sats >= 0:
        from fractions import Fraction  # noqa: PLC0415  one division

        parts.append(words.percent(Fraction(report.fee_sats * 100, base)))
    return Line(_row("Fee", report.fee_sats, width, " · ".join(parts)))


def _closing_lines(report: Report) -> list[Line]:
    timing, verdict = timing_words(report), verdict_words(report)
    style = Style.ERROR if report.errors else Style.WARNING if report.warnings else Style.PLAIN
    if len(timing) + len(verdict) + 2 <= 80:
        return [Line(f"{timing}{verdict:>{80 - len(timing)}}", style)]
    return [*wrapped(timing, first=""), Line(f"{verdict:>80}", style)]


def verdict_words(report: Report) -> str:
    """`no findings`, or `1 error, 2 warnings`."""
    counts = ((report.errors, "error"), (report.warnings, "warning"), (report.notices, "notice"))
    named = [words.count(len(found), noun) for found, noun in counts if found]
    return ", ".join(named) or "no findings"


# --- findings


def finding_lines(findings: Sequence[Finding], *, codes: bool = False) -> list[Line]:
    """Every finding, with its details; those that repeat a code many times are counted."""
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for finding in findings:
        seen[finding.code] = seen.get(finding.code, 0) + 1
        if seen[finding.code] <= _SHOWN_ALIKE:
            lines += _finding_lines(finding, codes=codes)
    for code, number in seen.items():
        if number > _SHOWN_ALIKE:
            lines.append(Line(f"and {number - _SHOWN_ALIKE} more like these: {code}"))
    return lines


def _finding_lines(finding: Finding, *, codes: bool) -> list[Line]:
    style = _STYLES[finding.severity]
    first = f"{finding.severity.value} {finding.code.row}  "
    indent = " " * 10
    lines = wrapped(sanitize(finding.message, 400), first=first, rest=indent, style=style)
    for detail in finding.details:
        lines += wrapped(sanitize(detail, _LONG_TEXT), first=indent)
    if finding.hint:
        lines += wrapped(sanitize(finding.hint, 400), first=indent)
    if codes:
        lines.append(Line(f"{indent}({finding.code.value})", Style.DIM))
    return lines


# --- everything


def inspect_lines(report: Report) -> list[Line]:
    """The review, then every input and output, who can sign and who has."""
    lines = review_lines(report, codes=True)
    lines += [Line(""), Line("Inputs", Style.STRONG)]
    signed = _signers(report)
    for view in report.inputs:
        lines += _input_detail(report, view, signed.get(view.index, {}))
    lines += [Line(""), Line("Outputs", Style.STRONG)]
    for output in report.outputs:
        lines += _output_detail(output)
    lines += [Line(""), *_transaction_lines(report)]
    return lines


def _signers(report: Report) -> dict[int, dict[str, bool]]:
    """Input -> public key -> whether its signature counts."""
    signed: dict[int, dict[str, bool]] = {}
    for view in report.signatures:
        keys = signed.setdefault(view.input, {})
        keys[view.pubkey] = keys.get(view.pubkey, False) or view.valid
    return signed


def _input_detail(report: Report, view: InputView, signed: dict[str, bool]) -> list[Line]:
    first = f"{view.index:>4}  "
    indent = " " * len(first)
    sats = "amount not known" if view.sats is None else words.btc(view.sats)
    groups = () if view.final else view.musig
    # Where nothing but one key can spend, it is what the groups are said to sign as, and no 1-of-1.
    aggregate = bool(groups) and not view.mine and not signed and (view.threshold, len(view.keys)) == (1, 1)
    made = "  said to be made of the keys below" if aggregate else ""
    known = view.threshold is not None and view.keys and not aggregate
    policy = f" {view.threshold}-of-{len(view.keys)}" if known else ""
    whose = f" · address {view.path} of the wallet" if view.mine else " · not the wallet's" if report.wallet else ""
    lines = [Line(f"{first}{sats} · {view.script_type}{policy}{whose}"), Line(f"{indent}{view.outpoint}")]
    together = {key.pubkey[2:] for group in groups for key in group.keys}
    lines += [
        Line(f"{indent}{_key_words(key, view)}{made or _STATES[signed.get(key.pubkey)]}")
        for key in view.keys
        if key.pubkey not in together or key.pubkey in signed  # a group may be no more than the PSBT's word
    ]
    for group in groups:
        lines += _musig_lines(group, view, indent)
    shown = {key.pubkey for key in view.keys}
    others = [pubkey for pubkey in sorted(signed) if pubkey not in shown]
    names = _signer_names(report, view.index) if others else {}
    for pubkey in others:
        state = _STATES[True] if signed[pubkey] else "  DOES NOT COUNT"
        who = sanitize(names[pubkey], 200) if pubkey in names else pubkey or "a signature of no known key"
        lines.append(Line(f"{indent}{who}{state}"))
    lines.append(Line(f"{indent}{_signature_state(view)}, sequence {view.sequence:#010x}"))
    return lines


_STATES = {None: "", True: "  signed, verified", False: "  signature DOES NOT COUNT"}


def _key_words(key: KeyView, view: InputView) -> str:
    who = f"[{key.fingerprint}]" if key.fingerprint else key.pubkey
    name = f" {sanitize(key.name, 60)}" if key.name is not None else ""
    claimed = "" if view.mine or key.fingerprint is None else " (as the PSBT says)"
    return f"{who}{name}{claimed}"


def _signer_names(report: Report, index: int) -> dict[str, str]:
    """Public key -> name, of the signatures of an input; signatures stand in the order of inputs."""
    begin = bisect_left(report.signatures, index, key=lambda each: each.input)
    end = bisect_right(report.signatures, index, key=lambda each: each.input)
    return {each.pubkey: each.name for each in reversed(report.signatures[begin:end]) if each.name}


def _musig_lines(group: MusigView, view: InputView, indent: str) -> list[Line]:
    """Keys that sign as one, and what each has done for it."""
    begun = view.mine or any(group.nonces) or any(group.signed)  # a PSBT says what for with the first nonce
    by_key = ", by key" if begun else ""
    where = by_key if group.leaf is None else f", leaf {group.leaf[:16]}…"
    lines = [Line(f"{indent}together (MuSig2{where}):")]
    for key, nonce, signed in zip(group.keys, group.nonces, group.signed, strict=True):
        state = "nonce missing" if not nonce else "nonce given, signature missing"
        state = "signed, not checked" if signed else state
        lines.append(Line(f"{indent}  {_key_words(key, view)}  {state}"))
    return lines


def _signature_state(view: InputView) -> str:
    if view.final:
        return "final, verified" if view.satisfied else "final, NOT VERIFIED"
    if view.musig and not view.signed:
        group = max(view.musig, key=lambda each: sum(each.signed))
        return f"{sum(group.signed)} of {len(group.keys)} partial signatures"
    needed = "?" if view.threshold is None else str(view.threshold)
    return f"{view.signed} of {needed} signatures"


def _output_detail(view: OutputView) -> list[Line]:
    first = f"{view.index:>4}  "
    indent = " " * len(first)
    kind = view.kind.value
    if view.kind is OutputKind.CHANGE:
        kind = f"to this wallet, receive address {view.path}" if is_receive(view) else f"change, address {view.path}"
    lines = [Line(f"{first}{words.btc(view.sats)} · {kind} · {view.script_type}")]
    if view.address is not None:
        return lines + address_lines(view.address, first=indent)
    lines += hex_lines("script", view.script, first=indent)
    if view.asm is not None:
        lines += wrapped(sanitize(view.asm, _LONG_TEXT), first=indent)
    if view.text is not None:
        lines += wrapped(quote(view.text, _LONG_TEXT), first=indent)
    return lines


def _transaction_lines(report: Report) -> list[Line]:
    size = "size not known" if report.vsize is None else f"about {report.vsize} vB when signed"
    if report.complete:
        state = "every input has the signatures that it needs"
    else:
        waiting = sum(1 for view in report.inputs if not view.satisfied)
        state = f"{words.count(waiting, 'input')} still without enough signatures"
    return [
        Line(f"txid      {report.txid or 'none: the inputs exclude each other'}"),
        Line(f"PSBT      version {report.psbt_version}, sha256 {report.psbt_sha256[:16]}…"),
        Line(f"version   {report.tx_version}, locktime {report.locktime}, {size}"),
        Line(f"state     {state}"),
    ]
