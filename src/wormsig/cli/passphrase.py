"""Asking for a passphrase without echo, and only when somebody is there."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from wormsig.app.keys import Passphrases
from wormsig.errors import UsageError

if TYPE_CHECKING:
    from wormsig.app.settings import PassphraseOptions


def passphrases(options: PassphraseOptions) -> Passphrases:
    """Passphrases from what the options name, else from the person at the terminal."""
    return Passphrases(options, _prompt)


def _prompt(question: str, twice: bool) -> str:
    if not _terminal():
        raise UsageError(
            "a passphrase is needed, and there is no terminal to ask on",
            hint="use --passphrase-file FILE or --passphrase-fd N",
        )
    answer: str = click.prompt(
        question, hide_input=True, err=True, confirmation_prompt="Again, to be sure" if twice else False
    )
    return answer


def _terminal() -> bool:
    """Whether a person sees the question and can answer it, even when standard input is a pipe."""
    if not sys.stderr.isatty():
        return False
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
