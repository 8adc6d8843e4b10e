"""`wormsig sign`: the Signer's role on a file."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import click

from wormsig.app.combining import combine_answers
from wormsig.app.context import Sources, sighash_types
from wormsig.app.files import check_output, write_file
from wormsig.app.home import Home
from wormsig.app.loading import load_psbt, need_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.signing import open_signer, review_psbt, sign_file
from wormsig.cli import options
from wormsig.cli.passphrase import passphrases
from wormsig.cli.reviews import show_report
from wormsig.errors import RefusedError, StorageError, WormsigError
from wormsig.psbt import codec
from wormsig.render.lines import WIDTH, folded
from wormsig.render.sanitize import sanitize
from wormsig.render.signers_text import signed_so_far, still_needed
from wormsig.review.words import count

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.app.combining import Combined
    from wormsig.app.settings import PassphraseOptions, ReviewOptions, RpcOptions, WalletOptions
    from wormsig.app.signing import ReviewedPsbt
    from wormsig.cli.console import Console
    from wormsig.review.report import Report


_AGAIN = "nothing is lost: sign again when there is room, or with another -o"


@click.command("sign")
@options.psbt_argument
@click.option("--signer", required=True, metavar="SPEC", help="Who signs: key:FILE or core:WALLET.")
@options.output_options
@options.wallet_options
@options.rpc_options
@options.review_options
@options.passphrase_options
@options.asking_console_options
def command(
    *,
    psbt: str,
    signer: str,
    output: tuple[Path | None, bool],
    wallet_options: WalletOptions,
    rpc: RpcOptions,
    review_options: ReviewOptions,
    passphrase: PassphraseOptions,
    console: Console,
) -> None:
    """Review a PSBT, ask, and sign it.

    The signed PSBT goes to -o FILE, else as base64 to standard output. It is never finalized.
    """
    check_output(output[0], force=output[1])
    home = Home.from_environment()
    wallet = need_wallet(wallet_options, home)
    if not console.yes:
        console.need_person("signing", hint="use -y in a script")
    node = open_node(rpc, wallet.network)
    if node is not None:
        agree(node, wallet.network)
    original = load_psbt(psbt)
    opened = open_signer(signer, passphrases(passphrase), node)
    ready = opened.for_wallet(wallet)
    reviewed = review_psbt(original, wallet, review_options, Sources.of(home, node, unattended=console.yes))
    show_report(console, reviewed.report)
    before = signed_so_far(reviewed.report)
    if before is not None and not console.as_json:
        console.say(folded(before, first="", width=WIDTH))
    if not reviewed.report.errors and not console.ask(f"Sign with {opened.label}?"):
        raise RefusedError("not signed")
    signed = codec.serialize(sign_file(reviewed, wallet, ready, "unattended" if console.yes else "person", home))
    if output[0] is not None:
        try:
            write_file(output[0], signed, force=output[1])
        except StorageError as error:
            error.hint = _AGAIN
            raise
    _deliver(signed, output[0], _outcome(reviewed, signed, review_options), reviewed.report, console)


def _outcome(reviewed: ReviewedPsbt, signed: bytes, options: ReviewOptions) -> Combined | None:
    """What is new in the signed PSBT, and what it still needs; None where that cannot be told."""
    try:
        allowed = sighash_types(options.allow_sighash)
        return combine_answers(reviewed.psbt, [("signed", signed)], reviewed.report.labeller(), allowed=allowed)
    except WormsigError:  # the signatures are there all the same, and what is wrong stood in the review
        return None


def _deliver(signed: bytes, path: Path | None, outcome: Combined | None, report: Report, console: Console) -> None:
    if outcome is not None:
        name = "the PSBT" if path is None else sanitize(str(path))
        (answer,) = outcome.answers
        for label, inputs in answer.taken.items():
            console.say(f"{name}: {sanitize(label, 80)} signed {count(inputs, 'input')}")
        if not answer.taken:
            console.say(f"{name}: nothing new: this key had signed already")
        state = still_needed(report, outcome.missing, outcome.signed) if outcome.missing else "Complete."
        console.say(folded(state, first="", width=WIDTH))
    text = None if path else base64.b64encode(signed).decode()
    if console.as_json:
        told: dict[str, Any] = {"event": "done", "psbt": text, "file": str(path) if path else None}
        if outcome is not None:
            told["signed"] = outcome.answers[0].taken
            told["complete"] = not outcome.missing
            told["missing"] = {str(index): number for index, number in outcome.missing.items()}
        console.emit(told, known=_AGAIN)
    elif text is not None:
        console.result(text, known=_AGAIN)
