"""Judging a descriptor that somebody pasted: our own checks, then btclib-wallet's, before it becomes a `Wallet`.

Accepted: `wsh`, `sh(wsh)` and `sh` around `sortedmulti` or `multi`; miniscript in `wsh` and `sh(wsh)`; `tr` with leaves
of `multi_a`, `sortedmulti_a` or miniscript under any internal key, and with a `musig` internal key. Every key is an
extended public key followed by a pair of branches (BIP379, 380, 383, 386, 387, 389, 390). Everything else is refused
with the exact difference (THREATS S2, S3, S5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, UsageError
from wormsig.wallet import checks, judge
from wormsig.wallet.checksum import CHECKSUM_LENGTH, descriptor_checksum, first_foreign_character
from wormsig.wallet.derive import Deriver
from wormsig.wallet.expressions import named
from wormsig.wallet.grammar import plain_markers, quoted_markers, split_checksum
from wormsig.wallet.guard import refuse_private_keys
from wormsig.wallet.miniscript import KEY_FRAGMENTS, ShapeError
from wormsig.wallet.model import BRANCH_STEPS, Wallet
from wormsig.wallet.policy import MultisigPolicy, TaprootPolicy, Unspendable
from wormsig.wallet.reading import read_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wormsig.wallet.model import WalletKey
    from wormsig.wallet.reading import Draft

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
        The wallet, its scripts compared with btclib-wallet's at indexes 0 and 1 of both branches.

    Raises:
        DescriptorError: It is not a descriptor, or must not be used; no message shows a private key.
        NotSupportedError: A valid descriptor of a kind that this version does not handle.
        UsageError: A test network must be named, or a name is given for a fingerprint that is not there.
    """
    body = checked_body(text)
    try:
        draft = read_body(body)
    except ShapeError:
        judge.refuse_other_kind(body, network)
    if _is_single_key(draft):
        judge.refuse_single_key(draft.script_type)
    chain = _chain(draft, network)
    checks.check(draft.script_type, draft.policy, draft.keys)
    if not isinstance(draft.policy, MultisigPolicy):
        judge.check_valid(body, chain)
    wallet = Wallet(
        name=name,
        network=chain,
        script_type=draft.script_type,
        policy=draft.policy,
        keys=named(draft.keys, names or {}),
        birth=birth,
    )
    _compare(wallet)
    return wallet


def _is_single_key(draft: Draft) -> bool:
    """Whether this is `tr(KEY)`, `wsh(pk(KEY))` or `wsh(pkh(KEY))`: nobody's shared wallet."""
    policy = draft.policy
    if isinstance(policy, TaprootPolicy):
        return policy.tree is None and len(draft.keys) == 1
    if isinstance(policy, MultisigPolicy):
        return False
    return policy.script.name == "c" and policy.script.subs[0].name in KEY_FRAGMENTS


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
        (body.replace("sortedmulti", "multi"), "with multi instead of sortedmulti")
        if "sortedmulti" in body
        else (body.replace("multi", "sortedmulti"), "with sortedmulti instead of multi")
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


def _chain(draft: Draft, network: Network | None) -> Network:
    """The network that the keys' prefixes and the caller agree on."""
    main = [key.xpub.mainnet for key in _extended_keys(draft)]
    if not main:
        raise DescriptorError("the descriptor has no keys")
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


def _extended_keys(draft: Draft) -> Sequence[WalletKey]:
    """The keys, and behind them an xpub over H."""
    internal = draft.policy.internal if isinstance(draft.policy, TaprootPolicy) else None
    if isinstance(internal, Unspendable) and internal.key is not None:
        return (*draft.keys, internal.key)
    return draft.keys


def _compare(wallet: Wallet) -> None:
    """Our scripts against btclib's; they can differ only by a bug in one of the two, and then nobody gets a wallet."""
    theirs = judge.second_opinion(wallet)
    deriver = Deriver(wallet)
    for (branch, index), script in theirs.items():
        if deriver.script(branch, index).script_pubkey != script:
            raise DescriptorError(
                f"wormsig and btclib-wallet derive different scripts at {branch}/{index}: the wallet is not safe",
                hint="please report this descriptor",
            )
