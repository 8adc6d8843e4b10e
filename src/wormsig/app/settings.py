"""What the common options say, as frozen values: the command line makes them, the use cases take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.bitcoin.network import Network


class RpcOptions(msgspec.Struct, frozen=True):
    """How to reach a node; `url` None means that there is none.

    Attributes:
        url: `http://HOST:PORT`.
        cookie: The cookie file, read again at every connection.
        user: User name, together with `password_file`.
        password_file: A file whose first line is the password.
        wallet: The node wallet to use, where a command needs a certain one.
    """

    url: str | None = None
    cookie: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    wallet: str | None = None


class WalletOptions(msgspec.Struct, frozen=True):
    """Which wallet, on which network.

    Attributes:
        wallet: A name in the registry, or the path of a file with a descriptor.
        network: What `--network` or WORMSIG_NETWORK says.
    """

    wallet: str | None = None
    network: Network | None = None


class ReviewOptions(msgspec.Struct, frozen=True):
    """What a person allows beyond the review's defaults (THREATS C1, C3, C5, C12).

    Attributes:
        max_fee: `SATS` or `PERCENT%`, as typed.
        max_fee_rate: sat/vB, as typed.
        trust_amounts: Accept amounts without a previous transaction.
        allow_sighash: Names of further sighash types.
        pay_anyway: Outputs that may pay a script that looks like ours and is not.
    """

    max_fee: str | None = None
    max_fee_rate: str | None = None
    trust_amounts: bool = False
    allow_sighash: tuple[str, ...] = ()
    pay_anyway: tuple[int, ...] = ()


class PassphraseOptions(msgspec.Struct, frozen=True):
    """Where a passphrase comes from when nobody is to be asked; never the command line."""

    file: Path | None = None
    fd: int | None = None


class RelayOptions(msgspec.Struct, frozen=True):
    """Magic Wormhole's own options.

    Attributes:
        urls: The mailbox servers' WebSocket URLs, in the order in which they are tried.
        authority: A file with the certificates that may vouch for them, in place of the system's.
        code_length: Words in a new code.
        verify: Compare the verifier before anything is sent.
        tor: Connect through Tor.
        launch_tor: Start a Tor of our own.
        tor_control_port: Endpoint of a running Tor's control port.
    """

    urls: tuple[str, ...]
    authority: Path | None = None
    code_length: int = 3
    verify: bool = False
    tor: bool = False
    launch_tor: bool = False
    tor_control_port: str | None = None

    @property
    def through_tor(self) -> bool:
        """Whether any of the options asks for Tor."""
        return self.tor or self.launch_tor or self.tor_control_port is not None
