"""A wallet's policy as text: the canonical descriptor without its checksum, and BIP388's template of it.

Canonical is `h` for hardened steps, lower case, one spelling of every fragment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from wormsig.bitcoin.taproot import NUMS_KEY
from wormsig.wallet.miniscript import write_node
from wormsig.wallet.policy import MAIN_BRANCHES, KeyUse, MiniscriptPolicy, MultisigPolicy, Node, TaprootPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.wallet.model import Wallet, WalletKey
    from wormsig.wallet.policy import Tree

NUMS_TEXT = NUMS_KEY.hex()
"""BIP341's H as it stands in a descriptor."""

_Writer: TypeAlias = "Callable[[KeyUse], str]"


def write_body(wallet: Wallet, branch: int | None = None) -> str:
    """The descriptor.

    Args:
        wallet: The wallet.
        branch: One branch alone; None for both, with BIP389's `<0;1>`.
    """
    keys = wallet.keys

    def use(use: KeyUse) -> str:
        return _expression([keys[position].text() for position in use.keys], _steps(use.branches, branch))

    def unspendable(key: WalletKey, branches: tuple[int, int]) -> str:
        return key.text() + _steps(branches, branch)

    return _body(wallet, use, unspendable)


def write_template(wallet: Wallet) -> str:
    """The policy with `@0/**` for the first key (BIP388), to be read by people; an unspendable xpub is written `H`."""

    def use(use: KeyUse) -> str:
        steps = "/**" if use.branches == MAIN_BRANCHES else _steps(use.branches, None)
        return _expression([f"@{position}" for position in use.keys], steps)

    return _body(wallet, use, lambda _key, _branches: "H").replace(NUMS_TEXT, "H")


def _body(wallet: Wallet, use: _Writer, unspendable: Callable[[WalletKey, tuple[int, int]], str]) -> str:
    policy = wallet.policy
    if isinstance(policy, TaprootPolicy):
        internal = policy.internal
        if isinstance(internal, int):
            key = use(policy.uses[internal])
        else:
            key = NUMS_TEXT if internal.key is None else unspendable(internal.key, internal.branches)
        return f"tr({key})" if policy.tree is None else f"tr({key},{_tree(policy.tree, policy.uses, use)})"
    if isinstance(policy, MiniscriptPolicy):
        uses = policy.uses
        body = write_node(policy.script, lambda position: use(uses[position]))
    else:
        body = _multisig(policy, len(wallet.keys), use)
    for wrapper in reversed(wallet.script_type.split("-")):
        body = f"{wrapper}({body})"
    return body


def _multisig(policy: MultisigPolicy, count: int, use: _Writer) -> str:
    keys = ",".join(use(KeyUse((position,))) for position in range(count))
    return f"{'sortedmulti' if policy.sorted else 'multi'}({policy.threshold},{keys})"


def _tree(tree: Tree, uses: tuple[KeyUse, ...], use: _Writer) -> str:
    if isinstance(tree, Node):
        return write_node(tree, lambda position: use(uses[position]))
    return "{" + ",".join(_tree(side, uses, use) for side in tree) + "}"


def _expression(keys: list[str], steps: str) -> str:
    return (f"musig({','.join(keys)})" if len(keys) > 1 else keys[0]) + steps


def _steps(branches: tuple[int, int], branch: int | None) -> str:
    return f"/<{branches[0]};{branches[1]}>/*" if branch is None else f"/{branches[branch]}/*"
