"""A cosigner's side, from options to the reactor and its result; shared by `receive` and `resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import click
import msgspec

from wormsig.app.context import Sources
from wormsig.app.files import check_output, write_result
from wormsig.app.home import Home
from wormsig.app.loading import load_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.policy import Policy, check_recipients
from wormsig.app.receive_plan import ReceivePlan, Reviewed
from wormsig.app.signing import OpenedSigner, open_signer, review_psbt
from wormsig.bitcoin.network import Network
from wormsig.cli.failure import TerminatedError
from wormsig.cli.notices import tell_once
from wormsig.cli.options import sendable
from wormsig.cli.passphrase import passphrases
from wormsig.errors import StorageError, TransportError, UsageError
from wormsig.psbt import codec
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wormsig.app.cosigning import Cosigner
    from wormsig.app.session import Session
    from wormsig.app.settings import RelayOptions
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.cli.console import Console
    from wormsig.cli.options import Common
    from wormsig.cli.watchers import ReceiveWatcher
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.transport.connector import Connector
    from wormsig.wallet.model import Wallet

# Twisted and the wormhole library take half a second to load: they are imported where they are used, after the options
# were checked.


class How(msgspec.Struct, frozen=True):
    """What the options say about receiving.

    Attributes:
        signer: Who signs.
        reject: Decline with this reason.
        expect_txid: The only transaction to sign.
        policy: What may be signed.
        timeout: Seconds for the whole.
        later: Sign another time.
    """

    signer: str | None = None
    reject: str | None = None
    expect_txid: str | None = None
    policy: Policy | None = None
    timeout: float | None = None
    later: bool = False


class Receiving(msgspec.Struct, frozen=True):
    """A cosigner's side that is ready to begin.

    Attributes:
        plan: How to receive.
        how: What the options say.
        home: Our folder.
        node: Our node.
        relay: How to reach the relay.
        console: The terminal, or a script.
        signer: How messages name who signs.
    """

    plan: ReceivePlan
    how: How
    home: Home
    node: Node | None
    relay: RelayOptions
    console: Console
    signer: str = ""

    @classmethod
    def prepare(
        cls,
        how: How,
        common: Common,
        *,
        ready: OpenedSigner | None = None,
        asks: bool = True,
    ) -> Self:
        """Check everything that can be checked before anybody is contacted, and open the signer.

        Args:
            how: What the options say about receiving.
            common: What the other options say.
            ready: A signer that is open already; instead of `how.signer`.
            asks: It is not signed yet, so that somebody has to be asked.

        Raises:
            WormsigError: Something is missing or wrong.
        """
        console, (path, force) = common.console, common.output
        check_output(path, force=force)
        home = Home.from_environment()
        wallet = load_wallet(common.wallet_options, home)
        network = wallet.network if wallet else common.wallet_options.network
        if asks and how.reject is None and not how.later and not console.yes:
            console.need_person("signing", hint="use -y in a script")
        if network is not None and asks:
            _check_bound(how, console, network)
        node = open_node(common.rpc, network)
        if node is not None:
            network = agree(node, network).network
        signer = ready or (open_signer(how.signer, passphrases(common.passphrase), node) if how.signer else None)
        if signer is not None and wallet is not None:
            signer.for_wallet(wallet)  # a key of another wallet is found before anybody is contacted
        here = _Here(how, common, home, node, wallet, network)
        plan = ReceivePlan(
            review=here.review,
            signer=signer.for_wallet if signer else None,
            reject=None if how.reject is None else sendable(how.reject),
            expect_txid=how.expect_txid,
            policy=how.policy,
            network=network.value if network else None,
            save=here.save,
            later=how.later,
        )
        return cls(plan, how, home, node, common.relay, console, signer.label if signer else "")

    @classmethod
    def to_tell(cls, how: How, *, relay: RelayOptions, console: Console) -> Self:
        """A cosigner's side that only tells the coordinator what was decided.

        Args:
            how: What the options say; its time limit.
            relay: How to reach the relay.
            console: The terminal, or a script.
        """
        plan = ReceivePlan(review=_decided_before, signer=None)
        return cls(plan, how, Home.from_environment(), None, relay, console)

    def with_code(self, code: str) -> None:
        """Use a code, run to the end, and print the outcome.

        Args:
            code: As a person typed it.

        Raises:
            WormsigError: As `receive_with_code` and `Cosigner.receive`.
            TerminatedError: Ctrl-C or another signal, when the coordinator was told.
        """
        from wormsig.app.receive import receive_with_code  # noqa: PLC0415  see above
        from wormsig.journal.store import Journal  # noqa: PLC0415  same

        def go(cosigner: Cosigner, connector: Connector, watcher: ReceiveWatcher) -> Awaitable[CosignerState]:
            watcher.wait(connector.reactor)
            limit = self.how.timeout
            return receive_with_code(cosigner, code, connector=connector, watcher=watcher, time_limit=limit)

        with Journal(self.home.journal()) as journal:
            self._run(journal, go)

    def go_on(self, journal: Journal, session: Session[CosignerState, CosignerEvent]) -> None:
        """The same for a ceremony of the journal, from wherever it stands. Raises the same.

        Args:
            journal: Where it is; open until this returns.
            session: The ceremony.
        """
        from wormsig.app.receive import resume_cosigner  # noqa: PLC0415  see above

        def go(cosigner: Cosigner, connector: Connector, _: ReceiveWatcher) -> Awaitable[CosignerState]:
            return resume_cosigner(cosigner, session, connector=connector, time_limit=self.how.timeout)

        self._run(journal, go, session)

    def _run(
        self,
        journal: Journal,
        go: Callable[[Cosigner, Connector, ReceiveWatcher], Awaitable[CosignerState]],
        session: Session[CosignerState, CosignerEvent] | None = None,
    ) -> None:
        from wormsig.app.connect import connector_for  # noqa: PLC0415  see above
        from wormsig.app.cosigning import Cosigner  # noqa: PLC0415  same
        from wormsig.cli.reactor import run_on_reactor  # noqa: PLC0415  same
        from wormsig.cli.watchers import ReceiveWatcher  # noqa: PLC0415  same

        ids = [session.ceremony] if session else []

        async def ceremony(reactor: Any) -> CosignerState:  # noqa: ANN401  Twisted's reactor has no one type
            watcher = ReceiveWatcher(self.console, signer=self.signer, begun=ids.append)
            connector = await connector_for(reactor, self.relay, "cosigner", watcher.status)
            cosigner = Cosigner(self.plan, journal, connector, self.home, node=self.node, watcher=watcher)
            return await go(cosigner, connector, watcher)

        tell_once(self.console, self.home, self.relay)
        try:
            state = run_on_reactor(ceremony)
        except (TerminatedError, click.Abort) as end:
            left = _left(journal, ids[0]) if ids else None
            if left is not None:
                end.add_note(left)
            raise
        except TransportError as error:
            if error.hint is None:
                error.hint = _left(journal, ids[0]) if ids else "nothing was received; ask the coordinator for a code"
            raise
        self._tell(state)

    def _tell(self, state: CosignerState) -> None:
        outcome, console = state.outcome, self.console
        known = f"the outcome: {outcome.result}, txid {outcome.txid}" if outcome and outcome.txid else None
        if console.as_json:
            console.emit(done_object(state), known=known)
        elif outcome is None:
            console.say(f"Kept. `wormsig resume {state.start.ceremony[:6]}` goes on, with --signer to sign.")
        elif outcome.txid is not None:
            console.result(outcome.txid, known=known)


class _Here(msgspec.Struct, frozen=True):
    """What the plan asks this machine for when the PSBT is there.

    Attributes:
        how: What the options say about receiving.
        common: What the other options say.
        home: Our folder.
        node: Our node.
        wallet: The wallet that a person named; else the proposal's is looked for.
        network: The network, as far as it is known beforehand.
    """

    how: How
    common: Common
    home: Home
    node: Node | None
    wallet: Wallet | None
    network: Network | None

    def review(self, psbt: Psbt, wallet_id: str | None) -> Reviewed:
        """Review what arrived; `wallet_id` is what the proposal says. Blocks while the node answers."""
        wallet = self.wallet or Registry(self.home.wallets()).with_id(wallet_id)
        if wallet is not None:
            _check_bound(self.how, self.common.console, wallet.network)
        sources = Sources.of(self.home, self.node, network=self.network, unattended=self.common.console.yes)
        reviewed = review_psbt(psbt, wallet, self.common.review_options, sources)
        return Reviewed(reviewed.psbt, reviewed.report, wallet)

    def save(self, psbt: Psbt) -> None:
        """Write what was signed where a person wants it, if anywhere."""
        path, force = self.common.output
        if path is not None:
            write_result(path, codec.serialize(psbt), force=force)


def _left(journal: Journal, ident: str) -> str | None:
    """Where a ceremony stands whose command ended too early; None when it is over, or nobody can tell."""
    from wormsig.app.session import Session  # noqa: PLC0415  see above
    from wormsig.ceremony.cosigner import MACHINE, Phase, is_complete  # noqa: PLC0415  same

    try:
        state = Session.load(journal, ident, MACHINE).state
    except StorageError:  # what ended the command stays what is told
        return None
    if is_complete(state):
        return None
    goes_on = f"`wormsig resume {state.start.ceremony[:6]}` goes on"
    if state.signed is not None:
        return f"what was signed is kept; {goes_on}"
    return f"nothing was signed; {goes_on}" if state.phase in (Phase.RECEIVED, Phase.REVIEWED) else goes_on


def done_object(state: CosignerState) -> dict[str, object]:
    """How a cosigner's side ended, for `--json`."""
    outcome = state.outcome
    return {
        "event": "done",
        "ceremony": state.start.ceremony,
        "result": outcome.result if outcome else None,
        "txid": outcome.txid if outcome else None,
    }


def _decided_before(psbt: Psbt, wallet_id: str | None) -> Reviewed:
    raise AssertionError(f"{psbt.txid} of {wallet_id} was decided before")


def _check_bound(how: How, console: Console, network: Network) -> None:
    """Refuse to sign for whoever has the code, outside regtest."""
    if how.policy is not None:
        check_recipients(how.policy, network)
    bound = how.expect_txid is not None or how.policy is not None or how.reject is not None or how.later
    if console.yes and network is not Network.REGTEST and not bound:
        raise UsageError(
            f"-y on {network.value} would sign for whoever has the code",
            hint="name the transaction with --expect-txid, or say with --policy what may be signed",
        )
