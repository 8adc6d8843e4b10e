"""From `--rpc-…` options to a node that is on the right chain (THREATS C11, M5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.network import Network
from wormsig.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.app.settings import RpcOptions
    from wormsig.node.chain import ChainState
    from wormsig.node.client import Node


def open_node(options: RpcOptions, network: Network | None = None) -> Node | None:
    """The node that the options name; None when they name none. Nothing is asked yet.

    A URL alone takes bitcoind's own cookie file for the network, and a login alone bitcoind's own port; on regtest,
    or without a network, neither is guessed.

    Args:
        options: What was typed, or set in the environment.
        network: The chain, when it is known already.

    Raises:
        UsageError: The options contradict each other or cannot work.
    """
    login = options.cookie is not None or options.user is not None or options.password_file is not None
    guess = network is not None and network is not Network.REGTEST
    if not options.url and not (login and guess):
        return None
    # A command without a node does not pay for these imports.
    from wormsig.node.client import Node  # noqa: PLC0415
    from wormsig.node.rpc import NodeSettings  # noqa: PLC0415

    return Node(
        NodeSettings(
            url=options.url or _default_url(network),
            cookie=_default_cookie(network) if guess and not login else options.cookie,
            user=options.user,
            password_file=options.password_file,
            wallet=options.wallet,
        )
    )


def need_node(options: RpcOptions, network: Network | None, *, purpose: str) -> Node:
    """The node that the options name, checked to be on the network.

    Args:
        options: What was typed, or set in the environment.
        network: The chain that it has to be on; any known one when left out.
        purpose: What it is needed for: `to create a PSBT`.

    Raises:
        UsageError: They name none, or it is on another chain.
        NodeError: It does not answer.
    """
    node = open_node(options, network)
    if node is None:
        raise UsageError(
            f"a node is needed {purpose}", hint="give --rpc-url and --rpc-cookie, or set WORMSIG_RPC_URL and …_COOKIE"
        )
    agree(node, network)
    return node


def agree(node: Node, network: Network | None) -> ChainState:
    """Refuse a node on another chain.

    Returns:
        Where the node's chain stands.

    Raises:
        UsageError: Both chains are named.
        NodeError: It does not answer.
    """
    state = node.chain()
    if network is not None and state.network is not network:
        raise UsageError(
            f"the node at {node.rpc.place} is on {state.network.value}, the wallet or --network on {network.value}",
            hint="start bitcoind on that chain, or name the other node with --rpc-url",
        )
    return state


def _default_url(network: Network | None) -> str:
    from bitcoin_core_rpc import rpc_port_from_chain  # noqa: PLC0415  as in `open_node`

    assert network is not None  # noqa: S101  `open_node` guesses on known networks only
    return f"http://127.0.0.1:{rpc_port_from_chain(network.core_name)}"


def _default_cookie(network: Network | None) -> Path | None:
    from bitcoin_core_rpc import BtcRpcValueError, cookie_path_from_chain  # noqa: PLC0415  as in `open_node`

    assert network is not None  # noqa: S101  same
    try:
        return cookie_path_from_chain(network.core_name)
    except BtcRpcValueError:  # there is no home folder to look in
        return None
