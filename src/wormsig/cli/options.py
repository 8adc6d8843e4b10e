"""The options that several commands share, each bundle collected into one frozen value of `app.settings`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from wormsig.app.settings import PassphraseOptions, RelayOptions, ReviewOptions, RpcOptions, WalletOptions
from wormsig.bitcoin.network import Network
from wormsig.cli.console import Console

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

PUBLIC_RELAY = "ws://relay.magic-wormhole.io:4000/v1"


def _bundle(
    name: str, build: Callable[..., Any], fields: dict[str, str], *options: Callable[[Any], Any]
) -> Decorator[Any]:
    """Add options and hand them to the command as one keyword argument.

    Args:
        name: The keyword argument.
        build: Makes the value.
        fields: Click's parameter name -> `build`'s.
        options: The Click decorators.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  whatever the command takes and returns
            values = {field: kwargs.pop(parameter) for parameter, field in fields.items()}
            return function(*args, **kwargs, **{name: build(**values)})

        for option in reversed(options):
            wrapper = option(wrapper)
        return wrapper

    return decorate


def file_path(exists: bool = False) -> click.Path:
    """The type of an option that names a file.

    Args:
        exists: It has to be there.
    """
    return click.Path(path_type=Path, dir_okay=False, exists=exists)


def network_choice(words: str) -> Decorator[Any]:
    """--network, for commands to which it means what the words say."""
    return click.option(
        "--network",
        type=click.Choice([network.value for network in Network]),
        callback=lambda _ctx, _param, value: Network(value) if value else None,
        envvar="WORMSIG_NETWORK",
        help=f"{words}  [env: WORMSIG_NETWORK]",
    )


network_option: Decorator[Any] = network_choice("The chain; else the wallet's. A conflict with wallet or node refuses.")

wallet_options: Decorator[Any] = _bundle(
    "wallet_options",
    WalletOptions,
    {"wallet": "wallet", "network": "network"},
    click.option(
        "--wallet",
        metavar="NAME|FILE",
        envvar="WORMSIG_WALLET",
        help="The agreed wallet: a name in the registry, or a file with its descriptor.  [env: WORMSIG_WALLET]",
    ),
    network_option,
)

rpc_options: Decorator[Any] = _bundle(
    "rpc",
    RpcOptions,
    {
        "rpc_url": "url",
        "rpc_cookie": "cookie",
        "rpc_user": "user",
        "rpc_password_file": "password_file",
        "rpc_wallet": "wallet",
    },
    click.option("--rpc-url", metavar="URL", envvar="WORMSIG_RPC_URL", help="The node.  [env: WORMSIG_RPC_URL]"),
    click.option(
        "--rpc-cookie",
        type=file_path(),
        envvar="WORMSIG_RPC_COOKIE",
        help="Its cookie file.  [env: WORMSIG_RPC_COOKIE]",
    ),
    click.option("--rpc-user", envvar="WORMSIG_RPC_USER", help="Its user.  [env: WORMSIG_RPC_USER]"),
    click.option(
        "--rpc-password-file",
        type=file_path(),
        envvar="WORMSIG_RPC_PASSWORD_FILE",
        help="A file with the password.  [env: WORMSIG_RPC_PASSWORD_FILE]",
    ),
    click.option(
        "--rpc-wallet", envvar="WORMSIG_RPC_WALLET", help="The node wallet to use.  [env: WORMSIG_RPC_WALLET]"
    ),
)

review_options: Decorator[Any] = _bundle(
    "review_options",
    ReviewOptions,
    {
        "max_fee": "max_fee",
        "max_fee_rate": "max_fee_rate",
        "trust_amounts": "trust_amounts",
        "allow_sighash": "allow_sighash",
        "pay_anyway": "pay_anyway",
    },
    click.option("--max-fee", metavar="SATS|PERCENT%", help="Highest fee; replaces the limit of 10 %."),
    click.option("--max-fee-rate", metavar="SAT/VB", help="Highest fee rate; replaces the limit of 1000 sat/vB."),
    click.option("--trust-amounts", is_flag=True, help="Accept amounts that no previous transaction proves."),
    click.option(
        "--allow-sighash",
        multiple=True,
        metavar="TYPE",
        help="Accept this sighash type too. Repeat for more.",
    ),
    click.option(
        "--pay-anyway",
        multiple=True,
        type=click.IntRange(0),
        metavar="INDEX",
        help="Pay this output although it looks like a false change.",
    ),
)

passphrase_options: Decorator[Any] = _bundle(
    "passphrase",
    PassphraseOptions,
    {"passphrase_file": "file", "passphrase_fd": "fd"},
    click.option(
        "--passphrase-file", type=file_path(), help="Read the key file's passphrase from this file's first line."
    ),
    click.option(
        "--passphrase-fd",
        type=click.IntRange(0),
        metavar="N",
        help="Read the key file's passphrase from descriptor N.",
    ),
)

relay_options: Decorator[Any] = _bundle(
    "relay",
    RelayOptions,
    {
        "relay_url": "urls",
        "relay_ca": "authority",
        "code_length": "code_length",
        "verify": "verify",
        "tor": "tor",
        "launch_tor": "launch_tor",
        "tor_control_port": "tor_control_port",
    },
    click.option(
        "--relay-url",
        metavar="URL",
        envvar="WORMHOLE_RELAY_URL",
        multiple=True,
        callback=lambda _ctx, _param, urls: tuple(urls) or (PUBLIC_RELAY,),
        help="The mailbox server, ws:// or wss://; the public one when left out. Repeat to fall back on others, "
        "tried in order (in the variable, with spaces between).  [env: WORMHOLE_RELAY_URL]",
    ),
    click.option(
        "--relay-ca",
        type=file_path(),
        metavar="FILE",
        envvar="WORMSIG_RELAY_CA",
        help="Believe only these certificates about a wss:// relay, not the system's.  [env: WORMSIG_RELAY_CA]",
    ),
    click.option(
        "-c",
        "--code-length",
        type=click.IntRange(2, 10),
        default=3,
        show_default=True,
        metavar="N",
        help="Words in a new code.",
    ),
    click.option("-v", "--verify", is_flag=True, help="Compare the verifier before anything is sent."),
    click.option("--tor", is_flag=True, help="Connect through the Tor that runs here."),
    click.option("--launch-tor", is_flag=True, help="Through a Tor of our own, started for this."),
    click.option(
        "--tor-control-port",
        metavar="ENDPOINT",
        help="Through the Tor with this control port.",
    ),
)

_console_fields = {"as_json": "as_json", "quiet": "quiet", "no_color": "no_color"}


def _console(*, as_json: bool, quiet: bool, no_color: bool, yes: bool = False) -> Console:
    import os  # noqa: PLC0415  two names, used here only
    import sys  # noqa: PLC0415  same

    color = not (no_color or os.environ.get("NO_COLOR")) and sys.stderr.isatty()
    return Console(quiet=quiet, as_json=as_json, yes=yes, color=color)


_console_flags = (
    click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output."),
    click.option("-q", "--quiet", is_flag=True, help="Only results, questions and failures."),
    click.option("--no-color", is_flag=True, help="No colour (also NO_COLOR)."),
)

console_options: Decorator[Any] = _bundle("console", _console, _console_fields, *_console_flags)
"""--json, -q, --no-color, as one `Console`."""

asking_console_options: Decorator[Any] = _bundle(
    "console",
    _console,
    {**_console_fields, "yes": "yes"},
    *_console_flags,
    click.option(
        "-y",
        "--yes",
        is_flag=True,
        help="Do not ask; refuse (exit 4) when the review has an error or a warning.",
    ),
)
"""The same with -y, for commands that ask."""

output_options: Decorator[Any] = _bundle(
    "output",
    lambda output, force: (output, force),
    {"output": "output", "force": "force"},
    click.option(
        "-o", "--output", type=file_path(), metavar="FILE", help="Write a binary PSBT there, whole or not at all."
    ),
    click.option("--force", is_flag=True, help="Replace an existing file."),
)
"""-o FILE and --force, as `(path | None, force)`."""


class Common(msgspec.Struct, frozen=True):
    """What the options say that every command has which runs a ceremony.

    Attributes:
        output: `-o` and `--force`.
        wallet_options: Which wallet.
        rpc: Which node.
        review_options: What a person allows.
        passphrase: Where a passphrase comes from.
        relay: How to reach the relay.
        console: The terminal, or a script.
    """

    output: tuple[Path | None, bool]
    wallet_options: WalletOptions
    rpc: RpcOptions
    review_options: ReviewOptions
    passphrase: PassphraseOptions
    relay: RelayOptions
    console: Console

    def need_person_to_compare(self) -> None:
        """Raise UsageError when the verifier is to be compared and nobody is there to do it."""
        if self.relay.verify:
            self.console.need_person("comparing the verifier", hint="--verify needs a terminal on both sides")


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the bundles that a ceremony needs, and hand them to the command as one `Common`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  whatever the command takes and returns
        common = Common(**{name: kwargs.pop(name) for name in Common.__struct_fields__})
        return function(*args, **kwargs, common=common)

    bundles = (
        output_options,
        wallet_options,
        rpc_options,
        review_options,
        passphrase_options,
        relay_options,
        asking_console_options,
    )
    for bundle in reversed(bundles):
        wrapper = bundle(wrapper)
    return wrapper


def sendable(reason: str) -> str:
    """A reason as it can be sent: the command line may hold bytes that are no text."""
    return reason.encode("utf-8", "replace").decode()


psbt_argument: Decorator[Any] = click.argument("psbt", metavar="PSBT")
"""A path, `-` for standard input, or base64 that starts with cHNidP."""
