"""From signatures to final scripts: which way an input can be spent now, what it lacks, and how large it will be.

Every script type ends here: the templates, taproot by key or by its smallest leaf, miniscript. What is chosen is what
bitcoind chooses, byte for byte. Signatures come in verified, scripts proven; nothing is verified here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from wormsig.bitcoin.script import hash160, operations
from wormsig.bitcoin.taproot import TAPSCRIPT
from wormsig.psbt import miniscript
from wormsig.psbt.model import BIP32_DERIVATION, TAP_BIP32_DERIVATION, sighash_type
from wormsig.psbt.preimages import preimages_in
from wormsig.psbt.pushes import pushed
from wormsig.psbt.templates import SINGLE_KEY, FinalScripts, build, nested_sig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wormsig.bitcoin.taproot import MultiA
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.scripts import InputScripts
    from wormsig.psbt.sigkeys import SignatureKey
    from wormsig.psbt.taproot import Leaf, TaprootScripts

    Held = Mapping[SignatureKey, bytes]

SIGNATURE_SIZE: Final = 71
"""Bytes of an ECDSA signature that is still missing, sighash type included."""
SCHNORR_SIZE: Final = 64

MAX_OPERATIONS: Final = 100_000
"""Operations of scripts that are read back as miniscript in one PSBT, each script with `_PER_SCRIPT` on top.

A few seconds' work (THREATS C16), and 2,700 inputs of usual scripts: twice what a transaction can have and be relayed.
"""
_PER_SCRIPT: Final = 20
"""What reading the smallest script costs, in operations: most of a millisecond."""
_PER_PAIR: Final = 50
"""So many pairs of operations cost as much to read as one: a `thresh` of many parts takes quadratic time."""
MAX_SATISFYING: Final = 1_000_000
"""As `MAX_OPERATIONS`, for satisfying scripts: each input counts again, though it shares its script with others."""
_PER_SATISFYING_PAIR: Final = 8
"""So many pairs of operations cost as much to satisfy as one."""

MAX_SCRIPT: Final = 100_000
"""Bytes of a script that is read back: the largest `multi_a` has 34,000, and no P2WSH script more than 10,000."""


def solve(psbt: Psbt, index: int, scripts: InputScripts, held: Held) -> FinalScripts | None:
    """The final scripts of an input, as bitcoind makes them from the same signatures.

    Args:
        psbt: The PSBT.
        index: The input.
        scripts: Its proven scripts.
        held: Its verified signatures.

    Returns:
        None when signatures, a preimage, or a locktime or sequence are missing, or the script is of no known kind.
    """
    if scripts.multisig is not None:
        # A key that stands in a script twice counts twice, with the same signature: so it is in consensus.
        chosen = [pubkey for pubkey in scripts.multisig.pubkeys if pubkey in held]
        needed = scripts.multisig.threshold
        if len(chosen) < needed:
            return None
        return build(scripts, [held[pubkey] for pubkey in chosen[:needed]], ())
    if scripts.taproot is not None:
        return _solve_taproot(psbt, index, scripts.taproot, held)
    if scripts.script_type in SINGLE_KEY:
        return build(scripts, tuple(held.values())[:1], tuple(held)[:1]) if held else None
    node = _witness_expression(psbt, index, scripts, held)
    if node is None or scripts.witness is None:
        return None
    stack = satisfy(psbt, index, node, means_of(psbt, index, held))
    return None if stack is None else FinalScripts(nested_sig(scripts), (*stack, scripts.witness))


def lacking(psbt: Psbt, index: int, scripts: InputScripts, held: Held) -> int | None:
    """How many signatures an input lacks at least; 0 when `solve` has an answer. Arguments as there.

    A taproot output with scripts is taken to be spent by them until a signature for its key path is there: whether
    anybody holds its internal key cannot be told from a PSBT.

    Returns:
        None when no number of signatures will do: the script is of no known kind, or a preimage or a lock is missing
        too.
    """
    if scripts.multisig is not None:
        return _short_of(scripts.multisig.threshold, scripts.multisig.pubkeys, held)
    if scripts.script_type in SINGLE_KEY:
        return 0 if held else 1
    if scripts.taproot is not None:
        return _taproot_lacks(psbt, index, scripts.taproot, held)
    node = _witness_expression(psbt, index, scripts, held)
    if node is None:
        return None
    return _expression_lacks(psbt, index, node, means_of(psbt, index, held))


def _short_of(threshold: int, keys: Sequence[bytes], held: Held) -> int:
    """How many more keys have to sign an m-of-n; one that stands in it twice counts twice."""
    short = threshold - len(held)
    if short <= 0 or len(frozenset(keys)) == len(keys):
        return max(0, short)
    places = Counter(keys)
    short = threshold - sum([places.pop(key, 0) for key in held])
    count = 0
    for often in sorted(places.values(), reverse=True):
        if short <= 0:
            break
        short -= often
        count += 1
    return count


def is_known(psbt: Psbt, index: int, scripts: InputScripts) -> bool:
    """Whether a script is of a kind that `solve` knows."""
    if scripts.multisig is not None or scripts.taproot is not None or scripts.script_type in SINGLE_KEY:
        return True
    return _witness_expression(psbt, index, scripts, {}) is not None


def guess(psbt: Psbt, index: int, scripts: InputScripts, held: Held) -> FinalScripts | None:
    """Final scripts of the size that they will have, zeros where signatures and preimages are missing.

    Arguments as for `solve`; None when no way to spend can be told.
    """
    if scripts.multisig is not None:
        signatures = [held[pubkey] for pubkey in scripts.multisig.pubkeys if pubkey in held]
        missing = scripts.multisig.threshold - len(signatures)
        signatures += [bytes(SIGNATURE_SIZE)] * missing
        return build(scripts, signatures[: scripts.multisig.threshold], ())
    if scripts.script_type in SINGLE_KEY:
        pubkey, signature = next(iter(held.items()), (_single_key(psbt, index, scripts), bytes(SIGNATURE_SIZE)))
        return build(scripts, (signature,), (pubkey,))
    made = solve(psbt, index, scripts, held)
    if made is not None:
        return made
    return _guess(psbt, index, scripts, held, False) or _guess(psbt, index, scripts, held, True)


def _guess(psbt: Psbt, index: int, scripts: InputScripts, held: Held, every: bool) -> FinalScripts | None:
    """With the preimages that are there, or with `every` one that a script asks for."""
    if scripts.taproot is not None:
        return _guess_taproot(psbt, index, scripts.taproot, held, every)
    node = _witness_expression(psbt, index, scripts, held)
    if node is None or scripts.witness is None:
        return None
    stack = _guess_expression(psbt, index, node, held, (SIGNATURE_SIZE, every))
    return None if stack is None else FinalScripts(nested_sig(scripts), (*stack, scripts.witness))


def _single_key(psbt: Psbt, index: int, scripts: InputScripts) -> bytes:
    """The key of a single-key script as far as key origins name it: before segwit it may be an uncompressed one."""
    if scripts.script_type == "pkh":
        for key in psbt.inputs[index]:
            if key[0] == BIP32_DERIVATION and len(key) == 66 and scripts.has_key(key[1:]):
                return key[1:]
    return bytes(33)


# -- taproot -----------------------------------------------------------------------------------------------------------


def _by_leaf(held: Held) -> dict[bytes, dict[bytes, bytes]]:
    """Leaf hash -> x-only key -> signature."""
    found: dict[bytes, dict[bytes, bytes]] = {}
    for key, signature in held.items():
        if len(key) == 64:
            found.setdefault(key[32:], {})[key[:32]] = signature
    return found


def _ordered(leaves: Iterable[Leaf]) -> list[Leaf]:
    """Leaves that can be spent by, in the order in which bitcoind tries them: the first of the smallest is taken."""
    return sorted([leaf for leaf in leaves if leaf.version == TAPSCRIPT], key=lambda leaf: leaf.script)


def _solve_taproot(psbt: Psbt, index: int, proven: TaprootScripts, held: Held) -> FinalScripts | None:
    """By key when its signature is there, else by the leaf whose witness is smallest."""
    by_key = held.get(proven.output_key)
    if by_key is not None:
        return FinalScripts(b"", (by_key,))
    signed = _by_leaf(held)
    best: FinalScripts | None = None
    for leaf in _ordered([proven.leaves[leaf_hash] for leaf_hash in signed if leaf_hash in proven.leaves]):
        stack = _leaf_stack(psbt, index, leaf, signed[leaf.hash])
        final = None if stack is None else FinalScripts(b"", (*stack, leaf.script, leaf.control))
        if final is not None and (best is None or len(final.witness) < len(best.witness)):
            best = final
    return best


def _leaf_stack(psbt: Psbt, index: int, leaf: Leaf, signatures: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
    if leaf.multi_a is not None:
        return _multi_a_stack(leaf.multi_a, signatures)
    node = _leaf_expression(psbt, index, leaf, signatures)
    return None if node is None else satisfy(psbt, index, node, means_of(psbt, index, signatures))


def _multi_a_stack(multi_a: MultiA, signatures: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
    """As many signatures as asked for: the shortest ones, and of those alike the last in script order, as bitcoind."""
    places = [place for place, key in enumerate(multi_a.keys) if key in signatures]
    places.sort(key=lambda place: (len(signatures[multi_a.keys[place]]), -place))
    chosen = frozenset(places[: multi_a.threshold])
    if len(chosen) < multi_a.threshold:
        return None
    items = [signatures[key] if place in chosen else b"" for place, key in enumerate(multi_a.keys)]
    return tuple(reversed(items))


def _taproot_lacks(psbt: Psbt, index: int, proven: TaprootScripts, held: Held) -> int | None:
    if proven.output_key in held:
        return 0
    if not proven.leaves:
        return 1
    signed = _by_leaf(held)
    counts: list[int] = []
    for leaf in _ordered(proven.leaves.values()):
        count = _leaf_lacks(psbt, index, leaf, signed.get(leaf.hash, {}))
        if count is not None:
            counts.append(count)
    return min(counts) if counts else None


def _leaf_lacks(psbt: Psbt, index: int, leaf: Leaf, signatures: Mapping[bytes, bytes]) -> int | None:
    if leaf.multi_a is not None:
        return _short_of(leaf.multi_a.threshold, leaf.multi_a.keys, signatures)
    node = _leaf_expression(psbt, index, leaf, signatures)
    if node is None:
        return None
    return _expression_lacks(psbt, index, node, means_of(psbt, index, signatures))


def _guess_taproot(psbt: Psbt, index: int, proven: TaprootScripts, held: Held, every: bool) -> FinalScripts | None:
    """By what is signed already; before that by the smallest leaf, or by key where there is no leaf."""
    asked = sighash_type(psbt, index)
    size = SCHNORR_SIZE + (1 if asked else 0)
    if not proven.leaves:
        return FinalScripts(b"", (bytes(size),))
    signed = _by_leaf(held)
    leaves = [proven.leaves[leaf_hash] for leaf_hash in signed if leaf_hash in proven.leaves]
    best: FinalScripts | None = None
    for leaf in _ordered(leaves or proven.leaves.values()):
        stack = _guess_leaf(psbt, index, leaf, signed.get(leaf.hash, {}), (size, every))
        final = None if stack is None else FinalScripts(b"", (*stack, leaf.script, leaf.control))
        if final is not None and (best is None or len(final.witness) < len(best.witness)):
            best = final
    return best


def _guess_leaf(
    psbt: Psbt, index: int, leaf: Leaf, signatures: Mapping[bytes, bytes], assumed: tuple[int, bool]
) -> tuple[bytes, ...] | None:
    if leaf.multi_a is not None:
        there = [signatures[key] for key in leaf.multi_a.keys if key in signatures][: leaf.multi_a.threshold]
        there += [bytes(assumed[0])] * (leaf.multi_a.threshold - len(there))
        return (*there, *[b""] * (len(leaf.multi_a.keys) - leaf.multi_a.threshold))
    node = _leaf_expression(psbt, index, leaf, signatures)
    return None if node is None else _guess_expression(psbt, index, node, signatures, assumed)


# -- miniscript --------------------------------------------------------------------------------------------------------


def means_of(psbt: Psbt, index: int, signatures: Mapping[bytes, bytes]) -> miniscript.Means:
    """What there is to satisfy a script of an input with: its signatures and preimages, the transaction's locks."""
    tx = psbt.tx
    preimages = _preimages_of(psbt, index)
    return miniscript.Means(tx.locktime, tx.inputs[index].sequence, tx.version, preimages, signatures)


def _preimages_of(psbt: Psbt, index: int) -> Mapping[str, Mapping[bytes, bytes]]:
    """The hash's name -> digest -> preimage; looked for once, however many leaves ask (THREATS C16)."""
    memo, fields = psbt.memo.preimages, psbt.inputs[index]
    known = memo.get(index)
    if known is None or known[0] is not fields:
        found: dict[str, dict[bytes, bytes]] = {}
        for name, digest, preimage in preimages_in(fields):
            found.setdefault(name, {})[digest] = preimage
        known = memo[index] = (fields, found)
    return known[1]


def satisfy(psbt: Psbt, index: int, node: miniscript.Expression, means: miniscript.Means) -> tuple[bytes, ...] | None:
    """`miniscript.satisfy` of what `expression` gave, bounded over all inputs (THREATS C16).

    Returns:
        None also when the scripts of other inputs are too much already.
    """
    return miniscript.satisfy(node, means) if _may_satisfy(psbt, index, node) else None


def _may_satisfy(psbt: Psbt, index: int, node: miniscript.Expression) -> bool:
    """Decided once for an input's script: whoever asks again, or sends another answer, uses nothing up."""
    memo = psbt.memo
    known = memo.satisfiable.get((index, id(node)))
    if known is None:
        count = memo.operations.get(id(node), 0)
        memo.satisfied += count + count * count // _PER_SATISFYING_PAIR + _PER_SCRIPT
        known = memo.satisfiable[index, id(node)] = memo.satisfied <= MAX_SATISFYING
    return known


def _expression_lacks(psbt: Psbt, index: int, node: miniscript.Expression, means: miniscript.Means) -> int | None:
    if not _may_satisfy(psbt, index, node):
        return None
    count = miniscript.lacking(node, means)
    return None if count == 0 and satisfy(psbt, index, node, means) is None else count


def _guess_expression(
    psbt: Psbt, index: int, node: miniscript.Expression, signatures: Mapping[bytes, bytes], assumed: tuple[int, bool]
) -> tuple[bytes, ...] | None:
    """Every key signs, in the size assumed; the locks are what they are, and preimages too or every one comes."""
    size, every = assumed
    means = means_of(psbt, index, dict.fromkeys(miniscript.keys_of(node), bytes(size)) | dict(signatures))
    if not every:
        return satisfy(psbt, index, node, means)
    preimages = {name: dict(known) for name, known in means.preimages.items()}
    for name, digest in miniscript.digests_of(node):
        preimages.setdefault(name, {}).setdefault(digest, bytes(32))
    everything = miniscript.Means(means.locktime, means.sequence, means.version, preimages, means.signatures)
    return satisfy(psbt, index, node, everything)


def _witness_expression(psbt: Psbt, index: int, scripts: InputScripts, held: Held) -> miniscript.Expression | None:
    if scripts.witness is None or not scripts.segwit:
        return None
    return expression(psbt, index, scripts.witness, tapscript=False, keys=held)


def _leaf_expression(
    psbt: Psbt, index: int, leaf: Leaf, signatures: Mapping[bytes, bytes]
) -> miniscript.Expression | None:
    return expression(psbt, index, leaf.script, tapscript=True, keys=signatures)


def expression(
    psbt: Psbt, index: int, script: bytes, *, tapscript: bool, keys: Iterable[bytes] = (), stand_in: bytes = b""
) -> miniscript.Expression | None:
    """A script of an input as miniscript; read once, and bounded over all inputs (THREATS C16).

    Args:
        psbt: The PSBT.
        index: The input, whose fields may name keys that the script holds only the hash of.
        script: Its witnessScript, or a leaf of version 0xc0.
        tapscript: Whether it is a leaf.
        keys: Further such keys.
        stand_in: A key for every one that nobody names; without it they make the script unknown.

    Returns:
        None when it is no miniscript, or too much was read already.
    """
    memo = psbt.memo.expressions
    hashed = _hashed_keys(psbt, index, script, tapscript, keys)
    if stand_in and len(script) <= MAX_SCRIPT:
        replaced = miniscript.with_stand_in(script, dict(hashed), stand_in)
        if replaced != script:  # else what was read for others is what is read here
            script, hashed = replaced, (*hashed, (hash160(stand_in), stand_in))
    with psbt.memo.reading:
        known: Any = memo.get((script, tapscript, hashed), memo)
        if known is memo:
            count = len(operations(script) or ()) if len(script) <= MAX_SCRIPT else 0
            psbt.memo.read += count + count * count // _PER_PAIR + _PER_SCRIPT
            too_much = psbt.memo.read > MAX_OPERATIONS
            known = None if too_much or not count else miniscript.read(script, dict(hashed), tapscript=tapscript)
            memo[script, tapscript, hashed] = known
            psbt.memo.operations[id(known)] = count  # the expression lives as long as the memo does
    return known


def _hashed_keys(
    psbt: Psbt, index: int, script: bytes, tapscript: bool, keys: Iterable[bytes]
) -> tuple[tuple[bytes, bytes], ...]:
    """Digest and key, of keys that a script holds the hash of."""
    digests = [data for data in pushed(script) if len(data) == 20] if len(script) <= MAX_SCRIPT else []
    if not digests:
        return ()
    named, given = _key_hashes(psbt, index, tapscript), {hash160(key): key for key in keys}
    pairs = [(digest, given.get(digest) or named.get(digest)) for digest in digests]
    return tuple(sorted([(digest, key) for digest, key in pairs if key is not None]))


def _key_hashes(psbt: Psbt, index: int, tapscript: bool) -> dict[bytes, bytes]:
    """HASH160 -> key, of the keys that an input's fields name; computed once."""
    memo = psbt.memo.key_hashes
    fields = psbt.inputs[index]
    known = memo.get((index, tapscript))
    if known is None or known[0] is not fields:
        wanted = TAP_BIP32_DERIVATION if tapscript else BIP32_DERIVATION
        named = [key[1:] for key in fields if key[0] == wanted]
        known = memo[index, tapscript] = (fields, {hash160(key): key for key in named})
    return known[1]
