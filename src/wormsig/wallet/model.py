"""The agreed wallet as a frozen value: keys, what its scripts ask of them, and what identifies the whole.

Every `Wallet` that exists has been judged (`descriptor`) or comes unchanged from the registry, so code that
holds one need not check it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.condition import Condition, condition_of, fewest_signatures, fewest_when_open, summary
from wormsig.wallet.policy import KeyUse, MultisigPolicy, Policy, TaprootPolicy
from wormsig.wallet.writing import write_body, write_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.bitcoin.keys import ExtendedPublicKey, KeyOrigin
    from wormsig.bitcoin.network import Network

ScriptKind = Literal["wsh", "sh-wsh", "sh", "tr"]

RECEIVE = 0
"""The branch of addresses that are handed out."""
CHANGE = 1
"""The branch of addresses that change goes to."""
BRANCHES = (RECEIVE, CHANGE)

BRANCH_STEPS = "/<0;1>/*"
"""What follows every key of a multisig wallet: BIP389, receive branch 0 and change branch 1."""


class WalletKey(msgspec.Struct, frozen=True):
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
        """The key as it stands in the canonical descriptor: `[d34db33f/48h/0h/0h/2h]xpub…/<0;1>/*`."""
        return f"{self.text()}{BRANCH_STEPS}"

    def text(self) -> str:
        """The key with its origin, without steps.

        An origin that says no more than the xpub itself does is left out, so that `[own fingerprint]xpub` and
        `xpub` are one wallet with one id.
        """
        redundant = not self.origin.path and self.origin.fingerprint == self.xpub.fingerprint
        origin = "" if redundant else f"[{self.origin}]"
        return f"{origin}{self.xpub.text()}"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet that its cosigners agreed on.

    Attributes:
        name: Its name in the registry, or the file it came from.
        network: The chain.
        script_type: `wsh`, `sh-wsh`, `sh` or `tr`.
        policy: What the scripts ask for.
        keys: Every key that can take part in signing, once each; in the order agreed on.
        birth: Unix time before which the wallet has no coins, when known.
        descriptor: The canonical text: `h`, `<0;1>`, checksum.
        id: SHA-256 of the canonical descriptor, hex.
        condition: What it takes to spend.
        threshold: The fewest signatures that can spend: at once, or when every way has a lock, once the locks are open.
            M of a plain M of N; one, where a taproot wallet has an internal key that somebody holds alone. Never more
            than there are keys: what one of them signs several times in one script counts once.
    """

    name: str
    network: Network
    script_type: ScriptKind
    policy: Policy
    keys: tuple[WalletKey, ...]
    birth: int | None = None
    descriptor: str = field(init=False, repr=False, compare=False)
    id: str = field(init=False, repr=False, compare=False)
    condition: Condition = field(init=False, repr=False, compare=False)
    threshold: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        condition = condition_of(self.policy, len(self.keys))
        at_once = fewest_signatures(condition)
        object.__setattr__(self, "condition", condition)
        fewest = fewest_when_open(condition) if at_once is None else at_once
        object.__setattr__(self, "threshold", min(fewest, len(self.keys)))  # a key that signs twice is one signer
        text = with_checksum(write_body(self))
        object.__setattr__(self, "descriptor", text)
        object.__setattr__(self, "id", hashlib.sha256(text.encode("ascii")).hexdigest())

    @property
    def sorted(self) -> bool:
        """Whether keys are sorted in each script (`sortedmulti`, `sortedmulti_a` alone)."""
        if isinstance(self.policy, MultisigPolicy):
            return self.policy.sorted
        return isinstance(self.policy, TaprootPolicy) and [leaf.name for leaf in self.policy.leaves] == [
            "sortedmulti_a"
        ]

    @property
    def uses(self) -> tuple[KeyUse, ...]:
        """Every key expression that can sign, in the order of its first appearance."""
        if isinstance(self.policy, MultisigPolicy):
            return tuple(KeyUse((position,)) for position in range(len(self.keys)))
        return self.policy.uses

    @property
    def summary(self) -> str:
        """What it takes to spend, in a few words: `2 of 3`, `2 of 3, or 1 of 1 after 1000 blocks (about 7 days)`."""
        return summary(self.condition)

    @property
    def kind(self) -> Literal["multisig", "miniscript", "taproot"]:
        """Which form of policy it is."""
        if isinstance(self.policy, MultisigPolicy):
            return "multisig"
        return "taproot" if isinstance(self.policy, TaprootPolicy) else "miniscript"

    @property
    def template(self) -> str:
        """The policy with `@0/**` for the first key: `wsh(sortedmulti(2,@0/**,@1/**,@2/**))` (BIP388)."""
        return write_template(self)

    def branch_descriptor(self, branch: int) -> str:
        """One branch as a descriptor of its own, with checksum: `/0/*` instead of `/<0;1>/*` (BIP389 expanded)."""
        return with_checksum(write_body(self, branch))

    @property
    def origin_branches(self) -> Mapping[bytes, int]:
        """Key origin and branch step, encoded as BIP174 does -> 0 receive, 1 change.

        A key origin of a PSBT without its last four bytes (the index) is looked up here. Participants of a MuSig2
        aggregate are not in it: their own keys are not derived. Made anew each time: keep it.
        """
        return {
            self.keys[use.keys[0]].origin.extend((step,)).encode(): branch
            for use in self.uses
            if not use.is_aggregate
            for branch, step in enumerate(use.branches)
        }

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
