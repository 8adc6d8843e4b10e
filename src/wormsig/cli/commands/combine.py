"""`wormsig combine`: the Combiner's role on files."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import click

from wormsig.app.combining import AnswerReport, Combined, combine_answers
from wormsig.app.context import Sources, sighash_types
from wormsig.app.files import BASE64_MAGIC, check_output, read_argument, write_file
from wormsig.app.home import Home
from wormsig.app.loading import load_psbt, load_wallet
from wormsig.app.settings import ReviewOptions
from wormsig.app.signing import review_psbt
from wormsig.cli import options
from wormsig.errors import PeerError, UsageError
from wormsig.psbt import codec
from wormsig.render.lines import WIDTH, folded
from wormsig.render.sanitize import as_argument, sanitize
from wormsig.render.signers_text import still_needed
from wormsig.review.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from wormsig.app.settings import WalletOptions
    from wormsig.cli.console import Console
    from wormsig.review.report import Report


_SOURCE_WIDTH = 80
"""Characters of what an answer is called."""
_PLACE = re.compile(r"(input|output) \d+: ")
_KINDS = 10
"""Kinds of things that are told of one answer; a hostile one can hold a hundred thousand."""
_NAMED = 3
"""Answers that the last line names."""


@click.command("combine")
@click.argument("mine", metavar="MINE")
@click.argument("returned", metavar="RETURNED...", nargs=-1, required=True)
@click.option("--allow-sighash", multiple=True, metavar="TYPE", help="Accept this sighash type too. Repeat for more.")
@options.output_options
@options.wallet_options
@options.console_options
def command(
    *,
    mine: str,
    returned: tuple[str, ...],
    allow_sighash: tuple[str, ...],
    output: tuple[Path | None, bool],
    wallet_options: WalletOptions,
    console: Console,
) -> None:
    """Take the new signatures out of returned PSBTs, and put them into MINE, your own copy.

    Each is verified on MINE; nothing else is taken over. Exit code 5 when an answer held something wrong: the
    output is written all the same, with whatever was good.
    """
    path, force = output
    check_output(path, force=force)
    if [mine, *returned].count("-") > 1:
        raise UsageError("standard input can be read only once", hint="give each PSBT but one as a file")
    home = Home.from_environment()
    wallet = load_wallet(wallet_options, home)
    asked = ReviewOptions(allow_sighash=allow_sighash)
    own = load_psbt(mine)
    reviewed = review_psbt(own, wallet, asked, Sources.of(home, network=wallet_options.network))
    answers = [(_name(each), read_argument(each)) for each in returned]
    combined = combine_answers(own, answers, reviewed.report.labeller(), allowed=sighash_types(allow_sighash))
    for answer in combined.answers:
        _tell(answer, console)
    raw = codec.serialize(combined.psbt)
    if path is not None:
        write_file(path, raw, force=force)
    _tell_state(reviewed.report, combined, path, console)
    if console.as_json:
        console.emit(_object(combined, None if path else base64.b64encode(raw).decode()))
    elif path is None:
        console.result(base64.b64encode(raw).decode())
    if combined.wrong:
        sources = [answer.source for answer in combined.wrong]
        named = ", ".join(sources[:_NAMED]) + (", …" if len(sources) > _NAMED else "")
        raise PeerError(  # what is wrong with each was told above
            f"{len(sources)} of {count(len(answers), 'answer')} held something wrong: {named}",
            hint="what was good is in the output; nothing else was taken",
        )


def _name(argument: str) -> str:
    """An argument as it is told: of a PSBT in text its beginning, of a long path its end, where the file's name is."""
    if argument == "-":
        return "standard input"
    argument = argument.lstrip()
    if len(argument) <= _SOURCE_WIDTH:
        return argument
    return f"{argument[:20]}…" if argument.startswith(BASE64_MAGIC) else f"…{argument[1 - _SOURCE_WIDTH :]}"


def _tell(answer: AnswerReport, console: Console) -> None:
    source = sanitize(answer.source, _SOURCE_WIDTH)
    for label, inputs in answer.taken.items():
        console.say(f"{source}: {sanitize(label, 80)} signed {count(inputs, 'input')}, verified")
    if not answer.taken and not answer.rejected:
        known = f": its {count(answer.known, 'signature')} {'was' if answer.known == 1 else 'were'} here already"
        console.say(f"{source}: nothing new{known}" if answer.known else f"{source}: no signature in it")
    for line in _summed(answer.rejected):
        console.warn(f"{source}: not taken: {line}")
    for line in _summed(answer.ignored):
        console.say(f"{source}: came back changed, ignored: {line}")


def _summed(lines: Sequence[str]) -> Iterator[str]:
    """What differs in nothing but the place is told once, with the number of the others."""
    places: dict[str, tuple[str, int]] = {}
    for line in lines:
        what = line.partition(": ")[2] if _PLACE.match(line) else line
        first, number = places.get(what, (line, 0))
        places[what] = (first, number + 1)
    for first, number in list(places.values())[:_KINDS]:
        yield f"{sanitize(first, 300)}{f' (and {number - 1} more like it)' if number > 1 else ''}"
    if len(places) > _KINDS:
        yield f"and {len(places) - _KINDS} other things; --json has them all"


def _tell_state(report: Report, combined: Combined, path: Path | None, console: Console) -> None:
    """Whether it is complete, else what is missing; and the next step."""
    if combined.missing:
        console.say(folded(still_needed(report, combined.missing, combined.signed), first="", width=WIDTH))
    elif path is None:
        console.say("Complete.")
    else:
        console.say(f"Complete; next: wormsig broadcast {as_argument(path)}")


def _object(combined: Combined, psbt: str | None) -> dict[str, Any]:
    return {
        "event": "done",
        "complete": not combined.missing,
        "missing": {str(index): count for index, count in combined.missing.items()},
        "answers": [
            {
                "source": answer.source,
                "taken": answer.taken,
                "known": answer.known,
                "rejected": list(answer.rejected),
                "ignored": list(answer.ignored),
            }
            for answer in combined.answers
        ],
        "psbt": psbt,
    }
