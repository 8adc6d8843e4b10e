"""What a command says: the result on standard output, everything else on standard error, questions to a person.

Text that comes from outside must have gone through `render.sanitize` before it gets here.
"""

from __future__ import annotations

import contextlib
import sys
import termios
from typing import Any

import click
import msgspec

from wormsig.cli.hangup import tell
from wormsig.cli.streams import WIDTH, OutputError, terminal_width
from wormsig.errors import UsageError
from wormsig.render.lines import folded
from wormsig.render.sanitize import sanitize, to_json


class Console(msgspec.Struct, frozen=True):
    """One command's voice.

    Attributes:
        quiet: Say nothing that is not the result, a question or a failure.
        as_json: Standard output carries one JSON object a line.
        yes: `-y`: questions whose answer an option may give are answered with yes.
        color: Colour is wanted and the stream is a terminal.
    """

    quiet: bool = False
    as_json: bool = False
    yes: bool = False
    color: bool = False

    def say(self, text: str = "") -> None:
        """A line for the person."""
        if not self.quiet:
            tell(text)

    def warn(self, text: str) -> None:
        """A line that --quiet does not silence."""
        tell(text)

    def result(self, text: str, *, known: str | None = None) -> None:
        """The result, alone on standard output.

        Args:
            text: One line or more.
            known: What the hint says when it cannot be written, and with it what it would have told.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except OutputError as error:
            error.hint = known
            raise

    def emit(self, value: dict[str, Any], *, known: str | None = None) -> None:
        """One JSON object on one line of standard output; everything outside ASCII escaped (C17).

        Takes and raises the same as `result`.
        """
        self.result(to_json(value), known=known)

    @staticmethod
    def has_person() -> bool:
        """Whether somebody can be asked: standard input and standard error are terminals."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def need_person(self, what: str, *, hint: str) -> None:
        """Raise UsageError when a question would be asked and nobody is there to answer it."""
        if not self.has_person():
            raise UsageError(f"{what} needs an answer, and there is no terminal to ask on", hint=hint)

    def ask(self, question: str, before: str = "", *, hint: str = "use -y to answer with yes in a script") -> bool:
        """Ask once; the default is no. True at once with `-y`.

        Args:
            question: Short enough to stay in one line with its answer.
            before: What it is about, folded for the terminal.
            hint: What a script may do.

        Raises:
            UsageError: No `-y` and no terminal.
        """
        if self.yes:
            return True
        self.need_person(f"the question {question!r}", hint=hint)
        if before:
            tell(folded(before, first="", width=terminal_width() or WIDTH))
        while True:
            answer = yes_or_no(self.read_line(f"{sanitize(question)} [y/N]"))
            if answer is not None:
                return answer

    @staticmethod
    def read_line(question: str) -> str:
        """Ask, and read a line. The question goes to standard error, so that standard output stays the result's.

        Raises:
            Abort: Standard input ended.
        """
        drop_typed_ahead()
        tell(f"{question} ", nl=False)
        line = sys.stdin.readline()
        if not line:
            raise click.Abort
        return line.strip()


def yes_or_no(answer: str) -> bool | None:
    """What a person answered; nothing at all is a no, and None is neither: ask again."""
    return {"y": True, "yes": True, "n": False, "no": False, "": False}.get(answer.strip().lower())


def drop_typed_ahead() -> None:
    """Forget what was typed before a question was there: it was not meant for it."""
    with contextlib.suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
