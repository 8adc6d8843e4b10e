"""From what a person typed to the values that the use cases take: a PSBT, a wallet."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from wormsig.app.files import read_argument, shown
from wormsig.errors import InputError, UsageError
from wormsig.psbt import codec
from wormsig.wallet.registry import Registry, load_file

if TYPE_CHECKING:
    from wormsig.app.home import Home
    from wormsig.app.settings import WalletOptions
    from wormsig.psbt.model import Psbt
    from wormsig.wallet.model import Wallet


def load_psbt(argument: str) -> Psbt:
    """Read a PSBT argument: a path, `-`, or base64.

    Raises:
        InputError: It cannot be read, or is not a PSBT.
    """
    return parse_psbt(argument, read_argument(argument))


def parse_psbt(argument: str, data: bytes) -> Psbt:
    """Parse what was read for a PSBT argument; a failure names the argument.

    Raises:
        InputError: It is not a PSBT, or of a kind that is not supported.
    """
    try:
        raw = codec.from_any(data)
    except InputError as error:
        raise InputError(f"{shown(argument)} {error.message}", hint=error.hint) from None
    try:
        return codec.parse(raw)
    except InputError as error:
        error.message = f"{shown(argument)}: {error.message}"
        raise


def load_wallet(options: WalletOptions, home: Home) -> Wallet | None:
    """The wallet that the options name; None when they name none.

    A name in the registry comes first, then a file.

    Raises:
        UsageError: There is no such wallet, or it is on another network than `--network`.
        DescriptorError: The file holds no usable descriptor.
        StorageError: The registry's copy was changed.
    """
    if options.wallet is None:
        return None
    registry = Registry(home.wallets())
    if options.wallet in registry.names():
        wallet = registry.load(options.wallet)
    elif _is_file(options.wallet):
        wallet = load_file(Path(options.wallet), options.network)
    elif "(" in options.wallet:  # perhaps with a private key: it is not repeated
        raise UsageError(
            "--wallet takes a name or a file, and this is a descriptor",
            hint="`wormsig wallet import NAME DESCRIPTOR` keeps it under a name",
        )
    else:
        near = difflib.get_close_matches(options.wallet, registry.names(), n=1)
        raise UsageError(
            f"there is no wallet {shown(options.wallet)!r}{f'; did you mean {near[0]}?' if near else ''}",
            hint="`wormsig wallet list` shows what is there; `wormsig wallet import NAME DESCRIPTOR` adds one",
        )
    if options.network is not None and options.network is not wallet.network:
        raise UsageError(
            f"wallet {wallet.name} is on {wallet.network.value}, but --network says {options.network.value}"
        )
    return wallet


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long, not ours to look at, or with a NUL in it
        return False


def need_wallet(options: WalletOptions, home: Home) -> Wallet:
    """The wallet that the options name.

    Raises:
        UsageError: They name none; and as `load_wallet`.
    """
    wallet = load_wallet(options, home)
    if wallet is None:
        raise UsageError("this needs a wallet", hint="use --wallet NAME, or set WORMSIG_WALLET")
    return wallet
