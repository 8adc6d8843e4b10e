"""Miniscript expressions (BIP379) as text: into a tree of fragments and back, in the spelling that Bitcoin Core uses.

Only the form is read. Types, malleability and resource limits are judged by btclib-wallet when a wallet is imported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from wormsig.errors import DescriptorError
from wormsig.wallet.grammar import split_call
from wormsig.wallet.policy import Node

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NESTING: Final = 100
"""Fragments within fragments, wrappers counted; wallets have about ten."""

ZERO: Final = Node("0")
ONE: Final = Node("1")

DIGEST_SIZES: Final = {"sha256": 32, "hash256": 32, "ripemd160": 20, "hash160": 20}
KEY_FRAGMENTS: Final = frozenset({"pk_k", "pk_h"})
LOCKS: Final = frozenset({"older", "after"})
WRAPPERS: Final = frozenset("ascdvjn")
MULTI: Final = frozenset({"multi", "multi_a", "sortedmulti_a"})

_ARITY: Final = {
    "andor": 3,
    "and_v": 2,
    "and_b": 2,
    "or_b": 2,
    "or_c": 2,
    "or_d": 2,
    "or_i": 2,
}
_WRAPPED = re.compile(r"([asctdvjnlu]+):(.+)", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


class ShapeError(DescriptorError):
    """A text that is none of the forms read here; btclib-wallet then says what is wrong with it."""


def read_node(text: str, use: Callable[[str], int], *, tapscript: bool, depth: int = 0) -> Node:
    """Read an expression.

    Args:
        text: The expression.
        use: Takes a key expression and answers its position among the policy's uses.
        tapscript: In a taproot leaf `multi_a` is used, in a witnessScript `multi`.
        depth: How many fragments stand around it.

    Raises:
        ShapeError: It is no miniscript, or nested deeper than `MAX_NESTING`.
        DescriptorError: A key expression cannot be used.
    """
    wrapped = _WRAPPED.fullmatch(text)
    letters, inner = (wrapped[1], wrapped[2]) if wrapped is not None else ("", text)
    depth += len(letters)
    if depth > MAX_NESTING:
        raise ShapeError(f"fragments are nested deeper than {MAX_NESTING}")
    node = _read_fragment(inner, use, tapscript=tapscript, depth=depth)
    for letter in reversed(letters):
        node = _wrap(letter, node)
    return node


def _wrap(letter: str, node: Node) -> Node:
    if letter == "t":
        return Node("and_v", (node, ONE))
    if letter == "l":
        return Node("or_i", (ZERO, node))
    if letter == "u":
        return Node("or_i", (node, ZERO))
    return Node(letter, (node,))


def _read_fragment(text: str, use: Callable[[str], int], *, tapscript: bool, depth: int) -> Node:
    if text in {"0", "1"}:
        return ZERO if text == "0" else ONE
    call = split_call(text)
    if call is None:
        raise ShapeError("not a miniscript expression")
    name, arguments = call
    leaf = _read_leaf(name, arguments, use)
    if leaf is not None:
        return leaf
    if name in {"multi", "multi_a"} and (name == "multi_a") is tapscript:
        return read_multi(name, arguments, use)
    threshold = 0
    if name == "thresh":
        threshold = _number(arguments[0])
        arguments = arguments[1:]
    elif len(arguments) != (2 if name == "and_n" else _ARITY.get(name)):
        raise ShapeError(f"{name} is no fragment with {len(arguments)} arguments")
    subs = [read_node(argument, use, tapscript=tapscript, depth=depth + 1) for argument in arguments]
    if name == "and_n":
        return Node("andor", (*subs, ZERO))
    return Node(name, tuple(subs), number=threshold)


def _read_leaf(name: str, arguments: list[str], use: Callable[[str], int]) -> Node | None:
    """A fragment of one key, one number or one digest; None for another name or another number of arguments."""
    if len(arguments) != 1:
        return None
    argument = arguments[0]
    if name in {"pk", "pkh"}:
        return Node("c", (Node("pk_k" if name == "pk" else "pk_h", keys=(use(argument),)),))
    if name in KEY_FRAGMENTS:
        return Node(name, keys=(use(argument),))
    if name in LOCKS:
        return Node(name, number=_number(argument))
    if name in DIGEST_SIZES:
        if not re.fullmatch(f"[0-9a-fA-F]{{{2 * DIGEST_SIZES[name]}}}", argument, re.ASCII):
            raise ShapeError(f"{name} takes {DIGEST_SIZES[name]} bytes in hex")
        return Node(name, digest=bytes.fromhex(argument))
    return None


def read_multi(name: str, arguments: list[str], use: Callable[[str], int]) -> Node:
    """A fragment of a threshold and keys.

    Raises:
        ShapeError: The threshold is no number.
        DescriptorError: A key expression cannot be used.
    """
    threshold = _number(arguments[0], zero=True)
    return Node(name, keys=tuple([use(argument) for argument in arguments[1:]]), number=threshold)


def _number(text: str, *, zero: bool = False) -> int:
    if not (_NUMBER.fullmatch(text) or (zero and text == "0")):
        raise ShapeError("not a number")
    return int(text)


def write_node(node: Node, key: Callable[[int], str]) -> str:
    """Write an expression, with sugar, as Bitcoin Core does.

    Args:
        node: The expression.
        key: The text of the key expression at a position.
    """
    letters, inner = _unwrapped(node)
    return f"{letters}:{_write_fragment(inner, key)}" if letters else _write_fragment(inner, key)


def _unwrapped(node: Node) -> tuple[str, Node]:
    """The wrappers that are written as letters, and what they stand around."""
    letters = ""
    while True:
        if node.name == "and_v" and node.subs[1] == ONE:
            letters, node = letters + "t", node.subs[0]
        elif node.name == "or_i" and node.subs[0] == ZERO:
            letters, node = letters + "l", node.subs[1]
        elif node.name == "or_i" and node.subs[1] == ZERO:
            letters, node = letters + "u", node.subs[0]
        elif node.name in WRAPPERS and not (node.name == "c" and node.subs[0].name in KEY_FRAGMENTS):
            letters, node = letters + node.name, node.subs[0]
        else:
            return letters, node


def _write_fragment(node: Node, key: Callable[[int], str]) -> str:
    name = node.name
    arguments: list[str] = []
    if name == "c":
        name = "pk" if node.subs[0].name == "pk_k" else "pkh"
        arguments.append(key(node.subs[0].keys[0]))
    elif name == "andor" and node.subs[2] == ZERO:
        name = "and_n"
        arguments += [write_node(sub, key) for sub in node.subs[:2]]
    else:
        if node.number or name in MULTI:
            arguments.append(str(node.number))
        arguments += [key(use) for use in node.keys]
        if node.digest:
            arguments.append(node.digest.hex())
        arguments += [write_node(sub, key) for sub in node.subs]
    return f"{name}({','.join(arguments)})" if arguments else name
