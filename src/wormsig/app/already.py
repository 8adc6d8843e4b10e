"""Whether a transaction was sent from this machine before: what a coordinator is told before sending it once more.

A note and no judgement; payments that repeat are the review's matter (`history`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wormsig.ceremony import coordinator
from wormsig.errors import StorageError, WormsigError
from wormsig.journal.store import Journal
from wormsig.psbt import codec

if TYPE_CHECKING:
    from wormsig.app.home import Home
    from wormsig.journal.store import CeremonyRow, Record
    from wormsig.psbt.model import Psbt


class Earlier(msgspec.Struct, frozen=True):
    """A ceremony that has the same transaction.

    Attributes:
        ceremony: Its id.
        broadcast: Our node has the transaction; otherwise the ceremony is open.
    """

    ceremony: str
    broadcast: bool


def sent_before(home: Home, psbt: Psbt) -> Earlier | None:
    """The ceremony in which this machine broadcast a transaction, else the newest open one that it coordinates.

    Args:
        home: Whose journal. What cannot be read of it says nothing here: the review names it (`history`).
        psbt: What is to be sent.
    """
    path = home.journal()
    if not psbt.inputs or not path.exists():
        return None
    waiting: Earlier | None = None
    try:
        with Journal(path) as journal:
            for row in journal.ceremonies():
                if row.role != "coordinator":
                    continue
                earlier = _earlier(journal, row, psbt)
                if earlier is not None and earlier.broadcast:
                    return earlier
                waiting = waiting or earlier
    except StorageError:
        return waiting
    return waiting


def _earlier(journal: Journal, row: CeremonyRow, psbt: Psbt) -> Earlier | None:
    """One ceremony, when it has the transaction, and is open or has broadcast it."""
    try:
        records = journal.events(row.id)
        types = {record.type for record in records}
        broadcast = "broadcast-done" in types
        over = row.ended is not None or "cancelled" in types
        if not records or (over and not broadcast) or not _is_about(records[0], psbt):
            return None
    except WormsigError:
        return None
    return Earlier(row.id, broadcast)


def _is_about(first: Record, psbt: Psbt) -> bool:
    """Whether a ceremony's proposal has the transaction; most are told apart without parsing them."""
    proposed = coordinator.decode(first.body)
    if not isinstance(proposed, coordinator.Proposed) or psbt.outpoint(0).txid not in proposed.psbt:
        return False
    return codec.parse(proposed.psbt).txid == psbt.txid
