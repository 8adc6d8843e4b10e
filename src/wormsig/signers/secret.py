"""A private key with its network and origin: made anew, or read from what a person has.

The only value of wormsig that holds a long-lived secret. Its `repr` and every message about it show none (THREATS
M1). How it is kept on disk is in `keyfile`.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wormsig.bitcoin.keys import HARDENED, ExtendedPrivateKey, KeyOrigin, parse_path
from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, InputError, KeyFileError, UsageError
from wormsig.wallet.checksum import descriptor_checksum, first_foreign_character
from wormsig.wallet.grammar import split_checksum
from wormsig.wallet.model import BRANCH_STEPS

if TYPE_CHECKING:
    from wormsig.wallet.model import ScriptKind, WalletKey

MAX_SECRET_TEXT = 20_000
"""Characters of what may be imported; a descriptor of twenty keys takes about 3,000."""

_PRIVATE_KEY = re.compile(
    r"(?:\[([0-9a-fA-F]{8}(?:/[0-9]{1,10}[h']?)*)\])?([a-zA-Z]prv[0-9A-Za-z]+)((?:/[^,()#\s]*)?)", re.ASCII
)
_FORMS = "an xprv with or without [fingerprint/path], BIP39 words, or a descriptor with one xprv in it"


def standard_path(script_type: ScriptKind, network: Network, account: int = 0) -> tuple[int, ...]:
    """Where a cosigner's key for a kind of script is customarily found below a master key.

    Args:
        script_type: `wsh` is m/48h/coin/account/2h and `sh-wsh` m/48h/coin/account/1h (BIP48), `tr`
            m/48h/coin/account/3h as wallets have it; `sh` is m/45h (BIP45).
        network: Decides the coin type: 0h on mainnet, 1h elsewhere.
        account: Ignored for `sh`: BIP45 has none.
    """
    if script_type == "sh":
        return (HARDENED + 45,)
    kind = {"sh-wsh": 1, "wsh": 2, "tr": 3}[script_type]
    return (HARDENED + 48, HARDENED + network.coin_type, HARDENED + account, HARDENED + kind)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """An extended private key that a person keeps.

    Attributes:
        network: The chain that it is for.
        key: A master key, or an account's.
        origin: Where `key` comes from; a master key's own fingerprint with an empty path. An account key given
            without origin counts as its own root, as in a descriptor.
        words: The BIP39 words that `key` is made from, if it is.
    """

    network: Network
    key: ExtendedPrivateKey = field(repr=False)
    origin: KeyOrigin
    words: str | None = field(default=None, repr=False)

    @property
    def is_master(self) -> bool:
        """Whether hardened paths can be derived from a known root."""
        return self.key.depth == 0

    def account(self, script_type: ScriptKind, account: int = 0) -> tuple[KeyOrigin, ExtendedPrivateKey]:
        """The key to put into a wallet of this script type.

        A master key is derived at `standard_path`. An account key above that path is derived the rest of the way;
        any other account key is taken as it is.
        """
        wanted = standard_path(script_type, self.network, account)
        have = self.origin.path
        if self.is_master or (have and wanted[: len(have)] == have):
            rest = wanted[len(have) :]
            return KeyOrigin(self.origin.fingerprint, wanted), self.key.derive(rest)
        return self.origin, self.key

    def expression(self, script_type: ScriptKind, account: int = 0) -> str:
        """The public key expression for a descriptor: `[d34db33f/48h/0h/0h/2h]xpub…/<0;1>/*`."""
        origin, key = self.account(script_type, account)
        return f"[{origin}]{key.neuter().text()}{BRANCH_STEPS}"

    def find(self, wallet_key: WalletKey, script_type: ScriptKind) -> ExtendedPrivateKey | None:
        """The private half of one of a wallet's keys, when it can be derived from this one.

        Tried: the path that the wallet's key origin names (when its fingerprint is ours), this key itself, and the
        standard path. What counts is the key that comes out, never what an origin claims.
        """
        have = self.origin.path
        wanted = wallet_key.origin.path
        places: list[tuple[int, ...]] = [()]
        if wallet_key.fingerprint == self.origin.fingerprint and wanted[: len(have)] == have:
            places.insert(0, wanted[len(have) :])
        if self.is_master:
            places.append(standard_path(script_type, self.network))
        for path in dict.fromkeys(places):
            found = self.key.derive(path)
            if found.chain_code == wallet_key.xpub.chain_code and found.pubkey == wallet_key.xpub.pubkey:
                return found
        return None


def new_secret(network: Network) -> SecretKey:
    """A new master key: 24 BIP39 words of 256 random bits."""
    from bip39_slip39 import bip39  # noqa: PLC0415  its word lists are needed for words only

    return from_words(bip39.mnemonic_from_entropy(secrets.token_bytes(32)), network)


def from_words(words: str, network: Network) -> SecretKey:
    """The master key of BIP39 words, with an empty BIP39 passphrase.

    Args:
        words: 12, 15, 18, 21 or 24 words of any BIP39 language.
        network: The chain.

    Raises:
        KeyFileError: Not BIP39 words, or their checksum is wrong; no word is in the message.
    """
    from bip39_slip39 import bip39, mnemonic  # noqa: PLC0415  their word lists are needed for words only
    from bip39_slip39.exceptions import Bip39Slip39Exception  # noqa: PLC0415  same

    clean = mnemonic.normalize_mnemonic(words.lower())
    try:
        bip39.entropy_from_mnemonic(clean)  # checks the number of words, each of them and the checksum
        seed = bip39.seed_from_mnemonic(clean, "")
    except Bip39Slip39Exception:
        raise KeyFileError(
            f"these {len(clean.split())} words are not BIP39 words with a right checksum",
            hint="12, 15, 18, 21 or 24 words; a word is mistyped, missing or in the wrong place",
        ) from None  # the cause may quote a word
    key = ExtendedPrivateKey.from_seed(seed, mainnet=network.is_mainnet)
    return SecretKey(network, key, KeyOrigin(key.fingerprint, ()), clean)


def from_extended_key(text: str, network: Network | None, origin: KeyOrigin | None = None) -> SecretKey:
    """A key from an xprv or tprv.

    Args:
        text: The key alone.
        network: The chain; None takes mainnet for an xprv.
        origin: Where it comes from, when that is known.

    Raises:
        KeyFileError: Not a private extended key, or its origin cannot be true.
        UsageError: A tprv, and no network.
    """
    try:
        key = ExtendedPrivateKey.from_text(text)
    except DescriptorError as error:
        raise KeyFileError(error.message, hint=error.hint) from None
    chain = _chain(key.mainnet, network)
    own = KeyOrigin(key.fingerprint, ())
    if origin is not None and origin != own and (key.depth == 0 or not origin.path):
        raise KeyFileError(
            f"the origin [{origin}] is not that of this key, whose own fingerprint is {own.fingerprint.hex()}"
        )
    if origin is not None and origin.path and len(origin.path) != key.depth:
        raise KeyFileError(f"the origin has {len(origin.path)} steps, the key says depth {key.depth}")
    return SecretKey(chain, key, origin or own)


def _chain(mainnet: bool, network: Network | None) -> Network:
    if network is None:
        if mainnet:
            return Network.MAINNET
        raise UsageError(
            "a tprv is for any of the test networks", hint="say which: --network testnet3|testnet4|signet|regtest"
        )
    if network.is_mainnet != mainnet:
        kind = "an xprv is for mainnet" if mainnet else "a tprv is for a test network"
        raise KeyFileError(f"{kind}, and the network is {network.value}")
    return network


def read_secret(text: str, network: Network | None) -> SecretKey:
    """Read a private key in any form that a person may have it in.

    Args:
        text: An xprv or tprv with or without `[fingerprint/path]`, BIP39 words, or a descriptor that holds exactly
            one private extended key.
        network: The chain; None takes mainnet, but for a tprv.

    Raises:
        KeyFileError: None of these; the message never repeats what was given.
        UsageError: A tprv, and no network.
    """
    text = text.strip()
    if not text:
        raise KeyFileError("there is no key", hint=f"give {_FORMS}")
    if len(text) > MAX_SECRET_TEXT:
        raise KeyFileError("this is too long to be a key", hint=f"give {_FORMS}")
    if "(" in text:
        return _from_descriptor(text, network)
    match = _PRIVATE_KEY.fullmatch(text)
    if match is not None:
        return from_extended_key(match[2], network, _origin(match[1]))
    if re.fullmatch(r"[^\W\d_]+(\s+[^\W\d_]+)+", text):
        return from_words(text, network or Network.MAINNET)
    raise KeyFileError("this is not a private key that can be used", hint=f"give {_FORMS}")


def _origin(text: str | None) -> KeyOrigin | None:
    if text is None:
        return None
    fingerprint, _, path = text.partition("/")
    try:
        return KeyOrigin(bytes.fromhex(fingerprint), parse_path(path) if path else ())
    except InputError as error:
        raise KeyFileError(f"the key's origin: {error.message}") from None


def _from_descriptor(text: str, network: Network | None) -> SecretKey:
    """The one private key of a descriptor, with its origin; the descriptor itself is not kept."""
    body, checksum = split_checksum(text)
    if first_foreign_character(body) is not None:
        raise KeyFileError("the descriptor has a character that does not belong in one")
    if not re.fullmatch(r"[a-z_]+\(.*\)", body, re.ASCII) or body.count("(") != body.count(")"):
        raise KeyFileError("the descriptor is cut off", hint="copy it again, whole")
    if checksum is not None and checksum != descriptor_checksum(body):
        raise KeyFileError("the descriptor's checksum is wrong", hint="copy it again, whole")
    found = {(match[1], match[2]) for match in _PRIVATE_KEY.finditer(body)}
    if len(found) != 1:
        raise KeyFileError(
            f"the descriptor holds {len(found) or 'no'} private extended key{'s' if len(found) > 1 else ''}",
            hint="one key file holds one key: give a descriptor with exactly one xprv in it, or the xprv alone",
        )
    origin, key = found.pop()
    return from_extended_key(key, network, _origin(origin))
