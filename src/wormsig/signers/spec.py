"""`--signer SPEC`: what a person writes to say who signs."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from wormsig.errors import NotSupportedError, UsageError

SpecKind = Literal["key", "core"]

FORMS: Final = "key:FILE or core:WALLET"
_PLANNED: Final = {
    "cmd": "external commands (cmd:COMMAND)",
    "hwi": "hardware wallets (hwi)",
    "file": "handing over files (file)",
}


class SignerSpec(msgspec.Struct, frozen=True):
    """Who signs.

    Attributes:
        kind: `key` is a software key in a file, `core` a wallet of our own bitcoind.
        argument: The file, or the Core wallet's name.
    """

    kind: SpecKind
    argument: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}"


def parse_spec(text: str) -> SignerSpec:
    """Read `key:FILE | core:WALLET`.

    Raises:
        UsageError: Not a signer, or an argument is missing.
        NotSupportedError: A kind of signer that this version does not have.
    """
    kind, colon, argument = text.partition(":")
    if kind in _PLANNED:
        raise NotSupportedError(f"{_PLANNED[kind]} are not supported as signers yet", hint=f"use {FORMS}")
    if kind == "key":
        return SignerSpec("key", _argument(text, colon, argument))
    if kind == "core":
        return SignerSpec("core", _argument(text, colon, argument))
    hint = f"use {FORMS}; a key file is written key:{text}" if not colon and text else f"use {FORMS}"
    raise UsageError(f"{text!r} is not a signer", hint=hint)


def _argument(text: str, colon: str, argument: str) -> str:
    if not colon or not argument:
        raise UsageError(f"{text!r} does not say which", hint=f"use {FORMS}")
    return argument
