"""`wormsig status`: the ceremonies on this machine."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import click

from wormsig.app.ceremonies import Summary, summaries
from wormsig.app.home import Home
from wormsig.cli import options
from wormsig.journal.store import Journal
from wormsig.render.sanitize import sanitize

if TYPE_CHECKING:
    from wormsig.cli.console import Console

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@click.command("status")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@options.console_options
def command(*, everything: bool, console: Console) -> None:
    """List the ceremonies on this machine: role, wallet, who has signed, age.

    Only those with something left to do, unless --all. With --json one object each.
    """
    path = Home.from_environment().journal()
    found: tuple[Summary, ...] = ()
    if path.exists():
        with Journal(path) as journal:
            found = summaries(journal)
    listed = [each for each in found if everything or each.open]
    for each in listed:
        if console.as_json:
            console.emit({**dataclasses.asdict(each), "cosigners": dict(each.cosigners)})
        else:
            console.result(_line(each))
    if not listed and not console.as_json:
        hint = f" ({len(found)} are over; --all lists them)" if found else ""
        console.say(f"No ceremony has anything left to do{hint}.")


def _line(each: Summary) -> str:
    wallet = sanitize(each.wallet or "-", 30)
    signed = "" if each.have is None else f" · {each.have} of {each.need} signed"
    people = ", ".join(f"{sanitize(name, 40)} {stage}" for name, stage in each.cosigners)
    text = f"{each.id[:6]}  {each.role:<11}  {wallet} · {each.network} · {each.phase}{signed} · {_age(each.created)}"
    return f"{text}\n        {people}" if people else text


def _age(created: int) -> str:
    seconds = max(0, int(time.time()) - created)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"
