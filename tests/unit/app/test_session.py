from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.ceremony import CEREMONY, setting
from wormsig.app.session import Session, now
from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.coordinator import MACHINE as COORDINATOR
from wormsig.ceremony.cosigner import MACHINE as COSIGNER
from wormsig.errors import StorageError
from wormsig.journal.store import CeremonyRow, Journal, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState

S = setting()
TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ceremonies.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as opened:
        yield opened


def row(role: str = "coordinator", ceremony: str = CEREMONY) -> CeremonyRow:
    return CeremonyRow(ceremony, role, now(), None, "regtest", "family", "send to bob")  # type: ignore[arg-type]


def begun(journal: Journal, signed: bytes | None = None) -> Session[CoordinatorState, CoordinatorEvent]:
    return Session.begin(journal, row(), COORDINATOR, *coordinator.begin(S.proposed("bob", "carol"), signed))


def answer(session: Session[CoordinatorState, CoordinatorEvent], name: str) -> tuple[CoordinatorEvent, ...]:
    return coordinator.decide(session.state, coordinator.Answer(name, S.signed(name)))


def kept(journal: Journal) -> list[str]:
    return [record.type for record in journal.events(CEREMONY)]


def test_a_session_comes_back_as_it_was(journal: Journal, path: Path) -> None:
    session = begun(journal, S.signed("alice"))
    session.record(coordinator.Connected("bob"), coordinator.Offered("bob"))
    session.record(*answer(session, "bob"))
    session.record(*coordinator.decide(session.state, coordinator.Finalize()))
    session.record()
    journal.close()
    with Journal(path) as again:
        loaded = Session.load(again, CEREMONY, COORDINATOR)
        assert loaded.state == session.state
        assert coordinator.pending(loaded.state) == (coordinator.DecideBroadcast(),)
        assert kept(again) == ["proposed", "contributed", "connected", "offered", "contributed", "finalized"]
        loaded.record(coordinator.BroadcastAgreed())


def test_the_first_events_are_kept_together_or_not_at_all(journal: Journal) -> None:
    bad = coordinator.Contributed("bob", ())
    with pytest.raises(StorageError):
        Session.begin(journal, row(), COORDINATOR, S.proposed("carol"), bad)
    assert journal.ceremonies() == []
    assert begun(journal).state.phase is coordinator.Phase.COLLECTING


def test_the_journal_comes_before_the_state(journal: Journal) -> None:
    session = begun(journal)
    before = session.state
    journal.append(CEREMONY, 1, now(), [Record("connected", b'{"type":"connected","cosigner":"bob"}')])
    with pytest.raises(StorageError, match="changed by another process"):
        session.record(coordinator.Connected("carol"))
    assert session.state is before


def test_what_cannot_happen_is_neither_kept_nor_believed(journal: Journal) -> None:
    session = begun(journal)
    before = session.state
    with pytest.raises(StorageError):
        session.record(coordinator.Connected("bob"), coordinator.BroadcastAgreed())
    assert (session.state, kept(journal)) == (before, ["proposed"])
    session.record(coordinator.Connected("bob"))
    assert kept(journal) == ["proposed", "connected"]


def test_it_is_over_when_its_fate_is_settled(journal: Journal) -> None:
    session = begun(journal)
    assert journal.ceremonies()[0].ended is None
    session.record(coordinator.Cancelled("never mind"))
    assert journal.ceremonies()[0].ended is not None


def test_a_cosigners_side_that_takes_up_again_is_open_again(journal: Journal) -> None:
    session = Session.begin(journal, row("cosigner"), COSIGNER, S.received())
    session.record(cosigner.Declined("no", "person"), cosigner.DeclineTold())
    assert journal.ceremonies()[0].ended is not None
    session.record(cosigner.Reviewed("ab", (), ()))
    assert journal.ceremonies()[0].ended is None


def test_a_ceremony_of_another_role_or_none_is_not_loaded(journal: Journal) -> None:
    begun(journal)
    with pytest.raises(StorageError, match="no ceremony 7f3a19 of a cosigner"):
        Session.load(journal, CEREMONY, COSIGNER)
    with pytest.raises(StorageError, match="no ceremony 000000 of a coordinator"):
        Session.load(journal, "0" * 32, COORDINATOR)


@pytest.mark.parametrize(
    "body",
    [b"nonsense", b'{"type":"offered","cosigner":"bob"}', b'{"type":"unheard-of"}'],
    ids=["garbage", "impossible", "newer"],
)
def test_a_journal_that_cannot_be_is_named(journal: Journal, path: Path, body: bytes) -> None:
    begun(journal)
    journal.append(CEREMONY, 1, now(), [Record("x", body)])
    journal.close()
    with Journal(path) as again, pytest.raises(StorageError) as failure:
        Session.load(again, CEREMONY, COORDINATOR)
    assert failure.value.hint is not None


def test_another_process_keeps_it_to_itself(journal: Journal, path: Path) -> None:
    begun(journal)
    with Journal(path) as other, pytest.raises(StorageError, match=f"in use by process {os.getpid()}"):
        Session.load(other, CEREMONY, COORDINATOR)


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from support.ceremony import CEREMONY, setting
from wormsig.app.session import Session
from wormsig.ceremony.coordinator import MACHINE as COORDINATOR
from wormsig.ceremony import coordinator
from wormsig.journal.store import Journal
S = setting()
session = Session.load(Journal(Path(sys.argv[1])), CEREMONY, COORDINATOR)
for name in ("bob", "carol"):
    session.record(coordinator.Connected(name), coordinator.Offered(name))
    session.record(*coordinator.decide(session.state, coordinator.Answer(name, S.signed(name))))
    print(coordinator.held(session.state), flush=True)
    sys.stdin.readline()
"""


def test_a_thousand_events_cost_no_more_each_than_the_first(path: Path) -> None:
    def one(number: int) -> CoordinatorEvent:
        link = f"{number:064x}"
        kinds = (coordinator.Connected("bob", "ten words", link), coordinator.Offered("bob", link))
        return (*kinds, coordinator.Lost("bob", "gone"), coordinator.CodeBurned("carol", "guessed"))[number % 4]

    took = []
    with Journal(path) as journal:
        session = Session.begin(journal, row(), COORDINATOR, *coordinator.begin(S.proposed()))
        for number in range(1_000):
            begun = time.perf_counter()
            session.record(one(number))
            took.append(time.perf_counter() - begun)
    # Measured: 0.2 ms each, 60 ms for all to be read back.
    assert statistics.median(took[-200:]) < 4 * statistics.median(took[:200])
    with Journal(path) as journal:
        begun = time.perf_counter()
        assert Session.load(journal, CEREMONY, COORDINATOR).state == session.state
        assert time.perf_counter() - begun < 200 * statistics.median(took) + 2


def test_a_killed_process_goes_on_with_what_it_had(path: Path) -> None:
    with Journal(path) as journal:
        begun(journal)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(TESTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)
    with Journal(path) as journal:
        session = Session.load(journal, CEREMONY, COORDINATOR)
        assert coordinator.held(session.state) == 1
        assert coordinator.pending(session.state) == (coordinator.Converse("carol"),)
        session.record(*answer(session, "carol"))
        session.record(*coordinator.decide(session.state, coordinator.Finalize()))
        assert session.state.transaction is not None
