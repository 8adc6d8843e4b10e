"""Runs a coordinator's ceremony on the reactor and delivers its result; shared by `send` and `resume`."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any, Self

import msgspec

from wormsig.app.files import write_result
from wormsig.ceremony import coordinator
from wormsig.cli.notices import tell_once
from wormsig.cli.streams import OutputError
from wormsig.errors import UsageError, WormsigError
from wormsig.psbt import codec
from wormsig.render.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wormsig.app.home import Home
    from wormsig.app.send_plan import Opening, SendPlan
    from wormsig.app.session import Session
    from wormsig.app.settings import RelayOptions
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState
    from wormsig.cli.console import Console
    from wormsig.cli.options import Common
    from wormsig.node.client import Node

# Twisted and the wormhole library take half a second to load: they are imported where they are used, after the review
# was shown.


class Running(msgspec.Struct, frozen=True):
    """Where a ceremony runs, and where its result goes.

    Attributes:
        home: Our folder.
        node: Our node.
        relay: How to reach the relay.
        output: `-o` and `--force`.
        console: The terminal, or a script.
    """

    home: Home
    node: Node | None
    relay: RelayOptions
    output: tuple[Path | None, bool]
    console: Console

    @classmethod
    def of(cls, common: Common, home: Home, node: Node | None) -> Self:
        """Where the ceremony of a command runs.

        Args:
            common: What the options say.
            home: Our folder.
            node: Our node.
        """
        return cls(home=home, node=node, relay=common.relay, output=common.output, console=common.console)

    def check_broadcast(self, wanted: bool | None) -> None:
        """Refuse `--broadcast` without a node.

        Args:
            wanted: What `--broadcast/--no-broadcast` says, if anything.

        Raises:
            UsageError: There is none.
        """
        if wanted and self.node is None:
            raise UsageError("--broadcast needs a node", hint="use --rpc-url and --rpc-cookie")

    def need_person_to_broadcast(self, wanted: bool | None) -> None:
        """Raise UsageError when it will be asked whether to broadcast, and nobody is there to answer."""
        if self.node is not None and wanted is None and not self.console.yes:
            hint = "use -y in a script, or say --broadcast or --no-broadcast"
            self.console.need_person("broadcasting", hint=hint)

    def begin(self, opening: Opening, plan: SendPlan, *, qr: bool, always_broadcast: bool) -> None:
        """Begin a ceremony, run it to its end, and deliver its result, also when it fails.

        Args:
            opening: What it begins with.
            plan: How it is run.
            qr: Show each code as a QR code too.
            always_broadcast: Broadcast without a question.

        Raises:
            WormsigError: As `begin` and `Coordinator.run`.
            TerminatedError: Ctrl-C or another signal, when the others were told.
        """
        from wormsig.app.send import begin  # noqa: PLC0415  see above
        from wormsig.journal.store import Journal  # noqa: PLC0415  same

        with Journal(self.home.journal()) as journal:
            self._run(lambda: begin(opening, journal), plan, qr=qr, always_broadcast=always_broadcast)

    def go_on(
        self,
        session: Session[CoordinatorState, CoordinatorEvent],
        plan: SendPlan,
        *,
        qr: bool,
        always_broadcast: bool,
    ) -> None:
        """The same for a ceremony of the journal, from wherever it stands. Takes and raises the same."""
        self._run(lambda: session, plan, qr=qr, always_broadcast=always_broadcast)

    def tell(self, session: Session[CoordinatorState, CoordinatorEvent], plan: SendPlan) -> None:
        """Tell the cosigners of a ceremony that is over, and print no result."""
        from wormsig.errors import TransportError  # noqa: PLC0415  used here only

        try:
            self._run(lambda: session, plan, qr=False, always_broadcast=False, result=False)
        except TransportError as error:
            self.console.say(f"Not everybody could be told: {error.message}.")

    def _run(
        self,
        start: Callable[[], Session[CoordinatorState, CoordinatorEvent]],
        plan: SendPlan,
        *,
        qr: bool,
        always_broadcast: bool,
        result: bool = True,
    ) -> None:
        from wormsig.app.connect import connector_for  # noqa: PLC0415  see above
        from wormsig.app.send import Coordinator  # noqa: PLC0415  same
        from wormsig.cli.reactor import run_on_reactor  # noqa: PLC0415  same
        from wormsig.cli.watchers import SendWatcher  # noqa: PLC0415  same

        started: list[Session[CoordinatorState, CoordinatorEvent]] = []

        async def ceremony(reactor: Any) -> None:  # noqa: ANN401  Twisted's reactor has no one type
            watcher = SendWatcher(self.console, qr=qr, always_broadcast=always_broadcast)
            connector = await connector_for(reactor, self.relay, "coordinator", watcher.status)
            started.append(start())
            await Coordinator(plan, started[0], connector, node=self.node, watcher=watcher, home=self.home).run()

        tell_once(self.console, self.home, self.relay)
        try:
            run_on_reactor(ceremony)
        except BaseException as failure:  # whatever happened, Ctrl-C too: nothing that was signed is lost
            if started and isinstance(failure, OutputError):
                failure.hint = _known(started[0].state)
            if started and result:
                self._deliver_what_there_is(started[0].state, failure)
            raise
        if result:
            self._deliver(started[0].state, failed=False)

    def _deliver_what_there_is(self, state: CoordinatorState, failure: BaseException) -> None:
        """The same after a failure, which stays the one that is told: a second one is a line beside it."""
        try:
            self._deliver(state, failed=True)
        except WormsigError as error:
            if not isinstance(error, OutputError):
                self.console.warn(sanitize(error.message, 2000))
            elif not isinstance(failure, OutputError):
                self.console.warn(sanitize(f"{error.message}; {error.hint}", 2000))

    def _deliver(self, state: CoordinatorState, *, failed: bool) -> None:
        """Print the result, then write it: what was signed is told before anything else can go wrong."""
        path, force = self.output
        combined = codec.serialize(state.copy)
        try:
            self._print(state, combined, failed=failed)
        except OutputError:  # stays the one that is told: it carries the txid
            try:
                if path is not None:
                    write_result(path, combined, force=force)
            except WormsigError as error:
                self.console.warn(sanitize(error.message, 2000))
            raise
        if path is not None:
            write_result(path, combined, force=force)

    def _print(self, state: CoordinatorState, combined: bytes, *, failed: bool) -> None:
        console, (path, _) = self.console, self.output
        final, known = state.transaction, _known(state)
        broadcast = state.phase == "broadcast"
        if console.as_json:
            console.emit(
                {
                    "event": "failed" if failed else "done",
                    "ceremony": state.start.ceremony,
                    "broadcast": broadcast,
                    "txid": final.txid if final else None,
                    "transaction": final.serialize().hex() if final else None,
                    "psbt": base64.b64encode(combined).decode(),
                },
                known=known,
            )
        elif final is not None and broadcast:
            console.result(final.txid, known=known)
        elif final is not None:
            console.say("Not broadcast. The whole transaction, which `wormsig broadcast` takes:")
            console.result(final.serialize().hex(), known=known)
        elif path is None and not (failed and (combined == state.start.psbt or sys.stdout.isatty())):
            console.say("What was signed so far, for `wormsig combine` or another `wormsig send`:")
            console.result(base64.b64encode(combined).decode(), known=known)
        if failed and not coordinator.is_over(state) and not console.as_json:
            console.say(f"Everything is kept: `wormsig resume {state.start.ceremony[:6]}` goes on.")


def _known(state: CoordinatorState) -> str:
    """What the result would have told, for a script whose standard output took nothing."""
    if state.phase == "broadcast" and state.transaction is not None:
        return f"the transaction was broadcast: {state.transaction.txid}"
    return f"everything is kept: `wormsig resume {state.start.ceremony[:6]}` goes on"
