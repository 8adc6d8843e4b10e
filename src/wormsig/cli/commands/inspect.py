"""`wormsig inspect`: the review of a PSBT, without signing."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from wormsig.app.home import Home
from wormsig.app.inspect import inspect_psbt
from wormsig.cli import options
from wormsig.errors import RefusedError
from wormsig.render.report_json import report_object
from wormsig.render.report_text import inspect_lines, verdict_words
from wormsig.render.sanitize import to_json
from wormsig.render.terminal import show, wants_color
from wormsig.review.approve import require_supported

if TYPE_CHECKING:
    from wormsig.app.settings import ReviewOptions, RpcOptions, WalletOptions
    from wormsig.cli.console import Console


@click.command("inspect")
@options.psbt_argument
@options.wallet_options
@options.rpc_options
@options.review_options
@options.console_options
def command(
    *,
    psbt: str,
    wallet_options: WalletOptions,
    rpc: RpcOptions,
    review_options: ReviewOptions,
    console: Console,
) -> None:
    """Show what a PSBT would do, and what is wrong with it.

    PSBT is a path, `-` for standard input, or base64. Change and coins are recognised with the wallet alone, never by
    what the PSBT claims. Exit code 4 when the review has an error, else 3 when an input still needs MuSig2
    signatures, which can only be shown; the report is printed all the same. --json prints one object
    (docs/inspect-json.md).
    """
    inspection = inspect_psbt(psbt, wallet_options, rpc, review_options, Home.from_environment())
    report = inspection.report
    with contextlib.suppress(BrokenPipeError):  # `| head`: the exit code is the same, however much was read
        if console.as_json:
            console.result(to_json(report_object(report)))
        else:
            show(inspect_lines(report), sys.stdout, color=console.color and wants_color(sys.stdout))
    if inspection.hint is not None and not console.as_json:
        console.say(f"hint: {inspection.hint}")
    if report.errors:
        raise RefusedError(f"the review has {verdict_words(report)}")
    require_supported(report, shown=True)
