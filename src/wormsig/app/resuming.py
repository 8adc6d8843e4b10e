"""Going on with a ceremony from the journal: which one is meant, what a file adds to it, what it is called here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wormsig.app.combining import as_transaction
from wormsig.app.files import BASE64_MAGIC, read_argument
from wormsig.app.receipts import pick
from wormsig.app.signing import OpenedSigner
from wormsig.bitcoin.network import Network
from wormsig.ceremony import coordinator as machine
from wormsig.errors import InputError, PeerError, UsageError
from wormsig.journal.secrets import TO_COORDINATOR, ResumeSecrets
from wormsig.psbt import codec
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.signers.returned import ReturnedPsbt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from wormsig.app.home import Home
    from wormsig.app.session import Session
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState
    from wormsig.ceremony.cosigner import CosignerEvent, CosignerState
    from wormsig.journal.store import CeremonyRow
    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.registry import Registry


def choose(rows: Sequence[CeremonyRow], ident: str | None) -> CeremonyRow:
    """The ceremony that a person means.

    Args:
        rows: All, newest first.
        ident: The beginning of its id; None for the only one that has something left to do.

    Raises:
        UsageError: None, or several.
    """
    if ident is not None:
        return pick(rows, ident)
    left = [row for row in rows if row.ended is None]
    if len(left) == 1:
        return left[0]
    if not left:
        raise UsageError(
            "no ceremony has anything left to do",
            hint="`wormsig status --all` lists those that are over; name one to tell whoever does not know",
        )
    named = ", ".join(row.id[:6] for row in left[:12])
    raise UsageError(f"{len(left)} ceremonies have something left to do: {named}", hint="say which: resume ID")


def wallet_of(ident: str | None, registry: Registry) -> Wallet | None:
    """The wallet with this id, when it is here. Raises StorageError when the registry cannot be read."""
    return next((wallet for wallet in registry.all() if wallet.id == ident), None)


def report_of(state: CoordinatorState, wallet: Wallet | None) -> Report:
    """The review of a running ceremony's PSBT, for its words and names; it was judged when the ceremony began.

    Args:
        state: The ceremony.
        wallet: Its wallet.
    """
    known = {network.value: network for network in Network}
    context = ReviewContext(network=known.get(state.start.network), allowed_sighash=state.allowed)
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
