"""Key files: a small JSON text, encrypted with age and a passphrase; plain on regtest only.

    {"wormsig": "key", "format": 1, "network": "signet", "origin": "d34db33f", "words": "abandon …"}

or, for an imported extended key,

    {"wormsig": "key", "format": 1, "network": "signet", "origin": "d34db33f/48h/1h/0h/2h", "xprv": "tprv…"}

`age -d FILE` shows it, so nobody needs wormsig to get at a key. Bytes in, bytes out, but for `read_key_file`; writing
is the caller's part.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, Final

from wormsig.bitcoin.keys import KeyOrigin
from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, InputError, KeyFileError, UsageError
from wormsig.signers import age
from wormsig.signers.secret import SecretKey, from_extended_key, from_words
from wormsig.wallet.record import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KIND: Final = "key"
FORMAT: Final = 1
MAX_KEY_FILE: Final = 64 * 1024
"""Bytes; a real one takes about 500."""


def encode_key(secret: SecretKey) -> bytes:
    """The key's text, unencrypted."""
    value = {
        "wormsig": KIND,
        "format": FORMAT,
        "network": secret.network.value,
        "origin": str(secret.origin),
        **({"words": secret.words} if secret.words is not None else {"xprv": secret.key.text()}),
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def decode_key(data: bytes) -> SecretKey:
    """Read a key's text.

    Raises:
        KeyFileError: Malformed, or its parts do not fit each other; nothing of it is in the message.
    """
    try:
        value = decode_json(data)
    except InputError:
        raise KeyFileError("not a wormsig key file", hint=_IMPORT_HINT) from None
    if not isinstance(value, dict) or value.get("wormsig") != KIND:
        raise KeyFileError("not a wormsig key file", hint=_IMPORT_HINT)
    if value.get("format") != FORMAT:
        raise KeyFileError(f"the key file has another format than {FORMAT}", hint="it needs a newer wormsig")
    secret = _decode(value)
    if str(secret.origin) != value["origin"]:
        raise KeyFileError("the key file is damaged: its key is not that of its origin")
    return secret


_IMPORT_HINT = "`wormsig key import FILE` makes one out of an xprv, words or a descriptor"


def _decode(value: dict[str, Any]) -> SecretKey:
    kind = "words" if "words" in value else "xprv"
    if set(value) != {"wormsig", "format", "network", "origin", kind}:
        raise KeyFileError("the key file has missing or unknown fields")
    if not all(isinstance(value[name], str) for name in ("network", "origin", kind)):
        raise KeyFileError("a field of the key file has the wrong type")
    try:
        network = Network(value["network"])
        origin = KeyOrigin.from_text(value["origin"])
    except (ValueError, DescriptorError):
        raise KeyFileError("the key file has an unknown network or a malformed origin") from None
    if kind == "words":
        return from_words(value["words"], network)
    return from_extended_key(value["xprv"], network, origin)


def seal(secret: SecretKey, passphrase: str | None) -> bytes:
    """The key file's bytes.

    Args:
        secret: The key.
        passphrase: None writes it plain, which only a regtest key may be.

    Raises:
        UsageError: A plain file for another network, or an empty passphrase.
    """
    if passphrase is None:
        check_plain(secret.network)
        return encode_key(secret)
    return age.encrypt(encode_key(secret), passphrase)


def check_plain(network: Network) -> None:
    """A key may lie on disk unencrypted on regtest only.

    Raises:
        UsageError: Another network.
    """
    if network is not Network.REGTEST:
        raise UsageError(
            f"a plain key file is for regtest only, and this key is for {network.value}",
            hint="leave --plain out and choose a passphrase, or use --network regtest",
        )


def open_key(data: bytes, ask: Callable[[], str]) -> SecretKey:
    """Read a key file's bytes. With a passphrase this takes up to 3 s and holds the interpreter lock.

    Args:
        data: The file.
        ask: Gives the passphrase; called only for an encrypted file whose header is in order.

    Raises:
        KeyFileError: Malformed, too much work, a plain file of another network than regtest, or a wrong passphrase.
    """
    if age.is_age(data):
        binary = age.check_openable(data)
        return decode_key(age.decrypt(binary, ask()))
    secret = decode_key(data)
    if secret.network is not Network.REGTEST:
        raise KeyFileError(
            f"the key file is not encrypted, and its key is for {secret.network.value}",
            hint="plain key files are for regtest only; import the key again with a passphrase",
        )
    return secret


def _similar(path: Path) -> str | None:
    """The name of a file beside it that a person may have meant."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return None
    return next(iter(difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)), None)


def read_key_file(path: Path, ask: Callable[[], str]) -> SecretKey:
    """Open a key file on disk; see `open_key`.

    Raises:
        KeyFileError: It cannot be read; and as `open_key`. The message begins with the path.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE + 1)
    except FileNotFoundError:
        near = _similar(path)
        meant = f"; did you mean {near}?" if near else ""
        raise KeyFileError(f"there is no key file {path}{meant}", hint="`wormsig key new FILE` makes one") from None
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from None
    if len(data) > MAX_KEY_FILE:
        raise KeyFileError(f"{path} is too large to be a key file")
    try:
        return open_key(data, ask)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error.message}", hint=error.hint) from None
