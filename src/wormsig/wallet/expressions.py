"""Key expressions to `WalletKey`s: decoding, key origins, steps, names. Light: needs no descriptor library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from wormsig.bitcoin.keys import HARDENED, ExtendedPublicKey, KeyOrigin, parse_path
from wormsig.errors import DescriptorError, InputError, NotSupportedError, UsageError
from wormsig.wallet.grammar import KeyText, split_key, split_musig
from wormsig.wallet.model import BRANCH_STEPS, WalletKey
from wormsig.wallet.names import check_key_name
from wormsig.wallet.policy import MAIN_BRANCHES, KeyUse, Unspendable
from wormsig.wallet.writing import NUMS_TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY_HINT: Final = "write [d34db33f/48h/0h/0h/2h]xpub…/<0;1>/*, as `wormsig key show` prints it"
_OWN_KEY: Final = "every cosigner needs a key of their own"
_PAIR = re.compile(r"/<(0|[1-9][0-9]{0,9});(0|[1-9][0-9]{0,9})>/\*", re.ASCII)


class KeyReader:
    """Reads a descriptor's key expressions, one after the other; remembers every key and every use of one, once.

    Args:
        pairs: Branches other than <0;1> may follow a key (miniscript and taproot need them where a key stands twice).
        first: How messages count the first one.
    """

    def __init__(self, *, pairs: bool, first: int = 1) -> None:
        self.keys: list[WalletKey] = []
        self.uses: list[KeyUse] = []
        self._pairs = pairs
        self._next = first

    def use(self, expression: str) -> int:
        """Read a key expression that signs, and give its position among the uses.

        Raises:
            DescriptorError: It is none, or must not be used.
            NotSupportedError: It is valid, of a kind that this version does not handle.
        """
        participants, steps = split_musig(expression) or ((expression,), None)
        positions = []
        branches = MAIN_BRANCHES
        for participant in participants:
            who, pieces = self._pieces(participant)
            key = _decoded(who, pieces)
            if key.xpub.pubkey[1:].hex() == NUMS_TEXT:
                raise DescriptorError(f"{who} is BIP341's point H: nobody can sign with it")
            if steps is None:
                branches = check_steps(who, pieces.steps, pairs=self._pairs)
            elif pieces.steps:
                raise NotSupportedError(
                    f"{who} is derived before it is aggregated", hint="write musig(xpub…,xpub…)/<0;1>/*"
                )
            positions.append(self._position(key))
        if steps is not None:
            if len(set(positions)) != len(positions):
                raise DescriptorError("the same key stands twice in one musig()", hint=_OWN_KEY)
            if len(positions) == 1:
                raise NotSupportedError("musig() of a single key is not supported", hint="leave musig() away")
            branches = check_steps("musig", steps, pairs=self._pairs)
        wanted = KeyUse(tuple(positions), branches)
        if wanted not in self.uses:
            self.uses.append(wanted)
        return self.uses.index(wanted)

    def internal(self, expression: str) -> int | Unspendable:
        """Read a taproot internal key.

        Raises:
            DescriptorError: It is none, or must not be used.
            NotSupportedError: It is valid, of a kind that this version does not handle.
        """
        if expression.lower() in {NUMS_TEXT, f"02{NUMS_TEXT}"}:
            return Unspendable()
        pieces = split_key(expression)
        if pieces is not None and re.fullmatch(r"(0[23])?[0-9a-fA-F]{64}", pieces.key, re.ASCII):
            raise DescriptorError(
                "the internal key is a single public key, not an extended one",
                hint=f"for a wallet without key path write BIP341's point H, {NUMS_TEXT}",
            )
        if pieces is not None and pieces.key[1:4] == "pub":
            who = "the internal key" + _printed(pieces)
            key = _decoded(who, pieces)
            if key.xpub.pubkey[1:].hex() == NUMS_TEXT:
                return Unspendable(key, check_steps(who, pieces.steps, pairs=True))
        return self.use(expression)

    def _pieces(self, expression: str) -> tuple[str, KeyText]:
        number, self._next = self._next, self._next + 1
        pieces = split_key(expression)
        if pieces is None:
            raise DescriptorError(f"key {number} is not a key expression", hint=KEY_HINT)
        return f"key {number}{_printed(pieces)}", pieces

    def _position(self, key: WalletKey) -> int:
        if key not in self.keys:
            self.keys.append(key)
        return self.keys.index(key)


def _printed(pieces: KeyText) -> str:
    return f" [{pieces.fingerprint.lower()}]" if pieces.fingerprint else ""


def _decoded(who: str, pieces: KeyText) -> WalletKey:
    if re.fullmatch(r"04[0-9a-fA-F]{128}", pieces.key, re.ASCII):
        raise DescriptorError(f"{who} is an uncompressed public key", hint=KEY_HINT)
    if re.fullmatch(r"(0[23])?[0-9a-fA-F]{64}", pieces.key, re.ASCII):
        raise DescriptorError(f"{who} is a single public key, not an extended one", hint=KEY_HINT)
    try:
        return decode_key(pieces)
    except InputError as error:
        raise DescriptorError(f"{who}: {error.message}", hint=error.hint) from None


def decode_key(pieces: KeyText) -> WalletKey:
    """The key of an expression, without a name.

    A key without origin is its own root (BIP380): the xpub's own fingerprint and an empty path.

    Raises:
        DescriptorError: Not an extended public key, or a path that is none.
    """
    xpub = ExtendedPublicKey.from_text(pieces.key)
    if pieces.fingerprint is None:
        return WalletKey(KeyOrigin(xpub.fingerprint, ()), xpub)
    path = parse_path(pieces.path) if pieces.path else ()
    return WalletKey(KeyOrigin(bytes.fromhex(pieces.fingerprint), path), xpub)


def check_steps(who: str, steps: str, *, pairs: bool) -> tuple[int, int]:
    """Read what follows a key: `/<0;1>/*` and nothing else, or another pair where that may be.

    Args:
        who: How messages name the key.
        steps: The text behind it.
        pairs: Whether other branches than 0 and 1 may be.

    Returns:
        The step for receiving and the one for change.

    Raises:
        DescriptorError: Something else follows.
        NotSupportedError: Valid steps of a kind that this version does not handle.
    """
    if steps == BRANCH_STEPS:
        return MAIN_BRANCHES
    pair = _PAIR.fullmatch(steps) if pairs else None
    if pair is not None and int(pair[1]) < int(pair[2]) < HARDENED:
        return int(pair[1]), int(pair[2])
    if steps in {"/0/*", "/1/*"}:
        branch = "receive" if steps == "/0/*" else "change"
        raise DescriptorError(
            f"{who} ends in {steps}: this is the {branch} branch alone",
            hint=f"write {BRANCH_STEPS}, or give both descriptors, one a line",
        )
    if re.search(r"h|H|'", steps):
        raise DescriptorError(f"{who} is followed by hardened steps, which need the private key")
    if not steps.endswith("/*"):
        raise DescriptorError(f"{who} does not end in {BRANCH_STEPS}", hint=KEY_HINT)
    _refuse_branches(who, steps, pairs=pairs)
    if re.fullmatch(r"(/[0-9]+)*(/<[0-9]+;[0-9]+>)?(/[0-9]+)*/\*", steps, re.ASCII):
        raise NotSupportedError(
            f"{who} is followed by {steps}, and only {BRANCH_STEPS} is supported",
            hint="derive the extra steps into the xpub and its origin",
        )
    raise DescriptorError(f"{who} does not end in {BRANCH_STEPS}", hint=KEY_HINT)


def _refuse_branches(who: str, steps: str, *, pairs: bool) -> None:
    for branches in re.findall(r"<([^<>]*)>", steps):
        numbers = re.fullmatch(r"([0-9]{1,10});([0-9]{1,10})", branches, re.ASCII)
        if numbers is not None and int(numbers[1]) > int(numbers[2]):
            raise DescriptorError(
                f"{who} has receive and change exchanged: <{branches}>", hint=f"write <{numbers[2]};{numbers[1]}>"
            )
        distinct = numbers is not None and int(numbers[1]) < int(numbers[2]) < HARDENED
        if not distinct or not (pairs or branches == "0;1"):
            wanted = "a pair of branches" if pairs else "exactly <0;1>"
            raise DescriptorError(f"{who} has the branches <{branches}>, not {wanted}")


def named(keys: Sequence[WalletKey], names: Mapping[bytes, str]) -> tuple[WalletKey, ...]:
    """The keys with their cosigners' names.

    Args:
        keys: In order.
        names: Master fingerprint -> name.

    Raises:
        UsageError: A name for a fingerprint that no key has, a name used twice, or one that cannot be shown.
    """
    known = {key.fingerprint for key in keys}
    taken: dict[str, bytes] = {}
    for fingerprint, given in names.items():
        if fingerprint not in known:
            there = ", ".join(sorted(key.fingerprint.hex() for key in keys))
            raise UsageError(f"no key has the fingerprint {fingerprint.hex()}", hint=f"the wallet has {there}")
        check_key_name(given)
        if taken.setdefault(given.casefold(), fingerprint) != fingerprint:
            raise UsageError(f"two cosigners cannot both be called {given}")
    return tuple(WalletKey(key.origin, key.xpub, names.get(key.fingerprint)) for key in keys)
