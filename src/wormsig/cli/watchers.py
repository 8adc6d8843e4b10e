"""How a terminal, or a script, watches a ceremony: statuses become lines or objects, questions are asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wormsig.app.receive import Verdict
from wormsig.ceremony import status as told
from wormsig.cli.reviews import show_report
from wormsig.errors import UsageError
from wormsig.render.status import status_line, status_object

if TYPE_CHECKING:
    from wormsig.ceremony.status import Status
    from wormsig.cli.console import Console
    from wormsig.review.report import Report

SCRIPT_HINT = "use -y in a script"


class _Watcher:
    def __init__(self, console: Console) -> None:
        self._console = console

    def status(self, status: Status) -> None:
        """Show what happened."""
        if self._console.as_json:
            self._console.emit(status_object(status))
            return
        self._console.say(status_line(status))

    def _compare(self, who: str, words: str) -> bool:
        self._console.need_person("comparing the verifier", hint="both sides need a terminal with --verify")
        self._console.warn(f"Verifier with {who}: {words}")
        return click.confirm("Does the other side read the same words?", default=False, err=True)


class SendWatcher(_Watcher):
    """Watches a coordinator's ceremony.

    Args:
        console: Where to.
        qr: Show each code as a QR code too.
        always_broadcast: `--broadcast` was said: nothing to ask.
    """

    def __init__(self, console: Console, *, qr: bool, always_broadcast: bool) -> None:
        super().__init__(console)
        self._qr = qr
        self._always_broadcast = always_broadcast
        self._told_how = False

    def status(self, status: Status) -> None:
        """Show what happened; the first code comes with what to do with it."""
        if isinstance(status, told.CodeReady) and not self._console.as_json:
            if not self._told_how:
                self._console.say("Read each cosigner their code, by voice or in a chat you trust; they type")
                self._console.say("`wormsig receive CODE`:\n")
                self._told_how = True
            super().status(status)
            if self._qr:
                self._console.warn(_qr_code(status.code))
            return
        super().status(status)

    def ask_broadcast(self, txid: str) -> bool:
        """Ask once."""
        return self._always_broadcast or self._console.ask(f"Broadcast {txid}?", hint="use -y, or --no-broadcast")

    def ask_new_code(self, cosigner: str, burned: int) -> bool:
        """Ask a person; a script never goes on after that many."""
        if self._console.yes or not self._console.has_person():
            return False
        question = f"{burned} codes for {cosigner} were used up: somebody may be guessing. Make another, longer one?"
        return click.confirm(question, default=False, err=True)

    def compare_verifier(self, cosigner: str, words: str) -> bool:
        """Ask a person."""
        return self._compare(cosigner, words)


class ReceiveWatcher(_Watcher):
    """Watches a cosigner's side.

    Args:
        console: Where to.
        reject: Decline with this reason, whatever the review says.
    """

    def __init__(self, console: Console, *, reject: str | None) -> None:
        super().__init__(console)
        self._reject = reject

    def show_review(self, report: Report) -> None:
        """The review."""
        show_report(self._console, report)

    def decide(self, report: Report) -> Verdict:
        """Ask a person, or say yes with -y: `approve` refuses then when there is a warning."""
        if self._reject is not None:
            return Verdict(sign=False, reason=self._reject)
        if self._console.yes:
            return Verdict(sign=True, by="unattended")
        if not self._console.has_person():
            raise UsageError("signing needs an answer, and there is no terminal to ask on", hint=SCRIPT_HINT)
        count = len(report.warnings)
        note = f" The review has {count} warning{'s' if count > 1 else ''}." if count else ""
        answer = click.prompt(
            f"Sign?{note} [y]es / [n]o, with a reason",
            default="n",
            type=click.Choice(["y", "n"]),
            show_choices=False,
            show_default=False,
            err=True,
        )
        if answer == "y":
            return Verdict(sign=True)
        reason = click.prompt("Reason (for the coordinator)", default="", show_default=False, err=True)
        return Verdict(sign=False, reason=str(reason).strip())

    def compare_verifier(self, words: str) -> bool:
        """Ask a person."""
        return self._compare("the coordinator", words)


def _qr_code(code: str) -> str:
    import io  # noqa: PLC0415  only with --qr

    import qrcode  # noqa: PLC0415  same

    picture = qrcode.QRCode()
    picture.add_data(f"wormhole-transfer:{code}")
    out = io.StringIO()
    picture.print_ascii(out=out)
    return out.getvalue()
