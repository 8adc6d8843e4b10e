"""What a watch-only wallet of the node knows: coins, balance, used indexes; and bitcoind's choice of coins.

The node's word is taken for which coins there are, never for scripts, amounts or addresses: whoever uses a coin takes
its amount out of the previous transaction and derives its script. `watch` makes these wallets.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from bitcoin_core_rpc import RPCErrorCode

from wormsig.errors import NodeError
from wormsig.node.answers import Balances, Descriptors, Unspent, WalletTransaction, WithPsbt
from wormsig.node.rpc import NodeRefusedError, Rpc, to_btc, to_sats
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from fractions import Fraction

    from wormsig.bitcoin.tx import OutPoint
    from wormsig.psbt.model import Psbt
    from wormsig.wallet.model import Wallet

_INSUFFICIENT = ("insufficient funds", "exceeds your balance", "does not cover the transaction target")


class Coin(msgspec.Struct, frozen=True):
    """An unspent output as the watch-only wallet lists it.

    Attributes:
        outpoint: Which.
        sats: The amount, by the node's word.
        confirmations: 0 while it is in the mempool.
        safe: Confirmed, or our own change.
    """

    outpoint: OutPoint
    sats: int
    confirmations: int
    safe: bool


class Balance(msgspec.Struct, frozen=True):
    """What the node counts for the wallet, in sats.

    Attributes:
        spendable: Confirmed, or our own change.
        pending: From others, in the mempool.
        immature: Mined here, not spendable yet.
    """

    spendable: int
    pending: int
    immature: int


class Listed(msgspec.Struct, frozen=True):
    """One branch as `listdescriptors` shows it."""

    active: bool
    end: int
    next_index: int


class InsufficientFundsError(NodeError):
    """The wallet's coins do not cover payment and fee.

    Args:
        message: With the amounts.
        balance: What is there.
        hint: What to do next.
    """

    def __init__(self, message: str, *, balance: Balance, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.balance = balance


class WatchWallet(msgspec.Struct, frozen=True):
    """A loaded and scanned watch-only wallet.

    Attributes:
        rpc: The wallet's own endpoint.
        name: As the node calls it.
        wallet: The agreed wallet.
    """

    rpc: Rpc
    name: str
    wallet: Wallet

    def highest_used(self) -> dict[int, int]:
        """The highest index seen used, for each branch that was used at all (THREATS C4)."""
        listed = listed_branches(self.rpc, self.wallet)
        return {branch: item.next_index - 1 for branch, item in listed.items() if item.next_index > 0}

    def depths(self, txids: Iterable[str]) -> dict[str, int]:
        """Confirmations of those of some transactions that touch the wallet; negative where another one replaced it."""
        wanted = list(dict.fromkeys(txids))
        answers = self.rpc.ask_each(WalletTransaction, [("gettransaction", [txid]) for txid in wanted])
        return {txid: answer.confirmations for txid, answer in zip(wanted, answers, strict=True) if answer is not None}

    def balance(self) -> Balance:
        """What the node counts for the wallet."""
        own = self.rpc.ask(Balances, "getbalances").mine
        return Balance(to_sats(own.trusted), to_sats(own.untrusted_pending), to_sats(own.immature))

    def coins(self) -> tuple[Coin, ...]:
        """Every unspent coin, unconfirmed and unsafe ones included."""
        listed = self.rpc.ask(list[Unspent], "listunspent", 0, 9_999_999, [], True)
        return tuple(Coin(item.outpoint, to_sats(item.amount), item.confirmations, item.safe) for item in listed)

    def fund(
        self,
        payments: Mapping[str, int],
        *,
        fee_rate: Fraction,
        change_address: str,
        coins: Sequence[OutPoint] = (),
        avoid: Collection[OutPoint] = (),
        subtract_fee: Sequence[int] = (),
        weight: int | None = None,
        more: bool = False,
    ) -> Psbt:
        """Let bitcoind choose coins and change (`walletcreatefundedpsbt`).

        Args:
            payments: Address to sats.
            fee_rate: sat/vB, at most three decimals.
            change_address: Ours, derived here.
            coins: Exactly these; bitcoind's choice when empty.
            avoid: Coins not to choose.
            subtract_fee: Positions of payments that the fee is taken from, in equal parts.
            weight: Of the input that spends one of `coins`, where bitcoind does not know it: it counts on the key path
                of taproot, and on the most expensive way of miniscript.
            more: Take further coins where `coins` do not suffice.

        Returns:
            What it made. Only which coins and how much change is to be taken from it.

        Raises:
            InsufficientFundsError: With the amounts.
            NodeError: Any other refusal, or no PSBT.
        """
        options = {
            "add_inputs": more or not coins,
            "fee_rate": _three_decimals(fee_rate),
            "changeAddress": change_address,
            "replaceable": True,
            "subtractFeeFromOutputs": list(subtract_fee),
        }
        chosen = [_reference(coin) | ({} if weight is None else {"weight": weight}) for coin in coins]
        outputs = [{address: to_btc(sats)} for address, sats in payments.items()]
        kept = [_reference(coin) for coin in avoid if coin not in coins]
        if kept:
            self._lock(kept, unlock=False)
        try:
            return self.rpc.ask(WithPsbt, "walletcreatefundedpsbt", chosen, outputs, 0, options).parsed()
        except NodeRefusedError as error:
            failure = error
        finally:
            if kept:
                self._lock(kept, unlock=True)
        raise self._unfunded(failure, sum(payments.values()), coins, avoid) from failure

    def _lock(self, references: list[dict[str, Any]], *, unlock: bool) -> None:
        """Lock coins for one call, one by one: a coin that is spent meanwhile cannot be locked, nor need it be."""
        self.rpc.batch([("lockunspent", [unlock, [reference]]) for reference in references])

    def _unfunded(
        self, error: NodeRefusedError, sats: int, coins: Collection[OutPoint], avoid: Collection[OutPoint]
    ) -> NodeError:
        """Why funding failed, in plain words with amounts."""
        text = error.text.lower()
        if error.code == RPCErrorCode.WALLET_INSUFFICIENT_FUNDS or any(words in text for words in _INSUFFICIENT):
            return self._insufficient(sats, coins, avoid)
        if "transaction too large" in text:
            return NodeError(
                "so many coins make the transaction larger than nodes relay",
                hint="spend them in several transactions: name some with --coin",
            )
        if "too small to pay the fee" in text or "dust" in text or "amount too small" in text:
            return NodeError(f"a payment is too small to be sent: {error.text}", hint="raise the amount")
        return error

    def _insufficient(
        self, sats: int, coins: Collection[OutPoint], avoid: Collection[OutPoint]
    ) -> InsufficientFundsError:
        """How much there is, and where the rest may be."""
        listed = self.coins()
        if coins:
            usable = sum(coin.sats for coin in listed if coin.outpoint in coins)
            what = "the chosen coins hold"
        else:
            usable = sum(coin.sats for coin in listed if coin.safe and coin.outpoint not in avoid)
            what = "the wallet has"
        reserved = sum(coin.sats for coin in listed if coin.outpoint in avoid)
        balance = self.balance()
        rest = (
            f"; {_btc(amount)} {why}"
            for amount, why in (
                (reserved, "are reserved for payments that were signed before"),
                (balance.pending, "are not confirmed yet"),
                (balance.immature, "were mined too recently"),
            )
            if amount
        )
        return InsufficientFundsError(
            f"not enough money: {_btc(sats)} and the fee are to be paid, {what} {_btc(usable)}{''.join(rest)}",
            balance=balance,
            hint="name a reserved coin with --coin to spend it all the same"
            if reserved
            else "if coins are missing, `--rescan` lets the node look through every block",
        )


def branch_descriptor(wallet: Wallet, branch: int) -> str:
    """One branch of the wallet as a ranged descriptor with checksum (BIP389 expanded)."""
    return wallet.branch_descriptor(branch)


def _normal(descriptor: str) -> str:
    """A descriptor to compare: without checksum, hardened steps as `h`."""
    return descriptor.partition("#")[0].replace("'", "h")


def listed_branches(rpc: Rpc, wallet: Wallet) -> dict[int, Listed]:
    """The wallet's branches that the node's wallet holds."""
    wanted = {_normal(branch_descriptor(wallet, branch)): branch for branch in BRANCHES}
    found = {}
    for item in rpc.ask(Descriptors, "listdescriptors").descriptors:
        branch = wanted.get(_normal(item.desc))
        if branch is not None and item.range is not None:
            following = item.next if item.next_index is None else item.next_index
            found[branch] = Listed(item.active, item.range[1], following)
    return found


def _reference(coin: OutPoint) -> dict[str, Any]:
    return {"txid": coin.txid[::-1].hex(), "vout": coin.index}


def _three_decimals(rate: Fraction) -> Decimal:
    """A fee rate in sat/vB as bitcoind takes it."""
    return Decimal(rate.numerator * 1000 // rate.denominator).scaleb(-3)


def _btc(sats: int) -> str:
    return f"{to_btc(sats):.8f} BTC"
