"""What it takes to spend from a wallet, apart from how its scripts say it: so many of these keys, after such a time.

Scripts that ask for the same have the same condition. `condition_of` reads it off a policy; `fewest_signatures` and
`summary` answer what people ask. Sizes of witnesses stand in `sizes`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from wormsig.wallet.policy import KeyUse, MiniscriptPolicy, MultisigPolicy, Node, Policy, TaprootPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

TIME_LOCKTIME: Final = 500_000_000
"""From here on a locktime is Unix time, below it a block height (BIP65)."""
SEQUENCE_SECONDS: Final = 1 << 22
"""Set in a relative lock that counts units of 512 seconds, not blocks (BIP68)."""
SEQUENCE_MASK: Final = 0xFFFF
"""The part of a relative lock that counts (BIP68)."""
SECONDS_PER_UNIT: Final = 512
_BLOCKS_PER_DAY: Final = 144
_DAY: Final = 86_400


class Signature(msgspec.Struct, frozen=True):
    """A signature of one key; `key` is its position in the wallet's keys."""

    key: int


class Together(msgspec.Struct, frozen=True):
    """One signature that all of several keys make together (MuSig2, BIP327); positions in the wallet's keys."""

    keys: tuple[int, ...]


class After(msgspec.Struct, frozen=True):
    """Not before a block height, or a Unix time from `TIME_LOCKTIME` on (BIP65)."""

    value: int


class Older(msgspec.Struct, frozen=True):
    """Not before the coin has this age, as the script has it (BIP68, BIP112)."""

    value: int

    @property
    def blocks(self) -> int | None:
        """The age in blocks, None when it is a time."""
        return None if self.value & SEQUENCE_SECONDS else self.value & SEQUENCE_MASK

    @property
    def seconds(self) -> int | None:
        """The age in seconds, None when it is a number of blocks."""
        return (self.value & SEQUENCE_MASK) * SECONDS_PER_UNIT if self.value & SEQUENCE_SECONDS else None


class Preimage(msgspec.Struct, frozen=True):
    """The preimage of a hash; `function` is sha256, hash256, ripemd160 or hash160."""

    function: str
    digest: bytes


class Threshold(msgspec.Struct, frozen=True):
    """So many of several conditions: 1 is any one of them, as many as there are parts is all; no parts is always."""

    count: int
    parts: tuple[Condition, ...]


Condition: TypeAlias = Signature | Together | After | Older | Preimage | Threshold

ALWAYS: Final = Threshold(0, ())
NEVER: Final = Threshold(1, ())


def threshold(count: int, parts: Sequence[Condition]) -> Condition:
    """So many of several, as simple as can be: nested alls and anys are joined, what is always or never is left out."""
    count -= sum(1 for part in parts if part == ALWAYS)
    left = [part for part in parts if part not in (ALWAYS, NEVER)]
    if count <= 0:
        return ALWAYS
    if count > len(left):
        return NEVER
    if len(left) == 1:
        return left[0]
    if count == len(left):
        joined = _joined(left, lambda inner: inner.count == len(inner.parts))
        return joined[0] if len(joined) == 1 else Threshold(len(joined), joined)
    if count == 1:
        joined = _joined(left, lambda inner: inner.count == 1)
        return joined[0] if len(joined) == 1 else Threshold(1, joined)
    return Threshold(count, tuple(left))


def _joined(parts: Sequence[Condition], alike: Callable[[Threshold], bool]) -> tuple[Condition, ...]:
    """With the parts of parts of the same kind; each once, for all and any ask nothing twice."""
    found: list[Condition] = []
    for part in parts:
        found += part.parts if isinstance(part, Threshold) and alike(part) else (part,)
    return tuple(dict.fromkeys(found))


def condition_of(policy: Policy, key_count: int) -> Condition:
    """What a policy asks for.

    Args:
        policy: The wallet's.
        key_count: How many keys the wallet has.
    """
    if isinstance(policy, MultisigPolicy):
        return threshold(policy.threshold, [Signature(key) for key in range(key_count)])
    if isinstance(policy, MiniscriptPolicy):
        return node_condition(policy.script, policy.uses)
    return threshold(1, tuple(ways(policy)))


def ways(policy: TaprootPolicy) -> Iterator[Condition]:
    """A taproot wallet's key path, when it has one, and its leaves, depth first."""
    if isinstance(policy.internal, int):
        yield _signature(policy.uses[policy.internal])
    for leaf in policy.leaves:
        yield node_condition(leaf, policy.uses)


def _signature(use: KeyUse) -> Condition:
    return Together(use.keys) if use.is_aggregate else Signature(use.keys[0])


def node_condition(node: Node, uses: Sequence[KeyUse]) -> Condition:
    """What an expression asks for (BIP379, semantics)."""
    if node.keys:
        signatures = [_signature(uses[use]) for use in node.keys]
        return threshold(node.number or 1, signatures)
    name = node.name
    if name in {"after", "older"}:
        return After(node.number) if name == "after" else Older(node.number)
    if node.digest:
        return Preimage(name, node.digest)
    parts = [node_condition(sub, uses) for sub in node.subs]
    if name == "andor":
        parts = [threshold(2, parts[:2]), parts[2]]
    # Of and_v, and_b and wrappers all; of nothing all is `1`, and one is `0`.
    some = {"thresh": node.number, "andor": 1, "or_b": 1, "or_c": 1, "or_d": 1, "or_i": 1, "0": 1}
    return threshold(some.get(name, len(parts)), parts)


def fewest_signatures(condition: Condition) -> int | None:
    """How many signatures the cheapest way needs that is open at once: no lock to wait for, no preimage to know.

    The keys of a MuSig2 aggregate count one each.

    Returns:
        None when every way has a lock.
    """
    return _fewest(condition, opened=False)


def fewest_when_open(condition: Condition) -> int:
    """As `fewest_signatures`, with every lock open and every preimage known."""
    return _fewest(condition, opened=True) or 0


def _fewest(condition: Condition, *, opened: bool) -> int | None:
    if isinstance(condition, Signature):
        return 1
    if isinstance(condition, Together):
        return len(condition.keys)
    if not isinstance(condition, Threshold):
        return 0 if opened else None
    costs = [_fewest(part, opened=opened) for part in condition.parts]
    possible = sorted(cost for cost in costs if cost is not None)
    return sum(possible[: condition.count]) if len(possible) >= condition.count else None


def can_spend(condition: Condition, keys: Collection[int], *, opened: bool) -> bool:
    """Whether some keys are enough.

    Args:
        condition: What is asked for.
        keys: Whose signatures can be had, by position.
        opened: Every lock is open and every preimage known; else none.
    """
    if isinstance(condition, Signature):
        return condition.key in keys
    if isinstance(condition, Together):
        return all(key in keys for key in condition.keys)
    if not isinstance(condition, Threshold):
        return opened
    return sum(1 for part in condition.parts if can_spend(part, keys, opened=opened)) >= condition.count


def keys_of(condition: Condition) -> frozenset[int]:
    """The keys that take part, by position."""
    if isinstance(condition, Signature):
        return frozenset((condition.key,))
    if isinstance(condition, Together):
        return frozenset(condition.keys)
    if isinstance(condition, Threshold):
        return frozenset[int]().union(*(keys_of(part) for part in condition.parts))
    return frozenset()


def locks_of(condition: Condition) -> Iterator[After | Older | Preimage]:
    """Every lock in a condition, in order."""
    if isinstance(condition, After | Older | Preimage):
        yield condition
    elif isinstance(condition, Threshold):
        for part in condition.parts:
            yield from locks_of(part)


def alternatives(condition: Condition) -> tuple[Condition, ...]:
    """The ways to spend that stand side by side; one when there is no choice, or one that cannot be taken apart.

    Keys of which any one is enough stay together. So many of keys and a few locks becomes a way for each lock.
    """
    if not isinstance(condition, Threshold) or _all_signatures(condition):
        return (condition,)
    if condition.count == 1:
        single = tuple(part for part in condition.parts if isinstance(part, Signature))
        others = [part for part in condition.parts if len(single) < 2 or part not in single]
        grouped = (Threshold(1, single), *others) if len(single) > 1 else tuple(others)
        return tuple(way for part in grouped for way in _decaying(part))
    return _decaying(condition)


_MAX_DECAYS: Final = 3


def _decaying(condition: Condition) -> tuple[Condition, ...]:
    """`3 of (A, B, C, lock)` as `3 of (A, B, C)` and `2 of (A, B, C), lock`."""
    if not isinstance(condition, Threshold) or not 1 < condition.count < len(condition.parts):
        return (condition,)
    locks = [part for part in condition.parts if isinstance(part, After | Older | Preimage)]
    if not 0 < len(locks) <= _MAX_DECAYS:
        return (condition,)
    rest = [part for part in condition.parts if part is not locks[-1]]
    kept = threshold(condition.count, rest)
    fewer = threshold(condition.count - 1, rest)
    return (*_decaying(kept), *(threshold(2, (way, locks[-1])) for way in _decaying(fewer)))


def _all_signatures(condition: Threshold) -> bool:
    return all(isinstance(part, Signature) for part in condition.parts)


def summary(condition: Condition, name: Callable[[int], str] | None = None) -> str:
    """A condition in a few words: `2 of 3`, `2 of 3, or 1 of 1 after 1000 blocks (about 7 days)`.

    Args:
        condition: What is asked for.
        name: How to call the key at a position; without it keys are only counted.
    """
    counted = Counter(_words(way, name) for way in alternatives(condition))
    return ", or ".join(words if times == 1 else f"{words} ({times} ways)" for words, times in counted.items())


def _words(condition: Condition, name: Callable[[int], str] | None) -> str:
    if isinstance(condition, Threshold):
        return _threshold_words(condition, name)
    if isinstance(condition, Signature):
        return "1 of 1" if name is None else name(condition.key)
    if isinstance(condition, Together):
        count = len(condition.keys)
        if name is None:
            return f"{count} of {count} (MuSig2)"
        return f"{' and '.join(map(name, condition.keys))} together (MuSig2)"
    return lock_words(condition)


def _threshold_words(condition: Threshold, name: Callable[[int], str] | None) -> str:
    count, parts = condition.count, condition.parts
    if _all_signatures(condition):
        keys = [part.key for part in parts if isinstance(part, Signature)]
        if name is None:
            return f"{count} of {len(keys)}"
        names = [name(key) for key in keys]
        return " and ".join(names) if count == len(names) else f"{count} of {', '.join(names)}"
    if count == len(parts):
        locks = [part for part in parts if isinstance(part, After | Older | Preimage)]
        signatures = [part for part in parts if isinstance(part, Signature)]
        others = [part for part in parts if part not in locks and part not in signatures]
        grouped = [Threshold(len(signatures), tuple(signatures))] if len(signatures) > 1 else signatures
        said = [_inner(part, name) for part in (*grouped, *others)]
        waits = [lock_words(lock) for lock in locks]
        return " and ".join(said) + "".join(f" {wait}" for wait in waits)
    return f"{count} of {len(parts)} ({'; '.join(_words(part, name) for part in parts)})"


def _inner(condition: Condition, name: Callable[[int], str] | None) -> str:
    """Words that stand beside others: a choice is put into brackets."""
    words = _words(condition, name)
    mixed = isinstance(condition, Threshold) and condition.count < len(condition.parts)
    return f"({words})" if mixed and name is not None else words


def lock_words(lock: After | Older | Preimage) -> str:
    """A lock, to be put behind what it holds up: `after 1000 blocks (about 7 days)`, `from block 900000 on`."""
    if isinstance(lock, Preimage):
        return f"with the preimage of {lock.function} {lock.digest.hex()}"
    if isinstance(lock, After):
        if lock.value < TIME_LOCKTIME:
            return f"from block {lock.value} on"
        moment = dt.datetime.fromtimestamp(lock.value, dt.UTC)
        return f"from {moment:%Y-%m-%d %H:%M} UTC on"
    if lock.blocks is not None:
        return f"after {_count(lock.blocks, 'block')}{_about(lock.blocks * _DAY // _BLOCKS_PER_DAY)}"
    return f"after {_count(lock.seconds or 0, 'second')}{_about(lock.seconds or 0)}"


def _about(seconds: int) -> str:
    """` (about 7 days)`, or nothing for less than two hours."""
    if seconds >= 2 * _DAY:
        return f" (about {round(seconds / _DAY)} days)"
    return f" (about {round(seconds / 3600)} hours)" if seconds >= 7200 else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
