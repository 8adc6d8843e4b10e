"""Scripts that are miniscript (BIP379): satisfied by btclib-wallet, which follows Bitcoin Core's algorithm.

A script is read back into the expression that it is, typed and checked there; what is no miniscript has no answer here.
btclib-wallet is loaded when the first such script comes along. Which keys and preimages count is decided before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wormsig.bitcoin.script import hash160, operations
from wormsig.psbt.forms import LOCKTIME_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping

    Expression: TypeAlias = Any  # btclib_wallet's Miniscript, which is not imported before it is needed

_FINAL: Final = 0xFFFF_FFFF
_NO_AGE: Final = 1 << 31
_SECONDS: Final = 1 << 22
_AGE: Final = 0xFFFF
"""The parts of a sequence number (BIP68)."""

_HASHES: Final = ("sha256", "hash256", "ripemd160", "hash160")

_DUP_HASH160_EQUALVERIFY: Final = (0x76, 0xA9, 0x88)
"""The opcodes around the hash of a key, which stands behind the second."""


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to satisfy a script with.

    Args:
        locktime: The transaction's.
        sequence: The input's.
        version: The transaction's.
        preimages: The hash's name, as miniscript has it -> digest -> preimage.
        signatures: Public key as the script has it (x-only in a tapscript) -> signature as the witness has it.
    """

    locktime: int
    sequence: int
    version: int
    preimages: Mapping[str, Mapping[bytes, bytes]] = field(default_factory=dict)
    signatures: Mapping[bytes, bytes] = field(default_factory=dict)


def read(script: bytes, hashed: Mapping[bytes, bytes], *, tapscript: bool) -> Expression | None:
    """Read a script back into the expression that it is. Takes up to 50 microseconds a byte: whoever asks bounds that.

    Args:
        script: A witnessScript, or a leaf of version 0xc0.
        hashed: HASH160 -> key, of keys that the script holds only the hash of; x-only for a tapscript.
        tapscript: Whether it is a leaf.

    Returns:
        None when it is no valid miniscript, or a key whose hash it holds is not known.
    """
    from btclib.exceptions import BTClibException  # noqa: PLC0415  0.2 s, for scripts that ask for it only
    from btclib_wallet.descriptors import miniscript  # noqa: PLC0415  same

    context = miniscript.TAPSCRIPT if tapscript else miniscript.P2WSH
    keys: dict[Any, Any] = {**hashed}
    try:
        node = miniscript.from_script(script, context, keys)
    except BTClibException:
        return None
    return node if node.is_valid_top_level else None


def with_stand_in(script: bytes, known: Container[bytes], key: bytes) -> bytes:
    """A script with the hash of one key in place of the hash of every key that is not known.

    What is read from it satisfies the script itself wherever that takes neither a signature nor the key from whoever is
    stood in for.

    Args:
        script: A witnessScript, or a leaf of version 0xc0.
        known: HASH160 of the keys that are known.
        key: The key that stands in, as the script would have it.
    """
    parts: list[bytes] = []
    start, digest = 0, hash160(key)
    found = operations(script) or []
    for first, second, third, fourth in zip(found, found[1:], found[2:], found[3:], strict=False):
        data, end = third[1:]
        around = first[0], second[0], fourth[0]
        if around == _DUP_HASH160_EQUALVERIFY and data is not None and len(data) == 20 and data not in known:
            parts += (script[start : end - 20], digest)
            start = end
    return b"".join((*parts, script[start:]))


def keys_of(node: Expression) -> tuple[bytes, ...]:
    """The public keys of an expression in script order, as the script has them: 33 bytes, in a tapscript 32."""
    return tuple([_key(expression) for each in _walk(node) for expression in each.keys])


def digests_of(node: Expression) -> tuple[tuple[str, bytes], ...]:
    """The digests that an expression asks preimages for: the hash's name and the digest."""
    return tuple([(each.fragment, bytes(each.data)) for each in _walk(node) if each.data])


def _key(expression: Any) -> bytes:  # noqa: ANN401  btclib's KeyExpression
    sec = bytes(expression.pub_key)
    return sec[1:] if expression.x_only else sec


def _walk(node: Expression) -> list[Expression]:
    """An expression and everything in it, in script order, without recursion: scripts nest as deep as they are long."""
    found, waiting = [], [node]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += reversed(each.subs)
    return found


def satisfy(node: Expression, means: Means) -> tuple[bytes, ...] | None:
    """The smallest witness, bottom first and without the script, that nobody else could change (BIP379).

    Returns:
        None when there is none with these means.
    """
    from btclib.exceptions import BTClibException  # noqa: PLC0415  as above
    from btclib_wallet.descriptors import miniscript  # noqa: PLC0415  same

    spend = miniscript.SpendContext(
        **{
            f"{name}_preimages": means.preimages.get(name, {}) for name in ("sha256", "hash256", "ripemd160", "hash160")
        },
        locktime=means.locktime,
        sequence=means.sequence,
        version=means.version & 0xFFFF_FFFF,
    )
    try:
        return tuple(node.satisfy(dict(means.signatures), spend))
    except BTClibException:
        return None


def lacking(node: Expression, means: Means) -> int | None:
    """The fewest signatures that are still to be made, by any way that locks and preimages leave open.

    Returns:
        None when signatures alone cannot open any.
    """
    return _Lacking(means).of(node)


def is_late_enough(locktime: int, means: Means) -> bool:
    """Whether the transaction's locktime is of the same kind and no earlier (BIP65)."""
    same_kind = (locktime >= LOCKTIME_THRESHOLD) == (means.locktime >= LOCKTIME_THRESHOLD)
    return same_kind and locktime <= means.locktime and means.sequence != _FINAL


def is_old_enough(age: int, means: Means) -> bool:
    """Whether the input's sequence asks for an age of the same kind and no less (BIP68, BIP112)."""
    if means.version & 0xFFFF_FFFF < 2 or means.sequence & _NO_AGE:
        return False
    same_kind = age & _SECONDS == means.sequence & _SECONDS
    return same_kind and age & _AGE <= means.sequence & _AGE


_Cost: TypeAlias = "int | None"
_Pair: TypeAlias = tuple[_Cost, _Cost]


class _Lacking:
    """For every expression: how many more signatures satisfying it takes, and dissatisfying it; None: impossible."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def of(self, node: Expression) -> int | None:
        costs: list[_Pair] = []
        for each in reversed(_walk(node)):  # parts come before the whole
            count = len(each.subs)
            parts = [costs.pop() for _ in range(count)]
            costs.append(self._costs(each, parts))
        return costs[0][0]

    def _costs(self, node: Expression, parts: list[_Pair]) -> _Pair:
        name = node.fragment
        if not parts:
            return self._leaf(node)
        if len(parts) == 1:
            sat, dsat = parts[0]
            return sat, None if name == "v:" else 0 if name in {"d:", "j:"} else dsat
        if name == "thresh":
            return _threshold(node.threshold, parts), _sum(*[dsat for _, dsat in parts])
        if name == "andor":
            x, y, z = parts
            return _least(_sum(x[0], y[0]), _sum(x[1], z[0])), _sum(x[1], z[1])
        return _of_two(name, *parts)

    def _leaf(self, node: Expression) -> _Pair:
        name = node.fragment
        if name in {"0", "1"}:
            return (None, 0) if name == "0" else (0, None)
        if node.keys:
            needed = node.threshold if name in {"multi", "multi_a"} else 1
            held = sum(1 for key in node.keys if _key(key) in self._means.signatures)
            return max(0, needed - held), 0
        if name in {"older", "after"}:
            met = (
                is_old_enough(node.threshold, self._means)
                if name == "older"
                else is_late_enough(node.threshold, self._means)
            )
            return (0 if met else None), None
        # Anybody can put other bytes in a preimage's place, so that no witness may depend on its absence.
        return (0 if bytes(node.data) in self._means.preimages.get(name, {}) else None), None


def _of_two(name: str, x: _Pair, y: _Pair) -> _Pair:
    """An and or an or of two parts."""
    both_not = _sum(x[1], y[1])
    if name in {"and_v", "and_b"}:
        return _sum(x[0], y[0]), both_not if name == "and_b" else None
    if name == "or_i":
        return _least(x[0], y[0]), _least(x[1], y[1])
    if name == "or_b":
        return _least(_sum(x[0], y[1]), _sum(x[1], y[0])), both_not
    return _least(x[0], _sum(x[1], y[0])), both_not if name == "or_d" else None


def _sum(*costs: _Cost) -> _Cost:
    total = 0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


def _least(*costs: _Cost) -> _Cost:
    known = [cost for cost in costs if cost is not None]
    return min(known) if known else None


def _threshold(count: int, parts: Collection[_Pair]) -> _Cost:
    """Satisfying so many parts, and dissatisfying the rest."""
    best: list[_Cost] = [0]
    for sat, dsat in parts:
        best = [
            _least(_sum(best[have], dsat) if have < len(best) else None, _sum(best[have - 1], sat) if have else None)
            for have in range(min(len(best), count) + 1)
        ]
    return best[count] if count < len(best) else None
