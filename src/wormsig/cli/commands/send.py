"""`wormsig send`: the coordinator's side of a ceremony."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import click
import msgspec

from wormsig.app.already import sent_before
from wormsig.app.context import Sources, sighash_types
from wormsig.app.files import check_output
from wormsig.app.home import Home
from wormsig.app.loading import load_psbt, load_wallet
from wormsig.app.nodes import agree, open_node
from wormsig.app.plan import cosigner_names, duration, threshold
from wormsig.app.send_plan import Opening, SendPlan
from wormsig.app.signing import OpenedSigner, ReviewedPsbt, open_signer, review_psbt, sign_reviewed
from wormsig.cli import options
from wormsig.cli.passphrase import passphrases
from wormsig.cli.reviews import show_report
from wormsig.cli.running import Running
from wormsig.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from wormsig.cli.console import Console
    from wormsig.cli.options import Common
    from wormsig.psbt.model import Psbt
    from wormsig.wallet.model import Wallet


class _Whom(msgspec.Struct, frozen=True):
    """To whom, and how it ends."""

    to: tuple[str, ...]
    cosigners: int | None
    codes: tuple[str, ...]
    signer: str | None
    broadcast: bool | None
    wait_all: bool
    chain: bool
    tell_reasons: bool
    timeout: float | None
    qr: bool


@click.command("send")
@options.psbt_argument
@click.option("--to", multiple=True, metavar="NAME", help="A cosigner, by our own name for them. Repeat for more.")
@click.option("--cosigners", type=click.IntRange(1, 20), metavar="N", help="So many cosigners, without names.")
@click.option("--code", "codes", multiple=True, metavar="CODE", help="A code agreed before. Repeat for more.")
@click.option("--signer", metavar="SPEC", help="Sign our own share first: key:FILE or core:WALLET.")
@click.option("--broadcast/--no-broadcast", default=None, help="Broadcast at the end. Default: ask, with a node.")
@click.option("--wait-all", is_flag=True, help="Wait for every cosigner, also beyond the threshold.")
@click.option("--chain", is_flag=True, help="One cosigner after another, each with the signatures of those before.")
@click.option("--tell-reasons", is_flag=True, help="If it fails, tell everybody why others declined.")
@click.option("--timeout", metavar="DURATION", help="Give up after: 90s, 10m, 2h, 3d.")
@click.option("--qr/--no-qr", default=False, envvar="WORMHOLE_QR", help="Show each code as a QR code too.")
@options.common_options
def command(
    *,
    psbt: str,
    common: Common,
    **whom: Any,  # noqa: ANN401  collected into _Whom at once
) -> None:
    """Send a PSBT to the cosigners, one code each, and collect their signatures.

    Each answer is verified before it counts. When the threshold is reached the transaction is finalized, checked
    by the node and, after a question, broadcast. Prints the txid, or without a node the transaction.
    """
    whom["timeout"] = duration(whom["timeout"])
    order = _Whom(**whom)
    console, (path, force) = common.console, common.output
    check_output(path, force=force)
    home = Home.from_environment()
    wallet = load_wallet(common.wallet_options, home)
    network = wallet.network if wallet else common.wallet_options.network
    node = open_node(common.rpc, network)
    running = Running.of(common, home, node)
    running.check_broadcast(order.broadcast)
    if order.signer and not console.yes:
        console.need_person("signing our own share", hint="use -y in a script")
    running.need_person_to_broadcast(order.broadcast)
    common.need_person_to_compare()
    _check_codes(order.codes)
    if node is not None:
        agree(node, network)
    original = load_psbt(psbt)
    signer = open_signer(order.signer, passphrases(common.passphrase), node) if order.signer else None
    sources = Sources.of(home, node, network=network, unattended=console.yes)
    reviewed = review_psbt(original, wallet, common.review_options, sources)
    show_report(console, reviewed.report)
    _tell_earlier(reviewed.psbt, home, console)
    signed = _own_share(reviewed, wallet, signer, console)
    allowed = sighash_types(common.review_options.allow_sighash)
    opening = _opening(
        order, reviewed=reviewed, wallet=wallet, own=(signer, signed), allowed=allowed, unattended=console.yes
    )
    plan = SendPlan(
        label=reviewed.report.labeller(),
        codes=dict(zip(opening.cosigners, order.codes, strict=False)),
        signer=signer.label if signer else "",
        broadcast=opening.broadcast,
        timeout=order.timeout,
        code_length=common.relay.code_length,
    )
    running.begin(opening, plan, qr=order.qr, always_broadcast=bool(order.broadcast))


def _tell_earlier(psbt: Psbt, home: Home, console: Console) -> None:
    """A note when the transaction was sent from here before; sending it again may be just what is wanted."""
    earlier = sent_before(home, psbt)
    if earlier is None:
        return
    short = earlier.ceremony[:6]
    if earlier.broadcast:
        console.say(f"note: ceremony {short} has broadcast this transaction already")
    else:
        console.say(f"note: ceremony {short} has this transaction already: `wormsig resume {short}` goes on with it")


def _check_codes(codes: tuple[str, ...]) -> None:
    """Refuse fixed codes that cannot work, before anybody signs.

    Raises:
        BadCodeError: One is not a code.
        UsageError: Two share a number, so that their cosigners would meet each other.
    """
    if not codes:
        return
    from wormsig.transport.codes import normalise  # noqa: PLC0415  its word list loads Twisted

    numbers = [normalise(code).partition("-")[0] for code in codes]
    if len(set(numbers)) != len(numbers):
        raise UsageError("two --code options share their number", hint="each cosigner needs a code of their own")


def _own_share(
    reviewed: ReviewedPsbt, wallet: Wallet | None, signer: OpenedSigner | None, console: Console
) -> Psbt | None:
    """Our own signatures; None without a signer. Refuses a review that must not go out."""
    report = reviewed.report
    if report.errors or (report.warnings and console.yes):
        kind, found = ("error", report.errors) if report.errors else ("warning", report.warnings)
        codes = ", ".join(dict.fromkeys(finding.code.value for finding in found))
        raise RefusedError(
            f"not sent: {len(found)} {kind}{'s' if len(found) > 1 else ''} in the review ({codes})",
            hint="`wormsig inspect` shows every detail",
        )
    if signer is None:
        if report.warnings and not console.ask("The review has warnings. Send it all the same?"):
            raise RefusedError("not sent")
        return None
    if wallet is None:
        raise UsageError("signing needs the wallet", hint="use --wallet NAME")
    ready = signer.for_wallet(wallet)
    if not console.ask(f"Sign with {signer.label}?"):
        raise RefusedError("not signed and not sent")
    return sign_reviewed(reviewed, wallet, ready, "unattended" if console.yes else "person")


def _opening(
    order: _Whom,
    *,
    reviewed: ReviewedPsbt,
    wallet: Wallet | None,
    own: tuple[OpenedSigner | None, Psbt | None],
    allowed: frozenset[int],
    unattended: bool,
) -> Opening:
    signer, signed = own
    report = reviewed.report
    held = signer.for_wallet(wallet).fingerprints if signer and wallet else None
    names = cosigner_names(wallet, order.to, order.cosigners, held)
    if len(order.codes) > len(names):
        raise UsageError(f"{len(order.codes)} codes for {len(names)} cosigners")
    return Opening(
        ceremony=secrets.token_hex(16),
        psbt=reviewed.psbt,
        network=report.network.value if report.network else "unknown",
        wallet=wallet,
        threshold=threshold(wallet, report),
        cosigners=names,
        signed=signed,
        allowed_sighash=allowed,
        broadcast=order.broadcast is not False,
        wait_all=order.wait_all,
        chain=order.chain,
        tell_reasons=order.tell_reasons,
        sats=report.net_outflow_sats,
        warnings=tuple(finding.code.value for finding in report.warnings),
        by="unattended" if unattended else "person",
    )
