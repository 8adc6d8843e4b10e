"""A cosigner's side, from options to the reactor and its result; shared by `receive` and `resume`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from wormsig.app.files import check_output, write_result
from wormsig.app.history import History
from wormsig.app.home import Home
from wormsig.app.loading import load_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.policy import Policy, check_recipients
from wormsig.app.receive_plan import ReceivePlan, Reviewed
from wormsig.app.signing import OpenedSigner, open_signer, review_psbt
from wormsig.bitcoin.network import Network
from wormsig.cli.notices import tell_once
from wormsig.cli.passphrase import passphrases
from wormsig.errors import UsageError
from wormsig.psbt import codec
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from wormsig.app.cosigning import Cosigner
    from wormsig.app.session import Session
    from wormsig.app.settings import (
        PassphraseOptions,
        RelayOptions,
        ReviewOptions,
        RpcOptions,
        WalletOptions,
    )
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.cli.console import Console
    from wormsig.cli.watchers import ReceiveWatcher
    from wormsig.journal.store import Journal
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.transport.connector import Connector
    from wormsig.wallet.model import Wallet

# Twisted and the wormhole library take half a second to load: they are imported where they are used, after the options
# were checked.


@dataclass(frozen=True, slots=True)
class How:
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


@dataclass(frozen=True, slots=True)
class Receiving:
    """A cosigner's side that is ready to begin.

    Attributes:
        plan: How to receive.
        how: What the options say.
        home: Our folder.
        node: Our node.
        relay: How to reach the relay.
        console: The terminal, or a script.
    """

    plan: ReceivePlan
    how: How
    home: Home
    node: Node | None
    relay: RelayOptions
    console: Console

    @classmethod
    def prepare(
        cls,
        how: How,
        *,
        output: tuple[Path | None, bool],
        wallet_options: WalletOptions,
        rpc: RpcOptions,
        review_options: ReviewOptions,
        passphrase: PassphraseOptions,
        relay: RelayOptions,
        console: Console,
        ready: OpenedSigner | None = None,
        asks: bool = True,
    ) -> Self:
        """Check everything that can be checked before anybody is contacted, and open the signer.

        Args:
            how: What the options say about receiving.
            output: `-o` and `--force`.
            wallet_options: Which wallet.
            rpc: Which node.
            review_options: What a person allows.
            passphrase: Where a passphrase comes from.
            relay: How to reach the relay.
            console: The terminal, or a script.
            ready: A signer that is open already; instead of `how.signer`.
            asks: It is not signed yet, so that somebody has to be asked.

        Raises:
            WormsigError: Something is missing or wrong.
        """
        check_output(output[0], force=output[1])
        home = Home.from_environment()
        wallet = load_wallet(wallet_options, home)
        network = wallet.network if wallet else wallet_options.network
        if asks and how.reject is None and not how.later and not console.yes:
            console.need_person("signing", hint="use -y in a script")
        if network is not None and asks:
            _check_bound(how, console, network)
        node = open_node(rpc, network)
        if node is not None:
            network = agree(node, network).network
        signer = ready or (open_signer(how.signer, passphrases(passphrase), node) if how.signer else None)
        if signer is not None and wallet is not None:
            signer.for_wallet(wallet)  # a key of another wallet is found before anybody is contacted

        def review(psbt: Psbt, wallet_id: str | None) -> Reviewed:
            named = wallet or _wallet_with(wallet_id, home)
            if named is not None:
                _check_bound(how, console, named.network)
            reviewed = review_psbt(
                psbt,
                named,
                review_options,
                node=node,
                registry=Registry(home.wallets()),
                history=History.of(home),
                unattended=console.yes,
                network=network,
            )
            return Reviewed(reviewed.psbt, reviewed.report, named)

        def save(psbt: Psbt) -> None:
            if output[0] is not None:
                write_result(output[0], codec.serialize(psbt), force=output[1])

        plan = ReceivePlan(
            review=review,
            signer=signer.for_wallet if signer else None,
            reject=_printable(how.reject),
            expect_txid=how.expect_txid,
            policy=how.policy,
            network=network.value if network else None,
            save=save,
            later=how.later,
        )
        return cls(plan, how, home, node, relay, console)

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
            KeyboardInterrupt: Ctrl-C, when the coordinator was told; `TerminatedError` for other signals.
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

        self._run(journal, go)

    def _run(
        self, journal: Journal, go: Callable[[Cosigner, Connector, ReceiveWatcher], Awaitable[CosignerState]]
    ) -> None:
        from wormsig.app.connect import connector_for  # noqa: PLC0415  see above
        from wormsig.app.cosigning import Cosigner  # noqa: PLC0415  same
        from wormsig.cli.reactor import run_on_reactor  # noqa: PLC0415  same
        from wormsig.cli.watchers import ReceiveWatcher  # noqa: PLC0415  same

        async def ceremony(reactor: Any) -> CosignerState:  # noqa: ANN401  Twisted's reactor has no one type
            watcher = ReceiveWatcher(self.console)
            connector = await connector_for(reactor, self.relay, "cosigner", watcher.status)
            cosigner = Cosigner(self.plan, journal, connector, self.home, node=self.node, watcher=watcher)
            return await go(cosigner, connector, watcher)

        tell_once(self.console, self.home, self.relay)
        self._tell(run_on_reactor(ceremony))

    def _tell(self, state: CosignerState) -> None:
        outcome, console = state.outcome, self.console
        if console.as_json:
            console.emit(
                {
                    "event": "done",
                    "ceremony": state.start.ceremony,
                    "result": outcome.result if outcome else None,
                    "txid": outcome.txid if outcome else None,
                }
            )
        elif outcome is None:
            console.say(f"Kept. `wormsig resume {state.start.ceremony[:6]}` goes on, with --signer to sign.")
        elif outcome.txid is not None:
            console.result(outcome.txid)


def _decided_before(psbt: Psbt, wallet_id: str | None) -> Reviewed:
    raise AssertionError(f"{psbt.txid} of {wallet_id} was decided before")


def _printable(reason: str | None) -> str | None:
    """A reason as it can be sent: the command line may hold bytes that are no text."""
    return None if reason is None else reason.encode("utf-8", "replace").decode()


def _wallet_with(wallet_id: str | None, home: Home) -> Wallet | None:
    """The wallet of our registry that the proposal names by the hash of its descriptor."""
    for wallet in Registry(home.wallets()).all():
        if wallet.id == wallet_id:
            return wallet
    return None


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
