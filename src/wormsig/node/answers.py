"""What bitcoind's answers look like, as far as wormsig reads them: `Rpc.ask` refuses any other.

Amounts stay the BTC numbers of the answer until `rpc.to_sats` has looked at them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec

from wormsig.bitcoin.tx import OutPoint
from wormsig.errors import InputError, NodeError
from wormsig.psbt import codec

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

Btc = Decimal | int
"""A number with or without a fraction; never a float, nor a text."""
Count = Annotated[int, msgspec.Meta(ge=0, le=0x7FFF_FFFF)]
"""A height, a size, an index."""
Depth = Annotated[int, msgspec.Meta(ge=-0x8000_0000, le=0x7FFF_FFFF)]
"""Confirmations; negative where another transaction took the place."""
Hex = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{2})*\Z")]
Txid = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class BlockchainInfo(msgspec.Struct):
    """`getblockchaininfo`; `mediantime` in Unix seconds."""

    chain: str
    blocks: Count
    mediantime: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
    pruned: bool = False
    initialblockdownload: bool = False
    signet_challenge: str | None = None


class MempoolInfo(msgspec.Struct):
    """`getmempoolinfo`; `minrelaytxfee` in BTC/kvB."""

    minrelaytxfee: Btc


class ScriptPubKey(msgspec.Struct):
    """A script in an answer."""

    hex: Hex


class TxOut(msgspec.Struct, rename="camel"):
    """`gettxout` of an unspent coin; `value` in BTC."""

    confirmations: Count
    value: Btc
    script_pub_key: ScriptPubKey


class InBlock(msgspec.Struct):
    """`getrawtransaction`, verbose; 0 where it says nothing of confirmations: the transaction is in the mempool."""

    confirmations: Depth = 0


class WalletTransaction(msgspec.Struct):
    """`gettransaction`."""

    hex: Hex
    confirmations: Depth


class Tested(msgspec.Struct, rename="kebab"):
    """One transaction in the answer of `testmempoolaccept`."""

    allowed: bool = False
    vsize: Count | None = None
    reject_reason: str | None = None
    reject_details: str | None = None
    package_error: str | None = None


class WithPsbt(msgspec.Struct):
    """`walletcreatefundedpsbt` and `walletprocesspsbt`; in base64."""

    psbt: str

    def parsed(self) -> Psbt:
        """The PSBT.

        Raises:
            NodeError: It is none.
        """
        try:
            return codec.parse(codec.from_any(self.psbt))
        except InputError as error:
            raise NodeError(f"the node's answer holds no PSBT that can be read: {error.message}") from error


class Scan(msgspec.Struct):
    """A wallet's look through the blocks; `progress` from 0 to 1."""

    progress: Btc = 0

    @property
    def percent(self) -> int:
        """Of the blocks; 0 while the node says nothing sensible."""
        return int(self.progress * 100) if 0 <= self.progress <= 1 else 0


class WalletInfo(msgspec.Struct):
    """`getwalletinfo`."""

    private_keys_enabled: bool
    scanning: bool | Scan = False


class Descriptor(msgspec.Struct):
    """One of `listdescriptors`; without a range where it describes one script."""

    desc: str
    active: bool
    range: tuple[Count, Count] | None = None
    next: Count = 0
    next_index: Count | None = None


class Descriptors(msgspec.Struct):
    """`listdescriptors`."""

    descriptors: list[Descriptor]


class RequestError(msgspec.Struct):
    """Why one request of several failed."""

    message: str = ""


class Imported(msgspec.Struct):
    """One request in the answer of `importdescriptors`."""

    success: bool = False
    error: RequestError = msgspec.field(default_factory=RequestError)


class Mine(msgspec.Struct):
    """A wallet's own balances in BTC."""

    trusted: Btc
    untrusted_pending: Btc
    immature: Btc = 0


class Balances(msgspec.Struct):
    """`getbalances`."""

    mine: Mine


class Unspent(msgspec.Struct):
    """One coin of `listunspent`; `amount` in BTC."""

    txid: Txid
    vout: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
    amount: Btc
    confirmations: Count
    safe: bool = True

    @property
    def outpoint(self) -> OutPoint:
        """Which coin it is."""
        return OutPoint(bytes.fromhex(self.txid)[::-1], self.vout)
