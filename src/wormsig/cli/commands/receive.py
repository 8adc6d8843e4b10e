"""`wormsig receive`: a cosigner's side of a ceremony."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wormsig.app.plan import duration
from wormsig.app.policy import load_policy
from wormsig.cli import options
from wormsig.cli.receiving import How, Receiving
from wormsig.errors import UsageError

if TYPE_CHECKING:
    from wormsig.cli.console import Console
    from wormsig.cli.options import Common


@click.command("receive")
@click.argument("code", required=False, metavar="[CODE]")
@click.option("--signer", metavar="SPEC", help="Who signs: key:FILE or core:WALLET.")
@click.option("--later", is_flag=True, help="Receive and review now; sign another time, with `wormsig resume`.")
@click.option("--reject", metavar="REASON", help="Decline, and tell the coordinator why.")
@click.option("--expect-txid", metavar="TXID", help="Sign only the transaction with this (unsigned) id.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Sign only what this file allows; with -y also despite the warnings that it names.",
)
@click.option("--timeout", metavar="DURATION", help="Give up after: 90s, 10m, 2h, 3d.")
@options.common_options
def command(
    *,
    code: str | None,
    common: Common,
    **how: Any,  # noqa: ANN401  collected into How at once
) -> None:
    """Receive a PSBT, review it, sign it, and send the signatures back.

    Then waits for the outcome and says it. Every amount and address is computed here, from our own copy of the
    wallet.
    """
    how["timeout"] = duration(how["timeout"])
    how["policy"] = load_policy(how["policy"]) if how["policy"] else None
    order, console = How(**how), common.console
    if code is None:
        console.need_person("the code", hint="wormsig receive CODE")
    common.need_person_to_compare()
    if order.signer is None and order.reject is None and not order.later:
        raise UsageError("there is no signer", hint="use --signer key:FILE or core:WALLET, --later, or --reject REASON")
    receiving = Receiving.prepare(order, common)
    least = common.relay.code_length
    receiving.with_code(_ask_code(console, least) if code is None else _meant(_checked(code), console, least))


def _checked(code: str) -> str:
    """A code as the other side writes it. Raises BadCodeError (exit 6) when it is none; nothing was sent."""
    from wormsig.transport.codes import normalise  # noqa: PLC0415  its word list loads Twisted

    return normalise(code)


def _ask_code(console: Console, least: int) -> str:
    """Ask until it is a code; what looks mistyped is asked about, because a wrong code is burned."""
    from wormsig.transport.errors import BadCodeError  # noqa: PLC0415  same

    while True:
        try:
            code = _checked(console.read_line("Enter wormhole code:"))
        except BadCodeError as error:
            console.warn(f"{error.message}: {error.hint}")
            continue
        if _looks_right(code, console, least):
            return code


def _meant(code: str, console: Console, least: int) -> str:
    """A code from the command line; a person who may have mistyped it is asked, a script is not.

    Raises:
        BadCodeError: It was not meant; nothing was sent.
    """
    from wormsig.transport.errors import BadCodeError  # noqa: PLC0415  same

    if console.yes or not console.has_person() or _looks_right(code, console, least):
        return code
    raise BadCodeError("the code was not used", hint="nothing is burned: type it again")


def _looks_right(code: str, console: Console, least: int) -> bool:
    """Whether `send` may have made this code, or the person says that it is right all the same.

    Args:
        code: Normalised.
        console: Where to ask.
        least: Words that a code has; more of them are what `send` makes where somebody was guessing.
    """
    from wormsig.transport.codes import misspelt  # noqa: PLC0415  same

    wrong = [f"{word} (is it {near}?)" if near else word for word, near in misspelt(code)]
    doubts = [f"Not in the list of words: {', '.join(wrong)}."] if wrong else []
    words = code.count("-")
    if words < least:
        doubts.append(f"This code has {words} word{'' if words == 1 else 's'}, and a code has {least}: is one missing?")
    return not doubts or console.ask("Use the code as it is?", " ".join(doubts))
