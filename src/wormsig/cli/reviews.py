"""Showing a review; apart from the ceremonies' watchers, whose imports take longer than most commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wormsig.cli.console import Console
    from wormsig.review.report import Report


def show_report(console: Console, report: Report) -> None:
    """Show a review: text on standard error, or one object on standard output.

    Not where `-q` asks for less and `-y` leaves no question that it would be read for; what is wrong is shown then too.
    """
    if console.as_json:
        from wormsig.render.report_json import report_object  # noqa: PLC0415  only what is used is loaded

        console.emit({"event": "review", **report_object(report)})
        return
    if console.quiet and console.yes and not report.errors and not report.warnings:
        return
    from wormsig.render.report_text import review_lines  # noqa: PLC0415  same
    from wormsig.render.terminal import show  # noqa: PLC0415  same

    show(review_lines(report), sys.stderr, color=console.color)
    sys.stderr.write("\n")
