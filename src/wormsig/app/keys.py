"""Use cases of key files: make, import, show, export, and open one to sign with.

Everything slow or interactive happens in the order that wastes nobody's time: what can be refused without a
passphrase is refused before one is asked for. Opening takes seconds and holds the interpreter lock, so it is done
before a reactor runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from wormsig.app.files import check_output, write_file
from wormsig.bitcoin.network import Network
from wormsig.errors import InputError, KeyFileError, UsageError
from wormsig.signers.keyfile import check_plain, read_key_file, seal
from wormsig.signers.secret import new_secret, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wormsig.app.settings import PassphraseOptions
    from wormsig.signers.secret import SecretKey
    from wormsig.wallet.model import ScriptKind

MAX_PASSPHRASE = 4096
"""Bytes."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some editors put it before a text; nobody could type it where the passphrase is asked for."""


class Passphrases(msgspec.Struct, frozen=True):
    """Where passphrases come from: a file, a descriptor number, else a person.

    Attributes:
        options: What the command line says.
        prompt: Asks a person without echo; raises UsageError when nobody is there. The argument is the question,
            and whether to ask twice.
    """

    options: PassphraseOptions
    prompt: Callable[[str, bool], str]

    def get(self, question: str, *, new: bool = False) -> str:
        """The passphrase.

        Args:
            question: What a person is asked.
            new: It is being chosen: asked twice, and not empty.

        Raises:
            UsageError: It cannot be read, is empty, or nobody can be asked.
        """
        if self.options.file is not None and self.options.fd is not None:
            raise UsageError("the passphrase comes from a file or from a descriptor, not from both")
        if self.options.file is not None:
            found = _first_line(self._read_file(self.options.file))
        elif self.options.fd is not None:
            found = _first_line(self._read_descriptor(self.options.fd))
        else:
            found = self.prompt(question, new)
        if not found:
            raise UsageError("the passphrase is empty")
        return found

    @staticmethod
    def _read_file(path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(MAX_PASSPHRASE + 1)
        except OSError as error:
            raise UsageError(f"cannot read the passphrase file {path}: {error.strerror}") from None

    @staticmethod
    def _read_descriptor(number: int) -> bytes:
        data = b""
        try:
            while b"\n" not in data and len(data) <= MAX_PASSPHRASE:
                more = os.read(number, MAX_PASSPHRASE + 1)
                if not more:
                    break
                data += more
        except OSError as error:
            raise UsageError(f"cannot read the passphrase from descriptor {number}: {error.strerror}") from None
        return data


def _first_line(data: bytes) -> str:
    line = data.split(b"\n", 1)[0].removesuffix(b"\r").removeprefix(_BYTE_ORDER_MARK)
    if len(line) > MAX_PASSPHRASE:
        raise UsageError(f"the passphrase is longer than {MAX_PASSPHRASE} bytes")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not UTF-8 text") from None


def create_key(path: Path, network: Network | None, passphrases: Passphrases, *, plain: bool, force: bool) -> SecretKey:
    """Make a new master key and keep it in a file.

    Args:
        path: The file; 0600, whole or not at all.
        network: The chain; None is mainnet.
        passphrases: Asked unless `plain`.
        plain: Do not encrypt; regtest only.
        force: Replace a file that is there.

    Raises:
        UsageError: The file exists, `plain` outside regtest, or no passphrase.
        StorageError: It cannot be written.
    """
    chain = network or Network.MAINNET
    check_output(path, force=force)
    passphrase = _new_passphrase(passphrases, path, chain, plain=plain)
    secret = new_secret(chain)
    write_file(path, seal(secret, passphrase), force=force)
    return secret


def import_key(
    path: Path, text: str, network: Network | None, passphrases: Passphrases, *, plain: bool, force: bool
) -> SecretKey:
    """Keep a key that a person has already.

    Args:
        path: The file; 0600, whole or not at all.
        text: An xprv with or without origin, BIP39 words, or a descriptor with one private key.
        network: The chain; None is mainnet, but for a tprv, which needs one.
        passphrases: Asked unless `plain`.
        plain: Do not encrypt; regtest only.
        force: Replace a file that is there.

    Raises:
        KeyFileError: Not such a text; nothing of it is in the message.
        UsageError: The file exists, `plain` outside regtest, no network for a tprv, or no passphrase.
        StorageError: It cannot be written.
    """
    check_output(path, force=force)
    secret = read_secret(text, network)
    passphrase = _new_passphrase(passphrases, path, secret.network, plain=plain)
    write_file(path, seal(secret, passphrase), force=force)
    return secret


def _new_passphrase(passphrases: Passphrases, path: Path, network: Network, *, plain: bool) -> str | None:
    """A passphrase for a new file; None for a plain one, which must be allowed and asked for without a passphrase."""
    if plain:
        check_plain(network)
        if passphrases.options.file is not None or passphrases.options.fd is not None:
            raise UsageError("a plain key file has no passphrase", hint="leave out --plain, or the passphrase")
        return None
    return passphrases.get(f"New passphrase for {path.name}", new=True)


def open_key_file(path: Path, passphrases: Passphrases, network: Network | None = None) -> SecretKey:
    """Open a key file.

    Args:
        path: The file.
        passphrases: Asked when it is encrypted.
        network: What `--network` says; None does not care.

    Raises:
        KeyFileError: It cannot be opened, or is for another network.
        UsageError: No passphrase.
    """
    secret = read_key_file(path, lambda: passphrases.get(f"Passphrase for {path.name}"))
    if network is not None and network is not secret.network:
        raise KeyFileError(f"{path} is for {secret.network.value}, and the network is {network.value}")
    return secret


def public_expression(secret: SecretKey, script_type: ScriptKind, account: int) -> str:
    """What a cosigner gives to the others: `[fingerprint/path]xpub/<0;1>/*`."""
    return secret.expression(script_type, account)


def decode_standard_input(data: bytes) -> str:
    """Text from standard input.

    Raises:
        InputError: It is not text; nothing of it is in the message.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("standard input is not text") from None
