#!/usr/bin/env python3
"""Write docs/exit-codes.md from errors.py; `--check` compares only."""

from __future__ import annotations

import inspect

from generated import settle, table
from wormsig import errors
from wormsig.errors import ExitCode, WormsigError

MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.BUG: "a bug in wormsig: a traceback is in the log, one line on the screen",
    ExitCode.USAGE: "wrong usage or configuration; or something needs a person, and none is there",
    ExitCode.INPUT: "bad input of ours: a file, a PSBT, a descriptor, a key; also a PSBT of a kind not supported yet",
    ExitCode.REFUSED: "refused or declined: the review has an error, or a person or a policy said no "
    "(for `send`, cosigners who decline: see 7)",
    ExitCode.PEER: "a peer's fault decided the outcome: malformed message, changed transaction, bad signature",
    ExitCode.TRANSPORT: "transport: relay unreachable, wrong or burned code, peer gone, time limit passed",
    ExitCode.THRESHOLD: "threshold not reached: cosigners declined, or were never there",
    ExitCode.NODE: "the node refused (`testmempoolaccept` or `sendrawtransaction`), is on another chain, or is not "
    "reachable",
    ExitCode.STORAGE: "storage: journal, key file, registry; also a standard output that cannot be written to",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); state is kept",
    ExitCode.TERMINATED: "terminated (SIGTERM, or SIGHUP: the terminal was closed); state is kept",
}

INTRO = """# Exit codes

A script can rely on these. Every failure prints one `error:` line on standard error and, where there is something
to do, one `hint:` line. "Resumable" means that nothing is wrong with what was signed so far: the same step can be done
again once the cause is gone.

"""

TREE = """
## The errors behind them

Every failure that wormsig foresees is one of these classes (`wormsig.errors`). "At fault" is who may be, as far as
the evidence goes; a single error may say something more precise.

"""


def tree(base: type[WormsigError] = WormsigError) -> list[type[WormsigError]]:
    """The error classes of errors.py below `base`, depth first."""
    found: list[type[WormsigError]] = []
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            found += [child, *tree(child)]
    return found


def page() -> str:
    """The whole page."""
    classes = tree()
    resumable = {kind.exit_code for kind in classes if kind.resumable}
    if ExitCode.INTERRUPTED in resumable:
        resumable.add(ExitCode.TERMINATED)  # the same state, another signal
    codes = [(str(int(code)), MEANINGS[code], "yes" if code in resumable else "") for code in ExitCode]
    rows = [
        (
            f"`{kind.__name__}`",
            str(int(kind.exit_code)),
            kind.default_fault.value,
            (inspect.getdoc(kind) or "").split("\n\n", 1)[0].replace("\n", " "),
        )
        for kind in classes
    ]
    return (
        INTRO
        + table(("code", "meaning", "resumable"), codes)
        + TREE
        + table(("error", "code", "at fault", "what happened"), rows)
    )


if __name__ == "__main__":
    settle("exit-codes.md", "gen_exit_codes.py", page())
