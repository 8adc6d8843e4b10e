"""Whole ceremonies without commands: the drivers of `app` in this process, for crowds and for hostile peers.

One process plays everybody, which leaves nothing but the ceremonies themselves to measure. Nobody asks and nobody is
asked. Everything that knows how the drivers are called is here.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from support.hostile import Coin, Scene, key_file
from wormsig.app.cosigning import Cosigner
from wormsig.app.home import Home
from wormsig.app.receive import receive_with_code
from wormsig.app.receive_plan import ReceivePlan, Reviewed, Verdict
from wormsig.app.send import Coordinator, begin
from wormsig.app.send_plan import Opening, SendPlan
from wormsig.bitcoin.network import Network
from wormsig.ceremony import status
from wormsig.journal.store import Journal
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.signers.keyfile import decode_key
from wormsig.signers.software import SoftwareKey
from wormsig.transport.connector import Connector
from wormsig.transport.limits import Limits
from wormsig.transport.process import quiet_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.ceremony.coordinator import CoordinatorState
    from wormsig.ceremony.cosigner import CosignerState
    from wormsig.psbt.model import Psbt

PATIENT = Limits(connect=120, entry=300, handshake=120, acknowledge=300, farewell=120, close=20)
"""For crowds, in which everybody waits for everybody."""

FAST = Limits(
    connect=10, entry=20, handshake=10, meeting=3, takeover=0.3, stagger=0.3, heartbeat=0.5, quiet=5, silence=10,
    acknowledge=8, farewell=5, close=1, comeback=20,
)  # fmt: skip
"""For a few people who vanish and come back."""

PATIENCE = 90
"""Seconds for whatever happens under FAST."""


class Silent:
    """Watches either side and says yes to everything."""

    def __init__(self, heard: Callable[[Any], object] = lambda _: None) -> None:
        self._heard = heard

    def status(self, told: Any) -> None:
        self._heard(told)

    def show_review(self, report: Any) -> None:
        pass

    async def ask_broadcast(self, _: str) -> bool:
        return False

    async def ask_new_code(self, *_: object) -> bool:
        return False

    async def compare_verifier(self, *_: str) -> bool:
        return True

    async def decide(self, _: Any) -> Verdict:
        return Verdict(sign=True, by="unattended")


@dataclass
class Crowd:
    """A wallet's people in one process, with a journal each, and everything to hold ceremonies.

    Attributes:
        scene: The wallet.
        folder: For journals.
        url: The relay.
        limits: Everybody's.
    """

    scene: Scene
    folder: Path
    url: str
    limits: Limits = PATIENT
    keys: dict[str, SoftwareKey] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        quiet_logs(lambda _: None)  # until logging has begun Twisted keeps every event, and all that it speaks of
        for person in self.scene.people:
            secret = decode_key(key_file(person))
            self.keys[person.name] = SoftwareKey(secret, self.scene.wallet, label=person.name)
        # One connector each: it bounds how many connections are made at once.
        self.sending = Connector(reactor, self.url, role="coordinator", limits=self.limits)
        self.receiving = Connector(reactor, self.url, role="cosigner", limits=self.limits)

    def journal(self, name: str) -> Journal:
        """Somebody's journal, opened for one ceremony as the commands do it: closing it lets go of the lock."""
        return Journal(self.home(name).journal())

    def home(self, name: str) -> Home:
        """Somebody's home."""
        return Home(self.folder / name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(person.name for person in self.scene.people)

    def psbt(self) -> Psbt:
        """One that nobody has seen before."""
        self.number += 1
        return self.scene.psbt(coins=(Coin(sats=100_000_000 + self.number),))

    def opening(self, psbt: Psbt, names: tuple[str, ...], **changes: Any) -> Opening:
        """What a ceremony begins with."""
        report = review(psbt, self.scene.wallet, ReviewContext(), deriver=self.scene.deriver)
        assert not report.errors
        return Opening(
            ceremony=secrets.token_hex(16),
            psbt=psbt,
            network=Network.REGTEST.value,
            wallet=self.scene.wallet,
            threshold=self.scene.threshold,
            cosigners=names,
            broadcast=False,
            **changes,
        )

    def receive_plan(self, name: str) -> ReceivePlan:
        wallet, deriver = self.scene.wallet, self.scene.deriver

        def reviewed(psbt: Psbt, _: str | None) -> Reviewed:
            return Reviewed(psbt, review(psbt, wallet, ReviewContext(), deriver=deriver), wallet)

        return ReceivePlan(review=reviewed, signer=lambda _: self.keys[name], network=Network.REGTEST.value)

    async def coordinate(
        self, opening: Opening, heard: Callable[[Any], object], seconds: float | None = None
    ) -> CoordinatorState:
        """The coordinator's side."""
        plan = SendPlan(label=lambda key: key[:8], broadcast=False, timeout=seconds)
        watcher: Any = Silent(heard)
        with self.journal("coordinator") as journal:
            session = begin(opening, journal)
            home = self.home("coordinator")
            running = Coordinator(plan, session, self.sending, node=None, watcher=watcher, home=home)
            return await running.run()

    async def cosign(self, name: str, code: str) -> CosignerState:
        """A cosigner's side."""
        watcher: Any = Silent()
        with self.journal(name) as journal:
            plan, home = self.receive_plan(name), self.home(name)
            cosigner = Cosigner(plan, journal, self.receiving, home, node=None, watcher=watcher)
            return await receive_with_code(cosigner, code, connector=self.receiving, watcher=watcher)

    async def ceremony(self, names: tuple[str, ...] | None = None, **changes: Any) -> str:
        """Everybody signs, or who is named; the txid, which both sides agree on."""
        names = names or self.names
        opening = self.opening(self.psbt(), names, wait_all=True, **changes)
        codes: dict[str, Deferred[str]] = {name: Deferred() for name in names}

        def heard(told: Any) -> None:
            if isinstance(told, status.CodeReady):
                codes[told.cosigner].callback(told.code)

        async def sign(name: str) -> CosignerState:
            return await self.cosign(name, await codes[name])

        sending = ensureDeferred(self.coordinate(opening, heard))
        done = await gatherResults([sending, *(ensureDeferred(sign(name)) for name in names)], consumeErrors=True)
        state, *cosigners = done
        assert state.transaction is not None
        txid: str = state.transaction.txid
        assert [each.outcome.txid for each in cosigners] == [txid] * len(names)
        return txid


# What a process holds.


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def resident(pid: int | None = None, *, peak: bool = False) -> int:
    """Bytes of memory that a process holds now, or held at most."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid or os.getpid()}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def workers() -> int:
    """Threads that were started for blocking work and have not ended."""
    return len([thread for thread in threading.enumerate() if thread.name == "wormsig-work"])


def living(*types: str) -> dict[str, int]:
    """How many objects of these classes there are, once everything that can go is gone."""
    gc.collect()
    counts = dict.fromkeys(types, 0)
    for each in gc.get_objects():
        with contextlib.suppress(ReferenceError):
            name = type(each).__name__
            if name in counts:
                counts[name] += 1
    return counts
