"""A wallet's canonical descriptor, without its checksum: `h`, lower case, one spelling of every fragment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.taproot import NUMS_KEY
from wormsig.wallet.miniscript import write_node
from wormsig.wallet.policy import KeyUse, MiniscriptPolicy, MultisigPolicy, Node, TaprootPolicy

if TYPE_CHECKING:
    from wormsig.wallet.model import Wallet, WalletKey
    from wormsig.wallet.policy import Tree

NUMS_TEXT = NUMS_KEY.hex()
"""BIP341's H as it stands in a descriptor."""


def write_body(wallet: Wallet, branch: int | None = None) -> str:
    """The descriptor.

    Args:
        wallet: The wallet.
        branch: One branch alone; None for both, with BIP389's `<0;1>`.
    """
    policy = wallet.policy
    if isinstance(policy, TaprootPolicy):
        return _taproot(policy, wallet.keys, branch)
    if isinstance(policy, MiniscriptPolicy):
        body = write_node(policy.script, lambda use: _use(policy.uses[use], wallet.keys, branch))
    else:
        body = _multisig(policy, wallet.keys, branch)
    for wrapper in reversed(wallet.script_type.split("-")):
        body = f"{wrapper}({body})"
    return body


def _multisig(policy: MultisigPolicy, keys: tuple[WalletKey, ...], branch: int | None) -> str:
    inner = ",".join(_use(KeyUse((position,)), keys, branch) for position in range(len(keys)))
    return f"{'sortedmulti' if policy.sorted else 'multi'}({policy.threshold},{inner})"


def _taproot(policy: TaprootPolicy, keys: tuple[WalletKey, ...], branch: int | None) -> str:
    internal = policy.internal
    if isinstance(internal, int):
        key = _use(policy.uses[internal], keys, branch)
    elif internal.key is None:
        key = NUMS_TEXT
    else:
        key = internal.key.text() + _steps(internal.branches, branch)
    if policy.tree is None:
        return f"tr({key})"
    return f"tr({key},{_tree(policy.tree, policy.uses, keys, branch)})"


def _tree(tree: Tree, uses: tuple[KeyUse, ...], keys: tuple[WalletKey, ...], branch: int | None) -> str:
    if isinstance(tree, Node):
        return write_node(tree, lambda use: _use(uses[use], keys, branch))
    return "{" + ",".join(_tree(side, uses, keys, branch) for side in tree) + "}"


def _use(use: KeyUse, keys: tuple[WalletKey, ...], branch: int | None) -> str:
    texts = [keys[position].text() for position in use.keys]
    expression = f"musig({','.join(texts)})" if use.is_aggregate else texts[0]
    return expression + _steps(use.branches, branch)


def _steps(branches: tuple[int, int], branch: int | None) -> str:
    return f"/<{branches[0]};{branches[1]}>/*" if branch is None else f"/{branches[branch]}/*"
