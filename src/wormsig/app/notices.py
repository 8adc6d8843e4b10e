"""What happens on a connection and needs no answer, told once: no repetition, and no alarm about a blink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wormsig.transport.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.base import DelayedCall

BLINK = 6.0
"""Seconds that the relay may be away without a word; letting a code go looks like that, too, and may take five."""


class Notices:
    """Takes the notices of one connection and of those that follow it.

    Args:
        reactor: The reactor.
        tell: Gets the words.
    """

    def __init__(self, reactor: Any, tell: Callable[[str], None]) -> None:  # noqa: ANN401  the reactor has no one type
        self._reactor = reactor
        self._tell = tell
        self._last: Notice | None = None
        self._late: DelayedCall | None = None

    def __call__(self, notice: Notice) -> None:
        """Something happened."""
        self.stop()
        if notice is Notice.RELAY_DOWN:
            self._late = self._reactor.callLater(BLINK, self._say, notice)
        elif notice is not Notice.RELAY_UP or self._last is Notice.RELAY_DOWN:
            self._say(notice)

    def stop(self) -> None:
        """The connection is let go: what was about to be told is not worth it any more."""
        if self._late is not None and self._late.active():
            self._late.cancel()

    def _say(self, notice: Notice) -> None:
        if notice is not self._last:
            self._last = notice
            self._tell(notice.value)
