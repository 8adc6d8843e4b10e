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
    from collections.abc import Sequence

    from wormsig.app.home import Home
    from wormsig.journal.store import Record
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
        home: Whose journal. One that cannot be read says nothing here: whoever writes to it next will say so.
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
                records = journal.events(row.id)
                types = {record.type for record in records}
                broadcast = "broadcast-done" in types
                if not broadcast and (row.ended is not None or "cancelled" in types):
                    continue
                if not _is_about(records, psbt):
                    continue
                if broadcast:
                    return Earlier(row.id, broadcast=True)
                waiting = waiting or Earlier(row.id, broadcast=False)
    except StorageError:
        return waiting
    return waiting


def _is_about(records: Sequence[Record], psbt: Psbt) -> bool:
    """Whether a ceremony's proposal has the transaction; most are told apart without parsing them."""
    try:
        proposed = coordinator.decode(records[0].body)
        if not isinstance(proposed, coordinator.Proposed) or psbt.outpoint(0).txid not in proposed.psbt:
            return False
        return codec.parse(proposed.psbt).txid == psbt.txid
    except WormsigError:
        return False
