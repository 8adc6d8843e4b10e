"""What happens on a connection and needs no answer, told once: no repetition, and no alarm about a blink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wormsig.transport.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.base import DelayedCall

    from wormsig.transport.channel import Channel

BLINK = 6.0
"""Seconds that the relay may be away without a word; letting a code go looks like that, too, and may take five."""

MINUTES_FROM = 90.0
"""Seconds from which a silence is told in minutes."""


class Notices:
    """Takes the notices of one connection and of those that follow it.

    Args:
        reactor: The reactor.
        tell: Gets the words.
        who: Our name for the other side.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  the reactor has no one type
        tell: Callable[[str], None],
        who: str = "the coordinator",
    ) -> None:
        self._reactor = reactor
        self._tell = tell
        self._who = who
        self._quiet_for: Callable[[], float] = lambda: 0.0
        self._told_quiet = 0.0
        self._last: Notice | None = None
        self._late: DelayedCall | None = None

    def watch(self, channel: Channel) -> None:
        """Take the notices of this channel from now on; how long it has been silent is known of it alone."""
        channel.on_notice = self
        self._quiet_for = lambda: channel.quiet_for

    def __call__(self, notice: Notice) -> None:
        """Something happened."""
        self.stop()
        if notice is Notice.QUIET:
            self._quiet(self._quiet_for())
        elif notice is Notice.RELAY_DOWN:
            self._late = self._reactor.callLater(BLINK, self._say, notice)
        elif notice is not Notice.RELAY_UP or self._last is Notice.RELAY_DOWN:
            self._say(notice)

    def stop(self) -> None:
        """The connection is let go: what was about to be told is not worth it any more."""
        if self._late is not None and self._late.active():
            self._late.cancel()

    def _quiet(self, seconds: float) -> None:
        """Told at once, and again whenever the silence is twice as long."""
        if self._last is not Notice.QUIET or seconds >= 2 * self._told_quiet:
            self._last = Notice.QUIET
            self._told_quiet = seconds
            self._tell(f"no sign of {self._who} for {_span(seconds)}")

    def _say(self, notice: Notice) -> None:
        if notice is not self._last:
            self._last = notice
            self._tell(f"{self._who} is back" if notice is Notice.HEARD else notice.value)


def _span(seconds: float) -> str:
    """Seconds up to a minute and a half, then minutes."""
    return f"{round(seconds)} s" if seconds < MINUTES_FROM else f"{round(seconds / 60)} min"
