"""Which places of a rendezvous a side goes to, and when: numbers, their marks, and patience after failures.

Pure: it reads a clock that it is given and keeps marks where it is told. `rendezvous` goes to the places.
docs/wire-format.md has the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

PLACES = 2
"""Numbers of one secret that a side waits at from the beginning."""

SPARES = 2
SPARE = 1_000_000
"""Places where a side waits too that has not met the other one yet, and the distance of their numbers: the first spare
place is the lowest unmarked number from `SPARE` on, the second from twice that on."""

APART = 20.0
"""Seconds after which a side goes to the first spare place; to the second, after twice that. Who dies earlier never
touches one, so that deaths in quick succession, however many and wherever in the middle of something, spoil none. It is
a little more than it takes to find out that who was at the first two places is dead."""

RENEW = 30.0
LONGEST_RENEW = 300.0
"""Seconds after which a place where nobody came is left and gone to again, first and, doubled each time, at last. Who
died there after the relay let them in and before they said a word cannot be seen, and keeps the other side out; the
relay says so only to who comes anew."""

MARK_LASTS = 1200.0
"""Seconds. A relay forgets a mailbox within 16 min when nobody is connected."""

REFRESH = 120.0
"""Seconds after which the mark of a place where we still are is made anew; with `MARK_LASTS` more than those 16 min."""

REVISIT = 45.0
LONGEST_REVISIT = 300.0
"""Seconds after which a marked place is tried again, first and, doubled each time, at last: its mailbox may be gone, or
may never have been, and the other side may be waiting there."""

FREE_ROUNDS = 3
"""Rounds of spoilt places before there is a wait."""

FIRST_WAIT = 10.0
LONGEST_WAIT = 300.0
FORGOTTEN = 600.0
"""Seconds without another spoilt place after which the count begins again."""


class Meetings(Protocol):
    """What a rendezvous needs of the file that keeps the secrets of a pair."""

    def secrets(self) -> tuple[bytes, ...]:
        """The secrets, newest first."""

    def marked(self, secret: bytes) -> Mapping[int, float]:
        """The marked numbers of a secret, and the Unix time of each mark."""

    def mark(self, secret: bytes, number: int) -> None:
        """Mark a number with the time; it is on the disk when this returns.

        Raises:
            StorageError: It could not be written.
        """

    def unmark(self, secret: bytes, number: int) -> None:
        """Take a mark away.

        Raises:
            StorageError: It could not be written.
        """


def lowest_free(
    marks: Mapping[int, float], here: Collection[int], now: float, *, first: int = 0, count: int = PLACES
) -> tuple[int, ...]:
    """The lowest numbers that no earlier life of this side may have left messages at.

    Args:
        marks: The marked numbers with their times; a mark that is too old, or from the future, counts as none.
        here: Numbers where this process is; their marks are its own.
        now: Unix time.
        first: The lowest number there is.
        count: How many.
    """
    taken = {number for number, at in marks.items() if abs(now - at) < MARK_LASTS} - set(here)
    found: list[int] = []
    number = first
    while len(found) < count:
        if number not in taken:
            found.append(number)
        number += 1
    return tuple(found)


@dataclass(slots=True)
class _Later:
    """When a marked number is tried again."""

    pause: float
    at: float


@dataclass(slots=True)
class _Row:
    """Spoilt numbers of one secret in a row."""

    count: int
    last: float


class Agenda:
    """One side's plan for the secrets of one pair.

    Args:
        meetings: Keeps secrets and marks.
        now: The clock, Unix time.
    """

    def __init__(self, meetings: Meetings, now: Callable[[], float]) -> None:
        self._meetings = meetings
        self._now = now
        self._later: dict[tuple[bytes, int], _Later] = {}
        self._rows: dict[tuple[bytes, int], _Row] = {}
        self._renewals: dict[tuple[bytes, int], float] = {}

    def wanted(self, secret: bytes, here: Collection[int], apart: float) -> tuple[int, ...]:
        """The numbers to be at.

        Args:
            secret: Which secret's numbers.
            here: Where this process is.
            apart: Seconds for which this process has looked for the other side.

        Raises:
            StorageError: A mark could not be taken away.
        """
        now = self._now()
        for number in set(self._meetings.marked(secret)) - set(here):
            # An earlier life's mark begins to count when it is first seen.
            later = self._later.setdefault((secret, number), _Later(REVISIT, now + REVISIT))
            if later.at <= now:
                self._meetings.unmark(secret, number)
        marks = self._meetings.marked(secret)
        spares = min(int(apart / APART), SPARES)
        found = lowest_free(marks, here, now)
        for each in range(1, spares + 1):
            found += lowest_free(marks, here, now, first=each * SPARE, count=1)
        return found

    def wait(self, secret: bytes, number: int) -> float:
        """Seconds until a new number may be opened, after several of its kind were spoilt; 0 most of the time.

        Args:
            secret: Its secret.
            number: The number; a spare one does not wait because others were spoilt.
        """
        key, now = (secret, number // SPARE), self._now()
        row = self._rows.get(key)
        if row is None or abs(now - row.last) > FORGOTTEN:
            self._rows.pop(key, None)
            return 0.0
        rounds = row.count // PLACES - FREE_ROUNDS
        if rounds < 0:
            return 0.0
        longest = min(FIRST_WAIT * 2.0 ** min(rounds, 10), LONGEST_WAIT)
        return min(max(row.last + longest - now, 0.0), longest)

    def patience(self, secret: bytes, apart: float) -> float:
        """Seconds until more numbers of a secret may be wanted, or opened.

        Args:
            secret: Which secret's numbers.
            apart: Seconds for which this process has looked for the other side.
        """
        waits = [self.wait(secret, kind * SPARE) for kind in range(SPARES + 1)]
        return min([APART - apart % APART, *(wait for wait in waits if wait > 0)])

    def enter(self, secret: bytes, number: int) -> None:
        """Mark a number: we are about to go there.

        Raises:
            StorageError: It could not be written; do not go.
        """
        self._meetings.mark(secret, number)

    def stay(self, secret: bytes, number: int) -> None:
        """Keep the mark of a number fresh while we are there.

        Raises:
            StorageError: It could not be written.
        """
        at = self._meetings.marked(secret).get(number)
        if at is None or abs(self._now() - at) > REFRESH:
            self._meetings.mark(secret, number)

    def renew(self, secret: bytes, number: int, alone: float) -> bool:
        """Whether to leave a number now and go there again.

        Args:
            secret: Its secret.
            number: The number.
            alone: Seconds for which this process has waited there.
        """
        pause = self._renewals.setdefault((secret, number), RENEW)
        if alone < pause:
            return False
        self._renewals[(secret, number)] = min(2 * pause, LONGEST_RENEW)
        return True

    def leave(self, secret: bytes, number: int, *, contact: bool, clean: bool) -> None:
        """Note how a number was left.

        Args:
            secret: Its secret.
            number: The number.
            contact: Somebody was there.
            clean: The relay has confirmed that we left.

        Raises:
            StorageError: A mark could not be changed.
        """
        key, now = (secret, number), self._now()
        before = self._later.pop(key, None)
        if clean and not contact:
            self._meetings.unmark(secret, number)
            return
        self._meetings.mark(secret, number)
        again = before is not None and before.at <= now
        pause = min(2 * before.pause, LONGEST_REVISIT) if before is not None and again else REVISIT
        self._later[key] = _Later(pause, now + pause)
        if contact and not again:
            row = self._rows.setdefault((secret, number // SPARE), _Row(0, now))
            row.count, row.last = row.count + 1, now
