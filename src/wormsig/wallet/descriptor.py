"""Judging a descriptor that somebody pasted: our own checks, then btclib-wallet's, before it becomes a `Wallet`.

Accepted: `wsh`, `sh(wsh)` and `sh` around `sortedmulti` or `multi`, every key an extended public key followed by
`/<0;1>/*` (BIP380, 383, 389). Everything else is refused with the exact difference (THREATS S2, S3, S5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, InputError, NotSupportedError, UsageError
from wormsig.wallet import judge, policy
from wormsig.wallet.checksum import CHECKSUM_LENGTH, descriptor_checksum, first_foreign_character
from wormsig.wallet.derive import Deriver
from wormsig.wallet.expressions import decode_key, named
from wormsig.wallet.grammar import plain_markers, quoted_markers, split_checksum, split_key, split_multisig
from wormsig.wallet.guard import refuse_private_keys
from wormsig.wallet.model import BRANCH_STEPS, BRANCHES, Wallet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.wallet.grammar import KeyText, MultisigText
    from wormsig.wallet.model import WalletKey

MAX_DESCRIPTOR = 10_000
"""Characters; twenty keys with origins take about 3,000."""

_TEST_NETWORKS = tuple(network.value for network in Network if not network.is_mainnet)


def parse_descriptor(
    text: str,
    network: Network | None = None,
    *,
    names: Mapping[bytes, str] | None = None,
    name: str = "",
    birth: int | None = None,
) -> Wallet:
    """Judge a descriptor and make the wallet that it describes.

    Args:
        text: One descriptor with `/<0;1>/*` after every key; its checksum may be left out, not wrong.
        network: The chain; None takes mainnet for mainnet keys and refuses keys of the test networks, which
            share one prefix.
        names: Master fingerprint -> what to call that cosigner.
        name: The wallet's name.
        birth: Unix time before which the wallet has no coins.

    Returns:
        The wallet, its scripts compared with btclib-wallet's at index 0 of both branches.

    Raises:
        DescriptorError: It is not a descriptor, or must not be used; no message shows a private key.
        NotSupportedError: A valid descriptor of a kind that this version does not handle.
        UsageError: A test network must be named, or a name is given for a fingerprint that is not there.
    """
    body = checked_body(text)
    shape = split_multisig(body)
    if shape is None:
        judge.refuse_other_kind(body, network)
    threshold = _threshold(shape)
    policy.check_numbers(shape.script_type, threshold, len(shape.keys))
    keys = [_key(position, expression) for position, expression in enumerate(shape.keys, 1)]
    chain = _chain(keys, network)
    policy.check(shape.script_type, threshold, keys)
    wallet = Wallet(
        name=name,
        network=chain,
        script_type=shape.script_type,
        sorted=shape.sorted,
        threshold=threshold,
        keys=named(keys, names or {}),
        birth=birth,
    )
    _compare(wallet)
    return wallet


def checked_body(text: str) -> str:
    """A descriptor's text without its checksum, after the checks that need only the characters.

    Raises:
        DescriptorError: Empty, too long, a private key in it, a character outside BIP380's alphabet, or a wrong
            checksum.
    """
    text = text.strip()
    if not text:
        raise DescriptorError("the descriptor is empty")
    if len(text) > MAX_DESCRIPTOR:
        raise DescriptorError(f"the descriptor has {len(text)} characters, more than {MAX_DESCRIPTOR}")
    refuse_private_keys(text)
    at = first_foreign_character(text)
    if at is not None:
        raise DescriptorError(f"character {at + 1} of the descriptor, U+{ord(text[at]):04X}, does not belong in one")
    if " " in text:
        raise DescriptorError(f"character {text.index(' ') + 1} of the descriptor is a space")
    body, checksum = split_checksum(text)
    if checksum is not None:
        _check_checksum(body, checksum)
    return body


def _check_checksum(body: str, given: str) -> None:
    if len(given) != CHECKSUM_LENGTH:
        raise DescriptorError(f"the checksum has {len(given)} characters, not {CHECKSUM_LENGTH}")
    right = descriptor_checksum(body)
    if given == right:
        return
    meant = next((words for other, words in _variants(body) if descriptor_checksum(other) == given), None)
    if meant is not None:
        raise DescriptorError(
            f"wrong checksum: #{given} belongs to the same descriptor {meant}; this text has #{right}",
            hint="ask whoever sent it which one was meant",
        )
    raise DescriptorError(
        f"wrong checksum: the descriptor says #{given}, its text has #{right}",
        hint="a character was changed or lost on the way; copy it again",
    )


def _variants(body: str) -> list[tuple[str, str]]:
    """Slips that people make, so that a wrong checksum can say what it belongs to."""
    swapped = (
        (body.replace("sortedmulti(", "multi("), "with multi instead of sortedmulti")
        if "sortedmulti(" in body
        else (body.replace("multi(", "sortedmulti("), "with sortedmulti instead of multi")
    )
    single = body.replace(BRANCH_STEPS, "/0/*")
    change = body.replace(BRANCH_STEPS, "/1/*")
    return [
        swapped,
        (quoted_markers(body), "with ' for hardened steps"),
        (plain_markers(body), "with h for hardened steps"),
        (single, "with /0/* instead of /<0;1>/*"),
        (change, "with /1/* instead of /<0;1>/*"),
    ]


def _threshold(shape: MultisigText) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,3}", shape.threshold, re.ASCII):
        raise DescriptorError("the threshold is not a number", hint="write for example wsh(sortedmulti(2,KEY,KEY,KEY))")
    return int(shape.threshold)


def _key(position: int, expression: str) -> WalletKey:
    pieces = split_key(expression)
    if pieces is None:
        raise DescriptorError(f"key {position} is not a key expression", hint=_KEY_HINT)
    who = f"key {position}" + (f" [{pieces.fingerprint.lower()}]" if pieces.fingerprint else "")
    _refuse_single_key(who, pieces)
    try:
        key = decode_key(pieces)
    except InputError as error:
        raise DescriptorError(f"{who}: {error.message}", hint=error.hint) from None
    _check_steps(who, pieces.steps)
    return key


_KEY_HINT = "write [d34db33f/48h/0h/0h/2h]xpub…/<0;1>/*, as `wormsig key show` prints it"


def _refuse_single_key(who: str, pieces: KeyText) -> None:
    if re.fullmatch(r"04[0-9a-fA-F]{128}", pieces.key, re.ASCII):
        raise DescriptorError(f"{who} is an uncompressed public key", hint=_KEY_HINT)
    if re.fullmatch(r"0[23][0-9a-fA-F]{64}", pieces.key, re.ASCII):
        raise DescriptorError(f"{who} is a single public key, not an extended one", hint=_KEY_HINT)


def _check_steps(who: str, steps: str) -> None:
    """Only `/<0;1>/*` may follow a key; say what is different.

    Raises:
        DescriptorError: Something else follows.
        NotSupportedError: Valid steps of a kind that this version does not handle.
    """
    if steps == BRANCH_STEPS:
        return
    if steps in {"/0/*", "/1/*"}:
        branch = "receive" if steps == "/0/*" else "change"
        raise DescriptorError(
            f"{who} ends in {steps}: this is the {branch} branch alone",
            hint=f"write {BRANCH_STEPS}, or give both descriptors, one a line",
        )
    if re.search(r"h|H|'", steps):
        raise DescriptorError(f"{who} is followed by hardened steps, which need the private key")
    if not steps.endswith("/*"):
        raise DescriptorError(f"{who} does not end in {BRANCH_STEPS}", hint=_KEY_HINT)
    branches = re.findall(r"<([^<>]*)>", steps)
    if branches == ["1;0"]:
        raise DescriptorError(f"{who} has receive and change exchanged: <1;0>", hint=f"write {BRANCH_STEPS}")
    if branches and branches != ["0;1"]:
        raise DescriptorError(f"{who} has the branches <{branches[0]}>, not exactly <0;1>")
    if re.fullmatch(r"(/[0-9]+)*(/<0;1>)?(/[0-9]+)*/\*", steps, re.ASCII):
        raise NotSupportedError(
            f"{who} is followed by {steps}, and only {BRANCH_STEPS} is supported",
            hint="derive the extra steps into the xpub and its origin",
        )
    raise DescriptorError(f"{who} does not end in {BRANCH_STEPS}", hint=_KEY_HINT)


def _chain(keys: list[WalletKey], network: Network | None) -> Network:
    """The network that the keys' prefixes and the caller agree on."""
    main = [key.xpub.mainnet for key in keys]
    if any(main) and not all(main):
        odd = main.index(not main[0]) + 1
        raise DescriptorError(f"keys 1 and {odd} are for different networks: xpub and tpub do not mix")
    if network is None:
        if main[0]:
            return Network.MAINNET
        raise UsageError(
            "the keys are for a test network, and the descriptor does not say which",
            hint=f"add --network {'|'.join(_TEST_NETWORKS)}",
        )
    if network.is_mainnet != main[0]:
        theirs = "mainnet (xpub)" if main[0] else "a test network (tpub)"
        raise DescriptorError(f"the keys are for {theirs}, and the network is {network.value}")
    return network


def _compare(wallet: Wallet) -> None:
    """Our scripts against btclib's; they can differ only by a bug in one of the two, and then nobody gets a wallet."""
    theirs = judge.second_opinion(wallet)
    deriver = Deriver(wallet)
    for branch in BRANCHES:
        if deriver.script(branch, 0).script_pubkey != theirs.get(branch):
            raise DescriptorError(
                f"wormsig and btclib-wallet derive different scripts at {branch}/0; the wallet is not safe to use",
                hint="please report this descriptor",
            )
