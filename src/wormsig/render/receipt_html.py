"""A receipt as one self-contained page: no script, nothing fetched, nothing that a stranger wrote can do anything.

The policy in the page's head forbids everything but the page's own style, which it names by its hash. Words from
outside are made printable (`sanitize`), escaped, and isolated, so that letters written from right to left move nothing
else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from fractions import Fraction
from typing import TYPE_CHECKING

from wormsig.render.receipt_drawing import NARROW, WIDE, drawing
from wormsig.render.receipt_style import STYLE
from wormsig.render.receipt_words import (
    HEADS,
    NAME,
    decision_words,
    headline,
    history_words,
    inputs_words,
    letters_words,
    paid_words,
    signers,
    time_words,
    wallet_words,
)
from wormsig.render.sanitize import sanitize
from wormsig.review.words import btc, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wormsig.ceremony.receipt import LetterPart, PairPart, Receipt


def receipt_page(receipt: Receipt) -> str:
    """The whole page.

    Args:
        receipt: Ours, or one that was read.

    Returns:
        HTML in UTF-8's characters, with a final line break.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    body = (
        _header(receipt),
        drawing(receipt, WIDE),
        drawing(receipt, NARROW),
        "<h2>The transaction</h2>",
        _definitions(_transaction(receipt)),
        "<h2>Signatures, each verified here</h2>",
        _signatures(receipt),
        *_decisions(receipt),
        '<div class="details">',
        "<h2>Inputs and outputs</h2>",
        _table(("Spent", "Amount"), _inputs(receipt)),
        _table(("Paid", "Amount"), _outputs(receipt)),
        *(part for pair in receipt.pairs for part in _pair(receipt, pair)),
        "<h2>What happened</h2>",
        _table(("When", "What"), _history(receipt)),
        "</div>",
        _footer(receipt),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>Receipt of ceremony {receipt.ceremony[:6]}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{chr(10).join(body)}\n</main>\n</body>\n</html>\n"
    )


def _escaped(text: str) -> str:
    """Text of ours, or made printable before."""
    return html.escape(text)


def _word(text: str, limit: int = NAME) -> str:
    """Words from outside."""
    return f"<bdi>{html.escape(sanitize(text, limit))}</bdi>"


def _header(receipt: Receipt) -> str:
    when = receipt.ended_at or receipt.made_at
    return (
        f'<header><p class="over">Receipt of a signing ceremony</p><h1>{_escaped(headline(receipt))}</h1>'
        f"<p>{paid_words(receipt)}</p><p><bdi>{_escaped(wallet_words(receipt))}</bdi></p>"
        f'<p>{time_words(when)}</p><p class="mono">{receipt.ceremony}</p></header>'
    )


def _footer(receipt: Receipt) -> str:
    return (
        f"<footer>Made {time_words(receipt.made_at)} by wormsig {_word(receipt.wormsig)}, from the journal of the"
        f" {receipt.role}. <code>wormsig receipt --compare</code> holds it against the other side's.</footer>"
    )


def _transaction(receipt: Receipt) -> Iterable[tuple[str, str]]:
    if receipt.final is not None:
        yield "Transaction", receipt.final.txid
        yield "With its signatures", receipt.final.wtxid
    yield "Unsigned", receipt.unsigned_txid
    yield "PSBT, SHA-256", receipt.psbt_sha256
    if receipt.fee_sats is not None:
        rate = ""
        if receipt.final is not None and receipt.final.vsize:
            rate = f" · {trimmed(Fraction(receipt.fee_sats, receipt.final.vsize), 2)} sat/vB"
        yield "Fee", f"{btc(receipt.fee_sats)} · {receipt.fee_sats} sat{rate}"


def _definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Terms and values; both are escaped here."""
    return f"<dl>{''.join(f'<dt>{_escaped(term)}</dt><dd>{_escaped(value)}</dd>' for term, value in rows)}</dl>"


def _table(heads: Sequence[str], rows: Iterable[str]) -> str:
    shown = "".join(f"<th{' class=sats' if head == 'Amount' else ''}>{head}</th>" for head in heads)
    return f"<table><thead><tr>{shown}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _signatures(receipt: Receipt) -> str:
    rows = [
        _line(
            f"<bdi>{_escaped(each.name) or 'a key without a name'}</bdi>{_small(_escaped(each.fingerprint))}",
            f"{inputs_words(each)}<small><bdi>{_escaped(each.whence)}</bdi></small>",
            at=each.at,
        )
        for each in signers(receipt)
    ]
    return _table(("Key", "Signed", "When"), rows) if rows else "<p>None.</p>"


def _line(*cells: str, at: str, first: bool = False) -> str:
    """A table's row of cells that are escaped, with a time."""
    when = f'<td class="when">{time_words(at)}</td>'
    shown = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr>{when}{shown}</tr>" if first else f"<tr>{shown}{when}</tr>"


def _small(text: str) -> str:
    """Hashes and addresses below what they belong to."""
    return f'<small class="mono">{text}</small>'


def _decisions(receipt: Receipt) -> Iterable[str]:
    decisions = decision_words(receipt)
    if decisions:
        yield "<h2>Review and approval</h2>"
        yield "".join(f"<p><bdi>{_escaped(text)}</bdi></p>" for text in decisions)


def _inputs(receipt: Receipt) -> Iterable[str]:
    for index, coin in enumerate(receipt.inputs):
        whose = f"the wallet's {_word(coin.path)}" if coin.mine and coin.path else "not known as the wallet's"
        sats = "not known" if coin.sats is None else btc(coin.sats)
        yield f'<tr><td>Input {index}, {whose}{_small(coin.outpoint)}</td><td class="sats">{sats}</td></tr>'


def _outputs(receipt: Receipt) -> Iterable[str]:
    for index, output in enumerate(receipt.outputs):
        what = {"payment": "Payment", "change": "Change", "data": "Data"}[output.kind]
        path = f", back to the wallet's {_word(output.path)}" if output.path else ""
        where = _word(output.address, 200) if output.address else f"script {output.script}"
        cell = f"{what}, output {index}{path}{_small(where)}"
        yield f'<tr><td>{cell}</td><td class="sats">{btc(output.sats)}</td></tr>'


def _pair(receipt: Receipt, pair: PairPart) -> Iterable[str]:
    yield f"<h2>Between {receipt.role} and {_word(pair.name)}</h2>"
    rows: list[str] = []
    for connection in pair.connections:
        said = f"connected<small>verifier {_word(connection.verifier, 200)}</small>"
        rows.append(_line(said, at=connection.at, first=True))
    for part, words in letters_words(receipt, pair):
        way = "sent" if part.sender == receipt.role else "received"
        about = f"{way} {part.kind}{': ' if words else ''}<bdi>{_escaped(words)}</bdi>"
        rows.append(_line(f"{about}{_small(part.digest)}{_object(part)}", at=part.at, first=True))
    yield _table(("When", "Letter, and its hash"), rows) if rows else "<p>No letter went over.</p>"
    heads = [("Head of these letters", pair.head)]
    if pair.their_head is not None:
        heads.append(("Told by the other side", pair.their_head))
    yield _definitions(heads)
    verdict = HEADS[pair.heads]
    yield f"<p{' class=bad' if pair.heads == 'differ' else ''}>{verdict[0].upper()}{verdict[1:]}.</p>"


def _object(part: LetterPart) -> str:
    """The hash of what came with a letter."""
    if part.sha256 is None:
        return ""
    return f"<small>with the {'transaction' if part.kind == 'outcome' else 'PSBT'}</small>{_small(part.sha256)}"


def _history(receipt: Receipt) -> Iterable[str]:
    for at, happened in history_words(receipt):
        yield _line(f"<bdi>{_escaped(happened)}</bdi>", at=at, first=True)
