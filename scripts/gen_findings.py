#!/usr/bin/env python3
"""Write docs/findings.md from the table in review/findings.py; `--check` compares only."""

from __future__ import annotations

from generated import settle, table
from wormsig.review.findings import Code, Severity

INTRO = """# Findings

What a review can find. A code starts with the number of its row in the [threat model](threat-model.md) and is stable:
scripts and policies name it. `wormsig inspect` shows the codes, `--json` carries them ([fields](inspect-json.md)).

"""

LIST = """
"Person only" marks the warning that takes an error's place when its option is given: a person has to accept it, no
policy can, and an unattended signer still sees the error.

"""

MEANINGS = {
    Severity.ERROR: "nothing is signed while it stands; only the option named below can change that",
    Severity.WARNING: "a person sees it and may go on; with `-y` nothing is signed, unless a policy names the code",
    Severity.NOTICE: "worth knowing; stops nobody",
}


def page() -> str:
    """The whole page."""
    order = list(Severity)
    codes = sorted(Code, key=lambda code: (int(code.row[1:]), order.index(code.severity)))
    rows = [
        (
            f"`{code.value}`",
            code.severity.value,
            code.meaning,
            f"`{code.override}`" if code.override else "person only" if code.never_unattended else "",
        )
        for code in codes
    ]
    return (
        INTRO
        + table(("severity", "means"), [(severity.value, meaning) for severity, meaning in MEANINGS.items()])
        + LIST
        + table(("code", "severity", "meaning", "option"), rows)
    )


if __name__ == "__main__":
    settle("findings.md", "gen_findings.py", page())
