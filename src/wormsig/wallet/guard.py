"""Private keys where public ones belong (THREATS S3): seen before anything else looks at the text, never repeated.

Errs on the careful side: what looks like a private key is treated as one, whether or not its checksum fits.
"""

from __future__ import annotations

import re

from wormsig.errors import DescriptorError

_BASE58 = "1-9A-HJ-NP-Za-km-z"
# Extended private keys of BIP32 and SLIP-132 (any letter in front of `prv`), and WIF: 51 or 52 characters. One extended
# public key in 2000 has `prv` somewhere inside: what follows it there is shorter than a whole key of 111 characters.
_EXTENDED_PRIVATE = re.compile(
    rf"(?<![0-9A-Za-z])[a-zA-Z]prv[{_BASE58}]{{20,}}|[a-zA-Z]prv[{_BASE58}]{{104,}}", re.ASCII
)
_WIF = re.compile(rf"(?<![0-9A-Za-z])[59KLc][{_BASE58}]{{50,51}}(?![0-9A-Za-z])", re.ASCII)
_LONG_TOKEN = re.compile(r"[0-9A-Za-z+/=]{24,}", re.ASCII)


def holds_private_key(text: str) -> bool:
    """Whether something in the text looks like a private key."""
    return bool(_EXTENDED_PRIVATE.search(text) or _WIF.search(text))


def refuse_private_keys(text: str) -> None:
    """Refuse a text that holds a private key, without showing it.

    Raises:
        DescriptorError: It does.
    """
    if holds_private_key(text):
        raise DescriptorError(
            "this holds a private key; a wallet is made of public keys only",
            hint="use the public descriptor; `wormsig key import` takes a private one from standard input",
        )


def redact(text: str) -> str:
    """Another library's message without anything long enough to be a key."""
    return _LONG_TOKEN.sub("(…)", text)
