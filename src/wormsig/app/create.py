"""Creator and Updater (BIP174): a PSBT that spends from an agreed wallet, through a node.

bitcoind chooses the coins and how much goes back as change; nothing else is taken from it. The transaction is put
together here, amounts come out of previous transactions that hash to their outpoints, scripts and key origins out of
the wallet's own descriptor, and the result goes through the same review as anybody else's PSBT before it is written.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from wormsig.app.amounts import format_btc, format_rate
from wormsig.app.context import Sources, highest_of, prepare
from wormsig.app.history import NO_HISTORY
from wormsig.app.order import check_order
from wormsig.bitcoin.previous import previous_output
from wormsig.bitcoin.tx import TxInput, TxOutput
from wormsig.errors import InputError, NodeError, RefusedError, UsageError
from wormsig.psbt import creator, model, updater
from wormsig.psbt.size import estimated_vsize
from wormsig.psbt.taproot import tap_derivations
from wormsig.review.review import review
from wormsig.review.timing import relative_delay
from wormsig.review.words import count
from wormsig.wallet.derive import Deriver, WalletScript, locate
from wormsig.wallet.model import CHANGE
from wormsig.wallet.sizes import Spend, final_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.app.history import History
    from wormsig.app.order import Order
    from wormsig.app.settings import ReviewOptions
    from wormsig.node.client import Node
    from wormsig.node.funds import WatchWallet
    from wormsig.node.watch import Progress
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.registry import Registry

SEARCH_LIMIT = 1000
"""How far a coin's script is looked for when bitcoind gives no hint."""
_SLACK_SATS = 5_000
_CHANGE_AND_ITS_SPENDING = 500  # vB; a choice of coins without change may leave up to this much to the fee


class Created(msgspec.Struct, frozen=True):
    """A PSBT without signatures, and its review.

    Attributes:
        psbt: Ready to be sent to the cosigners.
        report: Without errors.
    """

    psbt: Psbt
    report: Report


def create(
    order: Order,
    wallet: Wallet,
    node: Node,
    *,
    registry: Registry,
    history: History = NO_HISTORY,
    options: ReviewOptions,
    progress: Progress | None = None,
) -> Created:
    """Make a PSBT and review it. Blocks while the node works.

    Args:
        order: What to create.
        wallet: The agreed wallet.
        node: On the wallet's chain (`nodes.need_node`).
        registry: The other wallets, for the review.
        history: What was signed here before: its coins are left alone, unless the order names them.
        options: What a person allows beyond the review's defaults.
        progress: Told percents while the node looks through blocks.

    Raises:
        UsageError: The order cannot be meant.
        RefusedError: The review has an error.
        NodeError: The node refuses, has too little money, or gave something else than was asked for.
    """
    check_order(order)
    lowest = node.lowest_fee_rate()
    if order.fee_rate < lowest:
        raise NodeError(f"the node does not relay less than {format_rate(lowest)} sat/vB", hint="raise --fee-rate")
    watching = node.ensure_watch_wallet(wallet, rescan=order.rescan, progress=progress)
    deriver = Deriver(wallet)
    order = _with_young(_with_reserved(order, watching, node, history), watching)
    used = highest_of(watching.highest_used(), history.highest_seen(wallet))
    change_index = order.change_index if order.change_index is not None else used.get(CHANGE, -1) + 1
    change = deriver.script(CHANGE, change_index)
    funded = _fund(order, watching, _ours(order, deriver, change))
    psbt = _assemble(order, funded, node, deriver, change)
    prepared = prepare(psbt, wallet, options, Sources(registry, history, node))
    report = review(psbt, wallet, prepared.context, deriver=deriver)
    if report.errors:
        worst = report.errors[0]
        raise RefusedError(f"not created: {worst.where}: {worst.message}", hint=worst.hint)
    return Created(psbt, report)


def _with_reserved(order: Order, watching: WatchWallet, node: Node, history: History) -> Order:
    """The order that also avoids coins of what was signed here (THREATS C24); who names one wants to replace that."""
    reserved = history.reserved(lambda: [coin.outpoint for coin in watching.coins()], node.unspents)
    return replace(order, avoid=order.avoid | (reserved - frozenset(order.coins)))


def _with_young(order: Order, watching: WatchWallet) -> Order:
    """The order that also avoids coins with fewer blocks than its sequence asks for; times are not known here."""
    blocks = 0 if order.sequence is None else relative_delay(order.sequence, 2).blocks
    if not blocks:
        return order
    young = {coin.outpoint: coin.confirmations for coin in watching.coins() if coin.confirmations < blocks}
    named = [coin for coin in order.coins if coin in young]
    if named:
        raise UsageError(
            f"coin {named[0]} has {count(young[named[0]], 'confirmation')}; the sequence asks for {blocks}",
            hint="wait for more blocks, or name an older coin",
        )
    return replace(order, avoid=order.avoid | young.keys())


class _Ours(msgspec.Struct, frozen=True):
    """What bitcoind is told of the wallet: where change goes, and what an input weighs where it does not know."""

    address: str
    weight: int | None


def _ours(order: Order, deriver: Deriver, change: WalletScript) -> _Ours:
    address = deriver.address(change.branch, change.index)
    if deriver.wallet.kind == "multisig":
        return _Ours(address, None)
    spend = Spend(locktime=order.locktime, sequence=order.input_sequence)
    size = final_size(deriver.wallet, change, spend)
    return _Ours(address, None if size is None else size.input_weight)


def _fund(order: Order, watching: WatchWallet, change: _Ours) -> Psbt:
    """Bitcoind's choice of coins and change."""
    known = watching.coins() if order.coins or any(payment.sats is None for payment in order.payments) else ()
    unknown = set(order.coins) - {coin.outpoint for coin in known}
    if unknown:
        raise NodeError(
            f"coin {min(map(str, unknown))} is not an unspent coin of the wallet",
            hint="if it should be one, `--rescan` lets the node look through every block",
        )
    amounts = {payment.address: payment.sats for payment in order.payments if payment.sats is not None}
    chosen, paying_fee = order.coins, list(range(len(order.payments))) if order.subtract_fee else []
    rest = [position for position, payment in enumerate(order.payments) if payment.sats is None]
    if rest:
        if not chosen:
            chosen = tuple(coin.outpoint for coin in known if coin.safe and coin.outpoint not in order.avoid)
        total = sum(coin.sats for coin in known if coin.outpoint in chosen)
        left = total - sum(amounts.values())
        if left <= 0:
            raise NodeError(
                f"not enough money: the coins hold {format_btc(total)}, "
                f"{format_btc(total - left)} are to be paid, and nothing is left for {order.payments[rest[0]].address}"
            )
        amounts[order.payments[rest[0]].address] = left
        paying_fee = rest
    fund = functools.partial(
        watching.fund,
        {payment.address: amounts[payment.address] for payment in order.payments},
        fee_rate=order.fee_rate,
        change_address=change.address,
        avoid=order.avoid,
        subtract_fee=paying_fee,
    )
    psbt = fund(coins=chosen, weight=change.weight)
    if change.weight is not None and not chosen:  # the coins are known now, so bitcoind can be told what they weigh
        coins = tuple(txin.outpoint for txin in psbt.tx.inputs)
        psbt = fund(coins=coins, weight=change.weight, more=True)
    spent = {txin.outpoint for txin in psbt.tx.inputs}
    if not spent:
        raise NodeError("the node chose no coin")
    if len(spent) != len(psbt.tx.inputs) or spent & order.avoid or (chosen and spent != set(chosen)):
        raise NodeError("the node chose other coins than it was told to")
    return psbt


def _assemble(order: Order, funded: Psbt, node: Node, deriver: Deriver, change: WalletScript) -> Psbt:
    """The PSBT, from which coins and how much change alone.

    Raises:
        NodeError: The node does not give a previous transaction, chose a coin that is not the wallet's, pays
            somebody else or another amount, or leaves too much to the miners.
    """
    inputs = [TxInput(txin.outpoint, sequence=order.input_sequence) for txin in funded.tx.inputs]
    psbt = creator.create(inputs, list(funded.tx.outputs), locktime=order.locktime, psbt_version=order.psbt_version)
    previous = node.previous_transactions(txin.outpoint for txin in inputs)
    total = 0
    for index, txin in enumerate(inputs):
        raw = previous.get(txin.outpoint)
        if raw is None:
            raise NodeError(
                f"the node does not give the previous transaction of {txin.outpoint}",
                hint="its watch-only wallet should have it: try again with --rescan",
            )
        try:
            _, spent = previous_output(raw, txin.outpoint.index)
        except InputError as error:
            raise NodeError(f"the node chose a coin that there is not, {txin.outpoint}: {error.message}") from error
        total += spent.sats
        psbt = _with_coin(psbt, index, raw, spent, _placed(deriver, spent.script, funded, index))
    withheld = _check_outputs(order, funded.tx.outputs, change)
    for index, output in enumerate(psbt.tx.outputs):
        own = change if output.script == change.script_pubkey else locate(deriver, output.script)
        if own is not None:
            psbt = _with_output(psbt, index, own)
    fee = total - sum(output.sats for output in psbt.tx.outputs)
    if withheld > fee:
        raise NodeError(f"the node's transaction holds back {withheld} sat from the payments for a fee of {fee} sat")
    _check_fee(order, psbt, fee)
    return psbt


def _placed(deriver: Deriver, script: bytes, funded: Psbt, index: int) -> WalletScript:
    """Where the wallet has a coin's script; the node's key origins are hints, no more."""
    hints = _hints(deriver.wallet, funded, index)
    own = locate(deriver, script, hints, SEARCH_LIMIT)
    if own is None:
        raise NodeError(
            f"the node chose a coin that is not the wallet's: {funded.tx.inputs[index].outpoint}",
            hint="leave --rpc-wallet away: wormsig then keeps a watch-only wallet of its own",
        )
    return own


def _hints(wallet: Wallet, funded: Psbt, index: int) -> list[tuple[int, int]]:
    branches = wallet.origin_branches
    origins = [*model.input_derivations(funded, index).values()]
    origins += [origin for _, origin in tap_derivations(funded.inputs[index]).values()]
    known = [(branches.get(origin.encode()[:-4]), origin.path) for origin in origins]
    return [(branch, path[-1]) for branch, path in known if branch is not None]


def _with_coin(psbt: Psbt, index: int, raw: bytes, spent: TxOutput, own: WalletScript) -> Psbt:
    """All that a signer wants to know of an input; witness_utxo only where there is a witness (BIP174)."""
    psbt = updater.with_previous_tx(psbt, index, raw)
    if own.witness is not None or own.taproot is not None:
        psbt = updater.with_witness_utxo(psbt, index, spent)
    if own.taproot is not None:
        made = own.taproot
        return updater.with_input_taproot(
            psbt, index, made.output, derivations=made.derivations, participants=made.participants
        )
    return updater.with_input_scripts(
        psbt, index, redeem_script=own.redeem, witness_script=own.witness, origins=own.origins
    )


def _with_output(psbt: Psbt, index: int, own: WalletScript) -> Psbt:
    """How an output of the wallet's own is made."""
    if own.taproot is not None:
        made = own.taproot
        return updater.with_output_taproot(
            psbt, index, made.output, derivations=made.derivations, participants=made.participants
        )
    return updater.with_output_scripts(
        psbt, index, redeem_script=own.redeem, witness_script=own.witness, origins=own.origins
    )


def _check_outputs(order: Order, outputs: Sequence[TxOutput], change: WalletScript) -> int:
    """The payments as ordered, at most one more output, and that to our change script.

    Returns:
        sats that the payments are less than ordered, where the recipients pay the fee.

    Raises:
        UsageError: Somebody is to be paid where change goes.
        NodeError: Anything else.
    """
    left = list(outputs)
    withheld = 0
    for payment in order.payments:
        if payment.script == change.script_pubkey:
            raise UsageError(f"{payment.address} is where change goes", hint="choose another with --change-index")
        paid = [output for output in left if output.script == payment.script]
        if len(paid) != 1:
            raise NodeError(f"the node's transaction pays {payment.address} {len(paid)} times")
        if payment.sats is not None:
            missing = payment.sats - paid[0].sats
            if missing < 0 or (missing > 0 and not order.subtract_fee):
                raise NodeError(f"the node's transaction pays {payment.address} {format_btc(paid[0].sats)}")
            withheld += missing
        left.remove(paid[0])
    if len(left) > 1 or any(output.script != change.script_pubkey for output in left):
        raise NodeError("the node's transaction has an output that nobody ordered")
    return withheld


def _check_fee(order: Order, psbt: Psbt, fee: int) -> None:
    """The fee has to be near the rate that was ordered; dropped change and a guessed size may differ a little.

    Raises:
        NodeError: Far above, or negative.
    """
    vsize = estimated_vsize(psbt)
    if vsize is None:
        raise NodeError("the size of the transaction cannot be told, so neither can its fee rate")
    ordered = int(order.fee_rate * vsize)
    slack = int(order.fee_rate * _CHANGE_AND_ITS_SPENDING) + ordered // 5 + _SLACK_SATS
    if not 0 <= fee <= ordered + slack:
        raise NodeError(f"the node leaves {format_btc(fee)} to the miners, {ordered} sat were expected")
