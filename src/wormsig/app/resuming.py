"""Going on with a ceremony from the journal: what a file adds to it, and what is left to do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wormsig.app.combining import as_transaction
from wormsig.app.context import settled_by_now
from wormsig.app.files import BASE64_MAGIC, read_argument
from wormsig.app.send_plan import SendPlan
from wormsig.app.signing import OpenedSigner
from wormsig.bitcoin.network import Network
from wormsig.ceremony import coordinator as machine
from wormsig.ceremony import cosigner
from wormsig.errors import InputError, PeerError, UsageError
from wormsig.journal.secrets import TO_COORDINATOR, ResumeSecrets
from wormsig.psbt import codec
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.signers.returned import ReturnedPsbt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from wormsig.app.home import Home
    from wormsig.app.session import Session
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.node.client import Node
    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet


LINGER = 60.0
"""Seconds that cosigners who do not know the outcome are waited for, when nothing else is left to do: no less than two
sides need to meet again after several deaths (docs/wire-format.md, "Who waits where")."""

HOPE = 30.0
"""Seconds that cosigners who said no are waited for, before it is done without them."""


def network_of(state: CoordinatorState, wallet: Wallet | None) -> Network | None:
    """A running ceremony's network: its wallet's, else the one that it was begun for; None where nobody knew it."""
    return wallet.network if wallet is not None else Network.named(state.start.network)


def is_settled(state: CoordinatorState) -> bool:
    """Whether nothing about the broadcast is left to be decided; a transaction that was kept can still be broadcast."""
    return machine.is_over(state) and state.phase is not machine.Phase.KEPT


def plan_to_go_on(
    state: CoordinatorState,
    wallet: Wallet | None,
    *,
    new_codes: Collection[str] = (),
    broadcast: bool | None = None,
    timeout: float | None = None,
    code_length: int,
) -> SendPlan:
    """How a coordinator's ceremony is run by a process that goes on with it.

    Args:
        state: The ceremony.
        wallet: Its wallet.
        new_codes: Who gets a new code.
        broadcast: Whether it may be broadcast; None: as it was said when it began.
        timeout: Seconds for the whole.
        code_length: Words in a new code.
    """
    return SendPlan(
        label=report_of(state, wallet).labeller(),
        new_codes=frozenset(new_codes),
        broadcast=state.start.broadcast if broadcast is None else broadcast,
        timeout=timeout,
        code_length=code_length,
        linger=timeout or LINGER,
        hope=timeout or HOPE,
    )


def needs_decision(state: CosignerState) -> bool:
    """Whether a cosigner's side is still to be decided on: it is neither signed nor on the way to say no."""
    return state.signed is None and not isinstance(cosigner.pending(state), cosigner.SendDecline)


def report_of(state: CoordinatorState, wallet: Wallet | None, node: Node | None = None) -> Report:
    """The review of a running ceremony's PSBT, for its words and names; it was judged when the ceremony began.

    Args:
        state: The ceremony.
        wallet: Its wallet.
        node: Our node: it knows whether it is too late by now.

    Raises:
        NodeError: The node cannot be asked.
    """
    context = ReviewContext(
        network=Network.named(state.start.network),
        allowed_sighash=state.allowed,
        settled=settled_by_now(state.copy, wallet, node),
    )
    return review(state.copy, wallet, context)


def add_files(session: Session[CoordinatorState, CoordinatorEvent], paths: Collection[str]) -> list[tuple[str, int]]:
    """Take the good signatures out of files, whoever signed them, into a coordinator's ceremony.

    Args:
        session: The ceremony.
        paths: PSBTs or final transactions: paths, `-`, or base64.

    Returns:
        For each, what it is called, and how many signatures were new.

    Raises:
        InputError: A file cannot be read, or holds no good signature; what came before it is kept.
        PeerError: It is of another transaction.
    """
    taken = []
    for path in paths:
        with _named(path):
            events = machine.decide(session.state, _answer(read_argument(path)))
        session.record(*events)
        taken.append(
            (_label(path), sum(len(each.signatures) for each in events if isinstance(each, machine.Contributed)))
        )
    return taken


def _answer(data: bytes) -> machine.Answer:
    final = None if data.startswith((BASE64_MAGIC.encode(), b"psbt")) else as_transaction(data)
    if final is not None:
        return machine.Answer(None, final.serialize(), "transaction")
    return machine.Answer(None, codec.from_any(data))


def _label(path: str) -> str:
    """What an argument is called; base64 is long."""
    return "the base64 PSBT" if path.startswith(BASE64_MAGIC) else "standard input" if path == "-" else path


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Say of which file a failure tells."""
    try:
        yield
    except (InputError, PeerError) as error:
        if _label(path) not in error.message:
            error.message = f"{_label(path)}: {error.message}"
        raise


def forget(session: Session[CosignerState, CosignerEvent], home: Home) -> None:
    """Remove what a cosigner's side could be found again by, after its end: it may have ended between the two.

    Raises:
        StorageError: It could not be removed.
    """
    ResumeSecrets(home.links(), session.ceremony, TO_COORDINATOR).remove()


def signer_from(path: str) -> OpenedSigner:
    """A file with what another machine signed, as a signer.

    Raises:
        InputError: It cannot be read, or is not a PSBT.
    """
    with _named(path):
        psbt = codec.parse(codec.from_any(read_argument(path)))
    label = _label(path)
    return OpenedSigner(label, lambda _: ReturnedPsbt(label, psbt))


def check_names(names: Collection[str], state: CoordinatorState) -> None:
    """Refuse names that nobody in the ceremony has.

    Raises:
        UsageError: One of them.
    """
    for name in names:
        if name not in state.cosigners:
            there = ", ".join(state.cosigners)
            raise UsageError(f"nobody is called {name!r} in this ceremony", hint=f"its cosigners are {there}")
