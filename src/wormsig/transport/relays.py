"""Several relays as a fall-back: which one is in use, and which one cannot be trusted with codes any more.

The coordinator uses one relay for a code; the cosigner, who was not told which, looks for it at all of them (`search`).
docs/adr/0011 says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import UsageError
from wormsig.transport.errors import RelayRefusedError, RelayUnreachableError
from wormsig.transport.library import RELAY_HINT, check_relay_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wormsig.errors import TransportError

MOST_RELAYS = 8
WINDOW = 900.0
"""Seconds for which it counts that a relay forgot codes."""
MOST_FORGOTTEN = 8
"""Times that a relay may forget codes within that before it gets no more."""
OFTEN = 2
"""Times after which it has to wait for new ones; once is a restart."""
LONGEST_PAUSE = 60.0
"""Seconds of that wait."""


class Relays:
    """The relays of one person, in the order of their liking.

    Args:
        urls: One or several.
        seconds: The reactor's clock.

    Attributes:
        on_chosen: Called with the relay's address when another one than before is used, if there are several.
        on_pause: Called with a relay's address and seconds when a new code has to wait: it keeps forgetting them.

    Raises:
        UsageError: None, too many, or one is not a relay's address.
    """

    def __init__(self, urls: Sequence[str], seconds: Callable[[], float]) -> None:
        self.urls = tuple(dict.fromkeys(check_relay_url(url) for url in urls))
        if not 0 < len(self.urls) <= MOST_RELAYS:
            raise UsageError(f"one to {MOST_RELAYS} relays, not {len(self.urls)}")
        self.on_chosen: Callable[[str], None] = lambda _: None
        self.on_pause: Callable[[str, float], None] = lambda _url, _seconds: None
        self._seconds = seconds
        self._preferred = 0
        self._told = ""
        self._forgot: dict[str, list[float]] = {url: [] for url in self.urls}

    @property
    def several(self) -> bool:
        """Whether there is one to fall back to."""
        return len(self.urls) > 1

    @property
    def current(self) -> str:
        """The one that answered last, or else the first."""
        return self.urls[self._preferred]

    def order(self) -> tuple[str, ...]:
        """All, the current one first; those that keep forgetting codes come last."""
        rest = [url for url in self.urls if url != self.current]
        return tuple(sorted([self.current, *rest], key=lambda url: self._times(url) >= OFTEN))

    def answered(self, url: str) -> None:
        """One is in use."""
        self._preferred = self.urls.index(url)
        if self.several and url != self._told:
            self._told = url
            self.on_chosen(url)

    def failed(self, url: str) -> None:
        """One does not answer: the next one is the current one, if it was."""
        if url == self.current:
            self._preferred = (self._preferred + 1) % len(self.urls)

    # A relay that forgets codes, again and again, would have new ones made and read out without end.

    def forgot(self, url: str, born: float) -> None:
        """A relay has forgotten a code.

        Args:
            url: The relay.
            born: When the code was made. One from before the last time tells nothing new: a relay that restarts
                forgets all codes at once.
        """
        times = self._forgot[url]
        if not times or born >= times[-1]:
            times.append(self._seconds())
            del times[:-MOST_FORGOTTEN]

    def pause(self, url: str) -> float:
        """Seconds to wait before this relay gets another code.

        Raises:
            RelayRefusedError: It has forgotten too many.
        """
        times = self._times(url)
        if times >= MOST_FORGOTTEN:
            raise RelayRefusedError(
                f"the relay {url} has forgotten the codes {times} times within {WINDOW / 60:.0f} min; it gets no more",
                hint="use another relay (--relay-url), and `wormsig resume` where something was signed already",
            )
        if times < OFTEN:
            return 0.0
        return max(0.0, self._forgot[url][-1] + min(2.0 ** (times - OFTEN), LONGEST_PAUSE) - self._seconds())

    def _times(self, url: str) -> int:
        now = self._seconds()
        return sum(now - when < WINDOW for when in self._forgot[url])


def no_relay(failures: Sequence[TransportError]) -> TransportError:
    """Why none of the relays can be used, from why each cannot."""
    if len(failures) == 1:
        return failures[0]
    words = "; ".join(error.message for error in failures)
    return RelayUnreachableError(f"none of the {len(failures)} relays can be used: {words}", hint=RELAY_HINT)
