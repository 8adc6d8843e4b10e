"""Which chain a node is on, and where it stands; what a node is asked is in `client`."""

from __future__ import annotations

import msgspec
from bitcoin_core_rpc import magic_from_chain, magic_from_signet_challenge

from wormsig.bitcoin.network import Network
from wormsig.errors import UsageError


class ChainState(msgspec.Struct, frozen=True):
    """Where a node's chain stands.

    Attributes:
        network: Which chain, by its genesis block (signet: its challenge too).
        height: Of the tip.
        median_time: Unix time, BIP113.
        pruned: Old blocks are gone.
        syncing: The node says that it is still catching up.
    """

    network: Network
    height: int
    median_time: int
    pruned: bool
    syncing: bool


def network_of(chain: str, genesis: str, challenge: str | None) -> Network:
    """The network of a node, by name, genesis block and signet challenge together (THREATS C11, M5).

    Raises:
        UsageError: It is on none that wormsig knows.
    """
    for network in Network:
        if network.core_name == chain and network.genesis_hash == genesis:
            break
    else:
        raise UsageError(
            f"the node is on a chain that wormsig does not know: {chain}, genesis block {genesis}",
            hint="mainnet, testnet3, testnet4, signet and regtest are known",
        )
    if network is Network.SIGNET:
        try:
            own = magic_from_signet_challenge(challenge or "") == magic_from_chain("signet")
        except ValueError:
            own = False
        if not own:
            raise UsageError("the node is on a signet of its own, not on the public one")
    return network
