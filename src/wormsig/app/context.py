"""What a review may know beside the PSBT: collected from the options, our own node, the registry and the clock.

Also the one thing that is done to a PSBT before it is reviewed: previous transactions that it lacks are fetched
from our own node (THREATS C1).
"""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from wormsig.app.history import History, Known
from wormsig.bitcoin.script import ScriptType, classify
from wormsig.bitcoin.sighash import sighash_type_named
from wormsig.errors import UsageError
from wormsig.psbt import model, updater
from wormsig.psbt.extractor import final_txid
from wormsig.psbt.limits import MAX_PEER_PSBT
from wormsig.review.claims import OUTPUT, KeyIndex
from wormsig.review.context import NOTHING_SETTLED, FeeLimit, ReviewContext, Settled, SignedBefore
from wormsig.wallet.derive import Deriver
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.app.home import Home
    from wormsig.app.settings import ReviewOptions
    from wormsig.bitcoin.network import Network
    from wormsig.bitcoin.tx import OutPoint, TxOutput
    from wormsig.node.client import Node
    from wormsig.psbt.model import Psbt
    from wormsig.wallet.model import Wallet

_ASKED = 100
"""Own outputs at used places that our node is asked about; honest PSBTs have one, if any."""


class Sources(msgspec.Struct, frozen=True):
    """What a review may ask, beside the PSBT itself and its wallet.

    Attributes:
        registry: Further wallets of ours.
        history: What was signed here before; it is read when it is asked first.
        node: Our node, when there is one.
        network: What is known of it without wallet and node.
        unattended: Nobody is there to answer.
    """

    registry: Registry
    history: History
    node: Node | None = None
    network: Network | None = None
    unattended: bool = False

    @classmethod
    def of(
        cls, home: Home, node: Node | None = None, *, network: Network | None = None, unattended: bool = False
    ) -> Sources:
        """What this machine has, as it is now. Raises StorageError when a folder of ours cannot be made."""
        return cls(Registry(home.wallets()), History.of(home), node, network, unattended)


class Prepared(msgspec.Struct, frozen=True):
    """A PSBT ready for its review.

    Attributes:
        psbt: With the previous transactions that our node could add.
        context: What the review may know.
    """

    psbt: Psbt
    context: ReviewContext


def _decimal(text: str, option: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{option}: {text!r} is not a number") from None
    if not value.is_finite() or value < 0:
        raise UsageError(f"{option}: {text!r} is not a number that makes sense here")
    return value


def fee_limit(text: str | None) -> FeeLimit | None:
    """Read `--max-fee`: an amount in satoshi, or a percentage of our inputs.

    Raises:
        UsageError: Neither.
    """
    if text is None:
        return None
    if text.endswith("%"):
        return FeeLimit(percent=Fraction(_decimal(text[:-1], "--max-fee")))
    value = _decimal(text, "--max-fee")
    if value != value.to_integral_value():
        raise UsageError(f"--max-fee: {text!r} is not a whole number of satoshi", hint="a percentage ends with %")
    return FeeLimit(sats=int(value))


def sighash_types(names: tuple[str, ...]) -> frozenset[int]:
    """Read `--allow-sighash`; ALL is always among them.

    Raises:
        UsageError: Not the name of a sighash type.
    """
    types = {0x01}
    for name in names:
        found = sighash_type_named(name)
        if found is None:
            raise UsageError(f"--allow-sighash: {name!r} is not a sighash type", hint="for example SINGLE|ANYONECANPAY")
        types.add(found)
    return frozenset(types)


MAX_FILLED_IN = MAX_PEER_PSBT // 2
"""Bytes of previous transactions that our node adds to one PSBT (THREATS C16).

Thousands of inputs can name one large transaction that none of them carries; `gettxout` confirms what is left.
"""
_ASKED_TOGETHER = 200
"""Coins whose transactions are fetched at once."""


def with_previous_transactions(
    psbt: Psbt, node: Node | None, wallet: Wallet | None = None
) -> tuple[Psbt, Mapping[OutPoint, TxOutput]]:
    """Fill in what the PSBT lacks from our own node.

    Args:
        psbt: As it came.
        node: Our node, when there is one.
        wallet: Who signs: taproot's signatures cover what taproot inputs spend, those of other wallets do not.

    Returns:
        The PSBT with previous transactions of inputs that need one and that the node has, as far as `MAX_FILLED_IN`
        goes, and the coins that it could confirm with `gettxout`.
    """
    if node is None:
        return psbt, {}
    covered = wallet is None or wallet.script_type == "tr"
    lacking = {}
    for index in range(len(psbt.inputs)):
        known = model.witness_utxo(psbt, index)
        taproot = known is not None and classify(known.script) is ScriptType.TR
        if not (taproot and covered) and model.previous_tx(psbt, index) is None:
            lacking[index] = psbt.outpoint(index)
    filled: dict[int, bytes] = {}
    room, waiting = MAX_FILLED_IN, list(lacking.items())
    for first in range(0, len(waiting), _ASKED_TOGETHER):
        asked = waiting[first : first + _ASKED_TOGETHER]
        found = node.previous_transactions(outpoint for _, outpoint in asked)
        for index, outpoint in asked:
            raw = found.get(outpoint, b"")
            room -= len(raw)
            if raw and room >= 0:
                filled[index] = raw
        if room <= 0:  # from the first that was too much no more are fetched
            break
    psbt = updater.with_previous_txs(psbt, filled) if filled else psbt
    return psbt, node.unspents(outpoint for index, outpoint in lacking.items() if index not in filled)


def prepare(psbt: Psbt, wallet: Wallet | None, options: ReviewOptions, sources: Sources) -> Prepared:
    """Collect what the review may know. Blocks while the node answers.

    Args:
        psbt: As it came.
        wallet: The agreed wallet, when there is one.
        options: What a person allows.
        sources: What is asked.

    Raises:
        UsageError: An option cannot be read, or names an output that is not there.
        NodeError: The node cannot be asked.
    """
    node = sources.node
    max_fee_rate = None
    if options.max_fee_rate is not None:
        max_fee_rate = Fraction(_decimal(options.max_fee_rate, "--max-fee-rate"))
    psbt, confirmed = with_previous_transactions(psbt, node, wallet)
    chain = node.chain() if node is not None else None
    others = tuple(w for w in sources.registry.all() if wallet is None or w.id != wallet.id)
    network = chain.network if chain else sources.network
    past, settled = Known(), NOTHING_SETTLED
    if psbt.transaction is not None:  # else its inputs exclude each other (BIP370), and nobody can have seen it
        past = sources.history.known(psbt, wallet, wallet.network if wallet is not None else network)
        settled = settled_by_now(psbt, wallet, node)
    seen = node.highest_used(wallet) if node is not None and wallet is not None else {}
    used = past.used_scripts
    if node is not None and wallet is not None and not settled.mined:  # a mined one has paid its own change
        used |= node.paid_scripts(wallet, _reused(psbt, wallet, seen))
    context = ReviewContext(
        now=int(time.time()),
        height=chain.height if chain else None,
        median_time=chain.median_time if chain else None,
        network=network,
        max_fee=fee_limit(options.max_fee),
        max_fee_rate=max_fee_rate,
        trust_amounts=options.trust_amounts,
        allowed_sighash=sighash_types(options.allow_sighash),
        pay_anyway=_to_pay(options.pay_anyway, len(psbt.outputs)),
        other_wallets=others,
        confirmed=confirmed,
        previously_paid=past.previously_paid,
        used_scripts=used,
        highest_seen=highest_of(seen, past.highest_seen),
        signed_before=_alive(past.signed_before, wallet, node),
        unreadable=past.unreadable,
        signed_coins=past.signed_coins,
        settled=settled,
        unattended=sources.unattended,
    )
    return Prepared(psbt, context)


def settled_by_now(psbt: Psbt, wallet: Wallet | None, node: Node | None) -> Settled:
    """What blocks have settled of a PSBT's transaction, as far as our node knows.

    Args:
        psbt: What is to be reviewed; its transaction is known.
        wallet: The agreed wallet, when there is one; without it nothing is asked.
        node: Our node, when there is one.

    Raises:
        NodeError: The node cannot be asked.
    """
    if node is None or wallet is None:
        return NOTHING_SETTLED
    coins = [psbt.outpoint(index) for index in range(len(psbt.inputs)) if model.utxo_problem(psbt, index) is None]
    there = node.unspents(coins)
    gone = frozenset(coin for coin in coins if coin not in there)
    if not gone:
        return NOTHING_SETTLED
    txid = final_txid(psbt)
    if txid is not None and node.confirmations(txid):
        return Settled(mined=True, spent=gone)
    spent = node.spent(wallet, gone)
    return Settled(mined=None if txid is None and spent else False, spent=spent)


def _to_pay(indices: tuple[int, ...], outputs: int) -> frozenset[int]:
    """The outputs of `--pay-anyway`; a number too far is a slip, and the one that was meant is not allowed."""
    for index in indices:
        if not 0 <= index < outputs:
            numbered = f"its outputs are numbered from 0 to {outputs - 1}" if outputs else "it has no outputs"
            raise UsageError(f"--pay-anyway: the transaction has no output {index}", hint=numbered)
    return frozenset(indices)


def _alive(before: tuple[SignedBefore, ...], wallet: Wallet | None, node: Node | None) -> tuple[SignedBefore, ...]:
    """Without the transactions that our node knows to be dead: another one that is mined spent a coin of theirs."""
    if node is None or wallet is None or not before:
        return before
    dead = node.dead(wallet, {each.txid: each.inputs for each in before if each.own})
    return tuple(each for each in before if each.txid not in dead)


def highest_of(*seen: Mapping[int, int]) -> dict[int, int]:
    """The highest index of each branch that anybody knows of."""
    highest: dict[int, int] = {}
    for each in seen:
        for branch, index in each.items():
            highest[branch] = max(index, highest.get(branch, index))
    return highest


def _reused(psbt: Psbt, wallet: Wallet, seen: Mapping[int, int]) -> list[bytes]:
    """The wallet's own scripts that the PSBT pays at places that were used already, by the places that it names."""
    if not seen or psbt.transaction is None:
        return []
    deriver = Deriver(wallet)
    keys = KeyIndex(deriver)
    found: list[bytes] = []
    for fields, output in zip(psbt.outputs, psbt.tx.outputs, strict=True):
        for branch, index in keys.places(fields, OUTPUT):
            used = index <= seen.get(branch, -1) and len(found) < _ASKED
            if used and deriver.script(branch, index).script_pubkey == output.script:
                found.append(output.script)
                break
    return found
