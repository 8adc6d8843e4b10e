"""A descriptor's body to script type, policy and keys: our own grammar of what may be agreed on.

Light: needs no descriptor library. Whether miniscript is well typed is judged by btclib-wallet at import, and whether
the keys make a good wallet by `checks`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from wormsig.errors import DescriptorError
from wormsig.wallet.checks import check_numbers
from wormsig.wallet.expressions import KeyReader
from wormsig.wallet.grammar import split_arguments, split_call, split_multisig
from wormsig.wallet.miniscript import MAX_NESTING, ShapeError, read_multi, read_node
from wormsig.wallet.policy import MiniscriptPolicy, MultisigPolicy, Policy, TaprootPolicy

if TYPE_CHECKING:
    from wormsig.wallet.grammar import MultisigText
    from wormsig.wallet.model import ScriptKind, WalletKey
    from wormsig.wallet.policy import Tree


class Draft(msgspec.Struct, frozen=True):
    """A descriptor taken apart, not judged.

    Attributes:
        script_type: `wsh`, `sh-wsh`, `sh` or `tr`.
        policy: What the scripts ask for.
        keys: Every key that can sign, once, in the order of its first appearance; in a multisig as often as written.
    """

    script_type: ScriptKind
    policy: Policy
    keys: tuple[WalletKey, ...]


def read_body(body: str) -> Draft:
    """Read a descriptor without its checksum.

    Raises:
        ShapeError: It has none of the forms that are read here, whether or not it is valid.
        DescriptorError: A key expression or a threshold cannot be used.
        NotSupportedError: A key expression is of a kind that this version does not handle.
    """
    shape = split_multisig(body)
    if shape is not None:
        return _multisig(shape)
    call = split_call(body)
    name, arguments = call if call is not None else ("", [])
    if name == "tr" and len(arguments) in {1, 2}:
        return _taproot(*arguments)
    if name not in {"wsh", "sh"} or len(arguments) != 1:
        raise ShapeError("not a wallet's descriptor")
    script_type: ScriptKind = "wsh"
    if name == "sh":
        script_type, call = "sh-wsh", split_call(arguments[0])
        if call is None or call[0] != "wsh" or len(call[1]) != 1:
            raise ShapeError("not a wallet's descriptor")
        arguments = call[1]
    reader = KeyReader(pairs=True)
    script = read_node(arguments[0], reader.use, tapscript=False)
    return Draft(script_type, MiniscriptPolicy(tuple(reader.uses), script), tuple(reader.keys))


def _multisig(shape: MultisigText) -> Draft:
    if not re.fullmatch(r"0|[1-9][0-9]{0,3}", shape.threshold, re.ASCII):
        raise DescriptorError("the threshold is not a number", hint="write for example wsh(sortedmulti(2,KEY,KEY,KEY))")
    threshold = int(shape.threshold)
    check_numbers(shape.script_type, threshold, len(shape.keys))
    keys = []
    for number, expression in enumerate(shape.keys, 1):
        reader = KeyReader(pairs=False, first=number)
        reader.use(expression)
        keys += reader.keys
    return Draft(shape.script_type, MultisigPolicy(threshold, shape.sorted), tuple(keys))


def _taproot(internal: str, tree: str | None = None) -> Draft:
    reader = KeyReader(pairs=True)
    key = reader.internal(internal)
    scripts = None if tree is None else _tree(tree, reader, 0)
    return Draft("tr", TaprootPolicy(tuple(reader.uses), key, scripts), tuple(reader.keys))


def _tree(text: str, reader: KeyReader, depth: int) -> Tree:
    if depth > MAX_NESTING:
        raise ShapeError(f"branches are nested deeper than {MAX_NESTING}")
    if text.startswith("{") and text.endswith("}"):
        sides = split_arguments(text[1:-1])
        if sides is None or len(sides) != 2:
            raise ShapeError("a branch of a script tree has two sides")
        return _tree(sides[0], reader, depth + 1), _tree(sides[1], reader, depth + 1)
    call = split_call(text)
    if call is not None and call[0] == "sortedmulti_a":
        return read_multi(*call, reader.use)
    return read_node(text, reader.use, tapscript=True)
