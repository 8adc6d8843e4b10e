"""The ceremonies on this machine, as the journal has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wormsig.app.session import COORDINATOR, COSIGNER
from wormsig.ceremony import coordinator
from wormsig.errors import StorageError

if TYPE_CHECKING:
    from wormsig.journal.store import CeremonyRow, Journal


@dataclass(frozen=True, slots=True)
class Summary:
    """One ceremony in a list.

    Attributes:
        id: As the journal has it.
        role: `coordinator` or `cosigner`.
        network: The network's name.
        wallet: The wallet's name, when it is known.
        created: Unix time.
        phase: Where it stands, or `unreadable`.
        have: Distinct keys that signed (coordinator only).
        need: The threshold.
        cosigners: Name and stage of each (coordinator only).
        txid: Of the unsigned transaction, or of the final one when there is one; display hex.
        open: Something is still to be done.
    """

    id: str
    role: str
    network: str
    wallet: str | None
    created: int
    phase: str
    have: int | None = None
    need: int | None = None
    cosigners: tuple[tuple[str, str], ...] = ()
    txid: str | None = None
    open: bool = False


def summaries(journal: Journal) -> tuple[Summary, ...]:
    """Every ceremony, newest first. One that cannot be read is listed as `unreadable`, and stops no other."""
    return tuple(_summary(journal, row) for row in journal.ceremonies())


def _summary(journal: Journal, row: CeremonyRow) -> Summary:
    try:
        bodies = [record.body for record in journal.events(row.id)]
        if row.role == "coordinator":
            return _coordinator(row, coordinator.replay(COORDINATOR.decode(body) for body in bodies))
        state = COSIGNER.new
        for body in bodies:
            state = COSIGNER.evolve(state, COSIGNER.decode(body))
    except StorageError:
        return Summary(row.id, row.role, row.network, row.wallet, row.created, "unreadable")
    return Summary(
        id=row.id,
        role=row.role,
        network=row.network,
        wallet=row.wallet,
        created=row.created,
        phase=str(state.phase),
        need=state.start.threshold,
        txid=state.outcome.txid if state.outcome else None,
        open=row.ended is None,
    )


def _coordinator(row: CeremonyRow, state: coordinator.CoordinatorState) -> Summary:
    return Summary(
        id=row.id,
        role=row.role,
        network=row.network,
        wallet=row.wallet,
        created=row.created,
        phase=str(state.phase),
        have=coordinator.held(state),
        need=state.start.threshold,
        cosigners=tuple((each.name, str(each.stage)) for each in state.cosigners.values()),
        txid=state.transaction.txid if state.transaction else state.copy.txid,
        open=row.ended is None,
    )
