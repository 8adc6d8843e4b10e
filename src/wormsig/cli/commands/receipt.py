"""`wormsig receipt`: what a ceremony left, for people, for scripts, for a frame; and whether another side agrees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wormsig.app.files import check_output, write_file
from wormsig.app.home import Home
from wormsig.app.receipts import read_receipt, receipt_of
from wormsig.ceremony.comparison import compare
from wormsig.cli import options
from wormsig.errors import PeerError, UsageError
from wormsig.render.lines import plain
from wormsig.render.receipt_html import receipt_page
from wormsig.render.receipt_json import comparison_json, receipt_json
from wormsig.render.receipt_text import comparison_lines, receipt_lines
from wormsig.render.terminal import show, wants_color
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from wormsig.ceremony.receipt import Receipt
    from wormsig.cli.console import Console


@click.command("receipt")
@click.argument("ident", metavar="[ID]", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html"]),
    help="How it is written; json is what others can compare.  [default: text, or what FILE's name says]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it there, whole or not at all.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--compare", "other", metavar="FILE", help="Another side's receipt as JSON: say what agrees and what not."
)
@options.console_options
def command(
    *, ident: str | None, form: str | None, output: Path | None, force: bool, other: str | None, console: Console
) -> None:
    """Show what a ceremony left on this side, or compare it with what it left on another.

    ID is the beginning of the ceremony's id, at least four digits; without it the latest ceremony. With --compare the
    exit code is 5 when the receipts differ, 3 when FILE is no receipt. docs/receipt-format.md describes the JSON.
    """
    if console.as_json:
        if form not in (None, "json"):
            raise UsageError(f"--json and --format {form} exclude each other")
        form = "json"
    if other is not None and (output is not None or form == "html"):
        raise UsageError("--compare prints what agrees and what not, as text or as JSON")
    check_output(output, force=force)
    home = Home.from_environment()
    theirs = None if other is None else read_receipt(other)
    ours = receipt_of(ident, home, Registry(home.wallets()))
    if theirs is not None:
        _compare(ours, theirs, console, as_json=form == "json")
        return
    written = _written(ours, form or _form_of(output))
    if output is not None:
        write_file(output, written.encode(), force=force)
        console.say(f"wrote {output}")
    elif form in (None, "text"):
        show(receipt_lines(ours), sys.stdout, color=console.color and wants_color(sys.stdout))
    else:
        console.result(written.rstrip("\n"))


def _form_of(output: Path | None) -> str:
    """What a file's name asks for."""
    suffix = "" if output is None else output.suffix.lower()
    return {".json": "json", ".html": "html", ".htm": "html"}.get(suffix, "text")


def _written(receipt: Receipt, form: str) -> str:
    if form == "html":
        return receipt_page(receipt)
    return (receipt_json(receipt) if form == "json" else plain(receipt_lines(receipt))) + "\n"


def _compare(ours: Receipt, theirs: Receipt, console: Console, *, as_json: bool) -> None:
    comparison = compare(ours, theirs)
    if as_json:
        console.result(comparison_json(comparison))
    else:
        show(comparison_lines(comparison), sys.stdout, color=console.color and wants_color(sys.stdout))
    if comparison.differing:
        what = comparison.differing[0].what
        more = f" and {len(comparison.differing) - 1} more" if len(comparison.differing) > 1 else ""
        raise PeerError(
            f"the receipts differ: {what}{more}",
            hint="ask the other side for its receipt again, from its own machine; ours is as the journal has it",
        )
