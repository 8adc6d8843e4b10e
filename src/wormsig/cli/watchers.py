"""How a terminal, or a script, watches a ceremony: statuses become lines or objects, questions are asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wormsig.app.choosing import cosigner_id
from wormsig.app.receive_plan import Verdict
from wormsig.ceremony import status as told
from wormsig.cli.asking import Asker
from wormsig.cli.console import yes_or_no
from wormsig.cli.reviews import show_report
from wormsig.cli.streams import terminal_width
from wormsig.render.lines import fitted
from wormsig.render.sanitize import sanitize
from wormsig.render.status import status_line, status_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.base import DelayedCall

    from wormsig.ceremony.status import Status
    from wormsig.cli.console import Console
    from wormsig.review.report import Report

ALONE = 5.0
"""Seconds until a cosigner is told that the coordinator is not there."""
ALONE_WORDS = "Nobody is at the other end of the code yet. Waiting for the coordinator; Ctrl-C is safe."
SCRIPT_HINT = "use -y in a script"
SIGN = "{}? [y]es / [N]o, with a reason / [s]ave for later:"
SHORT = 20
"""Characters of a signer's name that leave the question, with its answer, in one line of 80 columns."""
VERIFY_HINT = "--verify on one side needs a person at a terminal on both"


class _Watcher:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._asker = Asker()

    def status(self, status: Status) -> None:
        """Show what happened."""
        if self._console.as_json:
            self._console.emit(status_object(status))
        elif not self._console.quiet:
            with self._asker.speaking():
                self._console.say(fitted(status_line(status), terminal_width()))

    async def _compare(self, who: str, words: str) -> bool:
        self._console.need_person("comparing the verifier", hint=VERIFY_HINT)
        shown = f"Verifier with {who}: {words}"
        return await self._asker.confirm("Does the other side read the same words?", shown)


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
        """Show what happened; the first code comes with what to do with it, and a code is shown with -q too."""
        if not isinstance(status, told.CodeReady) or self._console.as_json:
            super().status(status)
            return
        with self._asker.speaking():
            if not self._told_how:
                self._console.say("Read each cosigner their code, by voice or in a chat you trust; they type")
                self._console.say("`wormsig receive CODE`:\n")
                self._told_how = True
            self._console.warn(status_line(status))
            if self._qr:
                self._console.warn(_qr_code(status.code))

    async def ask_broadcast(self, txid: str) -> bool:
        """Ask once."""
        if self._always_broadcast or self._console.yes:
            return True
        self._console.need_person("broadcasting", hint="use -y, --broadcast or --no-broadcast")
        return await self._asker.confirm("Broadcast?", f"Transaction {txid}")

    async def ask_new_code(self, cosigner: str, burned: int) -> bool:
        """Ask a person; a script never goes on after that many."""
        if self._console.yes or not self._console.has_person():
            return False
        return await self._asker.confirm(
            "Make another, longer one?", f"{burned} codes for {cosigner} were used up: somebody may be guessing."
        )

    async def compare_verifier(self, cosigner: str, words: str) -> bool:
        """Ask a person."""
        return await self._compare(cosigner, words)


class ReceiveWatcher(_Watcher):
    """Watches a cosigner's side.

    Args:
        console: Where to.
        signer: How the question names who signs.
        begun: Told the id, in the journal, of the ceremony that arrived.
    """

    def __init__(self, console: Console, *, signer: str = "", begun: Callable[[str], object] | None = None) -> None:
        super().__init__(console)
        self._signer = sanitize(signer)
        self._begun = begun
        self._alone: DelayedCall | None = None

    def wait(self, reactor: Any) -> None:  # noqa: ANN401  the reactor has no one type
        """Say that nobody is there, when nothing happens for a while; silence looks like a failure."""
        self._alone = reactor.callLater(ALONE, self._console.say, ALONE_WORDS)

    def status(self, status: Status) -> None:
        """Show what happened."""
        if self._alone is not None and self._alone.active():
            self._alone.cancel()
        if isinstance(status, told.PsbtReceived) and self._begun is not None:
            self._begun(cosigner_id(status.ceremony))
        super().status(status)

    def show_review(self, report: Report) -> None:
        """The review."""
        with self._asker.speaking():
            show_report(self._console, report)

    async def decide(self, report: Report) -> Verdict:
        """Ask a person: now, or another time. Say yes with -y: `approve` refuses then when there is a warning."""
        if self._console.yes:
            return Verdict(sign=True, by="unattended")
        self._console.need_person("signing", hint=SCRIPT_HINT)
        count = len(report.warnings)
        note = f"The review has {count} warning{'s' if count > 1 else ''}." if count else ""
        named = f"Sign with {self._signer}" if 0 < len(self._signer) <= SHORT else "Sign"
        if len(self._signer) > SHORT:
            note = f"{note}\nSigner: {self._signer}".lstrip()
        while True:
            word, _, reason = (await self._asker.ask(SIGN.format(named), note)).partition(" ")
            sign, note = yes_or_no(word), ""
            if sign and not reason:
                return Verdict(sign=True)
            if word.lower() in ("s", "save") and not reason:
                return Verdict(sign=False, later=True)
            if sign is False:
                break
        if word and not reason.strip():
            reason = await self._asker.ask("Reason, for the coordinator (or nothing):")
        return Verdict(sign=False, reason=reason.strip())

    async def compare_verifier(self, words: str) -> bool:
        """Ask a person."""
        return await self._compare("the coordinator", words)


def _qr_code(code: str) -> str:
    import io  # noqa: PLC0415  only with --qr

    import qrcode  # noqa: PLC0415  same

    picture = qrcode.QRCode()
    picture.add_data(f"wormhole-transfer:{code}")
    out = io.StringIO()
    picture.print_ascii(out=out)
    return out.getvalue()
