"""The typed questions that wormsig asks a node: chain, coins, previous transactions, acceptance, broadcast, signing.

A `Node` holds no state but its settings and may be used from several threads. Its watch-only wallet is `watch`.
"""

from __future__ import annotations

import base64
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
from bitcoin_core_rpc import RPCErrorCode

from wormsig.bitcoin.network import address_of
from wormsig.bitcoin.sighash import SIGHASH_ALL
from wormsig.bitcoin.tx import TxOutput, parse_transaction
from wormsig.errors import InputError, NodeError
from wormsig.node import watch, words
from wormsig.node.answers import BlockchainInfo, InBlock, MempoolInfo, Tested, TxOut, WalletTransaction, WithPsbt
from wormsig.node.chain import ChainState, network_of
from wormsig.node.rpc import NodeRefusedError, NodeSettings, Rpc, to_sats
from wormsig.psbt import codec
from wormsig.psbt.model import sighash_type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from wormsig.bitcoin.tx import OutPoint
    from wormsig.node.funds import WatchWallet
    from wormsig.wallet.model import Wallet

_NOT_FOUND = (RPCErrorCode.INVALID_ADDRESS_OR_KEY, RPCErrorCode.INVALID_PARAMETER)
_HIGHEST_FEE_RATE = Decimal("0.99999999")  # BTC/kvB; bitcoind takes no limit of 1 or more
_REJECTED = (
    RPCErrorCode.VERIFY_ERROR,
    RPCErrorCode.VERIFY_REJECTED,
    RPCErrorCode.VERIFY_ALREADY_IN_UTXO_SET,
)


class Acceptance(msgspec.Struct, frozen=True):
    """What `testmempoolaccept` says of a transaction.

    Attributes:
        allowed: The mempool would take it, or has it already, or it is mined.
        known: It is in the mempool or in a block.
        reason: Why not, in plain words with the node's own behind them.
        hint: What can be done.
        vsize: In vB, when the node says so.
    """

    allowed: bool
    known: bool = False
    reason: str | None = None
    hint: str | None = None
    vsize: int | None = None


class TransactionRefusedError(NodeError):
    """The node answered, and will not have the transaction."""


class Node:
    """One bitcoind.

    Args:
        settings: How to reach it.

    Raises:
        UsageError: Settings that cannot work.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.rpc = Rpc(settings)

    # -- chain

    def chain(self) -> ChainState:
        """Ask which chain it is on, and where.

        Raises:
            UsageError: A chain that wormsig does not know (another genesis block, a signet of one's own).
            NodeError: It does not answer.
        """
        info = self.rpc.ask(BlockchainInfo, "getblockchaininfo")
        genesis = self.rpc.ask(str, "getblockhash", 0)
        return ChainState(
            network=network_of(info.chain, genesis, info.signet_challenge),
            height=info.blocks,
            median_time=info.mediantime,
            pruned=info.pruned,
            syncing=info.initialblockdownload,
        )

    def lowest_fee_rate(self) -> Fraction:
        """The lowest fee rate that this node ever relays, in sat/vB (`minrelaytxfee`). Raises NodeError."""
        return Fraction(to_sats(self.rpc.ask(MempoolInfo, "getmempoolinfo").minrelaytxfee), 1000)

    # -- coins and transactions

    def previous_transaction(self, outpoint: OutPoint) -> bytes | None:
        """The transaction that made a coin, or None when this node cannot give it; see `previous_transactions`."""
        return self.previous_transactions([outpoint]).get(outpoint)

    def previous_transactions(self, outpoints: Iterable[OutPoint]) -> dict[OutPoint, bytes]:
        """The transactions that made some coins, from mempool, index, wallets, or the blocks that hold them.

        Each is checked against its outpoint's txid here, so a lying node is found.

        Returns:
            The serialized transaction, witness left out as PSBT_IN_NON_WITNESS_UTXO has it, for those found.

        Raises:
            NodeError: No answer, or another transaction than was asked for.
        """
        wanted = list(dict.fromkeys(outpoints))
        missing = list({outpoint.txid: outpoint for outpoint in wanted}.values())  # one coin of each transaction
        found: dict[bytes, bytes] = {}
        for source in (self._from_mempool_or_index, self._from_wallets, self._from_blocks):
            if missing:
                found.update(source(missing))
                missing = [outpoint for outpoint in missing if outpoint.txid not in found]
        return {outpoint: found[outpoint.txid] for outpoint in wanted if outpoint.txid in found}

    def _from_mempool_or_index(self, outpoints: Sequence[OutPoint]) -> dict[bytes, bytes]:
        calls = [("getrawtransaction", [_display(outpoint)]) for outpoint in outpoints]
        return _checked(outpoints, self.rpc.ask_each(str, calls))

    def _from_wallets(self, outpoints: Sequence[OutPoint]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for name in watch.loaded_wallets(self.rpc):
            missing = [outpoint for outpoint in outpoints if outpoint.txid not in found]
            calls = [("gettransaction", [_display(outpoint)]) for outpoint in missing]
            answers = self.rpc.for_wallet(name).ask_each(WalletTransaction, calls)
            found.update(_checked(missing, [answer.hex if answer is not None else None for answer in answers]))
        return found

    def _from_blocks(self, outpoints: Sequence[OutPoint]) -> dict[bytes, bytes]:
        """An unspent coin's height is known, so its block can be read without an index."""
        coins = self.rpc.ask_each(TxOut, [("gettxout", [_display(o), o.index, False]) for o in outpoints])
        tip = self.rpc.ask(int, "getblockcount")
        places = [
            (outpoint, tip - coin.confirmations + 1)
            for outpoint, coin in zip(outpoints, coins, strict=True)
            if coin is not None
        ]
        hashes = self.rpc.ask_each(str, [("getblockhash", [height]) for _, height in places])
        asked = [(outpoint, block) for (outpoint, _), block in zip(places, hashes, strict=True) if block is not None]
        calls = [("getrawtransaction", [_display(outpoint), False, block]) for outpoint, block in asked]
        return _checked([outpoint for outpoint, _ in asked], self.rpc.ask_each(str, calls))

    def unspents(self, outpoints: Iterable[OutPoint]) -> dict[OutPoint, TxOutput]:
        """Amounts and scripts of coins that are unspent in the chain or made in the mempool (`gettxout`).

        A confirmed coin that only the mempool spends counts: its amount and script are what is asked for.

        Raises:
            NodeError: No answer.
        """
        wanted = list(dict.fromkeys(outpoints))
        found: dict[OutPoint, TxOutput] = {}
        for mempool in (True, False):
            missing = [outpoint for outpoint in wanted if outpoint not in found]
            answers = self.rpc.ask_each(TxOut, [("gettxout", [_display(o), o.index, mempool]) for o in missing])
            for outpoint, coin in zip(missing, answers, strict=True):
                if coin is not None:
                    found[outpoint] = TxOutput(to_sats(coin.value), bytes.fromhex(coin.script_pub_key.hex))
        return found

    # -- broadcast

    def test_accept(self, transaction: bytes, *, max_fee_rate: Fraction | None = None) -> Acceptance:
        """Ask whether the mempool would take a transaction.

        Args:
            transaction: Serialized, with its witnesses.
            max_fee_rate: sat/vB; bitcoind's own limit (10 000) when left out.

        Raises:
            NodeError: No answer.
        """
        limits = [] if max_fee_rate is None else [_btc_per_kvb(max_fee_rate)]
        try:
            (answer,) = self.rpc.ask(tuple[Tested], "testmempoolaccept", [transaction.hex()], *limits)
        except NodeRefusedError as error:
            raise NodeError(f"the node cannot read the transaction: {error.text}") from error
        vsize = answer.vsize
        if answer.allowed:
            return Acceptance(allowed=True, vsize=vsize)
        reason = answer.reject_reason or answer.package_error or ""
        txid = parse_transaction(transaction).txid
        if words.is_already_known(reason) or (words.may_be_mined(reason) and self.confirmations(txid) is not None):
            return Acceptance(allowed=True, known=True, vsize=vsize)
        refusal = words.explain(answer.reject_details or reason)
        return Acceptance(allowed=False, reason=refusal.message, hint=refusal.hint, vsize=vsize)

    def send(self, transaction: bytes, *, max_fee_rate: Fraction | None = None) -> str:
        """Broadcast a transaction; one that is in the mempool or mined already is a success.

        Args:
            transaction: Serialized, with its witnesses; verified by the caller (THREATS M5).
            max_fee_rate: sat/vB; bitcoind's own limit (10 000) when left out.

        Returns:
            The txid, display hex, computed here.

        Raises:
            TransactionRefusedError: The node refused it, in plain words.
            NodeError: The node gave no answer: it may have it all the same.
        """
        txid = parse_transaction(transaction).txid
        limits = [] if max_fee_rate is None else [_btc_per_kvb(max_fee_rate)]
        try:
            self.rpc.call("sendrawtransaction", transaction.hex(), *limits)
        except NodeRefusedError as error:
            if words.is_already_known(error.text):
                return txid
            if words.may_be_mined(error.text) and self.confirmations(txid) is not None:
                return txid
            if error.code not in _REJECTED:
                raise
            refusal = words.explain(error.text)
            what = f"the node refused the transaction: {refusal.message}"
            raise TransactionRefusedError(what, hint=refusal.hint) from error
        return txid

    def in_mempool(self, txid: str) -> bool:
        """Whether the node's mempool holds a transaction. Raises NodeError without an answer."""
        try:
            self.rpc.ask(dict, "getmempoolentry", txid)
        except NodeRefusedError as error:
            if error.code in _NOT_FOUND:
                return False
            raise
        return True

    def confirmations(self, txid: str) -> int | None:
        """How deep a transaction is: 0 in the mempool, None when this node does not know it.

        Asks mempool, index, wallets and the coins that the transaction made; a transaction of strangers whose
        outputs are all spent is unknown to a node without -txindex.

        Raises:
            NodeError: No answer.
        """
        if self.in_mempool(txid):
            return 0
        wallets = [self.rpc.for_wallet(name) for name in watch.loaded_wallets(self.rpc)]
        answers: list[InBlock | WalletTransaction | TxOut | None] = [
            *self.rpc.ask_each(InBlock, [("getrawtransaction", [txid, True])]),
            *(each for wallet in wallets for each in wallet.ask_each(WalletTransaction, [("gettransaction", [txid])])),
            *self.rpc.ask_each(TxOut, [("gettxout", [txid, index, False]) for index in range(8)]),
        ]
        return next((each.confirmations for each in answers if each is not None and each.confirmations > 0), None)

    # -- wallets

    def ensure_watch_wallet(
        self, wallet: Wallet, *, rescan: bool = False, progress: watch.Progress | None = None
    ) -> WatchWallet:
        """The node's watch-only wallet for an agreed wallet, made and scanned when it is not there; see `watch`."""
        return watch.ensure(self.rpc, wallet, name=self.settings.wallet, rescan=rescan, progress=progress)

    def highest_used(self, wallet: Wallet) -> dict[int, int]:
        """The highest index seen used on each branch, when the node watches the wallet already; changes nothing.

        Raises:
            NodeError: No answer.
        """
        watching = watch.find(self.rpc, wallet, name=self.settings.wallet)
        return watching.highest_used() if watching is not None else {}

    def paid_scripts(self, wallet: Wallet, scripts: Collection[bytes]) -> frozenset[bytes]:
        """Which of a wallet's scripts blocks have paid before, as far as the node watches it already (THREATS C19).

        Args:
            wallet: The agreed wallet.
            scripts: Scripts of it.

        Raises:
            NodeError: No answer.
        """
        addresses = {script: address_of(script, wallet.network) for script in scripts}
        watching = watch.find(self.rpc, wallet, name=self.settings.wallet) if addresses else None
        if watching is None:
            return frozenset()
        calls = [("getreceivedbyaddress", [address, 1]) for address in addresses.values()]
        answers = zip(addresses, watching.rpc.ask_each(Decimal, calls), strict=True)
        return frozenset(script for script, btc in answers if btc is not None and to_sats(btc) > 0)

    def dead(self, wallet: Wallet, transactions: Mapping[str, Collection[OutPoint]]) -> frozenset[str]:
        """Which transactions can never be mined any more, because another one that is mined spent a coin of theirs.

        Told only of native segwit wallets that the node watches already: a scriptSig changes the txid, and of what
        else happened this node may not know.

        Args:
            wallet: The agreed wallet.
            transactions: Txid (display hex) -> the coins it spends, at least one of them the wallet's.

        Raises:
            NodeError: No answer.
        """
        if not transactions or wallet.script_type not in {"wsh", "tr"}:
            return frozenset()
        spent = self.spent(wallet, frozenset(coin for coins in transactions.values() for coin in coins))
        doubtful = [txid for txid, coins in transactions.items() if not spent.isdisjoint(coins)]
        return frozenset(txid for txid in doubtful if self.confirmations(txid) is None)

    def spent(self, wallet: Wallet, coins: Collection[OutPoint]) -> frozenset[OutPoint]:
        """Which of some coins a transaction in a block has spent.

        Told only where the node watches the wallet already, and of coins whose own transaction that wallet knows.

        Args:
            wallet: The agreed wallet.
            coins: Coins that really exist, or did: of others nobody could tell that they are spent.

        Raises:
            NodeError: No answer.
        """
        watching = watch.find(self.rpc, wallet, name=self.settings.wallet)
        if watching is None:
            return frozenset()
        there = self.unspents(coins)
        gone = [coin for coin in coins if coin not in there]
        # A coin that no block has made yet may be gone for a while: made first, and then gone, it is spent.
        depths = watching.depths(map(_display, gone))
        made = [coin for coin in gone if depths.get(_display(coin), 0) > 0]
        there = self.unspents(made)
        return frozenset(coin for coin in made if coin not in there)

    def process_psbt(self, wallet: str, psbt: bytes) -> bytes:
        """Let a wallet of the node sign a PSBT (`walletprocesspsbt`, not finalized).

        Args:
            wallet: The node wallet's name; loaded when it is not.
            psbt: Binary, version 0. Where no input asks for a sighash type, the node takes ALL, for taproot DEFAULT.

        Returns:
            The PSBT as the node returned it, binary: material to verify, like any signer's answer.

        Raises:
            NodeError: No answer, no such wallet, or it is locked.
        """
        rpc = watch.open_wallet(self.rpc, wallet)
        text = base64.b64encode(psbt).decode("ascii")
        parsed = codec.parse(psbt)
        asked = {sighash_type(parsed, index) for index in range(len(parsed.inputs))} - {None}
        named: dict[str, Any] = {"sighashtype": "ALL"} if asked == {SIGHASH_ALL} else {}
        answer = rpc.ask(WithPsbt, "walletprocesspsbt", psbt=text, sign=True, **named, bip32derivs=True, finalize=False)
        try:
            return base64.b64decode(answer.psbt, validate=True)
        except ValueError as error:
            raise NodeError("the node's answer to walletprocesspsbt holds no PSBT") from error


def _display(outpoint: OutPoint) -> str:
    """The txid as people and nodes write it."""
    return outpoint.txid[::-1].hex()


def _checked(outpoints: Sequence[OutPoint], answers: Sequence[str | None]) -> dict[bytes, bytes]:
    """The answers that are transactions, by txid, each compared with the txid that was asked for.

    Raises:
        NodeError: Another transaction, or none at all.
    """
    found = {}
    for outpoint, answer in zip(outpoints, answers, strict=True):
        if answer is None:
            continue
        try:
            transaction = parse_transaction(bytes.fromhex(answer))
        except (InputError, ValueError) as error:
            raise NodeError(f"the node gave something else for transaction {_display(outpoint)}: {error}") from error
        if transaction.txid_bytes != outpoint.txid:
            raise NodeError(f"the node gave transaction {transaction.txid} for {_display(outpoint)}")
        found[outpoint.txid] = transaction.serialize(witness=False)
    return found


def _btc_per_kvb(rate: Fraction) -> Decimal:
    """sat/vB as bitcoind's fee rate limits take it, rounded down to a sat."""
    sats_per_kvb = rate.numerator * 1000 // rate.denominator
    btc = Decimal(sats_per_kvb).scaleb(-8).quantize(Decimal("0.00000001"), rounding=ROUND_FLOOR)
    return min(btc, _HIGHEST_FEE_RATE)
