"""Questions to a person while the reactor runs: one at a time, and each can be taken back.

A ceremony goes on while a person thinks: the coordinator may end it, a cosigner may leave. So a question never
blocks: standard input is read by the reactor, a cancelled question leaves nothing behind that would take the answer to
the next one, and what happens meanwhile is told above the question.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click
from twisted.internet import defer
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no annotations

from wormsig.app.threads import the_reactor
from wormsig.cli.console import drop_typed_ahead, yes_or_no
from wormsig.cli.hangup import tell, terminal_is_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.base import DelayedCall

_MOST = 4096
SIGNAL_COMES = 0.2
"""Seconds. Of a closed window the end of input comes first, then a signal; one after the other would cut the goodbye
short, as a second Ctrl-C does."""


@implementer(IReadDescriptor)
class _Line:
    """One line from standard input. A terminal hands over whole lines, edited by the person."""

    def __init__(self) -> None:
        self.done: defer.Deferred[str] = defer.Deferred(lambda _: self._stop())
        self._ending: DelayedCall | None = None
        self._fd = sys.stdin.fileno()
        self._typed = b""

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._fd

    def logPrefix(self) -> str:  # noqa: N802  Twisted's name
        """For Twisted's log."""
        return "terminal"

    def doRead(self) -> None:  # noqa: N802  Twisted's name
        """Something was typed."""
        try:
            typed = os.read(self._fd, _MOST)
        except OSError:
            typed = b""  # the terminal is gone
        self._typed += typed
        if not typed:
            self._end()
        elif b"\n" in typed or len(self._typed) > _MOST:
            the_reactor().removeReader(self)
            self.done.callback(self._typed.decode("utf-8", "replace").strip())

    def _end(self) -> None:
        """Nothing more will be typed. A signal that comes soon, because the window was closed, says it first."""
        terminal_is_gone()
        self._stop()
        self._ending = the_reactor().callLater(SIGNAL_COMES, self.done.errback, click.Abort())

    def _stop(self) -> None:
        the_reactor().removeReader(self)
        if self._ending is not None and self._ending.active():
            self._ending.cancel()

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802  Twisted's name
        """The reactor ends, or cannot watch the descriptor any more: nothing more will be typed."""
        if not self.done.called:
            self._end()


class Asker:
    """The person at this terminal. An end of input (Ctrl-D, a closed window) is no answer: it interrupts."""

    def __init__(self) -> None:
        self._turn = defer.DeferredLock()
        self._open = ""

    async def ask(self, question: str, before: str = "") -> str:
        """Ask when it is this question's turn.

        Args:
            question: One line; the cursor stays behind it.
            before: Lines that belong to the question and are shown once.

        Returns:
            What was typed, without spaces around it.

        Raises:
            Abort: Standard input ended.
        """
        async with self._turn:
            drop_typed_ahead()
            if before:
                tell(before)
            self._open = f"{question} "
            tell(self._open, nl=False)
            line = _Line()
            the_reactor().addReader(line)
            try:
                return await line.done
            except BaseException:
                tell()  # taken back: the next words begin on a line of their own
                raise
            finally:
                self._open = ""

    async def confirm(self, question: str, before: str = "") -> bool:
        """Ask for yes or no; no answer is a no, and anything else is asked again."""
        answer = yes_or_no(await self.ask(f"{question} [y/N]", before))
        while answer is None:
            answer = yes_or_no(await self.ask("Please answer y or n [y/N]"))
        return answer

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """While this is entered lines may be printed: an open question is repeated below them."""
        question = self._open
        if question:
            tell()
        yield
        if question:
            tell(question, nl=False)
