"""The agreed wallet as a frozen value: N of M keys, how they stand in a script, and what identifies the whole.

Every `Wallet` that exists has been judged (`descriptor`) or comes unchanged from the registry, so code that
holds one need not check it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wormsig.wallet.checksum import with_checksum

if TYPE_CHECKING:
    from wormsig.bitcoin.keys import ExtendedPublicKey, KeyOrigin
    from wormsig.bitcoin.network import Network

ScriptKind = Literal["wsh", "sh-wsh", "sh"]

RECEIVE = 0
"""The branch of addresses that are handed out."""
CHANGE = 1
"""The branch of addresses that change goes to."""
BRANCHES = (RECEIVE, CHANGE)

BRANCH_STEPS = "/<0;1>/*"
"""What follows every key: BIP389, receive branch 0 and change branch 1."""


@dataclass(frozen=True, slots=True)
class WalletKey:
    """One cosigner's key.

    Attributes:
        origin: The master key's fingerprint and the path to `xpub`. A key given without origin has the xpub's own
            fingerprint and an empty path (BIP380 calls such a key its own root; bitcoind does the same).
        xpub: The account's extended public key; the wallet's keys are its children `branch/index`.
        name: What the owner of this registry calls the cosigner.
    """

    origin: KeyOrigin
    xpub: ExtendedPublicKey
    name: str | None = None

    @property
    def fingerprint(self) -> bytes:
        """The master key's fingerprint, four bytes."""
        return self.origin.fingerprint

    def expression(self) -> str:
        """The key as it stands in the canonical descriptor: `[d34db33f/48h/0h/0h/2h]xpub…/<0;1>/*`.

        An origin that says no more than the xpub itself does is left out, so that `[own fingerprint]xpub` and
        `xpub` are one wallet with one id.
        """
        redundant = not self.origin.path and self.origin.fingerprint == self.xpub.fingerprint
        origin = "" if redundant else f"[{self.origin}]"
        return f"{origin}{self.xpub.text()}{BRANCH_STEPS}"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A multisig wallet that its cosigners agreed on.

    Attributes:
        name: Its name in the registry, or the file it came from.
        network: The chain.
        script_type: `wsh`, `sh-wsh` or `sh`.
        sorted: Keys are sorted in each script (`sortedmulti`, BIP67), else they stand in the order agreed on.
        threshold: Signatures needed.
        keys: In the order agreed on.
        birth: Unix time before which the wallet has no coins, when known.
        descriptor: The canonical text: `h`, `<0;1>`, checksum.
        id: SHA-256 of the canonical descriptor, hex.
    """

    name: str
    network: Network
    script_type: ScriptKind
    sorted: bool
    threshold: int
    keys: tuple[WalletKey, ...]
    birth: int | None = None
    descriptor: str = field(init=False, repr=False, compare=False)
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        function = "sortedmulti" if self.sorted else "multi"
        inner = ",".join(key.expression() for key in self.keys)
        body = f"{function}({self.threshold},{inner})"
        for wrapper in reversed(self.script_type.split("-")):
            body = f"{wrapper}({body})"
        text = with_checksum(body)
        object.__setattr__(self, "descriptor", text)
        object.__setattr__(self, "id", hashlib.sha256(text.encode("ascii")).hexdigest())

    @property
    def policy(self) -> str:
        """`2 of 3`."""
        return f"{self.threshold} of {len(self.keys)}"

    @property
    def checksum(self) -> str:
        """The descriptor's eight checksum characters, to be read aloud."""
        return self.descriptor[-8:]

    def key_named(self, name: str) -> WalletKey | None:
        """The key of the cosigner with this name; the name is compared without regard to case."""
        wanted = name.casefold()
        return next((key for key in self.keys if key.name is not None and key.name.casefold() == wanted), None)

    def key_with(self, fingerprint: bytes) -> WalletKey | None:
        """The first key of this master fingerprint."""
        return next((key for key in self.keys if key.fingerprint == fingerprint), None)

    def label(self, fingerprint: bytes) -> str:
        """The cosigner's name, else the fingerprint in hex. Names are ours, never a peer's."""
        key = self.key_with(fingerprint)
        return key.name if key is not None and key.name is not None else fingerprint.hex()
