"""btclib-wallet as the second judge of a descriptor: used when a wallet is imported, and only then.

Its import costs 0.1 to 0.2 s, so nothing that reads a kept wallet may come here. It accepts missing checksums,
duplicate keys and three-way branches: `descriptor` and `policy` check those themselves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, NotSupportedError
from wormsig.wallet.guard import redact

if TYPE_CHECKING:
    from wormsig.wallet.model import Wallet

# The function a descriptor begins with -> what people call it, for kinds that are valid and not handled yet.
_KINDS = (
    (re.compile(r"tr\(|(sh\()?wsh\("), "this form of descriptor"),
    (re.compile(r"rawtr\("), "taproot without internal key (rawtr)"),
    (re.compile(r"(sh\()?wpkh\("), "a single-key wallet (wpkh)"),
    (re.compile(r"(sh\((wsh\()?|wsh\()?pkh?\("), "a single-key wallet (pkh)"),
    (re.compile(r"combo\("), "a single-key wallet (combo)"),
    (re.compile(r"(sorted)?multi\("), "bare multisig"),
    (re.compile(r"addr\(|raw\("), "a single script (addr, raw)"),
)
_SUPPORTED = "wsh, sh(wsh) and sh around sortedmulti, multi or miniscript, and tr with scripts"
INDEXES = (0, 1)
"""Where scripts are compared."""


def btclib_name(network: Network | None) -> str | None:
    """What btclib calls a network; None stays None (the keys' network is then not checked)."""
    if network is None:
        return None
    return "testnet" if network is Network.TESTNET3 else network.value


def refuse_other_kind(text: str, network: Network | None) -> NoReturn:
    """Refuse a descriptor that is not one of the multisig shapes: valid but not handled yet, or not valid at all.

    Args:
        text: The descriptor, with or without checksum, free of private keys.
        network: The chain, when known.

    Raises:
        NotSupportedError: It is valid, of a kind that this version does not handle.
        DescriptorError: It is not a descriptor.
    """
    from btclib.exceptions import BTClibException  # noqa: PLC0415  0.1 to 0.2 s, needed at import only
    from btclib_wallet.descriptors import multipath_descriptors  # noqa: PLC0415  same

    try:
        multipath_descriptors(text, btclib_name(network))
    except (BTClibException, ValueError, RecursionError) as error:
        reason = redact(str(error)) or type(error).__name__
        raise DescriptorError(
            f"not a valid descriptor: {reason}", hint=f"a wallet here is {_SUPPORTED}"
        ) from None  # the other library's text may quote what it was given
    kind = next((words for pattern, words in _KINDS if pattern.match(text)), "this kind of descriptor")
    raise NotSupportedError(f"{kind} is not supported yet", hint=f"supported: {_SUPPORTED}")


def refuse_single_key(script_type: str) -> NoReturn:
    """Refuse a wallet of one key alone.

    Raises:
        NotSupportedError: Always.
    """
    raise NotSupportedError(
        f"a single-key wallet ({script_type}) is not supported yet", hint=f"supported: {_SUPPORTED}"
    )


def check_valid(body: str, network: Network) -> None:
    """Ask btclib whether a descriptor is valid: for miniscript well typed, not malleable, within limits, never keyless.

    Args:
        body: Without checksum, free of private keys.
        network: The chain.

    Raises:
        DescriptorError: It is not.
    """
    from btclib.exceptions import BTClibException  # noqa: PLC0415  0.1 to 0.2 s, needed at import only
    from btclib_wallet.descriptors import multipath_descriptors  # noqa: PLC0415  same

    try:
        multipath_descriptors(body, btclib_name(network))
    except (BTClibException, ValueError, RecursionError) as error:
        raise DescriptorError(f"not a valid descriptor: {redact(str(error))}") from None


def second_opinion(wallet: Wallet) -> dict[tuple[int, int], bytes]:
    """How btclib reads a wallet that our own checks accept: its first scripts on each branch.

    Args:
        wallet: The wallet.

    Returns:
        Branch and index -> scriptPubKey.

    Raises:
        DescriptorError: btclib refuses what we accepted.
    """
    from btclib.exceptions import BTClibException  # noqa: PLC0415  0.1 to 0.2 s, needed at import only
    from btclib_wallet.descriptors import multipath_descriptors, parse  # noqa: PLC0415  same

    name = btclib_name(wallet.network) or "mainnet"
    try:
        branches = [parse(text, name) for text in multipath_descriptors(wallet.descriptor, name)]
        return {
            (branch, index): parsed.expand(index)[0][0].script
            for branch, parsed in enumerate(branches)
            for index in INDEXES
        }
    except (BTClibException, ValueError, RecursionError) as error:
        raise DescriptorError(f"not a valid descriptor: {redact(str(error))}") from None
