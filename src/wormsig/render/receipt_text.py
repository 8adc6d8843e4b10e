"""A receipt, and what came out of comparing two, for people: 80 columns, nothing shortened that has to be compared."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from wormsig.render.lines import WIDTH, Line, Style, address_lines, hex_lines, wrapped
from wormsig.render.receipt_words import (
    HEADS,
    NAME,
    decision_words,
    headline,
    history_words,
    inputs_words,
    letters_words,
    signers,
    time_words,
    wallet_words,
)
from wormsig.render.sanitize import sanitize
from wormsig.review import words

if TYPE_CHECKING:
    from wormsig.ceremony.comparison import Comparison, Statement
    from wormsig.ceremony.receipt import OutputPart, PairPart, Receipt

_LABEL = 9
_PATH = 20
_SHOWN_ALIKE = 200
"""Inputs or outputs that are written out; the JSON form has every one."""


def receipt_lines(receipt: Receipt) -> list[Line]:
    """The whole receipt.

    Args:
        receipt: Ours, or one that was read; every word in it is escaped.
    """
    lines = _pair_of_words(f"Receipt of the {receipt.role}", f"ceremony {receipt.ceremony}", Style.STRONG)
    lines += _pair_of_words(wallet_words(receipt), f"began {time_words(receipt.began_at)}")
    ended = "not settled yet" if receipt.ended_at is None else f"settled {time_words(receipt.ended_at)}"
    lines += _pair_of_words(headline(receipt), ended, Style.STRONG)
    lines += [Line(""), *_transaction(receipt)]
    lines += [Line(""), Line("Signatures, each verified here", Style.STRONG), *_signatures(receipt)]
    decisions = decision_words(receipt)
    if decisions:
        lines += [Line(""), Line("Review and approval", Style.STRONG)]
        lines += [line for text in decisions for line in wrapped(text, first="  ", rest=" " * 27)]
    for pair in receipt.pairs:
        lines += [Line(""), *_pair(receipt, pair)]
    lines += [Line(""), Line("What happened", Style.STRONG)]
    for at, happened in history_words(receipt):
        lines += wrapped(f"{time_words(at)}  {happened}", first="  ", rest=" " * 27)
    version = sanitize(receipt.wormsig, 20)
    return [*lines, Line(""), Line(f"made {time_words(receipt.made_at)} by wormsig {version}", Style.DIM)]


def _pair_of_words(left: str, right: str, style: Style = Style.PLAIN) -> list[Line]:
    if len(left) + len(right) + 2 <= WIDTH:
        return [Line(f"{left}{right:>{WIDTH - len(left)}}", style)]
    return [*wrapped(left, first="", style=style), Line(f"{right:>{WIDTH}}", style)]


def _row(label: str, sats: int | None, width: int, rest: str = "") -> str:
    shown = "not known" if sats is None else words.btc(sats)
    return f"  {label:<{_LABEL}}{shown:>{width}}   {rest}"


def _transaction(receipt: Receipt) -> list[Line]:
    amounts = [coin.sats for coin in receipt.inputs if coin.sats is not None] + [each.sats for each in receipt.outputs]
    width = max((len(words.btc(sats)) for sats in amounts), default=9)
    lines = [Line("Transaction", Style.STRONG)]
    for coin in receipt.inputs[:_SHOWN_ALIKE]:
        where = f"from the wallet's {sanitize(coin.path, _PATH)}" if coin.mine and coin.path else ""
        lines.append(Line(_row("Spends", coin.sats, width, where)))
        lines.append(Line(f"    {coin.outpoint}"))
    lines += _more(len(receipt.inputs), "input")
    for output in receipt.outputs[:_SHOWN_ALIKE]:
        lines += _output(output, width)
    lines += _more(len(receipt.outputs), "output")
    parts = [] if receipt.fee_sats is None else [f"{receipt.fee_sats} sat"]
    if receipt.final is not None and receipt.fee_sats is not None and receipt.final.vsize:
        parts.append(f"{words.trimmed(Fraction(receipt.fee_sats, receipt.final.vsize), 2)} sat/vB")
    lines.append(Line(_row("Fee", receipt.fee_sats, width, " · ".join(parts))))
    for label, digits in _hashes(receipt):
        lines += hex_lines(f"{label:<9}", digits, first="  ")
    return lines


def _hashes(receipt: Receipt) -> list[tuple[str, str]]:
    found = [("PSBT", receipt.psbt_sha256), ("unsigned", receipt.unsigned_txid)]
    if receipt.final is not None:
        found += [("final", receipt.final.txid), ("witness", receipt.final.wtxid)]
    return found


def _output(output: OutputPart, width: int) -> list[Line]:
    label = {"payment": "Pays", "change": "Change", "data": "Data"}[output.kind]
    path = f"back to the wallet, {sanitize(output.path, _PATH)}" if output.path else ""
    lines = [Line(_row(label, output.sats, width, path))]
    if output.address is None:
        return lines + hex_lines("script", output.script, first="    ")
    return lines + address_lines(sanitize(output.address, 200), first="    ")


def _more(number: int, noun: str) -> list[Line]:
    if number <= _SHOWN_ALIKE:
        return []
    return [Line(f"  and {words.count(number - _SHOWN_ALIKE, noun)} more; --format json names every one")]


def _signatures(receipt: Receipt) -> list[Line]:
    lines: list[Line] = []
    for each in signers(receipt):
        name = f" {each.name}" if each.name else ""
        text = f"{time_words(each.at)}  [{each.fingerprint}]{name}: {inputs_words(each)}, {each.whence}"
        lines += wrapped(text, first="  ", rest=" " * 27)
    return lines or [Line("  none")]


def _pair(receipt: Receipt, pair: PairPart) -> list[Line]:
    who = "With the coordinator" if receipt.role == "cosigner" else f"With {sanitize(pair.name, NAME)}"
    lines = [Line(who, Style.STRONG)]
    for connection in pair.connections:
        text = f"{time_words(connection.at)}  connected, verifier {sanitize(connection.verifier)}"
        lines += wrapped(text, first="  ", rest=" " * 27)
    for part, said in letters_words(receipt, pair):
        way = "sent" if part.sender == receipt.role else "received"
        text = f"{time_words(part.at)}  {way} {part.kind}{': ' if said else ''}{said}"
        lines += wrapped(text, first="  ", rest=" " * 27)
        lines.append(Line(f"    {part.digest}"))
        if part.sha256 is not None:
            what = "transaction" if part.kind == "outcome" else "PSBT"
            lines += hex_lines(what, part.sha256, first="    ")
    if not pair.letters:
        lines.append(Line("  no letter went over"))
    style = Style.ERROR if pair.heads == "differ" else Style.PLAIN
    lines += [Line("  head of these letters"), Line(f"    {pair.head}")]
    lines += wrapped(HEADS[pair.heads], first="  ", style=style)
    if pair.their_head is not None:
        lines.append(Line(f"    {pair.their_head}"))
    return lines


def comparison_lines(comparison: Comparison) -> list[Line]:
    """What agrees and what does not; differences last, where they are seen.

    Args:
        comparison: What came out.
    """
    agreed = [each for each in comparison.statements if each.verdict == "agrees"]
    lines: list[Line] = []
    if comparison.pair is not None:
        lines += wrapped(
            f"Compared with the receipt of: {sanitize(comparison.pair, NAME)}", first="", style=Style.STRONG
        )
    lines += [line for each in agreed[:_SHOWN_ALIKE] for line in _statement(each)]
    lines += _more(len(agreed), "statement")
    for verdict in ("open", "differs"):
        found = [each for each in comparison.statements if each.verdict == verdict]
        lines += [line for each in found[:_SHOWN_ALIKE] for line in _statement(each)]
        lines += _more(len(found), "statement")
    differing = comparison.differing
    if differing:
        verb = "differs" if len(differing) == 1 else "differ"
        lines.append(
            Line(f"{words.count(len(differing), 'statement')} of {len(comparison.statements)} {verb}.", Style.ERROR)
        )
    else:
        lines.append(Line(f"{words.count(len(agreed), 'statement')} compared, all of them agree.", Style.STRONG))
    return lines


def _statement(each: Statement) -> list[Line]:
    style = Style.ERROR if each.verdict == "differs" else Style.PLAIN
    first = f"{each.verdict:<8}"
    what = sanitize(each.what, 300)
    if each.verdict == "agrees":
        said = "" if each.ours is None or each.unit == "key" else f": {_value(each, each.ours, 300)}"
        return wrapped(f"{what}{said}", first=first, rest=" " * 10)
    lines = wrapped(
        f"{what}{': ' if each.why else ''}{sanitize(each.why, 300)}", first=first, rest=" " * 10, style=style
    )
    for whose, value in (("ours", each.ours), ("theirs", each.theirs)):
        if value is not None:
            lines += wrapped(_value(each, value, 1000), first=f"{'':10}{whose:<7}", rest=" " * 17, style=style)
    return lines


def _value(each: Statement, value: str, limit: int) -> str:
    """One side's value, with its unit."""
    if each.unit == "sat":
        return words.amount(int(value))
    shown = sanitize(value, limit)
    return f"[{shown}]" if each.unit == "key" else f"{shown} {each.unit}".rstrip()
