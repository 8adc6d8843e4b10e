"""The use case of `wormsig receipt`: find a ceremony, make its receipt from the journal, read another side's.

How events become a receipt stands in `receipt_sides`, how two are compared in `ceremony.comparison`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wormsig import __version__
from wormsig.app.choosing import open_journal, pick
from wormsig.app.files import read_argument
from wormsig.app.receipt_sides import About, of_coordinator, of_cosigner
from wormsig.app.session import now
from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.receipt import MAX_RECEIPT, read
from wormsig.errors import InputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.app.home import Home
    from wormsig.ceremony.receipt import Receipt
    from wormsig.journal.store import CeremonyRow, Journal
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.registry import Registry


def receipt_of(ident: str | None, home: Home, registry: Registry) -> Receipt:
    """The receipt of a ceremony on this machine.

    Args:
        ident: The beginning of its id; None for the latest.
        home: Where the journal is.
        registry: Where the wallets are: with the wallet, change is told from payments.

    Returns:
        The receipt, as of now.

    Raises:
        UsageError: There is no such ceremony, or several.
        StorageError: The journal cannot be read.
    """
    with open_journal(home) as journal:
        row = pick(journal.ceremonies(), ident)
        return _receipt(journal, row, registry)


def _receipt(journal: Journal, row: CeremonyRow, registry: Registry) -> Receipt:
    records = journal.events(row.id)
    if not records:
        raise StorageError(f"ceremony {row.id[:6]} has no events in the journal")
    if row.role == "coordinator":
        events = [(record.at, coordinator.decode(record.body)) for record in records]
        start = next((event for _, event in events if isinstance(event, coordinator.Proposed)), None)
        wallet = None if start is None else _wallet(registry, start.wallet, (start.wallet_name,))
        return of_coordinator(events, About(__version__, now(), row.ended, wallet))
    answers = [(record.at, cosigner.decode(record.body)) for record in records]
    names = [event.wallet_name for _, event in answers if isinstance(event, cosigner.Reviewed | cosigner.Received)]
    first = next((event for _, event in answers if isinstance(event, cosigner.Received)), None)
    wallet = None if first is None else _wallet(registry, first.wallet, names)
    return of_cosigner(answers, About(__version__, now(), row.ended, wallet))


def _wallet(registry: Registry, ident: str | None, names: Sequence[str | None]) -> Wallet | None:
    """The wallet of a ceremony, by its id, else by the name that it had; None when it is not here (any more)."""
    kept = set(registry.names())
    try:
        if ident is not None:
            return registry.with_id(ident)
        return next((registry.load(name) for name in reversed(names) if name is not None and name in kept), None)
    except StorageError:
        return None  # a receipt does not need it; whoever uses the wallet is told


def read_receipt(argument: str) -> Receipt:
    """A receipt that somebody gave us.

    Args:
        argument: A path, or `-` for standard input.

    Returns:
        The receipt; nothing in it is believed.

    Raises:
        InputError: It cannot be read, or is no receipt.
    """
    data = read_argument(argument if argument == "-" else str(Path(argument)), limit=MAX_RECEIPT)
    try:
        return read(data)
    except InputError as error:
        what = "standard input" if argument == "-" else argument
        raise InputError(f"{what}: {error.message}", hint=error.hint) from None
