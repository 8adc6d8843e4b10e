"""The use case of `wormsig inspect`: a review for somebody who only wants to look."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from wormsig.app.context import Sources, prepare
from wormsig.app.loading import load_psbt, load_wallet
from wormsig.app.nodes import open_node
from wormsig.bitcoin.keys import HARDENED
from wormsig.bitcoin.network import Network
from wormsig.psbt.model import BIP32_DERIVATION
from wormsig.review.review import review

if TYPE_CHECKING:
    from wormsig.app.home import Home
    from wormsig.app.settings import ReviewOptions, RpcOptions, WalletOptions
    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Report

_MAINNET_PATHS = {
    struct.pack("<II", purpose | HARDENED, Network.MAINNET.coin_type | HARDENED) for purpose in (44, 48, 49, 84, 86, 87)
}


class Inspection(msgspec.Struct, frozen=True):
    """What there is to show.

    Attributes:
        report: The review.
        hint: What would make it say more.
    """

    report: Report
    hint: str | None


def inspect_psbt(
    argument: str, wallet_options: WalletOptions, rpc: RpcOptions, options: ReviewOptions, home: Home
) -> Inspection:
    """Review a PSBT that a person names.

    Args:
        argument: A path, `-`, or base64.
        wallet_options: The wallet to compare with; none shows everything and calls nothing ours.
        rpc: Our node, if there is one.
        options: What the person allows.
        home: Where wallets are kept.

    Raises:
        InputError: The PSBT cannot be read.
        NotSupportedError: It is of a version that cannot be read yet.
        UsageError: An option cannot be used.
        NodeError: The node cannot be asked.
    """
    wallet = load_wallet(wallet_options, home)
    psbt = load_psbt(argument)
    network = wallet.network if wallet is not None else wallet_options.network or claimed_network(psbt)
    prepared = prepare(psbt, wallet, options, Sources.of(home, open_node(rpc, network), network=network))
    report = review(prepared.psbt, wallet, prepared.context)
    hint = None
    if report.network is None:
        hint = "addresses depend on the network: use --network or --wallet to see them"
    elif wallet is None:
        hint = "whose coins these are, and what is change, only a wallet can tell: use --wallet"
    return Inspection(report, hint)


def claimed_network(psbt: Psbt) -> Network | None:
    """The network to write addresses for when nobody said one: mainnet when a derivation path says so, else None.

    Test networks share a coin type, so they cannot be told apart. Nothing is decided by it but how scripts are shown.
    """
    for fields in psbt.inputs:
        for key, value in fields.items():
            if key[0] == BIP32_DERIVATION:
                return Network.MAINNET if value[4:12] in _MAINNET_PATHS else None
    return None
